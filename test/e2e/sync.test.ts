import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Bridge, type BridgeOptions, one, startBridge } from '../fixtures/stack/bridge.ts';
import { buildWith } from '../fixtures/stack/build.ts';
import { expectProblem, type Json, type Reply, ULID, violations } from '../fixtures/stack/http.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

/** What the shipped schema makes of nothing. */
const DEFAULTS = {
  user_profile: { name: 'Guest', age: 0, preferences: [] },
  session_metadata: { turn_count: 0, last_intent: 'none', confidence: 0 },
};

const CRM = {
  name: 'crm',
  apiKey: 'key-of-the-crm',
  operations: ['sync', 'erase', 'inspect', 'audit'],
  keyPrefixes: ['crm_'],
};
const OTHER = { name: 'other', apiKey: 'key-of-the-other', operations: ['*'] };
const INJECTOR = { name: 'injector', apiKey: 'key-of-the-injector', operations: ['inject', 'inspect'] };
const as = ({ apiKey }: { apiKey: string }) => ({ authorization: `Bearer ${apiKey}` });

let bridge: Bridge;
let session = '';
let sessions = 0;

/** One stack for all tests of a `describe`, and a session of its own for each. */
function withBridge(options: BridgeOptions = {}): void {
  beforeAll(async () => {
    bridge = await startBridge({ clients: [CRM, OTHER, INJECTOR], ...options });
  });
  afterAll(() => bridge.close());
  beforeEach(() => {
    sessions += 1;
    session = `sess_${sessions}`;
  });
  afterEach(() => {
    vi.restoreAllMocks();
    bridge.tenant.faults.clear();
    bridge.tenant.settings.change({ latencyMs: 0 });
  });
}

const inspect = async () => (await bridge.get(`/v1/sessions/${session}`)).body;
const putsOf = () => bridge.syncs(session).filter(({ method }) => method === 'PUT');
const methods = () => bridge.syncs(session).map(({ method, status }) => `${method} ${status}`);
const sync = async (data: Json, ttl?: Json): Promise<Json> => {
  const reply = await bridge.sync(session, { data, ...(ttl !== undefined && { ttl }) });
  expect(reply.status, reply.text).toBe(200);
  return reply.body;
};
const withDefaults = (context: Json): Json => ({ ...DEFAULTS, ...context });

/** Lets the bot change its own values right after it was read: what comes next is built on what is no more. */
function afterRead(change: () => void): void {
  const { tenant } = bridge;
  const handle = tenant.handle.bind(tenant);
  let isDone = false;
  vi.spyOn(tenant, 'handle').mockImplementation((request) => {
    const outcome = handle(request);
    if (!isDone && request.method === 'GET' && request.path.startsWith('/api/v1/sessions/')) {
      isDone = true;
      change();
    }
    return outcome;
  });
}

/** Minutes that each value has left, begun ones counted whole: a slow machine makes no difference. */
const minutesLeft = async (): Promise<Record<string, number | null>> =>
  Object.fromEntries(
    (await inspect()).variables.map(({ path, ttlSecondsLeft }: Json) => [
      path,
      ttlSecondsLeft === null ? null : Math.ceil(ttlSecondsLeft / 60),
    ]),
  );

/** What must be the same before and after something that changes nothing. */
const everything = async () => {
  const { version, confirmedVersion, context, variables: timed, pendingOperations } = await inspect();
  const variables = timed.map(({ ttlSecondsLeft: _left, ...variable }: Json) => variable);
  const bot = bridge.tenant.sessions.inspect(session);
  return { version, confirmedVersion, context, variables, pendingOperations, bot, puts: putsOf().length };
};

describe('sync', () => {
  withBridge();

  it('answers the whole context and what was done, in as many bytes as the tenant received', async () => {
    const reply = await bridge.sync(session, {
      data: { user_profile: { name: 'Zoë 🚀' }, order: { id: 'A-1', items: [1, { é: null }] } },
      ttl: { '/user_profile/name': 60 },
    });
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    const context = {
      user_profile: { name: 'Zoë 🚀', age: 0, preferences: [] },
      order: { id: 'A-1', items: [1, { é: null }] },
      session_metadata: DEFAULTS.session_metadata,
    };
    expect(reply.body).toEqual({
      status: 'synced',
      sessionId: session,
      version: 1,
      visibility: 'confirmed',
      freshness: 'live',
      contextSizeBytes: expect.any(Number),
      limitBytes: 95_000,
      context,
      pruned: [],
      expired: [],
      conflicts: [],
      warnings: [],
      latencyMs: expect.any(Number),
      operationId: expect.stringMatching(ULID),
      auditId: expect.stringMatching(ULID),
    });
    const [put, ...more] = putsOf();
    expect(more).toEqual([]);
    expect(put?.body).toEqual(context);
    expect(reply.body.contextSizeBytes).toBe(put?.bodyBytes);
    expect(reply.body.contextSizeBytes).toBe(Buffer.byteLength(JSON.stringify(context)));
    expect(bridge.bot(session)).toEqual(context);
  });

  it('is in the mirror leaf by leaf, each with its own life, and in the audit trail', async () => {
    const { operationId, auditId } = await sync({ user_profile: { name: 'Ada' }, tier: 'gold' }, { '/tier': 900 });
    const { version, context, variables, sizeBytes, schemaValid } = await inspect();
    expect({ version, context, schemaValid }).toEqual({
      version: 1,
      context: { ...DEFAULTS, user_profile: { ...DEFAULTS.user_profile, name: 'Ada' }, tier: 'gold' },
      schemaValid: true,
    });
    expect(sizeBytes).toBe(putsOf()[0]?.bodyBytes);
    const byPath = Object.fromEntries(variables.map((variable: Json) => [variable.path, variable]));
    expect(Object.keys(byPath).sort()).toEqual([
      '/session_metadata/confidence',
      '/session_metadata/last_intent',
      '/session_metadata/turn_count',
      '/tier',
      '/user_profile/age',
      '/user_profile/name',
      '/user_profile/preferences',
    ]);
    expect(byPath['/tier']).toMatchObject({ scope: 'session', source: 'local', version: 1 });
    expect(byPath['/user_profile/name']).toMatchObject({ source: 'local' });
    expect(byPath['/user_profile/age']).toMatchObject({ source: 'schema', expiresAt: null, ttlSecondsLeft: null });
    expect(await minutesLeft()).toMatchObject({ '/tier': 15, '/user_profile/name': 5 });

    const { entries, chain } = await bridge.audit(session);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      operationId,
      auditId,
      operation: 'sync',
      client: 'local',
      outcome: 'confirmed',
      versionBefore: 0,
      versionAfter: 1,
      attempts: 2,
      upstreamStatus: 200,
    });
    const changes = Object.fromEntries(entries[0].changes.map((change: Json) => [change.path, change]));
    expect(changes['/tier']).toEqual({
      path: '/tier',
      scope: 'session',
      before: null,
      after: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(changes['/user_profile/age']).toMatchObject({ cause: 'default', before: null });
    expect(JSON.stringify(entries)).not.toMatch(/Ada|gold/);
  });

  it('merges objects, deletes with null, and replaces everything else, arrays too (RFC 7396)', async () => {
    await sync({ a: { b: 1, c: { d: 2 } }, list: [1, 2, { x: 1 }], gone: { deep: 1 }, text: 'one' });
    const { context } = await sync({
      a: { b: null, c: { e: 3 }, absent: null },
      list: [3],
      gone: null,
      text: { now: 'an object' },
      empty: {},
    });
    expect(context).toEqual(
      withDefaults({ a: { c: { d: 2, e: 3 } }, list: [3], text: { now: 'an object' }, empty: {} }),
    );
    expect(bridge.bot(session)).toEqual(context);
    expect((await inspect()).context).toEqual(context);
  });

  it('keeps what the bot has and nobody here has ever spoken of', async () => {
    bridge.tenant.sessions.create({
      sessionId: session,
      variables: [
        { key: 'bots_own', value: { turn: 1 }, scope: 'bot' },
        { key: 'of_the_user', value: 'x', scope: 'user' },
      ],
    });
    const { context } = await sync({ mine: 1 });
    expect(context).toEqual(withDefaults({ bots_own: { turn: 1 }, of_the_user: 'x', mine: 1 }));
    expect(bridge.tenant.sessions.inspect(session)?.variables).toEqual(
      expect.arrayContaining([
        { key: 'bots_own', value: { turn: 1 }, scope: 'bot', expiresAt: null },
        { key: 'of_the_user', value: 'x', scope: 'user', expiresAt: null },
      ]),
    );
    const own = (await inspect()).variables.find(({ path }: Json) => path === '/bots_own/turn');
    expect(own).toMatchObject({ source: 'bot', expiresAt: null });
  });

  it('does not write what the bot has already, and is confirmed all the same', async () => {
    await sync({ a: 1 });
    const again = await sync({ a: 1 });
    expect(again).toMatchObject({ status: 'synced', version: 2, context: withDefaults({ a: 1 }) });
    expect(again.contextSizeBytes).toBe(putsOf()[0]?.bodyBytes);
    expect(methods()).toEqual(['GET 200', 'PUT 200', 'GET 200']);
  });

  it('an empty patch only brings the mirror up to date with the bot', async () => {
    await sync({ a: 1 });
    bridge.tenant.sessions.changeAsBot(session, { variables: [{ key: 'turn', value: 2 }] });
    expect((await sync({})).context).toEqual(withDefaults({ a: 1, turn: 2 }));
    expect((await inspect()).context).toEqual(withDefaults({ a: 1, turn: 2 }));
    expect(putsOf()).toHaveLength(1);
  });

  it('works on what was injected, and lets its scope and expiry alone', async () => {
    await bridge.inject(session, {
      variables: [
        { key: 'tier', value: 'gold', scope: 'user', ttlSeconds: 600 },
        { key: 'case', value: { id: 1, open: true } },
      ],
    });
    const { context } = await sync({ case: { open: false } });
    expect(context).toEqual(withDefaults({ tier: 'gold', case: { id: 1, open: false } }));
    const tier = (await inspect()).variables.find(({ path }: Json) => path === '/tier');
    expect(tier).toMatchObject({ scope: 'user', version: 1 });
    expect((await minutesLeft())['/tier']).toBe(10);
    expect((await bridge.inject(session, one('tier', 'silver', { scope: 'user' }))).status).toBe(200);
    expect(bridge.bot(session)).toMatchObject({ tier: 'silver', case: { id: 1, open: false } });
  });

  it('SCENARIO 33: strings that look like numbers stay strings on every path', async () => {
    const texts = { a: '007', b: '+491701234567', c: '1_000', d: 'NaN', e: '1e3', f: ' 5', g: 'true', h: '{"x":1}' };
    const { context } = await sync({ texts });
    expect(context.texts).toEqual(texts);
    expect(bridge.bot(session).texts).toEqual(texts);
    expect((await inspect()).context.texts).toEqual(texts);
    const numbers = { a: 0.1, b: 1.5e-9, c: 9_007_199_254_740_992, d: -1 };
    expect((await sync({ numbers })).context.numbers).toEqual(numbers);
    expect(bridge.bot(session).numbers).toEqual(numbers);
  });

  it('keeps internal members to itself, at every depth', async () => {
    const { context } = await sync({ __top: 1, a: { __in: { x: 1 }, b: 2 }, list: [{ __item: 1, c: 3 }] });
    const visible = withDefaults({ a: { b: 2 }, list: [{ c: 3 }] });
    expect(context).toEqual(visible);
    expect(JSON.stringify(putsOf())).not.toContain('__');
    const found = await inspect();
    expect(found.context).toEqual(visible);
    expect(found.variables.map(({ path }: Json) => path)).toEqual(expect.arrayContaining(['/__top', '/a/__in/x']));
  });
});

describe('what the bot has done meanwhile', () => {
  withBridge();

  it('SCENARIO 5: is kept where only the bot has changed it', async () => {
    await sync({ profile: { tier: 'gold', phone: '1' }, list: [1] });
    bridge.tenant.sessions.changeAsBot(session, {
      variables: [
        { key: 'profile', value: { tier: 'gold', phone: '2', mood: 'good' } },
        { key: 'list', value: [1, 2] },
      ],
    });
    const body = await sync({ profile: { tier: 'platinum' } });
    expect(body.conflicts).toEqual([]);
    expect(body.context).toEqual(
      withDefaults({ profile: { tier: 'platinum', phone: '2', mood: 'good' }, list: [1, 2] }),
    );
    expect(bridge.bot(session)).toEqual(body.context);
    const byPath = new Map((await inspect()).variables.map((variable: Json) => [variable.path, variable]));
    expect(byPath.get('/profile/mood')).toMatchObject({ source: 'bot' });
    expect(byPath.get('/profile/tier')).toMatchObject({ source: 'local', version: 2 });
  });

  it('SCENARIO 5: is reported where both have changed it, with base, ours and theirs; ours is chosen', async () => {
    await sync({ tier: 'silver', phone: '1', address: { city: 'Ulm' } });
    bridge.tenant.sessions.changeAsBot(session, {
      variables: [
        { key: 'tier', value: 'bronze' },
        { key: 'phone', value: '2' },
      ],
      remove: [{ key: 'address' }],
    });
    const { conflicts, context } = await sync({ tier: 'gold', phone: '2', address: { city: 'Bonn' }, fresh: 1 });
    expect(conflicts).toEqual([
      { path: '/tier', base: 'silver', ours: 'gold', theirs: 'bronze', chosen: 'ours' },
      { path: '/address', base: { city: 'Ulm' }, ours: { city: 'Bonn' }, chosen: 'ours' },
    ]);
    expect(context).toEqual(withDefaults({ tier: 'gold', phone: '2', address: { city: 'Bonn' }, fresh: 1 }));
    expect(bridge.bot(session)).toEqual(context);
  });

  it('SCENARIO 5: a deletion against a change is a conflict too', async () => {
    await sync({ tier: 'silver' });
    bridge.tenant.sessions.changeAsBot(session, { variables: [{ key: 'tier', value: 'bronze' }] });
    const { conflicts, context } = await sync({ tier: null });
    expect(conflicts).toEqual([{ path: '/tier', base: 'silver', theirs: 'bronze', chosen: 'ours' }]);
    expect(context).toEqual(DEFAULTS);
    expect(bridge.bot(session)).toEqual(DEFAULTS);
  });

  it('SCENARIOS 4, 21: between our read and our write, it is read and merged again', async () => {
    await sync({ a: 1 });
    afterRead(() => bridge.tenant.sessions.changeAsBot(session, { variables: [{ key: 'turn', value: 7 }] }));
    const { context, conflicts } = await sync({ a: 2 });
    expect(context).toEqual(withDefaults({ a: 2, turn: 7 }));
    expect(conflicts).toEqual([]);
    expect(bridge.bot(session)).toEqual(context);
    expect(methods().slice(2)).toEqual(['GET 200', 'PUT 412', 'GET 200', 'PUT 200']);
  });

  it.each([409, 412])(
    'SCENARIO 21: always %i is 409 conflict with the paths, bounded, and no change',
    async (status) => {
      await sync({ a: 1 });
      const before = await everything();
      bridge.tenant.faults.add({ match: { surface: 'sync', method: 'PUT' }, times: 0, action: { status } });
      const reply = await bridge.sync(session, { data: { a: 'ours', b: { c: 1 } } });
      expect(expectProblem(reply, 409, 'conflict').map(({ pointer }) => pointer)).toEqual(['/a', '/b']);
      expect(reply.body.retryable).toBe(true);
      expect(reply.text).not.toContain('ours');
      expect(putsOf().length).toBeLessThanOrEqual(6);
      const { puts: _puts, ...after } = await everything();
      expect({ ...after, puts: 1 }).toEqual(before);
      expect((await bridge.audit(session)).entries[0]).toMatchObject({ outcome: 'refused', code: 'conflict' });
      bridge.tenant.faults.clear();
      expect((await sync({ a: 2 })).version).toBe(3);
    },
  );

  it('SCENARIO 20: a session that has ended is 410, and so is its mirror from now on', async () => {
    await sync({ a: 1 });
    bridge.tenant.sessions.end(session);
    expectProblem(await bridge.sync(session, { data: { a: 2 } }), 410, 'session-ended');
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 410, 'session-ended');
    expectProblem(await bridge.get(`/v1/sessions/${session}?version=1`), 410, 'session-ended');
    expectProblem(await bridge.get(`/v1/sessions/${session}/diff?from=0&to=1`), 410, 'session-ended');
    expect((await bridge.audit(session)).entries[0]).toMatchObject({
      operation: 'sync',
      outcome: 'refused',
      code: 'session-ended',
      upstreamStatus: 404,
    });
  });

  it.each([
    ['GET', 'html'],
    ['GET', 'truncated'],
    ['GET', 'wrong-shape'],
    ['GET', 'empty'],
    ['PUT', 'html'],
    ['PUT', 'truncated'],
    ['PUT', 'wrong-shape'],
  ] as const)('SCENARIO 22: %s answered 200 with a body that is %s is no success', async (method, malformed) => {
    bridge.tenant.faults.add({ match: { surface: 'sync', method }, action: { malformed } });
    expectProblem(await bridge.sync(session, { data: { a: 1 } }), 502, 'upstream-bad-response');
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
    expect((await sync({ a: 1 })).context).toEqual(withDefaults({ a: 1 }));
  });

  it('an answer without a body is a success: there is nothing in it that we need', async () => {
    bridge.tenant.faults.add({
      match: { surface: 'sync', method: 'PUT' },
      action: { status: 204, applied: true },
    });
    expect((await sync({ a: 1 })).context).toEqual(withDefaults({ a: 1 }));
  });

  it.each([
    [403, 'upstream-forbidden'],
    [401, 'upstream-unauthorized'],
    [400, 'upstream-rejected'],
    [413, 'upstream-rejected'],
  ] as const)('%i from the upstream is 502 %s, and nothing of it is told', async (status, code) => {
    bridge.tenant.faults.add({
      match: { surface: 'sync', method: 'PUT' },
      times: 0,
      action: { status, body: { secret: 'upstream body' } },
    });
    const reply = await bridge.sync(session, { data: { a: 1 } });
    expectProblem(reply, 502, code);
    expect(reply.text).not.toContain('upstream body');
    expect(putsOf().length).toBeLessThanOrEqual(2);
  });
});

describe('what is wrong', () => {
  withBridge();

  it('SCENARIO 35: in the request is told all at once, each with its pointer, and changes nothing', async () => {
    await sync({ a: 1 });
    const before = await everything();
    const reply = await bridge.sync(
      session,
      '{"data":{"x":{"__proto__":{"polluted":1}},"big":9007199254740993},"ttl":{"/a":0,"b":60,"/c":1795251600000},"mode":1}',
    );
    expect(violations(expectProblem(reply, 422, 'validation-failed'))).toEqual([
      '/data/big number-not-exact',
      '/data/x/__proto__ prototype-name',
      '/mode unknown-member',
      '/ttl/b invalid-key',
      '/ttl/~1a too-small',
      '/ttl/~1c too-big',
    ]);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    expect(await everything()).toEqual(before);
    expect((await bridge.audit(session)).entries[0]).toMatchObject({
      operation: 'sync',
      outcome: 'refused',
      code: 'validation-failed',
      client: 'local',
      pointers: expect.arrayContaining(['/mode', '/ttl/~1a']),
    });
  });

  it('SCENARIOS 35, 44: in the context that it would make is told all at once, without its values', async () => {
    await sync({ a: 1 });
    const before = await everything();
    const reply = await bridge.sync(session, {
      data: {
        user_profile: { name: 7, age: -1, 'ada@example.org': true, preferences: ['x', 2] },
        session_metadata: { confidence: 2, last_intent: ['ada@example.org'] },
        a: 2,
      },
    });
    const errors = expectProblem(reply, 422, 'validation-failed');
    expect(errors.map(({ pointer }) => pointer).sort()).toEqual([
      '/session_metadata/confidence',
      '/session_metadata/last_intent',
      '/user_profile/ada@example.org',
      '/user_profile/age',
      '/user_profile/name',
      '/user_profile/preferences/1',
    ]);
    for (const { message } of errors) expect(message).not.toContain('ada@');
    expect(await everything()).toEqual(before);
    expect((await bridge.audit(session)).entries[0]).toMatchObject({ outcome: 'refused', code: 'validation-failed' });
  });

  it('is not held against a sync where it was so before, but said', async () => {
    bridge.tenant.sessions.create({
      sessionId: session,
      variables: [{ key: 'user_profile', value: { name: 'Ada', age: -1, preferences: [] } }],
    });
    const { warnings, context } = await sync({ a: 1 });
    expect(context.user_profile.age).toBe(-1);
    expect(warnings).toEqual([
      { code: 'schema-violation', pointer: '/user_profile/age', message: expect.stringContaining('before this sync') },
    ]);
    expect((await sync({ user_profile: { age: 36 } })).warnings).toEqual([]);
  });

  it.each([
    ['{"data":{"a":1,"a":2}}', 400, 'duplicate-json-key'],
    ['{"data":{', 400, 'malformed-json'],
    ['', 400, 'malformed-json'],
    ['{}', 422, 'validation-failed'],
    ['{"data":"text"}', 422, 'validation-failed'],
    ['[]', 422, 'validation-failed'],
  ])('%s is %i %s', async (text, status, code) => {
    expectProblem(await bridge.sync(session, text), status, code);
    expect(bridge.syncs(session)).toEqual([]);
  });

  it('another media type is 415, and a body of more than 2 MiB is 413', async () => {
    expectProblem(await bridge.sync(session, '{}', { 'content-type': 'text/plain' }), 415, 'unsupported-media-type');
    const tooLarge = { data: { a: 'x'.repeat(2 * 1024 * 1024) } };
    expectProblem(await bridge.sync(session, tooLarge), 413, 'payload-too-large');
  });

  it.each(['__proto__', 'constructor', 'prototype'])('SCENARIO 31: %s at any depth is refused', async (name) => {
    for (const data of [`{"${name}":1}`, `{"a":{"b":[{"${name}":{}}]}}`]) {
      expectProblem(await bridge.sync(session, `{"data":${data}}`), 422, 'validation-failed');
    }
    expect(bridge.syncs(session)).toEqual([]);
  });

  it('SCENARIO 34: 32 levels are fine, 33 are not, and thousands overflow nothing', async () => {
    const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
    const deep = await bridge.sync(session, `{"data":${nested(32)}}`);
    expect(deep.status).toBe(200);
    expect(JSON.stringify(deep.body.context)).toContain(nested(32).slice(1, -1));
    expect(JSON.stringify((await inspect()).context)).toContain(nested(32).slice(1, -1));
    for (const levels of [33, 34, 5_000, 150_000]) {
      const reply = await bridge.sync(session, `{"data":${nested(levels)}}`);
      expect(expectProblem(reply, 422, 'validation-failed').map(({ pointer }) => pointer)).toContain('/data');
    }
    expect((await inspect()).version).toBe(1);
  });
});

describe('who may', () => {
  withBridge();

  it('SCENARIO 36: needs the grant `sync`, and is audited where it has none', async () => {
    expectProblem(await bridge.sync(session, { data: { a: 1 } }, as(INJECTOR)), 403, 'forbidden');
    expect(bridge.syncs(session)).toEqual([]);
    expect((await bridge.audit(session)).entries).toMatchObject([
      { operation: 'sync', outcome: 'refused', client: 'injector', code: 'forbidden' },
    ]);
    expectProblem(await bridge.inject(session, one('crm_a', 1), as(CRM)), 403, 'forbidden');
  });

  it('SCENARIO 36: a client with prefixes stays within them: to write, to delete, and to set a ttl', async () => {
    await sync({ other: { x: 1 }, crm_a: 1 }, { '/other': 600 });
    const before = await everything();
    for (const [body, places] of [
      [{ data: { other: { x: 2 }, crm_b: 1 } }, ['/data/other outside-grant']],
      [{ data: { other: null } }, ['/data/other outside-grant']],
      [
        { data: { crm_b: 1 }, ttl: { '/other/x': 5, '': 5, '/crm_b': 5 } },
        ['/ttl/ outside-grant', '/ttl/~1other~1x outside-grant'],
      ],
    ] as const) {
      const reply = await bridge.sync(session, body, as(CRM));
      expect(violations(expectProblem(reply, 403, 'forbidden'))).toEqual(places);
    }
    expect(await everything()).toEqual(before);

    const within = await bridge.sync(
      session,
      { data: { crm_a: null, crm_b: { y: 1 } }, ttl: { '/crm_b/y': 5 } },
      as(CRM),
    );
    expect(within.body.context).toEqual(withDefaults({ other: { x: 1 }, crm_b: { y: 1 } }));
  });
});

describe('the same Idempotency-Key', () => {
  withBridge();
  const key = { 'idempotency-key': 'key-1' };

  it('SCENARIO 12: gets the same answer, also later and after other operations; the bot is not asked again', async () => {
    const body = { data: { a: { x: 1 } }, ttl: { '/a': 7_200 } };
    const first = await bridge.sync(session, body, key);
    await sync({ b: 2 }, { '/b': 7_200 });
    travel(3_000_000);
    const requests = bridge.syncs(session).length;
    const again = await bridge.sync(session, ` {"ttl":{"/a":7200.0}, "data":{"a":{"x":1.0}} }`, key);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(first.body);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(bridge.syncs(session)).toHaveLength(requests);
  });

  it('SCENARIO 12: what has expired since is not told again', async () => {
    const body = { data: { short: 1, long: 2 }, ttl: { '/short': 5, '/long': 900 } };
    const first = await bridge.sync(session, body, key);
    expect(first.body.context).toEqual(withDefaults({ short: 1, long: 2 }));
    travel(6_000);
    const again = await bridge.sync(session, body, key);
    expect(again.body).toEqual({ ...first.body, context: withDefaults({ long: 2 }) });
  });

  it('SCENARIO 12: is 422 with another body, and for another operation', async () => {
    await bridge.sync(session, { data: { a: 1 } }, key);
    for (const body of [{ data: { a: 2 } }, { data: { a: 1, b: null } }, { data: { a: 1 }, ttl: { '/a': 5 } }]) {
      expectProblem(await bridge.sync(session, body, key), 422, 'idempotency-mismatch');
    }
    expectProblem(await bridge.inject(session, one('a', 1), key), 422, 'idempotency-mismatch');
    expect((await inspect()).version).toBe(1);
  });

  it('SCENARIO 12: is another key from another client', async () => {
    await bridge.sync(session, { data: { a: 1 } }, key);
    const theirs = await bridge.sync(session, { data: { a: 2 } }, { ...key, ...as(OTHER) });
    expect(theirs.body).toMatchObject({ version: 2, context: { a: 2 } });
  });

  it('SCENARIO 12: while the first is running, repeats join it', async () => {
    bridge.tenant.settings.change({ latencyMs: 300 });
    const first = bridge.sync(session, { data: { a: 1 } }, key);
    await eventually(() => bridge.syncs(session).length > 0, { everyMs: 5 });
    const repeats = Array.from({ length: 3 }, () => bridge.sync(session, { data: { a: 1 } }, key));
    const { status, body } = await first;
    expect(status).toBe(200);
    for (const repeat of await Promise.all(repeats)) {
      expect(repeat.body).toEqual(body);
      expect(repeat.headers['idempotency-replayed']).toBe('true');
    }
    expect(putsOf()).toHaveLength(1);
  });

  it('SCENARIO 12: may be used again after what has had no effect', async () => {
    bridge.tenant.faults.add({ match: { surface: 'sync', method: 'GET' }, action: { status: 403 } });
    expectProblem(await bridge.sync(session, { data: { a: 1 } }, key), 502, 'upstream-forbidden');
    const again = await bridge.sync(session, { data: { a: 1 } }, key);
    expect(again.status).toBe(200);
    expect(again.headers).not.toHaveProperty('idempotency-replayed');
  });

  it('SCENARIO 12: a refusal is an answer too', async () => {
    const body = { data: { user_profile: { age: -1 } } };
    const first = await bridge.sync(session, body, key);
    const again = await bridge.sync(session, body, key);
    for (const reply of [first, again]) {
      expect(violations(expectProblem(reply, 422, 'validation-failed'))).toEqual(['/user_profile/age minimum']);
    }
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect((await bridge.audit(session)).entries).toHaveLength(1);
  });
});

describe('many at once', () => {
  withBridge({ tenant: { latencyMs: 20 } });

  it('SCENARIO 1: two syncs from two connections at the same instant lose nothing', async () => {
    const replies = await Promise.all([
      bridge.sync(session, { data: { shared: { a: 1 }, left: 1 } }),
      bridge.sync(session, { data: { shared: { b: 2 }, right: 2 } }),
    ]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200]);
    expect(replies.map(({ body }) => body.version).sort()).toEqual([1, 2]);
    const both = withDefaults({ shared: { a: 1, b: 2 }, left: 1, right: 2 });
    expect(bridge.bot(session)).toEqual(both);
    const found = await inspect();
    expect(found).toMatchObject({ version: 2, confirmedVersion: 2, pendingOperations: 0 });
    expect(found.context).toEqual(both);
    const { entries, chain } = await bridge.audit(session);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries.map(({ outcome, versionAfter }: Json) => `${outcome} ${versionAfter}`)).toEqual([
      'confirmed 2',
      'confirmed 1',
    ]);
  });

  it('SCENARIO 1: a sync and an inject at the same instant lose nothing either', async () => {
    const [synced, injected] = await Promise.all([
      bridge.sync(session, { data: { a: { x: 1 } } }),
      bridge.inject(session, one('b', 2)),
    ]);
    expect([synced.status, injected.status]).toEqual([200, 200]);
    const both = withDefaults({ a: { x: 1 }, b: 2 });
    expect(bridge.bot(session)).toEqual(both);
    expect((await inspect()).context).toEqual(both);
  });

  it('SCENARIO 2: of two syncs of one leaf the later commit wins, and both are in the audit trail', async () => {
    const replies = await Promise.all(
      ['first', 'second', 'third'].map((value) => bridge.sync(session, { data: { a: { leaf: value } } })),
    );
    const inOrder = replies
      .map(({ body }, index) => ({ version: body.version, value: ['first', 'second', 'third'][index] }))
      .sort((x, y) => x.version - y.version);
    expect(inOrder.map(({ version }) => version)).toEqual([1, 2, 3]);
    expect(bridge.bot(session).a.leaf).toBe(inOrder.at(-1)?.value);
    expect((await inspect()).context.a.leaf).toBe(inOrder.at(-1)?.value);
    const { entries } = await bridge.audit(session);
    const hashes = entries
      .reverse()
      .map(({ changes }: Json) => changes.find(({ path }: Json) => path === '/a/leaf'))
      .map(({ before, after }: Json) => [before, after]);
    expect(new Set(hashes.map(([, after]: Json) => after)).size).toBe(3);
    expect(hashes.map(([before]: Json) => before)).toEqual([null, hashes[0][1], hashes[1][1]]);
  });

  it('SCENARIO 3: two dozen writers of both kinds on one session are all served, in a few requests', async () => {
    const replies = await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        index % 3 === 0
          ? bridge.inject(session, one(`k${index}`, index))
          : bridge.sync(session, { data: { all: { [`k${index}`]: index } } }),
      ),
    );
    for (const reply of replies) {
      if (reply.status === 429) expectProblem(reply, 429, 'session-busy');
      else expect([200, 202]).toContain(reply.status);
    }
    travel(60_000);
    await bridge.stack.tick();
    const taken = replies.map(({ status }, index) => ({ status, index })).filter(({ status }) => status !== 429);
    const context = bridge.bot(session);
    for (const { index } of taken) {
      expect(index % 3 === 0 ? context[`k${index}`] : context.all[`k${index}`], `${index}`).toBe(index);
    }
    expect((await inspect()).context).toEqual(context);
    expect(bridge.syncs(session).length + bridge.requests(session).length).toBeLessThan(24);
    expect((await bridge.audit(session, '?limit=500')).chain.valid).toBe(true);
  });

  it('SCENARIO 7: the schedule beside writing clients keeps to the same rules', async () => {
    bridge.tenant.faults.add({ match: { surface: 'sync', sessionId: session }, times: 3, action: { status: 503 } });
    const pending = await bridge.sync(session, { data: { n: { first: 1 } } });
    expect(pending.status).toBe(202);
    travel(20_000);
    const [, ...replies] = await Promise.all([
      bridge.stack.tick(),
      bridge.sync(session, { data: { n: { second: 2 } } }),
      bridge.inject(session, one('third', 3)),
      bridge.stack.tick(),
    ]);
    travel(60_000);
    await bridge.stack.tick();
    expect(replies.slice(0, 2).map((reply) => (reply as Reply).status)).toEqual([200, 200]);
    const all = withDefaults({ n: { first: 1, second: 2 }, third: 3 });
    expect(bridge.bot(session)).toEqual(all);
    const found = await inspect();
    expect(found).toMatchObject({ version: 3, confirmedVersion: 3, pendingOperations: 0 });
    expect(found.context).toEqual(all);
    const { entries, chain } = await bridge.audit(session);
    expect(chain.valid).toBe(true);
    const confirmed = entries.filter(({ outcome }: Json) => outcome === 'confirmed');
    expect(confirmed.map(({ versionAfter }: Json) => versionAfter)).toEqual([3, 2, 1]);
  });

  it('SCENARIO 47: who reads during a write sees one whole version', async () => {
    await sync({ pair: { a: 1, b: 1 } });
    bridge.tenant.settings.change({ latencyMs: 200 });
    const writing = bridge.sync(session, { data: { pair: { a: 2, b: 2 } } });
    await eventually(() => bridge.syncs(session).length > 2, { everyMs: 5 });
    const during = await inspect();
    expect(during.context.pair.a).toBe(during.context.pair.b);
    expect(during.version - during.confirmedVersion).toBe(during.pendingOperations);
    await writing;
    expect((await inspect()).context.pair).toEqual({ a: 2, b: 2 });
  });
});

describe('size', () => {
  withBridge();

  it('SCENARIO 29: what was 94 kB and gets 10 kB more loses what was updated longest ago, and says so', async () => {
    for (let leaf = 0; leaf < 10; leaf += 1) {
      await sync({ log: { [`l${leaf}`]: 'é'.repeat(4_680) } });
      travel(1);
    }
    const full = await sync({ log: { l0: 'é'.repeat(4_680) } });
    expect(full.contextSizeBytes).toBeGreaterThan(93_000);
    expect(full.warnings).toMatchObject([
      { code: 'context-nearly-full', message: expect.stringContaining('of 95000') },
    ]);

    const { pruned, context, contextSizeBytes, warnings } = await sync({ more: 'x'.repeat(10_000) });
    expect(pruned.map(({ path, reason }: Json) => [path, reason])).toEqual([
      // Goes first by the schema's word, but that alone makes no room: it is empty.
      ['/log/l1', 'least-recently-updated'],
    ]);
    expect(pruned[0].bytes).toBe(full.contextSizeBytes + '"more":"",'.length + 10_000 - contextSizeBytes);
    expect(Object.keys(context.log)).toEqual(['l0', 'l2', 'l3', 'l4', 'l5', 'l6', 'l7', 'l8', 'l9']);
    expect(contextSizeBytes).toBeLessThanOrEqual(95_000);
    expect(contextSizeBytes).toBe(putsOf().at(-1)?.bodyBytes);
    expect(warnings).toMatchObject([{ code: 'context-nearly-full' }]);
    expect(bridge.bot(session)).toEqual(context);
    expect((await inspect()).context).toEqual(context);
    const [entry] = (await bridge.audit(session)).entries;
    expect(entry.changes).toContainEqual({
      path: '/log/l1',
      scope: 'session',
      before: expect.stringMatching(/^[0-9a-f]{64}$/),
      after: null,
      cause: 'pruned',
    });
  });
});

describe('size of up to 1 MiB', () => {
  withBridge({ settings: { CONTEXT_MAX_BYTES: '1048576' } });

  it('SCENARIO 30: values that do not compress come back byte for byte', async () => {
    // A xorshift generator: the same bytes at every run.
    let state = 88_172_645n;
    const noise = (bytes: number) =>
      Buffer.from(
        Array.from({ length: bytes }, () => {
          state ^= (state << 13n) & 0xffff_ffff_ffff_ffffn;
          state ^= state >> 7n;
          state ^= (state << 17n) & 0xffff_ffff_ffff_ffffn;
          return Number(state & 0xffn);
        }),
      ).toString('base64');
    const data = { one: noise(500_000), some: Array.from({ length: 20 }, () => noise(10_000)) };
    const { context } = await sync(data);
    expect(context).toEqual(withDefaults(data));
    expect(bridge.bot(session)).toEqual(context);
    expect((await inspect()).context).toEqual(context);
    expect((await bridge.get(`/v1/sessions/${session}?version=1`)).body.context).toEqual(context);
  });
});

describe("a tenant's own schema", () => {
  const LIMIT = 2_000;
  let built: Awaited<ReturnType<typeof buildWith>>;
  const options: { dist?: string } & BridgeOptions = { settings: { CONTEXT_MAX_BYTES: String(LIMIT) } };
  beforeAll(async () => {
    built = await buildWith({
      type: 'object',
      properties: {
        pinned: { 'x-pinned': true },
        account: { type: 'object', required: ['id'], properties: { id: { type: 'string' } } },
        low: { 'x-priority': 0 },
        high: { 'x-priority': 9 },
        tier: { 'x-conflict': 'theirs' },
        otp: { 'x-ttlSeconds': 120 },
      },
    });
    Object.assign(options, { dist: built.dist });
  });
  afterAll(() => built.remove());
  withBridge(options);

  /** Text that makes `{"pinned":"…"}` exactly as many bytes, with characters of one to four of them. */
  const filling = (bytes: number) => {
    const left = bytes - '{"pinned":""}'.length;
    return 'é€🚀x'.repeat(Math.floor(left / 10)) + 'x'.repeat(left % 10);
  };

  it('SCENARIO 28: exactly at the limit is accepted; one byte over is 413, and nothing has changed', async () => {
    const exact = await sync({ pinned: filling(LIMIT) });
    expect(exact).toMatchObject({ contextSizeBytes: LIMIT, limitBytes: LIMIT, pruned: [] });
    expect(putsOf()[0]?.bodyBytes).toBe(LIMIT);

    const before = await everything();
    const reply = await bridge.sync(session, { data: { pinned: filling(LIMIT + 1) } });
    expectProblem(reply, 413, 'context-too-large');
    expect(reply.body.detail).toContain(String(LIMIT + 1));
    expect(await everything()).toEqual(before);
    expect((await bridge.audit(session)).entries[0]).toMatchObject({
      operation: 'sync',
      outcome: 'refused',
      code: 'context-too-large',
    });
    // Who says it again with the same key is told the same.
    const key = { 'idempotency-key': 'key-1' };
    const replies = [];
    for (let repeat = 0; repeat < 2; repeat += 1) {
      replies.push(await bridge.sync(session, { data: { pinned: filling(LIMIT + 1) } }, key));
    }
    for (const each of replies) expectProblem(each, 413, 'context-too-large');
    expect(replies[1]?.headers['idempotency-replayed']).toBe('true');
    expect(await everything()).toEqual(before);
  });

  it('SCENARIO 28: a session that has never been written to is as unknown after a 413 as before', async () => {
    expectProblem(await bridge.sync(session, { data: { pinned: filling(LIMIT + 1) } }), 413, 'context-too-large');
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
    expect(bridge.bot(session)).toEqual({});
    expect((await sync({ pinned: 'fits' })).context).toEqual({ pinned: 'fits' });
  });

  it('SCENARIO 29: prunes by priority, then by age; what is pinned or required never goes', async () => {
    await sync({ old: 'o'.repeat(300) });
    travel(10);
    await sync({ high: 'h'.repeat(300), low: 'l'.repeat(300), account: { id: 'i'.repeat(300) }, new: 'n'.repeat(300) });
    travel(10);
    const { pruned, context, contextSizeBytes } = await sync({ pinned: filling(1_300) });
    expect(pruned).toEqual([
      { path: '/low', bytes: 309, reason: 'priority' },
      { path: '/old', bytes: 309, reason: 'least-recently-updated' },
      { path: '/new', bytes: 309, reason: 'least-recently-updated' },
    ]);
    expect(Object.keys(context).sort()).toEqual(['account', 'high', 'pinned']);
    expect(contextSizeBytes).toBe(putsOf().at(-1)?.bodyBytes);
    expect(contextSizeBytes).toBeLessThanOrEqual(LIMIT);
    expect(bridge.bot(session)).toEqual(context);

    const before = await everything();
    expectProblem(await bridge.sync(session, { data: { pinned: filling(LIMIT - 100) } }), 413, 'context-too-large');
    expect(await everything()).toEqual(before);
  });

  it('warns from 80 % on, to the byte', async () => {
    expect((await sync({ pinned: filling(LIMIT * 0.8 - 1) })).warnings).toEqual([]);
    expect((await sync({ pinned: filling(LIMIT * 0.8) })).warnings).toEqual([
      { code: 'context-nearly-full', message: expect.stringContaining(`${LIMIT * 0.8} of ${LIMIT}`) },
    ]);
  });

  it('SCENARIO 5: where it says `theirs`, the bot wins a conflict', async () => {
    await sync({ tier: 'silver' });
    bridge.tenant.sessions.changeAsBot(session, { variables: [{ key: 'tier', value: 'bronze' }] });
    const { conflicts, context } = await sync({ tier: 'gold' });
    expect(conflicts).toEqual([{ path: '/tier', base: 'silver', ours: 'gold', theirs: 'bronze', chosen: 'theirs' }]);
    expect(context).toEqual({ tier: 'bronze' });
    expect(bridge.bot(session)).toEqual({ tier: 'bronze' });
    expect((await inspect()).context).toEqual({ tier: 'bronze' });
  });

  it('says how long a value lives, where the request does not', async () => {
    await sync({ otp: '1234', free: 1 });
    expect(await minutesLeft()).toEqual({ '/otp': 2, '/free': 5 });
    await sync({ otp: '1234' }, { '/otp': 600 });
    expect((await minutesLeft())['/otp']).toBe(10);
  });

  it('of many that leave together refuses only what is wrong', async () => {
    bridge.tenant.faults.add({ match: { surface: 'sync', sessionId: session }, times: 3, action: { status: 503 } });
    const bodies = [{ a: 1 }, { account: { id: 7 } }, { pinned: filling(LIMIT + 1) }, { b: 2 }];
    const replies = [];
    for (const data of bodies) replies.push(await bridge.sync(session, { data, ttl: { '': 9_000 } }));
    travel(60_000);
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual({ a: 1, b: 2 });
    const { entries } = await bridge.audit(session);
    const ends = entries.filter(({ outcome }: Json) => outcome !== 'pending').reverse();
    expect(ends.map(({ outcome, code }: Json) => code ?? outcome).sort()).toEqual([
      'confirmed',
      'confirmed',
      'context-too-large',
      'validation-failed',
    ]);
    expect(await inspect()).toMatchObject({ context: { a: 1, b: 2 }, pendingOperations: 0 });
  });
});

describe('while the tenant is down', () => {
  withBridge();
  const down = (times = 0) =>
    bridge.tenant.faults.add({ match: { surface: 'sync', sessionId: session }, times, action: { status: 503 } });

  it('SCENARIO 24: a sync is taken as pending, and the schedule pushes it later', async () => {
    await sync({ a: 1 });
    down();
    const reply = await bridge.sync(session, { data: { a: 2, b: { c: 3 } }, ttl: { '': 6_000 } });
    expect(reply.status).toBe(202);
    expect(reply.headers.location).toBe(`/v1/sessions/${session}/audit?operationId=${reply.body.operationId}`);
    expect(reply.body).toEqual({
      status: 'pending',
      sessionId: session,
      version: 2,
      visibility: 'queued',
      limitBytes: 95_000,
      operationId: expect.stringMatching(ULID),
      auditId: expect.stringMatching(ULID),
    });
    expect(await inspect()).toMatchObject({
      version: 2,
      confirmedVersion: 1,
      pendingOperations: 1,
      context: withDefaults({ a: 1 }),
    });
    expect((await bridge.audit(session)).entries[0]).toMatchObject({ outcome: 'pending', code: 'down' });
    // Not due yet: nobody calls.
    const requests = bridge.syncs(session).length;
    await bridge.stack.tick();
    expect(bridge.syncs(session)).toHaveLength(requests);

    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    const context = withDefaults({ a: 2, b: { c: 3 } });
    expect(bridge.bot(session)).toEqual(context);
    expect(await inspect()).toMatchObject({ confirmedVersion: 2, pendingOperations: 0, context });
    const { entries } = await bridge.audit(session, `?operationId=${reply.body.operationId}`);
    expect(entries.map(({ outcome }: Json) => outcome)).toEqual(['confirmed', 'pending']);
    expect(entries[0]).toMatchObject({ auditId: reply.body.auditId });
  });

  it('SCENARIO 24: what expires meanwhile never leaves, and the rest goes in order, as one change', async () => {
    down();
    const replies = [
      await bridge.sync(session, {
        data: { list: ['first'], short: 1, long: 1 },
        ttl: { '/short': 60, '/long': 9_000, '/list': 9_000 },
      }),
      await bridge.sync(session, { data: { gone: 1 }, ttl: { '/gone': 60 } }),
      await bridge.sync(session, { data: { list: ['last'], long: null }, ttl: { '/list': 9_000 } }),
    ];
    expect(replies.map(({ status }) => status)).toEqual([202, 202, 202]);
    bridge.tenant.faults.clear();
    travel(3_600_000);
    const before = putsOf().length;
    await bridge.stack.tick();
    const pushed = putsOf().slice(before);
    expect(pushed.map(({ body }) => body)).toEqual([withDefaults({ list: ['last'] })]);
    expect(bridge.bot(session)).toEqual(withDefaults({ list: ['last'] }));
    expect((await inspect()).context).toEqual(withDefaults({ list: ['last'] }));
    const ends = [];
    for (const { body } of replies) {
      const { entries } = await bridge.audit(session, `?operationId=${body.operationId}`);
      ends.push(`${entries[0].outcome} ${entries[0].code}`);
    }
    expect(ends).toEqual(['confirmed undefined', 'refused expired-before-push', 'confirmed undefined']);
  });

  it('SCENARIO 10: a write whose answer was lost is not made twice over what the bot has done since', async () => {
    bridge.tenant.faults.add({
      match: { surface: 'sync', method: 'PUT', sessionId: session },
      action: { reset: 'after' },
    });
    expect((await sync({ n: 1 })).context).toEqual(withDefaults({ n: 1 }));
    expect(bridge.tenant.sessions.inspect(session)?.version).toBe(2);
  });

  it('SCENARIO 12: a repeat of a pending sync says so, and later how it ended', async () => {
    down();
    const key = { 'idempotency-key': 'key-1' };
    const body = { data: { a: 1 } };
    const first = await bridge.sync(session, body, key);
    const again = await bridge.sync(session, body, key);
    expect(again.status).toBe(202);
    expect(again.body).toEqual(first.body);
    expect(again.headers['idempotency-replayed']).toBe('true');
    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    const ended = await bridge.sync(session, body, key);
    expect(ended.body).toMatchObject({
      status: 'synced',
      version: 1,
      operationId: first.body.operationId,
      auditId: first.body.auditId,
      context: withDefaults({ a: 1 }),
    });
  });
});

describe('the life of values', () => {
  withBridge();

  it('is 300 seconds unless a pointer to it, or to what is around it, says otherwise; the nearest counts', async () => {
    await sync(
      { a: { b: 1, c: { d: 1, e: 1 } }, 'x/y': { '~': 1 }, list: [{ z: 1 }], plain: 1 },
      { '/a': 60, '/a/c': 120, '/a/c/e': 180, '/x~1y/~0': 240, '/list': 600 },
    );
    expect(await minutesLeft()).toMatchObject({
      '/a/b': 1,
      '/a/c/d': 2,
      '/a/c/e': 3,
      '/x~1y/~0': 4,
      '/list': 10,
      '/plain': 5,
    });
  });

  it('may be said for the whole context at once, and for what was written before', async () => {
    await sync({ a: 1, b: 2 });
    travel(60_000);
    const { warnings } = await sync({ c: 3 }, { '': 1_200, '/b': 120, '/none': 5 });
    expect(warnings).toEqual([{ code: 'ttl-without-value', pointer: '/none', message: expect.stringMatching(/\S/) }]);
    expect(await minutesLeft()).toMatchObject({ '/a': 20, '/b': 2, '/c': 20 });
  });

  it('begins anew when the same is said again, and goes on when nothing is said', async () => {
    await sync({ a: 1, b: 1 }, { '/a': 240, '/b': 240 });
    travel(120_000);
    await sync({ a: 1 });
    expect(await minutesLeft()).toMatchObject({ '/a': 5, '/b': 2 });
  });
});

describe('SYNC_DEFAULT_TTL_SECONDS', () => {
  withBridge({ settings: { SYNC_DEFAULT_TTL_SECONDS: '0' } });

  it('of 0 lets values stay', async () => {
    await sync({ a: 1, b: 2 }, { '/b': 60 });
    expect(await minutesLeft()).toMatchObject({ '/a': null, '/b': 1 });
  });
});
