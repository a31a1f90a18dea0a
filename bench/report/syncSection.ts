import { ownMs } from '../criticalPath.ts';
import type { Sync, SyncRun } from '../measures/syncs.ts';
import { median, percentile, sum } from '../statistics.ts';
import { atMost, type Figure, kib, ms, type Section, times } from './figures.ts';
import {
  costs,
  DELAYED,
  latencyFigure,
  p50WithoutServers,
  sequentialDatabaseTrips,
  serversOwnMs,
  wholeMs,
  youngFigures,
} from './roundTrips.ts';

/** The two requests that a sync cannot do without. */
const UPSTREAM_PAIR_MS = 2 * DELAYED.upstreamMs;

/** Latencies and round trips of the delayed run, where the order is as in the cloud; costs of the other, which does not time them. */
export function syncSection(run: SyncRun, counted: SyncRun): Section {
  const { syncs } = run;
  const whole = syncs.map(wholeMs);
  const p50 = median(whole) / UPSTREAM_PAIR_MS;
  const p99 = percentile(whole, 0.99) / UPSTREAM_PAIR_MS;
  const serversMs = syncs.map(serversOwnMs);
  const withoutServers = p50WithoutServers(syncs) / UPSTREAM_PAIR_MS;
  const sequential = syncs.map(sequentialDatabaseTrips);
  const requests = new Set(
    [...syncs, ...counted.syncs].map(({ upstream }) => upstream.map(({ method }) => method).join(', ')),
  );
  const own = counted.syncs.map(({ invocation }) => ownMs(invocation));
  return {
    title: `Sync of 20 kB: ${DELAYED.databaseMs} ms added to every DynamoDB round trip, ${DELAYED.upstreamMs} ms upstream, warm`,
    method:
      `${syncs.length} syncs one after the other, each of a few leaves of a context of about 20 kB, half of them after the bot has ` +
      `changed it as well. Multiples are of the nominal ${UPSTREAM_PAIR_MS} ms of the two upstream requests.`,
    figures: [
      {
        name: 'sync: whole, p50',
        value: times(p50),
        target: atMost(1.3, p50, ' ×'),
        remark: `${ms(median(whole))}; two bare requests to the same upstream: ${ms(2 * median(run.bareUpstreamMs))}`,
      },
      ...youngFigures('sync', run.young, UPSTREAM_PAIR_MS),
      {
        name: 'sync: whole, p99',
        value: times(p99),
        remark: `p95 ${ms(percentile(whole, 0.95))}, p99 ${ms(percentile(whole, 0.99))}`,
      },
      {
        name: "sync: whole, p50, without the local servers' own time",
        value: times(withoutServers),
        remark: `what they take beyond ${DELAYED.databaseMs} and ${DELAYED.upstreamMs} ms on the critical path, p50 ${ms(median(serversMs))}`,
      },
      {
        name: 'sync: own time, p50',
        value: ms(median(syncs.map(({ invocation }) => ownMs(invocation)))),
        remark: `with nothing added to any round trip: p50 ${ms(median(own))}, p99 ${ms(percentile(own, 0.99))}`,
      },
      {
        name: 'sync: upstream requests',
        value: [...requests].join(' or '),
        target: { text: 'exactly 2', isMet: requests.size === 1 && requests.has('GET, PUT') },
        remark: "by the tenant's journal",
      },
      {
        name: 'sync: sequential DynamoDB round trips',
        value: `${median(sequential)} (most: ${Math.max(...sequential)})`,
        remark: 'on the critical path, as for injections',
      },
      ...byKind(syncs, ([name, group]) => latencyFigure(`${name}: time`, group)),
      ...byKind(counted.syncs, ([name, group]) => costOf(name, group)),
    ],
  };
}

function costOf(name: string, group: readonly Sync[]): Figure {
  const { requests, operations, units, readUnits, dueMoves, bytes } = costs(group);
  const sent = sum(group.flatMap(({ upstream }) => upstream.map(({ sentBytes }) => sentBytes))) / group.length;
  return {
    name: `${name}: cost`,
    value: `${requests.toFixed(1)} requests`,
    remark:
      `${operations}; ${readUnits.toFixed(1)} read and ${(units - readUnits).toFixed(1)} write units, ${dueMoves.toFixed(1)} moves in ` +
      `the due index (up to 2 units each), ${kib(bytes)} both ways; ${kib(sent)} sent upstream`,
  };
}

function byKind(syncs: readonly Sync[], figureOf: (group: [name: string, syncs: Sync[]]) => Figure): Figure[] {
  return [...Map.groupBy(syncs, ({ kind }) => kind)].map(figureOf);
}
