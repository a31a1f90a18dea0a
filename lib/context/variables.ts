import type { JsonValue } from './json.ts';

/** Where a variable lives upstream (SPEC 2, inject). */
export const SCOPES = ['session', 'user', 'global'] as const;
export type Scope = (typeof SCOPES)[number];

/** A variable as a client hands it over: an absolute value with its scope and its absolute expiry. */
export interface Variable {
  readonly key: string;
  readonly value: JsonValue;
  readonly scope: Scope;
  /** Epoch milliseconds; absent = never expires by itself. */
  readonly expiresAtMs?: number;
}

/** The identity of a variable: a key may exist once per scope. */
export function variableId(variable: Pick<Variable, 'key' | 'scope'>): string {
  return `${variable.scope}:${variable.key}`;
}

/** SPEC 4: keys of `inject`. */
export const VARIABLE_KEY = /^[A-Za-z0-9_-]{1,128}$/;

/** Nesting of objects and arrays in one value (SPEC 4). */
export const MAX_VALUE_NESTING = 32;
