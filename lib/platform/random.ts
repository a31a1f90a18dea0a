import { monotonicFactory } from 'ulid';

/** Randomness from outside, so that a simulation can replay it. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A ULID for `nowMs` (epoch milliseconds). */
  ulid(nowMs: number): string;
}

/** Wraps a source of uniform numbers; ids of one source never repeat and sort by time. */
export function createRandom(next: () => number = secureUniform): Random {
  const ulid = monotonicFactory(next);
  return { next, ulid };
}

function secureUniform(): number {
  const word = new Uint32Array(1);
  crypto.getRandomValues(word);
  return (word[0] ?? 0) / 2 ** 32;
}
