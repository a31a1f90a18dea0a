import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem } from '../fixtures/stack/http.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

const OTHER = { name: 'other', apiKey: 'key-of-the-other', operations: ['*'] };

describe('the same Idempotency-Key', () => {
  let bridge: Bridge;
  beforeAll(async () => {
    bridge = await startBridge({ clients: [OTHER], settings: { REQUEST_BUDGET_MS: '3000' } });
  });
  afterAll(() => bridge.close());
  const key = { 'idempotency-key': 'key-1' };

  it('SCENARIO 12: same body, whatever the order of its members and the white space → the same answer', async () => {
    const session = 'sess_order';
    const first = await bridge.inject(
      session,
      '{"variables":[{"key":"a","value":{"x":1,"y":[1.0,"\\u0061"]},"ttlSeconds":900}],"crm":{"b":1,"a":2}}',
      key,
    );
    expect(first.body).toMatchObject({ status: 'injected', version: 1 });
    for (const same of [
      ' { "crm" : {"a":2, "b":1},\n "variables": [ {"value":{"y":[1,"a"],"x":1.0}, "ttlSeconds":900, "key":"a"} ] }\r\n',
      '{"variables":[{"key":"a","value":{"x":1,"y":[1,"a"]},"scope":"session","ttlSeconds":900}],"crm":{"b":1,"a":2},"mergeStrategy":"atomic_put"}',
    ]) {
      const again = await bridge.inject(session, same, key);
      expect(again.status).toBe(200);
      expect(again.body).toEqual(first.body);
      expect(again.headers['idempotency-replayed']).toBe('true');
    }
    expect(bridge.puts(session)).toHaveLength(1);
    expect((await bridge.audit(session)).entries).toHaveLength(1);
  });

  it('SCENARIO 12: the same answer also hours later, after other operations', async () => {
    const session = 'sess_later';
    const first = await bridge.inject(session, one('a', 1, { ttlSeconds: 60 }), key);
    for (const value of [2, 3, 4]) await bridge.inject(session, one('a', value));
    travel(2 * 3_600_000);
    const again = await bridge.inject(session, one('a', 1, { ttlSeconds: 60 }), key);
    expect(again.body).toEqual(first.body);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(bridge.puts(session)).toHaveLength(4);
    expect(bridge.bot(session)).toEqual({ a: 4 });
  });

  it('SCENARIO 12: the same answer also when the expiry that it names has passed since', async () => {
    const session = 'sess_past';
    const body = one('a', 1, { expiresAt: new Date(Date.now() + 60_000).toISOString() });
    const first = await bridge.inject(session, body, key);
    travel(120_000);
    const again = await bridge.inject(session, body, key);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(first.body);
    expectProblem(await bridge.inject(session, body), 422, 'validation-failed');
    expectProblem(await bridge.inject(session, body, { 'idempotency-key': 'new' }), 422, 'validation-failed');
    expect((await bridge.audit(session)).entries).toHaveLength(3);
  });

  it('SCENARIO 12: who joins an operation that fails is told how it ended, not that it is pending', async () => {
    const session = 'sess_join_failing';
    bridge.tenant.faults.add({ match: { surface: 'inject' }, action: { delayMs: 400, status: 403 } });
    const [first, second] = await Promise.all([
      bridge.inject(session, one('a', 1), key),
      eventually(() => bridge.puts(session).length > 0, { everyMs: 5 }).then(() =>
        bridge.inject(session, one('a', 1), key),
      ),
    ]);
    expectProblem(first, 502, 'upstream-forbidden');
    expectProblem(second, 502, 'upstream-forbidden');
    expect((await bridge.inject(session, one('a', 1), key)).status).toBe(200);
  });

  it('an operation that came to nothing is audited once, however often its answer is asked for', async () => {
    const session = 'sess_refused_once';
    bridge.tenant.faults.add({
      match: { surface: 'inject' },
      action: { status: 503, headers: { 'retry-after': '30' } },
    });
    const body = one('a', 1, { ttlSeconds: 5 });
    expect((await bridge.inject(session, body, key)).status).toBe(202);
    travel(120_000);
    await bridge.stack.tick();
    for (let repeat = 0; repeat < 2; repeat += 1) {
      expectProblem(await bridge.inject(session, body, key), 422, 'expired-before-push');
    }
    expect((await bridge.audit(session)).entries).toHaveLength(2);
  });

  it('refused requests are in the audit trail at once, also while something is pending', async () => {
    const session = 'sess_refused_beside';
    bridge.tenant.faults.add({
      match: { surface: 'inject' },
      action: { status: 503, headers: { 'retry-after': '60' } },
    });
    expect((await bridge.inject(session, one('a', 1))).status).toBe(202);
    for (let refusal = 0; refusal < 25; refusal += 1) await bridge.inject(session, one('', refusal));
    const { entries, chain } = await bridge.audit(session);
    expect(entries).toHaveLength(26);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({ pendingOperations: 1 });
    travel(120_000);
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual({ a: 1 });
  });

  it('SCENARIO 12: another body is 422 and changes nothing', async () => {
    const session = 'sess_other_body';
    await bridge.inject(session, one('a', 1), key);
    for (const body of [
      one('a', 2),
      one('b', 1),
      one('a', 1, { scope: 'user' }),
      one('a', '1'),
      one('a', 1, { ttlSeconds: 5 }),
    ]) {
      expectProblem(await bridge.inject(session, body, key), 422, 'idempotency-mismatch');
    }
    expect(bridge.puts(session)).toHaveLength(1);
    expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({ version: 1, context: { a: 1 } });
  });

  it('SCENARIO 12: from another client, or for another session, it is another key', async () => {
    const session = 'sess_other_client';
    const mine = await bridge.inject(session, one('a', 1), key);
    const theirs = await bridge.inject(session, one('a', 2), { ...key, authorization: `Bearer ${OTHER.apiKey}` });
    const elsewhere = await bridge.inject(`${session}_2`, one('a', 3), key);
    for (const reply of [theirs, elsewhere]) {
      expect(reply.status).toBe(200);
      expect(reply.headers).not.toHaveProperty('idempotency-replayed');
      expect(reply.body.operationId).not.toBe(mine.body.operationId);
    }
    expect(theirs.body.version).toBe(2);
    expect(bridge.bot(session)).toEqual({ a: 2 });
  });

  it('SCENARIO 12: while the first is still running, repeats join it and get its answer', async () => {
    const session = 'sess_join';
    bridge.tenant.settings.change({ latencyMs: 500 });
    const first = bridge.inject(session, one('a', 1), key);
    await eventually(() => bridge.puts(session).length > 0, { everyMs: 5 });
    const repeats = Array.from({ length: 5 }, () => bridge.inject(session, one('a', 1), key));
    const mismatch = await bridge.inject(session, one('a', 2), key);
    bridge.tenant.settings.change({ latencyMs: 0 });

    expectProblem(mismatch, 422, 'idempotency-mismatch');
    const { status, body } = await first;
    expect(status).toBe(200);
    for (const repeat of await Promise.all(repeats)) {
      expect(repeat.status).toBe(200);
      expect(repeat.body).toEqual(body);
      expect(repeat.headers['idempotency-replayed']).toBe('true');
    }
    expect(bridge.puts(session)).toHaveLength(1);
    expect(
      (await bridge.audit(session)).entries.filter(({ outcome }: { outcome: string }) => outcome === 'confirmed'),
    ).toHaveLength(1);
  });

  it('SCENARIO 12: many at the very same moment have one effect', async () => {
    const session = 'sess_at_once';
    const replies = await Promise.all(Array.from({ length: 12 }, () => bridge.inject(session, one('a', 1), key)));
    const settled = replies.filter(({ status }) => status === 200);
    for (const reply of replies) if (reply.status !== 200) expectProblem(reply, 409, 'operation-in-progress');
    expect(new Set(settled.map(({ body }) => body.operationId)).size).toBe(1);
    expect(settled.filter(({ headers }) => headers['idempotency-replayed'] === undefined)).toHaveLength(1);
    expect((await bridge.get(`/v1/sessions/${session}`)).body.version).toBe(1);
    expect(bridge.puts(session)).toHaveLength(1);
  });

  it.each([
    ['502 upstream-forbidden', 502, { status: 403 }, 1],
    ['502 upstream-unauthorized', 502, { status: 401 }, 2],
    ['502 upstream-bad-response', 502, { status: 204, body: '' }, 1],
  ] as const)('can be used again after %s, which had no effect', async (name, status, action, times) => {
    const session = `sess_${name.replaceAll(' ', '_')}`;
    bridge.tenant.faults.add({ match: { surface: 'inject', sessionId: session }, times, action });
    const failed = await bridge.inject(session, one('a', 1), key);
    expectProblem(failed, status, name.split(' ')[1] ?? '');
    const again = await bridge.inject(session, one('a', 1), key);
    expect(again.status).toBe(200);
    expect(again.headers).not.toHaveProperty('idempotency-replayed');
    expect(bridge.bot(session)).toEqual({ a: 1 });
    const { entries } = await bridge.audit(session);
    expect(entries.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['confirmed', 'failed']);
  });

  it('can be used again after 503, with another body too', async () => {
    const session = 'sess_503';
    bridge.tenant.tokens.revokeAll();
    bridge.tenant.faults.add({ name: 'no tokens', match: { surface: 'token' }, times: 0, action: { status: 503 } });
    // The token that is held is refused, and there is no other one. A 401 has been sent for: what became of it is not known here.
    await bridge.inject('sess_spend_token', one('a', 1));
    const failed = await bridge.inject(session, one('a', 1), key);
    expectProblem(failed, 503, 'upstream-unavailable');
    expect(failed.body.retryable).toBe(true);
    bridge.tenant.faults.clear();
    travel(60_000);
    const again = await bridge.inject(session, one('a', 2), key);
    expect(again.status).toBe(200);
    expect(bridge.bot(session)).toEqual({ a: 2 });
  });

  it('an answer that ends the operation is repeated as well: 410', async () => {
    const session = 'sess_ended';
    bridge.tenant.sessions.create({ sessionId: session });
    bridge.tenant.sessions.end(session);
    expectProblem(await bridge.inject(session, one('a', 1), key), 410, 'session-ended');
    const requests = bridge.requests(session).length;
    const again = await bridge.inject(session, one('a', 1), key);
    expectProblem(again, 410, 'session-ended');
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(bridge.requests(session)).toHaveLength(requests);
  });

  it('of a pending operation tells that it is pending, and later how it ended', async () => {
    const session = 'sess_pending';
    bridge.tenant.faults.add({ match: { surface: 'inject', sessionId: session }, times: 0, action: { status: 500 } });
    const first = await bridge.inject(session, one('a', 1), key);
    expect(first.status).toBe(202);
    const again = await bridge.inject(session, one('a', 1), key);
    expect(again.status).toBe(202);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.body).toMatchObject({ operationId: first.body.operationId, auditId: first.body.auditId, version: 1 });

    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    const ended = await bridge.inject(session, one('a', 1), key);
    expect(ended.status).toBe(200);
    expect(ended.headers['idempotency-replayed']).toBe('true');
    expect(ended.body).toMatchObject({ visibility: 'confirmed', operationId: first.body.operationId, version: 1 });
  });
});
