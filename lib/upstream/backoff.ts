/** Backoff grows from this (milliseconds, SPEC 3 "Retry"). */
const BASE_MS = 200;
/** ... and never beyond this (milliseconds, SPEC 3 "Retry"). */
const CAP_MS = 5_000;

/**
 * Pause before the next try: full jitter, uniform in `[0, min(5 s, 200 ms · 2^attempt))`.
 *
 * Full jitter rather than "half plus half", because a storm of callers that failed together must not come back together (SCENARIOS 17).
 *
 * @param attempt - how many tries have failed before the one that just did; 0 after the first failure
 * @param uniform - a number in [0, 1)
 * @returns whole milliseconds
 * @example
 * await clock.sleep(backoffMs(0, random.next()));
 */
export function backoffMs(attempt: number, uniform: number): number {
  const ceilingMs = Math.min(CAP_MS, BASE_MS * 2 ** attempt);
  return Math.floor(uniform * ceilingMs);
}
