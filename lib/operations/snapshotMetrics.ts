import type { SnapshotStats } from './ports/snapshotStats.ts';

/** What a snapshot says about the live reads of its session. */
export interface SnapshotMetrics {
  /** Of the last ten, milliseconds; `null` where there was none. */
  readonly averageLatencyMs: number | null;
  readonly totalRetrieved: number;
}

const LATENCIES_KEPT = 10;

/** What is remembered after one more read. */
export function withRead(
  stats: SnapshotStats | undefined,
  read: { readonly latencyMs: number; readonly retrieved: number; readonly pages: number },
): SnapshotStats {
  const { latenciesMs = [], totalRetrieved = 0, reads = 0 } = stats ?? {};
  return {
    latenciesMs: [...latenciesMs, Math.round(read.latencyMs)].slice(-LATENCIES_KEPT),
    totalRetrieved: totalRetrieved + read.retrieved,
    pages: read.pages,
    reads: reads + 1,
  };
}

export function metricsOf(stats: SnapshotStats | undefined): SnapshotMetrics {
  const { latenciesMs = [], totalRetrieved = 0 } = stats ?? {};
  const sum = latenciesMs.reduce((total, each) => total + each, 0);
  return { averageLatencyMs: latenciesMs.length === 0 ? null : Math.round(sum / latenciesMs.length), totalRetrieved };
}
