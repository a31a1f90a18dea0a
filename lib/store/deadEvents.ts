import type { DeadEvents, EventRef } from '../operations/ports/deliveryQueue.ts';
import { eventKey, storedPk } from './keys.ts';
import { EVENT_FORMAT, EVENT_KEPT_MS } from './sealedEvents.ts';
import { type Table, ttlSeconds } from './table.ts';

const IS_BURIED = 'attribute_exists(body) AND attribute_exists(dueShard) AND attribute_not_exists(dueAt)';
const FORMAT_IS_KNOWN = '#format <= :format';

/** {@link DeadEvents} in the table: opens nothing, and so needs no key. */
export class DynamoDeadEvents implements DeadEvents {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  async revive({ session, eventId }: EventRef, nowMs: number): Promise<'revived' | 'waiting' | 'gone'> {
    const key = eventKey(storedPk(session), eventId);
    const result = await this.#table.update({
      key,
      expression: 'SET dueAt = :now, readyAt = :now, #ttl = :ttl REMOVE failures, waitingSince',
      condition: [IS_BURIED, FORMAT_IS_KNOWN].join(' AND '),
      names: { '#format': 'format', '#ttl': 'ttl' },
      values: { ':now': nowMs, ':format': EVENT_FORMAT, ':ttl': ttlSeconds(nowMs + EVENT_KEPT_MS) },
      answer: 'nothing',
    });
    if (result.kind === 'updated') return 'revived';
    return (await this.#table.get(key))?.['body'] === undefined ? 'gone' : 'waiting';
  }
}
