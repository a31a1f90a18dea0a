import { readDialogChange } from '../../lib/http/dialogFields.ts';
import { idempotencyKeyOf, ifMatchOf, pointerOf } from '../../lib/http/fields.ts';
import { acceptedOf } from '../../lib/http/laneAnswers.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import type { DialogAnswer, DialogCommand } from '../../lib/operations/updateDialogState.ts';

/**
 * The request as a command.
 * @throws {Problem} `validation-failed` with every violation, `reserved-key`, `invalid-if-match`, `invalid-idempotency-key`.
 */
export function readDialog(request: BridgeRequest): DialogCommand {
  const idempotencyKey = idempotencyKeyOf(request.headers);
  const ifMatch = ifMatchOf(request.headers);
  return {
    sessionId: request.sessionId,
    client: request.client.name,
    correlationId: request.correlationId,
    deadlineMs: request.deadlineMs,
    telemetry: request.telemetry,
    change: readDialogChange(request.body),
    ...(ifMatch !== undefined && { ifMatch }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}

/** The names that a command would write, with where its request says so. */
export function keysOf({ change: { session = {}, user = {} } }: DialogCommand): { key: string; pointer: string }[] {
  const named = (scope: string, values: object) =>
    Object.keys(values).map((key) => ({ key, pointer: pointerOf([scope, key]) }));
  return [...named('session', session), ...named('user', user)];
}

/**
 * The answer to a command.
 * @throws {Problem} for everything but a confirmed or pending operation.
 */
export function answerDialog({ sessionId: dialogId }: DialogCommand, answer: DialogAnswer): Answer {
  const accepted = acceptedOf(dialogId, answer);
  if (accepted.kind === 'pending') {
    const { headers, operationId, auditId, version } = accepted;
    const body = { status: 'pending', dialogId, version, visibility: 'queued', operationId, auditId };
    return { status: 202, headers, body };
  }
  const { version, operationId, auditId, result, etag } = accepted.outcome;
  const body = { status: 'updated', dialogId, version, visibility: 'confirmed', result, operationId, auditId };
  return { status: 200, headers: { ...accepted.headers, ...(etag !== undefined && { etag }) }, body };
}
