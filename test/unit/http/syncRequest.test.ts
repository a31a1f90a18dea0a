import { createHash } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { describe, expect, it } from 'vitest';
import { keysOf, readSync } from '../../../functions/sync/request.ts';
import type { JsonValue } from '../../../lib/context/json.ts';
import { requireKeyPrefixes } from '../../../lib/http/admission.ts';
import { createHttpHandler } from '../../../lib/http/handler.ts';
import type { HttpResult } from '../../../lib/http/messages.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import type { InvocationTelemetry, TelemetryFactory } from '../../../lib/platform/telemetry.ts';

const ROUTE = 'POST /v1/sessions/{sessionId}/sync';
const clientFor = (key: string, more: object = {}) => ({
  name: key,
  keyHash: createHash('sha256').update(key).digest('hex'),
  operations: ['sync'],
  ...more,
});
const telemetry: InvocationTelemetry = {
  count: () => {},
  duration: () => {},
  flush: async () => {},
  log: () => {},
  operationAnswered: () => {},
  operationsSettling: () => {},
};

/** The chain with the sync route's own reading, answering what it has read. */
const handler = createHttpHandler({
  routes: {
    [ROUTE]: {
      operation: 'sync',
      body: 'json',
      handle: async (request) => {
        const command = readSync(request, 300);
        requireKeyPrefixes(request.client, keysOf(command));
        const { data, ttlSeconds, defaultTtlSeconds, idempotencyKey, client } = command;
        return { status: 200, body: { data, ttlSeconds, defaultTtlSeconds, idempotencyKey, client } };
      },
    },
  },
  clients: async () => [clientFor('all'), clientFor('crm', { keyPrefixes: ['crm_', 'hub/'] })],
  sessionIdPrefix: '',
  telemetry: { forInvocation: () => telemetry } as unknown as TelemetryFactory,
  clock: systemClock,
  requestBudgetMs: 8_000,
});

async function post(body: unknown, { key = 'all', headers = {} }: { key?: string; headers?: object } = {}) {
  const event = {
    routeKey: ROUTE,
    pathParameters: { sessionId: 'sess_1' },
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  };
  const context = { getRemainingTimeInMillis: () => 10_000 } as unknown as Context;
  const result = (await handler(event, context)) as HttpResult;
  return { status: result.statusCode, body: JSON.parse(result.body ?? '') };
}

interface Told {
  readonly pointer: string;
  readonly code: string;
  readonly message: string;
}
const placesIn = ({ body }: Awaited<ReturnType<typeof post>>): string[] =>
  (body.errors ?? []).map(({ pointer }: Told) => pointer).sort();
const nested = (levels: number): JsonValue => (levels === 0 ? 0 : { a: nested(levels - 1) });

describe('The body of a sync', () => {
  it('is a patch with the life of what it writes', async () => {
    const body = { data: { a: { b: [1, { c: null }], d: null } }, ttl: { '/a/b': 1, '/x~1y/~0': 31_536_000, '': 60 } };
    expect(await post(body, { headers: { 'idempotency-key': 'key-1' } })).toEqual({
      status: 200,
      body: { data: body.data, ttlSeconds: body.ttl, defaultTtlSeconds: 300, idempotencyKey: 'key-1', client: 'all' },
    });
  });

  it('may change nothing, and need not say how long things live', async () => {
    expect((await post({ data: {} })).body).toMatchObject({ data: {}, ttlSeconds: {} });
  });

  it.each([
    [null, ['']],
    [[], ['']],
    ['"text"', ['']],
    [{}, ['/data']],
    [{ data: null }, ['/data']],
    [{ data: [] }, ['/data']],
    [{ data: 'text' }, ['/data']],
    [{ data: {}, ttl: null }, ['/ttl']],
    [{ data: {}, ttl: [] }, ['/ttl']],
    [{ data: {}, ttl: 300 }, ['/ttl']],
    [{ data: {}, tll: {}, 'x/y': 1 }, ['/tll', '/x~1y']],
  ])('%j is refused at %j', async (body, places) => {
    const reply = await post(body);
    expect(reply).toMatchObject({ status: 422, body: { code: 'validation-failed' } });
    expect(placesIn(reply)).toEqual(places);
  });

  it.each([
    [0, /at least 1/],
    [-1, /at least 1/],
    [1.5, /whole number of seconds/],
    ['300', /whole number of seconds/],
    [null, /whole number of seconds/],
    [true, /whole number of seconds/],
    [{}, /whole number of seconds/],
    [31_536_001, /duration, not a moment/],
    [1_795_251_600_000, /duration, not a moment/],
    [1_795_251_600, /duration, not a moment/],
  ])('SCENARIO 26: a ttl of %j is refused with a hint', async (seconds, hint) => {
    const reply = await post({ data: {}, ttl: { '/a/b': seconds } });
    expect(reply.status).toBe(422);
    expect(reply.body.errors).toEqual([
      { pointer: '/ttl/~1a~1b', code: expect.any(String), message: expect.stringMatching(hint) },
    ]);
  });

  it.each(['a', 'a/b', '#/a', '/~', '/~2', '/a~', ' /a', '$.a'])(
    'a ttl for %j, which is no pointer, is refused',
    async (pointer) => {
      const reply = await post({ data: {}, ttl: { [pointer]: 60 } });
      expect(reply.status).toBe(422);
      expect(reply.body.errors).toEqual([
        {
          pointer: `/ttl/${pointer.replaceAll('~', '~0').replaceAll('/', '~1')}`,
          code: 'invalid-key',
          message: expect.stringContaining('/user_profile/name'),
        },
      ]);
    },
  );

  it('SCENARIO 35: everything that is wrong is told at once', async () => {
    const reply = await post(
      `{"data":{"a":{"constructor":1},"big":9007199254740993,"deep":${JSON.stringify(nested(33))}},
        "ttl":{"/a":0,"b":1,"/c":"60"},"more":1}`,
    );
    expect(reply.status).toBe(422);
    expect(placesIn(reply)).toEqual([
      '/data',
      '/data/a/constructor',
      '/data/big',
      '/more',
      '/ttl/b',
      '/ttl/~1a',
      '/ttl/~1c',
    ]);
  });

  it('SCENARIO 28, 34: 32 levels are taken, 33 are not, nor are thousands', async () => {
    expect((await post({ data: nested(32) })).status).toBe(200);
    expect(placesIn(await post({ data: nested(33) }))).toEqual(['/data']);
    const levels = 50_000;
    const reply = await post(`{"data":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`);
    expect(reply.status).toBe(422);
    expect(placesIn(reply)).toContain('/data');
  });

  it('SCENARIO 32: a name given twice is refused, also in the ttl', async () => {
    expect((await post('{"data":{"a":1,"\\u0061":2}}')).body.code).toBe('duplicate-json-key');
    expect((await post('{"data":{},"ttl":{"/a":1,"/a":2}}')).body.code).toBe('duplicate-json-key');
  });

  it.each(['__proto__', 'constructor', 'prototype'])('SCENARIO 31: %s is refused wherever it stands', async (name) => {
    const reply = await post(`{"data":{"${name}":1,"a":[{"${name}":{"polluted":true}}]},"ttl":{"${name}":1}}`);
    expect(reply.status).toBe(422);
    expect(placesIn(reply)).toEqual(expect.arrayContaining([`/data/${name}`, `/data/a/0/${name}`, `/ttl/${name}`]));
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  it('SCENARIO 44: no message quotes what was sent', async () => {
    const secret = 'ada@example.org';
    const reply = await post({ data: secret, ttl: { '/a': secret } });
    expect(placesIn(reply)).toEqual(['/data', '/ttl/~1a']);
    expect(JSON.stringify(reply.body)).not.toContain(secret);
  });

  it('a flood of what is wrong is told as far as it can be sent', async () => {
    const ttl = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`/${index}`, 0]));
    const reply = await post({ data: {}, ttl });
    expect(reply.status).toBe(422);
    expect(reply.body.detail).toContain('of 100000 errors');
    expect(JSON.stringify(reply.body).length).toBeLessThan(4_000_000);
  });
});

describe('The key prefixes of a client (SCENARIO 36)', () => {
  it.each([
    [{ data: { crm_a: 1, crm_b: { x: null } }, ttl: { '/crm_a/x': 60 } }, []],
    [{ data: { 'hub/a': 1 }, ttl: { '/hub~1a': 60 } }, []],
    [{ data: {} }, []],
    [{ data: { other: 1 } }, ['/data/other']],
    [{ data: { other: null } }, ['/data/other']],
    [{ data: { other: {} } }, ['/data/other']],
    [{ data: { crm_a: 1, CRM_b: 1, '': 1 } }, ['/data/', '/data/CRM_b']],
    [{ data: { hub: { a: 1 } } }, ['/data/hub']],
    [{ data: {}, ttl: { '/other/crm_': 60, '/crm_a': 60 } }, ['/ttl/~1other~1crm_']],
    // The whole context has everybody's keys in it.
    [{ data: {}, ttl: { '': 60 } }, ['/ttl/']],
  ])('%j: outside are %j', async (body, outside) => {
    const reply = await post(body, { key: 'crm' });
    expect(reply.status).toBe(outside.length === 0 ? 200 : 403);
    expect(placesIn(reply)).toEqual(outside);
  });

  it('are looked at once the body is right', async () => {
    expect((await post({ data: { other: 1 }, ttl: { '/a': 0 } }, { key: 'crm' })).status).toBe(422);
  });
});
