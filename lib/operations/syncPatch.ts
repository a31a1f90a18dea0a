import { valueHash } from '../context/canonicalJson.ts';
import { differencesOf } from '../context/diff.ts';
import { isExpired } from '../context/expiry.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../context/json.ts';
import { isLeaf, type Leaf, leavesOf, valueAt } from '../context/leaves.ts';
import { mergePatch } from '../context/mergePatch.ts';
import { expiredVariables, type LoadedMirror, type LoadedVariable, mirrorOf, reconcile } from '../context/mirror.ts';
import { memberPointer, outwards, tokensOf } from '../context/pointer.ts';
import type { ContextSchema } from '../context/schema.ts';
import { changeOf, scopesIn } from './contextChanges.ts';
import type { ContextPlanInput } from './contextInput.ts';
import type { LoadedOperation } from './plan.ts';
import type { AuditChange, SyncPayload, SyncWarning } from './ports/sessionStore.ts';

export type SyncOperation = LoadedOperation & { readonly payload: SyncPayload };

export function isSync(operation: LoadedOperation): operation is SyncOperation {
  return operation.payload.kind === 'sync';
}

/** An answer can be read, and sent. */
const WARNINGS_MAX = 100;

/** What one sync says itself. */
export interface Own {
  readonly changes: readonly AuditChange[];
  /** Paths of its own that had expired before they left. */
  readonly expired: readonly string[];
  /** What is left of its patch. */
  readonly said: JsonObject;
  /** What it would have changed where a later operation had come before it. */
  readonly overtaken: readonly AuditChange[];
}

/** Our side while the operations are applied: the variables, and the context that they make. Internal ones are in both. */
export interface OurSide {
  readonly variables: readonly LoadedVariable[];
  readonly context: JsonObject;
}

/** Our side with a patch applied: RFC 7396 on the whole, then leaf by leaf what has become of the variables. */
export function applyPatch(
  { variables, context: before }: OurSide,
  { entry, payload }: SyncOperation,
  { schema, nowMs }: { readonly schema: ContextSchema; readonly nowMs: number },
): OurSide & Own {
  const isOvertaken = overtakenBy(variables, entry.version);
  const expiryOf = (path: string) => expiryOfLeaf(path, payload, entry.acceptedAtMs, schema);
  const expired: string[] = [];
  const overtaken: Leaf[] = [];
  const written = new Map<string, { readonly expiresAtMs: number | undefined }>();
  const said = livePatch(payload.data, (path, value) => {
    if (isOvertaken(path)) {
      overtaken.push({ path, value });
      return false;
    }
    if (value === null) return true;
    // An empty object says that there is an object; where there is one, it says nothing.
    if (isJsonObject(value) && isJsonObject(valueAt(before, tokensOf(path)))) return true;
    const expiresAtMs = expiryOf(path);
    if (isExpired({ expiresAtMs }, nowMs)) {
      expired.push(path);
      return false;
    }
    written.set(path, { expiresAtMs });
    return true;
  });
  const after = mergePatch(before, said ?? {});
  if (!isJsonObject(after)) throw new TypeError('a merge patch of an object is an object');
  const origin = { version: entry.version, atMs: nowMs, source: entry.client };
  const next = reconcile(variables, after, origin, { written });

  const scopeOf = scopesIn([variables, next]);
  const changes = differencesOf(before, after).map((difference) => changeOf(difference, scopeOf));
  const changed = new Set(changes.map(({ path }) => path));
  // To say the same again is to renew it.
  for (const path of written.keys()) {
    const value = changed.has(path) ? undefined : valueAt(after, tokensOf(path));
    if (value === undefined) continue;
    const hash = valueHash(value);
    changes.push({ path, scope: scopeOf(path), before: hash, after: hash });
  }
  const lost = overtaken.map(({ path, value }): AuditChange => {
    return {
      path,
      scope: scopeOf(path),
      before: null,
      after: value === null ? null : valueHash(value),
      cause: 'overtaken',
    };
  });
  return { variables: next, context: after, changes, expired, said: said ?? {}, overtaken: lost };
}

/** Two patches as one, the later one winning; unlike their effect, a deletion stays in it. */
export function united(earlier: JsonObject, later: JsonObject): JsonObject {
  const members = new Map(Object.entries(earlier));
  for (const [name, value] of Object.entries(later)) {
    const old = members.get(name);
    members.set(name, isJsonObject(old) && isJsonObject(value) ? united(old, value) : value);
  }
  return Object.fromEntries(members);
}

/** The objects of a later patch that begin empty, because an earlier one has said that there is none. */
export function* begunAnew(earlier: JsonObject, later: JsonObject, path = ''): Generator<string> {
  for (const [name, value] of Object.entries(later)) {
    if (!isJsonObject(value) || !Object.hasOwn(earlier, name)) continue;
    const at = memberPointer(path, name);
    const old = earlier[name];
    if (isJsonObject(old)) yield* begunAnew(old, value, at);
    else yield at;
  }
}

/** True for paths in, at or around which a later operation has put something already. */
function overtakenBy(variables: readonly LoadedVariable[], version: number): (path: string) => boolean {
  const newer = variables.filter((variable) => variable.version > version).map(({ path }) => path);
  if (newer.length === 0) return () => false;
  const at = new Set(newer);
  const around = new Set(newer.flatMap((path) => [...outwards(path)]));
  return (path) => around.has(path) || [...outwards(path)].some((outer) => at.has(outer));
}

/** The patch with only those leaves (deletions among them) that `isKept`; `undefined` when none is. */
function livePatch(
  patch: JsonObject,
  isKept: (path: string, value: JsonValue) => boolean,
  path = '',
): JsonObject | undefined {
  const members: [string, JsonValue][] = [];
  for (const [name, value] of Object.entries(patch)) {
    const at = memberPointer(path, name);
    if (isJsonObject(value) && !isLeaf(value)) {
      const inner = livePatch(value, isKept, at);
      if (inner !== undefined) members.push([name, inner]);
    } else if (isKept(at, value)) {
      members.push([name, value]);
    }
  }
  return members.length === 0 ? undefined : Object.fromEntries(members);
}

/**
 * Leaves of a sync whose time was over before it could be pushed now. An earlier attempt, of which nobody knows how it ended,
 * may have left them in the bot all the same (SCENARIOS 9, 10).
 */
export function lapsedLeaves(sync: SyncOperation, schema: ContextSchema, nowMs: number): LoadedVariable[] {
  return temporaryLeaves(sync, schema).filter((leaf) => isExpired(leaf, nowMs));
}

/** Leaves of a sync that it writes for a time only. Their scopes only the mirror knows. */
export function temporaryLeaves({ entry, payload }: SyncOperation, schema: ContextSchema): LoadedVariable[] {
  return leavesOf(payload.data).flatMap(({ path, value }): LoadedVariable[] => {
    const expiresAtMs = expiryOfLeaf(path, payload, entry.acceptedAtMs, schema);
    if (value === null || expiresAtMs === undefined) return [];
    const { version, client: source, acceptedAtMs: updatedAtMs } = entry;
    return [{ path, scope: 'session', via: 'sync', value, expiresAtMs, updatedAtMs, source, version }];
  });
}

/** False for a sync that only writes values, all of which have expired on the way here (SCENARIOS 24). */
export function hasAnythingLeft({ entry, payload }: SyncOperation, { nowMs, schema }: ContextPlanInput): boolean {
  const isLive = (value: JsonValue, path: string): boolean => {
    if (isJsonObject(value) && !isLeaf(value)) {
      return Object.entries(value).some(([name, member]) => isLive(member, memberPointer(path, name)));
    }
    return (
      value === null || !isExpired({ expiresAtMs: expiryOfLeaf(path, payload, entry.acceptedAtMs, schema) }, nowMs)
    );
  };
  return isLeaf(payload.data) || isLive(payload.data, '');
}

/** Said for the leaf itself or for something around it; the nearest counts. */
function statedExpiry(path: string, { expiries }: SyncPayload): number | undefined {
  for (const outer of outwards(path)) {
    if (Object.hasOwn(expiries, outer)) return expiries[outer];
  }
  return Object.hasOwn(expiries, '') ? expiries[''] : undefined;
}

function expiryOfLeaf(
  path: string,
  payload: SyncPayload,
  acceptedAtMs: number,
  schema: ContextSchema,
): number | undefined {
  const stated = statedExpiry(path, payload);
  if (stated !== undefined) return stated;
  const { ttlSeconds } = schema.ruleOf(tokensOf(path));
  return ttlSeconds === undefined ? payload.defaultExpiresAtMs : acceptedAtMs + ttlSeconds * 1_000;
}

/** What was still alive when a sync that renews it was accepted has not expired, however long the way here took (SCENARIOS 27). */
export function renewedInTime(mirror: LoadedMirror, syncs: readonly SyncOperation[], nowMs: number): LoadedMirror {
  if (syncs.length === 0 || expiredVariables(mirror, nowMs).length === 0) return mirror;
  const variables = [...mirror.variables.values()].map((variable): LoadedVariable => {
    if (!isExpired(variable, nowMs)) return variable;
    let { expiresAtMs } = variable;
    for (const { entry, payload } of syncs) {
      const isInTime = variable.version <= entry.version && !isExpired({ expiresAtMs }, entry.acceptedAtMs);
      if (isInTime) expiresAtMs = statedExpiry(variable.path, payload) ?? expiresAtMs;
    }
    if (expiresAtMs === undefined || isExpired({ expiresAtMs }, nowMs)) return variable;
    return { ...variable, expiresAtMs, via: 'sync' };
  });
  return mirrorOf(mirror.version, variables);
}

/** Expiries that a sync states also hold for what it did not write again: a renewal without the value. */
export function renew(
  variables: readonly LoadedVariable[],
  syncs: readonly SyncOperation[],
  { nowMs, lost }: { readonly nowMs: number; readonly lost: ReadonlySet<string> },
): { renewed: readonly LoadedVariable[]; warnings: SyncWarning[] } {
  let renewed = variables;
  const warnings: SyncWarning[] = [];
  for (const { entry, payload } of syncs) {
    const idle = new Set(Object.keys(payload.expiries));
    if (idle.size === 0) continue;
    renewed = renewed.map((variable) => {
      const outer = [...outwards(variable.path), ''].find((path) => Object.hasOwn(payload.expiries, path));
      if (outer === undefined) return variable;
      idle.delete(outer);
      // Whoever has lost the place does not say how long the other's value lives.
      if (variable.version > entry.version || [...outwards(variable.path)].some((path) => lost.has(path)))
        return variable;
      const expiresAtMs = payload.expiries[outer];
      if (expiresAtMs === undefined || expiresAtMs <= nowMs || expiresAtMs === variable.expiresAtMs) return variable;
      return { ...variable, expiresAtMs, via: 'sync' };
    });
    for (const pointer of idle) {
      if ((payload.expiries[pointer] ?? 0) <= nowMs) continue;
      if (warnings.length >= WARNINGS_MAX) break;
      warnings.push({ code: 'ttl-without-value', pointer, message: 'has a ttl, but there is no value' });
    }
  }
  return { renewed, warnings };
}
