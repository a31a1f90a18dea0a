import type { SessionId } from '../context/sessionId.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { SessionStore } from './ports/sessionStore.ts';

export interface EraseDeps {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly random: Random;
}

export interface EraseCommand {
  readonly sessionId: SessionId;
  readonly client: string;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
}

/** Between two attempts at a lane that changes all the time (milliseconds). */
const PAUSE_MS = 30;

/**
 * Erases a session: mirror, values, queued work, and the means to read what its audit entries say. The chain of those entries
 * still verifies, and ends with the erasure. What the bot itself holds is the bot's. Again for a session that is not there,
 * or not any more: nothing happens.
 * @returns false when others kept changing the session until the deadline.
 */
export async function erase(deps: EraseDeps, command: EraseCommand): Promise<boolean> {
  const { store, clock, random } = deps;
  const { sessionId, client, correlationId, deadlineMs } = command;
  do {
    const lane = await store.readLane({ sessionId });
    if (lane === undefined) {
      if (await store.eraseWithoutLane({ sessionId })) return true;
      continue;
    }
    const nowMs = clock.now();
    const payload = {
      auditId: random.ulid(nowMs),
      operation: 'erase',
      client,
      correlationId,
      outcome: 'confirmed',
      changes: [],
      versionBefore: lane.version,
      attempts: 0,
      latencyMs: 0,
    } as const;
    const entry = { operationId: random.ulid(nowMs), atMs: nowMs, payload };
    if (await store.erase(lane, { nowMs, entry })) return true;
    await clock.sleep(PAUSE_MS * (0.5 + random.next()));
  } while (clock.now() < deadlineMs);
  return false;
}
