import { merged, percentile } from '../context/latencyHistogram.ts';
import type { Clock } from '../platform/clock.ts';
import type { MeasuredFunction, RollupReader, Tally } from './ports/rollups.ts';

/** What can be said of a number of operations. `null` where there is nothing to divide by. */
export interface Figures {
  readonly totalOperations: number;
  readonly successCount: number;
  readonly failureCount: number;
  /** 0 … 100, with at most two decimals. */
  readonly successRatePercent: number | null;
  /** Operations confirmed in the live session for each one accepted, 0 … 1. */
  readonly persistenceRate: number | null;
  readonly averageLatencyMs: number | null;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export interface MetricsReport extends Figures {
  readonly windowHours: number;
  /** Of each function that has taken any operations. */
  readonly byFunction: Readonly<Partial<Record<MeasuredFunction, Figures>>>;
}

const HOUR_MS = 3_600_000;

const NONE: Tally = { operations: 0, successes: 0, confirmed: 0, latencySumMs: 0, latencies: new Map() };

/**
 * What came of the operations of the last `hours` hours, in all instances; the hour in which the window begins counts whole.
 * @throws {StoreError}
 */
export async function metrics(
  { rollups, clock }: { readonly rollups: RollupReader; readonly clock: Clock },
  hours: number,
): Promise<MetricsReport> {
  const toMs = clock.now();
  const found = await rollups.read({ fromMs: toMs - hours * HOUR_MS, toMs });
  const tallies = new Map<MeasuredFunction, Tally>();
  for (const { name, tally } of found) tallies.set(name, sumOf(tallies.get(name) ?? NONE, tally));
  const all = [...tallies.values()].reduce(sumOf, NONE);
  const some = [...tallies].filter(([, { operations }]) => operations > 0);
  return {
    windowHours: hours,
    ...figuresOf(all),
    byFunction: Object.fromEntries(some.map(([name, tally]) => [name, figuresOf(tally)])),
  };
}

function sumOf(one: Tally, other: Tally): Tally {
  return {
    operations: one.operations + other.operations,
    successes: one.successes + other.successes,
    confirmed: one.confirmed + other.confirmed,
    latencySumMs: one.latencySumMs + other.latencySumMs,
    latencies: merged(one.latencies, other.latencies),
  };
}

function figuresOf({ operations, successes, confirmed, latencySumMs, latencies }: Tally): Figures {
  const latency = (part: number) => {
    const ms = percentile(latencies, part);
    return ms === undefined ? null : rounded(ms, 2);
  };
  return {
    totalOperations: operations,
    successCount: successes,
    failureCount: operations - successes,
    successRatePercent: operations === 0 ? null : rounded((100 * successes) / operations, 2),
    // What was accepted before the window may have been confirmed in it.
    persistenceRate: successes === 0 ? null : rounded(Math.min(1, confirmed / successes), 4),
    averageLatencyMs: operations === 0 ? null : rounded(latencySumMs / operations, 1),
    p50Ms: latency(0.5),
    p95Ms: latency(0.95),
    p99Ms: latency(0.99),
  };
}

function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
