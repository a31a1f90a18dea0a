import { criticalPath } from '../criticalPath.ts';
import type { Invocation } from '../function/protocol.ts';
import { type Timings, YOUNG_AFTER } from '../measures/inTurn.ts';
import { median, percentile, sum } from '../statistics.ts';
import type { DatabaseRequest } from '../world/protocol.ts';
import { type Figure, kib, ms, times } from './figures.ts';

/** The delays of the runs whose latencies are told; their targets are multiples of the upstream's. */
export const DELAYED = { databaseMs: 5, upstreamMs: 50 } as const;

export function wholeMs({ invocation }: { readonly invocation: Invocation }): number {
  return invocation.endMs - invocation.startMs;
}

/** What the round trips of the critical path took beyond the delays: the work of local servers that stand for a network. */
export function serversOwnMs({ invocation }: { readonly invocation: Invocation }): number {
  return sum(
    criticalPath(invocation).map(({ to, startMs, endMs }) => {
      const delayMs = to === 'upstream' ? DELAYED.upstreamMs : DELAYED.databaseMs;
      return endMs - startMs - delayMs;
    }),
  );
}

/** p50 of the whole without that. */
export function p50WithoutServers(group: readonly { readonly invocation: Invocation }[]): number {
  return median(group.map((each) => wholeMs(each) - serversOwnMs(each)));
}

export function sequentialDatabaseTrips({ invocation }: { readonly invocation: Invocation }): number {
  return criticalPath(invocation).filter(({ to }) => to === 'database').length;
}

/** What a group of operations asked the database for, on average. */
export function costs(group: readonly { readonly database: readonly DatabaseRequest[] }[]) {
  const perEach = (count: (database: readonly DatabaseRequest[]) => number) =>
    sum(group.map(({ database }) => count(database))) / group.length;
  return {
    requests: perEach((database) => database.length),
    /** As in `UpdateItem 3.0, Query 1.0`. */
    operations: operations(group),
    units: perEach((database) => sum(database.map(({ units }) => units))),
    readUnits: perEach((database) => readUnits(database)),
    dueMoves: perEach((database) => database.filter(({ movesDueEntry }) => movesDueEntry).length),
    bytes: perEach((database) => sum(database.map((each) => each.requestBytes + each.responseBytes))),
  };
}

/** Latencies of a group of operations. */
export function latencyFigure(name: string, group: readonly { readonly invocation: Invocation }[]): Figure {
  const whole = group.map(wholeMs);
  return {
    name,
    value: ms(median(whole)),
    remark: `p50 of ${group.length}; p95 ${ms(percentile(whole, 0.95))}, p99 ${ms(percentile(whole, 0.99))}`,
  };
}

/**
 * What a young instance takes; targets hold for a warm one.
 * @param nominalMs - what it is a multiple of; a bare round trip to the upstream, measured at that time, where nothing is said
 */
export function youngFigures(
  name: string,
  young: Timings<{ readonly invocation: Invocation }> | undefined,
  nominalMs?: number,
): Figure[] {
  if (young === undefined) return [];
  const p50 = median(young.timed.map(wholeMs));
  const bareMs = median(young.bareUpstreamMs);
  return [
    {
      name: `${name}: whole, p50, young instance`,
      value: times(p50 / (nominalMs ?? bareMs)),
      remark: `${ms(p50)} for ${young.timed.length} operations after its first ${YOUNG_AFTER}; a bare upstream request then: ${ms(bareMs)}`,
    },
  ];
}

/** What a group of operations asked the database for, which has told their costs. */
export function costFigure(name: string, group: readonly { readonly database: readonly DatabaseRequest[] }[]): Figure {
  const { requests, operations, units, dueMoves, bytes } = costs(group);
  return {
    name,
    value: `${requests.toFixed(1)} requests`,
    remark:
      `${operations}; ${units.toFixed(1)} units, ${dueMoves.toFixed(1)} moves in the due index ` +
      `(up to 2 units each), ${kib(bytes)} both ways`,
  };
}

export function readUnits(database: readonly DatabaseRequest[]): number {
  return sum(database.filter(isRead).map(({ units }) => units));
}

export function writeUnits(database: readonly DatabaseRequest[]): number {
  return sum(database.filter((request) => !isRead(request)).map(({ units }) => units));
}

function isRead({ operation }: DatabaseRequest): boolean {
  return ['GetItem', 'BatchGetItem', 'Query'].includes(operation);
}

function operations(group: readonly { readonly database: readonly DatabaseRequest[] }[]): string {
  const counts = new Map<string, number>();
  for (const { operation } of group.flatMap(({ database }) => database)) {
    counts.set(operation, (counts.get(operation) ?? 0) + 1);
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([operation, count]) => `${operation} ${(count / group.length).toFixed(1)}`)
    .join(', ');
}
