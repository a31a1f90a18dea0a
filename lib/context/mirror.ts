import { describeValue } from './canonicalJson.ts';
import { isExpired } from './expiry.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { pointerOf } from './pointer.ts';
import { type Scope, type Variable, variableId } from './variables.ts';

/** A value as the mirror holds it: here, or out of line under a reference that the store understands. */
export type MirrorValue = { readonly inline: JsonValue } | { readonly ref: string; readonly keptUntilMs: number };

/** One variable of the mirror with what the bridge knows about it. */
export interface MirrorVariable {
  readonly key: string;
  readonly scope: Scope;
  readonly value: MirrorValue;
  /** SHA-256 of the canonical value, so that comparing needs no value. */
  readonly hash: string;
  /** UTF-8 bytes of the value's JSON. */
  readonly bytes: number;
  readonly expiresAtMs?: number;
  readonly updatedAtMs: number;
  /** Who put it: the client's name. */
  readonly source: string;
  /** Version of the operation that put it. */
  readonly version: number;
}

/** The bridge's copy of one session's variables: one immutable version of it. */
export interface Mirror {
  readonly version: number;
  readonly variables: ReadonlyMap<string, MirrorVariable>;
}

export const EMPTY_MIRROR: Mirror = { version: 0, variables: new Map() };

/** What one variable changed, for the audit trail: hashes, never values. */
export interface Change {
  readonly path: string;
  readonly scope: Scope;
  /** Hash before; `null` where there was nothing (or nothing any more). */
  readonly before: string | null;
  /** Hash after; `null` where it was removed. */
  readonly after: string | null;
}

export interface Origin {
  readonly version: number;
  readonly atMs: number;
  readonly source: string;
}

/** Puts variables into the mirror, the later one winning; the mirror given is not touched. Expired values count as absent. */
export function putVariables(
  mirror: Mirror,
  variables: readonly Variable[],
  origin: Origin,
): { mirror: Mirror; changes: Change[] } {
  const next = new Map(mirror.variables);
  const changes = variables.map((variable): Change => {
    const id = variableId(variable);
    const old = next.get(id);
    const { hash, bytes } = describeValue(variable.value);
    next.set(id, {
      key: variable.key,
      scope: variable.scope,
      // The same value again need not be written again where it already lies out of line.
      value: old?.hash === hash ? old.value : { inline: variable.value },
      hash,
      bytes,
      ...(variable.expiresAtMs !== undefined && { expiresAtMs: variable.expiresAtMs }),
      updatedAtMs: origin.atMs,
      source: origin.source,
      version: origin.version,
    });
    return {
      path: pathOf(variable),
      scope: variable.scope,
      before: old === undefined || isExpired(old, origin.atMs) ? null : old.hash,
      after: hash,
    };
  });
  return { mirror: { version: origin.version, variables: next }, changes };
}

/** The variables that may be shown at `nowMs`. */
export function visibleVariables(mirror: Mirror, nowMs: number): MirrorVariable[] {
  return [...mirror.variables.values()].filter((variable) => !isExpired(variable, nowMs));
}

/** Leaves out what has expired; keeps the mirror as it is when nothing has. */
export function dropExpired(mirror: Mirror, nowMs: number): Mirror {
  const visible = visibleVariables(mirror, nowMs);
  if (visible.length === mirror.variables.size) return mirror;
  return { version: mirror.version, variables: new Map(visible.map((variable) => [variableId(variable), variable])) };
}

/** JSON Pointer of an injected variable in the context. */
export function pathOf(variable: Pick<Variable, 'key'>): string {
  return pointerOf([variable.key]);
}

const PRECEDENCE: Readonly<Record<Scope, number>> = { global: 0, session: 1, user: 2 };

/** The context as one object. Where scopes collide the more specific one shows: `global` < `session` < `user` (SPEC 5). */
export function contextOf(
  variables: readonly (Pick<MirrorVariable, 'key' | 'scope'> & { value: JsonValue })[],
): JsonObject {
  const byPrecedence = [...variables].sort((a, b) => PRECEDENCE[a.scope] - PRECEDENCE[b.scope]);
  return Object.fromEntries(byPrecedence.map(({ key, value }) => [key, value]));
}
