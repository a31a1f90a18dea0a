import { valueHash } from '../context/canonicalJson.ts';
import { type Difference, differencesOf } from '../context/diff.ts';
import { isExpired } from '../context/expiry.ts';
import { isInternalPath, withoutInternal } from '../context/internalKeys.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../context/json.ts';
import { jsonEquals } from '../context/jsonEquals.ts';
import { isLeaf, leavesOf, valueAt } from '../context/leaves.ts';
import { mergePatch } from '../context/mergePatch.ts';
import {
  BOT,
  contextOf,
  expiredVariables,
  hashOf,
  type LoadedMirror,
  type LoadedVariable,
  mirrorOf,
  nextExpiryMs,
  type Origin,
  reconcile,
  SCHEMA,
  visibleVariables,
} from '../context/mirror.ts';
import { memberPointer, outwards, tokensOf } from '../context/pointer.ts';
import { type Pruned, pruneContext } from '../context/pruning.ts';
import type { ContextSchema } from '../context/schema.ts';
import { jsonBytes } from '../context/size.ts';
import { type MergeConflict, threeWayMerge } from '../context/threeWayMerge.ts';
import type { Scope } from '../context/variables.ts';
import type { Violation } from '../context/violation.ts';
import type { Applied, LoadedOperation } from './plan.ts';
import type { ContextDecision } from './ports/cognigy.ts';
import type { AuditChange, SyncPayload, SyncReport, SyncWarning } from './ports/sessionStore.ts';

export interface ContextRules {
  readonly schema: ContextSchema;
  /** Largest context, in UTF-8 bytes of its JSON. */
  readonly maxBytes: number;
}

export interface ContextPlanInput extends ContextRules {
  /** What the bot had when it was last confirmed. Still holds what has expired and has not left the bot. */
  readonly base: LoadedMirror;
  /** The same with what has been injected since, and perhaps by later operations: where we start from. */
  readonly mirror: LoadedMirror;
  /** Syncs and expiries, in commit order. */
  readonly operations: readonly LoadedOperation[];
  /** The bot's context now; `undefined` where it cannot be read. */
  readonly theirs: JsonObject | undefined;
  readonly nowMs: number;
}

/** Why one sync comes to nothing. The others go on without it. */
export type PlanRefusal =
  | { readonly code: 'expired-before-push' }
  | { readonly code: 'validation-failed'; readonly violations: readonly Violation[] }
  | { readonly code: 'context-too-large'; readonly bytes: number };

export interface ContextPlan {
  readonly decision: ContextDecision;
  readonly refusals: ReadonlyMap<string, PlanRefusal>;
  /** The mirror once the decision has been carried out, and what each operation changes in it. */
  readonly applied: Applied & { readonly mirror: LoadedMirror };
  /** The context as the bot will have it. */
  readonly context: JsonObject;
  readonly reports: ReadonlyMap<string, Omit<SyncReport, 'stateRef'>>;
}

/** From here on a context is called nearly full. */
const NEARLY_FULL = 0.8;

type SyncOperation = LoadedOperation & { readonly payload: SyncPayload };

/**
 * What the bot's context is to be: base (what the bot had when it was last confirmed), theirs (what it has now) and ours (base
 * with the operations applied) merged; defaults filled; expired values gone; checked; pruned (SPEC 2 and 5, DESIGN 2). A sync
 * that does not validate, or does not fit, is refused; the others go on as if it had not been.
 */
export function planContext(input: ContextPlanInput): ContextPlan {
  const refusals = new Map<string, PlanRefusal>();
  const candidates = input.operations.filter(isSync).filter((operation) => {
    if (hasAnythingLeft(operation, input)) return true;
    refusals.set(operation.entry.operationId, { code: 'expired-before-push' });
    return false;
  });
  const together = evaluate(input, candidates);
  if (together.kind === 'plan') return { ...together.plan, refusals };

  // Somebody among them is in the wrong: one by one, in commit order.
  const accepted: SyncOperation[] = [];
  let last = evaluate(input, accepted);
  for (const candidate of candidates) {
    const next = candidates.length === 1 ? together : evaluate(input, [...accepted, candidate]);
    if (next.kind === 'plan') {
      accepted.push(candidate);
      last = next;
    } else {
      refusals.set(candidate.entry.operationId, next.refusal);
    }
  }
  if (last.kind !== 'plan') throw new TypeError('a context without syncs cannot be refused');
  return { ...last.plan, refusals };
}

function isSync(operation: LoadedOperation): operation is SyncOperation {
  return operation.payload.kind === 'sync';
}

type Evaluation =
  | { readonly kind: 'plan'; readonly plan: Omit<ContextPlan, 'refusals'> }
  | { readonly kind: 'refused'; readonly refusal: PlanRefusal };

function evaluate(input: ContextPlanInput, syncs: readonly SyncOperation[]): Evaluation {
  const { nowMs, schema, maxBytes } = input;
  const merged = mergeWith(input, syncs);
  const filled = schema.fillDefaults(merged.context);

  const violations = schema.violations(filled);
  const known = violations.length > 0 && syncs.length > 0 ? violationsWithout(input) : violations;
  const fresh = violations.filter((violation) => !known.some((other) => isSame(violation, other)));
  if (fresh.length > 0) return refused({ code: 'validation-failed', violations: fresh });

  const origin: Origin = { version: merged.firstVersion, atMs: nowMs, source: BOT };
  const fromSchema: Origin = { ...origin, source: SCHEMA };
  const options = { shownAs: stripped, hidden: merged.internal };
  const fromBot = reconcile(merged.ours, merged.context, origin, options);
  const withDefaults = filled === merged.context ? fromBot : reconcile(fromBot, filled, fromSchema, options);

  const pruning =
    syncs.length === 0
      ? ({ kind: 'fits', context: filled, bytes: jsonBytes(filled), pruned: [] } as const)
      : pruneContext(filled, {
          limitBytes: maxBytes,
          updatedAtMs: updateTimes(withDefaults),
          ruleOf: schema.ruleOf,
        });
  if (pruning.kind === 'too-large') return refused({ code: 'context-too-large', bytes: pruning.bytes });
  const { context, bytes, pruned } = pruning;
  if (pruned.length > 0 && schema.violations(context).length > violations.length) {
    return refused({ code: 'context-too-large', bytes: jsonBytes(filled) });
  }

  const apart = syncs.flatMap(({ payload }) => Object.keys(payload.expiries));
  const kept =
    context === filled && apart.length === 0
      ? withDefaults
      : reconcile(withDefaults, context, fromSchema, { ...options, apart });
  const internal = [...merged.internal, ...internalInside(merged.ours, kept)];
  const all = withInternal(
    kept,
    internal.filter(({ path }) => hasPlaceIn(context, path)),
  );
  const { renewed, warnings: ttlWarnings } = renew(all, syncs, nowMs);
  const mirror = mirrorOf(merged.version, renewed);

  const warnings: SyncWarning[] = [
    ...violations.map(({ pointer, message }) => ({
      code: 'schema-violation' as const,
      pointer,
      message: `${message}; it was so before this sync`,
    })),
    ...ttlWarnings,
    ...(bytes >= maxBytes * NEARLY_FULL ? [nearlyFull(bytes, maxBytes)] : []),
  ];
  const decided = { context, mirror, pruned, bytes, warnings };
  return { kind: 'plan', plan: planOf(input, syncs, merged, decided) };
}

function refused(refusal: PlanRefusal): Evaluation {
  return { kind: 'refused', refusal };
}

interface Merged {
  /** Merged, without defaults. Holds nothing internal and nothing expired. */
  readonly context: JsonObject;
  /** Our side, variable by variable, without internal ones. */
  readonly ours: readonly LoadedVariable[];
  readonly oursContext: JsonObject;
  readonly internal: readonly LoadedVariable[];
  readonly expired: readonly LoadedVariable[];
  readonly conflicts: readonly MergeConflict[];
  readonly version: number;
  /** Of what the bot and the schema have put: before all of these operations, so that each of them may change it. */
  readonly firstVersion: number;
  readonly own: ReadonlyMap<string, Own>;
}

/** What one sync says itself. */
interface Own {
  readonly changes: readonly AuditChange[];
  /** Paths of its own that had expired before they left. */
  readonly expired: readonly string[];
  /** What is left of its patch. */
  readonly said: JsonObject;
}

/** Our side while the operations are applied: the variables, and the context that they make. Internal ones are in both. */
interface OurSide {
  readonly variables: readonly LoadedVariable[];
  readonly context: JsonObject;
}

function mergeWith(input: ContextPlanInput, syncs: readonly SyncOperation[]): Merged {
  const { operations, theirs, nowMs, schema } = input;
  const mirror = renewedInTime(input.mirror, syncs, nowMs);
  const expired = expiredVariables(mirror, nowMs);
  const start = ourSideOf(renewedInTime(input.base, syncs, nowMs), nowMs);
  const base = withoutInternal(start.context);

  let now = input.mirror === input.base ? start : ourSideOf(mirror, nowMs);
  const own = new Map<string, Own>();
  let said: JsonObject = {};
  for (const sync of syncs) {
    const patched = applyPatch(now, sync, { schema, nowMs });
    now = patched;
    said = united(said, patched.said);
    own.set(sync.entry.operationId, patched);
  }

  const isInternal = ({ path }: LoadedVariable) => path.includes('/__') && isInternalPath(tokensOf(path));
  const oursContext = withoutInternal(now.context);
  const theirsNow = theirs === undefined ? base : withoutExpired(withoutInternal(theirs), expired, base);
  const { merged, conflicts } = threeWayMerge(
    { base, ours: oursContext, theirs: theirsNow, said: withoutInternal(said) },
    (path) => schema.ruleOf(path).conflict,
  );
  const versions = operations
    .filter((operation) => !isSync(operation) || syncs.includes(operation))
    .map(({ entry }) => entry.version);
  const version = Math.max(input.mirror.version, ...versions);
  return {
    context: merged,
    ours: now.variables.filter((variable) => !isInternal(variable)),
    oursContext,
    internal: now.variables.filter(isInternal),
    expired,
    conflicts,
    version,
    firstVersion: Math.min(version, ...versions),
    own,
  };
}

function ourSideOf(mirror: LoadedMirror, nowMs: number): OurSide {
  const variables = visibleVariables(mirror, nowMs);
  return { variables, context: contextOf(variables) };
}

/**
 * Their context without what we know to be expired: it is still there only because nobody has removed it yet (DESIGN I5).
 * Where the bot has changed such a value meanwhile, it is the bot's own and stays.
 */
function withoutExpired(theirs: JsonObject, expired: readonly LoadedVariable[], base: JsonObject): JsonObject {
  if (expired.length === 0) return theirs;
  const gone = Map.groupBy(expired, ({ path }) => path);
  const around = new Set(expired.flatMap(({ path }) => [...outwards(path)].slice(1)));
  const visit = (value: JsonValue, path: string): JsonValue | undefined => {
    // Perhaps it has expired in several scopes, of which one shows.
    const isOld = gone.get(path)?.some((old) => jsonEquals(value, stripped(old.value)));
    if (isOld === true) return valueAt(base, tokensOf(path));
    if (!around.has(path) || !isJsonObject(value) || isLeaf(value)) return value;
    const members = membersOf(value, path);
    return members.length === 0 ? undefined : Object.fromEntries(members);
  };
  const membersOf = (object: JsonObject, path: string) =>
    Object.entries(object).flatMap(([name, value]): [string, JsonValue][] => {
      const left = visit(value, memberPointer(path, name));
      return left === undefined ? [] : [[name, left]];
    });
  return Object.fromEntries(membersOf(theirs, ''));
}

/** A value as the bot has it: nothing internal in it. */
function stripped(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  const { value: plain = null } = withoutInternal({ value });
  return plain;
}

/** Our side with a patch applied: RFC 7396 on the whole, then leaf by leaf what has become of the variables. */
function applyPatch(
  { variables, context: before }: OurSide,
  { entry, payload }: SyncOperation,
  { schema, nowMs }: { readonly schema: ContextSchema; readonly nowMs: number },
): OurSide & Own {
  const isOvertaken = overtakenBy(variables, entry.version);
  const expiryOf = (path: string) => expiryOfLeaf(path, payload, entry.acceptedAtMs, schema);
  const expired: string[] = [];
  const written = new Map<string, { readonly expiresAtMs: number | undefined }>();
  const said = livePatch(payload.data, (path, value) => {
    if (isOvertaken(path)) return false;
    if (value === null) return true;
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
  return { variables: next, context: after, changes, expired, said: said ?? {} };
}

/** Two patches as one, the later one winning; unlike their effect, a deletion stays in it. */
function united(earlier: JsonObject, later: JsonObject): JsonObject {
  const members = new Map(Object.entries(earlier));
  for (const [name, value] of Object.entries(later)) {
    const old = members.get(name);
    members.set(name, isJsonObject(old) && isJsonObject(value) ? united(old, value) : value);
  }
  return Object.fromEntries(members);
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

/** False for a sync that only writes values, all of which have expired on the way here (SCENARIOS 24). */
function hasAnythingLeft({ entry, payload }: SyncOperation, { nowMs, schema }: ContextPlanInput): boolean {
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
function renewedInTime(mirror: LoadedMirror, syncs: readonly SyncOperation[], nowMs: number): LoadedMirror {
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
function renew(
  variables: readonly LoadedVariable[],
  syncs: readonly SyncOperation[],
  nowMs: number,
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
      if (variable.version > entry.version) return variable;
      const expiresAtMs = payload.expiries[outer];
      if (expiresAtMs === undefined || expiresAtMs <= nowMs || expiresAtMs === variable.expiresAtMs) return variable;
      return { ...variable, expiresAtMs, via: 'sync' };
    });
    for (const pointer of idle) {
      if ((payload.expiries[pointer] ?? 0) <= nowMs) continue;
      warnings.push({ code: 'ttl-without-value', pointer, message: 'has a ttl, but there is no value' });
    }
  }
  return { renewed, warnings };
}

function nearlyFull(bytes: number, maxBytes: number): SyncWarning {
  const percent = Math.floor((bytes / maxBytes) * 100);
  return { code: 'context-nearly-full', message: `The context has ${bytes} of ${maxBytes} bytes (${percent} %).` };
}

/** Violations of what the bot would have without any sync: those are nobody's fault here. */
function violationsWithout(input: ContextPlanInput): Violation[] {
  const { schema } = input;
  return schema.violations(schema.fillDefaults(mergeWith(input, []).context));
}

function isSame(a: Violation, b: Violation): boolean {
  return a.pointer === b.pointer && a.code === b.code;
}

/** When the value at a path was last updated: its own variable's time, or that of the one around it. */
function updateTimes(variables: readonly LoadedVariable[]): (path: string) => number {
  let times: Map<string, number> | undefined;
  return (path) => {
    times ??= new Map(variables.map(({ path: known, updatedAtMs }) => [known, updatedAtMs]));
    for (const outer of outwards(path)) {
      const time = times.get(outer);
      if (time !== undefined) return time;
    }
    return 0;
  };
}

/** An internal value stays as long as there is an object around it. */
function hasPlaceIn(context: JsonObject, path: string): boolean {
  const tokens = tokensOf(path);
  const around = tokens.slice(
    0,
    tokens.findIndex((token) => isInternalPath([token])),
  );
  return isJsonObject(valueAt(context, around));
}

/** Internal members of injected objects that are not in one piece any more. */
function internalInside(before: readonly LoadedVariable[], after: readonly LoadedVariable[]): LoadedVariable[] {
  const objects = before.filter(({ value }) => !isLeaf(value));
  if (objects.length === 0) return [];
  const whole = new Set(after.map(({ value }) => value));
  const holding = new Set(after.filter(({ value }) => !isLeaf(value)).map(({ path }) => path));
  return objects.flatMap(({ stored: _stored, ...variable }) => {
    if (whole.has(variable.value)) return [];
    return leavesOf(variable.value, variable.path)
      .filter(({ path }) => isInternalPath(tokensOf(path)) && ![...outwards(path)].some((outer) => holding.has(outer)))
      .map((leaf): LoadedVariable => ({ ...variable, ...leaf, via: 'sync' }));
  });
}

/** An object that shows as empty, but holds something internal, is made by that: with it, it also expires. */
function withInternal(
  shown: readonly LoadedVariable[],
  internal: readonly LoadedVariable[],
): readonly LoadedVariable[] {
  if (internal.length === 0) return shown;
  const around = new Set(internal.flatMap(({ scope, path }) => [...outwards(path)].map((outer) => scope + outer)));
  return [...shown.filter(({ scope, path }) => !around.has(scope + path)), ...internal];
}

function planOf(
  input: ContextPlanInput,
  syncs: readonly SyncOperation[],
  merged: Merged,
  decided: {
    readonly context: JsonObject;
    readonly mirror: LoadedMirror;
    readonly pruned: readonly Pruned[];
    readonly bytes: number;
    readonly warnings: readonly SyncWarning[];
  },
): Omit<ContextPlan, 'refusals'> {
  const { theirs, operations } = input;
  const { context, mirror, pruned, bytes, warnings } = decided;
  const expiry = operations.findLast(({ payload }) => payload.kind === 'expire');
  const isWanted = syncs.length > 0 || (expiry !== undefined && merged.expired.length > 0);
  const isThere = theirs !== undefined && jsonEquals(theirs, context);
  const sendByMs = nextExpiryMs(mirror);
  const decision: ContextDecision =
    !isWanted || isThere ? { kind: 'leave' } : { kind: 'put', context, ...(sendByMs !== undefined && { sendByMs }) };

  const changes = new Map<string, AuditChange[]>();
  for (const [operationId, each] of merged.own) changes.set(operationId, [...each.changes]);
  const note = (operation: LoadedOperation | undefined, added: readonly AuditChange[]) => {
    if (operation === undefined || added.length === 0) return;
    const { operationId } = operation.entry;
    changes.set(operationId, [...(changes.get(operationId) ?? []), ...added]);
  };
  const isPartOf = (conflict: MergeConflict, { entry }: LoadedOperation) =>
    concerns(merged.own.get(entry.operationId), conflict);
  for (const conflict of merged.conflicts) {
    const { path, base, ours, theirs: lost, chosen } = conflict;
    // To delete what only the bot had has changed nothing on our side.
    if (chosen === 'theirs' || base !== undefined || ours !== undefined || lost === undefined) continue;
    const removed = leavesOf(lost, path).map((leaf): AuditChange => {
      return { path: leaf.path, scope: 'session', before: valueHash(leaf.value), after: null };
    });
    note(
      syncs.findLast((sync) => isPartOf(conflict, sync)),
      removed,
    );
  }
  // What a sync has written anew does not leave.
  const own = [...merged.own.values()].flatMap((each) => each.changes);
  const written = new Set(own.filter(({ after }) => after !== null).map(({ path }) => path));
  const leaving = merged.expired.filter(({ path }) => !written.has(path));
  const last = syncs.at(-1) ?? expiry;
  note(last, bridgeChanges(merged, context, mirror, pruned));
  note(
    expiry ?? last,
    leaving.map(({ path, scope, ...variable }) => {
      const before = hashOf({ path, scope, ...variable });
      return { path, scope, before, after: null, cause: 'expired' as const };
    }),
  );

  const expiredPaths = merged.expired.map(({ path }) => path);
  const reports = syncs.map((sync): [string, Omit<SyncReport, 'stateRef'>] => {
    const { operationId } = sync.entry;
    const own = merged.own.get(operationId);
    return [
      operationId,
      {
        freshness: theirs === undefined ? 'mirror' : 'live',
        contextSizeBytes: bytes,
        pruned,
        expired: [...new Set([...expiredPaths, ...(own?.expired ?? [])])],
        conflicts: merged.conflicts.filter((conflict) => isPartOf(conflict, sync)),
        warnings,
      },
    ];
  });
  return { decision, context, applied: { mirror, changes }, reports: new Map(reports) };
}

/** Has the sync said anything at, in or around the place in dispute? A deletion need not have changed anything of ours. */
function concerns(own: Own | undefined, { path }: MergeConflict): boolean {
  if (own === undefined) return false;
  const outer = new Set(outwards(path));
  return [...own.changes, ...leavesOf(own.said)].some(
    (each) => outer.has(each.path) || each.path.startsWith(`${path}/`),
  );
}

/** What became different from what the operations asked for, and why. */
function bridgeChanges(
  merged: Merged,
  context: JsonObject,
  mirror: LoadedMirror,
  pruned: readonly Pruned[],
): AuditChange[] {
  const scopeOf = scopesIn([merged.ours, [...mirror.variables.values()]]);
  const prunedPaths = new Set(pruned.map(({ path }) => path));
  const defaults = new Set(
    [...mirror.variables.values()].filter(({ source }) => source === SCHEMA).map(({ path }) => path),
  );
  return differencesOf(merged.oursContext, context).map((difference) => {
    const { path, after } = difference;
    const isDefault = after !== undefined && defaults.has(path);
    const cause = prunedPaths.has(path) ? 'pruned' : isDefault ? 'default' : 'bot';
    return { ...changeOf(difference, scopeOf), cause };
  });
}

function changeOf({ path, before, after }: Difference, scopeOf: (path: string) => Scope): AuditChange {
  return {
    path,
    scope: scopeOf(path),
    before: before === undefined ? null : valueHash(before),
    after: after === undefined ? null : valueHash(after),
  };
}

/** The scope in which a path is kept, by the variables at it or around it; `session` where there is none. */
function scopesIn(sides: readonly (readonly LoadedVariable[])[]): (path: string) => Scope {
  let byPath: Map<string, Scope> | undefined;
  return (path) => {
    byPath ??= new Map(sides.flatMap((side) => side.map((variable) => [variable.path, variable.scope])));
    for (const outer of outwards(path)) {
      const scope = byPath.get(outer);
      if (scope !== undefined) return scope;
    }
    return 'session';
  };
}
