import type { EventPlace, OutboundEvent } from './eventQueue.ts';

/** An event in the table: its session's stored key (a keyed hash), and its own id, a ULID, which is also its `webhook-id`. */
export interface EventRef {
  readonly session: { readonly key: string };
  readonly eventId: string;
}

/** An event that is ours to deliver until `untilMs`. Nobody else gets hold of it before. */
export interface EventClaim {
  readonly ref: EventRef;
  readonly event: OutboundEvent;
  /** Epoch milliseconds. Also the claim's fence: a later claim ends later. */
  readonly untilMs: number;
  /** How often its delivery has failed. */
  readonly failures: number;
  /** Who has got it already: see {@link Postponement.deliveredTo}. */
  readonly deliveredTo: readonly string[];
  /** Since when it has been waiting for somebody, epoch milliseconds; absent before the first try. */
  readonly waitingSinceMs?: number;
}

export type ClaimResult =
  | { readonly kind: 'claimed'; readonly claim: EventClaim }
  /** Delivered, taken back, erased, given up, in somebody else's hands, or to be tried again later: nothing to do now. */
  | { readonly kind: 'not-due' }
  /** It opens for nobody any more: its session has been erased. */
  | { readonly kind: 'unreadable' };

/** When and with what an event is tried again. */
export interface Postponement {
  /** Not before this, epoch milliseconds. */
  readonly readyAtMs: number;
  /** When the schedule sees to it, epoch milliseconds. */
  readonly dueAtMs: number;
  readonly failures: number;
  /** Names of who has got it. */
  readonly deliveredTo: readonly string[];
  readonly waitingSinceMs: number;
}

/** Events on their way out. Every method may throw a `StoreError`. Events that a newer bridge has written are left to it. */
export interface DeliveryQueue {
  /**
   * Queues an event unless there is one of that id, delivered or not: who cannot know whether he has done it before does it again.
   * May be claimed at once. What would be too large is queued in part.
   */
  enqueueOnce(event: OutboundEvent, place: EventPlace): Promise<EventRef>;
  /** Takes an event until `untilMs`, after which somebody else may: a crash only delays it. */
  claim(ref: EventRef, during: { readonly nowMs: number; readonly untilMs: number }): Promise<ClaimResult>;
  /** Puts a claimed event off. Nothing happens when somebody else has it by now. */
  postpone(claim: EventClaim, postponement: Postponement): Promise<void>;
  /** The event is done with. What remains knows its id, and is no event any more. */
  finish(ref: EventRef, nowMs: number): Promise<void>;
  /** Gives a claimed event up: it is not due any more, and kept until `keepUntilMs`, in case that somebody wants it after all. */
  bury(
    claim: EventClaim,
    burial: { readonly keepUntilMs: number; readonly deliveredTo: readonly string[] },
  ): Promise<void>;
  /** What of one shard the schedule has to see to, oldest first. */
  due(shard: number, nowMs: number): AsyncIterable<EventRef>;
  /**
   * Notes that somebody is being told of a due event. False when somebody else has been just now. The schedule comes back to it
   * after 2 min, then after as long as the event has been ready: a long queue does not get longer by being reminded of.
   */
  notePrompt(ref: EventRef, nowMs: number): Promise<boolean>;
}

/** Events that were given up. */
export interface DeadEvents {
  /**
   * Makes an event due again, with all its tries ahead of it. `waiting` when it is not given up (yet): whoever gives it up may be
   * about to. `gone` when it was delivered or erased.
   */
  revive(ref: EventRef, nowMs: number): Promise<'revived' | 'waiting' | 'gone'>;
}
