const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Pauses after the first, second, … failure (SPEC 7 "Out"), milliseconds. 27 h 35 min 5 s together. */
export const RETRY_PAUSES_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  10 * HOUR_MS,
];

/** A pause becomes at most this part of itself shorter or longer. */
const JITTER = 0.1;

/**
 * The pause before a delivery is tried again, with jitter: what failed together must not come back together.
 *
 * @param failures - how often it has failed, 1 after the first time
 * @param uniform - a number in [0, 1)
 * @returns whole milliseconds; `undefined` after the last rung
 */
export function retryPauseMs(failures: number, uniform: number): number | undefined {
  const pauseMs = RETRY_PAUSES_MS[failures - 1];
  return pauseMs && Math.round(pauseMs * (1 - JITTER + 2 * JITTER * uniform));
}
