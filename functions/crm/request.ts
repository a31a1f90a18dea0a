import type { CrmSources } from '../../lib/http/crmFields.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { CrmAnswer } from '../../lib/operations/applyCrmEvent.ts';
import { type RecordRef, recordIdOf } from '../../lib/operations/ports/crm.ts';

/**
 * The record that a path names.
 * @throws {Problem} `unknown-source` or `invalid-record-id`
 */
export function readRecord({ path }: BridgeRequest, sources: CrmSources): RecordRef {
  const { source = '', recordId: given = '' } = path;
  if (!sources.has(source)) throw new Problem('unknown-source');
  const recordId = recordIdOf(given);
  if (recordId === undefined) throw new Problem('invalid-record-id');
  return { source, recordId };
}

/**
 * One answer for a call: an outcome for its event, or a list of them for a list (SPEC 7).
 * @throws {Problem} where an event has not been taken: the source sends all of them again, and what was taken is found done.
 */
export function answerEvents(answers: readonly CrmAnswer[], isBatch: boolean): Answer {
  const outcomes = answers.map((answer) => {
    if (answer.kind === 'busy') {
      throw new Problem('session-busy', { headers: { 'retry-after': String(answer.retryAfterSeconds) } });
    }
    if (answer.kind === 'failed') throw new Problem(answer.code);
    if (answer.kind === 'too-large') {
      const detail = `The upstream takes ${answer.maxBytes} bytes; this event would send ${answer.bytes}. Nothing changed.`;
      throw new Problem('payload-too-large', { detail });
    }
    const { kind: _kind, ...outcome } = answer;
    return outcome;
  });
  const [only] = outcomes;
  if (isBatch || only === undefined) return { status: 200, body: outcomes };
  return { status: only.outcome === 'no-live-session' ? 202 : 200, body: only };
}
