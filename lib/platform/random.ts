import { monotonicFactory } from 'ulid';

/** Randomness from outside, so that a simulation can replay it. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A ULID for `nowMs` (epoch milliseconds). */
  ulid(nowMs: number): string;
}

/** Wraps a source of uniform numbers; ids of one source never repeat and sort by time. */
export function createRandom(next: () => number = secureUniform()): Random {
  const ulid = monotonicFactory(next);
  return { next, ulid };
}

/** An id takes sixteen numbers: they are fetched many at a time. */
const POOL_WORDS = 256;

function secureUniform(): () => number {
  const pool = new Uint32Array(POOL_WORDS);
  let used = POOL_WORDS;
  return () => {
    if (used === POOL_WORDS) {
      crypto.getRandomValues(pool);
      used = 0;
    }
    const word = pool[used] ?? 0;
    used += 1;
    return word / 2 ** 32;
  };
}
