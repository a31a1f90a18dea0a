import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json, type Reply } from '../fixtures/stack/http.ts';
import { travel } from '../fixtures/stack/time.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('many at once', () => {
  let bridge: Bridge;
  beforeAll(async () => {
    bridge = await startBridge({ tenant: { latencyMs: 40 } });
  });
  afterAll(() => bridge.close());

  const confirmed = async (session: string): Promise<Json[]> => {
    const { entries, chain } = await bridge.audit(session, '?limit=500');
    expect(chain).toEqual({ valid: true, brokenAt: null });
    return entries.filter(({ outcome }: Json) => outcome === 'confirmed').reverse();
  };

  it('SCENARIO 1: two injects of different keys both succeed, as versions 1 and 2, audited in that order', async () => {
    const replies = await Promise.all([bridge.inject('sess_two', one('a', 1)), bridge.inject('sess_two', one('b', 2))]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200]);
    expect(replies.map(({ body }) => body.version).sort()).toEqual([1, 2]);
    const byVersion = replies.toSorted((x, y) => x.body.version - y.body.version);
    const entries = await confirmed('sess_two');
    expect(entries.map(({ versionAfter }) => versionAfter)).toEqual([1, 2]);
    expect(entries.map(({ operationId }) => operationId)).toEqual(byVersion.map(({ body }) => body.operationId));
    expect(bridge.bot('sess_two')).toEqual({ a: 1, b: 2 });
    expect((await bridge.get('/v1/sessions/sess_two')).body).toMatchObject({ version: 2, context: { a: 1, b: 2 } });
  });

  it("SCENARIO 2: of two injects of one key the later commit wins, and the loser's hash is in the audit trail", async () => {
    const values = ['first', 'second', 'third', 'fourth'];
    const replies = await Promise.all(values.map((value) => bridge.inject('sess_same', one('a', value))));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const inOrder = replies
      .map(({ body }, index) => ({ version: body.version, value: values[index] ?? '' }))
      .toSorted((x, y) => x.version - y.version);
    expect(inOrder.map(({ version }) => version)).toEqual([1, 2, 3, 4]);

    const hashes = inOrder.map(({ value }) => sha256(JSON.stringify(value)));
    const entries = await confirmed('sess_same');
    expect(entries.map(({ changes }) => changes[0].after)).toEqual(hashes);
    expect(entries.map(({ changes }) => changes[0].before)).toEqual([null, ...hashes.slice(0, -1)]);
    const last = inOrder.at(-1)?.value;
    expect(bridge.bot('sess_same')).toEqual({ a: last });
    expect((await bridge.get('/v1/sessions/sess_same')).body.context).toEqual({ a: last });
  });

  /** As a client should: what may be repeated is sent again under the same key, when the bridge says, until it is answered. */
  const persistently = async (session: string, body: Json, key: string): Promise<Reply> => {
    for (let tries = 1; ; tries += 1) {
      const reply = await bridge.inject(session, body, { 'idempotency-key': key });
      if (reply.status < 500) return reply;
      expect(reply.body).toMatchObject({ code: expect.stringMatching(/^(?:store-|out-of-time)/), retryable: true });
      expect(tries, 'answered 5xx again and again').toBeLessThan(10);
      await sleep(1_000 * Number(reply.headers['retry-after'] ?? 1));
    }
  };

  it('SCENARIO 3: 100 writers on one session: all are served, each once, in a few requests', async () => {
    const session = 'sess_hot';
    const writers = Array.from({ length: 100 }, (_, index) =>
      persistently(session, one('a', index), `writer-${index}`),
    );
    const replies = await Promise.all(writers);
    for (const reply of replies) {
      if (reply.status === 429) {
        expectProblem(reply, 429, 'session-busy');
        expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
      } else {
        expect([200, 202], JSON.stringify(reply.body)).toContain(reply.status);
      }
    }
    travel(60_000);
    await bridge.stack.tick();
    const accepted = replies.map(({ status, body }, value) => ({ status, version: body.version, value }));
    const taken = accepted.filter(({ status }) => status !== 429).toSorted((x, y) => x.version - y.version);
    expect(taken.map(({ version }) => version)).toEqual(taken.map((_, index) => index + 1));
    expect(bridge.puts(session).length).toBeLessThanOrEqual(20);
    expect(bridge.bot(session)).toEqual({ a: taken.at(-1)?.value });
    expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({
      version: taken.length,
      confirmedVersion: taken.length,
      pendingOperations: 0,
      context: { a: taken.at(-1)?.value },
    });
    const entries = await confirmed(session);
    expect(entries.map(({ versionAfter }) => versionAfter)).toEqual(taken.map(({ version }) => version));
    expect(entries.map(({ changes }) => changes[0].after)).toEqual(taken.map(({ value }) => sha256(String(value))));
  });

  it('SCENARIO 3: nobody else waits while one session is being pushed', async () => {
    const session = 'sess_slow';
    bridge.tenant.faults.add({
      match: { surface: 'inject', method: 'PUT', sessionId: session },
      action: { delayMs: 3_500 },
    });
    let isThrough = false;
    const writers = Array.from({ length: 5 }, (_, index) => bridge.inject(session, one('a', index)));
    const through = Promise.all(writers).then(() => {
      isThrough = true;
    });
    const others = Array.from({ length: 5 }, (_, index) => bridge.inject(`sess_cold_${index}`, one('a', 1)));
    for (const { status } of await Promise.all(others)) expect(status).toBe(200);
    expect(isThrough).toBe(false);
    await through;
  });

  it('SCENARIO 3: a full journal is 429 session-busy with Retry-After, and takes writes again afterwards', async () => {
    const session = 'sess_full';
    bridge.tenant.faults.add({
      match: { surface: 'inject', sessionId: session },
      action: { status: 429, headers: { 'retry-after': '120' } },
    });
    const replies = [];
    for (let value = 0; value <= 100; value += 1) replies.push(await bridge.inject(session, one('a', value)));
    expect(replies.slice(0, 100).map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 202));
    const busy = replies[100];
    if (busy === undefined) throw new Error('no reply');
    expectProblem(busy, 429, 'session-busy');
    expect(busy.body.retryable).toBe(true);
    expect(Number(busy.headers['retry-after'])).toBeGreaterThan(0);
    expect(bridge.puts(session)).toHaveLength(1);

    travel(20 * 60_000);
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual({ a: 99 });
    expect(bridge.puts(session)).toHaveLength(2);
    expect((await bridge.inject(session, one('a', 'room again'))).body).toMatchObject({
      version: 101,
      status: 'injected',
    });
    expect(await confirmed(session)).toHaveLength(101);
  });

  it('SCENARIO 42: 50 concurrent operations of all kinds of fate leave one linear chain', async () => {
    const session = 'sess_chain';
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        bridge.inject(session, index % 5 === 0 ? one('not a key', 1) : one(`k${index % 7}`, index)),
      ),
    );
    // Refusals beside a running push are linked by the next settle.
    await bridge.inject(session, one('last', 1));
    travel(120_000);
    await bridge.stack.tick();
    const { entries, chain } = await bridge.audit(session, '?limit=500');
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries.map(({ seq }: Json) => seq)).toEqual(Array.from({ length: 51 }, (_, index) => 51 - index));
    for (const [index, entry] of entries.slice(0, -1).entries()) expect(entry.prevHash).toBe(entries[index + 1].hash);
    expect(entries.filter(({ outcome }: Json) => outcome === 'refused')).toHaveLength(10);
    expect(entries.filter(({ outcome }: Json) => outcome === 'confirmed')).toHaveLength(41);
  });
});
