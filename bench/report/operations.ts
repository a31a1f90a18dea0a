import type { Invocation } from '../function/protocol.ts';
import { median, percentile, sum } from '../statistics.ts';
import type { DatabaseRequest } from '../world/protocol.ts';
import { readUnits, sequentialDatabaseTrips, wholeMs, writeUnits } from './roundTrips.ts';

/** What one kind of operation costs, and how long it takes. Averages, but for the medians and percentiles. */
export interface OperationCosts {
  /** As in `inject, new session`. */
  readonly operation: string;
  readonly databaseRequests: number;
  readonly readUnits: number;
  readonly writeUnits: number;
  /** Entries of the due index that are moved, which DynamoDB bills apart. */
  readonly dueMoves: number;
  /** Both ways. */
  readonly databaseBytes: number;
  readonly upstreamRequests: number;
  /** Bodies of requests. */
  readonly upstreamBytes: number;
  /** Where it has been timed with the delays of a network. */
  readonly timed?: {
    /** Median of those on the critical path. */
    readonly sequentialDatabaseTrips: number;
    /** As multiples of what the upstream takes for its requests in a row. */
    readonly p50: number;
    readonly p99: number;
  };
}

interface Counted {
  readonly database: readonly DatabaseRequest[];
}

interface Upstream {
  readonly upstream: readonly { readonly sentBytes: number }[];
}

/** Costs from the run that counts them, latencies from the one with delays, of which `nominalMs` are the upstream's. */
export function operationCosts(
  operation: string,
  counted: readonly (Counted & Upstream)[],
  delayed?: { readonly group: readonly { readonly invocation: Invocation }[]; readonly nominalMs: number },
): OperationCosts {
  const { length } = counted;
  const perEach = (of: (database: readonly DatabaseRequest[]) => number) =>
    sum(counted.map(({ database }) => of(database))) / length;
  const whole = delayed?.group.map(wholeMs) ?? [];
  return {
    operation,
    databaseRequests: perEach((database) => database.length),
    readUnits: perEach(readUnits),
    writeUnits: perEach(writeUnits),
    dueMoves: perEach((database) => database.filter(({ movesDueEntry }) => movesDueEntry).length),
    databaseBytes: perEach((database) => sum(database.map((each) => each.requestBytes + each.responseBytes))),
    upstreamRequests: sum(counted.map(({ upstream }) => upstream.length)) / length,
    upstreamBytes: sum(counted.flatMap(({ upstream }) => upstream.map(({ sentBytes }) => sentBytes))) / length,
    ...(delayed !== undefined && {
      timed: {
        sequentialDatabaseTrips: median(delayed.group.map(sequentialDatabaseTrips)),
        p50: median(whole) / delayed.nominalMs,
        p99: percentile(whole, 0.99) / delayed.nominalMs,
      },
    }),
  };
}
