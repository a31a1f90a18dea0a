import type { JsonObject, JsonValue } from '../context/json.ts';
import { contextOf, EMPTY_MIRROR, pathOf, visibleVariables } from '../context/mirror.ts';
import type { ContextSchema } from '../context/schema.ts';
import type { SessionId } from '../context/sessionId.ts';
import { jsonBytes } from '../context/size.ts';
import type { Scope } from '../context/variables.ts';
import type { Violation } from '../context/violation.ts';
import type { Clock } from '../platform/clock.ts';
import type { AuditRecord, SessionStore } from './ports/sessionStore.ts';

export interface InspectDeps {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly schema: ContextSchema;
}

export interface InspectedVariable {
  readonly path: string;
  readonly scope: Scope;
  readonly value: JsonValue;
  readonly expiresAtMs?: number;
  readonly updatedAtMs: number;
  readonly source: string;
  readonly version: number;
}

export interface Inspection {
  /** Version of the last operation that took effect, or will. */
  readonly version: number;
  /** Version of the last operation that the upstream has confirmed. */
  readonly confirmedVersion: number;
  readonly context: JsonObject;
  readonly variables: readonly InspectedVariable[];
  /** UTF-8 bytes of the context's JSON. */
  readonly sizeBytes: number;
  readonly schemaErrors: readonly Violation[];
  readonly pendingOperations: number;
  /** Newest first. */
  readonly recentAudit: readonly AuditRecord[];
  /** Epoch milliseconds at which all of this was true. */
  readonly nowMs: number;
}

const RECENT_AUDIT = 10;

/**
 * One session as the mirror knows it: one consistent version, nothing expired. `unknown` for a session never seen or idle for
 * too long, `ended` for one that the upstream says is gone.
 */
export async function inspect(deps: InspectDeps, sessionId: SessionId): Promise<Inspection | 'unknown' | 'ended'> {
  const { store, clock, schema } = deps;
  const lane = await store.readLane({ sessionId });
  const nowMs = clock.now();
  if (lane === undefined || lane.version === 0) return 'unknown';
  const pendingOperations = lane.journal.length - lane.endedVersions.size;
  const isIdle = lane.idleUntilMs <= nowMs;
  if (isIdle && pendingOperations === 0) return lane.hasEnded ? 'ended' : 'unknown';

  const [stored, audit] = await Promise.all([
    isIdle || lane.stateRef === undefined ? undefined : store.readMirror(lane, lane.stateRef),
    store.readAudit(lane, { nowMs, limit: RECENT_AUDIT }),
  ]);
  const mirror = await store.loadValues(lane, stored?.mirror ?? EMPTY_MIRROR);
  const variables = visibleVariables(mirror, nowMs).flatMap((variable) =>
    'inline' in variable.value ? [{ ...variable, value: variable.value.inline }] : [],
  );
  const context = contextOf(variables);
  return {
    // What was refused has used up a number, but has changed nothing.
    version: pendingOperations > 0 ? lane.version : mirror.version,
    confirmedVersion: mirror.version,
    context,
    variables: variables.map((variable) => ({
      path: pathOf(variable),
      scope: variable.scope,
      value: variable.value,
      updatedAtMs: variable.updatedAtMs,
      source: variable.source,
      version: variable.version,
      ...(variable.expiresAtMs !== undefined && { expiresAtMs: variable.expiresAtMs }),
    })),
    sizeBytes: jsonBytes(context),
    schemaErrors: schema.violations(context),
    pendingOperations,
    recentAudit: audit?.records ?? [],
    nowMs,
  };
}
