import type { EventRef } from './deliveryQueue.ts';

/** A message of the queue. It only says where to look: the truth is in the table. */
export type Prompt =
  /** A lane has settled something that is to be told. */
  | { readonly kind: 'lane'; readonly session: string }
  /** An event may be delivered. */
  | { readonly kind: 'event'; readonly session: string; readonly eventId: string };

export function promptOf({ session, eventId }: EventRef): Prompt {
  return { kind: 'event', session: session.key, eventId };
}

/** The way to whoever delivers. */
export interface Prompts {
  /**
   * Sends prompts, which arrive after `delaySeconds` (whole, 0 to 900, 0 where absent), once or more often.
   * Rejects when any of them was not taken: the schedule sees to those.
   */
  send(prompts: readonly Prompt[], delaySeconds?: number): Promise<void>;
}
