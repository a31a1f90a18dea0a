import type { StoredItem } from './attributes.ts';

export interface DueIndexOptions {
  readonly now: () => number;
  readonly indexLagMs?: () => number;
}

/** What an item shows in the index: keys only. Nothing where it lacks one of them. */
function entryOf(item: StoredItem | undefined): StoredItem | undefined {
  const { pk, sk, dueShard, dueAt } = item ?? {};
  if (pk === undefined || sk === undefined || dueShard === undefined || dueAt === undefined) return undefined;
  return { pk, sk, dueShard, dueAt };
}

/** The sparse index `due`: it follows the table after a while, and in the table's order. */
export class DueIndex {
  readonly #options: DueIndexOptions;
  readonly #entries = new Map<string, StoredItem>();
  #behind: { readonly atMs: number; readonly name: string; readonly entry: StoredItem | undefined }[] = [];
  #lastMs = 0;

  constructor(options: DueIndexOptions) {
    this.#options = options;
  }

  /** An item has changed. */
  note(name: string, before: StoredItem | undefined, after: StoredItem | undefined): void {
    const entry = entryOf(after);
    const former = entryOf(before);
    if (entry === undefined && former === undefined) return;
    if (entry?.['dueAt']?.N === former?.['dueAt']?.N && entry?.['dueShard']?.S === former?.['dueShard']?.S) return;
    this.#lastMs = Math.max(this.#lastMs, this.#options.now() + (this.#options.indexLagMs?.() ?? 0));
    this.#behind.push({ atMs: this.#lastMs, name, entry });
  }

  /** What the index shows now, by time. */
  entries(): StoredItem[] {
    const nowMs = this.#options.now();
    const arrived = this.#behind.findIndex(({ atMs }) => atMs > nowMs);
    const due = arrived < 0 ? this.#behind : this.#behind.slice(0, arrived);
    this.#behind = arrived < 0 ? [] : this.#behind.slice(arrived);
    for (const { name, entry } of due) {
      if (entry === undefined) this.#entries.delete(name);
      else this.#entries.set(name, entry);
    }
    return [...this.#entries.values()].sort((a, b) => Number(a['dueAt']?.N) - Number(b['dueAt']?.N));
  }
}
