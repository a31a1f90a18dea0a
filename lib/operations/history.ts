import { differencesOf } from '../context/diff.ts';
import { withoutInternal } from '../context/internalKeys.ts';
import type { JsonObject, JsonValue } from '../context/json.ts';
import { valueAt } from '../context/leaves.ts';
import { contextOf, EMPTY_MIRROR, type LoadedMirror, visibleVariables } from '../context/mirror.ts';
import { tokensOf } from '../context/pointer.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Clock } from '../platform/clock.ts';
import type { Lane, LaneStore, SessionStore } from './ports/sessionStore.ts';

export interface HistoryDeps {
  readonly store: SessionStore;
  readonly clock: Clock;
}

/** A session's mirror as it was once. */
export interface PastMirror {
  readonly mirror: LoadedMirror;
  /** When it was written, epoch milliseconds. */
  readonly atMs: number;
}

export interface ContextDiff {
  /** JSON Pointers of leaves. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** What lay at these paths. What has expired meanwhile is not told any more. */
  readonly values: ReadonlyMap<string, { readonly before?: JsonValue; readonly after?: JsonValue }>;
}

/** The lane of a session that can be shown; `unknown` for one never seen or idle for too long, `ended` for one that is gone upstream. */
export async function shownLane(
  { store, clock }: HistoryDeps,
  sessionId: SessionId,
): Promise<Lane | 'unknown' | 'ended'> {
  const lane = await store.readLane({ sessionId });
  if (lane === undefined || lane.version === 0) return 'unknown';
  const isWaiting = lane.journal.some(({ kind, version }) => kind !== 'expire' && !lane.endedVersions.has(version));
  if (lane.idleUntilMs > clock.now() || isWaiting) return lane;
  return lane.hasEnded ? 'ended' : 'unknown';
}

/**
 * What `read` finds under a lane; `undefined` where the session was erased while it was read, so that what the lane points to
 * is gone.
 */
export async function unlessErased<Found>(
  store: LaneStore,
  lane: Lane,
  read: () => Promise<Found>,
): Promise<Found | undefined> {
  try {
    return await read();
  } catch (error) {
    const now = await store.readLane(lane);
    if (now === undefined || now.erasedVersion === lane.erasedVersion) throw error;
    return undefined;
  }
}

/**
 * The mirror when `version` had taken effect and nothing later had. Versions that left together share one; a refused one
 * changed nothing, so the one before it still holds. Version 0 is the empty mirror.
 */
export async function mirrorAt(
  { store, clock }: HistoryDeps,
  lane: Lane,
  version: number,
): Promise<PastMirror | 'unknown-version'> {
  if (version === 0) return { mirror: EMPTY_MIRROR, atMs: 0 };
  if (version > lane.confirmedVersion || lane.idleUntilMs <= clock.now()) return 'unknown-version';
  const past = await unlessErased(store, lane, async () => {
    const stored = await store.readHistory(lane, version);
    return stored && { mirror: await store.loadValues(lane, stored.mirror), atMs: stored.atMs };
  });
  return past ?? 'unknown-version';
}

/** What became different in a session from one version to another. */
export async function diff(
  deps: HistoryDeps,
  sessionId: SessionId,
  versions: { readonly from: number; readonly to: number },
): Promise<ContextDiff | 'unknown' | 'ended' | 'unknown-version'> {
  const lane = await shownLane(deps, sessionId);
  if (typeof lane === 'string') return lane;
  const [from, to] = await Promise.all([mirrorAt(deps, lane, versions.from), mirrorAt(deps, lane, versions.to)]);
  if (from === 'unknown-version' || to === 'unknown-version') return 'unknown-version';
  return diffOf(from, to, deps.clock.now());
}

/** Leaf by leaf. Nothing that was expired then is in either. */
function diffOf(from: PastMirror, to: PastMirror, nowMs: number): ContextDiff {
  const differences = differencesOf(contextAt(from, from.atMs), contextAt(to, to.atMs));
  const [fromNow, toNow] = [contextAt(from, nowMs), contextAt(to, nowMs)];
  const told = (context: JsonObject, path: string) => valueAt(context, tokensOf(path));
  const paths = (isOne: (has: { before: boolean; after: boolean }) => boolean) =>
    differences
      .filter(({ before, after }) => isOne({ before: before !== undefined, after: after !== undefined }))
      .map(({ path }) => path);
  return {
    added: paths(({ before }) => !before),
    removed: paths(({ after }) => !after),
    changed: paths(({ before, after }) => before && after),
    values: new Map(
      differences.map(({ path, before, after }) => {
        const old = before === undefined ? undefined : told(fromNow, path);
        const current = after === undefined ? undefined : told(toNow, path);
        return [path, { ...(old !== undefined && { before: old }), ...(current !== undefined && { after: current }) }];
      }),
    ),
  };
}

function contextAt({ mirror }: PastMirror, atMs: number): JsonObject {
  return withoutInternal(contextOf(visibleVariables(mirror, atMs)));
}
