import { dropExpired, EMPTY_MIRROR, type Mirror } from '../context/mirror.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { type Applied, applyOperations, type Batch, type LoadedOperation, planPush, splitBatch } from './plan.ts';
import type { CognigyPort, InjectResult, PermitAnswer, Priority, RefusalCode } from './ports/cognigy.ts';
import type { InjectPayload, Lane, Lease, Outcome, SessionStore } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { type Attempt, isAboutAccess, settlementOf } from './settlement.ts';

/** What the lane protocol needs from outside. */
export interface LaneDeps {
  readonly store: SessionStore;
  readonly cognigy: CognigyPort;
  readonly clock: Clock;
  readonly random: Random;
  /** Idle life of a session, milliseconds. */
  readonly sessionTtlMs: number;
  /** Whether audit entries hold the values themselves. */
  readonly auditValues: boolean;
}

export interface PushCommand {
  readonly lane: Lane;
  readonly lease: Lease;
  /** Epoch milliseconds until which the upstream may be waited for; the lease outlives it. */
  readonly deadlineMs: number;
  readonly correlationId: string;
  readonly telemetry: Telemetry;
  /** The operation whose client is waiting here. Absent in the schedule. */
  /** Leaves the journal alone: only what has been noted is linked to the audit chain. */
  readonly linkOnly?: boolean;
  readonly own?: { readonly operationId: string; readonly payload: InjectPayload };
  readonly permit?: PermitAnswer;
}

export interface PushReport {
  /** How each operation ended that is settled now, by operation id. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** False when the lease had gone to somebody else: what was sent was harmless, but it is not ours to record. */
  readonly settled: boolean;
}

/** Old versions of the mirror live on for history and diff. */
const HISTORY_KEPT_MS = 24 * 3_600_000;
/** A permit that took this long to come has let other writers commit: worth another look at the lane. */
const WAIT_WORTH_A_LOOK_MS = 25;
/** Refusals that one operation may have brought upon all that left with it. */
const SPLIT_CODES: ReadonlySet<RefusalCode> = new Set(['upstream-rejected', 'conflict']);

/**
 * Pushes everything a lane has journaled, in commit order, and settles it. The caller holds the lease.
 *
 * ```text
 *   archive outbox ──────────────┐
 *   plan ─▶ permit ─▶ PUT ───────┼─▶ settle (fence)
 *           write mirror ────────┘
 * ```
 */
export async function pushLane(deps: LaneDeps, command: PushCommand): Promise<PushReport> {
  const push = new Push(deps, command);
  await push.run();
  return push.settle();
}

/** The mirror the lane points to. After the idle time, or when it is gone, the session starts anew (SCENARIOS 25). */
async function currentMirror(deps: LaneDeps, { lane }: PushCommand): Promise<Mirror> {
  const nowMs = deps.clock.now();
  if (lane.stateRef === undefined || lane.idleUntilMs <= nowMs) return EMPTY_MIRROR;
  const stored = await deps.store.readMirror(lane, lane.stateRef);
  return dropExpired(stored?.mirror ?? EMPTY_MIRROR, nowMs);
}

/** One push of one lane. */
class Push {
  readonly #deps: LaneDeps;
  readonly #command: PushCommand;
  #lane: Lane;
  #mirror: Mirror = EMPTY_MIRROR;
  #archived: Promise<boolean> | undefined;
  readonly #startedAtMs: number;
  readonly #attempts = new Map<string, Attempt>();
  /** What all operations together would lead to, and what the confirmed ones do lead to. */
  #planned: Applied = { mirror: EMPTY_MIRROR, changes: new Map() };
  #applied: Applied = this.#planned;
  #stateRef: string | undefined;
  #retryAtMs: number | undefined;

  constructor(deps: LaneDeps, command: PushCommand) {
    this.#deps = deps;
    this.#command = command;
    this.#lane = command.lane;
    this.#startedAtMs = deps.clock.now();
  }

  async run(): Promise<void> {
    const { cognigy, clock } = this.#deps;
    if (this.#command.linkOnly === true || this.#openEntries().length === 0) return this.#returnPermit();
    const permit = await this.#permit();
    const operations = await this.#load();
    const nowMs = clock.now();
    const limits = {
      maxBytes: cognigy.capabilities.injectMaxBytes,
      bytesOf: (variables: Batch['variables']) => cognigy.injectBytes(variables),
    };
    const { batches, expired } = planPush(operations, nowMs, limits);
    for (const operation of expired) this.#note(operation, { kind: 'expired' });

    const operationsToSend = batches.flatMap(({ operations: together }) => together);
    const sending = this.#send(batches, permit, nowMs);
    // What the client waits for is on its way; meanwhile the outbox is archived and the mirror made. Usually all leaves as one
    // request, and the mirror can be written already.
    this.#archived = this.#archive();
    sending.catch(() => undefined);
    this.#mirror = await currentMirror(this.#deps, this.#command);
    this.#planned = applyOperations(this.#mirror, operationsToSend, nowMs);
    const ahead = batches.length === 1 ? this.#writeMirror(this.#planned.mirror, nowMs) : undefined;
    ahead?.catch(() => undefined);
    await sending;

    const confirmed = this.#confirmed();
    const isAsPlanned = confirmed.length === operationsToSend.length;
    this.#applied = isAsPlanned ? this.#planned : applyOperations(this.#mirror, confirmed, nowMs);
    if (confirmed.length === 0) return;
    this.#stateRef = await (isAsPlanned && ahead !== undefined
      ? ahead
      : this.#writeMirror(this.#applied.mirror, nowMs));
  }

  /** Writes what an earlier settle has left in the lane to its own items; false when that did not succeed. */
  async #archive(): Promise<boolean> {
    try {
      await this.#deps.store.archive(this.#command.lane);
      return true;
    } catch (error) {
      this.#command.telemetry.log('warn', 'archiving was put off', {}, error);
      return false;
    }
  }

  /** Who has a client waiting goes first (DESIGN section 3). */
  get #priority(): Priority {
    return this.#command.own?.operationId === undefined ? 'scheduled' : 'interactive';
  }

  #openEntries() {
    return this.#lane.journal.filter(({ version }) => !this.#lane.endedVersions.has(version));
  }

  #load(): Promise<LoadedOperation[]> {
    const { own } = this.#command;
    return Promise.all(
      this.#openEntries().map(async (entry) => ({
        entry,
        payload: own?.operationId === entry.operationId ? own.payload : await entry.payload(),
      })),
    );
  }

  async #returnPermit(): Promise<void> {
    if (this.#command.permit?.granted) await this.#command.permit.permit.release();
  }

  /** The permit for the first request; what committed while we waited for it leaves with us. */
  async #permit(): Promise<PermitAnswer> {
    const { cognigy, clock, store } = this.#deps;
    const { permit, deadlineMs } = this.#command;
    if (permit?.granted) return permit;
    const askedAtMs = clock.now();
    const answer = await cognigy.prepare({ deadlineMs, mayWait: true, priority: this.#priority });
    if (answer.granted && clock.now() - askedAtMs >= WAIT_WORTH_A_LOOK_MS) {
      const lane = await store.readLane(this.#lane).catch(() => undefined);
      if (lane?.lease?.fence === this.#command.lease.fence) this.#lane = lane;
    }
    return answer;
  }

  async #send(batches: readonly Batch[], firstPermit: PermitAnswer, nowMs: number): Promise<void> {
    const { cognigy, clock } = this.#deps;
    const { telemetry, deadlineMs, correlationId } = this.#command;
    const queue = [...batches];
    let permit: PermitAnswer | undefined = firstPermit;
    for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
      const sentAtMs = clock.now();
      const result = await cognigy.inject(
        { sessionId: this.#lane.sessionId, variables: batch.variables },
        {
          deadlineMs,
          correlationId,
          priority: this.#priority,
          sendByMs: earliestExpiryMs(batch.variables),
          ...(permit !== undefined && { firstPermit: Promise.resolve(permit) }),
        },
      );
      permit = undefined;
      telemetry.count('UpstreamRequests', result.attempts);
      if (result.attempts > 0) telemetry.duration('UpstreamLatency', clock.now() - sentAtMs);

      if (result.kind === 'refused' && SPLIT_CODES.has(result.code) && batch.operations.length > 1) {
        queue.unshift(...splitBatch(batch, nowMs));
        continue;
      }
      for (const operation of batch.operations) this.#note(operation, result);
      this.#report(result);
      if (!stopsTheRest(result)) continue;
      // Order within the session: nothing overtakes what could not be sent.
      const untried = { ...result, attempts: 0 };
      for (const rest of queue.splice(0)) for (const operation of rest.operations) this.#note(operation, untried);
    }
    // Nothing was left to send: all had expired.
    if (permit?.granted) await permit.permit.release();
  }

  #note(operation: LoadedOperation, result: Attempt['result']): void {
    this.#attempts.set(operation.entry.operationId, { operation, result });
  }

  #report(result: InjectResult): void {
    const { telemetry } = this.#command;
    if (result.throttled !== undefined) telemetry.count('RateLimited', result.throttled);
    if (result.kind === 'unavailable') {
      this.#retryAtMs = result.retryAtMs;
      // Held back by the budget or a pause, without having asked.
      const wasHeldBack = result.attempts === 0 && (result.reason === 'throttled' || result.reason === 'budget');
      if (wasHeldBack) telemetry.count('RateLimited');
    }
    if (result.kind === 'refused' && isAboutAccess(result.code)) telemetry.count('UpstreamAccessDenied');
  }

  #inOrder(): Attempt[] {
    return [...this.#attempts.values()].sort((a, b) => a.operation.entry.version - b.operation.entry.version);
  }

  #confirmed(): LoadedOperation[] {
    return this.#inOrder()
      .filter(({ result }) => result.kind === 'confirmed')
      .map(({ operation }) => operation);
  }

  #writeMirror(mirror: Mirror, nowMs: number): Promise<string> {
    return this.#deps.store.writeMirror(this.#lane, mirror, {
      fence: this.#command.lease.fence,
      keepUntilMs: nowMs + this.#deps.sessionTtlMs + HISTORY_KEPT_MS,
    });
  }

  /** Records what became of every operation, in one conditional write. */
  async settle(): Promise<PushReport> {
    const { store, clock, random, sessionTtlMs, auditValues } = this.#deps;
    const outboxArchived = await (this.#archived ?? this.#archive());
    const nowMs = clock.now();
    const { settlement, outcomes } = settlementOf({
      lane: this.#lane,
      fence: this.#command.lease.fence,
      nowMs,
      attempts: this.#inOrder(),
      ownOperationId: this.#command.own?.operationId,
      planned: this.#planned,
      applied: this.#applied,
      mirrorVersion: this.#mirror.version,
      stateRef: this.#stateRef,
      outboxArchived,
      retryAtMs: this.#retryAtMs,
      sessionTtlMs,
      auditValues,
      jitter: random.next(),
      newAuditId: () => random.ulid(nowMs),
    });
    let settled = await store.settle(this.#lane, settlement);
    if (settled === 'moved-on') settled = await store.settle(this.#lane, { ...settlement, dueAtMs: nowMs });
    if (settled === 'settled') this.#reportSettled([...outcomes.values()]);
    return { outcomes, settled: settled === 'settled' };
  }

  #reportSettled(outcomes: readonly Outcome[]): void {
    const { telemetry } = this.#command;
    const confirmed = outcomes.filter(({ kind }) => kind === 'confirmed').length;
    const refused = outcomes.length - confirmed;
    const pending = this.#attempts.size - outcomes.length;
    if (confirmed > 0) telemetry.count('OperationConfirmed', confirmed);
    if (refused > 0) telemetry.count('OperationRefused', refused);
    if (pending > 0) telemetry.count('OperationPending', pending);
    const durationMs = this.#deps.clock.now() - this.#startedAtMs;
    telemetry.log('info', 'lane pushed', { confirmed, refused, pending, durationMs });
  }
}

/** What has expired must not leave (DESIGN I5), however long the way to the upstream has taken. */
function earliestExpiryMs(variables: Batch['variables']): number {
  return variables.reduce((earliest, { expiresAtMs = Infinity }) => Math.min(earliest, expiresAtMs), Infinity);
}

/** After these the rest of the journal is not tried: it would meet the same, or overtake what came before it. */
function stopsTheRest(result: InjectResult): boolean {
  if (result.kind === 'unavailable') return true;
  return result.kind === 'refused' && (result.code === 'session-ended' || isAboutAccess(result.code));
}
