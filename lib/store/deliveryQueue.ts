import * as z from 'zod/mini';
import type {
  ClaimResult,
  DeliveryQueue,
  EventClaim,
  EventRef,
  Postponement,
} from '../operations/ports/deliveryQueue.ts';
import type { EventPlace, OutboundEvent } from '../operations/ports/eventQueue.ts';
import type { Vault } from '../platform/vault.ts';
import { DynamoEventWriter } from './eventWriter.ts';
import { eventIdOf, eventKey, outShardName, sessionKeyOf, storedPk } from './keys.ts';
import { EVENT_FORMAT, EVENT_KEPT_MS, SealedEvents } from './sealedEvents.ts';
import { type Key, type Table, ttlSeconds, type Update } from './table.ts';

/** What is delivered, taken back or erased has no body. */
const IS_OPEN = 'attribute_exists(body)';
const FORMAT_IS_KNOWN = '#format <= :format';
/** What was given up is not due. */
const IS_ALIVE = 'attribute_exists(dueAt)';
// A comparison with an attribute that is not there is false, and its negation true.
const IS_READY = 'NOT readyAt > :now';
const IS_DUE = 'dueAt <= :now';
const CLAIM_IS_MINE = 'readyAt = :fence';

/** No event is reminded of sooner. */
const REMINDED_AFTER_MS = 120_000;

const progress = z.object({
  failures: z._default(z.number(), 0),
  deliveredTo: z._default(z.array(z.string()), []),
  waitingSince: z.optional(z.number()),
});

/**
 * {@link DeliveryQueue} in the table. An event's item has two times: before `readyAt` nobody may take it, at `dueAt` the schedule
 * sees to it. Whoever takes it moves both to the end of his claim, which is also his fence:
 *
 * ```text
 *   enqueued ──claim──▶ readyAt = dueAt = end of claim ──finish──▶ no body, no dueAt: a tombstone
 *      ▲                   │ (or a crash: then again       ├─bury──▶ a body, no dueAt
 *      └─────postpone──────┘  after that)                  └─────────▶ revive: due again
 * ```
 */
export class DynamoDeliveryQueue implements DeliveryQueue {
  readonly #table: Table;
  readonly #sealed: SealedEvents;
  readonly #writer: DynamoEventWriter;

  constructor(table: Table, vault: Vault, options: { readonly dueShards: number }) {
    this.#table = table;
    this.#sealed = new SealedEvents(table, vault);
    this.#writer = new DynamoEventWriter(table, vault, options);
  }

  enqueueOnce(event: OutboundEvent, place: EventPlace): Promise<EventRef> {
    return this.#writer.enqueueOnce(event, place);
  }

  async claim(ref: EventRef, { nowMs, untilMs }: { nowMs: number; untilMs: number }): Promise<ClaimResult> {
    const key = keyOf(ref);
    const result = await this.#table.update({
      key,
      expression: 'SET readyAt = :until, dueAt = :until',
      condition: [IS_OPEN, FORMAT_IS_KNOWN, IS_ALIVE, IS_READY].join(' AND '),
      names: { '#format': 'format' },
      values: { ':until': untilMs, ':now': nowMs, ':format': EVENT_FORMAT },
    });
    if (result.kind === 'condition-failed') return { kind: 'not-due' };
    const event = await this.#sealed.open(key.pk, result.item);
    if (event === undefined) return { kind: 'unreadable' };
    const { failures, deliveredTo, waitingSince } = progress.parse(result.item);
    const waiting = waitingSince !== undefined && { waitingSinceMs: waitingSince };
    return { kind: 'claimed', claim: { ref, event, untilMs, failures, deliveredTo, ...waiting } };
  }

  async postpone({ ref, untilMs }: EventClaim, postponement: Postponement): Promise<void> {
    const { readyAtMs, dueAtMs, failures, deliveredTo, waitingSinceMs } = postponement;
    await this.#change(ref, {
      expression: [
        'SET readyAt = :readyAt, dueAt = :dueAt, failures = :failures, deliveredTo = :deliveredTo,',
        'waitingSince = :waitingSince, #ttl = :ttl',
      ].join(' '),
      condition: CLAIM_IS_MINE,
      names: { '#ttl': 'ttl' },
      values: {
        ':fence': untilMs,
        ':readyAt': readyAtMs,
        ':dueAt': dueAtMs,
        ':failures': failures,
        ':deliveredTo': deliveredTo,
        ':waitingSince': waitingSinceMs,
        ':ttl': ttlSeconds(dueAtMs + EVENT_KEPT_MS),
      },
    });
  }

  /** Whose claim it is does not matter: what has been delivered has been delivered. */
  async finish(ref: EventRef, nowMs: number): Promise<void> {
    await this.#change(ref, {
      expression: 'SET #ttl = :ttl REMOVE body, dueAt, dueShard, readyAt, failures, deliveredTo, waitingSince',
      names: { '#ttl': 'ttl' },
      values: { ':ttl': ttlSeconds(nowMs + EVENT_KEPT_MS) },
    });
  }

  async bury(
    { ref, untilMs }: EventClaim,
    { keepUntilMs, deliveredTo }: { keepUntilMs: number; deliveredTo: readonly string[] },
  ): Promise<void> {
    await this.#change(ref, {
      // Out of the index by one of its keys; the other says where it belongs.
      expression: 'SET #ttl = :ttl, deliveredTo = :deliveredTo REMOVE dueAt, readyAt',
      condition: CLAIM_IS_MINE,
      names: { '#ttl': 'ttl' },
      values: { ':fence': untilMs, ':ttl': ttlSeconds(keepUntilMs), ':deliveredTo': deliveredTo },
    });
  }

  async *due(shard: number, nowMs: number): AsyncGenerator<EventRef> {
    for await (const { pk, sk } of this.#table.queryDue({ shard: outShardName(shard), dueAt: nowMs })) {
      const key = { pk: String(pk), sk: String(sk) };
      yield { session: sessionKeyOf(key.pk), eventId: eventIdOf(key) };
    }
  }

  async notePrompt(ref: EventRef, nowMs: number): Promise<boolean> {
    return this.#change(ref, {
      // As far from now as it has been ready: now + (now − readyAt), and the least.
      expression: 'SET dueAt = :twice - if_not_exists(readyAt, :now), readyAt = if_not_exists(readyAt, :now)',
      condition: IS_DUE,
      values: { ':now': nowMs, ':twice': 2 * nowMs + REMINDED_AFTER_MS },
    });
  }

  /** Changes an event that is open, and of a format that is known. */
  async #change(ref: EventRef, { condition, names, values, ...update }: Omit<Update, 'key'>): Promise<boolean> {
    const result = await this.#table.update({
      ...update,
      key: keyOf(ref),
      condition: [IS_OPEN, FORMAT_IS_KNOWN, ...(condition === undefined ? [] : [condition])].join(' AND '),
      names: { '#format': 'format', ...names },
      values: { ':format': EVENT_FORMAT, ...values },
      answer: 'nothing',
    });
    return result.kind === 'updated';
  }
}

function keyOf({ session, eventId }: EventRef): Key {
  return eventKey(storedPk(session), eventId);
}
