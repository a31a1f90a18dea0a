import * as z from 'zod/mini';
import { MAX_TTL_SECONDS, parseExpiresAt } from '../context/expiry.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../context/json.ts';
import { isPointer, pointerOf, tokensOf } from '../context/pointer.ts';
import { parseSessionId, type SessionId } from '../context/sessionId.ts';
import { nestingOf } from '../context/size.ts';
import { isPrototypeName } from '../context/strictJson.ts';
import { MAX_VALUE_NESTING, SCOPES, VARIABLE_KEY } from '../context/variables.ts';
import type { Violation } from '../context/violation.ts';
import type { JsonBody } from './messages.ts';
import { Problem } from './problem.ts';

export { pointerOf, tokensOf, type Violation };

/** Building blocks of request schemas. Their messages go on from the pointer ("is …") and never quote the value. */

const issue = (code: string, message: string) => ({ code: 'custom', message, params: { code } }) as const;

const text = z.string('is missing or not a string');

export const variableKey = text.check(
  z.regex(VARIABLE_KEY, 'must have 1 to 128 characters of A–Z a–z 0–9 _ -'),
  z.superRefine((key, context) => {
    if (isPrototypeName(key)) context.addIssue(issue('prototype-name', 'is a name that is never accepted'));
  }),
);

export const scope = z._default(z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`), 'session');

const withinNesting = z.superRefine<JsonValue>((value, context) => {
  if (nestingOf(value) <= MAX_VALUE_NESTING) return;
  context.addIssue(issue('too-deep', `is nested deeper than ${MAX_VALUE_NESTING} levels`));
});

/** Any JSON value within the nesting limit. Strict JSON has been checked before. */
export const jsonValue = z.custom<JsonValue>((value) => value !== undefined, 'is missing').check(withinNesting);

export const jsonObject = z
  .custom<JsonObject>((value) => isJsonObject(value), 'must be an object')
  .check(withinNesting);

/** RFC 3339 with a zone, turned into epoch milliseconds. */
export const expiresAt = z.pipe(
  z.union([z.string(), z.number()], 'must be a date-time of RFC 3339'),
  z.transform((given, { issues }) => {
    const parsed = parseExpiresAt(String(given));
    if (typeof given === 'string' && parsed.ok) return parsed.ms;
    const hint = parsed.ok ? 'must be a string' : parsed.hint;
    issues.push({ ...issue('invalid-expiry', hint), input: given });
    return z.NEVER;
  }),
);

export const ttlSeconds = z
  .int('must be a whole number of seconds')
  .check(
    z.minimum(1, 'must be at least 1 second'),
    z.maximum(MAX_TTL_SECONDS, `must be at most ${MAX_TTL_SECONDS} seconds; it is a duration, not a moment`),
  );

/** A session id where it comes in a body. */
export const sessionId = (requiredPrefix: string) =>
  z.pipe(
    text,
    z.transform((given, { issues }): SessionId => {
      const parsed = parseSessionId(given, requiredPrefix);
      if (parsed !== undefined) return parsed;
      issues.push({ ...issue('invalid-session-id', 'is not a session id'), input: given });
      return z.NEVER;
    }),
  );

/** A JSON Pointer (RFC 6901). */
export const pointer = text.check(z.refine(isPointer, 'is not a JSON Pointer, as in /user_profile/name'));

/**
 * A member of a body that may be wrong in very many places. zod/mini's objects take over a member's issues as arguments of one
 * call, and the stack has room for some 100 000; so here they come as one issue, which `toViolations` takes apart.
 */
export const floodable = <Schema extends z.ZodMiniType>(schema: Schema) =>
  z.transform((given: unknown, { issues }): z.output<Schema> => {
    const parsed = schema.safeParse(given);
    if (parsed.success) return parsed.data;
    issues.push({ code: 'invalid_element', origin: 'map', key: '', issues: parsed.error.issues, input: given });
    return z.NEVER;
  });

/** True for an expiry that is a proper moment, but not one to come. */
export function isPast(given: unknown, nowMs: number): boolean {
  const parsed = typeof given === 'string' ? parseExpiresAt(given) : undefined;
  return parsed?.ok === true && parsed.ms <= nowMs;
}

/**
 * Parses with a schema.
 * @param alsoWrong - what a look across members has found; zod would not look there while a member is wrong in itself
 * @throws {Problem} `validation-failed` with every violation.
 */
export function parseBody<Schema extends z.ZodMiniType>(
  schema: Schema,
  body: JsonBody,
  alsoWrong: readonly Violation[] = [],
): z.output<Schema> {
  const parsed = schema.safeParse(body.value);
  const inMembers = parsed.success ? [] : parsed.error.issues.flatMap(toViolations);
  const errors = [...body.violations, ...inMembers, ...alsoWrong];
  if (parsed.success && errors.length === 0) return parsed.data;
  throw new Problem('validation-failed', { errors });
}

function toViolations(found: z.core.$ZodIssue): Violation[] {
  const path = found.path.map((token) => (typeof token === 'symbol' ? String(token) : token));
  if (found.code === 'unrecognized_keys') {
    return found.keys.map((key) => ({
      pointer: pointerOf([...path, key]),
      code: 'unknown-member',
      message: 'is not a known member',
    }));
  }
  if (found.code === 'invalid_element') {
    return found.issues.flatMap((each) => toViolations({ ...each, path: [...found.path, ...each.path] }));
  }
  if (found.code === 'invalid_key') {
    return found.issues.map(({ message }) => ({ pointer: pointerOf(path), code: 'invalid-key', message }));
  }
  const custom: unknown = found.code === 'custom' ? found.params?.['code'] : undefined;
  const code = typeof custom === 'string' ? custom : found.code.replaceAll('_', '-');
  return [{ pointer: pointerOf(path), code, message: found.message }];
}

/** An entity tag (RFC 9110 section 8.8.3), weak or strong; what is longer than this was not ours. */
const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]{0,256}"$/;

/**
 * The entity tag that a request insists on; `undefined` where any will do: without the header, or with `*`.
 * @throws {Problem} `invalid-if-match`
 */
export function ifMatchOf(headers: ReadonlyMap<string, string>): string | undefined {
  const given = headers.get('if-match')?.trim();
  if (given === undefined || given === '*') return undefined;
  if (ENTITY_TAG.test(given)) return given;
  throw new Problem('invalid-if-match', {
    detail: 'It must be one entity tag in double quotes, as an ETag says it, or *.',
  });
}

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** @throws {Problem} `invalid-idempotency-key` */
export function idempotencyKeyOf(headers: ReadonlyMap<string, string>): string | undefined {
  const key = headers.get('idempotency-key');
  if (key !== undefined && !IDEMPOTENCY_KEY.test(key)) {
    throw new Problem('invalid-idempotency-key', { detail: 'It must have 1 to 255 visible ASCII characters.' });
  }
  return key;
}
