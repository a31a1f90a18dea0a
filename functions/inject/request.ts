import * as z from 'zod/mini';
import {
  expiresAt,
  floodable,
  idempotencyKeyOf,
  isPast,
  jsonObject,
  jsonValue,
  parseBody,
  scope,
  ttlSeconds,
  type Violation,
  variableKey,
} from '../../lib/http/fields.ts';
import { acceptedOf } from '../../lib/http/laneAnswers.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { InjectAnswer, InjectCommand } from '../../lib/operations/inject.ts';

const variable = z.strictObject(
  {
    key: variableKey,
    value: jsonValue,
    scope,
    expiresAt: z.optional(expiresAt),
    ttlSeconds: z.optional(ttlSeconds),
  },
  'must be an object',
);

/** It goes into the audit trail and into the outbound event, which have little room. */
const CRM_MAX_BYTES = 16_384;

const crm = jsonObject.check(
  z.refine((given) => Buffer.byteLength(JSON.stringify(given), 'utf8') <= CRM_MAX_BYTES, {
    error: `must have at most ${CRM_MAX_BYTES} bytes`,
  }),
);

const injectBody = z.strictObject(
  {
    variables: floodable(
      z.array(variable, 'must be a list of variables').check(z.minLength(1, 'must name at least one variable')),
    ),
    mergeStrategy: z._default(z.literal('atomic_put', 'must be atomic_put'), 'atomic_put'),
    crm: z.optional(crm),
  },
  'must be an object',
);

const EXPIRY_IN_THE_PAST = 'expiry-in-the-past';

/**
 * The rules between members, on a body of which nothing is known yet: they are told beside whatever else is wrong
 * (SCENARIOS 35).
 */
function violationsBetween(body: unknown, nowMs: number): Violation[] {
  const found: Violation[] = [];
  const seen = new Set<string>();
  const variables = isObject(body) && Array.isArray(body['variables']) ? body['variables'] : [];
  for (const [index, given] of variables.entries()) {
    if (!isObject(given)) continue;
    const note = (member: string, code: string, message: string) =>
      found.push({ pointer: `/variables/${index}/${member}`, code, message });
    const { key, scope: scopeOfKey = 'session', expiresAt: moment, ttlSeconds: seconds } = given;
    const id = `${scopeOfKey}:${key}`;
    if (typeof key === 'string' && typeof scopeOfKey === 'string') {
      if (seen.has(id)) note('key', 'duplicate-key', 'occurs more than once in its scope');
      seen.add(id);
    }
    if (isPast(moment, nowMs)) note('expiresAt', EXPIRY_IN_THE_PAST, 'lies in the past');
    if (moment !== undefined && seconds !== undefined) {
      note('ttlSeconds', 'exclusive-members', 'excludes expiresAt: send one of the two');
    }
  }
  return found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The request as a command. Where all that is wrong is that its expiry has passed, it may be the repeat of a request that was
 * fine when it came first: then `outdated` says what is wrong with it, should it be new after all.
 * @throws {Problem} `validation-failed` with every violation; `invalid-idempotency-key`.
 */
export function readInject(
  request: BridgeRequest,
  nowMs: number,
): { readonly command: InjectCommand; readonly outdated?: Problem } {
  const idempotencyKey = idempotencyKeyOf(request.headers);
  const wrong = violationsBetween(request.body.value, nowMs);
  const mayBeRepeat =
    wrong.length > 0 &&
    idempotencyKey !== undefined &&
    wrong.every(({ code }) => code === EXPIRY_IN_THE_PAST) &&
    request.body.violations.length === 0 &&
    injectBody.safeParse(request.body.value).success;
  const body = parseBody(injectBody, request.body, mayBeRepeat ? [] : wrong);
  const command: InjectCommand = {
    sessionId: request.sessionId,
    client: request.client.name,
    correlationId: request.correlationId,
    deadlineMs: request.deadlineMs,
    telemetry: request.telemetry,
    // Everything spelled out: leaving a default away is no other request.
    requested: {
      variables: body.variables.map(({ key, value, scope, expiresAt = null, ttlSeconds = null }) => {
        return { key, value, scope, expiresAt, ttlSeconds };
      }),
      mergeStrategy: body.mergeStrategy,
      crm: body.crm ?? null,
    },
    variables: body.variables.map((given) => {
      const expiresAtMs = given.ttlSeconds === undefined ? given.expiresAt : nowMs + given.ttlSeconds * 1_000;
      const { key, value, scope: scopeOfKey } = given;
      return { key, value, scope: scopeOfKey, ...(expiresAtMs !== undefined && { expiresAtMs }) };
    }),
    ...(body.crm !== undefined && { crm: body.crm }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
  return mayBeRepeat ? { command, outdated: new Problem('validation-failed', { errors: wrong }) } : { command };
}

/** The keys that a command would write, with where its request says so. */
export function keysOf({ variables }: InjectCommand): { key: string; pointer: string }[] {
  return variables.map(({ key }, index) => ({ key, pointer: `/variables/${index}/key` }));
}

/**
 * The answer to a command.
 * @throws {Problem} for everything but a confirmed or pending operation.
 */
export function answerInject(command: InjectCommand, answer: InjectAnswer, nowMs: number, startedAtMs: number): Answer {
  const { sessionId } = command;
  const accepted = acceptedOf(sessionId, answer);
  const { headers } = accepted;
  if (accepted.kind === 'pending') {
    const { operationId, auditId, version } = accepted;
    const latencyMs = nowMs - startedAtMs;
    const body = { status: 'pending', sessionId, version, visibility: 'queued', variablesInjected: 0, latencyMs };
    return { status: 202, headers, body: { ...body, operationId, auditId } };
  }
  const { version, variablesInjected, latencyMs, operationId, auditId, result } = accepted.outcome;
  const body = { status: 'injected', sessionId, version, visibility: 'confirmed', variablesInjected, latencyMs };
  return { status: 200, headers, body: { ...body, operationId, auditId, result } };
}
