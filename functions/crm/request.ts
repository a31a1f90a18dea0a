import type { Violation } from '../../lib/http/fields.ts';
import type { Answer } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { CrmAnswer } from '../../lib/operations/applyCrmEvent.ts';

/** What became of one event of a call. */
export type EventAnswer = CrmAnswer | { readonly kind: 'unfit'; readonly violations: readonly Violation[] };

/**
 * One answer for a call: an outcome for its event, or a list of them for a list (SPEC 7).
 * @throws {Problem} where an event is to come again: the source sends all of them again, and what was done is found done. For a
 * single event also where it is not to.
 */
export function answerEvents(answers: readonly EventAnswer[], isBatch: boolean): Answer {
  const outcomes = answers.map((answer) => outcomeOf(answer, isBatch));
  const [only] = outcomes;
  if (isBatch || only === undefined) return { status: 200, body: outcomes };
  return { status: only.outcome === 'no-live-session' ? 202 : 200, body: only };
}

function outcomeOf(answer: EventAnswer, isBatch: boolean) {
  switch (answer.kind) {
    case 'done': {
      const { kind: _kind, ...outcome } = answer;
      return outcome;
    }
    case 'busy':
      throw new Problem('session-busy', { headers: { 'retry-after': String(answer.retryAfterSeconds) } });
    case 'failed':
      throw new Problem(answer.code);
    case 'unfit':
      return {
        eventId: null,
        outcome: 'refused',
        code: 'validation-failed',
        errors: answer.violations,
        sessions: [],
      };
    case 'too-large': {
      const { eventId, bytes, maxBytes } = answer;
      const detail = `The upstream takes ${maxBytes} bytes; this event would send ${bytes}. Nothing changed.`;
      if (!isBatch) throw new Problem('payload-too-large', { detail });
      return { eventId, outcome: 'refused', code: 'payload-too-large', sessions: [] };
    }
  }
}
