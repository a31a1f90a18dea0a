import * as z from 'zod/mini';
import {
  floodable,
  idempotencyKeyOf,
  jsonObject,
  parseBody,
  pointer,
  pointerOf,
  tokensOf,
  ttlSeconds,
} from '../../lib/http/fields.ts';
import { acceptedOf } from '../../lib/http/laneAnswers.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import type { SyncAnswer, SyncCommand } from '../../lib/operations/sync.ts';

/** What a sync says, over HTTP and in an event. */
export const syncBody = z.strictObject(
  {
    data: jsonObject,
    ttl: z._default(floodable(z.record(pointer, ttlSeconds, 'must be an object of JSON Pointers and seconds')), {}),
  },
  'must be an object',
);

/**
 * The request as a command.
 * @throws {Problem} `validation-failed` with every violation; `invalid-idempotency-key`.
 */
export function readSync(request: BridgeRequest, defaultTtlSeconds: number): SyncCommand {
  const idempotencyKey = idempotencyKeyOf(request.headers);
  const { data, ttl } = parseBody(syncBody, request.body);
  return {
    sessionId: request.sessionId,
    client: request.client.name,
    correlationId: request.correlationId,
    deadlineMs: request.deadlineMs,
    telemetry: request.telemetry,
    data,
    ttlSeconds: ttl,
    defaultTtlSeconds,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}

/** The top-level members that a command would write, with where its request says so. */
export function keysOf({ data, ttlSeconds: ttl }: SyncCommand): { key: string; pointer: string }[] {
  const written = Object.keys(data).map((key) => ({ key, pointer: pointerOf(['data', key]) }));
  // A ttl for the whole context is one for every key: no prefix covers it.
  const timed = Object.keys(ttl).map((path) => ({ key: tokensOf(path)[0] ?? '', pointer: pointerOf(['ttl', path]) }));
  return [...written, ...timed];
}

/**
 * The answer to a command.
 * @throws {Problem} for everything but a confirmed or pending operation.
 */
export function answerSync({ sessionId }: SyncCommand, answer: SyncAnswer, limitBytes: number): Answer {
  const accepted = acceptedOf(sessionId, answer);
  const { headers } = accepted;
  if (accepted.kind === 'pending') {
    const { version, operationId, auditId } = accepted;
    const body = { status: 'pending', sessionId, version, visibility: 'queued', limitBytes, operationId, auditId };
    return { status: 202, headers, body };
  }
  const { version, operationId, auditId, latencyMs, sync: report } = accepted.outcome;
  return {
    status: 200,
    headers,
    body: {
      status: 'synced',
      sessionId,
      version,
      visibility: 'confirmed',
      freshness: report?.freshness,
      contextSizeBytes: report?.contextSizeBytes,
      limitBytes,
      context: answer.kind === 'settled' ? answer.context : {},
      pruned: report?.pruned,
      expired: report?.expired,
      conflicts: report?.conflicts,
      warnings: report?.warnings,
      latencyMs,
      operationId,
      auditId,
    },
  };
}
