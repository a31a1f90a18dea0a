import { createHash } from 'node:crypto';

interface Moment {
  readonly atMs: number;
  readonly order: number;
  readonly happen: () => void;
  isOff: boolean;
}

/** Bytes of the trace that are hashed at a time. */
const TRACE_CHUNK = 65_536;

/** When every life begins, epoch milliseconds. */
export const START_MS = Date.UTC(2026, 10, 21, 9, 0, 0);

/**
 * The one thread of time. Nothing under the simulation waits for the real world, so that when no promise is left to be settled,
 * nothing can happen before the next moment: then time jumps there. Moments lie between milliseconds, so that chance decides who
 * of several comes first within one.
 */
export class Timeline {
  readonly #heap: Moment[] = [];
  readonly #trace = createHash('sha256');
  #chunk = '';
  #order = 0;
  #exactMs: number;

  constructor(startMs = START_MS) {
    this.#exactMs = startMs;
  }

  /** Epoch milliseconds, with fractions. */
  get exactMs(): number {
    return this.#exactMs;
  }

  /** Says what happens, for the comparison of two runs. */
  note(what: string): void {
    this.#chunk += `${this.#exactMs} ${what}\n`;
    if (this.#chunk.length > TRACE_CHUNK) this.#digestChunk();
  }

  /** A digest of all that has been noted. */
  digest(): string {
    this.#digestChunk();
    return this.#trace.copy().digest('hex');
  }

  #digestChunk(): void {
    this.#trace.update(this.#chunk);
    this.#chunk = '';
  }

  /** Something happens after so many milliseconds. Returns what calls it off. */
  after(ms: number, happen: () => void): () => void {
    this.#order += 1;
    const moment = { atMs: this.#exactMs + Math.max(0, ms), order: this.#order, happen, isOff: false };
    this.#push(moment);
    return () => {
      moment.isOff = true;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets time pass until `work` is done. Rejects when it never will be: nothing is left that could happen. */
  async during<Result>(work: Promise<Result>): Promise<Result> {
    let isDone = false;
    const end = () => {
      isDone = true;
    };
    work.then(end, end);
    await quiet();
    while (!isDone) {
      const moment = this.#pop();
      if (moment === undefined) throw new Error('everybody waits, and nothing is left to happen');
      if (moment.isOff) continue;
      this.#exactMs = Math.max(this.#exactMs, moment.atMs);
      moment.happen();
      await quiet();
    }
    return work;
  }

  #push(moment: Moment): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(moment);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, moment)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = moment;
  }

  #pop(): Moment | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = isRight ? 2 * at + 2 : 2 * at + 1;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(one: Moment, other: Moment): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/** All promises that can be settled are: before the event loop turns, Node runs every one of them. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
