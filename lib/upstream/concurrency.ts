import type { Clock } from '../platform/clock.ts';

/** A place among the requests under way; `leave` is safe to call once. */
export interface Place {
  leave(): void;
}

/**
 * At most `limit` requests at a time from one instance, first come first served (SPEC 3 "Rate", `UPSTREAM_MAX_CONCURRENT`).
 *
 * @example
 * const place = await concurrency.enter(deadlineMs);
 * if (place === undefined) return; // the deadline came first
 * try { await send(); } finally { place.leave(); }
 */
export class Concurrency {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(limit: number, options: { readonly clock: Clock }) {
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError('limit must be a whole number of at least 1');
    this.#free = limit;
    this.#clock = options.clock;
  }

  /** Waits for a place until `deadlineMs` (epoch milliseconds); undefined when none came free in time. */
  async enter(deadlineMs: number): Promise<Place | undefined> {
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#place();
    }
    const stop = new AbortController();
    let turn = () => {};
    const called = new Promise<true>((resolve) => {
      turn = () => resolve(true);
    });
    this.#waiting.push(turn);
    const timedOut = this.#clock.sleep(deadlineMs - this.#clock.now(), stop.signal).then(() => false as const);
    const gotPlace = await Promise.race([called, timedOut]);
    stop.abort();
    if (gotPlace) return this.#place();
    const index = this.#waiting.indexOf(turn);
    // Not in the queue any more: the place was handed over in the very moment the deadline struck. Pass it on.
    if (index < 0) this.#handOver();
    else this.#waiting.splice(index, 1);
    return undefined;
  }

  #place(): Place {
    return { leave: () => this.#handOver() };
  }

  #handOver(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
