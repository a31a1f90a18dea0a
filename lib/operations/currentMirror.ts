import { EMPTY_MIRROR, type Mirror, type MirrorVariable, mirrorOf } from '../context/mirror.ts';
import type { Clock } from '../platform/clock.ts';
import type { Lane, LaneStore } from './ports/sessionStore.ts';

/**
 * The mirror the lane points to, with what has expired and not left the bot. After the idle time, or when it is gone, the
 * session starts anew (SCENARIOS 25): what was to expire some day has expired with it, and is to leave the bot.
 */
export async function currentMirror(
  { store, clock }: { readonly store: LaneStore; readonly clock: Clock },
  lane: Lane,
): Promise<Mirror> {
  if (lane.stateRef === undefined) return EMPTY_MIRROR;
  const { mirror = EMPTY_MIRROR } = (await store.readMirror(lane, lane.stateRef)) ?? {};
  // What a session had that has ended upstream has ended with it (SCENARIOS 20).
  if (lane.hasEnded) return mirrorOf(mirror.version, []);
  if (lane.idleUntilMs > clock.now()) return mirror;
  const temporary = [...mirror.variables.values()].flatMap((variable): MirrorVariable[] => {
    const { expiresAtMs } = variable;
    return expiresAtMs === undefined ? [] : [{ ...variable, expiresAtMs: Math.min(expiresAtMs, lane.idleUntilMs) }];
  });
  return mirrorOf(mirror.version, temporary);
}
