import type { EventPlace, EventQueue, OutboundEvent, QueuedEvent } from '../operations/ports/eventQueue.ts';
import type { Vault } from '../platform/vault.ts';
import { eventIdOf, eventKey, laneKey, outShardName, outShardOf, sessionPk } from './keys.ts';
import { asStored } from './laneReader.ts';
import { isUnreadable } from './payloads.ts';
import { type Item, type Key, type Table, ttlSeconds } from './table.ts';

const EVENT_FORMAT = 1;
/** An event that nobody could be told in this time is dropped. */
const KEPT_MS = 7 * 24 * 3_600_000;

/**
 * {@link EventQueue} in the table: one sealed item for each event, under its session and with its salt, so that it goes with it.
 * The due index has them in partitions of their own.
 */
export class DynamoEventQueue implements EventQueue {
  readonly #table: Table;
  readonly #vault: Vault;
  readonly #shards: number;

  constructor(table: Table, vault: Vault, { dueShards }: { readonly dueShards: number }) {
    this.#table = table;
    this.#vault = vault;
    this.#shards = dueShards;
  }

  async enqueue(event: OutboundEvent, place: EventPlace): Promise<void> {
    const { eventId, dueAtMs } = place;
    const pk = this.#pkOf(event);
    await this.#table.put({
      ...eventKey(pk, eventId),
      format: EVENT_FORMAT,
      body: this.#seal(pk, event, place),
      isSalted: place.lane !== undefined,
      dueShard: outShardOf(pk, this.#shards),
      dueAt: dueAtMs,
      ttl: ttlSeconds(dueAtMs + KEPT_MS),
    });
  }

  async complete(event: OutboundEvent, place: EventPlace): Promise<void> {
    const pk = this.#pkOf(event);
    await this.#table.update({
      key: eventKey(pk, place.eventId),
      expression: 'SET body = :body',
      condition: 'attribute_exists(body) AND isSalted = :isSalted',
      values: { ':body': this.#seal(pk, event, place), ':isSalted': place.lane !== undefined },
      answer: 'nothing',
    });
  }

  #pkOf({ data }: OutboundEvent): string {
    return sessionPk(this.#vault, { sessionId: data.sessionId });
  }

  #seal(pk: string, event: OutboundEvent, { lane }: EventPlace): Uint8Array {
    const plain = Buffer.from(JSON.stringify(event), 'utf8');
    return this.#vault.seal(pk, plain, lane && this.#vault.contentKey(asStored(lane).item.salt));
  }

  /** Out of the due index and without a word; its TTL takes the rest. Whoever may only put can do this. */
  async withdraw(event: OutboundEvent, { eventId, dueAtMs }: EventPlace): Promise<void> {
    await this.#table.put({ ...eventKey(this.#pkOf(event), eventId), format: EVENT_FORMAT, ttl: ttlSeconds(dueAtMs) });
  }

  async *due(shard: number, nowMs: number): AsyncGenerator<QueuedEvent> {
    for await (const { pk, sk } of this.#table.queryDue({ shard: outShardName(shard), dueAt: nowMs })) {
      const key = { pk: String(pk), sk: String(sk) };
      // The index is a moment behind, and says nothing but the key.
      const item = await this.#table.get(key);
      const event = item && (await this.#open(key, item));
      if (event !== undefined) yield { eventId: eventIdOf(key), event };
    }
  }

  /** Undefined for what opens no more, and for what a newer bridge has written, which is its to deliver. */
  async #open({ pk }: Key, { format, body, isSalted }: Item): Promise<OutboundEvent | undefined> {
    if (typeof format !== 'number' || format > EVENT_FORMAT || !(body instanceof Uint8Array)) return undefined;
    try {
      const key = isSalted === true ? await this.#keyOf(pk) : undefined;
      // What the bridge sealed itself needs no second check of its shape: AES-GCM vouches for every byte.
      return JSON.parse(Buffer.from(this.#vault.open(pk, body, key)).toString('utf8'));
    } catch (error) {
      if (isUnreadable(error)) return undefined;
      throw error;
    }
  }

  async #keyOf(pk: string): Promise<Uint8Array | undefined> {
    const salt = (await this.#table.glance(laneKey(pk), ['salt']))?.['salt'];
    return salt instanceof Uint8Array ? this.#vault.contentKey(salt) : undefined;
  }
}
