import type { JournalEntry } from '../../../infra/local/tenant/journal.ts';
import type { DepartureEvidence } from '../evidence.ts';
import { STACK_ENV } from '../settings.ts';
import { type Books, isAcknowledged } from './books.ts';
import type { Finding } from './finding.ts';

/** What was on its way when its session was erased may still arrive (SPEC 2, erase); nothing is on its way for longer. */
const ON_ITS_WAY_MS = Number(STACK_ENV.UPSTREAM_TIMEOUT_MS);

/** Who has gone stays gone, whoever was killed meanwhile: nobody knows his session, nothing is sent to it, and its trail says so. */
export function accountForDepartures({ evidence: { departures, journal } }: Books): Finding[] {
  return departures.flatMap((departure) => [
    ...promised(departure).map((what): Finding => ({ rule: 'lost', what })),
    ...returned(departure, journal).map((what): Finding => ({ rule: 'erased-returns', what })),
    ...(departure.chain.valid ? [] : [{ rule: 'chain-broken', what: departure.sessionId } as const]),
  ]);
}

function promised({ sessionId, put, erase, trail }: DepartureEvidence): string[] {
  if (!erase.some(({ answer }) => answer?.status === 204)) return [`the erase of ${sessionId} was never answered 204`];
  const isMissing = isAcknowledged({ attempts: put }) && trail.every(({ operation }) => operation !== 'erase');
  return isMissing ? [`${sessionId} was put to, acknowledged, and its trail has no erase`] : [];
}

function returned(
  { sessionId, isKnown, trail, endedAtMs }: DepartureEvidence,
  journal: readonly JournalEntry[],
): string[] {
  const last = trail.at(-1);
  const late = journal.filter((entry) => entry.sessionId === sessionId && entry.at > endedAtMs + ON_ITS_WAY_MS);
  return [
    ...(isKnown ? [`${sessionId} is known again`] : []),
    ...(last !== undefined && last.operation !== 'erase' ? [`the trail of ${sessionId} goes on after the erase`] : []),
    ...late.map(({ method }) => `${method} to ${sessionId} after the erase`),
  ];
}
