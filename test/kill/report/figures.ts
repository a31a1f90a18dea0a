import { isJsonObject } from '../../../lib/context/json.ts';
import { Books, type Fate, isAcknowledged } from '../accounting/books.ts';
import { mostInAMinute } from '../accounting/budget.ts';
import type { Rule } from '../accounting/finding.ts';
import type { Evidence } from '../evidence.ts';
import type { Exchange } from '../exchange.ts';
import type { RunReport } from '../run.ts';

/** One line of the report. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  /** What it has to be; absent where nothing was promised. */
  readonly target?: { readonly text: string; readonly isMet: boolean };
  readonly remark?: string;
}

const count = (value: number): string => value.toLocaleString('en');
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(0)} s`;

/** What was done to the stack, and what of it was found. */
export function figuresOf(report: RunReport): readonly Figure[] {
  return [...loadFigures(report), ...promiseFigures(report)];
}

function loadFigures({ kills, evidence, loadMs, restMs }: RunReport): Figure[] {
  const { exchanges, journal, deliveries } = evidence;
  const books = new Books(evidence);
  const starting = kills.filter(({ from }) => from === 'starting').length;
  const struck = kills.reduce((sum, { inFlight }) => sum + inFlight, 0);
  const attempts = exchanges.flatMap((exchange) => exchange.attempts);
  const statuses = (status: number) => attempts.filter(({ answer }) => answer?.status === status).length;
  const lost = exchanges.filter((exchange) => exchange.attempts.some(({ answer }) => answer === undefined));
  const forgotten = lost.filter((exchange) => exchange.attempts.every(({ answer }) => answer === undefined));
  const fates = (of: readonly Exchange[], fate: Fate) =>
    of.flatMap((exchange) => exchange.request.sessions.filter((each) => books.fateOf(exchange, each) === fate)).length;
  const ends = books.allEnds();
  const refusals = Map.groupBy(
    ends.filter(({ outcome }) => outcome !== 'confirmed'),
    ({ code = 'unknown' }) => code,
  );
  const toSurfaces = journal.filter(({ surface }) => surface !== 'token');
  const requestsOf = (kind: string) => count(exchanges.filter(({ request }) => request.kind === kind).length);
  const ids = new Set(deliveries.map(({ id }) => id));
  const expiries = expiriesIn(evidence);
  return [
    {
      name: 'kills under load',
      value: count(kills.length - starting),
      remark: `and ${count(starting)} more while it was coming up; each to the whole process group`,
    },
    { name: 'requests in flight at the kills', value: count(struck), remark: 'without an answer at that moment' },
    {
      name: 'requests of clients',
      value: count(exchanges.length),
      remark: `${requestsOf('inject')} injects, ${requestsOf('sync')} syncs, ${requestsOf('dialog-state')} changes of dialogs, ${requestsOf('webhook')} messages, ${requestsOf('crm')} events of a CRM`,
    },
    {
      name: 'sent',
      value: `${count(attempts.length)} times`,
      remark: `answered 200: ${count(statuses(200))}, 202: ${count(statuses(202))}, otherwise: ${others(attempts)}`,
    },
    { name: 'lost their connection', value: `${count(lost.length)} requests`, remark: 'at least once' },
    {
      name: 'never answered',
      value: `${count(forgotten.length)} requests`,
      remark: `their clients did not ask again; took effect: ${count(fates(forgotten, 'confirmed'))}, not at all: ${count(fates(forgotten, 'none'))}, refused: ${count(fates(forgotten, 'refused') + fates(forgotten, 'in-dispute'))}`,
    },
    {
      name: 'operations that have ended',
      value: count(ends.length),
      remark: `confirmed: ${count(ends.filter(({ outcome }) => outcome === 'confirmed').length)}; refused: ${[...refusals].map(([code, each]) => `${count(each.length)} ${code}`).join(', ') || 'none'}`,
    },
    {
      name: 'values that had expired, and were taken out of the bot',
      value: count(expiries),
      target: { text: 'at least 1', isMet: expiries > 0 },
      remark: 'by the schedule, or with the next request of their session',
    },
    {
      name: 'requests to the tenant',
      value: count(toSurfaces.length),
      remark: `and ${count(journal.length - toSurfaces.length)} for tokens`,
    },
    {
      name: 'deliveries to the endpoint',
      value: count(deliveries.length),
      remark: `of ${count(ids.size)} events; the others came again under the same id`,
    },
    { name: 'time', value: seconds(loadMs), remark: `and ${seconds(restMs)} until all had come to rest` },
  ];
}

/** Values that have left the bot because they had expired. */
export function expiriesIn({ sessions }: Pick<Evidence, 'sessions'>): number {
  const changes = sessions.flatMap(({ trail }) => trail.flatMap((entry) => entry.changes ?? []));
  return changes.filter(({ cause }) => cause === 'expired').length;
}

function others(attempts: readonly Exchange['attempts'][number][]): string {
  const codes = attempts.flatMap(({ answer }) => {
    if (answer === undefined || answer.status < 300) return [];
    const code = isJsonObject(answer.body) ? answer.body['code'] : undefined;
    return [`${answer.status} ${typeof code === 'string' ? code : ''}`.trim()];
  });
  const each = [...Map.groupBy(codes, (code) => code)].map(([code, all]) => `${count(all.length)} × ${code}`);
  return each.join(', ') || 'none';
}

/** What must not be found, and what it is called. */
const PROMISES: readonly { readonly name: string; readonly rules: readonly Rule[]; readonly remark: string }[] = [
  {
    name: 'acknowledged and lost',
    rules: ['lost', 'still-pending'],
    remark: 'answered 2xx, and not confirmed in the audit trail, nor refused there',
  },
  {
    name: 'told otherwise than recorded',
    rules: ['contradiction'],
    remark: 'confirmed in the answer, refused in the trail, or the reverse',
  },
  { name: 'two effects of one key', rules: ['double-effect'], remark: 'two operations, or two ends of one' },
  { name: 'in part', rules: ['partial-effect'], remark: 'some values of a request with the bot, others not' },
  {
    name: 'unrecorded, or of nobody',
    rules: ['unrecorded-effect', 'stranger'],
    remark: 'with the bot and in no audit trail, or asked for by nobody',
  },
  {
    name: 'wrong values at the end',
    rules: ['wrong-value', 'mirror-differs'],
    remark: 'the bot has what came last in commit order, by scope and place, nothing expired; bridge and bot agree',
  },
  { name: 'transitions made twice, or not', rules: ['transition-repeated', 'transition-missing'], remark: '' },
  { name: 'late events of the CRM applied', rules: ['late-event'], remark: 'after one that occurred later' },
  {
    name: 'erased, and come back',
    rules: ['erased-returns'],
    remark: 'known again, sent to the tenant, or its trail gone on',
  },
  { name: 'broken audit chains', rules: ['chain-broken'], remark: '' },
  {
    name: 'outcomes not told, or wrongly',
    rules: ['event-missing', 'event-wrong', 'event-differs'],
    remark: 'by signed events at the endpoint, the same id for the same operation',
  },
  {
    name: 'requests answered 429',
    rules: ['throttled', 'journal-incomplete'],
    remark: 'by the tenant, whose limit is the same',
  },
];

function promiseFigures({ evidence, findings, options }: RunReport): Figure[] {
  const { exchanges, sessions, journal } = evidence;
  const acknowledged = exchanges.filter(isAcknowledged).length;
  const entries = [...sessions, ...evidence.departures].reduce((sum, { trail }) => sum + trail.length, 0);
  const transitions = exchanges.filter(({ request }) => request.nextStep !== undefined).length;
  const more: Readonly<Record<string, string>> = {
    'acknowledged and lost': `of ${count(acknowledged)} acknowledged requests; `,
    'transitions made twice, or not': `of ${count(transitions)} that were asked for`,
    'erased, and come back': `of ${count(evidence.departures.length)} sessions that were erased behind a request; `,
    'broken audit chains': `of ${count(sessions.length + evidence.departures.length)}, with ${count(entries)} entries`,
  };
  const most = mostInAMinute(journal);
  return [
    ...PROMISES.map(({ name, rules, remark }): Figure => {
      const found = findings.filter(({ rule }) => rules.includes(rule)).length;
      const target = { text: 'exactly 0', isMet: found === 0 };
      return { name, value: count(found), target, remark: `${more[name] ?? ''}${remark}` };
    }),
    {
      name: 'most requests to the tenant in any sliding minute',
      value: count(most),
      target: { text: `at most ${count(options.ratePerMinute)}`, isMet: most <= options.ratePerMinute },
      remark: 'by its journal, across all restarts',
    },
  ];
}
