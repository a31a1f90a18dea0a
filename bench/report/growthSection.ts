import type { CrmRun } from '../measures/crmEvents.ts';
import type { JournalPush } from '../measures/journals.ts';
import type { SweepRun } from '../measures/sweep.ts';
import type { SyncRun } from '../measures/syncs.ts';
import { median } from '../statistics.ts';
import { count, kib, ms, type Section, type Table } from './figures.ts';
import { type OperationCosts, operationCosts } from './operations.ts';
import { readUnits, wholeMs } from './roundTrips.ts';

/** What was measured with one thing larger and larger. */
export interface GrowthRuns {
  readonly bySize: readonly { readonly leaves: number; readonly run: SyncRun }[];
  readonly journals: readonly JournalPush[];
  readonly byBindings: readonly CrmRun[];
  readonly bySessions: readonly SweepRun[];
}

export function growthSection({ bySize, journals, byBindings, bySessions }: GrowthRuns): Section {
  const requests = journals.map(({ upstream }) => upstream.length);
  const quietUnits = bySessions.map(({ quiet }) => readUnits(quiet.database));
  return {
    title: 'What grows with what',
    method:
      'One thing larger and larger, all else as above; warm, with nothing added to any round trip, so that times are the work itself: the function’s, and that of the local servers. ' +
      'Journals and the schedule on a clock that jumps while everybody waits.',
    figures: [
      {
        name: 'growth: upstream requests for a journal, however long',
        value: `${Math.min(...requests)}–${Math.max(...requests)}`,
        target: { text: 'exactly 1', isMet: requests.every((each) => each === 1) },
        remark: `up to ${Math.max(...journals.map(({ waiting }) => waiting)) + 1} operations; by the tenant's journal`,
      },
      {
        name: 'growth: read units of a schedule with nothing due, however many sessions',
        value: `${Math.max(...quietUnits)}`,
        target: { text: 'exactly 0', isMet: quietUnits.every((each) => each === 0) },
        remark: 'but for half a unit for each query that finds nothing, which DynamoDB bills',
      },
    ],
    tables: [contexts(bySize), journaled(journals), bindings(byBindings), sessions(bySessions)],
  };
}

const COSTS = [
  'DynamoDB requests',
  'read units',
  'write units',
  'DynamoDB bytes',
  'upstream requests',
  'sent upstream',
];

const costsOf = (costs: OperationCosts): string[] => [
  costs.databaseRequests.toFixed(1),
  costs.readUnits.toFixed(1),
  costs.writeUnits.toFixed(1),
  kib(costs.databaseBytes),
  costs.upstreamRequests.toFixed(1),
  kib(costs.upstreamBytes),
];

function contexts(bySize: GrowthRuns['bySize']): Table {
  return {
    caption: 'A sync of a few leaves, by the size of the context.',
    columns: ['leaves', 'whole, p50', ...COSTS],
    rows: bySize.map(({ leaves, run: { syncs } }) => [
      count(leaves),
      ms(median(syncs.map(wholeMs))),
      ...costsOf(operationCosts('sync', syncs)),
    ]),
  };
}

function journaled(journals: readonly JournalPush[]): Table {
  return {
    caption: 'An inject that takes along what waits in its session’s journal, by how much that is.',
    columns: ['operations waiting', 'whole, p50', ...COSTS],
    rows: [...Map.groupBy(journals, ({ waiting }) => waiting)].map(([waiting, pushes]) => [
      count(waiting),
      ms(median(pushes.map(({ tookMs }) => tookMs))),
      ...costsOf(operationCosts('inject', pushes)),
    ]),
  };
}

function bindings(byBindings: readonly CrmRun[]): Table {
  return {
    caption: 'An event of a CRM, by the sessions that are bound to its record.',
    columns: ['sessions bound', 'whole, p50', ...COSTS],
    rows: byBindings.map(({ sessions, timed }) => [
      count(sessions),
      ms(median(timed.map(wholeMs))),
      ...costsOf(operationCosts('crm', timed)),
    ]),
  };
}

function sessions(bySessions: readonly SweepRun[]): Table {
  return {
    caption: 'Runs of the schedule, by the live sessions in the table, of which the same number is due.',
    columns: [
      'live sessions',
      'due',
      'first run: sessions read',
      'read units',
      'nothing due: queries',
      'read units',
      'time',
    ],
    rows: bySessions.map(({ sessions: live, due, ticks: [first], quiet }) => [
      count(live),
      count(due),
      count(first?.sessionsRead ?? Number.NaN),
      readUnits(first?.database ?? []).toFixed(0),
      count(quiet.queries),
      readUnits(quiet.database).toFixed(0),
      ms(quiet.tookMs),
    ]),
  };
}
