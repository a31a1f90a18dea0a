import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Body, type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json, type Reply, send, violations } from '../fixtures/stack/http.ts';
import { captureOutput } from '../fixtures/stack/output.ts';

const UPSTREAM_LIMIT = 262_144;
const BODY_LIMIT = 2 * 1024 * 1024;

let bridge: Bridge;
let output: ReturnType<typeof captureOutput>;
beforeAll(async () => {
  output = captureOutput();
  bridge = await startBridge({ settings: { POWERTOOLS_LOG_LEVEL: 'DEBUG' } });
});
afterAll(async () => {
  await bridge.close();
  output.stop();
});

let sessions = 0;
let session = '';
beforeEach(() => {
  output.clear();
  sessions += 1;
  session = `sess_${sessions}`;
});

/** Refused, and neither mirror nor version nor bot has noticed. */
async function expectRefused(body: Body, status: number, code: string, headers: Record<string, string> = {}) {
  const reply = await bridge.inject(session, body, headers);
  const errors = expectProblem(reply, status, code);
  expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
  expect(bridge.requests(session)).toEqual([]);
  return errors;
}

const variables = (...list: Json[]) => ({ variables: list });
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

describe('several violations', () => {
  it('SCENARIO 35: all of them, each with its pointer', async () => {
    const errors = await expectRefused(
      {
        variables: [
          { key: 'no spaces', value: 1, scope: 'bot', ttlSeconds: 0 },
          { value: 1, expiresAt: 'soon', unknown: 1 },
          { key: 'twice' },
          { key: 'twice', value: 1, ttlSeconds: 1.5 },
          { key: 'past', value: 1, expiresAt: '2020-01-01T00:00:00Z' },
          { key: 'both', value: 1, expiresAt: '2099-01-01T00:00:00Z', ttlSeconds: 1 },
          'no variable',
        ],
        mergeStrategy: 'replace',
        crm: [],
        surprise: true,
      },
      422,
      'validation-failed',
    );
    expect([...new Set(errors.map(({ pointer }) => pointer))].sort()).toEqual([
      '/crm',
      '/mergeStrategy',
      '/surprise',
      '/variables/0/key',
      '/variables/0/scope',
      '/variables/0/ttlSeconds',
      '/variables/1/expiresAt',
      '/variables/1/key',
      '/variables/1/unknown',
      '/variables/2/value',
      '/variables/3/key',
      '/variables/3/ttlSeconds',
      '/variables/4/expiresAt',
      '/variables/5/ttlSeconds',
      '/variables/6',
    ]);
  });

  it('SCENARIO 35: what is wrong with the JSON is told beside what is wrong with the request', async () => {
    const body =
      '{"variables":[{"key":"a b","value":9007199254740993},{"key":"b","value":{"__proto__":1}},{"key":"c","value":"\\ud800","ttlSeconds":-1}]}';
    expect(violations(await expectRefused(body, 422, 'validation-failed'))).toEqual([
      '/variables/0/key invalid-format',
      '/variables/0/value number-not-exact',
      '/variables/1/value/__proto__ prototype-name',
      '/variables/2/ttlSeconds too-small',
      '/variables/2/value lone-surrogate',
    ]);
  });

  it.each([
    ['no body', ''],
    ['white space', '  '],
    ['cut off', '{"variables":['],
    ['a trailing comma', '{"variables":[],}'],
    ['a comment', '{"variables":[]/**/}'],
    ['NaN', '{"variables":[{"key":"a","value":NaN}]}'],
    ['a byte order mark', '\ufeff{"variables":[{"key":"a","value":1}]}'],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
  ])('%s is 400 malformed-json', async (_name, body) => {
    await expectRefused(body, 400, 'malformed-json');
  });

  it.each([
    ['null', 'null', ['']],
    ['a list', '[]', ['']],
    ['a string', '"variables"', ['']],
    ['an empty object', '{}', ['/variables']],
    ['variables that are no list', '{"variables":{}}', ['/variables']],
    ['an empty list', '{"variables":[]}', ['/variables']],
    ['null in the list', '{"variables":[null]}', ['/variables/0']],
    ['names with / and ~', '{"variables":[{"key":"a","value":1,"b/c~d":1}]}', ['/variables/0/b~1c~0d']],
  ])('%s is 422 at its pointer', async (_name, body, pointers) => {
    const errors = await expectRefused(body, 422, 'validation-failed');
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
  });
});

describe('JSON that says two things', () => {
  it('SCENARIO 32: duplicate names are 400, at every depth and however they are written', async () => {
    const body = '{"variables":[{"key":"a","value":{"x":1,"\\u0078":2},"key":"b"}],"variables":[]}';
    expect(violations(await expectRefused(body, 400, 'duplicate-json-key'))).toEqual([
      '/variables duplicate-name',
      '/variables/0/key duplicate-name',
      '/variables/0/value/x duplicate-name',
    ]);
  });

  it('SCENARIO 31: prototype names are refused at any depth, never stripped, and nothing is polluted', async () => {
    const body =
      '{"__proto__":{"polluted":1},"variables":[{"key":"a","value":{"b":[{"constructor":{"prototype":{"polluted":1}}}]}}],"crm":{"__proto__":{"polluted":1}}}';
    const errors = violations(await expectRefused(body, 422, 'validation-failed'));
    expect(errors).toEqual(
      expect.arrayContaining([
        '/__proto__ prototype-name',
        '/crm/__proto__ prototype-name',
        '/variables/0/value/b/0/constructor prototype-name',
        '/variables/0/value/b/0/constructor/prototype prototype-name',
      ]),
    );
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it.each(['__proto__', 'constructor', 'prototype'])('SCENARIO 31: %s is no key', async (key) => {
    const errors = await expectRefused(one(key, 1), 422, 'validation-failed');
    expect(violations(errors)).toEqual(['/variables/0/key prototype-name']);
  });
});

describe('nesting', () => {
  it('SCENARIO 34: 32 levels are taken, and arrive', async () => {
    const reply = await bridge.inject(
      session,
      `{"variables":[{"key":"deep","value":${nested(32)}}],"crm":{"a":${nested(31)}}}`,
    );
    expect(reply.status).toBe(200);
    expect(JSON.stringify(bridge.bot(session).deep)).toBe(nested(32));
  });

  it.each([33, 5_000, 400_000])('SCENARIO 34: %d levels are 422, without a stack overflow', async (levels) => {
    const body = `{"variables":[{"key":"deep","value":${nested(levels)}}]}`;
    const errors = await expectRefused(body, 422, 'validation-failed');
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) {
      expect(error.code).toBe('too-deep');
      expect(error.pointer).toMatch(/^\/variables\/0\/value/);
    }
  });

  it('SCENARIO 34: objects and crm count alike', async () => {
    const deep = `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`;
    const errors = await expectRefused(`{"variables":[{"key":"a","value":1}],"crm":${deep}}`, 422, 'validation-failed');
    expect(errors.map(({ code }) => code)).toEqual(['too-deep']);
    expect(errors[0]?.pointer).toMatch(/^\/crm/);
  });
});

describe('numbers and text', () => {
  it.each([
    ['9007199254740993', 'number-not-exact'],
    ['-9007199254740993', 'number-not-exact'],
    ['123456789012345678901234567890', 'number-not-exact'],
    ['9007199254740993.0', 'number-not-exact'],
    ['1e400', 'number-not-finite'],
    ['-1e400', 'number-not-finite'],
    ['"\\ud83d"', 'lone-surrogate'],
    ['"\\ude00 \\ud83d"', 'lone-surrogate'],
    ['{"\\udfff":1}', 'lone-surrogate'],
  ])('%s is refused, not repaired', async (value, code) => {
    const errors = await expectRefused(`{"variables":[{"key":"a","value":[${value}]}]}`, 422, 'validation-failed');
    expect(errors.map((error) => error.code)).toEqual([code]);
    expect(errors[0]?.pointer).toMatch(/^\/variables\/0\/value\/0/);
  });

  it('what can be kept exactly is kept exactly', async () => {
    const values = '[9007199254740992,-9007199254740992,0.1,1e-7,-0.5,1.5e15,"\\ud83d\\ude00","\\u0000","é"]';
    const reply = await bridge.inject(session, `{"variables":[{"key":"a","value":${values}}]}`);
    expect(reply.status).toBe(200);
    expect(bridge.bot(session).a).toEqual(JSON.parse(values));
    expect((await bridge.get(`/v1/sessions/${session}`)).body.context.a).toEqual(JSON.parse(values));
  });

  it('SCENARIO 33: strings that look like something else stay strings on every path', async () => {
    const strings = [
      '007',
      '+491701234567',
      '1_000',
      'NaN',
      '1e3',
      ' 5',
      'true',
      'null',
      '[]',
      '',
      '2026-01-01T00:00:00Z',
    ];
    const list = strings.map((value, index) => ({ key: `s${index}`, value }));
    expect((await bridge.inject(session, variables(...list))).status).toBe(200);
    const expected = Object.fromEntries(list.map(({ key, value }) => [key, value]));
    expect(bridge.bot(session)).toEqual(expected);
    expect((await bridge.get(`/v1/sessions/${session}`)).body.context).toEqual(expected);
  });
});

describe('expiry', () => {
  const inAYear = () => new Date(Date.now() + 365 * 86_400_000).toISOString();

  it.each([
    ['in the past', '2020-01-01T00:00:00Z', /past/],
    ['without a zone', '2099-01-01T00:00:00', /zone/],
    ['a bare date', '2099-01-01', /RFC 3339/],
    ['epoch milliseconds', 4_070_908_800_000, /epoch|RFC 3339/],
    ['epoch milliseconds as text', '4070908800000', /epoch|RFC 3339/],
    ['the 30th of February', '2099-02-30T00:00:00Z', /exist/],
    ['the 13th month', '2099-13-01T00:00:00Z', /exist/],
    ['24 hours', '2099-01-01T24:00:00Z', /exist/],
    ['words', 'tomorrow', /RFC 3339/],
    ['true', true, /RFC 3339/],
    ['null', null, /RFC 3339/],
  ])('SCENARIO 26: expiresAt %s is 422 with a hint', async (_name, expiresAt, hint) => {
    const errors = await expectRefused(one('a', 1, { expiresAt }), 422, 'validation-failed');
    expect(errors.map(({ pointer }) => pointer)).toEqual(['/variables/0/expiresAt']);
    expect(errors[0]?.message).toMatch(hint);
  });

  it.each([0, -1, 1.5, 31_536_001, 1e300, '900', null, true])(
    'SCENARIO 26: ttlSeconds %j is 422',
    async (ttlSeconds) => {
      const errors = await expectRefused(one('a', 1, { ttlSeconds }), 422, 'validation-failed');
      expect(new Set(errors.map(({ pointer }) => pointer))).toEqual(new Set(['/variables/0/ttlSeconds']));
    },
  );

  it('SCENARIO 26: both together are 422', async () => {
    const errors = await expectRefused(one('a', 1, { ttlSeconds: 1, expiresAt: inAYear() }), 422, 'validation-failed');
    expect(violations(errors)).toEqual(['/variables/0/ttlSeconds exclusive-members']);
  });

  it('takes one second, a year, an offset and a fraction', async () => {
    const reply = await bridge.inject(
      session,
      variables(
        { key: 'a', value: 1, ttlSeconds: 1 },
        { key: 'b', value: 1, ttlSeconds: 31_536_000 },
        { key: 'c', value: 1, expiresAt: '2099-06-01T12:00:00.25+02:00' },
      ),
    );
    expect(reply.status).toBe(200);
    const sent = bridge.puts(session)[0]?.body as Json;
    expect(sent.variables[2].expiresAt).toBe('2099-06-01T10:00:00.250Z');
    const lifeMs = Date.parse(sent.variables[1].expiresAt) - Date.parse(sent.variables[0].expiresAt);
    expect(lifeMs).toBe((31_536_000 - 1) * 1_000);
  });
});

describe('keys', () => {
  it.each(['', 'a b', 'ä', 'a.b', 'a/b', '$a', 'a\n', 'x'.repeat(129), 7, null])('%j is no key', async (key) => {
    const errors = await expectRefused(variables({ key, value: 1 }), 422, 'validation-failed');
    expect(errors.map(({ pointer }) => pointer)).toEqual(['/variables/0/key']);
  });

  it.each(['a', '_', '-', '0', 'A-z_9', 'x'.repeat(128), 'toString', 'hasOwnProperty'])('%s is a key', async (key) => {
    expect((await bridge.inject(session, one(key, 'v'))).status).toBe(200);
    expect(bridge.bot(session)).toEqual({ [key]: 'v' });
    expect((await bridge.get(`/v1/sessions/${session}`)).body.context).toEqual({ [key]: 'v' });
  });

  it('a key may occur once per scope', async () => {
    const twice = variables(
      { key: 'a', value: 1 },
      { key: 'a', value: 2, scope: 'user' },
      { key: 'a', value: 3, scope: 'session' },
    );
    expect(violations(await expectRefused(twice, 422, 'validation-failed'))).toEqual([
      '/variables/2/key duplicate-key',
    ]);

    const perScope = variables(
      { key: 'a', value: 1, scope: 'global' },
      { key: 'a', value: 2 },
      { key: 'a', value: 3, scope: 'user' },
    );
    const reply = await bridge.inject(session, perScope);
    expect(reply.body).toMatchObject({ status: 'injected', variablesInjected: 3 });
    expect(bridge.tenant.sessions.inspect(session)?.variables).toHaveLength(3);
    expect(bridge.bot(session)).toEqual({ a: 3 });
  });
});

describe('size', () => {
  const overhead = Buffer.byteLength(
    '{"variables":[{"key":"k","value":"","scope":"session","expiresAt":null}],"mergeStrategy":"atomic_put"}',
  );
  const filled = (unit: string, bytes: number) => {
    const units = Math.floor(bytes / Buffer.byteLength(unit));
    return unit.repeat(units) + 'a'.repeat(bytes - units * Buffer.byteLength(unit));
  };

  it.each([
    ['ASCII', 'x'],
    ['two bytes', 'é'],
    ['three bytes', '€'],
    ['four bytes', '😀'],
    ['an escape', '\n'],
  ])(
    'SCENARIO 28: exactly 262,144 bytes upstream are accepted, one more is 413 and changes nothing (%s)',
    async (_name, unit) => {
      // An escape is two bytes of JSON, and of UTF-8 one.
      const room = UPSTREAM_LIMIT - overhead;
      const value = unit === '\n' ? '\n'.repeat(Math.floor(room / 2)) + 'a'.repeat(room % 2) : filled(unit, room);

      const tooMuch = await bridge.inject(session, one('k', `${value}a`));
      expectProblem(tooMuch, 413, 'payload-too-large');
      expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
      expect(bridge.requests(session)).toEqual([]);

      const reply = await bridge.inject(session, one('k', value));
      expect(reply.status).toBe(200);
      expect(reply.body.version).toBe(1);
      expect(bridge.puts(session).map(({ bodyBytes }) => bodyBytes)).toEqual([UPSTREAM_LIMIT]);
      expect(bridge.bot(session).k === value).toBe(true);
      expect((await bridge.get(`/v1/sessions/${session}`)).body.context.k === value).toBe(true);

      expectProblem(await bridge.inject(session, one('k', `${value}a`)), 413, 'payload-too-large');
      const after = await bridge.get(`/v1/sessions/${session}`);
      expect(after.body.version).toBe(1);
      expect(after.body.context.k === value).toBe(true);
      expect(bridge.puts(session)).toHaveLength(1);
    },
  );

  it('SCENARIO 28: a body of exactly 2 MiB is read, one byte more is 413', async () => {
    const body = JSON.stringify(one('a', 1)).padEnd(BODY_LIMIT, ' ');
    await expectRefused(`${body} `, 413, 'payload-too-large');
    expect((await bridge.inject(session, body)).status).toBe(200);
  });

  it('tells a flood of violations within what a Lambda can answer', async () => {
    const errors = await expectRefused(`{"variables":[${'1e999,'.repeat(300_000)}1]}`, 422, 'validation-failed');
    expect(errors.length).toBeGreaterThanOrEqual(1_000);
    expect(JSON.stringify(errors).length).toBeLessThan(5_000_000);
  });
});

describe('headers', () => {
  const post = (headers: Record<string, string>, body: Body = JSON.stringify(one('a', 1))) =>
    send(bridge.url, `/v1/sessions/${session}/variables`, {
      method: 'POST',
      headers: { authorization: `Bearer ${LOCAL_KEY}`, ...headers },
      body,
    });

  it.each([
    undefined,
    '',
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'application/jsonp',
    'application/json; charset=iso-8859-1',
    'application/json, text/plain',
  ])('content type %j is 415', async (type) => {
    expectProblem(await post(type === undefined ? {} : { 'content-type': type }), 415, 'unsupported-media-type');
    expect(bridge.requests(session)).toEqual([]);
  });

  it.each([
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
  ])('content type %s is taken', async (type) => {
    expect((await post({ 'content-type': type })).status).toBe(200);
  });

  it.each(['k'.repeat(256), 'two words', 'tab\tkey', '', 'ümlaut'])('Idempotency-Key %j is 400', async (key) => {
    const reply = await post({ 'content-type': 'application/json', 'idempotency-key': key });
    expectProblem(reply, 400, 'invalid-idempotency-key');
    expect(bridge.requests(session)).toEqual([]);
  });

  it.each(['!', 'k'.repeat(255), '~"<>{}'])('Idempotency-Key %s is taken', async (key) => {
    expect((await post({ 'content-type': 'application/json', 'idempotency-key': key })).status).toBe(200);
  });

  it('a correlation id is echoed, and goes upstream and into the audit trail', async () => {
    const reply = await bridge.inject(session, one('a', 1), { 'x-correlation-id': 'crm-run:42' });
    expect(reply.headers['x-correlation-id']).toBe('crm-run:42');
    expect(bridge.puts(session)[0]?.headers['x-correlation-id']).toBe('crm-run:42');
    expect((await bridge.audit(session)).entries[0].correlationId).toBe('crm-run:42');
    const refused = await bridge.inject(session, '{}', { 'x-correlation-id': 'crm-run:43' });
    expectProblem(refused, 422, 'validation-failed');
    expect(refused.body.correlationId).toBe('crm-run:43');
  });

  it.each(['two words', 'x'.repeat(129), '<script>', 'a"b'])(
    'a correlation id such as %j is replaced',
    async (given) => {
      for (const body of [one('a', 1), '{}']) {
        const reply = await bridge.inject(session, body, { 'x-correlation-id': given });
        expect(reply.headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
        expect(reply.text).not.toContain(given);
      }
      expect(bridge.puts(session)[0]?.headers['x-correlation-id']).not.toContain(given);
    },
  );
});

describe('session ids', () => {
  it.each([
    ['../../admin', '..%2F..%2Fadmin'],
    ['../../admin, dots encoded', '%2e%2e%2f%2e%2e%2fadmin'],
    ['two dots', '%2e%2e'],
    ['a dot in front', '.hidden'],
    ['a dash in front', '-rf'],
    ['CRLF', 'sess_1%0d%0aX-Injected:%20admin'],
    ['a NUL', 'sess_1%00admin'],
    ['double encoding', '%252e%252e%252fadmin'],
    ['broken encoding', 'sess_%zzadmin'],
    ['encoding that is no UTF-8', 'sess_%ffadmin'],
    ['a slash', 'sess_1%2fadmin'],
    ['a question mark', 'sess_1%3fadmin'],
    ['a space', 'sess%20admin'],
    ['an umlaut', 'sess_%c3%bcadmin'],
    ['257 characters', `admin${'x'.repeat(252)}`],
    ['10 kB', `admin${'x'.repeat(10_000)}`],
  ])('SCENARIO 39: %s is 400, and nothing of it goes anywhere', async (_name, encoded) => {
    const before = bridge.tenant.journal.entries().length;
    const replies: Reply[] = [];
    for (const [method, path] of [
      ['POST', `/v1/sessions/${encoded}/variables`],
      ['GET', `/v1/sessions/${encoded}`],
      ['GET', `/v1/sessions/${encoded}/audit`],
    ] as const) {
      // Before any other work: even without a key.
      for (const headers of [{}, { authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' }]) {
        replies.push(await send(bridge.url, path, { method, headers, ...(method === 'POST' && { body: '{}' }) }));
      }
    }
    for (const reply of replies) {
      expectProblem(reply, 400, 'invalid-session-id');
      expect(reply.text + JSON.stringify(reply.headers)).not.toMatch(/admin|hidden|%2e|-rf/i);
    }
    expect(output.text).toContain('request answered');
    expect(output.text).not.toMatch(/admin|hidden|%2e|-rf\b/i);
    expect(bridge.tenant.journal.entries()).toHaveLength(before);
  });

  it.each(['a', 'Sess.1_x:y@z~-', 'x'.repeat(256), '0..'])('%s is a session id', async (id) => {
    const reply = await bridge.inject(id, one('a', 1));
    expect(reply.status).toBe(200);
    expect(reply.body.sessionId).toBe(id);
    expect(bridge.bot(id)).toEqual({ a: 1 });
  });

  it('paths that are no route are 404', async () => {
    for (const path of [
      '/',
      '/v1/sessions',
      '/v1/sessions//variables',
      '/v1/sessions/../sess_1',
      '/v2/sessions/sess_1',
    ]) {
      expect((await send(bridge.url, path)).status).toBe(404);
    }
  });
});

describe('what is said about what was sent', () => {
  it('SCENARIO 44: an error names the path and the rule, never the value', async () => {
    const address = 'alice.liddell@example.org';
    for (const body of [
      variables({ key: address, value: 1 }),
      one('a', 1, { scope: address }),
      one('a', 1, { expiresAt: address }),
      one('a', 1, { ttlSeconds: address }),
      one('a', { __proto__x: address, ['constructor']: address }),
      { variables: address, mergeStrategy: address, crm: address },
      `{"variables":[{"key":"a","value":"${address}","value":"${address}"}]}`,
      `{"variables":[{"key":"a","value":"${address}"`,
      `"${address}"`,
      one('a', address.repeat(12_000)),
    ]) {
      const reply = await bridge.inject(session, body);
      expect(reply.status).toBeGreaterThanOrEqual(400);
      expect(reply.text).not.toContain('alice');
    }
    expect(output.text).not.toContain('alice');
    expect(JSON.stringify(await bridge.audit(session))).not.toContain('alice');
  });
});
