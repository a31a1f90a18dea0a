import { describe, expect, it } from 'vitest';
import type { Variable } from '../../../../lib/context/variables.ts';
import type { ExpiredVariable, UpstreamCall } from '../../../../lib/operations/ports/cognigy.ts';
import { fail, hang, html, inTurn, json, type ScriptedFetch } from '../../../fixtures/upstream/scriptedFetch.ts';
import { startSessionApi } from './startSessionApi.ts';

const TOKEN_PATH = '/api/v2/oauth/token';
const SESSION = 'sess_1';
const PATH = '/api/v2/sessions/sess_1/context';
const EXPIRES = Date.UTC(2026, 11, 1, 10, 0, 0);

const VARIABLES: readonly Variable[] = [
  { key: 'crm_account_id', value: 'ACC-99821', scope: 'user', expiresAtMs: EXPIRES },
  { key: 'priority_flag', value: true, scope: 'session' },
];
const BODY =
  '{"variables":[{"key":"crm_account_id","value":"ACC-99821","scope":"user","expiresAt":"2026-12-01T10:00:00.000Z"},' +
  '{"key":"priority_flag","value":true,"scope":"session","expiresAt":null}],"mergeStrategy":"atomic_put"}';

const CONFIRMED = { sessionId: SESSION, variables: { priority_flag: true }, updatedAt: '2026-11-21T09:00:00Z' };
const confirmed = () => json(200, CONFIRMED);
const read = (variables: object) => () => json(200, { variables });

/** A tenant with a working token endpoint, unless told otherwise. */
function prepare(...script: Parameters<typeof startSessionApi>) {
  const session = startSessionApi(...script);
  const inject = (
    overrides: Partial<UpstreamCall> = {},
    variables: readonly Variable[] = VARIABLES,
    expired?: readonly ExpiredVariable[],
  ) =>
    session.port.inject(
      { sessionId: SESSION, variables, ...(expired !== undefined && { expired }) },
      session.call(overrides),
    );
  return { ...session, inject };
}

const tokensOf = (network: ScriptedFetch) =>
  network.to(PATH).map((request) => request.headers.get('authorization')?.replace('Bearer ', ''));

describe('Method: inject, the request', () => {
  it('puts exactly the contract’s body and headers on the wire', async () => {
    const { inject, network } = prepare(confirmed);
    await inject();
    const [token, put] = network.requests;
    expect(token?.headers.get('x-tenant-id')).toBe('acme');
    expect(put).toMatchObject({ method: 'PUT', url: `https://cognigy.test${PATH}`, body: BODY, redirect: 'manual' });
    expect(put?.headers.get('authorization')).toBe('Bearer tok-1');
    expect(put?.headers.get('x-correlation-id')).toBe('corr-1');
    expect(put?.headers.get('content-type')).toBe('application/json');
    expect(put?.headers.get('accept')).toBe('application/json');
    expect(put?.headers.has('x-tenant-id')).toBe(false);
  });

  it('SCENARIO 39: percent-encodes the session id', async () => {
    const { port, call, network } = prepare(confirmed);
    await port.inject({ sessionId: 'a:b@c~d', variables: VARIABLES }, call());
    expect(network.requests[1]?.url).toBe('https://cognigy.test/api/v2/sessions/a%3Ab%40c~d/context');
  });

  it.each([
    ['nothing', []],
    ['ASCII', VARIABLES],
    ['several bytes per character', [{ key: 'k', value: 'Zürich – 東京 – 🚀', scope: 'session' as const }]],
    ['a lone surrogate', [{ key: 'k', value: '\ud800', scope: 'session' as const }]],
    ['nested values', [{ key: 'k', value: { a: [1, null, { b: 'ß' }] }, scope: 'global' as const, expiresAtMs: 1 }]],
  ])('SCENARIO 28: injectBytes is exactly what leaves: %s', async (_what, variables) => {
    const { port, inject, network } = prepare(confirmed);
    await inject({}, variables);
    expect(port.injectBytes({ variables })).toBe(new TextEncoder().encode(network.to(PATH)[0]?.body ?? '').byteLength);
  });

  describe('of variables that the bot is to forget', () => {
    const expired: ExpiredVariable[] = [
      { key: 'otp', scope: 'user', expiresAtMs: Date.UTC(2026, 10, 21, 8, 59, 59, 500) },
      { key: 'tür', scope: 'session', expiresAtMs: 0 },
    ];
    const EXPIRED =
      '{"key":"otp","value":null,"scope":"user","expiresAt":"2026-11-21T08:59:59.500Z"},' +
      '{"key":"tür","value":null,"scope":"session","expiresAt":"1970-01-01T00:00:00.000Z"}';

    it('puts each behind the variables, as null with its expiry in the past, in its own scope', async () => {
      const { inject, network } = prepare(confirmed);
      await inject({}, VARIABLES, expired);
      expect(network.to(PATH).map(({ body }) => body)).toEqual([
        BODY.replace('],"mergeStrategy"', `,${EXPIRED}],"mergeStrategy"`),
      ]);
    });

    it('is sent with nothing else in it, too', async () => {
      const { inject, network } = prepare(confirmed);
      expect(await inject({}, [], expired)).toMatchObject({ kind: 'confirmed', attempts: 1 });
      expect(network.to(PATH)[0]?.body).toBe(`{"variables":[${EXPIRED}],"mergeStrategy":"atomic_put"}`);
    });

    it.each([
      ['beside variables', VARIABLES, expired],
      ['one, alone', [], expired.slice(0, 1)],
      ['several, alone', [], expired],
    ])('SCENARIO 28: has as many bytes as injectBytes says: %s', async (_what, variables, forgotten) => {
      const { port, inject, network } = prepare(confirmed);
      await inject({}, variables, forgotten);
      const { body = '' } = network.to(PATH)[0] ?? {};
      expect(port.injectBytes({ variables, expired: forgotten })).toBe(new TextEncoder().encode(body).byteLength);
    });

    it('SCENARIO 21: goes out again as it was after a 409, and is nothing to differ about', async () => {
      const { inject, network } = prepare((request) =>
        request.method === 'GET' ? read({ otp: 1, priority_flag: false })() : json(409, {}),
      );
      const variables = VARIABLES.slice(1);
      expect(await inject({}, variables, expired)).toMatchObject({ code: 'conflict', paths: ['/priority_flag'] });
      expect(new Set(network.to(PATH, 'PUT').map(({ body }) => body)).size).toBe(1);
    });
  });

  it('reports each request with its surface, and nothing about whom it was for', async () => {
    const { inject, observations } = prepare(confirmed);
    await inject();
    expect(observations).toEqual([
      { surface: 'inject', target: 'token', outcome: 'answer', latencyMs: 0 },
      { surface: 'inject', target: 'api', outcome: 'answer', status: 200, latencyMs: 0 },
    ]);
  });
});

describe('Method: inject, the answer', () => {
  it.each([200, 201])('is confirmed by %i with the promised shape', async (status) => {
    const { inject } = prepare(() => json(status, CONFIRMED));
    expect(await inject()).toEqual({ kind: 'confirmed', result: CONFIRMED, attempts: 1, upstreamStatus: status });
  });

  it.each([
    ['HTML', () => html(200)],
    ['cut off JSON', () => new Response('{"sessionId":"sess_1","variables":{')],
    ['no variables', () => json(200, { sessionId: SESSION })],
    ['variables that are a list', () => json(200, { variables: [] })],
    ['an array', () => json(200, [])],
    ['null', () => json(200, null)],
    ['nothing', () => new Response('')],
    ['204', () => new Response(null, { status: 204 })],
    ['202', () => json(202, CONFIRMED)],
  ])('SCENARIO 22: %s is not a success', async (_what, reply) => {
    const { inject, network } = prepare(reply);
    expect(await inject()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', attempts: 1 });
    expect(network.to(PATH)).toHaveLength(1);
  });

  it.each([301, 302, 303, 307, 308])('SCENARIO 23: a %i to another host is not followed', async (status) => {
    const { inject, network } = prepare(
      () => new Response(null, { status, headers: { location: 'https://evil.test/steal' } }),
    );
    expect(await inject()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', upstreamStatus: status });
    expect(network.requests.every(({ url }) => url.startsWith('https://cognigy.test/'))).toBe(true);
  });

  it.each([
    [400, 'upstream-rejected'],
    [403, 'upstream-forbidden'],
    [404, 'session-ended'],
    [405, 'upstream-rejected'],
    [410, 'session-ended'],
    [412, 'upstream-rejected'],
    [413, 'upstream-rejected'],
    [415, 'upstream-rejected'],
    [422, 'upstream-rejected'],
  ])('SCENARIO 18, 20: %i ends it as %s, without a retry', async (status, code) => {
    const { inject, network } = prepare(() => json(status, { error: 'no' }));
    expect(await inject()).toEqual({ kind: 'refused', code, attempts: 1, upstreamStatus: status });
    expect(network.to(PATH)).toHaveLength(1);
  });

  it.each<[number, object]>([
    [500, { outcomeUnknown: true }],
    [503, {}],
  ])('SCENARIO 10: after a %i it says whether that may have been applied', async (status, unknown) => {
    const { inject } = prepare(
      inTurn(
        () => json(status, {}),
        () => json(400, {}),
      ),
    );
    const refused = { kind: 'refused', code: 'upstream-rejected', attempts: 2, upstreamStatus: 400 };
    expect(await inject()).toEqual({ ...refused, ...unknown });
  });
});

describe('SCENARIO 18: 401', () => {
  it('drops that token, fetches one new one, repeats once', async () => {
    const { inject, network, tokenStore } = prepare(inTurn(() => json(401, {}), confirmed));
    expect(await inject()).toMatchObject({ kind: 'confirmed', attempts: 2 });
    expect(tokensOf(network)).toEqual(['tok-1', 'tok-2']);
    expect(tokenStore.tokens.get('key-inject')?.accessToken).toBe('tok-2');
  });

  it('a second one is upstream-unauthorized', async () => {
    const { inject, network } = prepare(() => json(401, {}));
    expect(await inject()).toEqual({
      kind: 'refused',
      code: 'upstream-unauthorized',
      attempts: 2,
      upstreamStatus: 401,
    });
    expect(network.to(TOKEN_PATH)).toHaveLength(2);
  });

  it('in 5 calls in flight at once means one new token', async () => {
    const { inject, network } = prepare((request) =>
      request.headers.get('authorization') === 'Bearer tok-1' ? json(401, {}) : confirmed(),
    );
    const results = await Promise.all(Array.from({ length: 5 }, () => inject()));
    expect(results.map(({ kind }) => kind)).toEqual(Array.from({ length: 5 }, () => 'confirmed'));
    expect(network.to(TOKEN_PATH)).toHaveLength(2);
  });
});

describe('SCENARIO 19: the token endpoint', () => {
  it('down, no token held → refused as upstream-unavailable; nothing was sent', async () => {
    const { inject, network } = prepare(confirmed, { token: fail('ECONNREFUSED') });
    expect(await inject()).toEqual({ kind: 'refused', code: 'upstream-unavailable', attempts: 0 });
    expect(network.to(PATH)).toHaveLength(0);
  });

  it('rejects the credentials: a permit fetched ahead goes back', async () => {
    const { inject, governor, startMs, rates } = prepare(confirmed, { token: () => json(401, {}) });
    const firstPermit = governor.acquire({ deadlineMs: startMs + 20_000 });
    expect(await inject({ firstPermit })).toMatchObject({ code: 'upstream-unauthorized' });
    await new Promise(setImmediate);
    expect(rates.calls.release).toBe(1);
  });

  it('down after a 401 → unavailable, as something has left', async () => {
    const { inject } = prepare(() => json(401, {}), {
      token: inTurn(
        () => json(200, { access_token: 'tok-1', token_type: 'Bearer' }),
        () => json(503, {}),
      ),
    });
    expect(await inject()).toMatchObject({ kind: 'unavailable', reason: 'down', attempts: 1, outcomeUnknown: false });
  });

  it.each([
    ['rejects the credentials', () => json(401, { error: 'invalid_client' }), 'upstream-unauthorized'],
    ['answers HTML', () => html(200), 'upstream-bad-response'],
  ])('%s', async (_what, token, code) => {
    const { inject } = prepare(confirmed, { token });
    expect(await inject()).toEqual({ kind: 'refused', code, attempts: 0 });
  });

  it('cannot be asked, as the credentials cannot be read → refused as upstream-unavailable', async () => {
    const { inject, network } = prepare(confirmed, { credentials: () => Promise.reject(new Error('no secret')) });
    expect(await inject()).toMatchObject({ kind: 'refused', code: 'upstream-unavailable' });
    expect(network.requests).toHaveLength(0);
  });

  it('too slow for the deadline → unavailable: the operation stays pending', async () => {
    const { inject, startMs } = prepare(confirmed, { token: hang });
    expect(await inject({ deadlineMs: startMs + 300 })).toMatchObject({ kind: 'unavailable', reason: 'deadline' });
  });
});

describe('SCENARIO 21: 409', () => {
  const conflict = () => json(409, {});
  const others = { bot_own: { deep: 1 }, crm_account_id: 'ACC-OLD', priority_flag: true };

  it('reads, and puts exactly our variables again, with their scopes and expiries and without the others', async () => {
    const { inject, network, rates } = prepare(inTurn(conflict, read(others), confirmed));
    expect(await inject()).toMatchObject({ kind: 'confirmed', attempts: 3 });
    expect(network.to(PATH).map(({ method, body }) => [method, body])).toEqual([
      ['PUT', BODY],
      ['GET', ''],
      ['PUT', BODY],
    ]);
    expect(rates.calls.reserveIdle + rates.calls.reserveBusy).toBe(3);
  });

  it('stops after three rounds and names what differs', async () => {
    const { inject, network } = prepare((request) => (request.method === 'GET' ? read(others)() : conflict()));
    expect(await inject()).toEqual({
      kind: 'refused',
      code: 'conflict',
      paths: ['/crm_account_id'],
      attempts: 7,
      upstreamStatus: 409,
    });
    expect(network.to(PATH, 'PUT')).toHaveLength(4);
    expect(network.to(PATH, 'GET')).toHaveLength(3);
  });

  it('compares by value, not by the order of members, and names everything when nothing differs', async () => {
    const variables: Variable[] = [
      { key: 'a', value: { x: 1, y: [2] }, scope: 'session' },
      { key: 'b', value: 1, scope: 'session' },
    ];
    const answering = (theirs: object) =>
      prepare((request) => (request.method === 'GET' ? read(theirs)() : conflict())).inject({}, variables);
    expect(await answering({ a: { y: [2], x: 1 }, b: 2 })).toMatchObject({ paths: ['/b'] });
    expect(await answering({ a: { y: [2], x: 1 }, b: 1 })).toMatchObject({ paths: ['/a', '/b'] });
    expect(await answering({})).toMatchObject({ paths: ['/a', '/b'] });
  });

  it.each(['"\\ud800"', '1e400'])(
    'bears with a value of the bot’s own that has no canonical form: %s',
    async (value) => {
      const { inject } = prepare((request) =>
        request.method === 'GET' ? new Response(`{"variables":{"crm_account_id":${value}}}`) : conflict(),
      );
      expect(await inject()).toMatchObject({ code: 'conflict', paths: ['/crm_account_id', '/priority_flag'] });
    },
  );

  it.each([
    ['404', () => json(404, {}), 'session-ended'],
    ['403', () => json(403, {}), 'upstream-forbidden'],
    ['HTML', () => html(200), 'upstream-bad-response'],
    ['another shape', () => json(200, { variables: 'none' }), 'upstream-bad-response'],
  ])('a read that answers %s ends it', async (_what, reply, code) => {
    const { inject } = prepare(inTurn(conflict, reply));
    expect(await inject()).toMatchObject({ kind: 'refused', code, attempts: 2 });
  });

  it('leaves the rest for later when the budget or the deadline ends between the rounds', async () => {
    const { inject, startMs } = prepare((request) => (request.method === 'GET' ? read(others)() : conflict()));
    const result = await inject({ deadlineMs: startMs + 700 });
    expect(result).toMatchObject({ kind: 'unavailable', outcomeUnknown: false });
  });
});

describe('Unavailable', () => {
  it.each([
    ['503', () => json(503, {}), { reason: 'down', outcomeUnknown: false, upstreamStatus: 503 }],
    ['SCENARIO 10: another 5xx', () => json(502, {}), { reason: 'down', outcomeUnknown: true, upstreamStatus: 502 }],
    ['a refused connection', fail('ECONNREFUSED'), { reason: 'down', outcomeUnknown: false }],
    ['SCENARIO 10: a reset', fail('ECONNRESET'), { reason: 'down', outcomeUnknown: true }],
    ['SCENARIO 10: no answer', hang, { reason: 'timeout', outcomeUnknown: true }],
  ])('%s, three times', async (_what, reply, expected) => {
    const { inject } = prepare(reply);
    expect(await inject()).toEqual({ kind: 'unavailable', attempts: 3, ...expected });
  });

  it('a read that fails leaves no outcome unknown: it changes nothing', async () => {
    const { inject } = prepare((request) => (request.method === 'GET' ? json(503, {}) : json(409, {})));
    expect(await inject()).toMatchObject({ kind: 'unavailable', reason: 'down', attempts: 4, outcomeUnknown: false });
  });

  it('SCENARIO 16: throttled, with the moment to come back', async () => {
    const { inject, startMs } = prepare(() => json(429, {}, { 'retry-after': '120' }));
    expect(await inject()).toEqual({
      kind: 'unavailable',
      reason: 'throttled',
      retryAtMs: startMs + 120_000,
      outcomeUnknown: false,
      attempts: 1,
      throttled: 1,
      upstreamStatus: 429,
    });
  });

  it('a deadline already past sends nothing, and gives the permit back', async () => {
    const { inject, network, startMs, governor, rates } = prepare(confirmed);
    const firstPermit = governor.acquire({ deadlineMs: startMs + 1_000 });
    expect(await inject({ deadlineMs: startMs, firstPermit })).toEqual({
      kind: 'unavailable',
      reason: 'deadline',
      outcomeUnknown: false,
      attempts: 0,
    });
    await firstPermit;
    await new Promise(setImmediate);
    expect(network.requests).toHaveLength(0);
    expect(rates.calls.release).toBe(1);
  });

  it('SCENARIO 17: 50 calls at once stay within the budget, 5 at a time; the rest is told when to come back', async () => {
    let inside = 0;
    let most = 0;
    const { inject, network, clock } = prepare(async () => {
      inside += 1;
      most = Math.max(most, inside);
      await clock.sleep(50);
      inside -= 1;
      return confirmed();
    });
    const results = await Promise.all(Array.from({ length: 50 }, () => inject()));
    const done = results.filter(({ kind }) => kind === 'confirmed');
    expect(most).toBe(5);
    expect(done.length).toBe(network.to(PATH).length);
    expect(done.length).toBeGreaterThan(30);
    for (const result of results) {
      if (result.kind !== 'confirmed') expect(result).toMatchObject({ kind: 'unavailable', reason: 'budget' });
    }
  });
});

describe('Method: prepare', () => {
  it('warms the token and takes a permit, which inject then uses', async () => {
    const { port, call, inject, network, rates, startMs } = prepare(confirmed);
    const firstPermit = port.prepare({ deadlineMs: startMs + 20_000, mayWait: false });
    expect((await firstPermit).granted).toBe(true);
    await new Promise(setImmediate);
    expect(network.to(TOKEN_PATH)).toHaveLength(1);
    await inject(call({ firstPermit }));
    expect(network.to(TOKEN_PATH)).toHaveLength(1);
    expect(rates.calls.reserveIdle + rates.calls.reserveBusy).toBe(1);
  });

  it('SCENARIO 3: of 100 writers only the one who sends uses up budget; nobody queues for a permit ahead', async () => {
    const { port, inject, network, rates, clock, startMs } = prepare(confirmed);
    const ahead = await Promise.all(
      Array.from({ length: 100 }, () => port.prepare({ deadlineMs: startMs + 20_000, mayWait: false })),
    );
    expect(clock.now()).toBe(startMs);
    expect(ahead.filter(({ granted }) => granted)).toHaveLength(5);
    const [first, ...others] = ahead;
    for (const answer of others) if (answer.granted) await answer.permit.release();

    await inject({ ...(first && { firstPermit: Promise.resolve(first) }) });

    expect(network.to(PATH)).toHaveLength(1);
    expect(rates.cells.get('tenant')?.tatMs).toBeLessThan(startMs + 700);
  });

  it('not granted ahead, the request queues for its own permit', async () => {
    const { port, inject, governor, clock, startMs } = prepare(confirmed);
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    const firstPermit = port.prepare({ deadlineMs: startMs + 20_000, mayWait: false });
    expect(await firstPermit).toEqual({ granted: false, retryAtMs: startMs + 632 });
    expect(await inject({ firstPermit })).toMatchObject({ kind: 'confirmed' });
    expect(clock.now()).toBe(startMs + 632);
  });

  it('waits for a slot when told that it may', async () => {
    const { port, governor, clock, startMs } = prepare(confirmed);
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    expect(await port.prepare({ deadlineMs: startMs + 20_000, mayWait: true })).toMatchObject({ granted: true });
    expect(clock.now()).toBe(startMs + 632);
  });

  it('never rejects, whatever is down', async () => {
    const { port, rates, tokenStore, startMs } = prepare(confirmed, { token: fail('ECONNREFUSED') });
    rates.down = true;
    tokenStore.down = true;
    expect(await port.prepare({ deadlineMs: startMs + 1_000, mayWait: false })).toMatchObject({ granted: true });
  });
});

describe('Method: prepare, near the deadline', () => {
  it('waits for no slot whose answer would hardly come in time', async () => {
    const { port, startMs } = prepare(confirmed);
    const free = Array.from({ length: 5 }, () => port.prepare({ deadlineMs: startMs + 20_000, mayWait: false }));
    expect((await Promise.all(free)).every(({ granted }) => granted)).toBe(true);
    // The next slot is in 632 ms.
    const late = await port.prepare({ deadlineMs: startMs + 800, mayWait: true });
    expect(late).toEqual({ granted: false, retryAtMs: startMs + 632 });
    expect(await port.prepare({ deadlineMs: startMs + 1_200, mayWait: true })).toMatchObject({ granted: true });
  });
});

describe('Secrets', () => {
  it.each([
    ['confirmed', confirmed],
    ['refused', () => json(400, { error: 'sess_1 tok-1 ACC-99821' })],
    ['unavailable', fail('ECONNRESET')],
    ['unauthorized', () => json(401, { error: 'tok-1' })],
  ])('no id, token, secret or value in an observation or a refusal: %s', async (_what, reply) => {
    const { inject, observations } = prepare(reply);
    const result = await inject();
    const told = JSON.stringify([observations, result.kind === 'confirmed' ? [] : result]);
    for (const secret of ['sess_1', 'tok-', 's3cret', 'client', 'ACC-99821', 'acme'])
      expect(told).not.toContain(secret);
  });
});
