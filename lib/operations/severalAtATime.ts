/** Takes one step after the other, with `limit` of them under way at a time, until one says that there is nothing left to do. */
export async function together(limit: number, step: () => Promise<boolean>): Promise<void> {
  const work = async () => {
    while (await step());
  };
  await Promise.all(Array.from({ length: limit }, work));
}

/** Does `work` with every item, with at most `limit` of them at a time. The first failure is thrown once nobody is at work any more. */
export async function severalAtATime<Item, Result>(
  limit: number,
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const failures: unknown[] = [];
  let next = 0;
  await together(limit, async () => {
    const index = next++;
    if (index >= items.length || failures.length > 0) return false;
    try {
      results[index] = await work(items[index] as Item);
    } catch (error) {
      failures.push(error);
    }
    return true;
  });
  if (failures.length > 0) throw failures[0];
  return results;
}

/** So many places, given out in the order in which they were asked for. */
export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Resolves with the way to give the place back, which has an effect once. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}
