import * as z from 'zod';
import { MAX_TTL_SECONDS, parseExpiresAt } from '../context/expiry.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../context/json.ts';
import { pointerOf } from '../context/pointer.ts';
import { nestingOf } from '../context/size.ts';
import { isPrototypeName } from '../context/strictJson.ts';
import { MAX_VALUE_NESTING, SCOPES, VARIABLE_KEY } from '../context/variables.ts';
import type { Violation } from '../context/violation.ts';
import type { JsonBody } from './messages.ts';
import { Problem } from './problem.ts';

export type { Violation };

/** Building blocks of request schemas. Their messages go on from the pointer ("is …") and never quote the value. */

const issue = (code: string, message: string) => ({ code: 'custom', message, params: { code } }) as const;

export const variableKey = z
  .string('is missing or not a string')
  .regex(VARIABLE_KEY, 'must have 1 to 128 characters of A–Z a–z 0–9 _ -')
  .superRefine((key, context) => {
    if (isPrototypeName(key)) context.addIssue(issue('prototype-name', 'is a name that is never accepted'));
  });

export const scope = z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`).default('session');

/** Any JSON value within the nesting limit. Strict JSON has been checked before. */
export const jsonValue = z.custom<JsonValue>((value) => value !== undefined, 'is missing').superRefine(withinNesting);

export const jsonObject = z
  .custom<JsonObject>((value) => isJsonObject(value), 'must be an object')
  .superRefine(withinNesting);

function withinNesting(value: JsonValue, context: z.RefinementCtx): void {
  if (nestingOf(value) <= MAX_VALUE_NESTING) return;
  context.addIssue(issue('too-deep', `is nested deeper than ${MAX_VALUE_NESTING} levels`));
}

/** RFC 3339 with a zone, turned into epoch milliseconds. */
export const expiresAt = z
  .union([z.string(), z.number()], 'must be a date-time of RFC 3339')
  .transform((given, context) => {
    const parsed = parseExpiresAt(String(given));
    if (typeof given === 'string' && parsed.ok) return parsed.ms;
    const hint = parsed.ok ? 'must be a string' : parsed.hint;
    context.addIssue(issue('invalid-expiry', hint));
    return z.NEVER;
  });

export const ttlSeconds = z
  .number('must be a whole number of seconds')
  .int('must be a whole number of seconds')
  .min(1, 'must be at least 1 second')
  .max(MAX_TTL_SECONDS, `must be at most ${MAX_TTL_SECONDS} seconds; it is a duration, not a moment`);

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
export function parseBody<Schema extends z.ZodType>(
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
  const custom: unknown = found.code === 'custom' ? found.params?.['code'] : undefined;
  const code = typeof custom === 'string' ? custom : found.code.replaceAll('_', '-');
  return [{ pointer: pointerOf(path), code, message: found.message }];
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
