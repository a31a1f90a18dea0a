import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, INSTANT, type Json } from '../fixtures/stack/http.ts';
import { travel } from '../fixtures/stack/time.ts';

const DEFAULTS = {
  user_profile: { name: 'Guest', age: 0, preferences: [] },
  session_metadata: { turn_count: 0, last_intent: 'none', confidence: 0 },
};
const DEFAULT_PATHS = [
  '/session_metadata/confidence',
  '/session_metadata/last_intent',
  '/session_metadata/turn_count',
  '/user_profile/age',
  '/user_profile/name',
  '/user_profile/preferences',
];

const READER = { name: 'reader', apiKey: 'key-of-the-reader', operations: ['inspect'] };
const AUDITOR = { name: 'auditor', apiKey: 'key-of-the-auditor', operations: ['inspect', 'values'] };
const STRANGER = { name: 'stranger', apiKey: 'key-of-the-stranger', operations: ['sync', 'values', 'audit'] };
const as = ({ apiKey }: { apiKey: string }) => ({ authorization: `Bearer ${apiKey}` });

let bridge: Bridge;
let session = '';
let sessions = 0;
beforeAll(async () => {
  bridge = await startBridge({
    clients: [READER, AUDITOR, STRANGER],
    settings: { SYNC_DEFAULT_TTL_SECONDS: '0' },
  });
});
afterAll(() => bridge.close());
beforeEach(() => {
  sessions += 1;
  session = `sess_${sessions}`;
});
afterEach(() => bridge.tenant.faults.clear());

const read = (query = '', headers = {}) => bridge.get(`/v1/sessions/${session}${query}`, headers);
const at = async (version: number): Promise<Json> => {
  const reply = await read(`?version=${version}`);
  expect(reply.status, reply.text).toBe(200);
  return reply.body;
};
const diff = (from: unknown, to: unknown, headers = {}) => read(`/diff?from=${from}&to=${to}`, headers);
const differences = async (from: number, to: number): Promise<Json> => {
  const reply = await diff(from, to);
  expect(reply.status, reply.text).toBe(200);
  const { added, removed, changed, values } = reply.body;
  return { added: added.sort(), removed: removed.sort(), changed: changed.sort(), values };
};
const without = ({ user_profile: _profile, session_metadata: _metadata, ...rest }: Json): Json => rest;
const sync = async (data: Json, ttl: Json = {}): Promise<Json> => {
  const reply = await bridge.sync(session, { data, ttl });
  expect([200, 202], reply.text).toContain(reply.status);
  return reply.body;
};

describe('GET /v1/sessions/{sessionId}?version=N', () => {
  it('shows the session as it was then, and only then', async () => {
    await bridge.inject(session, one('tier', 'silver', { scope: 'user' }));
    travel(60_000);
    await sync({ case: { id: 1 }, tier: 'gold' });
    travel(60_000);
    await sync({ case: { id: 2, open: true } });

    expect((await at(1)).context).toEqual({ tier: 'silver' });
    expect(without((await at(2)).context)).toEqual({ tier: 'gold', case: { id: 1 } });
    expect(without((await at(3)).context)).toEqual({ tier: 'gold', case: { id: 2, open: true } });

    const then = await at(2);
    const { recentAudit: _audit, pendingOperations: _pending, userKey: _user, ...now } = (await read()).body;
    expect(then).toEqual({
      sessionId: session,
      version: 2,
      confirmedVersion: 2,
      asOf: expect.stringMatching(INSTANT),
      freshness: 'mirror',
      context: { ...DEFAULTS, tier: 'gold', case: { id: 1 } },
      variables: expect.any(Array),
      nextOffset: null,
      sizeBytes: Buffer.byteLength(JSON.stringify(then.context)),
      limitBytes: 95_000,
      schemaValid: true,
      schemaErrors: [],
    });
    expect(then.variables.find(({ path }: Json) => path === '/tier')).toMatchObject({ scope: 'user', version: 2 });
    expect((await at(1)).schemaValid).toBe(false);
    const { asOf, ...last } = await at(3);
    expect(last).toEqual(now);
    expect(Date.parse(asOf) - Date.parse(then.asOf)).toBeGreaterThanOrEqual(60_000);
    expect(Date.parse(asOf) - Date.parse(then.asOf)).toBeLessThan(90_000);
  });

  it('version 0 is before everything', async () => {
    await sync({ a: 1 });
    expect(await at(0)).toMatchObject({ version: 0, confirmedVersion: 0, asOf: null, context: {}, variables: [] });
  });

  it('versions that took effect together are one: the last of them', async () => {
    await sync({ a: 1 });
    bridge.tenant.faults.add({ match: { surface: 'sync' }, times: 0, action: { status: 503 } });
    for (const data of [{ b: 2 }, { c: 3 }, { d: 4 }]) {
      expect((await sync(data)).status).toBe('pending');
    }
    expectProblem(await read('?version=2'), 404, 'unknown-version');
    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    for (const version of [2, 3, 4]) {
      const found = await at(version);
      expect(found.version).toBe(4);
      expect(without(found.context)).toEqual({ a: 1, b: 2, c: 3, d: 4 });
    }
    expect(without((await at(1)).context)).toEqual({ a: 1 });
  });

  it('a refused version changed nothing: it shows what held until the next one', async () => {
    await sync({ a: 1 });
    expectProblem(await bridge.sync(session, { data: { user_profile: { age: -1 } } }), 422, 'validation-failed');
    await sync({ a: 3 });
    const refused = await at(2);
    expect(refused.version).toBe(1);
    expect(without(refused.context)).toEqual({ a: 1 });
    expect(without((await at(3)).context)).toEqual({ a: 3 });
  });

  it('what expired on its way out is no longer there in the version that took it out, but was before', async () => {
    await sync({ otp: '1234', stays: 1 }, { '/otp': 60 });
    await sync({ more: 1 });
    expect(without((await at(1)).context)).toEqual({ otp: '1234', stays: 1 });
    travel(60_000);
    // Nothing expired is ever shown, not even where it once was.
    expect(without((await at(1)).context)).toEqual({ stays: 1 });
    expect((await at(1)).variables.map(({ path }: Json) => path)).not.toContain('/otp');
    await bridge.stack.tick();
    expect(without((await at(1)).context)).toEqual({ stays: 1 });
    expect(without((await at(3)).context)).toEqual({ stays: 1, more: 1 });
  });

  it('keeps large values of old versions', async () => {
    const large = (letter: string) => letter.repeat(20_000);
    await sync({ large: large('a') });
    await sync({ large: large('b') });
    await sync({ large: null });
    expect((await at(1)).context.large).toBe(large('a'));
    expect((await at(2)).context.large).toBe(large('b'));
    expect((await at(3)).context).not.toHaveProperty('large');
  });

  it.each([2, 3, 999_999_999_999])('beyond the last, %i is 404 unknown-version', async (version) => {
    await sync({ a: 1 });
    expectProblem(await read(`?version=${version}`), 404, 'unknown-version');
  });

  it.each(['', '-1', '1.5', '1e1', 'x', '01x', ' 1', '1,2', '9999999999999'])(
    'version=%s is 400, naming the parameter',
    async (version) => {
      await sync({ a: 1 });
      const errors = expectProblem(await read(`?version=${encodeURIComponent(version)}`), 400, 'invalid-query');
      expect(errors).toEqual([{ pointer: '/version', code: 'invalid-parameter', message: expect.any(String) }]);
    },
  );

  it('a session never seen is 404 unknown-session, whatever the version', async () => {
    for (const version of [0, 1]) expectProblem(await read(`?version=${version}`), 404, 'unknown-session');
  });

  it('of a session that began anew after its idle time, only the new beginning is known', async () => {
    await sync({ old: 1 });
    await sync({ old: 2 });
    travel(3_700_000);
    expectProblem(await read('?version=1'), 404, 'unknown-session');
    await bridge.inject(session, one('new', 1));
    expectProblem(await read('?version=1'), 404, 'unknown-version');
    expectProblem(await read('?version=2'), 404, 'unknown-version');
    expect((await at(3)).context).toEqual({ new: 1 });
  });
});

describe('GET /v1/sessions/{sessionId}/diff', () => {
  it('lists the leaves that were added, removed and changed, and what they were', async () => {
    await sync({ a: { keep: 1, change: 'x', drop: [1] }, whole: { x: 1, y: { z: 2 } } });
    await sync({ a: { change: 'y', drop: null, add: { deep: true } }, whole: 'text', 'a/b~': 1 });
    expect(await differences(1, 2)).toEqual({
      added: ['/a/add/deep', '/a~1b~0', '/whole'],
      removed: ['/a/drop', '/whole/x', '/whole/y/z'],
      changed: ['/a/change'],
      values: {
        '/a/change': { before: 'x', after: 'y' },
        '/a/drop': { before: [1] },
        '/a/add/deep': { after: true },
        '/a~1b~0': { after: 1 },
        '/whole/x': { before: 1 },
        '/whole/y/z': { before: 2 },
        '/whole': { after: 'text' },
      },
    });
  });

  it('goes both ways', async () => {
    await sync({ a: 1, b: 1 });
    await sync({ a: 2, b: null, c: 3 });
    const forth = await differences(1, 2);
    const back = await differences(2, 1);
    expect(forth).toMatchObject({ added: ['/c'], removed: ['/b'], changed: ['/a'] });
    expect(back).toMatchObject({ added: ['/b'], removed: ['/c'], changed: ['/a'] });
    expect(forth.values).toEqual({ '/a': { before: 1, after: 2 }, '/b': { before: 1 }, '/c': { after: 3 } });
    expect(back.values).toEqual({ '/a': { before: 2, after: 1 }, '/b': { after: 1 }, '/c': { before: 3 } });
  });

  it('from nothing is everything, and to itself nothing', async () => {
    await sync({ a: 1 });
    expect(await differences(0, 1)).toMatchObject({ added: ['/a', ...DEFAULT_PATHS], removed: [], changed: [] });
    expect(await differences(1, 1)).toEqual({ added: [], removed: [], changed: [], values: {} });
    expect(await differences(0, 0)).toEqual({ added: [], removed: [], changed: [], values: {} });
    expect((await diff(0, 1)).body).toMatchObject({ sessionId: session, from: 0, to: 1 });
  });

  it('values only for a client with the grant `values`', async () => {
    await sync({ secret: 'private' });
    await sync({ secret: 'very private' });
    const paths = { sessionId: session, from: 1, to: 2, added: [], removed: [], changed: ['/secret'] };
    const reader = await diff(1, 2, as(READER));
    expect(reader.body).toEqual(paths);
    expect(reader.text).not.toContain('private');
    const auditor = await diff(1, 2, as(AUDITOR));
    expect(auditor.body).toEqual({ ...paths, values: { '/secret': { before: 'private', after: 'very private' } } });
    expectProblem(await diff(1, 2, as(STRANGER)), 403, 'forbidden');
  });

  it('tells that a value was there which has expired since, but not what it was', async () => {
    await sync({ otp: '1234', stays: 1 }, { '/otp': 60 });
    await sync({ otp: '5678' }, { '/otp': 120 });
    await sync({ otp: null });
    travel(60_000);
    expect(await differences(1, 2)).toMatchObject({ changed: ['/otp'], values: { '/otp': { after: '5678' } } });
    travel(60_000);
    const gone = await differences(1, 2);
    expect(gone).toMatchObject({ changed: ['/otp'], values: { '/otp': {} } });
    expect(await differences(2, 3)).toMatchObject({ removed: ['/otp'], values: { '/otp': {} } });
    expect(JSON.stringify(gone)).not.toMatch(/1234|5678/);
  });

  it('shows what the schedule has taken out', async () => {
    await sync({ otp: '1234', stays: 1 }, { '/otp': 60 });
    travel(60_000);
    await bridge.stack.tick();
    expect(await differences(1, 2)).toEqual({ added: [], removed: ['/otp'], changed: [], values: { '/otp': {} } });
  });

  it('shows nothing internal', async () => {
    await sync({ __own: 1, a: { __own: 1, b: 1 } });
    await sync({ __own: 2, a: { __own: 2, b: 2 } });
    expect(await differences(1, 2)).toEqual({
      added: [],
      removed: [],
      changed: ['/a/b'],
      values: { '/a/b': { before: 1, after: 2 } },
    });
  });

  it.each([
    ['', ['/from', '/to']],
    ['?from=1', ['/to']],
    ['?to=1', ['/from']],
    ['?from=-1&to=x', ['/from', '/to']],
    ['?from=1&to=', ['/to']],
    ['?from=1&from=2&to=1', ['/from']],
  ])('%s is 400, naming every parameter that is missing or wrong', async (query, places) => {
    await sync({ a: 1 });
    const errors = expectProblem(await read(`/diff${query}`), 400, 'invalid-query');
    expect(errors.map(({ pointer }) => pointer)).toEqual(places);
  });

  it('with an unknown version is 404, also while that one is pending', async () => {
    await sync({ a: 1 });
    for (const [from, to] of [
      [1, 2],
      [2, 1],
      [7, 8],
    ]) {
      expectProblem(await diff(from, to), 404, 'unknown-version');
    }
    bridge.tenant.faults.add({ match: { surface: 'sync' }, times: 0, action: { status: 503 } });
    expect((await sync({ b: 2 })).status).toBe('pending');
    expectProblem(await diff(1, 2), 404, 'unknown-version');
    expect((await read()).body).toMatchObject({ version: 2, confirmedVersion: 1 });
  });

  it('of a session never seen is 404 unknown-session', async () => {
    expectProblem(await diff(0, 1), 404, 'unknown-session');
  });
});
