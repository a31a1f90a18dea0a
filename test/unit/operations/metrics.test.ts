import { describe, expect, it } from 'vitest';
import { bucketOf, RELATIVE_ERROR } from '../../../lib/context/latencyHistogram.ts';
import { metrics } from '../../../lib/operations/metrics.ts';
import type { Tally } from '../../../lib/operations/ports/rollups.ts';
import { MemoryRollups } from '../../fixtures/store/memoryRollups.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';

const HOUR_MS = 3_600_000;
/** Half past nine. */
const NOW = Date.UTC(2026, 10, 21, 9, 30);
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

const counted = (operations: number, successes: number, confirmed: number, ms = 100): Tally => ({
  operations,
  successes,
  confirmed,
  latencySumMs: operations * ms,
  latencies: new Map([[bucketOf(ms), operations]]),
});

/** Within the error of the percentiles. */
const near = (ms: number) => expect.closeTo(ms, -Math.log10(2.01 * ms * RELATIVE_ERROR));

function prepare() {
  const rollups = new MemoryRollups();
  return { rollups, report: (hours = 24) => metrics({ rollups, clock: new FakeClock(NOW) }, hours) };
}

describe('The metrics of a window', () => {
  it('without operations have nothing to divide by', async () => {
    expect(await prepare().report(3)).toEqual({ windowHours: 3, ...EMPTY, byFunction: {} });
  });

  it('are of all functions together, and of each that has any', async () => {
    const { rollups, report } = prepare();
    await rollups.add(NOW, 'inject', counted(3, 2, 2));
    await rollups.add(NOW, 'sync', counted(1, 1, 0, 300));

    expect(await report()).toEqual({
      windowHours: 24,
      totalOperations: 4,
      successCount: 3,
      failureCount: 1,
      successRatePercent: 75,
      persistenceRate: 0.6667,
      averageLatencyMs: 150,
      p50Ms: near(100),
      p95Ms: near(300),
      p99Ms: near(300),
      byFunction: {
        inject: expect.objectContaining({ totalOperations: 3, successRatePercent: 66.67, persistenceRate: 1 }),
        sync: expect.objectContaining({ totalOperations: 1, successRatePercent: 100, persistenceRate: 0 }),
      },
    });
  });

  it('count an operation that is confirmed later then, and never more than were accepted', async () => {
    const { rollups, report } = prepare();
    await rollups.add(NOW - HOUR_MS, 'inject', counted(2, 2, 0));
    expect((await report()).persistenceRate).toBe(0);
    await rollups.add(NOW, 'inject', counted(0, 0, 1));
    expect((await report()).persistenceRate).toBe(0.5);
    await rollups.add(NOW, 'inject', counted(0, 0, 5));
    expect((await report()).persistenceRate).toBe(1);
  });

  it('say nothing of a function that only had something of an earlier window confirmed', async () => {
    const { rollups, report } = prepare();
    await rollups.add(NOW, 'inject', { ...counted(0, 0, 1), latencies: new Map() });
    expect(await report()).toEqual({ windowHours: 24, ...EMPTY, byFunction: {} });
  });

  it('have a rate of nothing persisted where nothing was accepted', async () => {
    const { rollups, report } = prepare();
    await rollups.add(NOW, 'inject', counted(2, 0, 0));
    expect(await report()).toMatchObject({ successRatePercent: 0, persistenceRate: null, averageLatencyMs: 100 });
  });

  it('include the hour in which the window begins, whole, and nothing before', async () => {
    const { rollups, report } = prepare();
    await rollups.add(Date.UTC(2026, 10, 21, 7, 59), 'inject', counted(100, 100, 100));
    await rollups.add(Date.UTC(2026, 10, 21, 8, 0), 'inject', counted(10, 10, 10));
    await rollups.add(NOW, 'inject', counted(1, 1, 1));
    expect((await report(1)).totalOperations).toBe(11);
    expect((await report(2)).totalOperations).toBe(111);
  });
});
