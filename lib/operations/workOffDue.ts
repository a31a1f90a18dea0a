import type { SessionKey } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { type LaneDeps, pushLane } from './push.ts';

export interface WorkOffCommand {
  /** Shards of the due index, 0 … shards − 1. */
  readonly shards: number;
  /** Epoch milliseconds; what is left then is taken next time. */
  readonly deadlineMs: number;
  readonly correlationId: string;
  readonly telemetry: Telemetry;
}

export interface WorkOffReport {
  readonly worked: number;
  /** Due, but somebody was at work there, or it went wrong; they stay due. */
  readonly skipped: number;
  /** True when the deadline came before the end of the list. */
  readonly cutShort: boolean;
}

/** Lanes in work at a time. */
const AT_A_TIME = 5;
/** No lane is begun this near to the deadline. */
const TOO_LATE_MS = 3_000;
/** Longest work on one lane. */
const LANE_BUDGET_MS = 10_000;
const LEASE_MARGIN_MS = 1_500;

/**
 * The schedule: finishes what is due — operations still pending, lanes left by a crash, settled work not archived yet — by
 * the due index and on the same lane as everybody else. Shards are taken in an order of their own at each run, so that none
 * always comes last.
 */
export async function workOffDue(deps: LaneDeps, command: WorkOffCommand): Promise<WorkOffReport> {
  const { store, clock, random } = deps;
  const { shards, deadlineMs } = command;
  const first = Math.floor(random.next() * shards);
  let worked = 0;
  let skipped = 0;
  const isLate = () => clock.now() >= deadlineMs - TOO_LATE_MS;

  for (let offset = 0; offset < shards; offset += 1) {
    const shard = (first + offset) % shards;
    const due = store.dueSessions(shard, clock.now())[Symbol.asyncIterator]();
    const work = async () => {
      while (!isLate()) {
        const next = await due.next();
        if (next.done === true) return;
        if (await workOff(deps, command, next.value)) worked += 1;
        else skipped += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    if (isLate()) return { worked, skipped, cutShort: true };
  }
  return { worked, skipped, cutShort: false };
}

async function workOff(deps: LaneDeps, command: WorkOffCommand, session: SessionKey): Promise<boolean> {
  const { store, cognigy, clock, random } = deps;
  const { telemetry, correlationId } = command;
  try {
    const seen = await store.readLane(session);
    if (seen === undefined || (seen.lease !== undefined && seen.lease.untilMs > clock.now())) return false;
    // The permit before the lease: who waits for budget must not keep a session's clients waiting.
    const needsPermit = seen.journal.length > seen.endedVersions.size;
    const permitBy = { deadlineMs: command.deadlineMs - TOO_LATE_MS, mayWait: true, priority: 'scheduled' } as const;
    const permit = needsPermit ? await cognigy.prepare(permitBy) : undefined;
    if (permit?.granted === false) return false;

    const nowMs = clock.now();
    const deadlineMs = Math.min(command.deadlineMs, nowMs + LANE_BUDGET_MS);
    const lease = { fence: random.ulid(nowMs), untilMs: deadlineMs + LEASE_MARGIN_MS };
    const lane = await store.takeLease(session, lease, nowMs);
    if (lane === undefined) {
      await permit?.permit.release();
      return false;
    }
    const { settled } = await pushLane(deps, {
      lane,
      lease,
      deadlineMs,
      correlationId,
      telemetry,
      ...(permit !== undefined && { permit }),
    });
    telemetry.count('LanesWorkedOff');
    return settled;
  } catch (error) {
    // One bad lane must not stop the others; its lease runs out and it stays due.
    telemetry.log('error', 'a due lane could not be worked off', {}, error);
    return false;
  }
}
