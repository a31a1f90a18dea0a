import { barChart } from './charts.ts';
import { kib, type Section, times } from './figures.ts';
import type { OperationCosts } from './operations.ts';
import { DELAYED } from './roundTrips.ts';

/** What every function costs, side by side. */
export function costSection(operations: readonly OperationCosts[]): Section {
  return {
    title: 'What an operation costs',
    method:
      'Averages per operation, warm, at the sizes of the sections below. Units are the table’s own, as the local database counts them; each move in the due index costs up ' +
      `to two more. Latencies with ${DELAYED.databaseMs} ms added to every DynamoDB round trip and ${DELAYED.upstreamMs} ms upstream, as multiples of what the upstream takes ` +
      'for the requests that have to follow each other: 1.00 × is the physical limit, for the pages of a snapshot asked for together. Who writes to a bot cannot do with fewer than one upstream request a session. The request that ' +
      'notify makes is to the CRM’s endpoint, and tokens are not counted.',
    figures: [],
    tables: [
      {
        caption: 'By function.',
        columns: [
          'operation',
          'latency p50',
          'p99',
          'DynamoDB trips in a row',
          'requests',
          'read units',
          'write units',
          'due moves',
          'DynamoDB bytes',
          'upstream requests',
          'sent upstream',
        ],
        rows: operations.map((each) => [
          each.operation,
          each.timed === undefined ? '' : times(each.timed.p50),
          each.timed === undefined ? '' : times(each.timed.p99),
          each.timed === undefined ? '' : each.timed.sequentialDatabaseTrips.toFixed(0),
          each.databaseRequests.toFixed(1),
          each.readUnits.toFixed(1),
          each.writeUnits.toFixed(1),
          each.dueMoves.toFixed(1),
          kib(each.databaseBytes),
          each.upstreamRequests.toFixed(1),
          kib(each.upstreamBytes),
        ]),
      },
    ],
  };
}

export function latencyChart(operations: readonly OperationCosts[]): string {
  return barChart({
    title: `Latency, p50 – p99, as a multiple of the upstream's (${DELAYED.databaseMs} ms DynamoDB, ${DELAYED.upstreamMs} ms upstream)`,
    unit: '×',
    limit: { value: 1, name: 'the upstream alone' },
    bars: operations.flatMap(({ operation, timed }) =>
      timed === undefined ? [] : [{ name: operation, value: timed.p50, upTo: timed.p99 }],
    ),
  });
}
