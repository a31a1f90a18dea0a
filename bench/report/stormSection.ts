import type { StormRun } from '../measures/storm.ts';
import { percentile } from '../statistics.ts';
import { atMost, count, ms, type Section, seconds } from './figures.ts';

/** The default of `UPSTREAM_RATE_PER_MINUTE`, and what the tenant allows. */
const RATE_PER_MINUTE = 100;
/** The default of `WEBHOOK_BUDGET_MS`. */
const BUDGET_MS = 4_000;

export function stormSection(run: StormRun): Section {
  const { answers, sessions, perSession } = run;
  const took = answers.map(({ tookMs }) => tookMs);
  const p95 = percentile(took, 0.95);
  const processed = answers.filter(({ status }) => status === 200).length;
  const accepted = answers.filter(({ status }) => status === 202).length;
  const others = answers.map(({ status }) => status).filter((status) => status !== 200 && status !== 202);
  return {
    title: `A storm: ${count(answers.length)} messages at once`,
    method:
      `${perSession} different messages for each of ${sessions} sessions, all at once through the local HTTP stack, warm, one ` +
      `process for all functions, database and tenant; ${run.upstreamMs} ms upstream, default budgets (${RATE_PER_MINUTE} requests a minute, ${count(BUDGET_MS)} ms a ` +
      'message), in real time. Then the schedule, run after run, until every message is confirmed.',
    figures: [
      {
        name: 'storm: answered 200 or 202',
        value: `${processed + accepted} of ${answers.length}`,
        target: { text: 'all', isMet: others.length === 0 },
        remark: `200: ${processed}, 202: ${accepted}${others.length > 0 ? `; others: ${[...new Set(others)].join(', ')}` : ''}`,
      },
      {
        name: 'storm: answers, p95',
        value: ms(p95),
        target: { text: `below ${count(BUDGET_MS)} ms`, isMet: p95 < BUDGET_MS },
        remark: `p50 ${ms(percentile(took, 0.5))}, max ${ms(Math.max(...took))}; as the client sees them`,
      },
      {
        name: 'storm: most upstream requests in any sliding minute',
        value: count(run.mostInAMinute),
        target: atMost(RATE_PER_MINUTE, run.mostInAMinute, ''),
        remark:
          `${run.upstreamRequests} in all, one to warm up among them, ${run.upstreamBeforeAnswers} until the last answer, ` +
          `${run.refused} refused; by the tenant's journal`,
      },
      {
        name: 'storm: lost',
        value: count(run.lost),
        target: { text: 'exactly 0', isMet: run.lost === 0 },
        remark: 'answered otherwise, or not confirmed in the end, by the audit trail',
      },
      {
        name: 'storm: out of order',
        value: count(run.outOfOrder),
        target: { text: 'exactly 0', isMet: run.outOfOrder === 0 },
        remark: `requests that took a session back, in the order of commit; by the messages' own time, which need not be the order of commit: ${run.backwardsInTime}`,
      },
      {
        name: 'storm: sessions that end with their last message',
        value: `${run.endWithLast} of ${sessions}`,
        target: { text: 'all', isMet: run.endWithLast === sessions },
        remark: 'the one committed last',
      },
      {
        name: 'storm: until everything was with the bot',
        value: seconds(run.settledInMs),
        remark: `answers until ${seconds(run.answeredInMs)}, then ${run.ticks} runs of the schedule`,
      },
    ],
  };
}
