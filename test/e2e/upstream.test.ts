import { createServer } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { functionDefinitions, type Invoke, loadFunction } from '../../infra/local/functions.ts';
import { listenOnLoopback } from '../../infra/local/listen.ts';
import type { NewFault } from '../../infra/local/tenant/faults.ts';
import { type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json, type Reply } from '../fixtures/stack/http.ts';
import { travel } from '../fixtures/stack/time.ts';

let bridge: Bridge;
let sessions = 0;
let session = '';

/** One stack for a group; every test has a session of its own and starts with an upstream that is well. */
function withBridge(options: Parameters<typeof startBridge>[0] = {}): void {
  beforeAll(async () => {
    bridge = await startBridge(options);
  });
  afterAll(() => bridge.close());
  beforeEach(() => {
    sessions += 1;
    session = `sess_${sessions}`;
  });
  afterEach(() => {
    bridge.tenant.faults.clear();
    // Past every pause and every hold-off that the test has caused.
    travel(30 * 60_000);
  });
}

/** A fault on this test's session, on its inject surface. */
function fault(action: NewFault['action'], more: Partial<NewFault> = {}): void {
  bridge.tenant.faults.add({ match: { surface: 'inject', method: 'PUT', sessionId: session }, ...more, action });
}

const outcomes = async (query = ''): Promise<string[]> =>
  (await bridge.audit(session, query)).entries.map(({ outcome }: Json) => outcome).reverse();

/** The same request as an invocation of a function instance. */
async function invoke(instance: Invoke, sessionId: string, body: Json): Promise<{ statusCode: number; body: Json }> {
  const result = (await instance({
    version: '2.0',
    routeKey: 'POST /v1/sessions/{sessionId}/variables',
    headers: { authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' },
    pathParameters: { sessionId },
    body: JSON.stringify(body),
    isBase64Encoded: false,
  })) as { statusCode: number; body: string };
  return { statusCode: result.statusCode, body: JSON.parse(result.body) };
}

function newInstance(): Promise<Invoke> {
  const definition = functionDefinitions().find(({ name }) => name === 'inject');
  if (definition === undefined) throw new Error('there is no function inject');
  return loadFunction(definition);
}

function expectPending(reply: Reply): void {
  expect(reply.status).toBe(202);
  expect(reply.body).toEqual({
    status: 'pending',
    sessionId: session,
    version: expect.any(Number),
    visibility: 'queued',
    variablesInjected: 0,
    latencyMs: expect.any(Number),
    operationId: expect.any(String),
    auditId: expect.any(String),
  });
}

describe('throttled', () => {
  withBridge();

  it('SCENARIO 16: 429 with Retry-After 120 pauses every instance that long; clients get 202 at once', async () => {
    const second = await newInstance();
    await invoke(second, 'sess_warm', one('a', 1));
    fault({ status: 429, headers: { 'retry-after': '120' } });
    const startedMs = performance.now();
    expectPending(await bridge.inject(session, one('a', 1)));
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(bridge.puts(session)).toHaveLength(1);

    const seen = bridge.tenant.journal.entries().length;
    for (const elapsedMs of [0, 50_000, 40_000]) {
      travel(elapsedMs);
      expectPending(await bridge.inject(session, one('b', elapsedMs)));
      expect((await bridge.inject('sess_elsewhere', one('a', 1))).status).toBe(202);
      expect(await invoke(second, 'sess_second', one('a', 1))).toMatchObject({
        statusCode: 202,
        body: { visibility: 'queued' },
      });
      // An instance that starts inside the pause has to be told by the table.
      expect(await invoke(await newInstance(), 'sess_third', one('a', 1))).toMatchObject({ statusCode: 202 });
      await bridge.stack.tick();
    }
    expect(bridge.tenant.journal.entries()).toHaveLength(seen);

    // Every try that met the pause has put its lane off a little longer than the pause itself.
    travel(20 * 60_000);
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual({ a: 1, b: 40_000 });
    for (const other of ['sess_elsewhere', 'sess_second', 'sess_third']) expect(bridge.bot(other)).toEqual({ a: 1 });
    expect((await outcomes()).filter((outcome) => outcome === 'confirmed')).toHaveLength(4);
  });

  it('SCENARIO 16: a pause that fits is waited for: Retry-After 1 → 200', async () => {
    fault({ status: 429, headers: { 'retry-after': '1' } });
    const reply = await bridge.inject(session, one('a', 1));
    expect(reply.status).toBe(200);
    const [first, second, ...more] = bridge.puts(session);
    expect(more).toEqual([]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect(await outcomes()).toEqual(['confirmed']);
  });

  it('SCENARIO 16: an HTTP date is obeyed just so', async () => {
    const untilMs = Math.ceil(Date.now() / 1_000) * 1_000 + 1_000;
    fault({ status: 429, headers: { 'retry-after': new Date(untilMs).toUTCString() } });
    expect((await bridge.inject(session, one('a', 1))).status).toBe(200);
    expect(bridge.puts(session)).toHaveLength(2);
    expect(bridge.puts(session)[1]?.at).toBeGreaterThanOrEqual(untilMs);
  });
});

describe('a storm', () => {
  withBridge({
    settings: { UPSTREAM_RATE_PER_MINUTE: '100', REQUEST_BUDGET_MS: '4000' },
    tenant: { ratePerMinute: 100 },
  });

  it('SCENARIO 17: 50 parallel invocations on three instances and a 429: within budget, no spike', async () => {
    const instances = await Promise.all([newInstance(), newInstance(), newInstance()]);
    bridge.tenant.faults.add({
      match: { surface: 'inject' },
      action: { status: 429, headers: { 'retry-after': '1' } },
    });
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, index) => {
        const instance = instances[index % 3];
        if (instance === undefined) throw new Error('no instance');
        return invoke(instance, `sess_storm_${index}`, one('a', index));
      }),
    );
    for (const { statusCode } of replies) expect([200, 202]).toContain(statusCode);
    expect(replies.filter(({ statusCode }) => statusCode === 200).length).toBeGreaterThan(0);

    const puts = bridge.puts();
    expect(puts.filter(({ status }) => status === 429)).toHaveLength(1);
    const pausedAtMs = puts.find(({ status }) => status === 429)?.at ?? 0;
    // What had its permit when the 429 came may still arrive: the rest of the burst. Nobody else calls inside the pause.
    expect(puts.filter(({ at }) => at > pausedAtMs && at < pausedAtMs + 1_000).length).toBeLessThanOrEqual(4);
    for (const { at } of puts) {
      const within = (ms: number) => puts.filter((other) => other.at >= at && other.at < at + ms).length;
      expect(within(2_000)).toBeLessThanOrEqual(10);
      expect(within(60_000)).toBeLessThanOrEqual(100);
    }
  });
});

describe('credentials', () => {
  withBridge();

  it('SCENARIO 18: a 401 fetches one new token and repeats once', async () => {
    await bridge.inject('sess_warm', one('a', 1));
    bridge.tenant.tokens.revokeAll();
    const tokens = bridge.tokenRequests().length;
    const reply = await bridge.inject(session, one('a', 1));
    expect(reply.status).toBe(200);
    expect(bridge.puts(session).map(({ status }) => status)).toEqual([401, 200]);
    expect(bridge.tokenRequests()).toHaveLength(tokens + 1);
    expect((await bridge.audit(session)).entries).toMatchObject([{ outcome: 'confirmed', attempts: 2 }]);
  });

  it('SCENARIO 18: many in flight share the one new token', async () => {
    await bridge.inject('sess_warm', one('a', 1));
    bridge.tenant.tokens.revokeAll();
    const tokens = bridge.tokenRequests().length;
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, index) => bridge.inject(`${session}_${index}`, one('a', 1))),
    );
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(bridge.tokenRequests()).toHaveLength(tokens + 1);
  });

  it('SCENARIO 18: a second 401 is 502, and the key is free again', async () => {
    const tokens = bridge.tokenRequests().length;
    fault({ status: 401 }, { times: 2 });
    const key = { 'idempotency-key': 'k' };
    expectProblem(await bridge.inject(session, one('a', 1), key), 502, 'upstream-unauthorized');
    expect(bridge.puts(session)).toHaveLength(2);
    expect(bridge.tokenRequests().length - tokens).toBeLessThanOrEqual(2);
    expect(await outcomes()).toEqual(['failed']);
    expect((await bridge.inject(session, one('a', 1), key)).status).toBe(200);
  });

  it('SCENARIO 18: 403 is not retried', async () => {
    fault({ status: 403 }, { times: 0 });
    expectProblem(await bridge.inject(session, one('a', 1)), 502, 'upstream-forbidden');
    expect(bridge.puts(session)).toHaveLength(1);
    expect((await bridge.audit(session)).entries).toMatchObject([
      { outcome: 'failed', code: 'upstream-forbidden', upstreamStatus: 403, attempts: 1 },
    ]);
  });

  it('SCENARIO 19: with the token endpoint down a valid token goes on being used', async () => {
    await bridge.inject('sess_warm', one('a', 1));
    bridge.tenant.faults.add({ match: { surface: 'token' }, times: 0, action: { status: 503 } });
    const { tokenLifeSeconds } = bridge.tenant.settings.current;
    // Inside the time in which it should be refreshed, before it ends.
    travel((tokenLifeSeconds - 30) * 1_000);
    for (let value = 1; value <= 3; value += 1) {
      expect((await bridge.inject(session, one('a', value))).status).toBe(200);
    }
    expect(bridge.puts(session).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('SCENARIO 19: with no token at all it is 503, without a refresh loop, and over when the endpoint is back', async () => {
    bridge.tenant.faults.add({ match: { surface: 'token' }, times: 0, action: { status: 503 } });
    // The token of the test before has run out.
    const tokens = bridge.tokenRequests().length;
    const replies = [];
    for (let value = 1; value <= 5; value += 1)
      replies.push(await bridge.inject(`${session}_${value}`, one('a', value)));
    for (const reply of replies) expectProblem(reply, 503, 'upstream-unavailable');
    expect(bridge.tokenRequests().length - tokens).toBeLessThanOrEqual(3);
    expect(bridge.puts(`${session}_1`)).toEqual([]);
    expect((await bridge.audit(`${session}_1`)).entries).toMatchObject([{ outcome: 'failed', attempts: 0 }]);

    bridge.tenant.faults.clear();
    travel(60_000);
    expect((await bridge.inject(session, one('a', 1))).status).toBe(200);
  });

  it.each([
    ['rejected credentials', { status: 401, body: { error: 'invalid_client' } }, 'upstream-unauthorized'],
    ['HTML from the token endpoint', { malformed: 'html' }, 'upstream-bad-response'],
    ['a cut-off token', { malformed: 'truncated' }, 'upstream-bad-response'],
    ['a token answer without a token', { status: 200, body: { token_type: 'Bearer' } }, 'upstream-bad-response'],
  ] as const)('%s are 502', async (_name, action, code) => {
    bridge.tenant.faults.add({ match: { surface: 'token' }, times: 0, action });
    expectProblem(await bridge.inject(session, one('a', 1)), 502, code);
    expect(bridge.puts(session)).toEqual([]);
  });

  it('a token answer without expires_in counts as 300 s', async () => {
    bridge.tenant.settings.change({ includeExpiresIn: false });
    try {
      await bridge.inject(session, one('a', 1));
      const tokens = bridge.tokenRequests().length;
      travel(200_000);
      await bridge.inject(session, one('a', 2));
      expect(bridge.tokenRequests()).toHaveLength(tokens);
      travel(101_000);
      await bridge.inject(session, one('a', 3));
      expect(bridge.tokenRequests()).toHaveLength(tokens + 1);
      expect(bridge.puts(session).map(({ status }) => status)).toEqual([200, 200, 200]);
    } finally {
      bridge.tenant.settings.change({ includeExpiresIn: true });
    }
  });
});

describe('answers that end an operation', () => {
  withBridge({ settings: { REQUEST_BUDGET_MS: '3000' } });

  it('SCENARIO 20: 404 → 410 session-ended; the audit trail says so, the mirror is gone', async () => {
    await bridge.inject(session, one('a', 1));
    bridge.tenant.sessions.end(session);
    expectProblem(await bridge.inject(session, one('a', 2)), 410, 'session-ended');
    expect(bridge.puts(session).map(({ status }) => status)).toEqual([200, 404]);
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 410, 'session-ended');
    expect((await bridge.audit(session)).entries[0]).toMatchObject({
      outcome: 'refused',
      code: 'session-ended',
      upstreamStatus: 404,
    });
  });

  it('SCENARIO 20: what was queued is refused with that reason, and not tried again', async () => {
    await bridge.inject(session, one('a', 0));
    fault({ status: 503 }, { times: 0 });
    const first = await bridge.inject(session, one('a', 1));
    const second = await bridge.inject(session, one('b', 2));
    expectPending(first);
    expectPending(second);
    bridge.tenant.faults.clear();
    bridge.tenant.sessions.end(session);
    travel(60_000);
    await bridge.stack.tick();
    const requests = bridge.requests(session).length;
    for (const { body } of [first, second]) {
      const { entries } = await bridge.audit(session, `?operationId=${body.operationId}`);
      expect(entries[0]).toMatchObject({ outcome: 'refused', code: 'session-ended' });
    }
    travel(30 * 60_000);
    await bridge.stack.tick();
    expect(bridge.requests(session)).toHaveLength(requests);
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 410, 'session-ended');
    expect((await bridge.audit(session)).chain.valid).toBe(true);
  });

  it('SCENARIO 21: a 409 is read, merged and put again, with scopes and expiries kept', async () => {
    bridge.tenant.sessions.create({ sessionId: session, variables: [{ key: 'bot_own', value: 1, scope: 'bot' }] });
    fault({ status: 409 });
    const body = {
      variables: [
        { key: 'a', value: 1, scope: 'user', expiresAt: '2099-01-01T00:00:00Z' },
        { key: 'b', value: [2], scope: 'global' },
      ],
    };
    const reply = await bridge.inject(session, body);
    expect(reply.status).toBe(200);
    expect(bridge.requests(session).map(({ method, status }) => `${method} ${status}`)).toEqual([
      'PUT 409',
      'GET 200',
      'PUT 200',
    ]);
    const [first, second] = bridge.puts(session);
    expect(second?.body).toEqual(first?.body);
    expect(bridge.tenant.sessions.inspect(session)?.variables).toEqual([
      { key: 'a', value: 1, scope: 'user', expiresAt: '2099-01-01T00:00:00.000Z' },
      { key: 'b', value: [2], scope: 'global', expiresAt: null },
      { key: 'bot_own', value: 1, scope: 'bot', expiresAt: null },
    ]);
    expect((await bridge.audit(session)).entries).toMatchObject([{ outcome: 'confirmed', attempts: 3 }]);
  });

  it('SCENARIO 21: always 409 is 409 conflict with the paths, bounded', async () => {
    bridge.tenant.sessions.create({ sessionId: session, variables: [{ key: 'a', value: 'theirs' }] });
    fault({ status: 409 }, { times: 0 });
    const reply = await bridge.inject(session, one('a', 'ours'));
    expect(expectProblem(reply, 409, 'conflict').map(({ pointer }) => pointer)).toEqual(['/a']);
    expect(reply.text).not.toMatch(/ours|theirs/);
    expect(bridge.puts(session).length).toBeLessThanOrEqual(4);
    expect(await outcomes()).toEqual(['refused']);
    expect(bridge.bot(session)).toEqual({ a: 'theirs' });
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
  });

  it.each([400, 412, 413, 415, 422])('%d from the upstream is 502 upstream-rejected, not retried', async (status) => {
    fault({ status, body: { secret: 'upstream body' } }, { times: 0 });
    const reply = await bridge.inject(session, one('a', 1));
    expectProblem(reply, 502, 'upstream-rejected');
    expect(reply.text).not.toContain('upstream body');
    expect(bridge.puts(session)).toHaveLength(1);
  });

  it.each(['html', 'truncated', 'wrong-shape', 'empty'] as const)(
    'SCENARIO 22: 200 with a body that is %s is no success',
    async (malformed) => {
      fault({ malformed });
      expectProblem(await bridge.inject(session, one('a', 1)), 502, 'upstream-bad-response');
      expect(await outcomes()).toEqual(['failed']);
      expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
    },
  );

  it('SCENARIO 23: a redirect is not followed, and credentials are not sent elsewhere', async () => {
    let visitors = 0;
    const elsewhere = await listenOnLoopback(
      createServer((_request, response) => {
        visitors += 1;
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end('{"variables":{},"access_token":"x","token_type":"Bearer"}');
      }),
      0,
    );
    try {
      fault({ redirectTo: `${elsewhere.url}/api/v2/sessions/x/context` });
      expectProblem(await bridge.inject(session, one('a', 1)), 502, 'upstream-bad-response');
      expect(bridge.puts(session)).toHaveLength(1);

      bridge.tenant.tokens.revokeAll();
      travel(60 * 60_000);
      bridge.tenant.faults.add({
        match: { surface: 'token' },
        times: 0,
        action: { redirectTo: `${elsewhere.url}/api/v2/oauth/token` },
      });
      expectProblem(await bridge.inject(`${session}_token`, one('a', 1)), 502, 'upstream-bad-response');
      expect(visitors).toBe(0);
    } finally {
      await elsewhere.close();
    }
  });
});

describe('an upstream that does not answer in time', () => {
  withBridge({ settings: { REQUEST_BUDGET_MS: '2500', UPSTREAM_TIMEOUT_MS: '300' } });

  it('SCENARIO 10: timeouts after sending leave the operation pending, never failed, until it is resolved', async () => {
    fault({ delayMs: 2_000 }, { times: 0 });
    const reply = await bridge.inject(session, one('a', 1));
    expectPending(reply);
    expect(bridge.puts(session).length).toBeLessThanOrEqual(3);
    expect(await outcomes()).toEqual(['pending']);
    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    expect(await outcomes()).toEqual(['pending', 'confirmed']);
    expect(bridge.bot(session)).toEqual({ a: 1 });
  });
});

describe('failures of the way there', () => {
  withBridge();

  it.each(['before', 'after'] as const)('a connection cut %s the change is tried again: one success', async (reset) => {
    fault({ reset });
    const reply = await bridge.inject(session, one('a', 1));
    expect(reply.status).toBe(200);
    expect(bridge.puts(session).map(({ status }) => status)).toEqual([null, 200]);
    expect(bridge.bot(session)).toEqual({ a: 1 });
    expect(await outcomes()).toEqual(['confirmed']);
  });

  it.each([500, 502, 503, 504, 408])('%d once is tried again', async (status) => {
    fault({ status });
    expect((await bridge.inject(session, one('a', 1))).status).toBe(200);
    expect(bridge.puts(session).map((put) => put.status)).toEqual([status, 200]);
  });

  it('all 5xx: 202, and the schedule delivers in order, as one request, with one success each', async () => {
    fault({ status: 503 }, { times: 0 });
    const replies = [];
    for (const value of ['first', 'second', 'third']) {
      const reply = await bridge.inject(session, {
        variables: [
          { key: 'a', value },
          { key: value, value: true },
        ],
      });
      expectPending(reply);
      expect(reply.headers.location).toBe(`/v1/sessions/${session}/audit?operationId=${reply.body.operationId}`);
      replies.push(reply);
    }
    expect(replies.map(({ body }) => body.version)).toEqual([1, 2, 3]);
    expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({
      version: 3,
      confirmedVersion: 0,
      pendingOperations: 3,
      context: {},
    });
    for (const reply of replies) {
      const { body } = await bridge.get(reply.headers.location ?? '');
      expect(body.entries.every(({ outcome }: Json) => outcome === 'pending')).toBe(true);
    }

    // Not due yet: nobody calls.
    const before = bridge.puts(session).length;
    await bridge.stack.tick();
    expect(bridge.puts(session)).toHaveLength(before);

    bridge.tenant.faults.clear();
    travel(2 * 60_000);
    await bridge.stack.tick();
    expect(bridge.puts(session)).toHaveLength(before + 1);
    expect(bridge.bot(session)).toEqual({ a: 'third', first: true, second: true, third: true });
    expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({
      version: 3,
      confirmedVersion: 3,
      pendingOperations: 0,
      context: { a: 'third' },
    });
    for (const reply of replies) {
      const { body } = await bridge.get(reply.headers.location ?? '');
      expect(body.entries[0]).toMatchObject({ outcome: 'confirmed', auditId: reply.body.auditId });
      expect(body.entries.slice(1).every(({ outcome }: Json) => outcome === 'pending')).toBe(true);
    }
    const { entries, chain } = await bridge.audit(session);
    expect(chain.valid).toBe(true);
    const confirmed = entries.filter(({ outcome }: Json) => outcome === 'confirmed');
    expect(confirmed.map(({ versionAfter }: Json) => versionAfter)).toEqual([3, 2, 1]);

    travel(30 * 60_000);
    await bridge.stack.tick();
    expect(bridge.puts(session)).toHaveLength(before + 1);
  });

  it('a pending operation that meets 403 stays pending, with growing pauses', async () => {
    fault({ status: 503 }, { times: 0 });
    expectPending(await bridge.inject(session, one('a', 1)));
    bridge.tenant.faults.clear();
    fault({ status: 403 }, { times: 2 });
    for (let round = 0; round < 2; round += 1) {
      travel(10 * 60_000);
      await bridge.stack.tick();
    }
    expect(await outcomes()).toEqual(['pending', 'pending', 'pending']);
    travel(30 * 60_000);
    await bridge.stack.tick();
    expect(await outcomes()).toEqual(['pending', 'pending', 'pending', 'confirmed']);
    expect(bridge.bot(session)).toEqual({ a: 1 });
  });

  it('SCENARIO 24: a value whose expiry passes meanwhile is never pushed', async () => {
    fault({ status: 503 }, { times: 0 });
    const mixed = await bridge.inject(session, {
      variables: [
        { key: 'short', value: 1, ttlSeconds: 60 },
        { key: 'long', value: 2, ttlSeconds: 6_000 },
      ],
    });
    const gone = await bridge.inject(session, one('gone', 3, { ttlSeconds: 60 }));
    const before = bridge.puts(session).length;
    bridge.tenant.faults.clear();
    travel(120_000);
    await bridge.stack.tick();

    const pushed = bridge.puts(session).slice(before);
    expect(pushed).toHaveLength(1);
    const sent: Json = pushed[0]?.body;
    expect(sent.variables.map(({ key }: Json) => key)).toEqual(['long']);
    expect(bridge.bot(session)).toEqual({ long: 2 });
    expect((await bridge.get(`/v1/sessions/${session}`)).body.context).toEqual({ long: 2 });
    const endOf = async ({ body }: Reply) =>
      (await bridge.audit(session, `?operationId=${body.operationId}`)).entries[0];
    expect(await endOf(mixed)).toMatchObject({ outcome: 'confirmed', expired: [{ path: '/short', scope: 'session' }] });
    expect(await endOf(gone)).toMatchObject({ outcome: 'refused', code: 'expired-before-push', attempts: 0 });
  });

  it('SCENARIO 24: down for an hour, then many sessions drain', async () => {
    const down = { status: 503, headers: { 'retry-after': '60' } };
    bridge.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: down });
    const names = Array.from({ length: 20 }, (_, index) => `${session}_${index}`);
    const replies = await Promise.all(names.map((name) => bridge.inject(name, one('a', name))));
    expect(replies.map(({ status }) => status)).toEqual(names.map(() => 202));
    for (let minute = 0; minute < 3; minute += 1) {
      travel(20 * 60_000);
      await bridge.stack.tick();
    }
    bridge.tenant.faults.clear();
    travel(20 * 60_000);
    await bridge.stack.tick();
    for (const name of names) expect(bridge.bot(name)).toEqual({ a: name });
  });
});
