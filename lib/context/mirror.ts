import { valueHash } from './canonicalJson.ts';
import { isExpired } from './expiry.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { jsonEquals } from './jsonEquals.ts';
import { isLeaf, treeOf, valueAt } from './leaves.ts';
import { memberPointer, outwards, pointerOf, tokensOf } from './pointer.ts';
import type { Scope, Variable } from './variables.ts';

/** Where a value lies out of line, under a reference that the store understands. */
export interface StoredValue {
  readonly ref: string;
  readonly keptUntilMs: number;
  /** SHA-256 of the canonical value, so that comparing needs no value. */
  readonly hash: string;
}

/** The surface by which a variable has reached the bot, and by which it leaves it again. */
export type Via = 'inject' | 'sync';

/** One variable of the mirror with what the bridge knows about it. */
export interface MirrorVariable {
  /** JSON Pointer in the context: of one token for what was injected, of a leaf for what came by a sync. */
  readonly path: string;
  readonly scope: Scope;
  readonly via: Via;
  /** Absent while it is only in the store; then `stored` says where. */
  readonly value?: JsonValue;
  readonly stored?: StoredValue;
  readonly expiresAtMs?: number;
  readonly updatedAtMs: number;
  /** Who put it: the client's name, {@link BOT} or {@link SCHEMA}. */
  readonly source: string;
  /** Version of the operation that put it. */
  readonly version: number;
}

/** A variable whose value is at hand. */
export interface LoadedVariable extends MirrorVariable {
  readonly value: JsonValue;
}

/** The bridge's copy of one session's variables: one immutable version of it. Also holds what has expired and not left the bot. */
export interface Mirror {
  readonly version: number;
  readonly variables: ReadonlyMap<string, MirrorVariable>;
}

export interface LoadedMirror extends Mirror {
  readonly variables: ReadonlyMap<string, LoadedVariable>;
}

export const EMPTY_MIRROR: LoadedMirror = { version: 0, variables: new Map() };

/** Source of what the bot itself has put into its context. */
export const BOT = 'bot';
/** Source of the schema's defaults. */
export const SCHEMA = 'schema';

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

/** The identity of a mirrored variable: a path may exist once per scope. */
export function mirrorId({ scope, path }: Pick<MirrorVariable, 'scope' | 'path'>): string {
  return `${scope}:${path}`;
}

export function hashOf(variable: MirrorVariable): string {
  return variable.stored?.hash ?? valueHash(variable.value ?? null);
}

/**
 * Puts injected variables into the mirror, the later one winning; the mirror given is not touched. Expired values count as
 * absent. Where a later operation has overtaken this one, its values stay.
 */
export function putVariables(
  mirror: Mirror,
  variables: readonly Variable[],
  origin: Origin,
): { mirror: Mirror; changes: Change[] } {
  const next = new Map(mirror.variables);
  const put = variables.map((variable) => ({ ...variable, path: pathOf(variable) }));
  const inside = variablesInside(mirror, put);
  const changes: Change[] = [];
  for (const { path, scope, value, expiresAtMs } of put) {
    const id = mirrorId({ path, scope });
    const old = next.get(id);
    const replaced = inside.get(id) ?? [];
    if ([...replaced, ...(old === undefined ? [] : [old])].some(({ version }) => version > origin.version)) continue;
    for (const variable of replaced) next.delete(mirrorId(variable));
    const hash = valueHash(value);
    const visible = old === undefined || isExpired(old, origin.atMs) ? undefined : old;
    next.set(id, {
      path,
      scope,
      via: 'inject',
      value,
      // The same value again need not be written again where it already lies out of line.
      ...(old?.stored?.hash === hash && { stored: old.stored }),
      ...(expiresAtMs !== undefined && { expiresAtMs }),
      updatedAtMs: origin.atMs,
      source: origin.source,
      version: origin.version,
    });
    changes.push({
      path,
      scope,
      before: visible === undefined ? hashOfAll(replaced, path, origin.atMs) : hashOf(visible),
      after: hash,
    });
  }
  return { mirror: { version: Math.max(mirror.version, origin.version), variables: next }, changes };
}

/** The hash of the object that some leaves were together, as far as their values are at hand. */
function hashOfAll(leaves: readonly MirrorVariable[], path: string, nowMs: number): string | null {
  const values = leaves.flatMap(({ path: at, value, ...leaf }) =>
    value === undefined || isExpired(leaf, nowMs) ? [] : [{ path: at, value }],
  );
  const object = valueAt(treeOf(values), tokensOf(path));
  return object === undefined ? null : valueHash(object);
}

/** The leaves that lie inside each of some top-level variables, in the same scope, by the variable's id. */
function variablesInside(
  mirror: Mirror,
  around: readonly Pick<MirrorVariable, 'path' | 'scope'>[],
): Map<string, MirrorVariable[]> {
  const inside = new Map<string, MirrorVariable[]>(around.map((each) => [mirrorId(each), []]));
  for (const variable of mirror.variables.values()) {
    const top = topOf(variable.path);
    if (top !== variable.path) inside.get(mirrorId({ path: top, scope: variable.scope }))?.push(variable);
  }
  return inside;
}

/** The variables that may be shown at `nowMs`. */
export function visibleVariables<Kind extends MirrorVariable>(
  mirror: { readonly variables: ReadonlyMap<string, Kind> },
  nowMs: number,
): Kind[] {
  return [...mirror.variables.values()].filter((variable) => !isExpired(variable, nowMs));
}

/** The variables that have expired and, as far as is known, have not left the bot yet. */
export function expiredVariables<Kind extends MirrorVariable>(
  mirror: { readonly variables: ReadonlyMap<string, Kind> },
  nowMs: number,
): Kind[] {
  return [...mirror.variables.values()].filter((variable) => isExpired(variable, nowMs));
}

/** A mirror of exactly these variables. */
export function mirrorOf<Kind extends MirrorVariable>(
  version: number,
  variables: Iterable<Kind>,
): { version: number; variables: Map<string, Kind> } {
  const byId = new Map<string, Kind>();
  for (const variable of variables) byId.set(mirrorId(variable), variable);
  return { version, variables: byId };
}

/** JSON Pointer of an injected variable in the context. */
export function pathOf(variable: Pick<Variable, 'key'>): string {
  return pointerOf([variable.key]);
}

/** Pointer of the top-level member that a path leads through. */
export function topOf(path: string): string {
  const end = path.indexOf('/', 1);
  return end < 0 ? path : path.slice(0, end);
}

const PRECEDENCE: Readonly<Record<Scope, number>> = { global: 0, session: 1, user: 2 };

/** The more specific of two scopes, which shows. */
export function strongerOf(a: Scope, b: Scope): Scope {
  return PRECEDENCE[b] > PRECEDENCE[a] ? b : a;
}

/** The scope in which each top-level member is seen: `global` < `session` < `user` (SPEC 5). */
export function seenScopes(variables: Iterable<Pick<MirrorVariable, 'path' | 'scope'>>): Map<string, Scope> {
  const seen = new Map<string, Scope>();
  for (const { path, scope } of variables) {
    const top = topOf(path);
    const rival = seen.get(top);
    seen.set(top, rival === undefined ? scope : strongerOf(rival, scope));
  }
  return seen;
}

/** The context as one object. Where scopes collide the more specific one shows. */
export function contextOf(variables: readonly Pick<LoadedVariable, 'path' | 'scope' | 'value'>[]): JsonObject {
  const seen = seenScopes(variables);
  return treeOf(variables.filter(({ path, scope }) => seen.get(topOf(path)) === scope));
}

/** What {@link reconcile} is told about those leaves that an operation has written itself. */
export type Written = ReadonlyMap<string, { readonly expiresAtMs?: number | undefined }>;

const NOTHING_WRITTEN: Written = new Map();

/**
 * The variables that make up `context`. What is as it was keeps everything known about it; what differs, or is named as
 * written, is of this `origin`. A new value keeps the scope in which its top-level member is seen; a member that is gone is
 * gone from all scopes, and one in which the bot shows what a weaker scope has, from the stronger ones.
 * @param variables - the visible ones, before
 * @param options.shownAs - how a variable's value looks in such a context, where that is not as it is
 * @param options.hidden - further variables, which do not show in such a context but have their scopes
 * @param options.apart - paths that are to be variables of their own, where there is anything
 */
export function reconcile(
  variables: readonly LoadedVariable[],
  context: JsonObject,
  origin: Origin,
  options: {
    readonly written?: Written;
    readonly shownAs?: (value: JsonValue) => JsonValue;
    readonly apart?: readonly string[];
    readonly hidden?: readonly LoadedVariable[];
  } = {},
): LoadedVariable[] {
  const { written = NOTHING_WRITTEN, shownAs = (value) => value, apart = [], hidden = [] } = options;
  const seen = seenScopes([...variables, ...hidden]);
  if (origin.source === BOT) {
    for (const [top, scope] of uncovered(variables, context, { seen, shownAs })) seen.set(top, scope);
  }
  const shown = new Map<string, LoadedVariable>();
  const next: LoadedVariable[] = [];
  for (const variable of variables) {
    const top = topOf(variable.path);
    const scope = seen.get(top) ?? variable.scope;
    if (scope === variable.scope) shown.set(variable.path, variable);
    else if (Object.hasOwn(context, nameOf(top)) && strongerOf(scope, variable.scope) === scope) next.push(variable);
  }
  const named = [...written.keys(), ...apart.filter((path) => valueAt(context, tokensOf(path)) !== undefined)];
  const around = new Set(named.flatMap((path) => [...outwards(path)].slice(1)));

  const visit = (value: JsonValue, path: string, scope: Scope, cutFrom: LoadedVariable | undefined): void => {
    const known = shown.get(path) ?? cutFrom;
    const own = written.get(path);
    if (known !== undefined && !around.has(path) && jsonEquals(shownAs(known.value), value)) {
      next.push(own === undefined ? known : { ...withoutExpiry(known), ...put(own), via: 'sync' });
      return;
    }
    if (!isLeaf(value)) {
      for (const [name, member] of Object.entries(value as JsonObject)) {
        visit(member, memberPointer(path, name), scope, memberOf(known, name));
      }
      return;
    }
    next.push({ path, scope, via: 'sync', value, ...put(own) });
  };
  const put = (own: { readonly expiresAtMs?: number | undefined } | undefined) => ({
    ...(own?.expiresAtMs !== undefined && { expiresAtMs: own.expiresAtMs }),
    updatedAtMs: origin.atMs,
    source: origin.source,
    version: origin.version,
  });
  for (const [name, member] of Object.entries(context)) {
    const path = memberPointer('', name);
    visit(member, path, seen.get(path) ?? 'session', undefined);
  }
  return next;
}

/**
 * Members in which the bot shows what a weaker scope has, and not what hid it, with that scope: what hid it is not there any more, or
 * never was (of what the bot has put, nobody has told the scope). Taken for a new value of the bot's it would outlive its own expiry.
 */
function uncovered(
  variables: readonly LoadedVariable[],
  context: JsonObject,
  by: {
    readonly seen: ReadonlyMap<string, Scope>;
    readonly shownAs: (value: JsonValue) => JsonValue;
  },
): Map<string, Scope> {
  const found = new Map<string, Scope>();
  const isHidden = ({ path, scope }: LoadedVariable) => by.seen.get(topOf(path)) !== scope;
  const tops = new Set(variables.filter(isHidden).map(({ path }) => topOf(path)));
  for (const top of tops) {
    const member = valueAt(context, tokensOf(top));
    if (member === undefined) continue;
    const inScopes = Map.groupBy(
      variables.filter(({ path }) => topOf(path) === top),
      ({ scope }) => scope,
    );
    const equal = [...inScopes].filter(([, inScope]) => {
      const value = valueAt(treeOf(inScope), tokensOf(top));
      return value !== undefined && jsonEquals(by.shownAs(value), member);
    });
    const [first, ...others] = equal.map(([scope]) => scope);
    if (first !== undefined) found.set(top, others.reduce(strongerOf, first));
  }
  return found;
}

function nameOf(top: string): string {
  return top.slice(1).replaceAll('~1', '/').replaceAll('~0', '~');
}

function withoutExpiry({ expiresAtMs: _expiresAtMs, ...variable }: LoadedVariable): LoadedVariable {
  return variable;
}

/** A member of an object that was one variable, as a variable of its own: it leaves the bot by a rewritten context now. */
function memberOf(variable: LoadedVariable | undefined, name: string): LoadedVariable | undefined {
  if (variable === undefined || !isJsonObject(variable.value) || !Object.hasOwn(variable.value, name)) return undefined;
  const { stored: _stored, ...rest } = variable;
  const value = variable.value[name];
  return value === undefined ? undefined : { ...rest, path: memberPointer(variable.path, name), value, via: 'sync' };
}
