import type { Clock } from './clock.ts';

/** An answer is not kept back longer than this by what went on beside it. */
const PATIENCE_MS = 200;

/** Waits a moment for work that nobody's answer depends on. Never rejects, if none of it does. */
export async function waitAMoment(clock: Clock, works: readonly Promise<void>[]): Promise<void> {
  if (works.length === 0) return;
  const over = new AbortController();
  await Promise.race([Promise.all(works), clock.sleep(PATIENCE_MS, over.signal)]);
  over.abort('done');
}
