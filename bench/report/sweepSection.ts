import type { SweepRun, Tick } from '../measures/sweep.ts';
import { sum } from '../statistics.ts';
import type { DatabaseRequest } from '../world/protocol.ts';
import { atMost, count, type Figure, ms, type Section, seconds } from './figures.ts';
import { readUnits, writeUnits } from './roundTrips.ts';

/** Of a session that is due the lane is read, and its mirror when something is to leave the bot; the rest is the budget's. */
const MOST_READ_UNITS = 3;

export function sweepSection(run: SweepRun): Section {
  const { sessions, due, ratePerMinute, shards, archiving, quiet, finding, ticks } = run;
  const first = ticks.at(0);
  if (first === undefined) throw new Error('the schedule has not run');
  const lost = Math.max(...ticks.map((tick) => tick.lost));
  const unfinished = ticks.at(-1)?.left ?? due;
  const readsOnlyDue = ticks.every(({ sessionsRead, found }) => sessionsRead <= found) && quiet.sessionsRead === 0;
  return {
    title: 'The schedule',
    method:
      `${count(sessions)} sessions in the table, in ${count(due)} of which a value expires at the same moment; a fifth of these has to be ` +
      `rewritten by two upstream requests. A run every minute, with the default budget of ${ratePerMinute} requests a minute, on a ` +
      `clock that jumps while everybody waits. Filled in ${seconds(run.filledInMs)} here.`,
    figures: [
      {
        name: 'sessions read in the first run',
        value: count(first.sessionsRead),
        target: { text: `exactly the ${count(due)} due`, isMet: first.sessionsRead === due && readsOnlyDue },
        remark: 'and in no run one that is not due',
      },
      {
        name: 'read units of the first run, by session due',
        value: (readUnits(first.database) / due).toFixed(2),
        target: atMost(MOST_READ_UNITS, readUnits(first.database) / due, ''),
        remark: readsOf(first),
      },
      {
        name: 'read units of a run with nothing due',
        value: count(readUnits(quiet.database)),
        remark: `${quiet.queries} queries that find nothing, for each of which DynamoDB bills half a unit: ${quiet.queries / 2}`,
      },
      {
        name: 'due index read to its end in the first run',
        value: `${count(first.found)} entries`,
        target: {
          text: `all ${count(due)} in ${shards} shards`,
          isMet: first.found === due && first.queries >= shards,
        },
        remark: `alone: ${finding.database.length} queries, ${readUnits(finding.database)} units, ${ms(finding.tookMs)} here`,
      },
      {
        name: 'most upstream requests in any sliding minute',
        value: count(run.mostInAMinute),
        target: atMost(ratePerMinute, run.mostInAMinute, ''),
        remark: `by the tenant's journal, which refused ${run.refused}`,
      },
      {
        name: 'lost',
        value: count(lost + run.damaged + unfinished),
        target: { text: 'exactly 0', isMet: lost + run.damaged + unfinished === 0 },
        remark: 'still with the bot and not due any more; or gone although it had not expired',
      },
      {
        name: 'values left after each run',
        value: ticks.map(({ left }) => left).join(', '),
        remark: `upstream requests: ${ticks.map(({ upstreamRequests }) => upstreamRequests).join(', ')}`,
      },
      {
        name: 'all runs',
        value: `${count(sum(ticks.map(({ database }) => database.length)))} requests`,
        remark: costsOf(ticks),
      },
      archivingFigure(archiving),
    ],
  };
}

/** What does not need the upstream does not wait for its budget. */
function archivingFigure(tick: Tick): Figure {
  return {
    name: 'a run that only archives',
    value: `${count(tick.worked)} sessions`,
    remark:
      `${(tick.database.length / tick.worked).toFixed(1)} requests each; ${count(readUnits(tick.database))} read and ` +
      `${count(writeUnits(tick.database))} write units, ${tick.upstreamRequests} upstream requests, ${seconds(tick.tookMs)} here`,
  };
}

function readsOf({ database, sessionReads, otherReads, queries }: Tick): string {
  const queried = readUnits(database.filter(({ operation }) => operation === 'Query'));
  return (
    `${count(readUnits(database))} in all: ${queried} of ${queries} queries, ${count(readUnits(database) - queried)} of ` +
    `${count(sessionReads)} items of sessions and ${count(otherReads)} looks at the budget and tokens`
  );
}

function costsOf(ticks: readonly Tick[]): string {
  const database = ticks.flatMap((tick) => tick.database);
  return (
    `${count(readUnits(database))} read and ${count(writeUnits(database))} write units; ` +
    `${count(database.filter(isRefused).length)} conditional writes were refused, which DynamoDB bills as well`
  );
}

function isRefused({ operation, status }: DatabaseRequest): boolean {
  return operation === 'UpdateItem' && status === 400;
}
