import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { CrmSessionResult } from '../../../lib/operations/ports/crm.ts';
import type { Outcome } from '../../../lib/operations/ports/sessionStore.ts';

/** What a client wants one place of a session to hold. */
export interface Write {
  /** `scope:pointer`. */
  readonly slot: string;
  /** Unlike any other value of the simulation; `undefined` takes the place away. */
  readonly value: JsonValue | undefined;
  /** Epoch milliseconds, where the client has said when. */
  readonly expiresAtMs?: number;
  /** Milliseconds from when the bridge takes the operation, where the client has said how long. */
  readonly ttlMs?: number;
}

export type CallKind = 'inject' | 'sync' | 'dialog-state' | 'webhook' | 'crm' | 'erase';

/** What the bridge says to a client, as far as all operations have it in common. */
export interface Said {
  readonly kind: string;
  readonly outcome?: Outcome;
  readonly operationId?: string;
  readonly version?: number;
  readonly replayed?: boolean;
  /** The context after a sync. */
  readonly context?: JsonObject;
  /** What an event of a CRM came to in each session. */
  readonly sessions?: readonly CrmSessionResult[];
}

export interface CrmOccurrence {
  readonly recordId: string;
  /** Compares as the events occurred. */
  readonly stamp: string;
}

/** One request of a client, and what came of it. */
export interface Call {
  /** Unlike any other: it is the request's correlation id, by which it is found in the journal. */
  readonly id: string;
  readonly kind: CallKind;
  /** The sessions that it may be about; more than one only for an event of a CRM. */
  readonly sessions: readonly SessionId[];
  /** What tells repeats of one request from others, where the client (or the kind) says it. */
  readonly key?: string;
  /** Which body was sent: with the same key, another one is a mismatch. */
  readonly body: string;
  readonly writes: readonly Write[];
  readonly nextStep?: string;
  /** What it is about and when that occurred, for an event of a CRM. */
  readonly occurrence?: CrmOccurrence;
  /** Epoch milliseconds by the world's clock. */
  readonly startMs: number;
  /** By the clock of the instance that was asked. */
  readonly askedAtMs: number;
  endMs?: number;
  /** Absent while nobody has answered: the instance has died, or its client has lost patience. */
  said?: Said;
  error?: unknown;
}

/** One read of a session, and what it has shown. */
export interface Read {
  readonly session: SessionId;
  readonly kind: 'inspect' | 'inspect version' | 'snapshot' | 'mirror snapshot' | 'synced';
  /** Epoch milliseconds by the world's clock. */
  readonly startMs: number;
  readonly endMs: number;
  /** By the clock of the instance that has answered, when it was asked. */
  readonly askedAtMs: number;
  /** Values by slot. */
  readonly shown: ReadonlyMap<string, JsonValue>;
  /** The version that is said to be shown, where one is. */
  readonly version?: number;
}
