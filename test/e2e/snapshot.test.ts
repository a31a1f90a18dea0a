import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, INSTANT, type Json } from '../fixtures/stack/http.ts';
import { travel } from '../fixtures/stack/time.ts';

let bridge: Bridge;
beforeAll(async () => {
  bridge = await startBridge({ settings: { SYNC_DEFAULT_TTL_SECONDS: '0' } });
});
afterAll(() => bridge.close());
afterEach(() => {
  bridge.tenant.faults.clear();
  bridge.tenant.settings.change({ pageSize: 1_000, pagination: 'page', includeTypes: false });
});

const ask = (session: string, query = '') => bridge.get(`/v1/sessions/${encodeURIComponent(session)}/snapshot${query}`);
const snapshot = async (session: string, query = ''): Promise<Json> => {
  const reply = await ask(session, query);
  expect(reply.status, reply.text).toBe(200);
  return reply.body;
};
const valuesOf = ({ variables }: Json) =>
  Object.fromEntries(Object.entries<Json>(variables).map(([name, { value }]) => [name, value]));
const asBot = (session: string, ...variables: object[]) =>
  bridge.tenant.sessions.changeAsBot(session, { variables: variables as never });
const reads = (sessionId: string) => bridge.tenant.journal.entries({ surface: 'snapshot', sessionId });
const down = (status = 400) =>
  bridge.tenant.faults.add({ match: { surface: 'snapshot' }, times: 0, action: { status } });

describe('a live snapshot', () => {
  it('works for a session that the bridge has never written to', async () => {
    bridge.tenant.sessions.create({ sessionId: 'snap_new' } as never);
    asBot('snap_new', { key: 'mood', value: 'fine', scope: 'user' }, { key: '_turn', value: 3 });

    const body = await snapshot('snap_new');

    expect(body).toEqual({
      sessionId: 'snap_new',
      takenAt: expect.stringMatching(INSTANT),
      freshness: 'live',
      variables: { mood: { value: 'fine', scope: 'user', type: 'string', isSystem: false, shadowed: [] } },
      metrics: { averageLatencyMs: expect.any(Number), totalRetrieved: 1 },
      auditTrail: [],
    });
    expectProblem(await bridge.get('/v1/sessions/snap_new'), 404, 'unknown-session');
  });

  it('SCENARIO 33: values become what they say, where that loses nothing', async () => {
    const texts = { a: '007', b: '+491701234567', c: '1_000', d: '1e3', e: 'NaN', f: ' 5' };
    const values = { ...texts, g: '42', h: 42, i: true, j: 'TRUE', k: { x: [1] }, l: [null], m: null };
    asBot('snap_types', ...Object.entries(values).map(([key, value]) => ({ key, value })));

    const live = await snapshot('snap_types');
    expect(valuesOf(live)).toEqual({ ...values, g: 42, j: true, m: 'null' });
    expect(
      Object.values<Json>(live.variables)
        .map(({ type }) => type)
        .join(' '),
    ).toBe('string string string string string string number number boolean boolean object array string');

    bridge.tenant.settings.change({ includeTypes: true });
    expect(valuesOf(await snapshot('snap_types'))).toEqual(values);

    const none = await snapshot('snap_types', '?coerce=none');
    expect(none.variables.h).toMatchObject({ value: '42', type: 'string' });
    expect(none.variables.k).toMatchObject({ value: '{"x":[1]}', type: 'string' });
  });

  it('shows which scope has won, and what it hides', async () => {
    asBot(
      'snap_scopes',
      ...['global', 'bot', 'session', 'user'].map((scope) => ({ key: 'tier', value: scope, scope })),
    );
    expect((await snapshot('snap_scopes')).variables.tier).toEqual({
      value: 'user',
      scope: 'user',
      type: 'string',
      isSystem: false,
      shadowed: [
        { scope: 'session', value: 'session' },
        { scope: 'bot', value: 'bot' },
        { scope: 'global', value: 'global' },
      ],
    });
    expect((await snapshot('snap_scopes', '?scope=bot')).variables.tier).toMatchObject({ value: 'bot', shadowed: [] });
  });

  it('filters by name, scope and system, passed on and encoded', async () => {
    asBot(
      'snap_filter',
      { key: 'a', value: 1 },
      { key: 'a', value: 2, scope: 'user' },
      { key: '_b', value: 3 },
      { key: 'x&y=z #+%', value: 4 },
    );
    expect(valuesOf(await snapshot('snap_filter', '?name=a'))).toEqual({ a: 2 });
    expect(valuesOf(await snapshot('snap_filter', '?name=a&scope=session'))).toEqual({ a: 1 });
    expect(valuesOf(await snapshot('snap_filter', `?name=${encodeURIComponent('x&y=z #+%')}`))).toEqual({
      'x&y=z #+%': 4,
    });
    const all = await snapshot('snap_filter', '?includeSystem=true');
    expect(all.variables._b).toMatchObject({ value: 3, isSystem: true });
    expect(valuesOf(await snapshot('snap_filter', '?includeSystem=false'))).not.toHaveProperty('_b');
    expect(reads('snap_filter').map(({ path }) => path.split('?')[1])).toEqual([
      'name=a',
      'name=a&scope=session',
      'name=x%26y%3Dz+%23%2B%25',
      'includeSystem=true',
      undefined,
    ]);
  });

  it.each(['page', 'cursor'] as const)('follows %ss to the end', async (pagination) => {
    const session = `snap_${pagination}`;
    bridge.tenant.settings.change({ pageSize: 7, pagination });
    const keys = Array.from({ length: 30 }, (_, index) => `k${index}`);
    asBot(session, ...keys.map((key, value) => ({ key, value })));
    const body = await snapshot(session);
    expect(valuesOf(body)).toEqual(Object.fromEntries(keys.map((key, value) => [key, value])));
    expect(body.metrics.totalRetrieved).toBe(30);
    expect(reads(session)).toHaveLength(5);
  });

  it('tells of its reads, and the last five of the audit trail', async () => {
    for (let value = 1; value <= 7; value += 1) await bridge.inject('snap_metrics', one('a', value));
    for (let read = 1; read <= 12; read += 1) {
      const { metrics, auditTrail } = await snapshot('snap_metrics');
      expect(metrics.totalRetrieved).toBe(read);
      expect(auditTrail.map(({ versionAfter }: Json) => versionAfter)).toEqual([7, 6, 5, 4, 3]);
    }
  });
});

describe('SCENARIO 25: what has expired', () => {
  it('is not shown, although the bot still has it', async () => {
    await bridge.inject('snap_exp', {
      variables: [
        { key: 'otp', value: 1234, ttlSeconds: 60 },
        { key: 'flag', value: true, ttlSeconds: 60, scope: 'user' },
        { key: 'stays', value: 1 },
      ],
    });
    await bridge.sync('snap_exp', { data: { order: { id: 'A-1', paid: true } }, ttl: { '/order/id': 60 } });
    expect(valuesOf(await snapshot('snap_exp'))).toMatchObject({
      otp: 1234,
      flag: true,
      order: { id: 'A-1', paid: true },
    });

    // Where the bot has changed it, it is the bot's.
    asBot('snap_exp', { key: 'flag', value: false, scope: 'user' });
    // The bridge's clock alone: the tenant forgets by its own.
    travel(61_000);
    asBot('snap_exp', { key: 'otp', value: 1234 });

    const { freshness, variables } = await snapshot('snap_exp');
    expect(freshness).toBe('live');
    expect(variables).not.toHaveProperty('otp');
    expect(variables.order.value).toEqual({ paid: true });
    expect(variables.stays.value).toBe(1);
  });
});

describe('when the bot cannot be read', () => {
  it.each([400, 403, 500])('%i: the mirror, marked as such, with its types', async (status) => {
    const session = `snap_down_${status}`;
    await bridge.inject(session, {
      variables: [
        { key: 'code', value: '42' },
        { key: 'tier', value: 'gold', scope: 'user' },
        { key: 'tier', value: 'silver' },
        { key: '_sys', value: 1 },
        { key: 'otp', value: 1, ttlSeconds: 60 },
      ],
    });
    await bridge.sync(session, { data: { order: { id: 1 }, __own: 1 } });
    travel(61_000);
    down(status);
    const { freshness, variables, auditTrail } = await snapshot(session);
    expect(freshness).toBe('mirror');
    expect(variables.code).toMatchObject({ value: '42', type: 'string' });
    expect(variables.tier).toMatchObject({ value: 'gold', shadowed: [{ scope: 'session', value: 'silver' }] });
    expect(variables.order.value).toEqual({ id: 1 });
    for (const name of ['otp', '__own', '_sys']) expect(variables).not.toHaveProperty(name);
    expect(auditTrail).toHaveLength(2);
    expect((await snapshot(session, '?includeSystem=true')).variables).not.toHaveProperty('__own');
    expect(valuesOf(await snapshot(session, '?scope=session&name=tier'))).toEqual({ tier: 'silver' });
    expect((await snapshot(session, '?coerce=none')).variables.order).toMatchObject({
      value: '{"id":1}',
      type: 'string',
    });
  });

  it.each(['html', 'truncated', 'wrong-shape', 'empty'] as const)(
    'SCENARIO 22: %s is no snapshot',
    async (malformed) => {
      bridge.tenant.faults.add({ match: { surface: 'snapshot' }, times: 0, action: { malformed } });
      expectProblem(await ask('snap_bad'), 502, 'upstream-bad-response');
      await bridge.inject('snap_bad_known', one('a', 1));
      expect(await snapshot('snap_bad_known')).toMatchObject({ freshness: 'mirror', variables: { a: { value: 1 } } });
    },
  );

  it('SCENARIO 23: a redirect is not followed', async () => {
    bridge.tenant.faults.add({ match: { surface: 'snapshot' }, action: { redirectTo: 'http://127.0.0.1:1/' } });
    expectProblem(await ask('snap_redirect'), 502, 'upstream-bad-response');
    expect(reads('snap_redirect')).toHaveLength(1);
  });

  it('SCENARIO 18: 401 renews the token once; twice is told', async () => {
    bridge.tenant.faults.add({ match: { surface: 'snapshot' }, action: { status: 401 } });
    expect((await ask('snap_401')).status).toBe(200);
    bridge.tenant.faults.add({ match: { surface: 'snapshot' }, times: 2, action: { status: 401 } });
    expectProblem(await ask('snap_401'), 502, 'upstream-unauthorized');
    down(403);
    expectProblem(await ask('snap_403'), 502, 'upstream-forbidden');
    expect(reads('snap_403')).toHaveLength(1);
  });

  it.each([404, 410])('SCENARIO 20: %i is 410, with a mirror or without', async (status) => {
    const session = `snap_end_${status}`;
    await bridge.inject(session, one('a', 1));
    down(status);
    expectProblem(await ask(session), 410, 'session-ended');
    expectProblem(await ask(`${session}_unknown`), 410, 'session-ended');
  });

  it('without a mirror it is 503, and says when to come again', async () => {
    down(503);
    const reply = await ask('snap_nothing');
    expectProblem(reply, 503, 'upstream-unavailable');
    expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  });

  it('SCENARIO 16: nor does it ask again inside the window of a 429', async () => {
    await bridge.inject('snap_429', one('a', 1));
    bridge.tenant.faults.add({
      match: { surface: 'snapshot' },
      action: { status: 429, headers: { 'retry-after': '120' } },
    });
    expect(await snapshot('snap_429')).toMatchObject({ freshness: 'mirror', variables: { a: { value: 1 } } });
    const reply = await ask('snap_429_unknown');
    expectProblem(reply, 503, 'upstream-unavailable');
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(100);
    expect(reads('snap_429_unknown')).toEqual([]);
    travel(125_000);
    expect((await snapshot('snap_429')).freshness).toBe('live');
  });

  it('an idle session has no mirror any more', async () => {
    await bridge.inject('snap_idle', one('a', 1));
    travel(3_601_000);
    expect((await snapshot('snap_idle')).freshness).toBe('live');
    down(503);
    expectProblem(await ask('snap_idle'), 503, 'upstream-unavailable');
  });
});

describe('SCENARIO 47: a read during writes', () => {
  it('shows one version, while 20 injects run', async () => {
    const keys = Array.from({ length: 12 }, (_, index) => `k${index}`);
    const write = (value: number) => bridge.inject('snap_race', { variables: keys.map((key) => ({ key, value })) });
    await write(0);
    bridge.tenant.settings.change({ pageSize: 3, pagination: 'cursor' });
    const writing = (async () => {
      for (let value = 1; value <= 20; value += 1) expect((await write(value)).status).toBe(200);
    })();
    let isDone = false;
    void writing.finally(() => {
      isDone = true;
    });
    let taken = 0;
    while (!isDone || taken < 3) {
      const values = valuesOf(await snapshot('snap_race'));
      expect(Object.keys(values)).toHaveLength(12);
      expect(new Set(Object.values(values)).size, JSON.stringify(values)).toBe(1);
      taken += 1;
    }
    await writing;
    const last = await snapshot('snap_race');
    expect(last).toMatchObject({ freshness: 'live', variables: { k0: { value: 20 }, k11: { value: 20 } } });
  });
});

describe('who may ask, and what', () => {
  it.each([
    ['name=', 'name'],
    [`name=${'n'.repeat(257)}`, 'name'],
    ['scope=dialog', 'scope'],
    ['scope=', 'scope'],
    ['scope=constructor', 'scope'],
    ['includeSystem=1', 'includeSystem'],
    ['coerce=all', 'coerce'],
    ['name=&scope=x&includeSystem=x&coerce=x', 'name', 'scope', 'includeSystem', 'coerce'],
  ])('SCENARIO 35: %s is 400, naming each parameter', async (query, ...names) => {
    const errors = expectProblem(await ask('snap_query', `?${query}`), 400, 'invalid-query');
    expect(errors.map(({ pointer }) => pointer)).toEqual(names.map((name) => `/${name}`));
    expect(reads('snap_query')).toEqual([]);
  });

  it('SCENARIO 39: an id that is none is 400, and asks nobody', async () => {
    expectProblem(await bridge.get('/v1/sessions/..%2Fadmin/snapshot'), 400, 'invalid-session-id');
  });

  it('SCENARIO 36: nobody without a key', async () => {
    expectProblem(await bridge.get('/v1/sessions/s/snapshot', { authorization: 'Bearer no' }), 401, 'unauthenticated');
  });

  it('SCENARIO 31: __proto__ is a name like any other', async () => {
    asBot('snap_proto', { key: '__proto__', value: 'x' }, { key: 'constructor', value: { toString: 1 } });
    const reply = await ask('snap_proto', '?includeSystem=true');
    expect(reply.status).toBe(200);
    expect(reply.text).toContain('"__proto__":{"value":"x"');
  });

  it('more than an answer holds is 413, and says what to do', async () => {
    asBot(
      'snap_large',
      ...Array.from({ length: 3 }, (_, index) => ({ key: `k${index}`, value: 'x'.repeat(1_900_000) })),
    );
    bridge.tenant.settings.change({ pageSize: 1 });
    const reply = await ask('snap_large');
    expectProblem(reply, 413, 'payload-too-large');
    expect(reply.body.detail).toMatch(/name or scope/);
    expect((await ask('snap_large', '?name=k1')).status).toBe(200);
  });
});

describe('SCENARIO 43: an erase', () => {
  it('takes along what snapshots have left, also of a session without a lane', async () => {
    for (const session of ['snap_erased', 'snap_erased_unknown']) {
      asBot(session, { key: 'a', value: 1 });
      if (session === 'snap_erased') await bridge.inject(session, one('a', 1));
      await snapshot(session);
      await snapshot(session);
      expect((await bridge.erase(session)).status).toBe(204);
      expect((await snapshot(session)).metrics.totalRetrieved).toBe(1);
    }
  });
});
