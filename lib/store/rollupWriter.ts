import type { MeasuredFunction, RollupWriter, Tally } from '../operations/ports/rollups.ts';
import type { Random } from '../platform/random.ts';
import { ROLLUP_SHARDS, rollupHour, rollupKey } from './keys.ts';
import { type Table, ttlSeconds } from './table.ts';

const HOUR_MS = 3_600_000;
const KEPT_MS = 35 * 24 * HOUR_MS;

/**
 * Counts into the table: an item for each hour, shard and function, which is only ever added to. The shard is taken by chance, so
 * that no item is hot.
 */
export class DynamoRollupWriter implements RollupWriter {
  readonly #table: Table;
  readonly #random: Pick<Random, 'next'>;

  constructor(table: Table, random: Pick<Random, 'next'>) {
    this.#table = table;
    this.#random = random;
  }

  async add(nowMs: number, name: MeasuredFunction, { latencies, ...counters }: Tally): Promise<void> {
    const hour = rollupHour(nowMs);
    const buckets = [...latencies].map(([bucket, count]) => [`b${bucket}`, count] as const);
    const added = [...Object.entries(counters), ...buckets].filter(([, count]) => count !== 0);
    if (added.length === 0) return;
    await this.#table.update({
      key: rollupKey(hour, Math.floor(this.#random.next() * ROLLUP_SHARDS), name),
      expression: `SET #ttl = :ttl ADD ${added.map(([attribute]) => `#${attribute} :${attribute}`).join(', ')}`,
      names: { '#ttl': 'ttl', ...Object.fromEntries(added.map(([attribute]) => [`#${attribute}`, attribute])) },
      values: {
        ':ttl': ttlSeconds((hour + 1) * HOUR_MS + KEPT_MS),
        ...Object.fromEntries(added.map(([attribute, count]) => [`:${attribute}`, count])),
      },
      answer: 'nothing',
    });
  }
}
