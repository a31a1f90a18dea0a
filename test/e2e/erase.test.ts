import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LOCAL_CREDENTIALS, LOCAL_REGION } from '../../infra/local/database.ts';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json } from '../fixtures/stack/http.ts';
import { captureOutput } from '../fixtures/stack/output.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

const ERASER = { name: 'eraser', apiKey: 'key-of-the-eraser', operations: ['erase'] };
const WRITER = { name: 'writer', apiKey: 'key-of-the-writer', operations: ['sync', 'inject', 'inspect', 'audit'] };
const CRM = { name: 'crm', apiKey: 'key-of-the-crm', operations: ['*'], keyPrefixes: ['crm_'] };
const as = ({ apiKey }: { apiKey: string }) => ({ authorization: `Bearer ${apiKey}` });

let bridge: Bridge;
let session = '';
let sessions = 0;
beforeAll(async () => {
  bridge = await startBridge({
    clients: [ERASER, WRITER, CRM],
    settings: { SYNC_DEFAULT_TTL_SECONDS: '0' },
  });
});
afterAll(() => bridge.close());
beforeEach(() => {
  sessions += 1;
  session = `sess_${sessions}`;
});
afterEach(() => bridge.tenant.faults.clear());

const read = (path = '') => bridge.get(`/v1/sessions/${session}${path}`);
const sync = async (data: Json, headers: Record<string, string> = {}): Promise<Json> => {
  const reply = await bridge.sync(session, { data }, headers);
  expect([200, 202], reply.text).toContain(reply.status);
  return reply.body;
};
const requests = () => [...bridge.syncs(session), ...bridge.requests(session)];
/** Everything that a client can read about the session. */
const readings = () =>
  Promise.all(
    ['', '?version=0', '?version=1', '/diff?from=0&to=1'].map(async (path) => [path, await read(path)] as const),
  );

/** All items of the table; this test file has but few sessions. */
async function items(): Promise<Json[]> {
  const client = new DynamoDBClient({
    endpoint: bridge.stack.databaseUrl,
    region: LOCAL_REGION,
    credentials: LOCAL_CREDENTIALS,
  });
  try {
    const found: Json[] = [];
    let start: Json;
    do {
      const page = await client.send(
        new ScanCommand({ TableName: 'context-bridge', ...(start !== undefined && { ExclusiveStartKey: start }) }),
      );
      found.push(...(page.Items ?? []));
      start = page.LastEvaluatedKey;
    } while (start !== undefined);
    return found;
  } finally {
    client.destroy();
  }
}

/** What is there of one session, by the kinds of its items. */
async function kindsOf(pk: string): Promise<string[]> {
  const own = (await items()).filter((item) => item.pk.S === pk);
  return [...new Set(own.map(({ sk }) => sk.S.replace(/#.*/, '')))].sort();
}

describe('DELETE /v1/sessions/{sessionId}', () => {
  it('SCENARIO 43: is 204, and again 204, and for a session never seen 204; nothing can be read any more', async () => {
    await bridge.inject(session, one('a', 'private'));
    await sync({ b: { c: 'private' } });
    const reply = await bridge.erase(session);
    expect(reply.status).toBe(204);
    expect(reply.text).toBe('');
    expect(reply.headers).not.toHaveProperty('content-type');
    expect(reply.headers).toMatchObject({ 'cache-control': 'no-store', 'x-correlation-id': expect.any(String) });
    for (const [path, found] of await readings()) {
      expect(found.status, path).toBe(404);
      expectProblem(found, 404, 'unknown-session');
    }
    expect((await bridge.erase(session)).status).toBe(204);
    expect((await bridge.erase(`${session}_never_seen`)).status).toBe(204);
    expectProblem(await bridge.get(`/v1/sessions/${session}_never_seen/audit`), 404, 'unknown-session');
    // What the bot has is the bot's: it was not asked.
    expect(bridge.bot(session)).toMatchObject({ a: 'private', b: { c: 'private' } });
  });

  it('SCENARIO 43: leaves an audit chain that verifies and ends with the erasure; what it said before is sealed for ever', async () => {
    await sync({ a: 1 });
    expectProblem(await bridge.sync(session, { data: { user_profile: { age: -1 } } }), 422, 'validation-failed');
    await bridge.erase(session, { 'x-correlation-id': 'corr-of-the-erasure', ...as(ERASER) });
    const { entries, chain } = await bridge.audit(session);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries).toHaveLength(3);
    const [erasure, ...before] = entries;
    expect(erasure).toMatchObject({
      seq: 3,
      operation: 'erase',
      client: 'eraser',
      correlationId: 'corr-of-the-erasure',
      outcome: 'confirmed',
      changes: [],
    });
    for (const entry of before) {
      expect(Object.keys(entry).sort()).toEqual(['at', 'hash', 'operationId', 'prevHash', 'seq']);
    }
    // Again changes nothing, not even the chain.
    await bridge.erase(session);
    expect((await bridge.audit(session)).entries).toEqual(entries);
  });

  it('SCENARIO 43: leaves nothing in the table but the lane and the chain', async () => {
    const before = new Set((await items()).map(({ pk }) => pk.S));
    const large = 'private '.repeat(4_000);
    for (let value = 0; value < 4; value += 1) {
      await sync({ large: large + value, small: value }, { 'idempotency-key': `key-${value}` });
    }
    await bridge.inject(session, one('injected', large));
    travel(120_000);
    await bridge.stack.tick();
    const own = (await items())
      .map(({ pk }) => pk.S)
      .find((pk: string) => pk.startsWith('SESSION#') && !before.has(pk));
    expect(await kindsOf(own)).toEqual(['AUDIT', 'BLOB', 'EVENT', 'LANE', 'OUTCOME', 'STATE']);
    await bridge.erase(session);
    expect(await kindsOf(own)).toEqual(['AUDIT', 'LANE']);
    const lane = (await items()).find(({ pk, sk }) => pk.S === own && sk.S === 'LANE');
    for (const name of ['sealedId', 'stateRef', 'lease', 'dueAt', 'dueShard']) expect(lane).not.toHaveProperty(name);
    expect(lane.journal).toEqual({ L: [] });
  });

  it('SCENARIO 43: a late repeat with an old key is 410 and brings nothing back', async () => {
    const key = { 'idempotency-key': 'key-1' };
    await sync({ a: 'private' }, key);
    await bridge.inject(session, one('b', 'private'), { 'idempotency-key': 'key-2' });
    travel(120_000);
    await bridge.stack.tick();
    await bridge.erase(session);
    const before = requests().length;
    for (let repeat = 0; repeat < 2; repeat += 1) {
      const again = await bridge.sync(session, { data: { a: 'private' } }, key);
      expectProblem(again, 410, 'session-erased');
      expect(again.body.retryable).toBe(false);
      expectProblem(
        await bridge.inject(session, one('b', 'private'), { 'idempotency-key': 'key-2' }),
        410,
        'session-erased',
      );
    }
    expect(requests()).toHaveLength(before);
    expectProblem(await read(), 404, 'unknown-session');
    const { entries, chain } = await bridge.audit(session);
    expect(chain.valid).toBe(true);
    expect(entries[0]).toMatchObject({ operation: 'erase' });
  });

  it('a new write starts anew: with the next version, and nothing of what was before', async () => {
    await sync({ a: 1 });
    await sync({ a: 2 });
    await bridge.erase(session);
    bridge.tenant.sessions.create({ sessionId: session });
    const body = await sync({ b: 1 }, { 'idempotency-key': 'key-1' });
    expect(body).toMatchObject({ status: 'synced', version: 3, conflicts: [] });
    expect(body.context).not.toHaveProperty('a');
    expect((await read()).body).toMatchObject({ version: 3, confirmedVersion: 3, pendingOperations: 0 });
    expectProblem(await read('?version=2'), 404, 'unknown-version');
    expectProblem(await read('/diff?from=1&to=3'), 404, 'unknown-version');
    expect((await read('?version=3')).status).toBe(200);
    const { entries, chain } = await bridge.audit(session);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries.map(({ operation }: Json) => operation)).toEqual(['sync', 'erase', undefined, undefined]);
    // A repeat of the new one is a repeat.
    const again = await bridge.sync(session, { data: { b: 1 } }, { 'idempotency-key': 'key-1' });
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.body).toEqual(body);
    // And erased once more, it is gone once more.
    expect((await bridge.erase(session)).status).toBe(204);
    expectProblem(await read(), 404, 'unknown-session');
    expect((await bridge.audit(session)).chain.valid).toBe(true);
  });

  it('takes what is waiting with it: the schedule does not push it, and who asks for it is told', async () => {
    await sync({ a: 1 });
    bridge.tenant.faults.add({ match: { sessionId: session }, times: 0, action: { status: 503 } });
    const key = { 'idempotency-key': 'key-1' };
    expect(await sync({ secret: 'private' }, key)).toMatchObject({ status: 'pending' });
    expect((await bridge.inject(session, one('secret', 'private'))).status).toBe(202);
    expect((await bridge.erase(session)).status).toBe(204);
    bridge.tenant.faults.clear();
    const before = requests().length;
    for (let tick = 0; tick < 3; tick += 1) {
      travel(20 * 60_000);
      await bridge.stack.tick();
    }
    expect(requests()).toHaveLength(before);
    expect(bridge.bot(session)).not.toHaveProperty('secret');
    expectProblem(await bridge.sync(session, { data: { secret: 'private' } }, key), 410, 'session-erased');
    expectProblem(await read(), 404, 'unknown-session');
    expect((await bridge.audit(session)).chain.valid).toBe(true);
  });

  it('in the middle of a push: who was at work can record nothing any more', async () => {
    await sync({ a: 1 });
    // What it says is there at once; the answer takes its time.
    bridge.tenant.faults.add({
      match: { surface: 'sync', method: 'PUT', sessionId: session },
      action: { delayMs: 2_500 },
    });
    const writing = bridge.sync(session, { data: { a: 'private' } });
    await eventually(() => bridge.bot(session).a === 'private', { everyMs: 5 });
    expect((await bridge.erase(session)).status).toBe(204);
    expectProblem(await writing, 410, 'session-erased');
    expectProblem(await read(), 404, 'unknown-session');
    travel(120_000);
    await bridge.stack.tick();
    expectProblem(await read(), 404, 'unknown-session');
    const { entries, chain } = await bridge.audit(session);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries[0]).toMatchObject({ operation: 'erase' });
  });

  it('with values that expire later: the schedule has nothing to do there', async () => {
    await bridge.sync(session, { data: { otp: '1234' }, ttl: { '/otp': 60 } });
    await bridge.erase(session);
    const before = requests().length;
    travel(120_000);
    await bridge.stack.tick();
    expect(requests()).toHaveLength(before);
    expectProblem(await read(), 404, 'unknown-session');
  });

  it('twice at once is 204 twice, with one entry or two in a chain that verifies', async () => {
    await sync({ a: 1 });
    const replies = await Promise.all([bridge.erase(session), bridge.erase(session), bridge.erase(session)]);
    expect(replies.map(({ status }) => status)).toEqual([204, 204, 204]);
    expect((await bridge.audit(session)).chain).toEqual({ valid: true, brokenAt: null });
    expectProblem(await read(), 404, 'unknown-session');
  });

  it('SCENARIO 36: needs the grant `erase`; who was refused is in the audit trail', async () => {
    await sync({ a: 1 });
    expectProblem(await bridge.erase(session, as(WRITER)), 403, 'forbidden');
    expect((await read()).body).toMatchObject({ version: 1, context: { a: 1 } });
    expect((await bridge.audit(session)).entries[0]).toMatchObject({
      operation: 'erase',
      outcome: 'refused',
      client: 'writer',
      code: 'forbidden',
    });
    for (const path of ['', '/audit', '/diff?from=0&to=1']) {
      expectProblem(await bridge.get(`/v1/sessions/${session}${path}`, as(ERASER)), 403, 'forbidden');
    }
    expectProblem(await bridge.sync(session, { data: {} }, as(ERASER)), 403, 'forbidden');
    expect((await bridge.erase(session, as(ERASER))).status).toBe(204);
  });

  it('SCENARIO 36: is not for a client that is confined to some keys: a session has others', async () => {
    await sync({ other: 1, crm_a: 1 });
    expectProblem(await bridge.erase(session, as(CRM)), 403, 'forbidden');
    expect((await read()).body.context).toMatchObject({ other: 1, crm_a: 1 });
  });

  it('SCENARIOS 39, 44: says nothing about the session in a log', async () => {
    const output = captureOutput();
    try {
      await bridge.erase('sess_PrivateSessionId');
      expect((await bridge.erase('..%2f..%2fadmin')).status).toBe(400);
    } finally {
      output.stop();
    }
    expect(output.text).not.toContain('PrivateSessionId');
  });
});
