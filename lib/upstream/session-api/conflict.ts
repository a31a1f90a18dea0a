import { backoffMs } from '../backoff.ts';
import type { SurfaceOptions } from './surfaces.ts';

/** How often a write that somebody else's change got in the way of is begun again (SPEC 3 "inject, after 409"). */
export const MAX_ROUNDS = 3;

/** Deepest state that is read (levels): whoever merges or compares recurses. Far beyond what any client may send. */
export const MAX_READ_NESTING = 512;

/** The first conflict is answered at once. After that there is a pause: two writers that conflict in step would go on doing so. */
export async function pauseAfterConflict({ clock, random }: SurfaceOptions, round: number): Promise<void> {
  if (round > 0) await clock.sleep(backoffMs(round - 1, random.next()));
}
