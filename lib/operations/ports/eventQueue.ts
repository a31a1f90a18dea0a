import type { JsonObject } from '../../context/json.ts';
import type { SessionId } from '../../context/sessionId.ts';
import type { Lane } from './sessionStore.ts';

/** Types of events (SPEC 7 "Out"). */
export const EVENT_TYPES = [
  'context.injected',
  'context.synced',
  'context.failed',
  'context.expired',
  'dialog.updated',
  'variable_snapshot',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** What somebody outside is to be told. */
export interface OutboundEvent {
  readonly type: EventType;
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  readonly data: {
    /** The upstream's id. */
    readonly sessionId: SessionId;
    readonly event: EventType;
    readonly operationId: string;
    /** The session's version, 0 where the bridge has never written to it. */
    readonly version: number;
    /** JSON Pointers of what it is about. Never values. */
    readonly paths: readonly string[];
    /** How many there are beside these, where they are very many. */
    readonly pathsOmitted?: number;
    /** Why the operation failed, where it did. */
    readonly code?: string;
    /** What the operation's client has said about it. */
    readonly crm?: JsonObject;
  };
}

export interface EventPlace {
  /** A ULID. */
  readonly eventId: string;
  /** When the schedule sees to its delivery, unless somebody has done so before, epoch milliseconds. */
  readonly dueAtMs: number;
  /** The session's lane, where it has one: the event is sealed with its content, so that an erase takes both. */
  readonly lane?: Lane | undefined;
}

/** Events that are to leave the bridge, and are known before what they are about has happened. Every method may throw a `StoreError`. */
export interface EventQueue {
  /** Queues an event. */
  enqueue(event: OutboundEvent, place: EventPlace): Promise<void>;
  /** Puts an event in the place of what was queued under its id; where that is gone (erased, taken back, delivered) nothing happens. */
  complete(event: OutboundEvent, place: EventPlace): Promise<void>;
  /** Takes an event back that is not due yet. */
  withdraw(event: OutboundEvent, place: EventPlace): Promise<void>;
}
