import { dropExpired, EMPTY_MIRROR, type Mirror, pathOf } from '../context/mirror.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { type Applied, applyOperations, type Batch, type LoadedOperation, planPush, splitBatch } from './plan.ts';
import type { CognigyPort, InjectResult, PermitAnswer, Priority, RefusalCode } from './ports/cognigy.ts';
import type {
  AuditPayload,
  InjectPayload,
  Lane,
  Lease,
  NewAnswer,
  NewAuditEntry,
  Outcome,
  OutcomeCode,
  SessionStore,
  StoredMirror,
} from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';

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
  readonly own?: { readonly operationId: string; readonly payload: InjectPayload };
  /** Read beside the commit; perhaps not the current one. */
  readonly newest?: StoredMirror | undefined;
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
/** After this the schedule moves settled work out of the lane, unless the next operation has done so before. */
const ARCHIVE_AFTER_MS = 60_000;
/** A permit that took this long to come has let other writers commit: worth another look at the lane. */
const WAIT_WORTH_A_LOOK_MS = 25;
const DEFERRAL_BASE_MS = 5_000;
const DEFERRAL_CAP_MS = 15 * 60_000;

/** Answers that say nothing about an operation, only about our access or the way there: what is already pending stays so. */
const ACCESS_CODES: ReadonlySet<RefusalCode> = new Set([
  'upstream-unauthorized',
  'upstream-forbidden',
  'upstream-unavailable',
  'upstream-bad-response',
]);
/** Refusals that one operation may have brought upon all that left with it. */
const SPLIT_CODES: ReadonlySet<RefusalCode> = new Set(['upstream-rejected', 'conflict']);

/** True when the operation failed without an effect that lasts, so that its idempotency key may be used again. */
export function mayBeTriedAgain(code: OutcomeCode): boolean {
  return code !== 'expired-before-push' && ACCESS_CODES.has(code);
}

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
  const archived = deps.store.archive(command.lane).then(
    () => true,
    (error: unknown) => {
      command.telemetry.log('warn', 'archiving was put off', {}, error);
      return false;
    },
  );
  const push = new Push(deps, command, await currentMirror(deps, command));
  await push.run();
  return push.settle(await archived);
}

/** The mirror the lane points to. After the idle time, or when it is gone, the session starts anew (SCENARIOS 25). */
async function currentMirror(deps: LaneDeps, { lane, newest }: PushCommand): Promise<Mirror> {
  if (lane.stateRef === undefined || lane.idleUntilMs <= deps.clock.now()) return EMPTY_MIRROR;
  if (newest?.stateRef === lane.stateRef) return newest.mirror;
  return (await deps.store.readMirror(lane, lane.stateRef))?.mirror ?? EMPTY_MIRROR;
}

/** One push of one lane. */
class Push {
  readonly #deps: LaneDeps;
  readonly #command: PushCommand;
  #lane: Lane;
  #mirror: Mirror;
  readonly #startedAtMs: number;
  readonly #results = new Map<string, { operation: LoadedOperation; result: InjectResult | { kind: 'expired' } }>();
  /** What all operations together would lead to, and what the confirmed ones do lead to. */
  #planned: Applied = { mirror: EMPTY_MIRROR, changes: new Map() };
  #applied: Applied = this.#planned;
  #stateRef: string | undefined;
  #retryAtMs: number | undefined;

  constructor(deps: LaneDeps, command: PushCommand, mirror: Mirror) {
    this.#deps = deps;
    this.#command = command;
    this.#lane = command.lane;
    this.#startedAtMs = deps.clock.now();
    this.#mirror = dropExpired(mirror, this.#startedAtMs);
  }

  async run(): Promise<void> {
    const { cognigy, clock } = this.#deps;
    if (this.#openEntries().length === 0) return this.#returnPermit();
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
    // While the upstream works: what the mirror will be. Usually all leaves as one request, and it can be written already.
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
      if (result.kind === 'unavailable') {
        this.#retryAtMs = result.retryAtMs;
        if (result.reason === 'throttled' || result.reason === 'budget') telemetry.count('RateLimited');
        // Order within the session: nothing overtakes what could not be sent.
        for (const rest of queue.splice(0))
          for (const operation of rest.operations) this.#note(operation, untried(result));
      } else if (result.kind === 'refused' && (result.code === 'session-ended' || ACCESS_CODES.has(result.code))) {
        if (result.code !== 'session-ended') telemetry.count('UpstreamAccessDenied');
        for (const rest of queue.splice(0))
          for (const operation of rest.operations) this.#note(operation, untried(result));
      }
    }
  }

  #note(operation: LoadedOperation, result: InjectResult | { kind: 'expired' }): void {
    this.#results.set(operation.entry.operationId, { operation, result });
  }

  #confirmed(): LoadedOperation[] {
    return [...this.#results.values()]
      .filter(({ result }) => result.kind === 'confirmed')
      .map(({ operation }) => operation)
      .sort((a, b) => a.entry.version - b.entry.version);
  }

  #writeMirror(mirror: Mirror, nowMs: number): Promise<string> {
    return this.#deps.store.writeMirror(this.#lane, mirror, {
      fence: this.#command.lease.fence,
      keepUntilMs: nowMs + this.#deps.sessionTtlMs + HISTORY_KEPT_MS,
    });
  }

  /** Records what became of every operation, in one conditional write. */
  async settle(outboxArchived: boolean): Promise<PushReport> {
    const { store, clock, sessionTtlMs } = this.#deps;
    const nowMs = clock.now();
    const outcomes = new Map<string, Outcome>();
    const audit: NewAuditEntry[] = [];
    const answers: NewAnswer[] = [];
    const releasedKeys: string[] = [];
    const ended = new Set(this.#lane.endedVersions);
    let hasPending = false;
    let wasTried = false;
    let sessionEnded = false;
    let deferredVersion = this.#lane.deferredVersion;

    for (const { operation, result } of this.#inOrder()) {
      const { entry } = operation;
      const outcome = this.#outcomeOf(operation, result, nowMs);
      if (outcome === undefined) {
        const isFirst = entry.version > this.#lane.deferredVersion;
        const attempts = result.kind === 'expired' ? 0 : result.attempts;
        hasPending = true;
        wasTried ||= attempts > 0;
        deferredVersion = Math.max(deferredVersion, entry.version);
        // Every attempt has its entry (DESIGN I6); waiting for a permit once more is none.
        if (attempts === 0 && !isFirst) continue;
      } else {
        ended.add(entry.version);
        outcomes.set(entry.operationId, outcome);
        if (outcome.kind === 'refused' && outcome.code === 'session-ended') sessionEnded = true;
        this.#answer(operation, outcome, answers, releasedKeys);
      }
      audit.push({
        operationId: entry.operationId,
        atMs: nowMs,
        payload: this.#auditOf(operation, result, outcome, nowMs),
      });
    }

    let confirmedVersion = this.#lane.confirmedVersion;
    let settledPrefix = 0;
    for (const { version } of this.#lane.journal) {
      if (!ended.delete(version)) break;
      confirmedVersion = version;
      settledPrefix += 1;
    }
    const isEmpty = settledPrefix === this.#lane.journal.length;
    const hasOutbox = audit.length > 0 || this.#lane.hasRefusals || (this.#lane.hasOutbox && !outboxArchived);
    const deferrals = hasPending ? this.#lane.deferrals + (wasTried ? 1 : 0) : 0;
    const dueAtMs = hasPending
      ? this.#deferUntil(nowMs, wasTried ? deferrals : 1)
      : hasOutbox || !isEmpty
        ? nowMs + ARCHIVE_AFTER_MS
        : undefined;
    const settlement = {
      fence: this.#command.lease.fence,
      nowMs,
      outboxArchived,
      settledPrefix,
      confirmedVersion,
      endedVersions: [...ended],
      audit,
      answers,
      releasedKeys,
      deferrals,
      deferredVersion,
      ...(this.#stateRef !== undefined && { stateRef: this.#stateRef, idleUntilMs: nowMs + sessionTtlMs }),
      // The bot's session is gone, and the mirror with it (SCENARIOS 20).
      ...(sessionEnded && { idleUntilMs: nowMs }),
      sessionEnded: sessionEnded || (this.#lane.hasEnded && this.#stateRef === undefined),
    };
    let settled = await store.settle(this.#lane, { ...settlement, ...(dueAtMs !== undefined && { dueAtMs }) });
    if (settled === 'moved-on') settled = await store.settle(this.#lane, { ...settlement, dueAtMs: nowMs });
    if (settled === 'settled') this.#report(outcomes, hasPending);
    return { outcomes, settled: settled === 'settled' };
  }

  #inOrder() {
    return [...this.#results.values()].sort((a, b) => a.operation.entry.version - b.operation.entry.version);
  }

  /** How the operation ended, or `undefined` while it stays pending. */
  #outcomeOf(
    { entry }: LoadedOperation,
    result: InjectResult | { kind: 'expired' },
    nowMs: number,
  ): Outcome | undefined {
    const { operationId, auditId, version } = entry;
    const latencyMs = nowMs - entry.acceptedAtMs;
    switch (result.kind) {
      case 'expired':
        return { kind: 'refused', operationId, auditId, code: 'expired-before-push' };
      case 'unavailable':
        return undefined;
      case 'confirmed': {
        const variablesInjected = this.#applied.changes.get(operationId)?.length ?? 0;
        return {
          kind: 'confirmed',
          operationId,
          auditId,
          version,
          variablesInjected,
          latencyMs,
          result: result.result,
        };
      }
      case 'refused': {
        const isFresh = operationId === this.#command.own?.operationId && version > this.#lane.deferredVersion;
        // Others' operations may have been accepted as pending already; whether access comes back is not for us to say.
        if (ACCESS_CODES.has(result.code) && !isFresh) return undefined;
        const paths = result.paths === undefined ? {} : { paths: result.paths };
        return { kind: 'refused', operationId, auditId, code: result.code, ...paths };
      }
    }
  }

  #answer({ entry }: LoadedOperation, outcome: Outcome, answers: NewAnswer[], releasedKeys: string[]): void {
    const { idempotencyHash, operationId, fingerprint } = entry;
    if (outcome.kind === 'refused' && mayBeTriedAgain(outcome.code)) {
      if (idempotencyHash !== undefined) releasedKeys.push(idempotencyHash);
      return;
    }
    // An answer is kept for whoever may ask: a repeat of the key, or the client of an operation that we pushed for it.
    if (idempotencyHash === undefined && operationId === this.#command.own?.operationId) return;
    answers.push({ outcomeId: idempotencyHash ?? operationId, fingerprint, outcome });
  }

  /** What an operation changed, or was to change. */
  #changesOf({ entry, payload }: LoadedOperation): AuditPayload['changes'] {
    const { operationId } = entry;
    const changes = this.#applied.changes.get(operationId) ?? this.#planned.changes.get(operationId) ?? [];
    if (!this.#deps.auditValues) return changes;
    const values = new Map(
      payload.variables.map((variable) => [`${variable.scope}:${pathOf(variable)}`, variable.value]),
    );
    return changes.map((change) => ({ ...change, value: values.get(`${change.scope}:${change.path}`) }));
  }

  #auditOf(
    operation: LoadedOperation,
    result: InjectResult | { kind: 'expired' },
    outcome: Outcome | undefined,
    nowMs: number,
  ): AuditPayload {
    const { entry } = operation;
    const changes = this.#changesOf(operation);
    const expired = operation.payload.variables
      .map((variable) => ({ path: pathOf(variable), scope: variable.scope }))
      .filter(({ path, scope }) => !changes.some((change) => change.path === path && change.scope === scope));
    const code = outcome?.kind === 'refused' ? outcome.code : pendingCode(result);
    return {
      // One id for the entry that tells how the operation ended; the attempts before it have ids of their own.
      auditId: outcome === undefined ? this.#deps.random.ulid(nowMs) : entry.auditId,
      operation: entry.kind,
      client: entry.client,
      correlationId: entry.correlationId,
      outcome: outcome === undefined ? 'pending' : auditOutcome(outcome),
      changes,
      ...(expired.length > 0 && { expired }),
      versionBefore: entry.version - 1,
      versionAfter: entry.version,
      attempts: result.kind === 'expired' ? 0 : result.attempts,
      latencyMs: nowMs - entry.acceptedAtMs,
      ...(code !== undefined && { code }),
      ...(result.kind !== 'expired' &&
        result.upstreamStatus !== undefined && { upstreamStatus: result.upstreamStatus }),
    };
  }

  #deferUntil(nowMs: number, deferrals: number): number {
    const backoffMs = Math.min(DEFERRAL_CAP_MS, DEFERRAL_BASE_MS * 2 ** Math.min(deferrals - 1, 10));
    const jitteredMs = backoffMs * (0.5 + this.#deps.random.next() / 2);
    return Math.round(Math.max(nowMs + jitteredMs, this.#retryAtMs ?? 0));
  }

  #report(outcomes: ReadonlyMap<string, Outcome>, hasPending: boolean): void {
    const { telemetry } = this.#command;
    const all = [...outcomes.values()];
    const confirmed = all.filter(({ kind }) => kind === 'confirmed').length;
    if (confirmed > 0) telemetry.count('OperationConfirmed', confirmed);
    if (all.length > confirmed) telemetry.count('OperationRefused', all.length - confirmed);
    if (hasPending) telemetry.count('OperationPending', this.#results.size - all.length);
    telemetry.log('info', 'lane pushed', {
      confirmed,
      refused: all.length - confirmed,
      pending: this.#results.size - all.length,
      durationMs: this.#deps.clock.now() - this.#startedAtMs,
    });
  }
}

/** The same answer for operations that were not even tried. */
function untried<Result extends InjectResult>(result: Result): Result {
  return { ...result, attempts: 0 };
}

function pendingCode(result: InjectResult | { kind: 'expired' }): string | undefined {
  if (result.kind === 'unavailable') return result.reason;
  return result.kind === 'refused' ? result.code : undefined;
}

/** `refused`: somebody said no. `failed`: it could not be done. */
function auditOutcome(outcome: Outcome): AuditPayload['outcome'] {
  if (outcome.kind === 'confirmed') return 'confirmed';
  return mayBeTriedAgain(outcome.code) ? 'failed' : 'refused';
}
