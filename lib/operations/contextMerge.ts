import { isInternalPath, withoutInternal } from '../context/internalKeys.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../context/json.ts';
import { jsonEquals } from '../context/jsonEquals.ts';
import { isLeaf, valueAt } from '../context/leaves.ts';
import {
  contextOf,
  expiredVariables,
  type LoadedMirror,
  type LoadedVariable,
  visibleVariables,
} from '../context/mirror.ts';
import { memberPointer, outwards, tokensOf } from '../context/pointer.ts';
import { type MergeConflict, threeWayMerge } from '../context/threeWayMerge.ts';
import type { ContextPlanInput } from './contextInput.ts';
import {
  applyPatch,
  begunAnew,
  isSync,
  lapsedLeaves,
  type OurSide,
  type Own,
  renewedInTime,
  type SyncOperation,
  united,
} from './syncPatch.ts';

export interface Merged {
  /** Merged, without defaults. Holds nothing internal and nothing expired. */
  readonly context: JsonObject;
  /** Our side, variable by variable, without internal ones. */
  readonly ours: readonly LoadedVariable[];
  readonly oursContext: JsonObject;
  readonly internal: readonly LoadedVariable[];
  readonly expired: readonly LoadedVariable[];
  /** The bot has something that one of the operations had put there for a time that is over. */
  readonly holdsLapsed: boolean;
  readonly conflicts: readonly MergeConflict[];
  readonly version: number;
  /** Of what the bot and the schema have put: before all of these operations, so that each of them may change it. */
  readonly firstVersion: number;
  readonly own: ReadonlyMap<string, Own>;
}

export function mergeWith(input: ContextPlanInput, syncs: readonly SyncOperation[]): Merged {
  const { operations, theirs, nowMs, schema, left = [] } = input;
  const mirror = renewedInTime(input.mirror, syncs, nowMs);
  const expired = expiredVariables(mirror, nowMs);
  let now = ourSideOf(mirror, nowMs);
  const base = withoutInternal(now.context);
  const own = new Map<string, Own>();
  let said: JsonObject = {};
  const anew = new Set<string>();
  for (const sync of syncs) {
    const patched = applyPatch(now, sync, { schema, nowMs });
    now = patched;
    for (const path of begunAnew(said, patched.said)) anew.add(path);
    said = united(said, patched.said);
    own.set(sync.entry.operationId, patched);
  }

  const isInternal = ({ path }: LoadedVariable) => path.includes('/__') && isInternalPath(tokensOf(path));
  const oursContext = withoutInternal(now.context);
  const lapsed = [...operations.filter(isSync).flatMap((sync) => lapsedLeaves(sync, schema, nowMs)), ...left];
  const shown = theirs === undefined ? base : withoutInternal(theirs);
  const unlapsed = withoutExpired(shown, lapsed, base);
  const theirsNow = withoutExpired(unlapsed, expired, base);
  const { merged, conflicts } = threeWayMerge(
    { base, ours: oursContext, theirs: theirsNow, said: withoutInternal(said), anew },
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
    holdsLapsed: lapsed.length > 0 && !jsonEquals(shown, unlapsed),
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
export function stripped(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  const { value: plain = null } = withoutInternal({ value });
  return plain;
}
