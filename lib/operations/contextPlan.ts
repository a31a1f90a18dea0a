import { isInternalPath } from '../context/internalKeys.ts';
import { isJsonObject, type JsonObject } from '../context/json.ts';
import { isLeaf, leavesOf, valueAt } from '../context/leaves.ts';
import { leavingOf } from '../context/leaving.ts';
import {
  BOT,
  type LoadedVariable,
  mirrorId,
  mirrorOf,
  type Origin,
  reconcile,
  SCHEMA,
  topOf,
} from '../context/mirror.ts';
import { outwards, tokensOf } from '../context/pointer.ts';
import { pruneContext } from '../context/pruning.ts';
import { jsonBytes } from '../context/size.ts';
import type { Violation } from '../context/violation.ts';
import type { ContextPlanInput } from './contextInput.ts';
import { type Merged, mergeWith, stripped } from './contextMerge.ts';
import { type PlannedContext, planOf } from './contextReport.ts';
import type { SyncWarning } from './ports/sessionStore.ts';
import { hasAnythingLeft, isSync, type Own, renew, type SyncOperation } from './syncPatch.ts';

/** Why one sync comes to nothing. The others go on without it. */
export type PlanRefusal =
  | { readonly code: 'expired-before-push' }
  | { readonly code: 'validation-failed'; readonly violations: readonly Violation[] }
  | { readonly code: 'context-too-large'; readonly bytes: number };

export interface ContextPlan extends PlannedContext {
  readonly refusals: ReadonlyMap<string, PlanRefusal>;
}

/** From here on a context is called nearly full. */
const NEARLY_FULL = 0.8;

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

type Evaluation =
  | { readonly kind: 'plan'; readonly plan: PlannedContext }
  | { readonly kind: 'refused'; readonly refusal: PlanRefusal };

function evaluate(input: ContextPlanInput, syncs: readonly SyncOperation[]): Evaluation {
  const { nowMs, schema, maxBytes } = input;
  const merged = mergeWith(input, syncs);
  const filled = schema.fillDefaults(merged.context);

  const violations = schema.violations(filled);
  const known = violations.length > 0 && syncs.length > 0 ? violationsWithout(input) : violations;
  const said = saidBy(merged.own.values());
  const isNew = (violation: Violation) =>
    !known.some((other) => isSame(violation, other)) || (syncs.length > 0 && said(violation.pointer));
  const fresh = violations.filter(isNew);
  if (fresh.length > 0) return refused({ code: 'validation-failed', violations: fresh });

  const origin: Origin = { version: merged.firstVersion, atMs: nowMs, source: BOT };
  const fromSchema: Origin = { ...origin, source: SCHEMA };
  const options = { shownAs: stripped, hidden: [...merged.internal, ...alone(merged.expired, merged.ours)] };
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
  const left = pruned.length === 0 ? violations : schema.violations(context);
  if (left.some(isNew)) return refused({ code: 'context-too-large', bytes: jsonBytes(filled) });

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
  const { renewed, warnings: ttlWarnings } = renew(all, syncs, { nowMs, lost: lostTo('theirs', merged) });
  const staying = notLeaving(renewed, merged.expired, input);
  const mirror = mirrorOf(merged.version, [...staying, ...renewed]);

  const warnings: SyncWarning[] = [
    ...left.map(({ pointer, message }) => ({
      code: 'schema-violation' as const,
      pointer,
      message: `${message}; it was so before this sync`,
    })),
    ...ttlWarnings,
    ...(bytes >= maxBytes * NEARLY_FULL ? [nearlyFull(bytes, maxBytes)] : []),
  ];
  const decided = { context, mirror, pruned, bytes, warnings, staying };
  return { kind: 'plan', plan: planOf(input, syncs, merged, decided) };
}

function refused(refusal: PlanRefusal): Evaluation {
  return { kind: 'refused', refusal };
}

/** Those whose top-level member nothing visible has: what the bot has made of one is still in its scope. */
function alone(expired: readonly LoadedVariable[], visible: readonly LoadedVariable[]): readonly LoadedVariable[] {
  if (expired.length === 0) return expired;
  const tops = new Set(visible.map(({ path }) => topOf(path)));
  return expired.filter(({ path }) => !tops.has(topOf(path)));
}

/** What has expired, and neither leaves with the context nor has been forgotten: it waits in the mirror for its turn. */
function notLeaving(
  visible: readonly LoadedVariable[],
  expired: readonly LoadedVariable[],
  { nowMs, forgotten = new Set() }: ContextPlanInput,
): readonly LoadedVariable[] {
  if (expired.length === 0) return [];
  // What has been put anew in its place lives in the scope that is seen there: by the context it leaves, neither by key nor later.
  const { byKey, notYet } = leavingOf({ variables: [...expired, ...visible] }, nowMs);
  const isHere = ({ scope, path }: LoadedVariable) => !forgotten.has(mirrorId({ scope, path: topOf(path) }));
  return [...byKey.filter(isHere), ...notYet];
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

/** True for places at or in what a sync has said itself: whatever is wrong there is its own doing. */
function saidBy(own: Iterable<Own>): (pointer: string) => boolean {
  let paths: Set<string> | undefined;
  return (pointer) => {
    paths ??= new Set(Array.from(own).flatMap(({ said }) => leavesOf(said).map(({ path }) => path)));
    return [...outwards(pointer)].some((outer) => paths?.has(outer));
  };
}

/** The places of conflicts that one side has won. */
function lostTo(side: 'ours' | 'theirs', { conflicts }: Merged): ReadonlySet<string> {
  return new Set(conflicts.filter(({ chosen }) => chosen === side).map(({ path }) => path));
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
