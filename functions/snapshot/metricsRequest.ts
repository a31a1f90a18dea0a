import type { Answer, ClientRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { MetricsReport } from '../../lib/operations/metrics.ts';

const HOURS_DEFAULT = 24;
/** As long as the counts are kept: 35 days. */
const HOURS_MAX = 840;

/** @throws {Problem} `invalid-query`. */
export function readHours({ query }: Pick<ClientRequest, 'query'>): number {
  const { hours = String(HOURS_DEFAULT) } = query;
  if (/^\d{1,3}$/.test(hours) && Number(hours) >= 1 && Number(hours) <= HOURS_MAX) return Number(hours);
  const message = `must be a whole number from 1 to ${HOURS_MAX}`;
  throw new Problem('invalid-query', { errors: [{ pointer: '/hours', code: 'invalid-parameter', message }] });
}

export function answerMetrics(report: MetricsReport): Answer {
  return { status: 200, body: report };
}
