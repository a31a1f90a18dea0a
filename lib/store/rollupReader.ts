import { type Counted, MEASURED_FUNCTIONS, type RollupReader, type Tally } from '../operations/ports/rollups.ts';
import { ROLLUP_SHARDS, rollupHour, rollupKey } from './keys.ts';
import type { Item, Table } from './table.ts';

/** Counters of latencies, one attribute a bucket. */
const BUCKET = /^b(\d{1,3})$/;

/** Reads what has been counted. All keys of a window are known: nothing is scanned or searched. */
export class DynamoRollupReader implements RollupReader {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  async read({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): Promise<readonly Counted[]> {
    const from = rollupHour(fromMs);
    const hours = Array.from({ length: rollupHour(toMs) - from + 1 }, (_each, at) => from + at);
    // The shards beside each other: for 35 days each is 34 requests one after the other.
    const shards = await Promise.all(
      Array.from({ length: ROLLUP_SHARDS }, (_each, shard) =>
        this.#table.getMany(hours.flatMap((hour) => MEASURED_FUNCTIONS.map((name) => rollupKey(hour, shard, name)))),
      ),
    );
    return shards.flat().flatMap((item) => {
      const name = MEASURED_FUNCTIONS.find((each) => each === item['sk']);
      return name === undefined ? [] : [{ name, tally: tallyOf(item) }];
    });
  }
}

function tallyOf(item: Item): Tally {
  const count = (attribute: string) => Number(item[attribute] ?? 0);
  const buckets = Object.keys(item).flatMap((attribute): [number, number][] => {
    const match = BUCKET.exec(attribute);
    return match === null ? [] : [[Number(match[1]), count(attribute)]];
  });
  return {
    operations: count('operations'),
    successes: count('successes'),
    confirmed: count('confirmed'),
    latencySumMs: count('latencySumMs'),
    latencies: new Map(buckets),
  };
}
