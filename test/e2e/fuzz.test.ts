import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { functionDefinitions, type Invoke, loadFunction } from '../../infra/local/functions.ts';
import { type Bridge, LOCAL_KEY, startBridge } from '../fixtures/stack/bridge.ts';

const RUNS = 1_500;

const anything = fc.anything({ withBigInt: false, withDate: true, withNullPrototype: true, withSparseArray: true });
const sessionIds = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('sess_1', 'sess_2') }, fc.string(), anything);
const headerNames = fc.constantFrom(
  'authorization',
  'Authorization',
  'x-api-key',
  'content-type',
  'Content-Type',
  'idempotency-key',
  'x-correlation-id',
  '__proto__',
);
const headerValues = fc.oneof(
  fc.constantFrom(`Bearer ${LOCAL_KEY}`, LOCAL_KEY, 'application/json', 'key-1'),
  fc.string(),
  anything,
);
const variable = fc.record(
  {
    key: fc.oneof(fc.constantFrom('a', 'b', '__proto__', 'a b'), fc.string(), anything),
    value: fc.oneof(fc.jsonValue(), anything),
    scope: fc.oneof(fc.constantFrom('user', 'session', 'global'), anything),
    expiresAt: fc.oneof(fc.constantFrom('2099-01-01T00:00:00Z', '2001-01-01T00:00:00Z'), fc.string(), anything),
    ttlSeconds: fc.oneof(fc.integer(), anything),
    extra: anything,
  },
  { requiredKeys: [] },
);
const jsonText = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '{';
  }
};
const valid = fc.record({
  variables: fc.uniqueArray(fc.record({ key: fc.constantFrom('a', 'b', 'c'), value: fc.jsonValue() }), {
    minLength: 1,
    selector: ({ key }) => key,
  }),
});
const patch = fc.dictionary(fc.constantFrom('a', 'b', '__a', 'user_profile'), fc.jsonValue());
const pointers = fc.oneof(fc.constantFrom('/a', '/a/b', '', 'a', '/~2'), fc.string());
const validPatch = fc.record(
  { data: patch, ttl: fc.dictionary(fc.constantFrom('/a', '/b/c', ''), fc.integer({ min: 1, max: 900 })) },
  { requiredKeys: ['data'] },
);
const anyPatch = fc.record(
  {
    data: fc.oneof(patch, anything),
    ttl: fc.oneof(fc.dictionary(pointers, fc.oneof(fc.integer(), anything)), anything),
  },
  { requiredKeys: [] },
);
const bodies = fc.oneof(
  { weight: 3, arbitrary: fc.oneof(valid, validPatch).map(jsonText) },
  anyPatch.map(jsonText),
  fc
    .record(
      { variables: fc.oneof(fc.array(variable, { maxLength: 4 }), anything), crm: anything },
      { requiredKeys: [] },
    )
    .map(jsonText),
  fc.json(),
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')),
  anything,
);

function events(routes: readonly string[]): fc.Arbitrary<unknown> {
  const plausible = fc.record(
    {
      version: fc.constant('2.0'),
      routeKey: fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom(...routes, '__proto__', 'constructor') },
        { weight: 1, arbitrary: anything },
      ),
      pathParameters: fc.oneof(
        { weight: 5, arbitrary: fc.record({ sessionId: sessionIds }) },
        { weight: 1, arbitrary: anything },
      ),
      queryStringParameters: fc.oneof(
        fc.record(
          { limit: anything, cursor: anything, operationId: anything, version: anything, from: anything, to: anything },
          { requiredKeys: [] },
        ),
        anything,
      ),
      body: bodies,
      isBase64Encoded: fc.oneof(fc.constant(false), fc.boolean(), anything),
      requestContext: anything,
    },
    { requiredKeys: [] },
  );
  const admitted = fc.tuple(plausible, fc.dictionary(headerNames, headerValues)).map(([event, headers]) => ({
    ...event,
    headers: { ...headers, authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' },
  }));
  const withHeaders = fc
    .tuple(plausible, fc.oneof(fc.dictionary(headerNames, headerValues), anything))
    .map(([event, headers]) => ({ ...event, headers }));
  return fc.oneof(
    { weight: 5, arbitrary: admitted },
    { weight: 3, arbitrary: withHeaders },
    { weight: 1, arbitrary: anything },
  );
}

/** What the schedule and whoever asks for a sync would send, and what is only nearly that. */
const others = fc.oneof(
  fc.constant({ source: 'aws.events', 'detail-type': 'Scheduled Event' }),
  fc.record(
    {
      id: fc.oneof({ weight: 4, arbitrary: fc.uuid() }, { weight: 1, arbitrary: anything }),
      source: fc.oneof({ weight: 4, arbitrary: fc.constantFrom('crm', 'erp') }, { weight: 1, arbitrary: anything }),
      'detail-type': fc.constant('context.sync.requested'),
      detail: fc.oneof(
        {
          weight: 3,
          arbitrary: fc.tuple(validPatch, sessionIds).map(([body, sessionId]) => ({ ...body, sessionId })),
        },
        fc.tuple(anyPatch, sessionIds).map(([body, sessionId]) => ({ ...body, sessionId })),
        anything,
      ),
    },
    { requiredKeys: ['detail-type'] },
  ),
  anything,
);

/** So frequent among thousands that they cannot be missing by chance. */
const REACHED: Readonly<Record<string, readonly number[]>> = {
  inject: [400, 401, 404, 422],
  snapshot: [400, 401, 404],
  sync: [400, 401, 404, 422],
};

const good = (routeKey: string, body?: object) => ({
  routeKey,
  pathParameters: { sessionId: 'sess_good' },
  headers: { authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' },
  ...(body !== undefined && { body: JSON.stringify(body) }),
});
/** What lies behind the doors must be reached in any case: these go first. */
const GOOD: Readonly<Record<string, readonly object[]>> = {
  inject: [good('POST /v1/sessions/{sessionId}/variables', { variables: [{ key: 'k', value: 1 }] })],
  sync: [good('POST /v1/sessions/{sessionId}/sync', { data: { k: 1 } }), good('DELETE /v1/sessions/{sessionId}')],
};

function hasRouteKey(event: unknown): boolean {
  return typeof event === 'object' && event !== null && 'routeKey' in event;
}

describe('arbitrary events', () => {
  let bridge: Bridge;
  const instances = new Map<string, Invoke>();
  const definitions = functionDefinitions().filter(({ routes }) => routes.length > 0);
  beforeAll(async () => {
    bridge = await startBridge({ settings: { REQUEST_BUDGET_MS: '1000' } });
    for (const definition of definitions) instances.set(definition.name, await loadFunction(definition));
  });
  afterAll(() => bridge.close());

  it.each(definitions.map(({ name, routes }) => ({ name, routes })))(
    '$name answers thousands of them, never with an error of somebody else',
    async ({ name, routes }) => {
      const invoke = instances.get(name);
      if (invoke === undefined) throw new Error('not loaded');
      const statuses = new Map<number, number>();
      await fc.assert(
        fc.asyncProperty(events(routes), async (event) => {
          const result = (await invoke(event)) as { statusCode: number; headers: Record<string, string>; body: string };
          if (name === 'sync' && !hasRouteKey(event)) return;
          expect(result).toEqual({
            statusCode: expect.any(Number),
            headers: expect.any(Object),
            ...(result.statusCode !== 204 && { body: expect.any(String) }),
          });
          statuses.set(result.statusCode, (statuses.get(result.statusCode) ?? 0) + 1);
          expect(result.statusCode, result.body).toBeLessThan(500);
          const body = JSON.parse(result.body ?? 'null');
          if (result.statusCode >= 400) {
            expect(result.headers['content-type']).toBe('application/problem+json');
            expect(body).toMatchObject({
              status: result.statusCode,
              correlationId: result.headers['x-correlation-id'],
            });
          }
        }),
        { numRuns: RUNS, examples: (GOOD[name] ?? []).map((event): [unknown] => [event]) },
      );
      const taken = [200, 202, 204].reduce((sum, status) => sum + (statuses.get(status) ?? 0), 0);
      expect(taken).toBeGreaterThanOrEqual(GOOD[name]?.length ?? 0);
      for (const status of REACHED[name] ?? []) expect([...statuses.keys()], `${status}`).toContain(status);
    },
  );

  it('sync takes thousands of other events, and lets none of them come again for nothing', async () => {
    const invoke = instances.get('sync');
    if (invoke === undefined) throw new Error('not loaded');
    const ends = new Set<string>();
    await fc.assert(
      fc.asyncProperty(others, async (event) => {
        if (hasRouteKey(event)) return;
        const end = (await invoke(event)) as { ended?: string };
        ends.add(end.ended ?? 'ticked');
      }),
      { numRuns: RUNS / 3 },
    );
    // On a busy machine one may take longer than its budget.
    expect([...ends].filter((end) => end !== 'pending').sort()).toEqual(['confirmed', 'refused', 'ticked']);
  });
});
