import type { JournalEntry } from '../../../infra/local/tenant/journal.ts';
import type { Books } from './books.ts';
import type { Finding } from './finding.ts';

const WINDOW_MS = 60_000;

/** In no sliding minute more requests than allowed, and none that the tenant had to refuse (DESIGN I4). */
export function accountForBudget({ evidence: { journal, ratePerMinute } }: Books): Finding[] {
  const findings: Finding[] = [];
  // Without its beginning it would prove nothing.
  const isComplete = journal.every(({ seq }, index) => seq === index + 1);
  if (!isComplete) findings.push({ rule: 'journal-incomplete', what: 'the tenant has forgotten requests' });
  const most = mostInAMinute(journal);
  if (most > ratePerMinute) findings.push({ rule: 'over-budget', what: `${most} requests in a minute` });
  const refused = journal.filter(({ status }) => status === 429).length;
  if (refused > 0) findings.push({ rule: 'throttled', what: `${refused} requests were answered 429` });
  return findings;
}

/** The most requests to surfaces, tokens aside, in any sliding minute. */
export function mostInAMinute(journal: readonly JournalEntry[]): number {
  const arrivalsMs = journal.filter(({ surface }) => surface !== 'token').map(({ at }) => at);
  let first = 0;
  let most = 0;
  for (const [index, atMs] of arrivalsMs.entries()) {
    while (atMs - (arrivalsMs[first] ?? atMs) >= WINDOW_MS) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}
