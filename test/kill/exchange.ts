import type { JsonValue } from '../../lib/context/json.ts';
import type { Scope } from '../../lib/context/variables.ts';

/** What is asked of the bridge. */
export type RequestKind = 'inject' | 'sync' | 'dialog-state' | 'webhook' | 'crm';

/** A value that a request would put in one place of a session. Values tell which request they are of. */
export interface Write {
  /** JSON Pointer into the context. */
  readonly path: string;
  readonly scope: Scope;
  readonly value: JsonValue;
  readonly ttlSeconds?: number;
}

/** One request of a client, however often it is sent: what should become of it is known by this alone. */
export interface LoadRequest {
  readonly id: string;
  readonly kind: RequestKind;
  /** The session it is for; of a CRM's event all that are bound to its record. */
  readonly sessions: readonly string[];
  readonly writes: readonly Write[];
  /** Where it sends the dialog. */
  readonly nextStep?: string;
  /** When a CRM's event occurred, epoch milliseconds. */
  readonly occurredAtMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** Parsed; whatever it may be. */
  readonly body: JsonValue | undefined;
  /** An audit query, for what is pending. */
  readonly location?: string;
}

/** One sending of a request. */
export interface Attempt {
  /** By this the audit trail tells whose operation it has. */
  readonly correlationId: string;
  readonly sentAtMs: number;
  /** Absent where the connection broke: nobody knows what has become of it. */
  readonly answer?: HttpAnswer;
}

/** A request and what its client was told. */
export interface Exchange {
  readonly request: LoadRequest;
  readonly attempts: readonly Attempt[];
}

/** Somebody who comes once: something is put into his session, and then he has it erased, whatever became of that. */
export interface Departure {
  readonly sessionId: string;
  readonly put: readonly Attempt[];
  readonly erase: readonly Attempt[];
  /** When the erase was answered for the last time, epoch milliseconds. */
  readonly endedAtMs: number;
}
