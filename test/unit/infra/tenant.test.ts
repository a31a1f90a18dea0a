import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../infra/local/tenant/messages.ts';
import type { SettingsPatch } from '../../../infra/local/tenant/settings.ts';
import { type SessionSurface, SURFACE_SCOPES } from '../../../infra/local/tenant/surface-table.ts';
import { createTenant } from '../../../infra/local/tenant/tenant.ts';

const START = Date.parse('2026-03-01T00:00:00Z');

function start(settings: SettingsPatch = {}) {
  let nowMs = START;
  let ids = 0;
  const tenant = createTenant({ now: () => nowMs, newId: () => `${++ids}`, settings });
  const token = (surface: SessionSurface) => tenant.tokens.issue(SURFACE_SCOPES[surface], 900);
  return {
    tenant,
    advance: (ms: number) => {
      nowMs += ms;
    },
    token,
    /** Sends JSON with a good token of the surface and reads the answer; a cut connection has no status. */
    send: (
      surface: SessionSurface,
      method: string,
      path: string,
      body?: unknown,
      headers: Record<string, string> = {},
    ) =>
      read(
        tenant.handle({
          method,
          path,
          headers: { authorization: `Bearer ${token(surface)}`, 'content-type': 'application/json', ...headers },
          ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        }),
      ),
  };
}

function read(outcome: Outcome) {
  if (outcome.kind === 'reset') return { status: undefined, headers: {}, text: '', json: undefined };
  const { status, headers, body } = outcome.answer;
  const isJson = headers['content-type']?.includes('json') === true;
  return { status, headers, text: body, json: isJson ? JSON.parse(body) : undefined };
}

const variable = (key: string, value: unknown, scope = 'session', expiresAt: string | null = null) => ({
  key,
  value,
  scope,
  expiresAt,
});
const put = (...variables: object[]) => ({ variables, mergeStrategy: 'atomic_put' });

const INJECT = '/api/v2/sessions/s1/context';
const SYNC = '/api/v1/sessions/s1/context';
const DIALOG = '/runtime/v2/dialogs/s1/state';
const SNAPSHOT = '/api/v2/botsessions/s1/variables';

const SURFACE_REQUESTS = [
  ['sync', 'GET', SYNC],
  ['sync', 'PUT', SYNC],
  ['inject', 'GET', INJECT],
  ['inject', 'PUT', INJECT],
  ['session-check', 'GET', '/api/v2/sessions/s1'],
  ['dialog-state', 'GET', DIALOG],
  ['dialog-state', 'PATCH', DIALOG],
  ['snapshot', 'GET', SNAPSHOT],
  ['webhook', 'POST', SYNC],
] as const;

describe('Tenant: bearer tokens', () => {
  describe.each(SURFACE_REQUESTS)('%s, %s %s', (surface, method, path) => {
    it('answers 401 without a token', () => {
      const { tenant } = start();
      expect(read(tenant.handle({ method, path }))).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer realm="cognigy"' },
      });
    });

    it('answers 403 to a token without the scope of the surface', () => {
      const { tenant, send } = start();
      const authorization = `Bearer ${tenant.tokens.issue(['something:else'], 900)}`;
      expect(send(surface, method, path, undefined, { authorization })).toMatchObject({
        status: 403,
        headers: { 'www-authenticate': expect.stringContaining('error="insufficient_scope"') },
      });
    });

    it('answers 403 when one of several scopes is missing', () => {
      const { tenant, send } = start();
      const authorization = `Bearer ${tenant.tokens.issue(SURFACE_SCOPES[surface].slice(1), 900)}`;
      expect(send(surface, method, path, undefined, { authorization }).status).toBe(403);
    });
  });

  it('answers 401 to a token from the moment it expires', () => {
    const { token, send, advance } = start();
    const headers = { authorization: `Bearer ${token('sync')}` };
    advance(899_999);
    expect(send('sync', 'GET', SYNC, undefined, headers).status).toBe(200);
    advance(1);
    expect(send('sync', 'GET', SYNC, undefined, headers)).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': expect.stringContaining('error="invalid_token"') },
    });
  });

  it('answers 401 to every token after they were revoked', () => {
    const { tenant, token, send } = start();
    const headers = { authorization: `Bearer ${token('sync')}` };
    expect(tenant.tokens.revokeAll()).toBe(1);
    expect(send('sync', 'GET', SYNC, undefined, headers).status).toBe(401);
  });
});

describe('Tenant: one session behind all surfaces', () => {
  it('shows what inject wrote on every other surface', () => {
    const { send } = start();
    send('inject', 'PUT', INJECT, put(variable('tier', 'gold', 'user'), variable('age', 7)));

    expect(send('sync', 'GET', SYNC).json).toEqual({ tier: 'gold', age: 7 });
    expect(send('inject', 'GET', INJECT).json).toEqual({ variables: { tier: 'gold', age: 7 } });
    expect(send('dialog-state', 'GET', DIALOG).json).toEqual({
      session: { age: 7 },
      user: { tier: 'gold' },
      version: 2,
    });
    expect(send('snapshot', 'GET', SNAPSHOT).json).toEqual({
      variables: [
        { name: 'age', value: '7', scope: 'session' },
        { name: 'tier', value: 'gold', scope: 'user' },
      ],
    });
  });

  it.each([
    ['sync', 'PUT', SYNC, { k: 'v' }],
    ['dialog-state', 'PATCH', DIALOG, { session: { k: 'v' } }],
    ['webhook', 'POST', SYNC, { variables: { k: 'v' } }],
  ] as const)('shows what %s wrote to inject', (surface, method, path, body) => {
    const { send } = start();
    expect(send(surface, method, path, body).status).toBe(200);
    expect(send('inject', 'GET', INJECT).json).toEqual({ variables: { k: 'v' } });
  });

  it('raises the version by one with every write, and not with reads or refusals', () => {
    const { send } = start();
    expect(send('sync', 'GET', SYNC).headers).toMatchObject({ etag: '"1"' });
    expect(send('sync', 'PUT', SYNC, { a: 1, b: 2 }).headers).toMatchObject({ etag: '"2"' });
    send('inject', 'PUT', INJECT, { wrong: true });
    expect(send('dialog-state', 'PATCH', DIALOG, { transition: { nextStep: 'pay' } }).json.version).toBe(3);
    expect(send('webhook', 'POST', SYNC, { variables: { c: 3 } }).headers).toMatchObject({ etag: '"4"' });
  });

  it('lets the strongest scope be seen where a key lives in several', () => {
    const { tenant, send } = start();
    tenant.sessions.create({
      sessionId: 's1',
      variables: (['user', 'session', 'bot', 'global'] as const).map((scope) => ({ key: 'k', value: scope, scope })),
    });
    expect(send('sync', 'GET', SYNC).json).toEqual({ k: 'user' });
  });

  it('takes percent-encoded ids apart once', () => {
    const { tenant, send } = start();
    send('inject', 'PUT', '/api/v2/sessions/a%3Ab%2540/context', put(variable('k', 1)));
    expect(tenant.sessions.list().map(({ sessionId }) => sessionId)).toEqual(['a:b%40']);
  });

  it.each([
    ['GET', '/api/v2/sessions/%ff', 400],
    ['GET', '/api/v2/sessions/', 404],
    ['GET', '/nowhere', 404],
    ['DELETE', SYNC, 405],
    ['GET', '/oauth/token', 405],
  ])('answers %s %s with %i', (method, path, status) => {
    expect(read(start().tenant.handle({ method, path })).status).toBe(status);
  });
});

describe('Tenant: inject', () => {
  it('merges what is given and answers it with the time', () => {
    const { send } = start();
    send('inject', 'PUT', INJECT, put(variable('a', 1)));
    const answer = send('inject', 'PUT', INJECT, put(variable('b', { deep: [null] })));
    expect(answer.json).toEqual({
      sessionId: 's1',
      variables: { b: { deep: [null] } },
      updatedAt: '2026-03-01T00:00:00.000Z',
    });
    expect(send('inject', 'GET', INJECT).json.variables).toEqual({ a: 1, b: { deep: [null] } });
  });

  it('keeps scope and expiry, and does not expire values by itself', () => {
    const { tenant, send, advance } = start();
    send('inject', 'PUT', INJECT, put(variable('k', 1, 'global', '2026-03-01T00:00:01Z')));
    advance(3_600_000);
    expect(tenant.sessions.inspect('s1')?.variables).toEqual([
      { key: 'k', value: 1, scope: 'global', expiresAt: '2026-03-01T00:00:01Z' },
    ]);
  });

  it('removes a variable that is null and already expired, in its scope only', () => {
    const { send } = start();
    send('inject', 'PUT', INJECT, put(variable('k', 1), variable('k', 2, 'user')));
    expect(send('inject', 'PUT', INJECT, put(variable('k', null, 'user', '2026-03-01T00:00:00Z'))).status).toBe(200);
    expect(send('inject', 'GET', INJECT).json.variables).toEqual({ k: 1 });
  });

  it.each([
    ['no expiry', null],
    ['an expiry to come', '2026-03-01T00:00:01Z'],
  ])('keeps null with %s as a value', (_, expiresAt) => {
    const { send } = start();
    send('inject', 'PUT', INJECT, put(variable('k', null, 'session', expiresAt)));
    expect(send('inject', 'GET', INJECT).json.variables).toEqual({ k: null });
  });

  it.each([
    ['no merge strategy', { variables: [variable('k', 1)] }, ''],
    ['another merge strategy', { variables: [variable('k', 1)], mergeStrategy: 'replace' }, '/mergeStrategy'],
    ['no variables', put(), '/variables'],
    ['an unknown member', { ...put(variable('k', 1)), extra: 1 }, ''],
    ['a missing value', put({ key: 'k', scope: 'user', expiresAt: null }), '/variables/0/value'],
    ['a missing expiry', put({ key: 'k', value: 1, scope: 'user' }), '/variables/0/expiresAt'],
    ['an expiry with an offset', put(variable('k', 1, 'user', '2026-03-01T00:00:00+01:00')), '/variables/0/expiresAt'],
    ['the bot scope', put(variable('k', 1, 'bot')), '/variables/0/scope'],
    ['a bad key', put(variable('a b', 1)), '/variables/0/key'],
    ['a key twice in one scope', put(variable('k', 1), variable('k', 2)), '/variables'],
    ['an array', [], ''],
  ])('answers 400 to %s and changes nothing', (_, body, pointer) => {
    const { tenant, send } = start();
    const answer = send('inject', 'PUT', INJECT, body);
    expect(answer.status).toBe(400);
    const pointers = answer.json.errors.map((error: { pointer: string }) => error.pointer);
    expect(pointers.some((found: string) => found.startsWith(pointer))).toBe(true);
    expect(tenant.sessions.inspect('s1')?.version).toBe(1);
  });

  it('answers 400 to what is not JSON and 415 to what does not say it is', () => {
    const { send } = start();
    expect(send('inject', 'PUT', INJECT, '{"variables":').json).toMatchObject({ status: 400, code: 'malformed-json' });
    expect(send('inject', 'PUT', INJECT, '{}', { 'content-type': 'text/plain' }).status).toBe(415);
  });

  it('takes 262,144 bytes and answers 413 to one more', () => {
    const { send } = start();
    const overhead = Buffer.byteLength(JSON.stringify(put(variable('k', ''))));
    const fits = put(variable('k', 'x'.repeat(262_144 - overhead)));
    const tooLarge = put(variable('k', `${'x'.repeat(262_143 - overhead)}é`));
    expect(send('inject', 'PUT', INJECT, fits).status).toBe(200);
    expect(send('inject', 'PUT', INJECT, tooLarge).status).toBe(413);
  });

  it('answers 409 to a stale If-Match', () => {
    const { send } = start();
    const body = put(variable('k', 1));
    expect(send('inject', 'PUT', INJECT, body, { 'if-match': '"1"' }).status).toBe(200);
    expect(send('inject', 'PUT', INJECT, body, { 'if-match': '"1"' }).status).toBe(409);
  });
});

describe('Tenant: sync', () => {
  it('replaces the whole context and answers it', () => {
    const { send } = start();
    send('sync', 'PUT', SYNC, { a: 1, b: 2 });
    expect(send('sync', 'PUT', SYNC, { b: 3, c: [] }).json).toEqual({ b: 3, c: [] });
  });

  it('keeps scope and expiry of what stays, and only the scope of what changes', () => {
    const { tenant, send } = start();
    const expiresAt = '2026-04-01T00:00:00Z';
    const kept = { key: 'kept', value: { a: 1 }, scope: 'user' as const, expiresAt };
    const changed = { key: 'changed', value: 1, scope: 'global' as const, expiresAt };
    tenant.sessions.create({ sessionId: 's1', variables: [kept, changed] });
    send('sync', 'PUT', SYNC, { kept: { a: 1 }, changed: 2 });
    expect(tenant.sessions.inspect('s1')?.variables).toEqual([{ ...changed, value: 2, expiresAt: null }, kept]);
  });

  it.each([[[]], ['"text"'], ['null']])('answers 400 to %s, which is no object', (body) => {
    expect(start().send('sync', 'PUT', SYNC, body).status).toBe(400);
  });

  it.each([
    [99, 200],
    [100, 400],
    [100_000, 400],
  ])('answers %i levels of arrays in a context with %i, and can still show its journal', (levels, status) => {
    const { tenant, send } = start();
    const body = `{"deep":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    expect(send('sync', 'PUT', SYNC, body).status).toBe(status);
    expect(() => JSON.stringify(tenant.journal.entries())).not.toThrow();
  });

  it('keeps a key called __proto__ like any other', () => {
    const { send } = start();
    expect(send('sync', 'PUT', SYNC, '{"__proto__":{"x":1}}').text).toBe('{"__proto__":{"x":1}}');
  });

  it.each([
    ['"7"', 412],
    ['W/"1"', 412],
    ['7', 400],
    ['"1"', 200],
    ['"9", "1"', 200],
    ['*', 200],
  ])('answers If-Match %s at version 1 with %i', (ifMatch, status) => {
    const { send } = start();
    expect(send('sync', 'PUT', SYNC, { a: 1 }, { 'if-match': ifMatch }).status).toBe(status);
  });
});

describe('Tenant: dialog state', () => {
  it('writes session and user variables and the transition as one change', () => {
    const { tenant, send } = start();
    const body = { session: { cart: 2 }, user: { name: 'Ada' }, transition: { nextStep: 'process_checkout' } };
    const answer = send('dialog-state', 'PATCH', DIALOG, body, { 'if-match': '"1"' });
    expect(answer).toMatchObject({ status: 200, headers: { etag: '"2"' } });
    expect(answer.json).toEqual({ session: { cart: 2 }, user: { name: 'Ada' }, version: 2 });
    expect(tenant.sessions.inspect('s1')).toMatchObject({ nextStep: 'process_checkout', version: 2 });
  });

  it.each([409, 412] as const)('answers a stale If-Match with %i, as set, and with the current ETag', (status) => {
    const { send } = start({ dialogMismatchStatus: status });
    send('dialog-state', 'PATCH', DIALOG, { session: { a: 1 } });
    const stale = send('dialog-state', 'PATCH', DIALOG, { session: { a: 2 } }, { 'if-match': '"1"' });
    expect(stale).toMatchObject({ status, headers: { etag: '"2"' } });
    expect(send('dialog-state', 'GET', DIALOG).json).toEqual({ session: { a: 1 }, user: {}, version: 2 });
  });

  it.each([[{}], [{ sessions: {} }], [{ session: [] }], [{ transition: {} }], [{ transition: { nextStep: '' } }]])(
    'answers 400 to %j',
    (body) => {
      expect(start().send('dialog-state', 'PATCH', DIALOG, body).status).toBe(400);
    },
  );

  it('answers 413 above 524,288 bytes', () => {
    const body = { session: { a: 'x'.repeat(524_288) } };
    expect(start().send('dialog-state', 'PATCH', DIALOG, body).status).toBe(413);
  });
});

describe('Tenant: webhook', () => {
  it('writes session variables and leaves the others alone', () => {
    const { tenant, send } = start();
    send('sync', 'PUT', SYNC, { kept: 1 });
    const answer = send('webhook', 'POST', SYNC, { variables: { last_user_message: 'hi' } });
    expect(answer.json).toMatchObject({ sessionId: 's1', variables: { last_user_message: 'hi' } });
    expect(tenant.sessions.inspect('s1')?.variables).toEqual([
      { key: 'kept', value: 1, scope: 'session', expiresAt: null },
      { key: 'last_user_message', value: 'hi', scope: 'session', expiresAt: null },
    ]);
  });

  it.each([[{}], [{ variables: [] }], [{ variables: {}, more: 1 }]])('answers 400 to %j', (body) => {
    expect(start().send('webhook', 'POST', SYNC, body).status).toBe(400);
  });

  it('answers 412 to a stale If-Match', () => {
    const answer = start().send('webhook', 'POST', SYNC, { variables: {} }, { 'if-match': '"9"' });
    expect(answer.status).toBe(412);
  });
});

describe('Tenant: snapshot', () => {
  const seeded = (settings: SettingsPatch = {}) => {
    const started = start(settings);
    started.tenant.sessions.create({
      sessionId: 's1',
      variables: [
        { key: '_turn', value: 3 },
        { key: 'list', value: [1, 'a'], scope: 'bot' },
        { key: 'name', value: '007', scope: 'session' },
        { key: 'name', value: true, scope: 'user' },
        { key: 'none', value: null, scope: 'global' },
      ],
    });
    return started;
  };
  const names = (json: { variables: { name: string; scope: string }[] }) =>
    json.variables.map(({ name, scope }) => `${scope}:${name}`);

  it('hands values as untyped strings', () => {
    expect(seeded().send('snapshot', 'GET', SNAPSHOT).json).toEqual({
      variables: [
        { name: 'list', value: '[1,"a"]', scope: 'bot' },
        { name: 'name', value: '007', scope: 'session' },
        { name: 'name', value: 'true', scope: 'user' },
        { name: 'none', value: 'null', scope: 'global' },
      ],
    });
  });

  it('says the types when set so', () => {
    const { json } = seeded({ includeTypes: true }).send('snapshot', 'GET', `${SNAPSHOT}?includeSystem=true`);
    expect(json.variables.map(({ type }: { type: string }) => type)).toEqual([
      'number',
      'array',
      'string',
      'boolean',
      'null',
    ]);
  });

  it.each([
    ['?name=name', ['session:name', 'user:name']],
    ['?scope=user', ['user:name']],
    ['?name=name&scope=session', ['session:name']],
    ['?includeSystem=true&scope=session', ['session:_turn', 'session:name']],
    ['?name=_turn', []],
  ])('filters by %s', (query, expected) => {
    expect(names(seeded().send('snapshot', 'GET', SNAPSHOT + query).json)).toEqual(expected);
  });

  it.each([
    ['page', 'nextPage', 'page'],
    ['cursor', 'nextCursor', 'cursor'],
  ] as const)('leads through all pages by %s', (pagination, member, parameter) => {
    const { send } = seeded({ pagination, pageSize: 2 });
    const first = send('snapshot', 'GET', SNAPSHOT).json;
    const next = encodeURIComponent(first.pagination[member]);
    const second = send('snapshot', 'GET', `${SNAPSHOT}?${parameter}=${next}`).json;
    expect([...names(first), ...names(second)]).toEqual(['bot:list', 'session:name', 'user:name', 'global:none']);
    expect(second).not.toHaveProperty('pagination');
  });

  it('loses nothing to a cursor when a variable of an earlier page goes meanwhile', () => {
    const { tenant, send } = seeded({ pagination: 'cursor', pageSize: 2 });
    const { nextCursor } = send('snapshot', 'GET', SNAPSHOT).json.pagination;
    tenant.sessions.changeAsBot('s1', { remove: [{ key: 'list' }] });
    expect(names(send('snapshot', 'GET', `${SNAPSHOT}?cursor=${nextCursor}`).json)).toEqual([
      'user:name',
      'global:none',
    ]);
  });

  it.each(['?page=0', '?page=x', '?cursor=%21', '?scope=none', '?page=2&cursor=YQ', '?unknown=1'])(
    'answers 400 to %s',
    (query) => {
      expect(seeded().send('snapshot', 'GET', SNAPSHOT + query).status).toBe(400);
    },
  );
});

describe('Tenant: session life', () => {
  it('lets an unknown session come to life when it is first touched', () => {
    const { send } = start();
    expect(send('session-check', 'GET', '/api/v2/sessions/s1').json).toMatchObject({ sessionId: 's1', version: 1 });
  });

  it('answers 404 to an unknown session without autoCreate, and leaves it unknown', () => {
    const { tenant, send } = start({ autoCreate: false });
    expect(send('inject', 'PUT', INJECT, put(variable('k', 1))).status).toBe(404);
    expect(tenant.sessions.list()).toEqual([]);
  });

  it('answers 404 from the moment a session expires, also with autoCreate', () => {
    const { tenant, send, advance } = start();
    tenant.sessions.create({ sessionId: 's1', ttlSeconds: 10 });
    advance(9_999);
    expect(send('session-check', 'GET', '/api/v2/sessions/s1').status).toBe(200);
    advance(1);
    expect(send('session-check', 'GET', '/api/v2/sessions/s1').status).toBe(404);
    expect(tenant.sessions.inspect('s1')?.state).toBe('expired');
  });

  it('answers 404 to a session that was ended, until it is made anew', () => {
    const { tenant, send } = start();
    send('sync', 'PUT', SYNC, { a: 1 });
    expect(tenant.sessions.end('s1')).toBe(true);
    expect(send('sync', 'GET', SYNC).status).toBe(404);
    tenant.sessions.create({ sessionId: 's1' });
    expect(send('sync', 'GET', SYNC).json).toEqual({});
  });
});

describe('Tenant: rate limit', () => {
  it('lets 100 requests a minute in over all surfaces together', () => {
    const { send } = start();
    for (let request = 0; request < 50; request += 1) {
      expect(send('sync', 'GET', SYNC).status).toBe(200);
      expect(send('snapshot', 'GET', SNAPSHOT).status).toBe(200);
    }
    expect(send('inject', 'GET', INJECT)).toMatchObject({ status: 429, headers: { 'retry-after': '60' } });
  });

  it('slides: there is room exactly when the oldest request leaves the 60 seconds', () => {
    const { send, advance } = start({ ratePerMinute: 2 });
    send('sync', 'GET', SYNC);
    advance(30_000);
    send('sync', 'GET', SYNC);
    advance(29_500);
    expect(send('sync', 'GET', SYNC)).toMatchObject({ status: 429, headers: { 'retry-after': '1' } });
    advance(500);
    expect(send('sync', 'GET', SYNC).status).toBe(200);
    expect(send('sync', 'GET', SYNC)).toMatchObject({ status: 429, headers: { 'retry-after': '30' } });
  });

  it('does not count refused requests, and has them in the journal', () => {
    const { tenant, send, advance } = start({ ratePerMinute: 1 });
    send('sync', 'GET', SYNC);
    for (let request = 0; request < 5; request += 1) send('sync', 'GET', SYNC);
    advance(60_000);
    expect(send('sync', 'GET', SYNC).status).toBe(200);
    expect(tenant.journal.entries().map(({ status }) => status)).toEqual([200, 429, 429, 429, 429, 429, 200]);
  });

  it('waits for as many requests to leave as are too many after the rate was lowered', () => {
    const { tenant, send, advance } = start({ ratePerMinute: 3 });
    for (let request = 0; request < 3; request += 1) {
      send('sync', 'GET', SYNC);
      advance(10_000);
    }
    tenant.settings.change({ ratePerMinute: 1 });
    expect(send('sync', 'GET', SYNC).headers).toMatchObject({ 'retry-after': '50' });
  });

  it('has no limit at 0', () => {
    const { send } = start({ ratePerMinute: 0 });
    for (let request = 0; request < 150; request += 1) expect(send('sync', 'GET', SYNC).status).toBe(200);
  });
});
