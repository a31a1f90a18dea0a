import type { JsonObject } from '../context/json.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { PermitAnswer } from './ports/cognigy.ts';
import type { Lane, Lease, NewOperation, OperationPayload, Outcome } from './ports/sessionStore.ts';
import { StoreError } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { isLeftBehind, type LaneDeps, pushLane } from './push.ts';

export interface LaneRequest {
  readonly sessionId: SessionId;
  readonly operation: NewOperation;
  /** Epoch milliseconds by which there must be an answer. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export interface LaneCommand extends LaneRequest {
  /** Asked for ahead, without waiting; given back where somebody else pushes. */
  readonly permit: Promise<PermitAnswer>;
  /** Told as soon as the table has taken the operation, or has not: what follows is the upstream's time. */
  readonly onCommitted?: () => void;
}

/** What a client can be told about its operation. */
export type LaneAnswer =
  | {
      readonly kind: 'settled';
      readonly outcome: Outcome;
      readonly replayed: boolean;
      /** The bot's whole context as it is now, where this very request has written it. */
      readonly context?: JsonObject;
    }
  /** Durable, and pushed later by the schedule. */
  | {
      readonly kind: 'pending';
      readonly operationId: string;
      readonly auditId: string;
      readonly version: number;
      readonly replayed: boolean;
    }
  /** The session's journal is full. */
  | { readonly kind: 'busy'; readonly retryAfterSeconds: number }
  /** A CRM has said something later of these paths already; nothing changed. Only where the operation has an `occurrence`. */
  | { readonly kind: 'superseded'; readonly paths: readonly string[] }
  /** The idempotency key was used before, for something else. */
  | { readonly kind: 'mismatch' }
  /** The session was erased after the operation had been accepted; nothing of it is left, and nothing comes back. */
  | { readonly kind: 'erased' }
  /** The idempotency key's first operation is still under way, and the deadline is near. */
  | { readonly kind: 'in-progress' };

/** The request to the upstream would be larger than it takes; nothing changed. Bytes are UTF-8 bytes of its body. */
export interface TooLarge {
  readonly kind: 'too-large';
  readonly bytes: number;
  readonly maxBytes: number;
}

/** A lease outlives its holder's deadline by this, for the settle. After it, others take over. */
const LEASE_MARGIN_MS = 1_500;
/** Without the lease: first look at the lane after this (jittered), then growing up to the cap. */
const POLL_BASE_MS = 20;
const POLL_CAP_MS = 250;
/** Each operation that waits in front makes everybody look less often: all of them wait for the same few settles. */
const POLL_PER_WAITING_MS = 5;
/** No new push is begun this near to the deadline. */
const TOO_LATE_MS = 100;

/**
 * Takes one operation through its session's lane: commit, push, settle (DESIGN section 2).
 *
 * ```text
 *   commit ─┬─ holds the lease ──▶ push ▶ settle ──────────────▶ answer
 *           └─ somebody else does ─▶ wait for its settle ───────▶ the same answer
 *                                     └─ it died ─▶ take over ─▶ push ▶ settle
 * ```
 * @throws {StoreError} when the operation could not be committed; nothing was sent then.
 */
export async function runOperation(deps: LaneDeps, command: LaneCommand): Promise<LaneAnswer> {
  const { store, clock } = deps;
  const { sessionId, operation, deadlineMs, permit } = command;
  const lease = newLease(deps, deadlineMs);
  const giveBack = () => permit.then((answer) => (answer.granted ? answer.permit.release() : undefined));
  const committing = store.commit({ sessionId, operation, lease, dueAtMs: lease.untilMs });
  const committed = await committing.catch(async (error: unknown) => {
    await giveBack();
    throw error;
  });
  command.onCommitted?.();
  if (committed.kind === 'committed' && committed.holdsLease) {
    const { lane, version } = committed;
    return pushOwn(deps, command, { lane, lease, version, permit: await permit, payload: operation.payload });
  }
  await giveBack();
  if (committed.kind === 'committed') return awaitDurably(deps, command, committed.version, false);
  if (committed.kind === 'repeated') return repeat(deps, command);
  if (committed.kind === 'superseded') return committed;
  const waitMs = (committed.untilMs ?? 0) - clock.now();
  return { kind: 'busy', retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)) };
}

function newLease({ clock, random }: LaneDeps, deadlineMs: number): Lease {
  return { fence: random.ulid(clock.now()), untilMs: deadlineMs + LEASE_MARGIN_MS };
}

async function pushOwn(
  deps: LaneDeps,
  command: LaneRequest,
  held: {
    readonly lane: Lane;
    readonly lease: Lease;
    readonly version: number;
    readonly permit?: PermitAnswer;
    readonly isLeft?: boolean;
    /** Absent for who may only have repeated what is in the journal: what that says counts. */
    readonly payload?: OperationPayload;
  },
): Promise<LaneAnswer> {
  const { operation, deadlineMs, telemetry } = command;
  const { version, payload, ...lane } = held;
  const { operationId } = operation;
  try {
    const report = await pushLane(deps, {
      ...lane,
      deadlineMs,
      telemetry,
      correlationId: operation.correlationId,
      own: { operationId, payload },
    });
    const outcome = report.outcomes.get(operationId);
    if (!report.settled) return awaitDurably(deps, command, version, false);
    const { context } = report;
    if (outcome !== undefined) {
      return { kind: 'settled', outcome, replayed: false, ...(context !== undefined && { context }) };
    }
  } catch (error) {
    const now = await deps.store.readProgress({ sessionId: command.sessionId }).catch(() => undefined);
    if (now !== undefined && version <= now.erasedVersion) return { kind: 'erased' };
    // The operation is in the journal, whatever else went wrong: the schedule will finish it.
    telemetry.log('error', 'push was cut short', {}, error);
    telemetry.count('OperationPending');
  }
  return pending(operation, version);
}

function pending(
  { operationId, auditId }: Pick<NewOperation, 'operationId' | 'auditId'>,
  version: number,
  replayed = false,
): LaneAnswer {
  return { kind: 'pending', operationId, auditId, version, replayed };
}

/** As {@link awaitOutcome}; a store that fails meanwhile changes nothing about an operation that it has taken. */
async function awaitDurably(
  deps: LaneDeps,
  command: LaneRequest,
  version: number,
  replayed: boolean,
): Promise<LaneAnswer> {
  try {
    return await awaitOutcome(deps, command, version, replayed);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    command.telemetry.log('error', 'waiting was cut short', {}, error);
    return pending(command.operation, version, replayed);
  }
}

/**
 * Waits until somebody else has settled `version`, takes over where that somebody has died, and gives up at the deadline:
 * the operation is durable all the same.
 */
async function awaitOutcome(
  deps: LaneDeps,
  command: LaneRequest,
  version: number,
  replayed: boolean,
): Promise<LaneAnswer> {
  const { store, clock, random } = deps;
  const { sessionId, operation, deadlineMs, telemetry } = command;
  const outcomeId = operation.idempotencyHash ?? operation.operationId;
  let crowdMs = 0;
  for (let pauseMs = POLL_BASE_MS; ; pauseMs = Math.min(POLL_CAP_MS, pauseMs * 1.5)) {
    const nowMs = clock.now();
    if (nowMs >= deadlineMs - TOO_LATE_MS) break;
    await clock.sleep(Math.min((pauseMs + crowdMs) * (0.5 + random.next()), deadlineMs - TOO_LATE_MS - nowMs));
    const lane = await store.readProgress({ sessionId });
    if (lane === undefined) throw new StoreError('store-unavailable');
    if (version <= lane.erasedVersion) return { kind: 'erased' };
    crowdMs = POLL_PER_WAITING_MS * Math.max(0, version - lane.confirmedVersion - 1);
    if (version <= lane.confirmedVersion || lane.endedVersions.has(version)) {
      const prior = await store.findOutcome({ sessionId }, outcomeId);
      // Where the key was given free, the outcome is under the operation's own id.
      const own = prior.kind === 'settled' ? prior : await store.findOutcome({ sessionId }, operation.operationId);
      if (own.kind === 'settled') return { kind: 'settled', outcome: own.outcome, replayed };
      return { kind: 'in-progress' };
    } else if (version <= lane.deferredVersion) {
      break;
    } else if (lane.lease === undefined || lane.lease.untilMs <= clock.now()) {
      const lease = newLease(deps, deadlineMs);
      const taken = await store.takeLease({ sessionId }, lease, clock.now());
      if (taken === undefined) continue;
      telemetry.log('info', 'lease taken', { expired: lane.lease !== undefined });
      const isLeft = isLeftBehind(lane);
      const answer = await pushOwn(deps, command, { lane: taken, lease, version, isLeft });
      return replayed && 'replayed' in answer ? { ...answer, replayed } : answer;
    }
  }
  // Erased while we were busy: nothing of it will come.
  const last = await store.readProgress({ sessionId });
  if (last !== undefined && version <= last.erasedVersion) return { kind: 'erased' };
  return pending(operation, version, replayed);
}

/** A repeated idempotency key: the first answer again, or the same wait as the first request's. */
async function repeat(deps: LaneDeps, command: LaneRequest): Promise<LaneAnswer> {
  // Its key was given free, or its answer archived, between our two reads.
  return (await repeatIfKnown(deps, command)) ?? { kind: 'in-progress' };
}

/**
 * The answer to a request whose idempotency key was used before; `undefined` for a new one.
 * @throws {StoreError} when that cannot be known.
 */
export async function repeatIfKnown(deps: LaneDeps, command: LaneRequest): Promise<LaneAnswer | undefined> {
  const { operation, sessionId } = command;
  const outcomeId = operation.idempotencyHash ?? operation.operationId;
  const prior = await deps.store.findOutcome({ sessionId }, outcomeId);
  switch (prior.kind) {
    case 'unknown':
      return undefined;
    case 'erased':
      return { kind: 'erased' };
    case 'settled':
      if (prior.fingerprint !== operation.fingerprint) return { kind: 'mismatch' };
      return { kind: 'settled', outcome: prior.outcome, replayed: true };
    case 'running': {
      const { entry } = prior;
      if (entry.fingerprint !== operation.fingerprint) return { kind: 'mismatch' };
      const { operationId, auditId } = entry;
      const joined: LaneRequest = { ...command, operation: { ...operation, operationId, auditId } };
      return awaitDurably(deps, joined, entry.version, true);
    }
  }
}
