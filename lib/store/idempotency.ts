/**
 * Idempotency keys live in the lane as binary sets, one per generation of twelve hours: 16 bytes a key, checked and added by
 * the commit itself. A key is honoured for twelve to twenty-four hours.
 */
const GENERATION_MS = 12 * 3_600_000;
const ELEMENT_BYTES = 16;

export function generationOf(nowMs: number): number {
  return Math.floor(nowMs / GENERATION_MS);
}

/** Epoch milliseconds at which the generation of `nowMs` ends. */
export function generationEndMs(nowMs: number): number {
  return (generationOf(nowMs) + 1) * GENERATION_MS;
}

export function idempotencyAttribute(generation: number): string {
  return `idem${generation}`;
}

/** First 128 bits of a keyed hash given in base64url. */
export function idempotencyElement(hash: string): Uint8Array {
  return Buffer.from(hash, 'base64url').subarray(0, ELEMENT_BYTES);
}

/** Generations that no commit looks at any more. */
export function staleGenerations(generations: readonly number[], nowMs: number): number[] {
  return generations.filter((generation) => generation < generationOf(nowMs) - 1);
}
