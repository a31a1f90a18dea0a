import type { RecordRef } from '../../context/crmRecord.ts';
import type { SessionId } from '../../context/sessionId.ts';

/** A session that is bound to a record. */
export interface BoundSession {
  readonly sessionId: SessionId;
  /** Epoch milliseconds. */
  readonly boundAtMs: number;
}

/** What became of an event in one session. */
export interface CrmSessionResult {
  /** `null` where there was nothing to do. */
  readonly operationId: string | null;
  readonly status: 'injected' | 'pending' | 'unchanged' | 'stale-ignored' | 'refused';
  readonly visibility: 'confirmed' | 'queued' | 'none';
  /** Why it was refused. */
  readonly code?: string;
}

export type CrmEventOutcome = 'applied' | 'stale-ignored' | 'no-live-session' | 'duplicate';

/** What became of an event, kept for as long as it may come again. */
export interface SeenEvent {
  readonly outcome: Exclude<CrmEventOutcome, 'duplicate'>;
  readonly sessions: readonly CrmSessionResult[];
}

/** Which paths of a record an event wants to set, and when it occurred. */
export interface Occurrence {
  readonly record: RecordRef;
  /** Compares as the events occurred. */
  readonly stamp: string;
  /** What is stamped later than this was stamped by a clock that is far ahead, and is no later event. */
  readonly horizon: string;
  /** What the event sets: `scope:key`. */
  readonly paths: readonly string[];
}

/** What ties sessions to whoever is told, or tells, about them. Every method may throw a `StoreError`. */
export interface Bindings {
  /** Binds a session to a record; again, it is bound from now on. */
  bind(record: RecordRef, sessionId: SessionId, nowMs: number): Promise<void>;
  /** Ends a binding; without one nothing happens. */
  unbind(record: RecordRef, sessionId: SessionId): Promise<void>;
}

/** What is known of a CRM's records and events. Every method may throw a `StoreError`. */
export interface CrmRecords extends Bindings {
  boundSessions(record: RecordRef, nowMs: number): Promise<readonly BoundSession[]>;
  /** The paths of an event for which no later one has been applied: only these it may set. */
  currentPaths(occurrence: Occurrence): Promise<readonly string[]>;
  /** Notes that an event has been applied; nothing that is later is undone. */
  noteApplied(occurrence: Occurrence, nowMs: number): Promise<void>;
  seen(source: string, eventId: string, nowMs: number): Promise<SeenEvent | undefined>;
  noteSeen(source: string, eventId: string, event: SeenEvent, nowMs: number): Promise<void>;
}
