/** A timer of Node fires up to this much late. */
const TIMER_SLACK_MS = 1.5;

/** Waits `ms` to within some 0.05 ms: a timer for most of it, then turns of the event loop, which block nobody. */
export async function delay(ms: number): Promise<void> {
  const dueMs = performance.now() + ms;
  if (ms > TIMER_SLACK_MS) await new Promise((resolve) => setTimeout(resolve, Math.floor(ms - TIMER_SLACK_MS)));
  while (performance.now() < dueMs) await new Promise((resolve) => setImmediate(resolve));
}
