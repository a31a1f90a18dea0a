import { isExpired } from '../context/expiry.ts';
import { withoutInternal } from '../context/internalKeys.ts';
import type { JsonObject, JsonValue } from '../context/json.ts';
import { jsonEquals } from '../context/jsonEquals.ts';
import { leavesOf } from '../context/leaves.ts';
import { leavingOf, nextExpiryMs } from '../context/leaving.ts';
import {
  contextOf,
  EMPTY_MIRROR,
  type LoadedMirror,
  type LoadedVariable,
  type Mirror,
  type MirrorVariable,
  mirrorId,
  visibleVariables,
} from '../context/mirror.ts';
import { pointerOf, tokensOf } from '../context/pointer.ts';
import type { Variable } from '../context/variables.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { Attempts } from './attempts.ts';
import { beginsAnew, believedDialog } from './believedDialog.ts';
import type { ContextRules } from './contextInput.ts';
import { type ContextPlan, planContext } from './contextPlan.ts';
import { currentMirror } from './currentMirror.ts';
import { keysToForget, temporaryOf, undoing, withForgotten, withoutLeft } from './forgetting.ts';
import { queueEvents } from './handOver.ts';
import { loaded } from './loaded.ts';
import {
  type Applied,
  applyOperations,
  type Batch,
  type DialogOperation,
  firstSurfaceOf,
  type InjectOperation,
  isDialog,
  isInject,
  type LoadedOperation,
  leadingRun,
  planPush,
  requestOf,
  splitBatch,
} from './plan.ts';
import type { CognigyPort, PermitAnswer, Priority, RefusalCode, WriteResult } from './ports/cognigy.ts';
import type { DeliveryQueue } from './ports/deliveryQueue.ts';
import type { Prompts } from './ports/prompts.ts';
import {
  type JournalEntry,
  type Lane,
  type LaneStore,
  type Lease,
  NOBODY,
  type OperationPayload,
  type Outcome,
  type Settlement,
  type SyncReport,
} from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { type Attempt, isUnknown, settlementOf, staysPending } from './settlement.ts';
import { settlingOf } from './settling.ts';
import { Suspects } from './suspects.ts';
import { isSync, temporaryLeaves } from './syncPatch.ts';

/** What the lane protocol needs from outside. */
export interface LaneDeps {
  readonly store: LaneStore;
  /** Where outcomes go that somebody outside is to be told. */
  readonly events: Pick<DeliveryQueue, 'enqueueOnce'>;
  /** Who tells them is told that there is something; where nobody is, the schedule sees to it. */
  readonly prompts?: Prompts;
  readonly cognigy: CognigyPort;
  readonly clock: Clock;
  readonly random: Random;
  /** What a context must look like. */
  readonly context: ContextRules;
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
  /** Leaves the journal alone: only what has been noted is linked to the audit chain. */
  readonly linkOnly?: boolean;
  /** The operation whose client is waiting here, and its payload where that is at hand. Absent in the schedule. */
  readonly own?: { readonly operationId: string; readonly payload?: OperationPayload | undefined };
  readonly permit?: PermitAnswer;
  /** The lease was left by somebody who has not come back: what they have sent, nobody knows. */
  readonly isLeft?: boolean;
}

export interface PushReport {
  /** How each operation ended that is settled now, by operation id. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** False when the lease had gone to somebody else: what was sent was harmless, but it is not ours to record. */
  readonly settled: boolean;
  /** The bot's whole context as it is now, where this push has written it. */
  readonly context?: JsonObject;
}

/** Did whoever had the lease leave it behind, with operations of which he may have sent anything? */
export function isLeftBehind({ lease }: Pick<Lane, 'lease'>): boolean {
  return lease !== undefined && lease.fence !== NOBODY;
}

/** Old versions of the mirror live on for history and diff. */
const HISTORY_KEPT_MS = 24 * 3_600_000;
/** A permit that took this long to come has let other writers commit: worth another look at the lane. */
const WAIT_WORTH_A_LOOK_MS = 25;
/** A settle is over by then. */
const PROMPT_DELAY_SECONDS = 1;
/** Requests to the queue are given up after two seconds. */
const NEWS_MS = 1_500;
/** As long as a value that has expired may be in the bot, its operation waits. */
const NOT_UNDONE = { kind: 'unavailable', reason: 'down', outcomeUnknown: false, attempts: 0 } as const;
/** Refusals that one operation may have brought upon all that left with it. */
const SPLIT_CODES: ReadonlySet<RefusalCode> = new Set(['upstream-rejected', 'conflict']);

/**
 * Pushes everything a lane has journaled, in commit order, and settles it. The caller holds the lease.
 *
 * ```text
 *   archive outbox ──────────────────────────────────┐
 *   plan ─▶ permit ─▶ PUT variables ─▶ GET, PUT context ─▶ settle (fence)
 *           read mirror ─────────────────▶ write mirror ──┘
 * ```
 *
 * One request takes all injected variables, a second pair all syncs and expiries; usually there is only one of the two. What
 * was injected goes first, and is in the context that is read then. A change of a dialog is pushed and settled by itself, between
 * what was committed before it and after it.
 */
export async function pushLane(deps: LaneDeps, command: PushCommand): Promise<PushReport> {
  const { store, clock, random } = deps;
  const outcomes = new Map<string, Outcome>();
  let next = command;
  for (;;) {
    const push = new Push(deps, next);
    await push.run();
    const report = await push.settle();
    for (const [operationId, outcome] of report.outcomes) outcomes.set(operationId, outcome);
    // Who has left the lease behind was not beyond the first run: each is settled before the next.
    const { own, permit: _used, isLeft: _left, ...rest } = next;
    const isAnswered = own !== undefined && outcomes.has(own.operationId);
    // Whoever waits for what comes next takes the lease himself, and for whom nobody waits the schedule comes.
    if (!report.settled || !push.hasMore || isAnswered) return { ...report, outcomes };

    const lease = { fence: random.ulid(clock.now()), untilMs: next.lease.untilMs };
    const lane = await store.takeLease(next.lane, lease, clock.now());
    // Somebody was quicker: he goes on where we have stopped.
    if (lane === undefined) return { outcomes, settled: own === undefined };
    next = { ...rest, lane, lease, ...(own !== undefined && { own }) };
  }
}

/** One push of one lane: of the operations at the front of its journal that go together. */
class Push {
  readonly #deps: LaneDeps;
  readonly #command: PushCommand;
  #lane: Lane;
  #mirror: Mirror = EMPTY_MIRROR;
  #archived: Promise<boolean> | undefined;
  readonly #startedAtMs: number;
  readonly #attempts: Attempts;
  readonly #suspects = new Suspects();
  readonly #reports = new Map<string, Omit<SyncReport, 'stateRef'>>();
  /** What all operations together would lead to, and what the confirmed ones do lead to. */
  #planned: Applied = { mirror: EMPTY_MIRROR, changes: new Map() };
  #applied: Applied = this.#planned;
  #stateRef: string | undefined;
  #context: JsonObject | undefined;
  /** What the bot has confirmed to have forgotten, as `scope:/key`. */
  readonly #forgotten = new Set<string>();
  /** What is known of the session's dialog since. */
  #dialog: Settlement['dialog'];

  constructor(deps: LaneDeps, command: PushCommand) {
    this.#deps = deps;
    this.#command = command;
    this.#lane = command.lane;
    this.#startedAtMs = deps.clock.now();
    this.#attempts = new Attempts(command.telemetry);
  }

  /** Operations wait behind those that this push has looked at, and there is time for them. */
  get hasMore(): boolean {
    if (this.#command.linkOnly === true || this.#attempts.stopped !== undefined) return false;
    return this.#behind().length > 0 && this.#deps.clock.now() < this.#command.deadlineMs;
  }

  async run(): Promise<void> {
    if (this.#command.linkOnly === true || this.#openEntries().length === 0) return this.#returnPermit();
    const permit = await this.#permit();
    const operations = await this.#load(leadingRun(this.#openEntries()));
    const [first] = operations;
    await (first !== undefined && isDialog(first)
      ? this.#pushDialog(first, permit)
      : this.#pushRun(operations, permit));
    // Order within the session: nothing overtakes what could not be sent.
    if (this.#attempts.stopped === undefined) return;
    for (const operation of await this.#load(this.#behind())) this.#note(operation, this.#attempts.stopped);
  }

  async #pushRun(operations: readonly LoadedOperation[], permit: PermitAnswer): Promise<void> {
    const others = operations.filter((operation) => !isInject(operation));
    const injects = operations.filter(isInject);
    const isUsual = others.length === 0 && this.#lapsed(injects).length === 0;
    await (isUsual ? this.#pushVariables(injects, permit) : this.#pushAll(injects, others, permit));
  }

  /** The usual case: nothing but injected variables, which need not know what the mirror holds. */
  async #pushVariables(injects: readonly InjectOperation[], permit: PermitAnswer): Promise<void> {
    const nowMs = this.#deps.clock.now();
    const batches = this.#batchesOf(injects, nowMs);
    const toSend = batches.flatMap(({ operations }) => operations);
    const sending = this.#send(batches, permit, nowMs);
    sending.catch(() => undefined);
    // What the client waits for is on its way then; meanwhile the outbox is archived and the mirror made. Usually all leaves as one
    // request, and the mirror can be written already.
    await this.#deps.clock.turn();
    this.#archived = this.#archive();
    this.#mirror = await currentMirror(this.#deps, this.#lane);
    this.#planned = applyOperations(this.#mirror, toSend, nowMs);
    // Without a permit by now there will hardly be one.
    const isLikely = batches.length === 1 && permit.granted;
    const ahead = isLikely ? this.#writeMirror(this.#planned.mirror, toSend) : undefined;
    ahead?.catch(() => undefined);
    const unused = await sending;
    if (unused?.granted) await unused.permit.release();

    const confirmed = this.#attempts.confirmed().filter(isInject);
    const isAsPlanned = confirmed.length === toSend.length;
    this.#applied = isAsPlanned ? this.#planned : applyOperations(this.#mirror, confirmed, nowMs);
    if (confirmed.length === 0) return;
    this.#stateRef = await (isAsPlanned && ahead !== undefined
      ? ahead
      : this.#writeMirror(this.#applied.mirror, confirmed));
  }

  /** One change of a dialog. While the upstream works, the mirror that it leads to is made and written. */
  async #pushDialog(operation: DialogOperation, permit: PermitAnswer): Promise<void> {
    const { cognigy, clock } = this.#deps;
    const { deadlineMs, correlationId } = this.#command;
    const { entry, payload } = operation;
    const { sessionId, dialog, confirmedVersion } = this.#lane;
    const sentAtMs = clock.now();
    const known = beginsAnew(this.#lane, sentAtMs) ? undefined : dialog;
    const sending = cognigy.updateDialog(
      {
        sessionId,
        change: payload.change,
        ...(payload.ifMatch !== undefined && { ifMatch: payload.ifMatch }),
        ...(known !== undefined && { known, isOutdated: confirmedVersion > known.atVersion }),
        isUnknown: this.#isUnknown(operation),
        believed: () => believedDialog(this.#deps, this.#lane),
      },
      { deadlineMs, correlationId, priority: this.#priority, firstPermit: Promise.resolve(permit) },
    );
    sending.catch(() => undefined);
    await clock.turn();
    this.#archived = this.#archive();
    this.#mirror = await currentMirror(this.#deps, this.#lane);
    this.#planned = applyOperations(this.#mirror, [operation], sentAtMs);
    this.#applied = { mirror: this.#mirror, changes: new Map() };
    const ahead = permit.granted ? this.#writeMirror(this.#planned.mirror, [operation]) : undefined;
    ahead?.catch(() => undefined);

    const result = await sending;
    this.#attempts.count(result, clock.now() - sentAtMs);
    this.#note(operation, result);
    this.#attempts.heed(result);
    // A refusal adds to what is known; it makes nothing of it newer.
    const atVersion = result.kind === 'refused' ? (dialog?.atVersion ?? entry.version) : entry.version;
    if (result.dialog !== undefined) this.#dialog = { ...result.dialog, atVersion };
    if (result.kind !== 'confirmed') return;
    this.#applied = this.#planned;
    this.#stateRef = await (ahead ?? this.#writeMirror(this.#applied.mirror, [operation]));
  }

  /**
   * Injected values whose time is over, of operations that have been tried before. Nobody may know how that ended: the bot may
   * have them (SCENARIOS 9, 10).
   */
  #lapsed(injects: readonly InjectOperation[]): readonly Variable[] {
    const nowMs = this.#deps.clock.now();
    return injects
      .filter((operation) => this.#isUnknown(operation))
      .flatMap(({ payload }) => payload.variables.filter((variable) => isExpired(variable, nowMs)));
  }

  /** Syncs and expiries are among them: what the bot is to have follows from what it has, and from the mirror. */
  async #pushAll(
    injects: readonly InjectOperation[],
    others: readonly LoadedOperation[],
    permit: PermitAnswer,
  ): Promise<void> {
    const { clock, store, cognigy } = this.#deps;
    const nowMs = clock.now();
    this.#archived = this.#archive();
    const reading = currentMirror(this.#deps, this.#lane).then((mirror) => store.loadValues(this.#lane, mirror));
    reading.catch(() => undefined);
    const batches = this.#batchesOf(injects, nowMs);
    const toSend = batches.flatMap(({ operations }) => operations);
    const [expiry, ...redundant] = others.filter(({ payload }) => payload.kind === 'expire');
    for (const operation of redundant) this.#note(operation, { kind: 'needless' });
    const syncs = others.filter(({ payload }) => payload.kind === 'sync');
    // Only where something has expired the mirror must be known before anything is sent.
    const lapsed = this.#lapsed(injects);
    const hasExpired = expiry !== undefined || (this.#lane.nextExpiryMs ?? Number.POSITIVE_INFINITY) <= nowMs;
    const current =
      hasExpired || lapsed.length > 0 ? applyOperations(await reading, toSend, nowMs).mirror : EMPTY_MIRROR;
    const { byContext, byKey } = leavingOf(current, nowMs);

    const rewrites = syncs.length > 0 || byContext.some(({ via }) => via === 'sync');
    const rest = rewrites || expiry === undefined ? [] : byContext;
    const forgotten = [...byKey, ...rest];
    if (expiry !== undefined && byKey.length + byContext.length === 0) this.#note(expiry, { kind: 'needless' });
    const undone = undoing(lapsed, current, { nowMs, sent: toSend });
    const toForget = withForgotten(cognigy, batches, {
      leaving: [...keysToForget(forgotten), ...undone.forget],
      restored: undone.restore,
    });
    const unused = await this.#send(toForget, permit, nowMs, rewrites ? undefined : expiry);
    // Where a lapsed value may be in the bot still, nobody must take it for the bot's own: the next push undoes it.
    if (this.#attempts.hasRefused && lapsed.length > 0) this.#attempts.stop(NOT_UNDONE);
    if (this.#attempts.stopped !== undefined) this.#keepLapsed(injects, lapsed, this.#attempts.stopped);
    const before = reading.then((mirror) => this.#applyVariables(mirror, toSend, nowMs, { forgotten, expiry }));
    before.catch(() => undefined);

    const rewriting = others.filter((operation) => this.#attempts.resultOf(operation) === undefined);
    let written: { readonly stateRef: string } | undefined;
    if (rewriting.length === 0) {
      if (unused?.granted) await unused.permit.release();
    } else if (this.#attempts.stopped !== undefined) {
      for (const operation of rewriting) this.#note(operation, this.#attempts.stopped);
    } else {
      // The mirror is read while the bot's context is.
      written = await this.#rewrite(rewriting, before, unused);
    }
    await before;
    const confirmed = this.#attempts.confirmed();
    if (confirmed.length === 0) return;
    this.#stateRef = written?.stateRef ?? (await this.#writeMirror(this.#applied.mirror, confirmed));
  }

  /** What the confirmed injects, and what the bot has forgotten, make of the mirror: the merging starts from there. */
  #applyVariables(
    mirror: LoadedMirror,
    toSend: readonly InjectOperation[],
    nowMs: number,
    leaving: { readonly forgotten: readonly MirrorVariable[]; readonly expiry: LoadedOperation | undefined },
  ): LoadedMirror {
    const { forgotten, expiry } = leaving;
    this.#mirror = mirror;
    if (toSend.length === 0 && forgotten.length === 0) {
      this.#planned = { mirror, changes: new Map() };
      this.#applied = this.#planned;
      return mirror;
    }
    this.#planned = applyOperations(mirror, toSend, nowMs);
    this.#applied = applyOperations(mirror, this.#attempts.confirmed().filter(isInject), nowMs);
    // With a rewritten context the planning sees to it.
    if (expiry !== undefined && this.#attempts.resultOf(expiry)?.kind === 'confirmed') {
      this.#applied = withoutLeft(this.#applied, forgotten, expiry);
    }
    return loaded(this.#suspects.on(this.#applied.mirror));
  }

  #batchesOf(injects: readonly InjectOperation[], nowMs: number): readonly Batch[] {
    const { cognigy } = this.#deps;
    const { batches, expired } = planPush(injects, nowMs, {
      maxBytes: cognigy.capabilities.injectMaxBytes,
      bytesOf: (batch) => cognigy.injectBytes(requestOf(batch)),
    });
    for (const operation of expired) this.#note(operation, { kind: 'expired' });
    return batches;
  }

  #isUnknown({ entry }: LoadedOperation): boolean {
    return this.#command.isLeft === true || entry.version <= this.#lane.unknownVersion;
  }

  /**
   * What could not be sent has not been undone either: the operations stay. What of theirs has left will leave again, and must not
   * overtake what has left behind it (DESIGN I3): that stays too.
   */
  #keepLapsed(injects: readonly InjectOperation[], lapsed: readonly Variable[], result: Attempt['result']): void {
    let isBehind = false;
    for (const operation of injects) {
      const attempt = this.#attempts.resultOf(operation);
      const isLapsed = operation.payload.variables.some((variable) => lapsed.includes(variable));
      if (attempt?.kind === 'expired' && isLapsed) this.#note(operation, result);
      if (attempt?.kind !== 'confirmed') continue;
      isBehind ||= isLapsed;
      if (isBehind) this.#note(operation, { ...NOT_UNDONE, outcomeUnknown: true, ...sentOf(attempt) });
    }
  }

  /**
   * Rewrites the bot's whole context for these operations, and again without the rest where the upstream would not have them
   * together. Returns the mirror being written, where it is the right one.
   */
  async #rewrite(
    operations: readonly LoadedOperation[],
    before: Promise<LoadedMirror>,
    firstPermit: PermitAnswer | undefined,
    left: readonly LoadedVariable[] = [],
  ): Promise<{ readonly stateRef: string } | undefined> {
    const { cognigy, clock, context: rules } = this.#deps;
    const { deadlineMs, correlationId } = this.#command;
    const injects = this.#attempts.confirmed().filter(isInject);
    let plan: ContextPlan | undefined;
    let writing: Promise<string> | undefined;
    const sentAtMs = clock.now();
    const result = await cognigy.replaceContext(
      {
        sessionId: this.#lane.sessionId,
        merge: async (theirs) => {
          const mirror = await before.catch(() => undefined);
          // Nothing is sent; what went wrong is told below.
          if (mirror === undefined) return { kind: 'leave' };
          const earlier = plan;
          const nowMs = clock.now();
          plan = planContext({ ...rules, mirror, operations, theirs, nowMs, forgotten: this.#forgotten, left });
          // We have written it, and only did not hear so: what was decided then is what has happened.
          const isWritten = earlier?.decision.kind === 'put' && jsonEquals(theirs, earlier.decision.context);
          if (isWritten && plan.decision.kind === 'leave') plan = { ...earlier, decision: plan.decision };
          const { refusals, applied } = plan;
          const taken = operations.filter(({ entry }) => !refusals.has(entry.operationId));
          // While the upstream works.
          if (taken.length > 0) {
            writing = this.#writeMirror(applied.mirror, [...injects, ...taken]);
            writing.catch(() => undefined);
          }
          return plan.decision;
        },
      },
      {
        deadlineMs,
        correlationId,
        priority: this.#priority,
        ...(firstPermit !== undefined && { firstPermit: Promise.resolve(firstPermit) }),
      },
    );
    const mirror = await before;
    this.#attempts.count(result, clock.now() - sentAtMs);
    this.#attempts.heed(result);

    const refusals: ContextPlan['refusals'] = plan?.refusals ?? new Map();
    // Injects are in the mirror already; what they changed is remembered.
    const changes = new Map([...this.#applied.changes, ...(plan?.applied.changes ?? [])]);
    this.#planned = { mirror: plan?.applied.mirror ?? mirror, changes };
    const taken = operations.filter(({ entry }) => !refusals.has(entry.operationId));
    if (result.kind === 'refused' && result.code === 'upstream-rejected' && taken.length > 1) {
      this.#attempts.noteUnheard(result, taken);
      return this.#rewriteOneByOne(operations, mirror);
    }
    for (const operation of operations) {
      const refusal = refusals.get(operation.entry.operationId);
      // What an earlier attempt may have left in the bot has not been taken out: the operation stays until it has.
      const isUndone = result.kind === 'unavailable' && refusal?.code === 'expired-before-push';
      this.#note(operation, refusal === undefined || isUndone ? result : { kind: 'unfit', refusal, ...sentOf(result) });
    }
    if (result.kind !== 'confirmed' || plan === undefined || taken.length === 0) return undefined;
    this.#applied = { mirror: plan.applied.mirror, changes };
    // They were in what the merging started from.
    this.#suspects.clear();
    for (const [operationId, report] of plan.reports) this.#reports.set(operationId, report);
    this.#context = plan.context;
    return writing === undefined ? undefined : { stateRef: await writing };
  }

  async #rewriteOneByOne(operations: readonly LoadedOperation[], before: LoadedMirror): Promise<undefined> {
    let mirror = before;
    const changes = new Map(this.#applied.changes);
    for (const [index, operation] of operations.entries()) {
      if (this.#attempts.stopped === undefined) {
        // What a later one may have left there goes, and comes back with its own operation.
        const left = operations.slice(index + 1).flatMap((later) => this.#mayHaveLeft(later));
        await this.#rewrite([operation], Promise.resolve(loaded(this.#suspects.on(mirror))), undefined, left);
      } else this.#note(operation, this.#attempts.stopped);
      if (this.#attempts.resultOf(operation)?.kind !== 'confirmed') continue;
      mirror = loaded(this.#applied.mirror);
      for (const [operationId, each] of this.#applied.changes) changes.set(operationId, each);
    }
    this.#applied = { mirror, changes };
    return undefined;
  }

  /** What is to live for a time only of an operation that nobody knows the end of. */
  #mayHaveLeft(operation: LoadedOperation): readonly LoadedVariable[] {
    const mayBeThere = this.#isUnknown(operation) || this.#attempts.isUnheard(operation);
    return mayBeThere && isSync(operation) ? temporaryLeaves(operation, this.#deps.context.schema) : [];
  }

  /** Writes what an earlier settle has left in the lane to its own items; false when that did not succeed. */
  async #archive(): Promise<boolean> {
    try {
      const { lane } = this.#command;
      await Promise.all([this.#deps.store.archive(lane), queueEvents(this.#deps, lane)]);
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

  /** What waits behind the run that goes now. */
  #behind(): readonly JournalEntry[] {
    const open = this.#openEntries();
    return open.slice(leadingRun(open).length);
  }

  #load(entries: readonly JournalEntry[]): Promise<LoadedOperation[]> {
    const { own } = this.#command;
    return Promise.all(
      entries.map(async (entry) => ({
        entry,
        payload: (own?.operationId === entry.operationId && own.payload) || (await entry.payload()),
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
    const surface = firstSurfaceOf(leadingRun(this.#openEntries()));
    const answer = await cognigy.prepare({ deadlineMs, mayWait: true, priority: this.#priority, surface });
    if (answer.granted && clock.now() - askedAtMs >= WAIT_WORTH_A_LOOK_MS) {
      const lane = await store.readLane(this.#lane).catch(() => undefined);
      if (lane?.lease?.fence === this.#command.lease.fence) this.#lane = lane;
    }
    return answer;
  }

  /** Sends the batches in order; returns the permit where nothing was left to send with it. */
  async #send(
    batches: readonly Batch[],
    firstPermit: PermitAnswer,
    nowMs: number,
    expiry?: LoadedOperation,
  ): Promise<PermitAnswer | undefined> {
    const { cognigy, clock } = this.#deps;
    const { deadlineMs, correlationId } = this.#command;
    const queue = [...batches];
    let permit: PermitAnswer | undefined = firstPermit;
    for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
      const { variables, expired } = batch;
      const concerned: LoadedOperation[] = [...batch.operations];
      if (expired !== undefined && expiry !== undefined) concerned.push(expiry);
      const sentAtMs = clock.now();
      const result = await cognigy.inject(
        { sessionId: this.#lane.sessionId, ...requestOf(batch) },
        {
          deadlineMs,
          correlationId,
          priority: this.#priority,
          sendByMs: earliestExpiryMs(variables),
          ...(permit !== undefined && { firstPermit: Promise.resolve(permit) }),
        },
      );
      permit = undefined;
      this.#attempts.count(result, clock.now() - sentAtMs);

      if (result.kind === 'refused' && SPLIT_CODES.has(result.code) && concerned.length > 1) {
        this.#attempts.noteUnheard(result, concerned);
        queue.unshift(...splitBatch(batch, nowMs));
        continue;
      }
      for (const operation of concerned) {
        // An expiry may take several requests: what one of them has spoilt, the next one does not mend.
        const { kind } = this.#attempts.resultOf(operation) ?? result;
        if (kind === 'confirmed' || kind === result.kind) this.#note(operation, result);
      }
      if (result.kind === 'confirmed') {
        for (const { scope, key } of expired ?? []) this.#forgotten.add(mirrorId({ scope, path: pointerOf([key]) }));
      }
      this.#attempts.heed(result);
      if (this.#attempts.stopped === undefined) continue;
      // Order within the session: nothing overtakes what could not be sent.
      for (const rest of queue.splice(0))
        for (const operation of rest.operations) this.#note(operation, this.#attempts.stopped);
    }
    return permit;
  }

  #note(operation: LoadedOperation, result: Attempt['result']): void {
    const noted = this.#attempts.note(operation, result);
    if (noted.kind === 'refused' && (isUnknown({ result: noted }) || this.#isUnknown(operation))) {
      this.#suspect(operation, noted.code);
    }
  }

  /**
   * A refusal ends an operation as failed; by an answer that makes no sense, or by a try that nobody has heard of, the change may
   * have been made all the same. What was to live for a time only counts as over: it is no bot's, and the schedule takes it out.
   */
  #suspect(operation: LoadedOperation, code: RefusalCode): void {
    const { clock, context: rules } = this.#deps;
    const { entry } = operation;
    const ownOperationId = this.#command.own?.operationId;
    if (code === 'session-ended' || staysPending(entry, code, { ownOperationId, lane: this.#lane })) return;
    const about = { mirror: this.#planned.mirror, schema: rules.schema, nowMs: clock.now() };
    this.#suspects.add(temporaryOf(operation, about));
  }

  /**
   * Under a key of its own each time: one that was given up for another may still be on its way.
   * @param taken - the operations that take effect with this mirror
   */
  #writeMirror(mirror: Mirror, taken: readonly LoadedOperation[]): Promise<string> {
    const { store, clock, random, sessionTtlMs } = this.#deps;
    const atMs = clock.now();
    const neededUntilMs = Math.max(atMs + sessionTtlMs, latestExpiryMs(mirror));
    return store.writeMirror(this.#lane, mirror, {
      fence: random.ulid(atMs),
      keepUntilMs: neededUntilMs + HISTORY_KEPT_MS,
      atMs,
      since: taken.reduce((first, { entry }) => Math.min(first, entry.version), mirror.version),
    });
  }

  async #rememberSuspects(): Promise<void> {
    const remembered = this.#suspects.on(this.#applied.mirror);
    if (remembered === this.#applied.mirror) return;
    this.#applied = { ...this.#applied, mirror: remembered };
    this.#stateRef = await this.#writeMirror(remembered, this.#attempts.confirmed());
  }

  /** Records what became of every operation, in one conditional write. */
  async settle(): Promise<PushReport> {
    const { store, clock, random, sessionTtlMs, auditValues, context: rules } = this.#deps;
    const outboxArchived = await (this.#archived ?? this.#archive());
    const attempts = this.#attempts.inOrder();
    await this.#rememberSuspects();
    const nowMs = clock.now();
    // Where nothing had to leave, the mirror knows better than the lane when something has to: or the schedule would come for ever.
    const isMirrorRight = this.#stateRef !== undefined || attempts.some(({ result }) => result.kind === 'needless');
    const { settlement, outcomes } = settlementOf({
      lane: this.#lane,
      fence: this.#command.lease.fence,
      nowMs,
      attempts,
      ownOperationId: this.#command.own?.operationId,
      leftVersion: this.#command.isLeft ? leadingRun(this.#openEntries()).at(-1)?.version : 0,
      planned: this.#planned,
      applied: this.#applied,
      mirrorVersion: this.#mirror.version,
      stateRef: this.#stateRef,
      dialog: this.#dialog,
      hasMore: this.hasMore,
      nextExpiryMs: isMirrorRight ? nextExpiryMs(this.#applied.mirror, nowMs) : this.#lane.nextExpiryMs,
      reports: this.#reports,
      outboxArchived,
      retryAtMs: this.#attempts.retryAtMs,
      sessionTtlMs,
      isMasked: (path, value) => !auditValues || holdsPii(rules.schema, path, value),
      jitter: random.next(),
      newAuditId: () => random.ulid(nowMs),
    });
    const settling = store.settle(this.#lane, settlement);
    // On the wire together: to be counted takes nobody a round trip of its own (ADR 0015).
    this.#command.telemetry.operationsSettling(settlingOf(attempts, outcomes, this.#command.own?.operationId));
    if (outcomes.size > 0) this.#prompt();
    let settled = await settling;
    if (settled === 'moved-on') {
      settled = await store.settle(this.#lane, { ...settlement, dueAtMs: nowMs, isOtherwiseIdle: false });
    }
    if (settled === 'settled') this.#reportSettled([...outcomes.values()]);
    return {
      outcomes,
      settled: settled === 'settled',
      ...(this.#context !== undefined && { context: this.#shownContext(this.#context, clock.now()) }),
    };
  }

  /**
   * Beside the settle, which is over when the prompt arrives. No answer waits for it: where it gets lost, the schedule sees to it.
   * In a process that is frozen it fails late, and that is no news.
   */
  #prompt(): void {
    const { prompts, clock } = this.#deps;
    if (prompts === undefined) return;
    const startedAtMs = clock.now();
    const prompt = { kind: 'lane', session: this.#lane.key } as const;
    const sent = clock.turn().then(() => prompts.send([prompt], PROMPT_DELAY_SECONDS));
    sent.catch((error: unknown) => {
      if (clock.now() - startedAtMs < NEWS_MS) {
        this.#command.telemetry.log('warn', 'nobody was prompted to tell an outcome', {}, error);
      }
    });
  }

  /** It may have taken a while: what has expired on the way is not told (DESIGN I5). */
  #shownContext(context: JsonObject, nowMs: number): JsonObject {
    const { mirror } = this.#applied;
    const next = nextExpiryMs(mirror, nowMs);
    if (next === undefined || next > nowMs) return context;
    return withoutInternal(contextOf(visibleVariables(loaded(mirror), nowMs)));
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

function latestExpiryMs(mirror: Mirror): number {
  let latest = 0;
  for (const { expiresAtMs = 0 } of mirror.variables.values()) latest = Math.max(latest, expiresAtMs);
  return latest;
}

function sentOf({ attempts, upstreamStatus }: WriteResult): { attempts: number; upstreamStatus?: number } {
  return { attempts, ...(upstreamStatus !== undefined && { upstreamStatus }) };
}

/** Personal at the place itself, around it, or in it. */
function holdsPii({ ruleOf }: ContextRules['schema'], path: string, value: JsonValue): boolean {
  return ruleOf(tokensOf(path)).pii || leavesOf(value, path).some((leaf) => ruleOf(tokensOf(leaf.path)).pii);
}
