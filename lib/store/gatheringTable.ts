import { type Item, type Key, Table } from './table.ts';

interface Read {
  readonly key: Key;
  readonly resolve: (item: Item | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A table for work that goes on for many sessions side by side: items that are asked for in one turn of the event loop are read by
 * one request. It costs as many read units, and far less time of everybody who handles requests.
 */
export class GatheringTable extends Table {
  #reads: Read[] = [];

  override get(key: Key): Promise<Item | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#reads.push({ key, resolve, reject }) === 1) void this.options.clock.turn().then(() => this.#read());
    });
  }

  async #read(): Promise<void> {
    const reads = this.#reads;
    this.#reads = [];
    try {
      const items = await this.#itemsOf(new Map(reads.map(({ key }) => [nameOf(key), key])));
      for (const { key, resolve } of reads) resolve(items.get(nameOf(key)));
    } catch (error) {
      for (const { reject } of reads) reject(error);
    }
  }

  async #itemsOf(keys: ReadonlyMap<string, Key>): Promise<ReadonlyMap<string, Item | undefined>> {
    const [only, ...more] = keys;
    if (only !== undefined && more.length === 0) return new Map([[only[0], await super.get(only[1])]]);
    const items = await this.getMany([...keys.values()]);
    return new Map(items.map((item) => [nameOf({ pk: String(item['pk']), sk: String(item['sk']) }), item]));
  }
}

function nameOf({ pk, sk }: Key): string {
  return JSON.stringify([pk, sk]);
}
