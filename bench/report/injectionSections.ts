import { ownMs } from '../criticalPath.ts';
import type { Injection, InjectionKind, InjectionRun } from '../measures/injections.ts';
import { median, percentile } from '../statistics.ts';
import { atMost, ms, type Section, times } from './figures.ts';
import {
  costFigure,
  DELAYED,
  latencyFigure,
  p50WithoutServers,
  sequentialDatabaseTrips,
  serversOwnMs,
  wholeMs,
  youngFigures,
} from './roundTrips.ts';

export function latencySection(run: InjectionRun): Section {
  const whole = run.injections.map(wholeMs);
  const p50 = median(whole) / DELAYED.upstreamMs;
  const p99 = percentile(whole, 0.99) / DELAYED.upstreamMs;
  const bareUpstreamMs = median(run.bareUpstreamMs);
  const bareDatabaseMs = median(run.bareDatabaseMs);
  const serversMs = run.injections.map(serversOwnMs);
  const withoutServers = p50WithoutServers(run.injections) / DELAYED.upstreamMs;
  return {
    title: `Latency: ${DELAYED.databaseMs} ms added to every DynamoDB round trip, ${DELAYED.upstreamMs} ms upstream, warm`,
    method:
      `${whole.length} injections one after the other: new and existing sessions, with and without Idempotency-Key. ` +
      `Multiples are of the upstream's nominal ${DELAYED.upstreamMs} ms.`,
    figures: [
      {
        name: 'whole, p50',
        value: times(p50),
        target: atMost(1.35, p50, ' ×'),
        remark: `${ms(median(whole))}; the same upstream by bare fetch: ${ms(bareUpstreamMs)}`,
      },
      ...youngFigures('inject', run.young, DELAYED.upstreamMs),
      {
        name: 'whole, p99',
        value: times(p99),
        target: atMost(2, p99, ' ×'),
        remark: `p95 ${ms(percentile(whole, 0.95))}, p99 ${ms(percentile(whole, 0.99))}`,
      },
      {
        name: "whole, p50, without the local servers' own time",
        value: times(withoutServers),
        remark: `what they take beyond ${DELAYED.databaseMs} and ${DELAYED.upstreamMs} ms on the critical path, p50 ${ms(median(serversMs))}`,
      },
      {
        name: 'bare round trip to the database',
        value: ms(bareDatabaseMs),
        remark: `p50 of GetItem by fetch, of it ${DELAYED.databaseMs} ms added`,
      },
      ...groupByKind(run.injections).map(([name, group]) => latencyFigure(name, group)),
    ],
  };
}

/** Round trips of the delayed run, where the order is as in the cloud; costs of the other, which does not time them. */
export function roundTripSection({ injections }: InjectionRun, counted: InjectionRun): Section {
  const sequential = injections.map(sequentialDatabaseTrips);
  const most = Math.max(...sequential);
  const upstream = injections.map((injection) => injection.upstream.length);
  const isOneEach = upstream.every((count) => count === 1);
  return {
    title: 'Round trips and cost per injection',
    method:
      'Sequential round trips: those on the critical path, walked back from the answer; what runs beside others or in the shadow ' +
      "of the upstream does not count. Units are the table's own, as the local database counts them.",
    figures: [
      {
        name: 'sequential DynamoDB round trips',
        value: `${median(sequential)} (most: ${most})`,
        target: atMost(3, most, ''),
        remark: 'aim: 2',
      },
      {
        name: 'upstream requests',
        value: `${Math.min(...upstream)}–${Math.max(...upstream)}`,
        target: { text: 'exactly 1', isMet: isOneEach },
        remark: "by the tenant's journal",
      },
      ...groupByKind(counted.injections).map(([name, group]) => costFigure(name, group)),
    ],
  };
}

export function ownTimeSection({ injections, bareDatabaseMs, bareUpstreamMs }: InjectionRun): Section {
  const own = injections.map(({ invocation }) => ownMs(invocation));
  const whole = injections.map(wholeMs);
  const cpu = injections.map(({ invocation }) => invocation.cpuMs);
  return {
    title: 'Own time: nothing added to any round trip, warm',
    method:
      `${own.length} injections as above. Own time = the whole without the round trips of the critical path, each from sending the ` +
      'request to the head of its answer, as the function itself sees them.',
    figures: [
      { name: 'own time, p50', value: ms(median(own)), target: atMost(5, median(own), ' ms') },
      { name: 'own time, p99', value: ms(percentile(own, 0.99)) },
      {
        name: 'whole, p50',
        value: ms(median(whole)),
        remark: `bare round trips: database ${ms(median(bareDatabaseMs))}, upstream ${ms(median(bareUpstreamMs))}`,
      },
      { name: 'CPU time of the process, p50', value: ms(median(cpu)) },
    ],
  };
}

export function groupByKind(injections: readonly Injection[]): [name: string, injections: Injection[]][] {
  return [...Map.groupBy(injections, ({ kind }) => nameOf(kind))];
}

function nameOf({ session, hasKey }: InjectionKind): string {
  return `${session} session, ${hasKey ? 'with' : 'without'} Idempotency-Key`;
}
