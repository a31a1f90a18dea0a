import type { BelievedDialog } from '../context/dialogState.ts';
import { treeOf } from '../context/leaves.ts';
import { BOT, EMPTY_MIRROR, type MirrorVariable } from '../context/mirror.ts';
import type { Scope } from '../context/variables.ts';
import type { Clock } from '../platform/clock.ts';
import type { Lane, LaneStore } from './ports/sessionStore.ts';

export interface BelievingDeps {
  readonly store: Pick<LaneStore, 'readMirror' | 'loadValues'>;
  readonly clock: Clock;
}

/**
 * What the session's dialog has, as far as we know: also what has expired here, which it may not have left. Nothing is believed of
 * a session that begins anew.
 */
export async function believedDialog({ store, clock }: BelievingDeps, lane: Lane): Promise<BelievedDialog | undefined> {
  if (beginsAnew(lane, clock.now())) return undefined;
  const stored = lane.stateRef === undefined ? undefined : await store.readMirror(lane, lane.stateRef);
  const { variables } = await store.loadValues(lane, stored?.mirror ?? EMPTY_MIRROR);
  // The surface of whole contexts tells no scopes: where the bot's own were found there, they are anywhere.
  const isOfBot = ({ source, via }: MirrorVariable) => source === BOT && via === 'sync';
  const ofBot = treeOf([...variables.values()].filter(isOfBot));
  const inScope = (scope: Scope) =>
    treeOf([...variables.values()].filter((variable) => variable.scope === scope && !isOfBot(variable)));
  return { session: inScope('session'), user: inScope('user'), ofBot };
}

/** After its idle time, or when the upstream has said that it is gone (SPEC 6). */
export function beginsAnew(lane: Lane, nowMs: number): boolean {
  return lane.hasEnded || (lane.stateRef !== undefined && lane.idleUntilMs <= nowMs);
}
