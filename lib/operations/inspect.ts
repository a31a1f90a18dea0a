import { withoutInternal } from '../context/internalKeys.ts';
import type { JsonObject } from '../context/json.ts';
import {
  contextOf,
  EMPTY_MIRROR,
  type LoadedMirror,
  type LoadedVariable,
  visibleVariables,
} from '../context/mirror.ts';
import type { ContextSchema } from '../context/schema.ts';
import type { SessionId } from '../context/sessionId.ts';
import { jsonBytes } from '../context/size.ts';
import type { Violation } from '../context/violation.ts';
import type { Clock } from '../platform/clock.ts';
import { mirrorAt, shownLane, unlessErased } from './history.ts';
import type { AuditRecord, SessionStore } from './ports/sessionStore.ts';

export interface InspectDeps {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly schema: ContextSchema;
}

export interface ShownContext {
  readonly context: JsonObject;
  /** Also those that another scope hides, and internal ones, which the bot never gets. */
  readonly variables: readonly LoadedVariable[];
  /** UTF-8 bytes of the context's JSON. */
  readonly sizeBytes: number;
  readonly schemaErrors: readonly Violation[];
  /** Epoch milliseconds at which all of this was true. */
  readonly nowMs: number;
}

export interface Inspection extends ShownContext {
  /** Version of the last operation that took effect, or will. */
  readonly version: number;
  /** Version of the last operation that the upstream has confirmed. */
  readonly confirmedVersion: number;
  readonly pendingOperations: number;
  /** Keyed hash of the user's id, where a message has told it. */
  readonly userKey?: string;
  /** Newest first. */
  readonly recentAudit: readonly AuditRecord[];
}

export interface PastInspection extends ShownContext {
  /** The version that it was; of several that took effect together, the last. */
  readonly version: number;
  /** When it took effect, epoch milliseconds. */
  readonly atMs: number;
}

const RECENT_AUDIT = 10;

/**
 * One session as the mirror knows it: one consistent version, nothing expired. `unknown` for a session never seen or idle for
 * too long, `ended` for one that the upstream says is gone.
 */
export async function inspect(deps: InspectDeps, sessionId: SessionId): Promise<Inspection | 'unknown' | 'ended'> {
  const { store, clock } = deps;
  const lane = await shownLane(deps, sessionId);
  if (typeof lane === 'string') return lane;
  const nowMs = clock.now();
  const pendingOperations = lane.journal.length - lane.endedVersions.size;
  const isIdle = lane.idleUntilMs <= nowMs;
  const found = await unlessErased(store, lane, async () => {
    const [stored, recentAudit] = await Promise.all([
      isIdle || lane.stateRef === undefined ? undefined : store.readMirror(lane, lane.stateRef),
      store.readRecentAudit(lane, { nowMs, limit: RECENT_AUDIT }),
    ]);
    return { mirror: await store.loadValues(lane, stored?.mirror ?? EMPTY_MIRROR), recentAudit };
  });
  if (found === undefined) return 'unknown';
  const { mirror, recentAudit } = found;
  return {
    ...shown(mirror, deps.schema, nowMs),
    // What was refused has used up a number, but has changed nothing.
    version: pendingOperations > 0 ? lane.version : mirror.version,
    confirmedVersion: mirror.version,
    pendingOperations,
    recentAudit,
    ...(lane.userKey !== undefined && { userKey: lane.userKey }),
  };
}

/** One session as the mirror was at an earlier version. What has expired since is not shown again. */
export async function inspectVersion(
  deps: InspectDeps,
  sessionId: SessionId,
  version: number,
): Promise<PastInspection | 'unknown' | 'ended' | 'unknown-version'> {
  const lane = await shownLane(deps, sessionId);
  if (typeof lane === 'string') return lane;
  const past = await mirrorAt(deps, lane, version);
  if (past === 'unknown-version') return past;
  return { ...shown(past.mirror, deps.schema, deps.clock.now()), version: past.mirror.version, atMs: past.atMs };
}

function shown(mirror: LoadedMirror, schema: ContextSchema, nowMs: number): ShownContext {
  const variables = visibleVariables(mirror, nowMs);
  const context = withoutInternal(contextOf(variables));
  return { context, variables, sizeBytes: jsonBytes(context), schemaErrors: schema.violations(context), nowMs };
}
