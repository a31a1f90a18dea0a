import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../../lib/context/json.ts';
import type { ContextDecision, ContextRequest, UpstreamCall } from '../../../../lib/operations/ports/cognigy.ts';
import type { Clock } from '../../../../lib/platform/clock.ts';
import {
  failure,
  hang,
  html,
  inTurn,
  json,
  type Reply,
  type ScriptedFetch,
} from '../../../fixtures/upstream/scriptedFetch.ts';
import { startSessionApi } from './startSessionApi.ts';

const TOKEN_PATH = '/oauth/token';
const PATH = '/api/v1/sessions/sess_1/context';

const shows =
  (context: unknown, etag?: string): Reply =>
  () =>
    json(200, context, etag === undefined ? {} : { etag });
const status =
  (code: number, headers: Record<string, string> = {}): Reply =>
  () =>
    json(code, { error: 'no' }, headers);
const text =
  (body: string): Reply =>
  () =>
    new Response(body);
const nested = (levels: number) => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;

const put = (context: JsonObject, sendByMs?: number): ContextDecision => ({
  kind: 'put',
  context,
  ...(sendByMs !== undefined && { sendByMs }),
});
/** Puts the client's `ours: 1` on top of whatever the bot has. */
const addOurs: ContextRequest['merge'] = async (theirs) => put({ ...theirs, ours: 1 });
const leave: ContextRequest['merge'] = async () => ({ kind: 'leave' });

interface Script {
  readonly get?: Reply;
  readonly put?: Reply;
  readonly inject?: Reply;
}

/** A tenant that answers reads and writes as told; reads show `{"theirs":1}` with an ETag, writes succeed. */
function prepare(
  { get = shows({ theirs: 1 }, '"1"'), put: write = shows({}), inject = shows({ variables: {} }) }: Script = {},
  script: Parameters<typeof startSessionApi>[1] = {},
) {
  const sentAt: [method: string, afterMs: number][] = [];
  const session = startSessionApi((request, signal) => {
    if (request.path.startsWith('/api/v2/')) return inject(request, signal);
    sentAt.push([request.method, session.clock.now() - session.startMs]);
    return (request.method === 'GET' ? get : write)(request, signal);
  }, script);
  const { port, call, network, governor, startMs } = session;
  const replace = (overrides: Partial<UpstreamCall> = {}, merge: ContextRequest['merge'] = addOurs) =>
    port.replaceContext({ sessionId: 'sess_1', merge }, call(overrides));
  /** Takes what the budget lets through at once. */
  const takeBurst = async (permits = 5) => {
    for (let taken = 0; taken < permits; taken += 1) await governor.acquire({ deadlineMs: startMs });
  };
  const methods = () => network.to(PATH).map(({ method }) => method);
  return { ...session, replace, takeBurst, methods, sentAt };
}

/** A permit that is good for ever and says whether it was given back. */
function countedPermit() {
  const seen = { released: 0 };
  const release = async () => {
    seen.released += 1;
  };
  return { seen, answer: Promise.resolve({ granted: true, permit: { release } } as const) };
}

const afterwards = () => new Promise(setImmediate);

describe('Method: replaceContext, the requests', () => {
  it('reads, and puts the whole merged context, with the surface’s own token', async () => {
    const { replace, network } = prepare();

    expect(await replace()).toEqual({ kind: 'confirmed', result: {}, attempts: 2, upstreamStatus: 200 });

    const [token, read, write] = network.requests;
    expect(token?.path).toBe(TOKEN_PATH);
    expect(Object.fromEntries(new URLSearchParams(token?.body))).toMatchObject({
      scope: 'cognigy:context:readwrite',
      client_secret: 's3cret',
    });
    const headers = {
      accept: 'application/json',
      authorization: 'Bearer tok-1',
      'content-type': 'application/json',
      'x-correlation-id': 'corr-1',
    };
    expect(read).toMatchObject({ method: 'GET', url: `https://cognigy.test${PATH}`, body: '', redirect: 'manual' });
    expect(Object.fromEntries(read?.headers ?? [])).toEqual(headers);
    expect(write).toMatchObject({ method: 'PUT', url: `https://cognigy.test${PATH}`, body: '{"theirs":1,"ours":1}' });
    expect(Object.fromEntries(write?.headers ?? [])).toEqual({ ...headers, 'if-match': '"1"' });
  });

  it('SCENARIO 39: percent-encodes the session id', async () => {
    const { port, call, network } = prepare();
    await port.replaceContext({ sessionId: 'a:b@c~d', merge: leave }, call());
    expect(network.requests[1]?.url).toBe('https://cognigy.test/api/v1/sessions/a%3Ab%40c~d/context');
  });

  it.each(['"abc"', 'W/"abc"', 'W/"\u00e9"', 'abc', '"a", "b"'])('says If-Match as the ETag came: %s', async (etag) => {
    const { replace, network } = prepare({ get: shows({}, etag) });
    await replace();
    expect(network.to(PATH, 'PUT')[0]?.headers.get('if-match')).toBe(etag);
  });

  it.each([undefined, ''])('says no If-Match when the ETag was %j', async (etag) => {
    const { replace, network } = prepare({ get: shows({}, etag) });
    expect(await replace()).toMatchObject({ kind: 'confirmed' });
    expect(network.to(PATH, 'PUT')[0]?.headers.has('if-match')).toBe(false);
  });

  it('sends nothing when there is nothing to send', async () => {
    const { replace, methods } = prepare();
    expect(await replace({}, leave)).toEqual({ kind: 'confirmed', result: {}, attempts: 1, upstreamStatus: 200 });
    expect(methods()).toEqual(['GET']);
  });

  it('reports each request under its own surface', async () => {
    const { replace, observations } = prepare();
    await replace();
    expect(observations.map(({ surface, target }) => `${surface} ${target}`)).toEqual([
      'sync token',
      'sync api',
      'sync api',
    ]);
  });

  it('SCENARIO 17: shares places and budget with inject', async () => {
    let inside = 0;
    let most = 0;
    const busy: Reply = async () => {
      inside += 1;
      most = Math.max(most, inside);
      await session.clock.sleep(50);
      inside -= 1;
      return json(200, { variables: {} });
    };
    const session = prepare({ get: busy, put: busy, inject: busy }, { maxConcurrent: 2 });
    const variables = [{ key: 'k', value: 1, scope: 'session' as const }];
    const inject = () => session.port.inject({ sessionId: 'sess_1', variables }, session.call());
    const results = await Promise.all([session.replace(), inject(), session.replace(), inject()]);
    expect(results.map(({ kind }) => kind)).toEqual(Array.from({ length: 4 }, () => 'confirmed'));
    expect(most).toBe(2);
    expect(session.rates.cells.size).toBe(1);
    expect(session.permitsTaken()).toBeGreaterThanOrEqual(6);
  });
});

describe('Method: replaceContext, what is read', () => {
  it.each([
    ['HTML', () => html(200)],
    ['cut off JSON', text('{"theirs":')],
    ['an array', shows([])],
    ['null', shows(null)],
    ['a string', shows('{}')],
    ['nothing', text('')],
    ['204', () => new Response(null, { status: 204 })],
    ['201', () => json(201, {})],
    ['513 levels', text(nested(513))],
    ['100,000 levels', text(nested(100_000))],
    ['an id that would come back rounded', text('{"customer":9007199254740993}')],
    ['a number that would come back as null', text('{"n":[1e400]}')],
  ])('SCENARIO 22: %s is no context: nothing is merged, nothing is sent', async (_what, get) => {
    const { replace, methods } = prepare({ get });
    const merge = () => Promise.reject(new Error('not to be asked'));
    expect(await replace({}, merge)).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', attempts: 1 });
    expect(methods()).toEqual(['GET']);
  });

  it('512 levels are merged and go back as they came', async () => {
    const { replace, network } = prepare({ get: text(nested(512)) });
    expect(await replace({}, async (theirs) => put(theirs ?? {}))).toMatchObject({ kind: 'confirmed' });
    expect(network.to(PATH, 'PUT')[0]?.body).toBe(nested(512));
  });

  it('digits in a text are no number', async () => {
    const body = '{"customer":"9007199254740993","n":0.1234567890123456,"e":1e+21}';
    const { replace, network } = prepare({ get: text(body) });
    await replace({}, async (theirs) => put(theirs ?? {}));
    expect(network.to(PATH, 'PUT')[0]?.body).toBe(body);
  });

  it('a member called __proto__ is a member like any other', async () => {
    const { replace, network } = prepare({ get: text('{"__proto__":{"x":1}}') });
    await replace({}, async (theirs) => put(theirs ?? {}));
    expect(network.to(PATH, 'PUT')[0]?.body).toBe('{"__proto__":{"x":1}}');
  });

  it.each([
    [400, 'upstream-rejected'],
    [403, 'upstream-forbidden'],
    [404, 'session-ended'],
    [409, 'upstream-rejected'],
    [410, 'session-ended'],
    [307, 'upstream-bad-response'],
  ])('SCENARIO 18, 20, 23: %i ends it as %s', async (code, expected) => {
    const { replace, methods } = prepare({ get: status(code, { location: 'https://evil.test/' }) });
    expect(await replace()).toEqual({ kind: 'refused', code: expected, attempts: 1, upstreamStatus: code });
    expect(methods()).toEqual(['GET']);
  });

  it('that cannot be read leaves no outcome unknown: nothing was changed', async () => {
    const { replace } = prepare({ get: status(503) });
    expect(await replace()).toMatchObject({ kind: 'unavailable', reason: 'down', attempts: 3, outcomeUnknown: false });
  });
});

describe('Method: replaceContext, the answer to what was sent', () => {
  it.each([
    ['200 with the context', shows({ theirs: 1, ours: 1 })],
    ['200 with what the bot has made of it since', shows({ other: true })],
    ['200 with nothing', text('')],
    ['201 with the context', () => json(201, {})],
    ['204', () => new Response(null, { status: 204 })],
  ])('%s confirms it', async (_what, write) => {
    const { replace } = prepare({ put: write });
    expect(await replace()).toMatchObject({ kind: 'confirmed', result: {}, attempts: 2 });
  });

  it.each([
    ['HTML', () => html(200)],
    ['cut off JSON', text('{"theirs":1,"ou')],
    ['white space', text('\n')],
    ['an array', shows([])],
    ['null', shows(null)],
    ['202', () => json(202, {})],
  ])('SCENARIO 22: %s is not a success', async (_what, write) => {
    const { replace, methods } = prepare({ put: write });
    expect(await replace()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', attempts: 2 });
    expect(methods()).toEqual(['GET', 'PUT']);
  });

  it.each([
    [400, 'upstream-rejected'],
    [403, 'upstream-forbidden'],
    [404, 'session-ended'],
    [410, 'session-ended'],
    [413, 'upstream-rejected'],
    [428, 'upstream-rejected'],
    [308, 'upstream-bad-response'],
  ])('SCENARIO 18, 20, 23: %i ends it as %s', async (code, expected) => {
    const { replace, methods } = prepare({ put: status(code, { location: 'https://evil.test/' }) });
    expect(await replace()).toEqual({ kind: 'refused', code: expected, attempts: 2, upstreamStatus: code });
    expect(methods()).toEqual(['GET', 'PUT']);
  });

  it('SCENARIO 10: three times none leaves the outcome unknown', async () => {
    const { replace } = prepare({ put: hang });
    expect(await replace()).toMatchObject({
      kind: 'unavailable',
      reason: 'timeout',
      attempts: 4,
      outcomeUnknown: true,
    });
  });

  it('SCENARIO 18: a 401 renews the token once in a call, whichever request met it', async () => {
    const once = prepare({ put: inTurn(status(401), shows({})) });
    expect(await once.replace()).toMatchObject({ kind: 'confirmed', attempts: 3 });
    expect(once.network.to(PATH).map(({ headers }) => headers.get('authorization'))).toEqual([
      'Bearer tok-1',
      'Bearer tok-1',
      'Bearer tok-2',
    ]);

    const twice = prepare({ get: inTurn(status(401), shows({})), put: status(401) });
    expect(await twice.replace()).toMatchObject({ kind: 'refused', code: 'upstream-unauthorized', attempts: 3 });
    expect(twice.network.to(TOKEN_PATH)).toHaveLength(2);
  });
});

describe('SCENARIO 21: somebody has changed the context meanwhile', () => {
  it.each([409, 412])('%i: reads again, merges again, and puts that, under the new ETag', async (code) => {
    const { replace, network } = prepare({
      get: inTurn(shows({ turn: 1 }, '"1"'), shows({ turn: 2 }, '"2"')),
      put: inTurn(status(code), shows({})),
    });
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 4 });
    expect(network.to(PATH).map(({ method, headers, body }) => [method, headers.get('if-match'), body])).toEqual([
      ['GET', null, ''],
      ['PUT', '"1"', '{"turn":1,"ours":1}'],
      ['GET', null, ''],
      ['PUT', '"2"', '{"turn":2,"ours":1}'],
    ]);
  });

  it('the ETag of a refusal is nobody’s: without one on the read there is no If-Match', async () => {
    const { replace, network } = prepare({
      get: inTurn(shows({}, '"1"'), shows({})),
      put: inTurn(status(412, { etag: '"9"' }), shows({})),
    });
    await replace();
    expect(network.to(PATH, 'PUT').map(({ headers }) => headers.get('if-match'))).toEqual(['"1"', null]);
  });

  it('gives up after three more rounds, and names what differs from what was read last', async () => {
    let turn = 0;
    const { replace, methods } = prepare({
      get: () => {
        turn += 1;
        return json(200, { turn, same: { b: 1, a: [] }, gone: 1, constructor: 1 });
      },
      put: status(412),
    });
    const merge = async (theirs?: JsonObject) =>
      put({ turn: theirs?.['turn'] ?? 0, same: { a: [], b: 1 }, 'new/~': 1, toString: 1 });

    expect(await replace({}, merge)).toEqual({
      kind: 'refused',
      code: 'conflict',
      paths: ['/new~1~0', '/toString', '/gone', '/constructor'],
      attempts: 8,
      upstreamStatus: 412,
    });
    expect(methods().join(' ')).toBe('GET PUT GET PUT GET PUT GET PUT');
  });

  it('names a member called __proto__ like any other', async () => {
    const { replace } = prepare({ get: text('{"__proto__":{}}'), put: status(412) });
    expect(await replace({}, async () => put({}))).toMatchObject({ code: 'conflict', paths: ['/__proto__'] });
  });

  it('names all of ours when nothing differs and it is refused all the same', async () => {
    const { replace } = prepare({ get: shows({ a: 1, b: 2 }), put: status(409) });
    expect(await replace({}, async () => put({ b: 2, a: 1 }))).toMatchObject({ code: 'conflict', paths: ['/b', '/a'] });
  });

  it('answers the first conflict at once and pauses with jitter before the rounds after', async () => {
    const { replace, sentAt } = prepare({ put: status(412) });
    await replace({ priority: 'interactive' });
    const reads = sentAt.filter(([method]) => method === 'GET').map(([, afterMs]) => afterMs);
    const writes = sentAt.filter(([method]) => method === 'PUT').map(([, afterMs]) => afterMs);
    expect(reads.slice(0, 2)).toEqual([0, 0]);
    expect(reads[2]).toBeGreaterThan(writes[1] ?? Infinity);
    expect(reads[3]).toBeGreaterThan(writes[2] ?? Infinity);
  });

  it('leaves the rest for later when the deadline ends between the rounds', async () => {
    const { replace, startMs } = prepare({ put: status(412) });
    expect(await replace({ deadlineMs: startMs + 700 })).toMatchObject({ kind: 'unavailable', outcomeUnknown: false });
  });

  it('SCENARIO 10: it was us: a write that took effect without an answer is met again, and is confirmed', async () => {
    let context: JsonObject = { theirs: 1 };
    let version = 1;
    const { replace, methods } = prepare({
      get: () => json(200, context, { etag: `"${version}"` }),
      put: ({ headers, body }) => {
        if (headers.get('if-match') !== `"${version}"`) return json(412, {});
        context = JSON.parse(body);
        version += 1;
        throw failure('ECONNRESET');
      },
    });
    const merge = async (theirs?: JsonObject) => (theirs?.['ours'] === 1 ? leave(theirs) : addOurs(theirs));

    expect(await replace({}, merge)).toEqual({ kind: 'confirmed', result: {}, attempts: 4, upstreamStatus: 200 });

    expect(methods()).toEqual(['GET', 'PUT', 'PUT', 'GET']);
    expect([context, version]).toEqual([{ theirs: 1, ours: 1 }, 2]);
  });
});

describe('SCENARIO 24: what expires before it can leave', () => {
  /** `flag` until it expires, nothing of it from then on. */
  const flagUntil =
    (clock: Clock, expiresAtMs: number): ContextRequest['merge'] =>
    async () =>
      clock.now() < expiresAtMs ? put({ flag: 1 }, expiresAtMs) : put({});
  const contextsOf = (network: ScriptedFetch) => network.to(PATH, 'PUT').map(({ body }) => body);

  it('does not leave after it has waited for a permit: the context is read and merged anew', async () => {
    const { replace, takeBurst, network, clock, startMs, methods } = prepare();
    await takeBurst(4);
    const result = await replace({}, flagUntil(clock, startMs + 300));
    expect(result).toMatchObject({ kind: 'confirmed', attempts: 3 });
    expect(contextsOf(network)).toEqual(['{}']);
    expect(methods()).toEqual(['GET', 'GET', 'PUT']);
  });

  it('does not leave after it has waited for a place, nor wait there any longer', async () => {
    const { replace, port, call, network, clock, startMs, sentAt } = prepare({ inject: hang }, { maxConcurrent: 1 });
    const variables = [{ key: 'k', value: 1, scope: 'session' as const }];
    let placeTaken = false;
    const merge: ContextRequest['merge'] = async (theirs) => {
      if (!placeTaken) void port.inject({ sessionId: 'slow', variables }, call({ deadlineMs: startMs + 4_000 }));
      placeTaken = true;
      await clock.sleep(1);
      return flagUntil(clock, startMs + 2_000)(theirs);
    };
    expect(await replace({}, merge)).toMatchObject({ kind: 'confirmed', attempts: 3 });
    expect(contextsOf(network)).toEqual(['{}']);
    expect(sentAt[1]).toEqual(['GET', 4_000]);
  });

  it('is not tried again after a failure, and a Retry-After is waited for all the same', async () => {
    const { replace, network, clock, startMs, sentAt } = prepare({
      put: inTurn(status(503, { 'retry-after': '3' }), shows({})),
    });
    expect(await replace({}, flagUntil(clock, startMs + 2_000))).toMatchObject({ kind: 'confirmed', attempts: 4 });
    expect(contextsOf(network)).toEqual(['{"flag":1}', '{}']);
    expect(sentAt.slice(2).map(([, afterMs]) => afterMs)).toEqual([3_000, 3_000]);
  });

  it('SCENARIO 17: comes back from a pause of the whole tenant as spread as everybody', async () => {
    const { replace, clock, startMs, sentAt } = prepare({
      put: inTurn(status(429, { 'retry-after': '3' }), shows({})),
    });
    const result = await replace({}, flagUntil(clock, startMs + 2_000));
    expect(result).toMatchObject({ kind: 'confirmed', attempts: 4, throttled: 1 });
    expect(sentAt[2]?.[1]).toBeGreaterThan(3_000);
  });

  it('leaves as it is while it still holds', async () => {
    const { replace, takeBurst, network, clock, startMs } = prepare();
    await takeBurst(4);
    expect(await replace({}, flagUntil(clock, startMs + 700))).toMatchObject({ kind: 'confirmed', attempts: 2 });
    expect(contextsOf(network)).toEqual(['{"flag":1}']);
  });

  it('is not merged anew when the tries, not the time, have run out', async () => {
    const { replace, clock, startMs, methods } = prepare({ put: status(500) });
    expect(await replace({}, flagUntil(clock, startMs + 10_000))).toMatchObject({
      kind: 'unavailable',
      reason: 'down',
    });
    expect(methods()).toEqual(['GET', 'PUT', 'PUT', 'PUT']);
  });

  it('is given up after three more rounds', async () => {
    const { replace, clock, methods } = prepare();
    const result = await replace({}, async () => put({}, clock.now()));
    expect(result).toMatchObject({ kind: 'unavailable', reason: 'deadline', attempts: 4, outcomeUnknown: false });
    expect(methods()).toEqual(['GET', 'GET', 'GET', 'GET']);
  });

  it.each([
    ['deadline', (endMs: number) => ({ deadlineMs: endMs })],
    ['sendByMs', (endMs: number) => ({ sendByMs: endMs })],
  ])('is not merged anew when the call’s %s comes first', async (_what, endsAt) => {
    const { replace, takeBurst, clock, startMs, methods } = prepare();
    await takeBurst(4);
    expect(await replace(endsAt(startMs + 300), flagUntil(clock, startMs + 10_000))).toMatchObject({
      kind: 'unavailable',
      reason: 'budget',
      retryAtMs: startMs + 632,
    });
    expect(methods()).toEqual(['GET']);
  });
});

describe('Permits', () => {
  it('the one for the PUT is asked for while the GET is under way, and the PUT uses it', async () => {
    const takenAt: Record<string, number> = {};
    const session = prepare({
      get: async () => {
        takenAt['as the GET leaves'] = session.permitsTaken();
        await session.clock.sleep(100);
        takenAt['before the answer'] = session.permitsTaken();
        return json(200, {});
      },
    });
    expect(await session.replace()).toMatchObject({ kind: 'confirmed' });
    expect(takenAt).toEqual({ 'as the GET leaves': 1, 'before the answer': 2 });
    expect(session.permitsTaken()).toBe(2);
    expect(session.rates.calls.release).toBe(0);
  });

  it.each([
    ['there is nothing to send', { get: shows({}) }, leave],
    ['the session is over', { get: status(404) }, addOurs],
    ['merge cannot say', { get: shows({}) }, () => Promise.reject(new Error('no mirror'))],
  ])('it goes back when %s', async (_what, script, merge) => {
    const { replace, rates, permitsTaken } = prepare(script);
    await replace({}, merge).catch(() => undefined);
    await afterwards();
    expect(permitsTaken()).toBe(2);
    expect(rates.calls.release).toBe(1);
  });

  it('it is not asked for before the GET has its own, nor waited for: nobody queues behind what may not be needed', async () => {
    const { replace, takeBurst, permitsTaken, rates, clock, startMs, sentAt } = prepare();
    await takeBurst();
    const replacing = replace({}, leave);
    await clock.sleep(600);
    expect(permitsTaken()).toBe(6); // the burst, and the slot that the GET queues for
    await replacing;
    await afterwards();
    expect(sentAt).toEqual([['GET', 632]]);
    // Six slots, and not a seventh, are gone from the budget.
    expect(rates.cells.get('tenant')?.tatMs).toBeCloseTo(startMs + 6 * 631.6, -1);
  });

  it('not free at once, the PUT queues for its own', async () => {
    const { replace, takeBurst, sentAt } = prepare();
    await takeBurst(4);
    expect(await replace()).toMatchObject({ kind: 'confirmed' });
    expect(sentAt).toEqual([
      ['GET', 0],
      ['PUT', 632],
    ]);
  });

  it('lapsed while the GET took its time, it is exchanged for a fresh one', async () => {
    const session = prepare({
      get: async () => {
        await session.clock.sleep(1_000);
        return json(200, {});
      },
    });
    expect(await session.replace()).toMatchObject({ kind: 'confirmed' });
    expect(session.permitsTaken()).toBe(3);
  });

  it('it is asked for once, however often the GET is tried', async () => {
    const { replace, permitsTaken } = prepare({ get: inTurn(status(503), shows({})) });
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 3 });
    expect(permitsTaken()).toBe(3);
  });

  it('the one the caller brings is for the GET', async () => {
    const { replace, permitsTaken } = prepare();
    const { seen, answer } = countedPermit();
    expect(await replace({ firstPermit: answer })).toMatchObject({ kind: 'confirmed' });
    expect(permitsTaken()).toBe(1);
    expect(seen.released).toBe(0);
  });

  it('the one the caller brings goes back when nothing can be sent at all', async () => {
    const { replace, startMs, network } = prepare();
    const { seen, answer } = countedPermit();
    expect(await replace({ deadlineMs: startMs, firstPermit: answer })).toMatchObject({ reason: 'deadline' });
    await afterwards();
    expect([seen.released, network.requests.length]).toEqual([1, 0]);
  });

  it('each request has its own, over all rounds', async () => {
    const { replace, permitsTaken, rates } = prepare({ put: inTurn(status(412), status(503), shows({})) });
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 5 });
    expect(permitsTaken() - rates.calls.release).toBeGreaterThanOrEqual(5);
  });
});

describe('Method: prepare', () => {
  it.each([
    ['context', '/oauth/token'],
    ['inject', '/api/v2/oauth/token'],
    [undefined, '/api/v2/oauth/token'],
  ] as const)('warms the token of the surface that is wanted: %s', async (surface, path) => {
    const { port, network, startMs } = prepare();
    await port.prepare({ deadlineMs: startMs + 1_000, mayWait: false, ...(surface !== undefined && { surface }) });
    await afterwards();
    expect(network.requests.map((request) => request.path)).toEqual([path]);
  });
});

describe('Capabilities', () => {
  it('the context can be read, and has a version', () => {
    expect(prepare().port.capabilities).toMatchObject({ canRead: true, hasVersion: true, canUnset: false });
  });
});
