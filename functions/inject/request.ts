import * as z from 'zod';
import {
  expiresAt,
  idempotencyKeyOf,
  jsonObject,
  jsonValue,
  parseBody,
  scope,
  ttlSeconds,
  variableKey,
} from '../../lib/http/fields.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { InjectAnswer, InjectCommand } from '../../lib/operations/inject.ts';

const variable = z
  .strictObject({
    key: variableKey,
    value: jsonValue,
    scope,
    expiresAt: expiresAt.optional(),
    ttlSeconds: ttlSeconds.optional(),
  })
  .superRefine((given, context) => {
    if (given.expiresAt === undefined || given.ttlSeconds === undefined) return;
    const message = 'excludes expiresAt: send one of the two';
    context.addIssue({ code: 'custom', path: ['ttlSeconds'], message, params: { code: 'exclusive-members' } });
  });

const injectBody = z.strictObject(
  {
    variables: z
      .array(variable, 'must be a list of variables')
      .min(1, 'must name at least one variable')
      .superRefine((variables, context) => {
        const seen = new Set<string>();
        variables.forEach((given, index) => {
          const id = `${given.scope}:${given.key}`;
          if (seen.has(id)) {
            const message = 'occurs more than once in its scope';
            context.addIssue({ code: 'custom', path: [index, 'key'], message, params: { code: 'duplicate-key' } });
          }
          seen.add(id);
        });
      }),
    mergeStrategy: z.literal('atomic_put', 'must be atomic_put').default('atomic_put'),
    crm: jsonObject.optional(),
  },
  'must be an object',
);

/**
 * The request as a command.
 * @throws {Problem} `validation-failed` with every violation; `invalid-idempotency-key`.
 */
export function readInject(request: BridgeRequest, nowMs: number): InjectCommand {
  const idempotencyKey = idempotencyKeyOf(request.headers);
  const body = parseBody(injectBody, request.body);
  const past = body.variables.flatMap((given, index) =>
    given.expiresAt !== undefined && given.expiresAt <= nowMs
      ? [{ pointer: `/variables/${index}/expiresAt`, code: 'expiry-in-the-past', message: 'lies in the past' }]
      : [],
  );
  if (past.length > 0) throw new Problem('validation-failed', { errors: past });
  return {
    sessionId: request.sessionId,
    client: request.client.name,
    correlationId: request.correlationId,
    deadlineMs: request.deadlineMs,
    telemetry: request.telemetry,
    // Scope and merge strategy spelled out: leaving a default away is no other request.
    requested: JSON.parse(JSON.stringify(body)),
    variables: body.variables.map((given) => {
      const expiresAtMs = given.ttlSeconds === undefined ? given.expiresAt : nowMs + given.ttlSeconds * 1_000;
      const { key, value, scope: scopeOfKey } = given;
      return { key, value, scope: scopeOfKey, ...(expiresAtMs !== undefined && { expiresAtMs }) };
    }),
    ...(body.crm !== undefined && { crm: body.crm }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}

/**
 * The answer to a command.
 * @throws {Problem} for everything but a confirmed or pending operation.
 */
export function answerInject(command: InjectCommand, answer: InjectAnswer, nowMs: number, startedAtMs: number): Answer {
  const { sessionId } = command;
  switch (answer.kind) {
    case 'too-large': {
      const detail = `The upstream takes ${answer.maxBytes} bytes; this request would send ${answer.bytes}. Nothing changed.`;
      throw new Problem('payload-too-large', { detail });
    }
    case 'busy':
      throw new Problem('session-busy', { headers: { 'retry-after': String(answer.retryAfterSeconds) } });
    case 'mismatch':
      throw new Problem('idempotency-mismatch');
    case 'in-progress':
      throw new Problem('operation-in-progress', { headers: { 'retry-after': '1' } });
    case 'pending': {
      const { operationId, auditId, version } = answer;
      return {
        status: 202,
        headers: {
          location: `/v1/sessions/${encodeURIComponent(sessionId)}/audit?operationId=${operationId}`,
          ...replayed(answer.replayed),
        },
        body: {
          status: 'pending',
          sessionId,
          version,
          visibility: 'queued',
          variablesInjected: 0,
          latencyMs: nowMs - startedAtMs,
          operationId,
          auditId,
        },
      };
    }
    case 'settled': {
      const { outcome } = answer;
      if (outcome.kind === 'refused') {
        const errors = outcome.paths?.map((pointer) => ({ pointer, code: outcome.code, message: 'is in dispute' }));
        throw new Problem(outcome.code, { headers: replayed(answer.replayed), ...(errors && { errors }) });
      }
      const { version, variablesInjected, latencyMs, operationId, auditId, result } = outcome;
      return {
        status: 200,
        headers: replayed(answer.replayed),
        body: {
          status: 'injected',
          sessionId,
          version,
          visibility: 'confirmed',
          variablesInjected,
          latencyMs,
          operationId,
          auditId,
          result,
        },
      };
    }
  }
}

function replayed(isReplay: boolean): Record<string, string> {
  return isReplay ? { 'idempotency-replayed': 'true' } : {};
}
