import type { InjectStormRun } from '../measures/injectStorm.ts';
import { percentile } from '../statistics.ts';
import type { StraightforwardRun } from '../storm/straightforward.ts';
import { staircaseChart } from './charts.ts';
import { atMost, count, ms, type Section, seconds, type Table } from './figures.ts';

/** The default of `UPSTREAM_RATE_PER_MINUTE`, and what the tenant allows. */
export const RATE_PER_MINUTE = 100;
const MINUTE_MS = 60_000;
const LEAST_CHANGES_PER_REQUEST = 10;

export function injectStormSection(run: InjectStormRun, straightforward: readonly StraightforwardRun[]): Section {
  const { answers, options } = run;
  const took = answers.map(({ tookMs }) => tookMs);
  const withStatus = (wanted: number) => answers.filter(({ status }) => status === wanted).length;
  const others = answers.length - withStatus(200) - withStatus(202);
  const lastSentMs = Math.max(...answers.map(({ sentAtMs }) => sentAtMs));
  const perRequest = answers.length / run.requestsAtMs.length;
  return {
    title: `A storm: ${count(options.changes)} injects over ${options.sessions} sessions within ${seconds(options.withinMs)}`,
    method:
      `${options.workers} workers with a change each every ${(options.withinMs * options.workers) / options.changes} ms, sent when it comes up whatever has been answered by ` +
      'then, through the local HTTP stack (the built functions in one process with database and tenant), warm, in real time; ' +
      `${options.upstreamMs} ms upstream, default settings (${RATE_PER_MINUTE} requests a minute, 8,000 ms an inject). The schedule once a minute, ` +
      `first ${seconds(options.scheduleAtMs)} after the first inject. The straightforward client has the same changes at the same times: one token, one request a change, ` +
      'up to three retries after 1, 2 and 4 s or what Retry-After says; against a tenant of its own, on an exact simulated clock.',
    figures: [
      {
        name: 'inject storm: answered 200 or 202',
        value: `${count(answers.length - others)} of ${count(answers.length)}`,
        target: { text: 'all', isMet: others === 0 },
        remark: `200: ${withStatus(200)}, 202: ${withStatus(202)}; the last was sent after ${seconds(lastSentMs)}, up to ${run.mostAtOnce} waited for their answers`,
      },
      {
        name: 'inject storm: lost',
        value: count(run.lost),
        target: { text: 'exactly 0', isMet: run.lost === 0 },
        remark: 'answered otherwise, or not confirmed in the end, by the audit trail',
      },
      {
        name: 'inject storm: 429 received',
        value: count(run.refused),
        target: { text: 'exactly 0', isMet: run.refused === 0 },
        remark: "by the tenant's journal",
      },
      {
        name: 'inject storm: most upstream requests in any sliding minute',
        value: count(run.mostInAMinute),
        target: atMost(RATE_PER_MINUTE, run.mostInAMinute, ''),
        remark: 'one to warm up among them',
      },
      {
        name: 'inject storm: changes per upstream request',
        value: perRequest.toFixed(1),
        target: { text: `at least ${LEAST_CHANGES_PER_REQUEST}`, isMet: perRequest >= LEAST_CHANGES_PER_REQUEST },
        remark: `${run.requestsAtMs.length} requests`,
      },
      {
        name: 'inject storm: all with the bot',
        value: run.keysWithLast === run.keys ? seconds(run.seenAtMs) : 'never',
        target: {
          text: 'within 60 s of the first inject',
          isMet: run.keysWithLast === run.keys && run.seenAtMs <= MINUTE_MS,
        },
        remark: `${run.keysWithLast} of ${run.keys} keys have the value committed last, read at the tenant; last confirmed after ${seconds(run.confirmedAtMs.at(-1) ?? Number.NaN)}`,
      },
      {
        name: 'inject storm: answers, p95',
        value: ms(percentile(took, 0.95)),
        remark: `p50 ${ms(percentile(took, 0.5))}, max ${ms(Math.max(...took))}; as the client sees them`,
      },
    ],
    tables: [comparison(run, straightforward)],
  };
}

function comparison(run: InjectStormRun, straightforward: readonly StraightforwardRun[]): Table {
  const { changes, sessions, upstreamMs, withinMs } = run.options;
  const bridge = { ...run, givenUp: run.lost };
  const all = [bridge, ...straightforward];
  const lastChangeMs = withinMs - withinMs / changes;
  // A window for every hundred requests, and none before the change that it brings.
  const earliestMs = (requests: number) =>
    Math.max((Math.ceil(requests / RATE_PER_MINUTE) - 1) * MINUTE_MS, lastChangeMs) + upstreamMs;
  const row = (name: string, cellOf: (each: (typeof all)[number]) => string, limit = '') => [
    name,
    ...all.map(cellOf),
    limit,
  ];
  return {
    caption:
      `The same traffic. The physical limit: a session needs one request after its last change, so at least ${sessions} requests; ⌈requests / ${RATE_PER_MINUTE}⌉ − 1 full minutes go ` +
      `by before the last of them, and ${upstreamMs} ms for its answer. With one request a change no client is done before ` +
      `(⌈${changes} / ${RATE_PER_MINUTE}⌉ − 1) × 60 s + ${upstreamMs} ms = ${seconds(earliestMs(changes))}.`,
    columns: ['', 'bridge', ...straightforward.map(({ pace }) => `straightforward, ${pace}`), 'physical limit'],
    rows: [
      row('changes confirmed', ({ confirmedAtMs }) => count(confirmedAtMs.length), count(changes)),
      row('given up', ({ givenUp }) => count(givenUp), '0'),
      row('429 received', ({ refused }) => count(refused), '0'),
      row('upstream requests', ({ requestsAtMs }) => count(requestsAtMs.length), `≥ ${sessions}`),
      row(
        'changes per request',
        ({ requestsAtMs }) => (changes / requestsAtMs.length).toFixed(1),
        `≤ ${changes / sessions}`,
      ),
      row('most requests in a sliding minute', ({ mostInAMinute }) => count(mostInAMinute), `≤ ${RATE_PER_MINUTE}`),
      row(
        'last confirmed',
        ({ confirmedAtMs }) => seconds(confirmedAtMs.at(-1) ?? Number.NaN),
        `≥ ${seconds(earliestMs(sessions))}`,
      ),
      row(
        'keys with their last value',
        ({ keys, keysWithLast }) => `${keysWithLast} of ${keys}`,
        `${run.keys} of ${run.keys}`,
      ),
    ],
  };
}

/** How it went, for the eye. */
export function injectStormChart(run: InjectStormRun, straightforward: readonly StraightforwardRun[]): string {
  const all = [
    { name: 'bridge', ...run },
    ...straightforward.map((each) => ({ name: `straightforward, ${each.pace}`, ...each })),
  ];
  const lastMs = Math.max(...all.map(({ confirmedAtMs }) => confirmedAtMs.at(-1) ?? 0));
  const { changes, sessions } = run.options;
  return staircaseChart({
    title: `${count(changes)} changes of ${sessions} sessions within ${seconds(run.options.withinMs)}, upstream at ${RATE_PER_MINUTE} a minute`,
    untilMs: Math.ceil(lastMs / MINUTE_MS) * MINUTE_MS,
    panels: [
      {
        title: 'changes confirmed',
        staircases: all.map(({ name, confirmedAtMs }) => ({ name, atMs: confirmedAtMs })),
      },
      {
        title: 'upstream requests, those answered 429 among them',
        staircases: all.map(({ name, requestsAtMs }) => ({ name, atMs: requestsAtMs })),
      },
    ],
  });
}
