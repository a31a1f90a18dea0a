/** The window the tenant's limit is counted in (milliseconds). */
export const WINDOW_MS = 60_000;

/** Smallest step of an interval (milliseconds); a power of two, so that adding intervals to epoch times stays exact. */
const STEP_MS = 1 / 1024;
const MIN_LATENESS_MS = 250;
const MAX_LATENESS_MS = 1_000;

/** The figures of one rate limit. */
export interface Gcra {
  /** One slot per interval, in milliseconds. */
  readonly intervalMs: number;
  /** How far the theoretical arrival time may lie ahead of a request that need not wait, in milliseconds. */
  readonly toleranceMs: number;
  /** How long after its slot a permit may still be used or given back, in milliseconds. */
  readonly latenessMs: number;
}

/**
 * Chooses interval and tolerance so that no sliding minute sees more than `ratePerMinute` requests (DESIGN 3).
 *
 * A plain GCRA lets `W/I + B` slots through in a window `W` (interval `I`, burst `B`). A request leaves up to `L` after its slot
 * (round trip to the table, permit fetched ahead), which widens the window to `W + L`; a slot given back up to `L` after it
 * began lets one more in. So the worst minute holds fewer than `(W + 2L)/I + B` requests, and `I = (W + 2L) / (R + 1 - B)`
 * keeps that at `R`. With `L = I/2` this is `I = W / (R - B)`: at R = 100 and B = 5 a slot every 631.6 ms, 95 a minute for ever,
 * 316 ms of lateness. `L` stays between 250 ms and 1 s: less would spoil permits fetched ahead, more would waste a small budget.
 *
 * @param ratePerMinute - whole number, at least 1
 * @param burst - requests that may leave at once; at most 5 and a twentieth of the rate unless told otherwise
 * @throws RangeError when the rate is not a whole number of at least 1, or the burst does not leave room below it
 */
export function gcraFor(ratePerMinute: number, burst = defaultBurst(ratePerMinute)): Gcra {
  if (!Number.isInteger(ratePerMinute) || ratePerMinute < 1) {
    throw new RangeError('ratePerMinute must be a whole number of at least 1');
  }
  const largestBurst = Math.max(1, ratePerMinute - 1);
  if (!Number.isInteger(burst) || burst < 1 || burst > largestBurst) {
    throw new RangeError(`burst must be a whole number from 1 to ${largestBurst}`);
  }
  // Infinite at a rate of 1, whose burst is 1 as well.
  const halfInterval = WINDOW_MS / (ratePerMinute - burst) / 2;
  const latenessMs = Math.min(MAX_LATENESS_MS, Math.max(MIN_LATENESS_MS, halfInterval));
  const exactMs = (WINDOW_MS + 2 * latenessMs) / (ratePerMinute + 1 - burst);
  const intervalMs = Math.ceil(exactMs / STEP_MS) * STEP_MS;
  return { intervalMs, toleranceMs: (burst - 1) * intervalMs, latenessMs };
}

function defaultBurst(ratePerMinute: number): number {
  return Math.max(1, Math.min(5, Math.floor(ratePerMinute / 20)));
}
