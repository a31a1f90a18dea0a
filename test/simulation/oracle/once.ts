import type { Call } from '../clients/calls.ts';
import type { Broken, Evidence } from './evidence.ts';

/** Refusals that give a key free: the request may be made again under it (SPEC 2, idempotency). */
const GIVES_FREE: ReadonlySet<string | undefined> = new Set([
  'upstream-unauthorized',
  'upstream-forbidden',
  'upstream-unavailable',
  'upstream-bad-response',
]);

/** I2: one idempotency key, one effect, one answer. */
export function checkOnce({ calls, callsById, sessions, transitions }: Evidence, broken: Broken): void {
  const toldConfirmed = new Set(
    calls.flatMap(({ said }) => (said?.outcome?.kind === 'confirmed' ? [said.outcome.operationId] : [])),
  );
  for (const { lane, endings } of sessions) {
    const byKey = new Map<string, typeof lane.committed>();
    for (const by of lane.committed) {
      const key = callsById.get(by.correlationId)?.key;
      if (key === undefined) continue;
      const before = byKey.get(key) ?? [];
      for (const other of before) {
        const ending = endings.get(other.operationId);
        const isFree = GIVES_FREE.has(ending?.code) && (other.endedAtMs ?? Number.POSITIVE_INFINITY) <= by.atMs;
        // Of what was erased only its client can say how it had ended; what had not ended was not given free.
        const isKnown =
          other.erasedAtMs === undefined || other.endedAtMs === undefined || toldConfirmed.has(other.operationId);
        if (!isFree && isKnown) broken(`I2 ${key} was committed as ${other.operationId} and as ${by.operationId}`);
      }
      byKey.set(key, [...before, by]);
    }
    for (const [key, committed] of byKey) checkAnswers(key, committed.length, calls, broken);
  }

  const made = new Set<string>();
  for (const { session, nextStep } of transitions) {
    const name = `${session} ${nextStep}`;
    if (made.has(name)) broken(`I2 ${session} went to "${nextStep}" twice`);
    made.add(name);
  }
}

function checkAnswers(key: string, committed: number, calls: readonly Call[], broken: Broken): void {
  const ofKey = calls.filter((call) => call.key === key && call.kind !== 'crm');
  const told = new Map<string, Set<string>>();
  for (const { said, body } of ofKey) {
    const operationId = said?.outcome?.operationId ?? said?.operationId;
    if (said === undefined || operationId === undefined) continue;
    const answers = told.get(operationId) ?? new Set();
    if (said.outcome !== undefined) answers.add(JSON.stringify(said.outcome));
    told.set(operationId, answers.add(body));
  }
  if (told.size > committed)
    broken(`I2 ${key} was answered as ${told.size} operations, and ${committed} were committed`);
  for (const [operationId, answers] of told) {
    const outcomes = [...answers].filter((answer) => answer.startsWith('{'));
    if (outcomes.length > 1) broken(`I2 ${operationId} was answered in two ways: ${outcomes.join(' | ')}`);
    if (answers.size - outcomes.length > 1) broken(`I2 ${operationId} was the answer to two different requests`);
  }
}
