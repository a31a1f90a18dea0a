import * as z from 'zod';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { anyJson } from './bodies.ts';

/** Where a variable lives, weakest first: of two variables with one key the later scope is seen (SPEC 5). */
export const SCOPES = ['global', 'bot', 'session', 'user'] as const;
export type Scope = (typeof SCOPES)[number];

/** The scopes a client of the `inject` surface may write. `bot` belongs to the bot. */
export const CLIENT_SCOPES = ['session', 'user', 'global'] as const;

/** A variable as the tenant keeps it. The expiry is kept to be looked at; the tenant never acts on it by itself. */
export interface StoredVariable {
  readonly key: string;
  readonly value: JsonValue;
  readonly scope: Scope;
  /** RFC 3339 as it was sent, or `null`. */
  readonly expiresAt: string | null;
}

/** A variable as an admin body or a test hands it over. */
export const seedVariableSchema = z.strictObject({
  key: z.string().min(1).max(256),
  value: anyJson,
  scope: z.enum(SCOPES).default('session'),
  expiresAt: z.iso.datetime({ offset: true }).nullable().default(null),
});

/** The identity of a variable and, as all variables are sorted by it, its place in every list: a key may exist once per scope. */
export function positionOf({ key, scope }: Pick<StoredVariable, 'key' | 'scope'>): string {
  return `${key}\0${scope}`;
}

/** True for the one way to unset a variable: `null` with an expiry that has passed. */
export function isRemoval(variable: StoredVariable, nowMs: number): boolean {
  return variable.value === null && variable.expiresAt !== null && Date.parse(variable.expiresAt) <= nowMs;
}

/** One value per key: that of the strongest scope. */
export function resolve(variables: Iterable<StoredVariable>): Map<string, StoredVariable> {
  const strongest = new Map<string, StoredVariable>();
  for (const variable of variables) {
    const rival = strongest.get(variable.key);
    if (rival === undefined || SCOPES.indexOf(variable.scope) >= SCOPES.indexOf(rival.scope)) {
      strongest.set(variable.key, variable);
    }
  }
  return strongest;
}

/** Variables as an object of key and value. `Object.fromEntries` defines members, so `__proto__` is a key like any other. */
export function toObject(variables: Iterable<StoredVariable>): JsonObject {
  return Object.fromEntries([...variables].map(({ key, value }) => [key, value]));
}
