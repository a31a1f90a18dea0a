import { type DeliveryCommand, type DeliveryDeps, deliverEvent } from './deliverEvent.ts';
import type { EventRef } from './ports/deliveryQueue.ts';
import { type Prompt, promptOf } from './ports/prompts.ts';
import type { SessionKey } from './ports/sessionStore.ts';

export interface NotifyDeps extends DeliveryDeps {
  /** Queues what a lane has to tell, and says what that is. */
  readonly handOver: (session: SessionKey) => Promise<readonly EventRef[]>;
}

/** A delivery takes up to 10 s, and its noting a moment: one that may not end in time is not begun. */
const TOO_LATE_MS = 12_000;

/**
 * Does what a message of the queue asks for. Events of a lane are delivered one after the other, in their order; those that there
 * is no time for are prompted again.
 *
 * @throws {StoreError} when the table cannot be reached: the message comes again.
 */
export async function workOffPrompt(deps: NotifyDeps, prompt: Prompt, command: DeliveryCommand): Promise<void> {
  const session = { key: prompt.session };
  const refs = prompt.kind === 'lane' ? await deps.handOver(session) : [{ session, eventId: prompt.eventId }];
  for (const [index, ref] of refs.entries()) {
    if (deps.clock.now() >= command.deadlineMs - TOO_LATE_MS) return deps.prompts.send(refs.slice(index).map(promptOf));
    await deliverEvent(deps, ref, command);
  }
}
