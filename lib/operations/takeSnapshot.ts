import type { Coercion } from '../context/coercion.ts';
import { withoutExpired } from '../context/hiding.ts';
import { EMPTY_MIRROR, hashOf, type LoadedMirror, type LoadedVariable } from '../context/mirror.ts';
import { pointerOf } from '../context/pointer.ts';
import type { SchemaRules } from '../context/schemaRules.ts';
import type { SessionId } from '../context/sessionId.ts';
import {
  type SnapshotFilter,
  type SnapshotVariable,
  showVariables,
  type TellingVariable,
  variablesOfMirror,
} from '../context/snapshot.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { currentMirror } from './currentMirror.ts';
import { unlessErased } from './history.ts';
import { loaded } from './loaded.ts';
import { tellablePaths } from './outboundEvents.ts';
import { applyOperations, type InjectOperation, isInject } from './plan.ts';
import type { CognigyReads, PermitAnswer, ReadResult, RefusalCode, SnapshotScope } from './ports/cognigy.ts';
import type { EventPlace, EventQueue, OutboundEvent } from './ports/eventQueue.ts';
import type { AuditRecord, Lane, OperationKind, SessionStore } from './ports/sessionStore.ts';
import type { SnapshotStats, SnapshotStatsStore } from './ports/snapshotStats.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { isAboutAccess } from './settlement.ts';
import { metricsOf, type SnapshotMetrics, withRead } from './snapshotMetrics.ts';

export interface SnapshotDeps {
  readonly store: SessionStore;
  readonly cognigy: CognigyReads;
  readonly events: EventQueue;
  readonly stats: SnapshotStatsStore;
  readonly clock: Clock;
  readonly random: Random;
  /** What of a context is personal. */
  readonly schema: Pick<SchemaRules, 'ruleOf'>;
  /** Every scope, weakest first. */
  readonly precedence: readonly SnapshotScope[];
}

export interface SnapshotCommand {
  readonly sessionId: SessionId;
  readonly filter: SnapshotFilter<SnapshotScope>;
  readonly coercion: Coercion;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export interface Snapshot {
  /** Epoch milliseconds. */
  readonly takenAtMs: number;
  /** `mirror` where the bot could not be read, or not at one moment. */
  readonly freshness: 'live' | 'mirror';
  readonly variables: Readonly<Record<string, SnapshotVariable<SnapshotScope>>>;
  readonly metrics: SnapshotMetrics;
  /** Newest first. */
  readonly auditTrail: readonly AuditRecord[];
}

/** `upstream-timeout`: its last answer did not come in time. */
export type UnreadableCode = RefusalCode | 'upstream-timeout';

export type SnapshotAnswer =
  | { readonly kind: 'taken'; readonly snapshot: Snapshot }
  /** The upstream says that there is no such session. */
  | { readonly kind: 'ended' }
  /** The upstream cannot be read, and there is no mirror either. `retryAtMs`: not before then (epoch milliseconds). */
  | { readonly kind: 'unreadable'; readonly code: UnreadableCode; readonly retryAtMs?: number }
  /** More than an answer can hold. */
  | { readonly kind: 'too-large' }
  /** The session kept changing while it was read, and there is no mirror yet. */
  | { readonly kind: 'busy' };

const RECENT_AUDIT = 5;
/** By then a snapshot has been taken, and its event says what it is about. */
const DUE_AFTER_MS = 30_000;
/** A function may answer 6 MB; these are UTF-8 bytes of the variables alone. */
const ANSWER_MAX_BYTES = 5_000_000;
/** So many characters take no more bytes than an answer can hold, however they are written. */
const PLAINLY_SMALL = 500_000;
/** Kinds of operations that put variables, each as a whole. */
const CARRIES_VARIABLES: ReadonlySet<OperationKind> = new Set(['inject', 'webhook']);
/** Reads of one snapshot, while operations of ours come in between its pages. */
const MAX_ROUNDS = 3;
/** For somebody who is pushing to be done before it is read again, milliseconds. */
const QUIET_LOOK_MS = 50;
const QUIET_LOOKS = 10;

/**
 * What the bot has right now, at one moment, and without what has expired (SPEC 2 "snapshot", ADR 0014).
 *
 * ```text
 *   permit ─┬─▶ read, page by page ─┬─ one page, or nobody wrote ──▶ live ──┬─▶ answer
 *   lane ───┘   mirror, audit, ─────┤                                       │    event's paths, metrics: sent, not waited for
 *               event               ├─ somebody wrote meanwhile ─┐          │
 *                 ▲                 │                            │          │
 *                 └─────────────────┼────── at most twice ◄──────┴─▶ mirror─┤
 *                                   └─ cannot be read ─────────────▶ mirror─┘
 * ```
 *
 * The event is durable before the answer: it is queued while the upstream works, and due a moment later; what it is about is
 * put into it when that is known, and like the metrics the client does not wait for that.
 *
 * @throws {StoreError} when the lane or the mirror cannot be read: what has expired could not be told from the rest.
 */
export async function takeSnapshot(deps: SnapshotDeps, command: SnapshotCommand): Promise<SnapshotAnswer> {
  const announcement = new Announcement(deps, command);
  let answer: SnapshotAnswer | undefined;
  try {
    answer = await take(deps, command, announcement);
    return answer;
  } finally {
    // There is nothing to tell of.
    if (answer?.kind !== 'taken') await announcement.withdraw();
  }
}

async function take(deps: SnapshotDeps, command: SnapshotCommand, announcement: Announcement): Promise<SnapshotAnswer> {
  const { clock, store } = deps;
  // What the first page has to wait for, and on the wire together; what it has not comes when that page has been asked for.
  const permit = deps.cognigy.prepare({ deadlineMs: command.deadlineMs, mayWait: true });
  const lane = store.readLane({ sessionId: command.sessionId });
  const first = await bothOrRelease(lane, permit);
  const beside = { announcement, stats: clock.turn().then(() => readStats(deps, command)) };
  const read = await readBot(deps, command, first, beside);
  if (read.kind === 'live') return taken(deps, command, { ...read, freshness: 'live' }, beside);
  if (read.kind === 'failed' && read.result.kind === 'too-large') return read.result;
  if (read.kind === 'failed' && read.result.kind === 'refused' && read.result.code === 'session-ended') {
    return { kind: 'ended' };
  }
  // As it is now: the read may have taken its time.
  const believed = await believe(deps, await store.readLane({ sessionId: command.sessionId }));
  const nowMs = clock.now();
  if (!hasMirror(believed.lane, nowMs)) return withoutMirror(read);
  const variables = show(deps, command, variablesOfMirror(believed.mirror, nowMs), 'mirror');
  return taken(deps, command, { believed, variables, takenAtMs: nowMs, freshness: 'mirror' }, beside);
}

function show(
  { precedence }: SnapshotDeps,
  { filter, coercion }: SnapshotCommand,
  variables: readonly TellingVariable<SnapshotScope>[],
  freshness: Snapshot['freshness'],
): Snapshot['variables'] {
  return showVariables(variables, { filter, coercion, precedence, isTyped: freshness === 'mirror' });
}

/** What the bridge knows of a session; the lane is absent where there is none, or none any more. */
interface Believed {
  readonly lane: Lane | undefined;
  /** With what has expired and not left the bot. */
  readonly mirror: LoadedMirror;
  /** The same, with what has been accepted since and may be in the bot already. */
  readonly expected: LoadedMirror;
  readonly audit: readonly AuditRecord[];
}

/** What a live read says for the metrics. */
interface BotReading {
  readonly latencyMs: number;
  readonly retrieved: number;
  readonly pages: number;
  readonly characters: number;
}

type BotRead =
  | {
      readonly kind: 'live';
      readonly believed: Believed;
      readonly variables: Snapshot['variables'];
      readonly takenAtMs: number;
      readonly read: BotReading;
    }
  | {
      readonly kind: 'failed';
      readonly result: Exclude<ReadResult, { kind: 'read' }>;
    }
  /** Its pages were of different moments, each time. */
  | { readonly kind: 'torn' };

/** Reads the bot at one moment. The lane is read before the first page leaves: a later look would not see who came in between. */
async function readBot(
  deps: SnapshotDeps,
  command: SnapshotCommand,
  [first, permit]: readonly [Lane | undefined, PermitAnswer],
  { stats, announcement }: Beside,
): Promise<BotRead> {
  const { store, cognigy, clock } = deps;
  const { sessionId, filter, deadlineMs, correlationId } = command;
  let lane = first;
  let expectedPages = stats.then(({ seen }) => seen?.pages ?? 1);
  for (let round = 1; ; round += 1) {
    const believing = believe(deps, lane);
    believing.catch(() => undefined);
    const startedMs = clock.now();
    const isBusy = isUnderWay(lane, startedMs);
    const reading = cognigy.readVariables(
      { sessionId, ...filter, expectedPages },
      { deadlineMs, correlationId, ...(round === 1 && { firstPermit: Promise.resolve(permit) }) },
    );
    reading.catch(() => undefined);
    // What the client waits for is on its way then.
    await clock.turn();
    announcement.make(lane);
    const result = await reading;
    const takenAtMs = clock.now();
    note(command, result, takenAtMs - startedMs);
    if (result.kind !== 'read') return { kind: 'failed', result };
    const believed = await believing;
    const variables = withoutExpired(result.variables, believed.expected, takenAtMs);
    // Nothing to compare with: one page is of one moment, and no mirror had a say in it.
    const isWhole = result.pages === 1 && variables === result.variables;
    const looking = isWhole ? Promise.resolve(lane) : store.readLane({ sessionId });
    looking.catch(() => undefined);
    // While the table answers.
    const shown = show(deps, command, variables, 'live');
    const after = await looking;
    if (isWhole || (!isBusy && isAsBefore(lane, after))) {
      const { pages, characters } = result;
      const read = { latencyMs: takenAtMs - startedMs, retrieved: result.variables.length, pages, characters };
      return { kind: 'live', believed, variables: shown, takenAtMs, read };
    }
    if (round === MAX_ROUNDS) return { kind: 'torn' };
    expectedPages = Promise.resolve(result.pages);
    lane = await quietLane(deps, after, command);
  }
}

/** The permit goes back when there is no lane to go by. */
async function bothOrRelease<Other>(
  other: Promise<Other>,
  asked: Promise<PermitAnswer>,
): Promise<readonly [Other, PermitAnswer]> {
  try {
    return [await other, await asked];
  } catch (error) {
    const permit = await asked;
    if (permit.granted) await permit.permit.release();
    throw error;
  }
}

async function believe({ store, clock }: SnapshotDeps, lane: Lane | undefined): Promise<Believed> {
  const nothing = { lane: undefined, mirror: EMPTY_MIRROR, expected: EMPTY_MIRROR, audit: [] };
  if (lane === undefined) return nothing;
  const found = await unlessErased(store, lane, async () => {
    const [mirror, pending, audit] = await Promise.all([
      currentMirror({ store, clock }, lane).then((stored) => store.loadValues(lane, stored)),
      pendingInjects(lane),
      store.readRecentAudit(lane, { nowMs: clock.now(), limit: RECENT_AUDIT }),
    ]);
    return { lane, mirror, expected: pending.reduce(expecting, mirror), audit };
  });
  return found ?? nothing;
}

/**
 * What the bot may show while an operation is on its way: its variables, and as long as it has not got there those that they replace.
 * Also what has expired meanwhile: at the beginning of time nothing has.
 */
function expecting(mirror: LoadedMirror, operation: InjectOperation): LoadedMirror {
  const { variables } = loaded(applyOperations(mirror, [operation], 0).mirror);
  const replaced = [...mirror.variables].flatMap(([id, before]): [string, LoadedVariable][] => {
    const now = variables.get(id);
    return now === undefined || hashOf(now) === hashOf(before) ? [] : [[`${id} before ${now.version}`, before]];
  });
  return { ...mirror, variables: new Map([...variables, ...replaced]) };
}

/** Accepted and not settled: how far they have come, nobody may know. */
async function pendingInjects({ journal, endedVersions }: Lane): Promise<readonly InjectOperation[]> {
  const open = journal.filter(({ kind, version }) => CARRIES_VARIABLES.has(kind) && !endedVersions.has(version));
  const operations = await Promise.all(open.map(async (entry) => ({ entry, payload: await entry.payload() })));
  return operations.filter(isInject);
}

/** Somebody holds the lease, and may be sending. Whose lease is over sends nothing any more. */
function isUnderWay(lane: Lane | undefined, nowMs: number): boolean {
  return lane?.lease !== undefined && lane.lease.untilMs > nowMs;
}

/** Has no operation of ours come, begun or been tried in between? A try need not end any: it may have been in vain, or not been heard of. */
function isAsBefore(before: Lane | undefined, after: Lane | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    before.version === after.version &&
    before.lease?.fence === after.lease?.fence &&
    before.settledFence === after.settledFence &&
    before.erasedVersion === after.erasedVersion
  );
}

/** The lane when nobody is at work in it, or as it is after a while. */
async function quietLane(
  { store, clock }: SnapshotDeps,
  lane: Lane | undefined,
  { sessionId, deadlineMs }: SnapshotCommand,
): Promise<Lane | undefined> {
  let now = lane;
  for (let look = 0; look < QUIET_LOOKS && isUnderWay(now, clock.now()); look += 1) {
    if (clock.now() + QUIET_LOOK_MS >= deadlineMs) break;
    await clock.sleep(QUIET_LOOK_MS);
    now = await store.readLane({ sessionId });
  }
  return now;
}

function note({ telemetry }: SnapshotCommand, result: ReadResult, latencyMs: number): void {
  telemetry.count('UpstreamRequests', result.attempts);
  if (result.attempts > 0) telemetry.duration('UpstreamLatency', latencyMs);
  if (result.throttled !== undefined) telemetry.count('RateLimited', result.throttled);
  if (result.kind === 'refused' && isAboutAccess(result.code)) telemetry.count('UpstreamAccessDenied');
}

/** A session that is idle, has ended, or has confirmed nothing yet, has no mirror to show. */
function hasMirror(lane: Lane | undefined, nowMs: number): boolean {
  return lane?.stateRef !== undefined && !lane.hasEnded && lane.idleUntilMs > nowMs;
}

function withoutMirror(read: Exclude<BotRead, { kind: 'live' }>): SnapshotAnswer {
  if (read.kind === 'torn') return { kind: 'busy' };
  const { result } = read;
  if (result.kind === 'too-large') return result;
  if (result.kind === 'refused') return { kind: 'unreadable', code: result.code };
  const { reason, retryAtMs } = result;
  const code = reason === 'timeout' ? 'upstream-timeout' : 'upstream-unavailable';
  return { kind: 'unreadable', code, ...(retryAtMs !== undefined && { retryAtMs }) };
}

interface Taken {
  readonly believed: Believed;
  readonly variables: Snapshot['variables'];
  readonly takenAtMs: number;
  readonly freshness: 'live' | 'mirror';
  /** Only of what was read from the bot. */
  readonly read?: BotReading;
}

/** What goes on beside the read. */
interface Beside {
  readonly stats: Promise<KnownStats>;
  readonly announcement: Announcement;
}

async function taken(
  deps: SnapshotDeps,
  command: SnapshotCommand,
  { takenAtMs, freshness, believed, variables, read }: Taken,
  beside: Beside,
): Promise<SnapshotAnswer> {
  if ((read === undefined || read.characters > PLAINLY_SMALL) && isTooLarge(variables)) return { kind: 'too-large' };
  const stats = await beside.stats;
  const next = read === undefined ? stats.seen : withRead(stats.seen, read);
  await beside.announcement.complete(Object.keys(variables));
  if (next !== undefined && next !== stats.seen && stats.isKnown) {
    const change = { seen: stats.seen, next, nowMs: takenAtMs };
    // Not waited for: one sample lost is no harm. And not begun before the answer is on its way.
    const adding = deps.clock.turn().then(() => deps.stats.add(command.sessionId, change));
    void orLog(command, 'snapshot metrics were not kept', adding);
  }
  const snapshot = { takenAtMs, freshness, variables, metrics: metricsOf(next), auditTrail: believed.audit };
  return { kind: 'taken', snapshot };
}

interface KnownStats {
  readonly seen: SnapshotStats | undefined;
  /** False where the store could not say: then there is nothing to put something in the place of. */
  readonly isKnown: boolean;
}

async function readStats({ stats }: SnapshotDeps, command: SnapshotCommand): Promise<KnownStats> {
  try {
    return { seen: await stats.read(command.sessionId), isKnown: true };
  } catch (error) {
    command.telemetry.log('warn', 'snapshot metrics were not read', {}, error);
    return { seen: undefined, isKnown: false };
  }
}

function isTooLarge(variables: Snapshot['variables']): boolean {
  return Buffer.byteLength(JSON.stringify(variables), 'utf8') > ANSWER_MAX_BYTES;
}

/** The event that tells of a snapshot: durable before it is known what it is about. */
class Announcement {
  readonly #deps: SnapshotDeps;
  readonly #command: SnapshotCommand;
  #made: { readonly event: OutboundEvent; readonly place: EventPlace; readonly queued: Promise<void> } | undefined;

  constructor(deps: SnapshotDeps, command: SnapshotCommand) {
    this.#deps = deps;
    this.#command = command;
  }

  /** Queues the event, once, while the upstream works. */
  make(lane: Lane | undefined): void {
    if (this.#made !== undefined) return;
    const { events, random, clock } = this.#deps;
    const { sessionId } = this.#command;
    const atMs = clock.now();
    const event: OutboundEvent = {
      type: 'variable_snapshot',
      timestamp: new Date(atMs).toISOString(),
      data: {
        sessionId,
        event: 'variable_snapshot',
        operationId: random.ulid(atMs),
        version: lane?.version ?? 0,
        paths: [],
      },
    };
    const place = { eventId: random.ulid(atMs), dueAtMs: atMs + DUE_AFTER_MS, lane };
    this.#made = { event, place, queued: this.#orLog(events.enqueue(event, place)) };
  }

  /** Puts into the event what it is about; comes back as soon as the event itself is durable. */
  async complete(names: readonly string[]): Promise<void> {
    if (this.#made === undefined) return;
    const { event, place, queued } = this.#made;
    await queued;
    void this.#orLog(
      this.#deps.clock.turn().then(() => {
        const paths = names.map((name) => pointerOf([name]));
        const data = { ...event.data, ...tellablePaths(this.#deps.schema, paths) };
        return this.#deps.events.complete({ ...event, data }, place);
      }),
    );
  }

  /** There is nothing to tell of. */
  async withdraw(): Promise<void> {
    if (this.#made === undefined) return;
    const { event, place, queued } = this.#made;
    await queued;
    await this.#orLog(this.#deps.events.withdraw(event, place));
  }

  #orLog(work: Promise<void>): Promise<void> {
    return orLog(this.#command, 'an event was not queued', work);
  }
}

/** What goes wrong beside the answer does not become the answer. */
async function orLog({ telemetry }: SnapshotCommand, message: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    telemetry.log('warn', message, {}, error);
  }
}
