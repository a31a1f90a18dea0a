import { type EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { fittingEvent } from '../context/fittingEvent.ts';
import type { OutboundEvent } from '../operations/ports/eventQueue.ts';
import type { DestinationDisabled, EventBus } from '../operations/ports/outbound.ts';
import { eventBody } from './eventBody.ts';

const SOURCE = 'context-bridge';
/** EventBridge takes 256 KB a request: the detail, its type, the source and the time. */
const DETAIL_MAX_BYTES = 250_000;

/** The bus has answered, but not taken the event. */
export class EventBusError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`the event bus has not taken an event: ${code}`);
    this.name = 'EventBusError';
    this.code = code;
  }
}

/**
 * {@link EventBus} of EventBridge. The detail is the body of a webhook with the event's id: EventBridge gives what is put twice two
 * ids of its own.
 */
export class EventBridgeBus implements EventBus {
  readonly #client: EventBridgeClient;
  readonly #name: string;

  constructor(client: EventBridgeClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  /** @throws {EventBusError} when the bus has refused it; an error of the SDK when it was not reached. */
  async put(id: string, event: OutboundEvent | DestinationDisabled): Promise<void> {
    const detail = event.type === 'destination.disabled' ? event : eventBody(fittingEvent(event, DETAIL_MAX_BYTES));
    const entry = {
      EventBusName: this.#name,
      Source: SOURCE,
      DetailType: event.type,
      Time: new Date(event.timestamp),
      Detail: JSON.stringify({ id, ...detail }),
    };
    const { FailedEntryCount = 0, Entries } = await this.#client.send(new PutEventsCommand({ Entries: [entry] }));
    // A request of which nothing was taken is answered 200 as well.
    if (FailedEntryCount > 0) throw new EventBusError(Entries?.[0]?.ErrorCode ?? 'unknown');
  }
}
