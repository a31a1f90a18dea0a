import type { SessionId } from '../context/sessionId.ts';
import { newOperation } from './newOperation.ts';
import { firstSurfaceOf, leadingRun } from './plan.ts';
import type { PermitAnswer, PushSurface } from './ports/cognigy.ts';
import type { Lane, Lease, SessionKey } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { isLeftBehind, type LaneDeps, pushLane } from './push.ts';
import { together } from './severalAtATime.ts';

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
  /** Due and in need of the upstream, whose budget was used up; they stay due. */
  readonly waiting: number;
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
/** The client of what the bridge does by itself. */
const BRIDGE = 'bridge';

/**
 * The schedule: finishes what is due — operations still pending, lanes left by a crash, expired values that are still in the
 * bot, settled work not archived yet — by the due index and on the same lane as everybody else.
 *
 * ```text
 *   due index ─▶ look at each lane ─┬─ nothing to send ─▶ archive, settle
 *   (all shards)                    └─ something to send ─▶ queue ─▶ permit ─▶ lease ─▶ push, settle
 * ```
 *
 * So everything due is seen in one run, and what needs no upstream never waits behind what does. Shards are taken in an order
 * of their own at each run, so that none always comes last.
 */
export async function workOffDue(deps: LaneDeps, command: WorkOffCommand): Promise<WorkOffReport> {
  return new Run(deps, command).run();
}

/** A lane that needs the upstream. */
interface Candidate {
  readonly session: SessionKey;
  readonly sessionId: SessionId;
  /** Something has expired, and no operation in the journal sees to it. */
  readonly hasExpired: boolean;
  /** Somebody has left it with the lease. */
  readonly isLeft: boolean;
  /** The surface that will be wanted first. */
  readonly surface: PushSurface;
}

class Run {
  readonly #deps: LaneDeps;
  readonly #command: WorkOffCommand;
  readonly #queue: Candidate[] = [];
  #worked = 0;
  #skipped = 0;
  #isOutOfBudget = false;

  constructor(deps: LaneDeps, command: WorkOffCommand) {
    this.#deps = deps;
    this.#command = command;
  }

  async run(): Promise<WorkOffReport> {
    const { random, store, clock } = this.#deps;
    const { shards } = this.#command;
    const first = Math.floor(random.next() * shards);
    for (let offset = 0; offset < shards && !this.#isLate; offset += 1) {
      const due = store.dueSessions((first + offset) % shards, clock.now())[Symbol.asyncIterator]();
      await this.#together(async () => {
        const next = await due.next();
        if (next.done !== true) this.#count(await this.#guarded(() => this.#look(next.value)));
        return next.done !== true;
      });
    }
    await this.#together(async () => {
      const candidate = this.#isOutOfBudget ? undefined : this.#queue.shift();
      if (candidate !== undefined) this.#count(await this.#guarded(() => this.#push(candidate)));
      return candidate !== undefined;
    });
    const waiting = this.#queue.length;
    return { worked: this.#worked, skipped: this.#skipped, waiting, cutShort: this.#isLate };
  }

  get #isLate(): boolean {
    return this.#deps.clock.now() >= this.#command.deadlineMs - TOO_LATE_MS;
  }

  /** Does `step` with several at a time, until it has nothing left to do or it is late. */
  async #together(step: () => Promise<boolean>): Promise<void> {
    await together(AT_A_TIME, async () => !this.#isLate && (await step()));
  }

  #count(end: 'worked' | 'skipped' | 'queued'): void {
    if (end === 'worked') this.#worked += 1;
    if (end === 'skipped') this.#skipped += 1;
  }

  /** One bad lane must not stop the others; its lease runs out and it stays due. */
  async #guarded(work: () => Promise<'worked' | 'skipped' | 'queued'>): Promise<'worked' | 'skipped' | 'queued'> {
    try {
      return await work();
    } catch (error) {
      this.#command.telemetry.log('error', 'a due lane could not be worked off', {}, error);
      return 'skipped';
    }
  }

  async #look(session: SessionKey): Promise<'worked' | 'skipped' | 'queued'> {
    const { store, clock } = this.#deps;
    const lane = await store.readLane(session);
    if (lane === undefined || (lane.lease !== undefined && lane.lease.untilMs > clock.now())) return 'skipped';
    const hasPending = lane.journal.length > lane.endedVersions.size;
    const hasExpired = lane.nextExpiryMs !== undefined && lane.nextExpiryMs <= clock.now() && !isLeavingAlready(lane);
    if (hasPending || hasExpired) {
      const open = lane.journal.filter(({ version }) => !lane.endedVersions.has(version));
      const surface = hasExpired ? 'context' : firstSurfaceOf(leadingRun(open));
      this.#queue.push({ session, sessionId: lane.sessionId, hasExpired, isLeft: isLeftBehind(lane), surface });
      return 'queued';
    }
    return this.#take((lease) => store.takeLease(session, lease, clock.now()));
  }

  async #push(candidate: Candidate): Promise<'worked' | 'skipped' | 'queued'> {
    const { store, cognigy, clock } = this.#deps;
    const { session, sessionId, hasExpired, isLeft, surface } = candidate;
    // The permit before the lease: who waits for budget must not keep a session's clients waiting.
    const deadlineMs = this.#command.deadlineMs - TOO_LATE_MS;
    const answer = await cognigy.prepare({
      deadlineMs,
      mayWait: true,
      priority: 'scheduled',
      surface,
    });
    if (!answer.granted) {
      // Nobody else in this run would get one either.
      this.#isOutOfBudget = true;
      this.#queue.push(candidate);
      return 'queued';
    }
    return this.#take(
      (lease) =>
        hasExpired
          ? commitExpiry(this.#deps, sessionId, lease, this.#command.correlationId)
          : store.takeLease(session, lease, clock.now()),
      { permit: answer, isLeft },
    );
  }

  /** Takes the lease as told, pushes and settles. */
  async #take(
    take: (lease: Lease) => Promise<Lane | undefined>,
    {
      permit,
      isLeft = false,
    }: { readonly permit?: Extract<PermitAnswer, { granted: true }>; readonly isLeft?: boolean } = {},
  ): Promise<'worked' | 'skipped'> {
    const { clock, random } = this.#deps;
    const { telemetry, correlationId } = this.#command;
    const nowMs = clock.now();
    const deadlineMs = Math.min(this.#command.deadlineMs, nowMs + LANE_BUDGET_MS);
    const lease = { fence: random.ulid(nowMs), untilMs: deadlineMs + LEASE_MARGIN_MS };
    const lane = await take(lease).catch(async (error: unknown) => {
      await permit?.permit.release();
      throw error;
    });
    if (lane === undefined) {
      await permit?.permit.release();
      return 'skipped';
    }
    const { settled } = await pushLane(this.#deps, {
      lane,
      lease,
      deadlineMs,
      correlationId,
      telemetry,
      isLeft,
      ...(permit !== undefined && { permit }),
    });
    telemetry.count('LanesWorkedOff');
    return settled ? 'worked' : 'skipped';
  }
}

/** An expiry that waits in the journal takes with it whatever has expired by the time it is pushed. */
function isLeavingAlready({ journal, endedVersions }: Lane): boolean {
  return journal.some(({ kind, version }) => kind === 'expire' && !endedVersions.has(version));
}

/**
 * What has expired leaves the bot as an operation like any other: with its place in the order, its version and its audit entry
 * (DESIGN I3). Returns the lane when we may push it.
 */
async function commitExpiry(
  deps: LaneDeps,
  sessionId: SessionId,
  lease: Lease,
  correlationId: string,
): Promise<Lane | undefined> {
  const { store } = deps;
  const operation = newOperation(deps, {
    kind: 'expire',
    client: BRIDGE,
    correlationId,
    fingerprint: '',
    payload: { kind: 'expire' },
  });
  const committed = await store.commit({ sessionId, operation, lease, dueAtMs: lease.untilMs });
  if (committed.kind === 'committed' && committed.holdsLease) return committed.lane;
  // The journal is full: what waits in it goes first. Or a lease is there whose time is over.
  return store.takeLease({ sessionId }, lease, operation.acceptedAtMs);
}
