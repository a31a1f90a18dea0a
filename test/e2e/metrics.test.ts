import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { functionDefinitions, type Invoke, loadFunction } from '../../infra/local/functions.ts';
import { type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json } from '../fixtures/stack/http.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

const HOUR_MS = 3_600_000;
const OPERATOR = { name: 'operator', apiKey: 'key-of-the-operator', operations: ['metrics'] };
const CRM = { name: 'crm', apiKey: 'key-of-the-crm', operations: ['inject', 'sync'], keyPrefixes: ['crm_'] };
const as = ({ apiKey }: { apiKey: string }) => ({ authorization: `Bearer ${apiKey}` });

const EMPTY = {
  totalOperations: 0,
  successCount: 0,
  failureCount: 0,
  successRatePercent: null,
  persistenceRate: null,
  averageLatencyMs: null,
  p50Ms: null,
  p95Ms: null,
  p99Ms: null,
};

describe('GET /v1/metrics', () => {
  let bridge: Bridge;
  /** A second instance of inject, which shares nothing with the first but the table. */
  let other: Invoke;
  beforeAll(async () => {
    bridge = await startBridge({ clients: [OPERATOR, CRM] });
    const definition = functionDefinitions().find(({ name }) => name === 'inject');
    if (definition === undefined) throw new Error('there is no inject');
    other = await loadFunction(definition);
  });
  afterAll(() => bridge.close());

  async function metrics(query = ''): Promise<Json> {
    const reply = await bridge.get(`/v1/metrics${query}`, as(OPERATOR));
    expect(reply.status).toBe(200);
    return reply.body;
  }

  /** Every test counts in hours of its own. */
  const freshHours = () => travel(3 * HOUR_MS);

  const down = (sessionId: string) =>
    bridge.tenant.faults.add({ match: { sessionId }, times: 0, action: { status: 503 } });

  const injectElsewhere = (sessionId: string, body: Json) =>
    other({
      version: '2.0',
      routeKey: 'POST /v1/sessions/{sessionId}/variables',
      headers: { authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' },
      pathParameters: { sessionId },
      body: JSON.stringify(body),
      isBase64Encoded: false,
    });

  it('has nothing to say, and to divide by, before anything was asked for', async () => {
    expect(await metrics()).toEqual({ windowHours: 24, ...EMPTY, byFunction: {} });
  });

  it('tells what came of operations in all instances: confirmed, refused, replayed, and pending until the schedule has pushed them', async () => {
    // Prepare and act: six of inject, of which one is refused, and two of sync, of which one is outside of its client's prefixes.
    freshHours();
    await bridge.inject('sess_m1', one('a', 1));
    expect(await injectElsewhere('sess_m2', one('a', 1))).toMatchObject({ statusCode: 200 });
    expect(await injectElsewhere('sess_m1', one('a', 2))).toMatchObject({ statusCode: 200 });
    expect((await bridge.inject('sess_m1', { variables: [] })).status).toBe(422);
    const keyed = () => bridge.inject('sess_m1', one('a', 3), { 'idempotency-key': 'once' });
    await keyed();
    expect((await keyed()).headers['idempotency-replayed']).toBe('true');
    down('sess_m3');
    expect((await bridge.inject('sess_m3', one('a', 1))).status).toBe(202);
    await bridge.sync('sess_m1', { data: { b: 1 } });
    expectProblem(await bridge.sync('sess_m1', { data: { b: 2 } }, as(CRM)), 403, 'forbidden');
    const before = await metrics('?hours=1');

    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    const after = await metrics('?hours=1');

    // Assess
    expect(before).toMatchObject({
      windowHours: 1,
      totalOperations: 8,
      successCount: 6,
      failureCount: 2,
      successRatePercent: 75,
      persistenceRate: 0.8333,
      byFunction: {
        inject: {
          totalOperations: 6,
          successCount: 5,
          failureCount: 1,
          successRatePercent: 83.33,
          persistenceRate: 0.8,
        },
        sync: { totalOperations: 2, successCount: 1, failureCount: 1, successRatePercent: 50, persistenceRate: 1 },
      },
    });
    expect(Object.keys(before.byFunction)).toHaveLength(2);
    const { averageLatencyMs, p50Ms, p95Ms, p99Ms } = before;
    expect(averageLatencyMs).toBeGreaterThan(0);
    expect(p50Ms).toBeGreaterThan(0);
    expect([p50Ms, p95Ms, p99Ms]).toEqual([p50Ms, p95Ms, p99Ms].toSorted((a, b) => a - b));
    // The schedule asks for nothing itself, and makes nothing count twice.
    expect(after).toEqual({
      ...before,
      persistenceRate: 1,
      byFunction: { ...before.byFunction, inject: { ...before.byFunction.inject, persistenceRate: 1 } },
    });
  });

  it('counts operations that arrive together each once', async () => {
    freshHours();
    await Promise.all(Array.from({ length: 12 }, (_each, at) => bridge.inject('sess_crowd', one(`k${at}`, at))));
    expect(await metrics('?hours=1')).toMatchObject({ totalOperations: 12, successCount: 12, persistenceRate: 1 });
  });

  it('counts an event as a sync, refused ones too', async () => {
    freshHours();
    await bridge.putEvent({ sessionId: 'sess_event', data: { a: 1 } });
    await bridge.putEvent({ sessionId: 'sess_event', data: 'nothing to merge' });
    const { byFunction } = await eventually(async () => {
      const report = await metrics('?hours=1');
      return report.totalOperations === 2 && report;
    });
    expect(byFunction).toMatchObject({ sync: { successCount: 1, failureCount: 1, persistenceRate: 1 } });
  });

  it('counts neither reads, nor erasing, nor what an expiry leads to, nor who is not let in', async () => {
    freshHours();
    await bridge.inject('sess_uncounted', one('a', 1, { ttlSeconds: 5 }));
    travel(10_000);
    await bridge.stack.tick();
    await bridge.get('/v1/sessions/sess_uncounted');
    await bridge.audit('sess_uncounted');
    await bridge.erase('sess_uncounted');
    await bridge.inject('sess_uncounted', one('a', 1), { authorization: 'Bearer wrong' });
    await bridge.inject('sess_uncounted', one('a', 1), as(OPERATOR));
    await bridge.inject('..', one('a', 1));
    expect(await metrics('?hours=1')).toMatchObject({ totalOperations: 1, successCount: 1, persistenceRate: 1 });
  });

  it('looks back as many hours as it is asked to, 24 unless told otherwise, 35 days at most', async () => {
    freshHours();
    await bridge.inject('sess_window', one('a', 1));
    const { totalOperations: upToNow } = await metrics('?hours=840');
    travel(23 * HOUR_MS);
    expect((await metrics()).totalOperations).toBeGreaterThanOrEqual(1);
    expect(await metrics('?hours=22')).toMatchObject({ windowHours: 22, totalOperations: 0, byFunction: {} });
    travel(2 * HOUR_MS);
    expect((await metrics('?hours=24')).totalOperations).toBe(0);
    expect(await metrics('?hours=840')).toMatchObject({ windowHours: 840, totalOperations: upToNow });
  });

  it.each(['0', '841', '-1', '1.5', '', 'day', '1&hours=2', '%2024'])('hours=%s is 400 and named', async (hours) => {
    const errors = expectProblem(await bridge.get(`/v1/metrics?hours=${hours}`, as(OPERATOR)), 400, 'invalid-query');
    expect(errors.map(({ pointer }) => pointer)).toEqual(['/hours']);
  });

  it('needs a client with the grant metrics', async () => {
    expectProblem(await bridge.get('/v1/metrics', { authorization: 'Bearer wrong' }), 401, 'unauthenticated');
    expectProblem(await bridge.get('/v1/metrics', as(CRM)), 403, 'forbidden');
    // Bad hours do not tell either who may ask.
    expectProblem(await bridge.get('/v1/metrics?hours=0', as(CRM)), 403, 'forbidden');
  });
});
