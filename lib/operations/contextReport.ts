import { valueHash } from '../context/canonicalJson.ts';
import { differencesOf } from '../context/diff.ts';
import type { JsonObject } from '../context/json.ts';
import { jsonEquals } from '../context/jsonEquals.ts';
import { leavesOf } from '../context/leaves.ts';
import { nextExpiryMs } from '../context/leaving.ts';
import {
  BOT,
  hashOf,
  type LoadedMirror,
  type LoadedVariable,
  mirrorId,
  SCHEMA,
  visibleVariables,
} from '../context/mirror.ts';
import { outwards } from '../context/pointer.ts';
import type { Pruned } from '../context/pruning.ts';
import type { MergeConflict } from '../context/threeWayMerge.ts';
import { changeOf, scopesIn } from './contextChanges.ts';
import type { ContextPlanInput } from './contextInput.ts';
import type { Merged } from './contextMerge.ts';
import type { Applied, LoadedOperation } from './plan.ts';
import type { ContextDecision } from './ports/cognigy.ts';
import type { AuditChange, SyncReport, SyncWarning } from './ports/sessionStore.ts';
import type { Own, SyncOperation } from './syncPatch.ts';

export interface PlannedContext {
  readonly decision: ContextDecision;
  /** The mirror once the decision has been carried out, and what each operation changes in it. */
  readonly applied: Applied & { readonly mirror: LoadedMirror };
  /** The context as the bot will have it. */
  readonly context: JsonObject;
  readonly reports: ReadonlyMap<string, Omit<SyncReport, 'stateRef'>>;
}

export function planOf(
  input: ContextPlanInput,
  syncs: readonly SyncOperation[],
  merged: Merged,
  decided: {
    readonly context: JsonObject;
    readonly mirror: LoadedMirror;
    readonly pruned: readonly Pruned[];
    readonly bytes: number;
    readonly warnings: readonly SyncWarning[];
    /** What has expired and is still in the bot afterwards. */
    readonly staying: readonly LoadedVariable[];
  },
): PlannedContext {
  const { theirs, operations } = input;
  const { context, mirror, pruned, bytes, warnings } = decided;
  const staying = new Set(decided.staying.map(mirrorId));
  const expired = merged.expired.filter((variable) => !staying.has(mirrorId(variable)));
  const expiry = operations.findLast(({ payload }) => payload.kind === 'expire');
  const isWanted = syncs.length > 0 || (expiry !== undefined && expired.length > 0) || merged.holdsLapsed;
  const isThere = theirs !== undefined && jsonEquals(theirs, context);
  // Of what is sent; what waits in the mirror is not.
  const sendByMs = nextExpiryMs({ variables: visibleVariables(mirror, input.nowMs) }, input.nowMs);
  const decision: ContextDecision =
    !isWanted || isThere ? { kind: 'leave' } : { kind: 'put', context, ...(sendByMs !== undefined && { sendByMs }) };

  const changes = new Map<string, AuditChange[]>();
  for (const [operationId, each] of merged.own) changes.set(operationId, [...each.changes, ...each.overtaken]);
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
  // Nor does what the bot has made its own meanwhile.
  const bots = new Set([...mirror.variables.values()].filter(({ source }) => source === BOT).map(({ path }) => path));
  const leaving = expired.filter(({ path }) => !written.has(path) && !bots.has(path));
  const last = syncs.at(-1) ?? expiry;
  note(last, bridgeChanges(merged, context, mirror, pruned));
  note(
    expiry ?? last,
    leaving.map(({ path, scope, ...variable }) => {
      const before = hashOf({ path, scope, ...variable });
      return { path, scope, before, after: null, cause: 'expired' as const };
    }),
  );

  const expiredPaths = expired.map(({ path }) => path);
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
