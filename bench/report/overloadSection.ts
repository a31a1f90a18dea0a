import type { Overload, OverloadRun } from '../measures/overload.ts';
import { atMost, count, type Figure, type Section } from './figures.ts';

const LEAST_PERCENT = 95;

export function overloadSection(run: OverloadRun): Section {
  return {
    title: 'The budget under steady overload',
    method:
      `${run.instances} instances with a governor each, on one table; at each ${run.callers} callers that always have a request to make and 8 s for it, ` +
      `on a clock that jumps while everybody waits; ${run.upstreamMs} ms upstream, and a table that answers at once. By the tenant's journal.`,
    figures: run.overloads.flatMap(figuresOf),
  };
}

function figuresOf(overload: Overload): Figure[] {
  const { ratePerMinute, minutes, requests, answered, mostInAMinute, refused } = overload;
  const percent = (100 * requests) / (ratePerMinute * minutes);
  const name = `${count(ratePerMinute)} a minute`;
  return [
    {
      name: `${name}: used`,
      value: `${percent.toFixed(1)} %`,
      target: { text: `at least ${LEAST_PERCENT} %`, isMet: percent >= LEAST_PERCENT },
      remark: `${count(requests)} of ${count(ratePerMinute * minutes)} requests in ${minutes} minutes, ${count(requests - answered)} of them answered too late`,
    },
    {
      name: `${name}: most in any sliding minute`,
      value: count(mostInAMinute),
      target: atMost(ratePerMinute, mostInAMinute, ''),
      remark: `${refused} refused by the tenant`,
    },
  ];
}
