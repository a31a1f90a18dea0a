import type { EventPlace, EventQueue, OutboundEvent } from '../operations/ports/eventQueue.ts';
import type { Vault } from '../platform/vault.ts';
import { eventKey, outShardOf, sessionPk } from './keys.ts';
import { EVENT_FORMAT, EVENT_KEPT_MS, SealedEvents } from './sealedEvents.ts';
import { type Table, ttlSeconds } from './table.ts';

/**
 * {@link EventQueue} in the table: one sealed item for each event, under its session and with its salt, so that it goes with it.
 * The due index has them in partitions of their own.
 */
export class DynamoEventQueue implements EventQueue {
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

  async enqueue(event: OutboundEvent, { eventId, dueAtMs, lane }: EventPlace): Promise<void> {
    const pk = this.#pkOf(event);
    await this.#table.put({
      ...eventKey(pk, eventId),
      format: EVENT_FORMAT,
      ...this.#sealed.seal(pk, event, lane),
      dueShard: outShardOf(pk, this.#shards),
      dueAt: dueAtMs,
      ttl: ttlSeconds(dueAtMs + EVENT_KEPT_MS),
    });
  }

  async complete(event: OutboundEvent, { eventId, lane }: EventPlace): Promise<void> {
    const pk = this.#pkOf(event);
    const { body, isSalted } = this.#sealed.seal(pk, event, lane);
    await this.#table.update({
      key: eventKey(pk, eventId),
      expression: 'SET body = :body',
      condition: 'attribute_exists(body) AND isSalted = :isSalted',
      values: { ':body': body, ':isSalted': isSalted },
      answer: 'nothing',
    });
  }

  /** Out of the due index and without a word; its TTL takes the rest. Whoever may only put can do this. */
  async withdraw(event: OutboundEvent, { eventId, dueAtMs }: EventPlace): Promise<void> {
    await this.#table.put({ ...eventKey(this.#pkOf(event), eventId), format: EVENT_FORMAT, ttl: ttlSeconds(dueAtMs) });
  }

  #pkOf({ data }: OutboundEvent): string {
    return sessionPk(this.#vault, { sessionId: data.sessionId });
  }
}
