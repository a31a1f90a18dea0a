import { isExpired } from './expiry.ts';
import { type MirrorVariable, strongerOf, topOf } from './mirror.ts';
import { tokensOf } from './pointer.ts';
import { type Scope, VARIABLE_KEY } from './variables.ts';

/** By which way each of the variables that have expired can leave the bot. */
export interface Leaving<Kind extends MirrorVariable> {
  /** By a rewritten context, in which it is missing: what is missing there is gone from all scopes. */
  readonly byContext: readonly Kind[];
  /** By its key and scope alone: another scope has a value of the same top-level member, which must stay. */
  readonly byKey: readonly Kind[];
  /** Not as long as another scope hides it, and what still lives beside it. */
  readonly notYet: readonly Kind[];
}

/** The variables of a mirror, or a list of them. */
export interface Variables<Kind extends MirrorVariable> {
  readonly variables: { values(): Iterable<Kind> };
}

/** Sorts what has expired by the way in which it can leave (ADR 0011). */
export function leavingOf<Kind extends MirrorVariable>(mirror: Variables<Kind>, nowMs: number): Leaving<Kind> {
  const expired: Kind[] = [];
  const alive = new Map<string, Set<Scope>>();
  for (const variable of mirror.variables.values()) {
    if (isExpired(variable, nowMs)) {
      expired.push(variable);
      continue;
    }
    const top = topOf(variable.path);
    const scopes = alive.get(top);
    if (scopes === undefined) alive.set(top, new Set([variable.scope]));
    else scopes.add(variable.scope);
  }
  const ways = Map.groupBy(expired, ({ path, scope }) => {
    const top = topOf(path);
    const scopes = alive.get(top);
    const seen = scopes && [...scopes].reduce(strongerOf);
    if (seen === undefined || seen === scope) return 'byContext';
    if (scopes?.has(scope) === true) return 'notYet';
    const [key = ''] = tokensOf(top);
    if (VARIABLE_KEY.test(key)) return 'byKey';
    return strongerOf(seen, scope) === scope ? 'byContext' : 'notYet';
  });
  return {
    byContext: ways.get('byContext') ?? [],
    byKey: ways.get('byKey') ?? [],
    notYet: ways.get('notYet') ?? [],
  };
}

/** When the next variable expires, or one that has expired can leave (epoch milliseconds; then it has passed). */
export function nextExpiryMs(mirror: Variables<MirrorVariable>, nowMs: number): number | undefined {
  let next: number | undefined;
  let hasExpired = false;
  const note = (expiresAtMs: number | undefined) => {
    if (expiresAtMs !== undefined && (next === undefined || expiresAtMs < next)) next = expiresAtMs;
  };
  for (const variable of mirror.variables.values()) {
    if (isExpired(variable, nowMs)) hasExpired = true;
    else note(variable.expiresAtMs);
  }
  if (!hasExpired) return next;
  const { byContext, byKey } = leavingOf(mirror, nowMs);
  for (const { expiresAtMs } of [...byContext, ...byKey]) note(expiresAtMs);
  return next;
}
