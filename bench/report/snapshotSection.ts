import { ownMs } from '../criticalPath.ts';
import type { SnapshotRun } from '../measures/snapshots.ts';
import { median, percentile } from '../statistics.ts';
import { atMost, type Figure, ms, type Section, times } from './figures.ts';
import { costs, DELAYED, sequentialDatabaseTrips, serversOwnMs, wholeMs, youngFigures } from './roundTrips.ts';

/** Most that a snapshot may take, in upstream round trips, by its pages. */
const TARGETS: Readonly<Record<number, number>> = { 1: 1.2, 5: 5.3 };

export function snapshotSection(runs: readonly SnapshotRun[]): Section {
  const snapshots = runs.flatMap(({ timed }) => timed);
  return {
    title: `Snapshot of 500 variables: ${DELAYED.databaseMs} ms added to every DynamoDB round trip, ${DELAYED.upstreamMs} ms upstream, warm`,
    method:
      `${snapshots.length} snapshots one after the other, of a session that nobody writes to. Multiples are of one ` +
      'bare request to the same upstream, measured in between.',
    figures: runs.flatMap(figuresOf),
  };
}

function figuresOf({ pages, timed: group, young, bareUpstreamMs }: SnapshotRun): Figure[] {
  const bareMs = median(bareUpstreamMs);
  const whole = group.map(wholeMs);
  const p50 = median(whole) / bareMs;
  const target = TARGETS[pages];
  const serversMs = group.map(serversOwnMs);
  const withoutServers = median(whole.map((value, index) => value - (serversMs[index] ?? 0))) / DELAYED.upstreamMs;
  const name = pages === 1 ? 'one page' : `${pages} pages`;
  const { requests, operations } = costs(group);
  return [
    {
      name: `${name}: whole, p50`,
      value: times(p50),
      ...(target !== undefined && { target: atMost(target, p50, ' ×') }),
      remark: `${ms(median(whole))}; the same upstream by bare fetch: ${ms(bareMs)}; p95 ${ms(percentile(whole, 0.95))}, p99 ${ms(percentile(whole, 0.99))}`,
    },
    ...youngFigures(name, young),
    {
      name: `${name}: whole, p50, without the local servers' own time`,
      value: times(withoutServers),
      remark: `of the nominal ${DELAYED.upstreamMs} ms; own time p50 ${ms(median(group.map(({ invocation }) => ownMs(invocation))))}`,
    },
    {
      name: `${name}: round trips`,
      value: `${median(group.map(({ upstream }) => upstream.length))} upstream`,
      remark:
        `${median(group.map(sequentialDatabaseTrips))} of ${requests.toFixed(1)} to DynamoDB in a row ` +
        `on the critical path: ${operations}`,
    },
  ];
}
