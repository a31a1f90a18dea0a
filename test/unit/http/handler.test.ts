import { createHash } from 'node:crypto';
import type { Context } from 'aws-lambda';
import * as fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { createHttpHandler, type SessionRoute } from '../../../lib/http/handler.ts';
import type { HttpEvent, HttpResult } from '../../../lib/http/messages.ts';
import { Problem } from '../../../lib/http/problem.ts';
import { StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import { SecretError } from '../../../lib/platform/secrets.ts';
import { type InvocationTelemetry, TelemetryFactory } from '../../../lib/platform/telemetry.ts';

const KEY = 'key-1';
const ROUTE = 'POST /v1/sessions/{sessionId}/variables';
/** The real telemetry without a word. */
const QUIET = {
  POWERTOOLS_LOG_LEVEL: 'SILENT',
  POWERTOOLS_METRICS_DISABLED: 'true',
  POWERTOOLS_METRICS_NAMESPACE: 'test',
  POWERTOOLS_SERVICE_NAME: 'test',
};
const clients = [
  { name: 'crm', keyHash: createHash('sha256').update(KEY).digest('hex'), operations: ['inject'] },
  { name: 'reader', keyHash: createHash('sha256').update('reader').digest('hex'), operations: ['read'] },
];

function prepare(
  route: Partial<SessionRoute> = {},
  options: { clients?: () => Promise<typeof clients>; telemetry?: TelemetryFactory } = {},
) {
  const lines: string[] = [];
  const telemetry = {
    count: vi.fn(),
    duration: vi.fn(),
    flush: vi.fn(),
    operationAnswered: vi.fn(),
    operationsSettling: vi.fn(),
    log: (level: string, message: string, fields?: object) => lines.push(JSON.stringify({ level, message, fields })),
  } satisfies InvocationTelemetry;
  const factory = options.telemetry ?? ({ forInvocation: () => telemetry } as unknown as TelemetryFactory);
  const askedForClients = vi.fn(options.clients ?? (async () => clients));
  const handle = vi.fn<SessionRoute['handle']>(route.handle ?? (async () => ({ status: 200, body: { ok: true } })));
  const handler = createHttpHandler({
    routes: { [ROUTE]: { operation: 'inject', body: 'json', ...route, handle } },
    clients: askedForClients,
    sessionIdPrefix: '',
    telemetry: factory,
    clock: systemClock,
    requestBudgetMs: 8_000,
  });
  const invoke = async (change: HttpEvent = {}, remainingMs = 10_000): Promise<HttpResult> => {
    const event: HttpEvent = {
      routeKey: ROUTE,
      pathParameters: { sessionId: 'sess_1' },
      body: '{}',
      ...change,
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}`, ...change.headers },
    };
    const context = { getRemainingTimeInMillis: () => remainingMs } as unknown as Context;
    return (await handler(event, context)) as HttpResult;
  };
  return { invoke, handle, askedForClients, telemetry, lines };
}

const bodyOf = ({ body = '' }: HttpResult) => JSON.parse(body);
const codeOf = (result: HttpResult): string => bodyOf(result).code;

describe('A request that is let in', () => {
  it('is handed on parsed, and answered with its correlation id and headers that keep it private', async () => {
    const { invoke, handle, telemetry } = prepare();
    const result = await invoke({ body: '{"a":1}', headers: { 'X-Correlation-Id': 'corr-1' } });
    expect(result).toEqual({
      statusCode: 200,
      body: '{"ok":true}',
      headers: {
        'content-type': 'application/json',
        'x-correlation-id': 'corr-1',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      },
    });
    expect(handle.mock.calls[0]?.[0]).toMatchObject({
      sessionId: 'sess_1',
      client: { name: 'crm' },
      correlationId: 'corr-1',
    });
    expect(handle.mock.calls[0]?.[0].body.value).toEqual({ a: 1 });
    expect(telemetry.flush).toHaveBeenCalledTimes(1);
  });

  it('is answered without a body and its type where there is nothing to say', async () => {
    const { invoke, telemetry } = prepare({ handle: async () => ({ status: 204, headers: { 'x-more': '1' } }) });
    expect(await invoke({ headers: { 'x-correlation-id': 'corr-1' } })).toEqual({
      statusCode: 204,
      headers: {
        'x-more': '1',
        'x-correlation-id': 'corr-1',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      },
    });
    expect(telemetry.flush).toHaveBeenCalledTimes(1);
  });

  it('of a route without a body has none, whatever came with it', async () => {
    const { invoke, handle } = prepare({ body: 'none' });
    const result = await invoke({ body: '{"__proto__":', headers: { 'Content-Type': 'text/plain' } });
    expect(result.statusCode).toBe(200);
    expect(handle.mock.calls[0]?.[0].body).toEqual({ value: undefined, violations: [] });
  });

  it('has a deadline of its budget, and less where the Lambda has less', async () => {
    const { invoke, handle } = prepare();
    await invoke({}, 60_000);
    await invoke({}, 3_000);
    const now = Date.now();
    const left = handle.mock.calls.map(([{ deadlineMs }]) => deadlineMs - now);
    expect(left[0]).toBeLessThanOrEqual(8_000);
    expect(left[1]).toBeLessThanOrEqual(1_500);
  });

  it.each(['a b', 'a\r\nx: y', 'x'.repeat(129), '', '<script>'])(
    'a correlation id such as %j is replaced, not repeated',
    async (given) => {
      const { headers } = await prepare().invoke({ headers: { 'x-correlation-id': given } });
      expect(headers['x-correlation-id']).toMatch(/^[0-9a-f-]{36}$/);
    },
  );
});

describe('The order of the checks', () => {
  const wrong = {
    id: { pathParameters: { sessionId: '../../admin' } },
    client: { headers: { Authorization: 'Bearer wrong' } },
    grant: { headers: { Authorization: 'Bearer reader' } },
    body: { body: '{' },
  } satisfies Record<string, HttpEvent>;

  it('route before id, id before client, client before grant, grant before body', async () => {
    const subject = prepare();
    expect(codeOf(await subject.invoke({ routeKey: 'GET /', ...wrong.id }))).toBe('not-found');
    expect(codeOf(await subject.invoke({ ...wrong.id, ...wrong.client, ...wrong.body }))).toBe('invalid-session-id');
    expect(subject.askedForClients).not.toHaveBeenCalled();
    expect(codeOf(await subject.invoke({ ...wrong.client, ...wrong.body }))).toBe('unauthenticated');
    expect(codeOf(await subject.invoke({ ...wrong.grant, ...wrong.body }))).toBe('forbidden');
    expect(codeOf(await subject.invoke(wrong.body))).toBe('malformed-json');
    expect(subject.handle).not.toHaveBeenCalled();
  });

  it.each(Object.entries(wrong))('answers a wrong %s as problem+json with its correlation id', async (_what, event) => {
    const { invoke, telemetry } = prepare();
    const result = await invoke(event);
    expect(result.headers['content-type']).toBe('application/problem+json');
    expect(result.headers['cache-control']).toBe('no-store');
    expect(bodyOf(result).correlationId).toBe(result.headers['x-correlation-id']);
    expect(result.headers['x-correlation-id']).toMatch(/\S/);
    expect(telemetry.flush).toHaveBeenCalledTimes(1);
  });

  it.each(['toString', '__proto__', 'constructor'])('%s is no route', async (routeKey) => {
    expect(codeOf(await prepare().invoke({ routeKey }))).toBe('not-found');
  });

  it('a raw id is neither answered nor logged', async () => {
    const { invoke, lines } = prepare();
    const { body } = await invoke({ pathParameters: { sessionId: 'zyx\r\nadmin' } });
    expect(body + lines.join()).not.toContain('zyx');
  });
});

describe('Failures', () => {
  it.each<[unknown, number, string]>([
    [new Error('hunter2'), 500, 'internal-error'],
    ['hunter2', 500, 'internal-error'],
    [new StoreError('store-unavailable', new Error('hunter2')), 503, 'store-unavailable'],
    [new StoreError('store-timeout'), 504, 'store-timeout'],
    [new SecretError('hunter2'), 500, 'misconfigured'],
    [new Problem('session-busy', { headers: { 'retry-after': '7' } }), 429, 'session-busy'],
  ])('%s is answered with %i %s, and leaks nothing', async (thrown, status, code) => {
    const { invoke, lines } = prepare({
      handle: async () => {
        throw thrown;
      },
    });
    const result = await invoke();
    expect([result.statusCode, codeOf(result)]).toEqual([status, code]);
    expect(result.body + JSON.stringify(result.headers) + lines.join()).not.toContain('hunter2');
    if (code === 'session-busy') expect(result.headers['retry-after']).toBe('7');
    if (code.startsWith('store-')) expect(result.headers['retry-after']).toBeDefined();
  });

  it('missing configuration lets nobody in (SCENARIO 38)', async () => {
    const { invoke, handle } = prepare({}, { clients: () => Promise.reject(new SecretError('nothing there')) });
    expect(codeOf(await invoke())).toBe('misconfigured');
    expect(handle).not.toHaveBeenCalled();
  });

  it('a handler that outlives the Lambda’s time is answered 504 before it', async () => {
    const { invoke, telemetry } = prepare({ handle: () => new Promise(() => {}) });
    const result = await invoke({}, 340);
    expect([result.statusCode, codeOf(result)]).toEqual([504, 'out-of-time']);
    expect(result.headers['x-correlation-id']).toMatch(/\S/);
    expect(telemetry.flush).toHaveBeenCalled();
  });
});

describe('Refused requests of known clients', () => {
  it.each([
    ['forbidden', { headers: { Authorization: 'Bearer reader' } }, 1],
    ['malformed-json', { body: '{' }, 0],
    ['unauthenticated', { headers: { Authorization: 'Bearer wrong' } }, 0],
  ])('%s: are told to the route where that is due', async (code, event, times) => {
    const onRefused = vi.fn(async () => {});
    const { invoke } = prepare({ onRefused });
    expect(codeOf(await invoke(event))).toBe(code);
    expect(onRefused).toHaveBeenCalledTimes(times);
  });

  it('are answered all the same when the telling fails', async () => {
    const { invoke } = prepare({
      handle: async () => {
        throw new Problem('validation-failed');
      },
      onRefused: async () => {
        throw new Error('hunter2');
      },
    });
    const result = await invoke();
    expect(result.statusCode).toBe(422);
    expect(result.body).not.toContain('hunter2');
  });
});

describe('Operations', () => {
  const answered = (telemetry: ReturnType<typeof prepare>['telemetry']) =>
    telemetry.operationAnswered.mock.calls.map(([end]) => end);

  it.each<[string, Partial<SessionRoute>, HttpEvent, boolean]>([
    ['200', {}, {}, true],
    ['202', { handle: async () => ({ status: 202 }) }, {}, true],
    ['a body that is none', {}, { body: '{' }, false],
    ['422', { handle: async () => Promise.reject(new Problem('validation-failed')) }, {}, false],
    ['403 outside of its prefixes', { handle: async () => Promise.reject(new Problem('forbidden')) }, {}, false],
    ['a failure', { handle: async () => Promise.reject(new StoreError('store-timeout')) }, {}, false],
  ])(
    'are counted once when they are answered, before the metrics are written: %s',
    async (_what, route, event, isSuccess) => {
      const { invoke, telemetry } = prepare({ measured: 'inject', ...route });
      await invoke(event);
      expect(answered(telemetry)).toEqual([{ name: 'inject', isSuccess }]);
      expect(telemetry.flush.mock.invocationCallOrder[0]).toBeGreaterThan(
        telemetry.operationAnswered.mock.invocationCallOrder[0] ?? Number.NaN,
      );
    },
  );

  it.each<[string, Partial<SessionRoute>, HttpEvent]>([
    ['of nobody known', {}, { headers: { Authorization: 'Bearer wrong' } }],
    ['of a client without the grant', {}, { headers: { Authorization: 'Bearer reader' } }],
    ['for a session that cannot be', {}, { pathParameters: { sessionId: '../..' } }],
    ['on a route that asks for none', { measured: undefined as never }, {}],
    ['replayed', { handle: async () => ({ status: 200, headers: { 'idempotency-replayed': 'true' } }) }, {}],
    [
      'refused, and replayed',
      { handle: async () => Promise.reject(new Problem('conflict', { headers: { 'idempotency-replayed': 'true' } })) },
      {},
    ],
  ])('are not what is %s', async (_what, route, event) => {
    const { invoke, telemetry } = prepare({ measured: 'inject', ...route });
    await invoke(event);
    expect(answered(telemetry)).toEqual([]);
    expect(telemetry.flush).toHaveBeenCalledTimes(1);
  });

  it('do not fail with the store of the counts: the answer is the same', async () => {
    for (const [name, value] of Object.entries(QUIET)) vi.stubEnv(name, value);
    const add = vi.fn(() => Promise.reject(new StoreError('store-unavailable')));
    const telemetry = new TelemetryFactory('inject', { rollups: { add }, clock: systemClock });
    const { invoke } = prepare({ measured: 'inject' }, { telemetry });
    expect((await invoke()).statusCode).toBe(200);
    expect(add).toHaveBeenCalledTimes(1);
    vi.unstubAllEnvs();
  });
});

describe('Whatever comes in', () => {
  it('property: is answered, and never with somebody else’s error', async () => {
    const { invoke } = prepare();
    const text = fc.oneof(fc.string(), fc.constant(undefined));
    const event = fc.record({
      routeKey: fc.constantFrom(ROUTE, 'GET /', ''),
      pathParameters: fc.oneof(fc.constant({}), fc.record({ sessionId: fc.oneof(fc.constant('sess_1'), fc.string()) })),
      headers: fc.dictionary(
        fc.oneof(fc.string(), fc.constantFrom('Authorization', 'x-api-key', 'content-type', '__proto__')),
        text,
      ),
      body: fc.oneof(fc.constant(null), fc.string(), fc.json()),
      isBase64Encoded: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(event, async (given) => {
        const result = await invoke(given);
        expect(result.statusCode).toBeLessThan(500);
        expect(bodyOf(result)).toBeTypeOf('object');
      }),
      { numRuns: 300 },
    );
  });
});
