import type { EventPlace, EventQueue, OutboundEvent, QueuedEvent } from '../operations/ports/eventQueue.ts';
import type { Vault } from '../platform/vault.ts';
import { eventIdOf, eventKey, outShardName, outShardOf, sessionPk } from './keys.ts';
import { isUnreadable, Payloads } from './payloads.ts';
import { type Item, type Key, type Table, ttlSeconds } from './table.ts';

const EVENT_FORMAT = 1;
/** An event that nobody could be told in this time is dropped. */
const KEPT_MS = 7 * 24 * 3_600_000;
/** Names of very many variables lie out of line. */
const INLINE_BYTES = 300_000;

/**
 * {@link EventQueue} in the table: one sealed item for each event, under its session, so that it goes with it. The due index has
 * them in partitions of their own.
 */
export class DynamoEventQueue implements EventQueue {
  readonly #table: Table;
  readonly #vault: Vault;
  readonly #payloads: Payloads;
  readonly #shards: number;

  constructor(table: Table, vault: Vault, { dueShards }: { readonly dueShards: number }) {
    this.#table = table;
    this.#vault = vault;
    this.#payloads = new Payloads(table, vault);
    this.#shards = dueShards;
  }

  async enqueue(event: OutboundEvent, { eventId, dueAtMs }: EventPlace): Promise<void> {
    const pk = sessionPk(this.#vault, { sessionId: event.data.sessionId });
    const keepUntilMs = dueAtMs + KEPT_MS;
    const body = await this.#payloads.store(pk, Buffer.from(JSON.stringify(event), 'utf8'), {
      inlineBytes: INLINE_BYTES,
      keepUntilMs,
    });
    await this.#table.put({
      ...eventKey(pk, eventId),
      format: EVENT_FORMAT,
      body,
      dueShard: outShardOf(pk, this.#shards),
      dueAt: dueAtMs,
      ttl: ttlSeconds(keepUntilMs),
    });
  }

  /** Out of the due index and without a word; its TTL takes the rest. Whoever may only put can do this. */
  async withdraw({ data }: OutboundEvent, { eventId, dueAtMs }: EventPlace): Promise<void> {
    const pk = sessionPk(this.#vault, { sessionId: data.sessionId });
    await this.#table.put({ ...eventKey(pk, eventId), format: EVENT_FORMAT, ttl: ttlSeconds(dueAtMs) });
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
  async #open({ pk }: Key, { format, body }: Item): Promise<OutboundEvent | undefined> {
    if (typeof format !== 'number' || format > EVENT_FORMAT) return undefined;
    if (!(body instanceof Uint8Array || typeof body === 'string')) return undefined;
    try {
      // What the bridge sealed itself needs no second check of its shape: AES-GCM vouches for every byte.
      return JSON.parse(Buffer.from(await this.#payloads.open(pk, body)).toString('utf8'));
    } catch (error) {
      if (isUnreadable(error)) return undefined;
      throw error;
    }
  }
}
