import * as z from 'zod/mini';
import type { RateCell, RateStore } from '../upstream/ports.ts';
import { rateKeyOf } from './keys.ts';
import { type Table, ttlSeconds, type UpdateResult } from './table.ts';

// A comparison with an attribute that is not there is false, and its negation true.
const CELL_IS_IDLE = 'NOT tatMs > :now';
const CELL_IS_BUSY = 'tatMs > :now AND tatMs <= :latest';
const NOT_PAUSED = 'NOT pausedUntilMs > :now';
const PAUSE_IS_LONGER = 'NOT pausedUntilMs >= :until';

const CELL_KEPT_MS = 24 * 3_600_000;

const cellItem = z.object({ tatMs: z._default(z.number(), 0), pausedUntilMs: z._default(z.number(), 0) });

/** The tenant's budget cell in the table: one conditional write a slot, seen by all instances (DESIGN: the shared budget). */
export class DynamoRateStore implements RateStore {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  async reserveIdle(cell: string, { nowMs, intervalMs }: { nowMs: number; intervalMs: number }) {
    return cellOf(
      await this.#table.update({
        key: rateKeyOf(cell),
        expression: 'SET tatMs = :tat, #ttl = :ttl',
        condition: [CELL_IS_IDLE, NOT_PAUSED].join(' AND '),
        names: { '#ttl': 'ttl' },
        values: { ':tat': nowMs + intervalMs, ':now': nowMs, ':ttl': ttlSeconds(nowMs + CELL_KEPT_MS) },
      }),
    );
  }

  async reserveBusy(cell: string, reserve: { nowMs: number; intervalMs: number; latestTatMs: number }) {
    return cellOf(
      await this.#table.update({
        key: rateKeyOf(cell),
        // A cell that is never idle for a day must not be forgotten either.
        expression: 'SET tatMs = tatMs + :interval, #ttl = :ttl',
        condition: [CELL_IS_BUSY, NOT_PAUSED].join(' AND '),
        names: { '#ttl': 'ttl' },
        values: {
          ':interval': reserve.intervalMs,
          ':now': reserve.nowMs,
          ':latest': reserve.latestTatMs,
          ':ttl': ttlSeconds(reserve.latestTatMs + CELL_KEPT_MS),
        },
      }),
    );
  }

  async release(cell: string, { intervalMs }: { intervalMs: number }) {
    return cellOf(
      await this.#table.update({
        key: rateKeyOf(cell),
        expression: 'SET tatMs = tatMs - :interval',
        condition: 'attribute_exists(tatMs)',
        values: { ':interval': intervalMs },
      }),
    );
  }

  async read(cell: string): Promise<RateCell | undefined> {
    const item = await this.#table.get(rateKeyOf(cell));
    return item && cellItem.parse(item);
  }

  async pause(cell: string, untilMs: number): Promise<void> {
    await this.#table.update({
      key: rateKeyOf(cell),
      expression: 'SET pausedUntilMs = :until, #ttl = :ttl',
      condition: PAUSE_IS_LONGER,
      names: { '#ttl': 'ttl' },
      values: { ':until': untilMs, ':ttl': ttlSeconds(untilMs + CELL_KEPT_MS) },
    });
  }
}

function cellOf(result: UpdateResult): RateCell | undefined {
  return result.kind === 'updated' ? cellItem.parse(result.item) : undefined;
}
