import { seededRandom } from '../fixtures/upstream/seededRandom.ts';

/** When one `SIGKILL` comes. */
export interface Kill {
  /** `under-load`: after the stack has said that it is up. `starting`: after it was launched, ready or not. */
  readonly from: 'under-load' | 'starting';
  readonly afterMs: number;
}

/** Before so many kills under load the stack is killed while it is coming up, too. */
const STARTING_SHARE = 0.12;
const LOAD_MIN_MS = 150;
const LOAD_MAX_MS = 4_000;
/** About what `npm start` takes. */
const START_MAX_MS = 3_000;

/**
 * The same kills for the same seed: random moments, but a plan. Milliseconds are whole.
 * @param restarts - kills under load; those of a stack that is coming up are more
 */
export function killPlan(seed: number, restarts: number): readonly Kill[] {
  const random = seededRandom(seed);
  return Array.from({ length: restarts }).flatMap((): Kill[] => {
    const isStarting = random.next() < STARTING_SHARE;
    const starting: Kill = { from: 'starting', afterMs: Math.round(random.next() * START_MAX_MS) };
    const afterMs = Math.round(LOAD_MIN_MS + random.next() * (LOAD_MAX_MS - LOAD_MIN_MS));
    return [...(isStarting ? [starting] : []), { from: 'under-load', afterMs }];
  });
}
