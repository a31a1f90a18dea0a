import type { EventRef } from './deliveryQueue.ts';
import type { OutboundEvent } from './eventQueue.ts';

/** A destination has said that it is gone. */
export interface DestinationDisabled {
  readonly type: 'destination.disabled';
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  readonly data: { readonly destination: string; readonly reason: string };
}

/** The event bus of the account. */
export interface EventBus {
  /** Puts an event, whose `id` is the same each time it is put. Rejects when the bus has not taken it. */
  put(id: string, event: OutboundEvent | DestinationDisabled): Promise<void>;
}

export type SendResult =
  | { readonly kind: 'delivered' }
  /** 410: it does not want to hear of anything any more. */
  | { readonly kind: 'gone' }
  /** A code and a status; nothing of what has been answered. */
  | { readonly kind: 'failed'; readonly reason: string; readonly status?: number };

/** The way to an endpoint over HTTP. */
export interface WebhookSender {
  /** One request, without a retry. Never rejects. */
  send(eventId: string, event: OutboundEvent, deadlineMs: number): Promise<SendResult>;
}

/** Why an event was given up. */
export type DeathReason = 'retries-exhausted' | 'waited-too-long' | 'destination-disabled';

/** An event that was given up. No values and no raw ids. */
export interface DeadLetter extends EventRef {
  readonly reason: DeathReason;
  /** How often its delivery has failed. */
  readonly attempts: number;
  /** Who has not got it, where it is an HTTP endpoint: a keyed hash of its URL. */
  readonly destination?: string;
}

/** Where people look for events that were given up. */
export interface DeadLetters {
  /** Rejects when the letter was not taken. */
  send(letter: DeadLetter): Promise<void>;
}
