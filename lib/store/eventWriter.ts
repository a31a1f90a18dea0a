import { fittingEvent } from '../context/fittingEvent.ts';
import type { DeliveryQueue, EventRef } from '../operations/ports/deliveryQueue.ts';
import type { EventPlace, OutboundEvent } from '../operations/ports/eventQueue.ts';
import type { Vault } from '../platform/vault.ts';
import { eventKey, outShardOf, sessionKeyOf, sessionPk } from './keys.ts';
import { EVENT_FORMAT, EVENT_KEPT_MS, SealedEvents } from './sealedEvents.ts';
import { type Table, ttlSeconds } from './table.ts';

const IS_NEW = 'attribute_not_exists(pk)';

/** Bytes of an event as JSON: with everything around it below what EventBridge and an item take. */
const EVENT_MAX_BYTES = 240_000;

/** All that those need of the {@link DeliveryQueue} who only put events into it: their bundles carry no more. */
export class DynamoEventWriter implements Pick<DeliveryQueue, 'enqueueOnce'> {
  readonly #table: Table;
  readonly #vault: Vault;
  readonly #sealed: SealedEvents;
  readonly #shards: number;

  constructor(table: Table, vault: Vault, { dueShards }: { readonly dueShards: number }) {
    this.#table = table;
    this.#vault = vault;
    this.#sealed = new SealedEvents(table, vault);
    this.#shards = dueShards;
  }

  async enqueueOnce(event: OutboundEvent, { eventId, dueAtMs, lane }: EventPlace): Promise<EventRef> {
    const pk = sessionPk(this.#vault, { sessionId: event.data.sessionId });
    const { body, isSalted } = this.#sealed.seal(pk, fittingEvent(event, EVENT_MAX_BYTES), lane);
    await this.#table.update({
      key: eventKey(pk, eventId),
      expression:
        'SET #format = :format, body = :body, isSalted = :isSalted, dueShard = :dueShard, dueAt = :dueAt, #ttl = :ttl',
      condition: IS_NEW,
      names: { '#format': 'format', '#ttl': 'ttl' },
      values: {
        ':format': EVENT_FORMAT,
        ':body': body,
        ':isSalted': isSalted,
        ':dueShard': outShardOf(pk, this.#shards),
        ':dueAt': dueAtMs,
        ':ttl': ttlSeconds(dueAtMs + EVENT_KEPT_MS),
      },
      answer: 'nothing',
    });
    return { session: sessionKeyOf(pk), eventId };
  }
}
