import { valueHash } from '../context/canonicalJson.ts';
import { type CrmEvent, occurrenceStamp } from '../context/crmEvents.ts';
import { isExpired } from '../context/expiry.ts';
import { hashOf, type Mirror, type MirrorVariable, mirrorId, pathOf } from '../context/mirror.ts';
import { type Variable, variableId } from '../context/variables.ts';
import type { Vault } from '../platform/vault.ts';
import { type LaneAnswer, runOperation, type TooLarge } from './lane.ts';
import { newOperation } from './newOperation.ts';
import type { BoundSession, CrmEventOutcome, CrmRecords, CrmSessionResult, Occurrence } from './ports/crm.ts';
import type { MeasuredFunction } from './ports/rollups.ts';
import type { Lane, OutcomeCode } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import type { LaneDeps } from './push.ts';
import { recordRefusal } from './recordRefusal.ts';
import { isAboutAccess } from './settlement.ts';
import { Places, severalAtATime } from './severalAtATime.ts';

export interface CrmDeps extends LaneDeps {
  readonly vault: Vault;
  readonly records: CrmRecords;
}

export interface CrmCommand {
  /** Name of the source that the event has come from. */
  readonly source: string;
  readonly event: CrmEvent;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export type CrmAnswer =
  | {
      readonly kind: 'done';
      readonly eventId: string;
      readonly outcome: CrmEventOutcome;
      readonly sessions: readonly CrmSessionResult[];
    }
  /** Some session's journal is full: the event is to come again. */
  | Busy
  /** Some session could not be served, and nothing is left of the attempt: the event is to come again. */
  | Failed
  /** It is never to come again: the upstream takes nothing as large. */
  | (TooLarge & { readonly eventId: string });

type Busy = Extract<LaneAnswer, { kind: 'busy' }>;

interface Failed {
  readonly kind: 'failed';
  readonly code: OutcomeCode;
}

/** By how much a source's clock may be ahead of ours. */
const AHEAD_MS = 300_000;
/** Stamps begin with a digit. */
const BEYOND_ALL = '~';
/** Sessions in work at a time: twice as many as requests leave at once (SPEC 3 "Rate"), so that the next are ready to go. */
const AT_A_TIME = 10;
/** Of these so many write to the table at a time: the first are not to wait for those who would only wait behind them. */
const COMMITTING_AT_A_TIME = 5;

/** Who a source is in the audit trail. */
export function crmClient(source: string): string {
  return `crm:${source}`;
}

/**
 * Puts what a CRM says of a record into every live session that is bound to it (SPEC 7 "In").
 *
 * ```text
 *   seen? late? ─────┬─▶ for each: live? changed? ─▶ lane (commit, push, settle) ─▶ note as applied, and as seen
 *   bound sessions ──┘
 * ```
 *
 * Noted at the end: an event that comes again after a crash takes the same way again, and finds by its idempotency key what is
 * done. The record remembers the last occurrence of each path, so that what comes late changes nothing; so does each lane, in its
 * commit, because of two events that are under way at once the later one may be the first to get there.
 * @throws {StoreError} when it could not be recorded everywhere: the event is to come again.
 */
export async function applyCrmEvent(deps: CrmDeps, command: CrmCommand): Promise<CrmAnswer> {
  const { records, clock, cognigy } = deps;
  const { source, event, telemetry } = command;
  const { eventId, identity, recordId } = event;
  const nowMs = clock.now();
  const variables = event.variables.map(({ ttlSeconds, ...variable }): Variable => {
    return { ...variable, ...(ttlSeconds !== undefined && { expiresAtMs: nowMs + ttlSeconds * 1_000 }) };
  });
  const bytes = cognigy.injectBytes({ variables });
  const maxBytes = cognigy.capabilities.injectMaxBytes;
  if (bytes > maxBytes) return { kind: 'too-large', eventId, bytes, maxBytes };

  const record = { source, recordId };
  const occurrence = { record, ...momentOf(event, nowMs), paths: variables.map(variableId) };
  const [seen, bound, paths] = await Promise.all([
    records.seen(source, identity, nowMs),
    records.boundSessions(record, nowMs),
    records.currentPaths(occurrence),
  ]);
  if (seen !== undefined) return { kind: 'done', eventId, outcome: 'duplicate', sessions: seen.sessions };
  const update = only({ variables, occurrence }, paths);
  const together = new Together(telemetry);
  const places = new Places(COMMITTING_AT_A_TIME);
  const results = await severalAtATime(AT_A_TIME, bound, (each) => {
    return new Addressee(deps, { ...command, telemetry: together.telemetry }, each, places).apply(update);
  }).finally(() => together.tell());

  const untaken = results.find((result) => result?.kind === 'busy' || result?.kind === 'failed');
  if (untaken !== undefined) return untaken;
  const sessions = results.flatMap((result) => (result?.kind === 'done' ? [result.result] : []));
  const isLate = variables.length > 0 && paths.length === 0;
  const outcome = outcomeOf(sessions, isLate);
  // Not before: what came to nothing is to come again, and must not be late then.
  await Promise.all([
    records.noteApplied(update.occurrence, clock.now()),
    records.noteSeen(source, identity, { outcome, sessions }, clock.now()),
  ]);
  return { kind: 'done', eventId, outcome, sessions };
}

/** What was stamped later than that was stamped by a clock that is far ahead: it must not silence its record until then. */
function momentOf({ occurredAtMs, eventId }: CrmEvent, nowMs: number): Pick<Occurrence, 'stamp' | 'horizon'> {
  const stamp = occurrenceStamp({ occurredAtMs, eventId });
  const horizon = occurrenceStamp({ occurredAtMs: nowMs + AHEAD_MS, eventId: '' });
  // Of two that are ahead the later one counts.
  return { stamp, horizon: stamp > horizon ? BEYOND_ALL : horizon };
}

function outcomeOf(sessions: readonly CrmSessionResult[], isLate: boolean): Exclude<CrmEventOutcome, 'duplicate'> {
  if (sessions.length === 0) return isLate ? 'stale-ignored' : 'no-live-session';
  return sessions.every(({ status }) => status === 'stale-ignored') ? 'stale-ignored' : 'applied';
}

/** What an event says, as far as nothing later is known. */
interface Update {
  readonly variables: readonly Variable[];
  readonly occurrence: Occurrence;
}

function only({ variables, occurrence }: Update, paths: readonly string[]): Update {
  const kept = variables.filter((variable) => paths.includes(variableId(variable)));
  return { variables: kept, occurrence: { ...occurrence, paths: kept.map(variableId) } };
}

/** `undefined`: the session is not there any more. */
type Applied = { readonly kind: 'done'; readonly result: CrmSessionResult } | Busy | Failed | undefined;

const UNCHANGED: CrmSessionResult = { operationId: null, status: 'unchanged', visibility: 'confirmed' };

/** One session that an event is for. */
class Addressee {
  readonly #deps: CrmDeps;
  readonly #command: CrmCommand;
  readonly #session: BoundSession;
  readonly #places: Places;

  constructor(deps: CrmDeps, command: CrmCommand, session: BoundSession, places: Places) {
    this.#deps = deps;
    this.#command = command;
    this.#session = session;
    this.#places = places;
  }

  async apply(update: Update): Promise<Applied> {
    const { store, clock } = this.#deps;
    const { sessionId } = this.#session;
    const lane = await store.readLane({ sessionId });
    if (!this.#isLive(lane)) {
      if (lane?.hasEnded === true) await this.#unbind();
      return undefined;
    }
    if (update.variables.length === 0) return this.#nothingLeft();
    const isEcho = lane !== undefined && (await this.#isUnchanged(lane, update.variables, clock.now()));
    if (isEcho && (await store.noteOccurrence(lane, update.occurrence))) return done(UNCHANGED);
    return this.#inject(update);
  }

  /** A session that nobody has written to is taken for live: the upstream knows. */
  #isLive(lane: Lane | undefined): boolean {
    const { clock, sessionTtlMs } = this.#deps;
    const { boundAtMs } = this.#session;
    if (lane?.hasEnded === true) return boundAtMs > lane.idleUntilMs;
    return clock.now() < Math.max(lane?.idleUntilMs ?? 0, boundAtMs + sessionTtlMs);
  }

  async #nothingLeft(): Promise<Applied> {
    if (this.#command.event.variables.length === 0) return done(UNCHANGED);
    const { source, correlationId, telemetry } = this.#command;
    await recordRefusal(this.#deps, {
      sessionId: this.#session.sessionId,
      operation: 'inject',
      client: crmClient(source),
      code: 'stale-event',
      pointers: [],
      correlationId,
      telemetry,
    });
    return done({ operationId: null, status: 'stale-ignored', visibility: 'none' });
  }

  /** Nothing is on its way, and the mirror says the same: the echo of what the CRM was told, or a change that was none. */
  async #isUnchanged(lane: Lane, variables: readonly Variable[], nowMs: number): Promise<boolean> {
    const isAtRest = lane.journal.length === lane.endedVersions.size && lane.idleUntilMs > nowMs;
    if (!isAtRest || lane.stateRef === undefined) return false;
    const stored = await this.#deps.store.readMirror(lane, lane.stateRef);
    if (stored === undefined) return false;
    // What came before that may be in the bot otherwise than the mirror has it.
    const isCertain = ({ version }: MirrorVariable) => version > lane.unknownVersion;
    return variables.every((variable) => holds(stored.mirror, variable, nowMs, isCertain));
  }

  async #inject(update: Update): Promise<Applied> {
    const { cognigy, clock, vault } = this.#deps;
    const { source, event, correlationId, deadlineMs, telemetry } = this.#command;
    const { sessionId } = this.#session;
    const permit = cognigy.prepare({ deadlineMs, mayWait: true });
    await clock.turn();
    const leave = await this.#places.take();
    // What the event is told by alone: the same one has one effect, whatever else it says the second time.
    const key = vault.fingerprint(['crm', source, event.identity]);
    const answer = await runOperation(this.#deps, {
      sessionId,
      deadlineMs,
      telemetry,
      permit,
      operation: newOperation(this.#deps, {
        kind: 'inject',
        client: crmClient(source),
        correlationId,
        fingerprint: key,
        idempotencyHash: key,
        occurrence: update.occurrence,
        payload: {
          kind: 'inject',
          variables: update.variables,
          crm: { source, recordId: event.recordId, eventId: event.eventId },
        },
      }),
      // What goes out now goes first.
      onCommitted: () => void clock.turn().then(leave),
    }).finally(leave);
    if (answer.kind === 'superseded') {
      const left = update.occurrence.paths.filter((path) => !answer.paths.includes(path));
      return left.length === 0 ? this.#nothingLeft() : this.#inject(only(update, left));
    }
    if (answer.kind === 'settled' && answer.outcome.kind === 'refused') {
      const { code } = answer.outcome;
      if (isAboutAccess(code)) {
        // What occurred before it may come instead.
        await this.#deps.store.withdrawOccurrence(sessionId, update.occurrence);
        return { kind: 'failed', code };
      }
      if (code === 'session-ended') await this.#unbind();
    }
    return answer.kind === 'busy' ? answer : done(resultOf(answer));
  }

  #unbind(): Promise<void> {
    const { source, event } = this.#command;
    return this.#deps.records.unbind({ source, recordId: event.recordId }, this.#session.sessionId);
  }
}

/** What is said of the operations of many sessions, told at once: to be counted takes a write each time. */
class Together {
  readonly #telemetry: Telemetry;
  readonly #confirmed = new Map<MeasuredFunction, number>();
  #successes = 0;
  #failures = 0;

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** For the work on one session. */
  get telemetry(): Telemetry {
    const telemetry = this.#telemetry;
    return {
      count: (metric, value) => telemetry.count(metric, value),
      duration: (metric, ms) => telemetry.duration(metric, ms),
      log: (level, message, fields, error) => telemetry.log(level, message, fields, error),
      operationsSettling: ({ confirmed, own }) => {
        for (const [name, count] of confirmed) this.#confirmed.set(name, (this.#confirmed.get(name) ?? 0) + count);
        if (own?.isSuccess === true) this.#successes += 1;
        if (own?.isSuccess === false) this.#failures += 1;
      },
    };
  }

  tell(): void {
    const name = 'inject';
    const nothing = new Map<MeasuredFunction, number>();
    if (this.#failures > 0) {
      this.#telemetry.operationsSettling({
        confirmed: nothing,
        own: { name, isSuccess: false, times: this.#failures },
      });
    }
    const own = this.#successes > 0 && { own: { name, isSuccess: true, times: this.#successes } as const };
    this.#telemetry.operationsSettling({ confirmed: this.#confirmed, ...own });
  }
}

function done(result: CrmSessionResult): Applied {
  return { kind: 'done', result };
}

/** The bot has it already, and has it for long enough: at least half as long as it would have it then. */
function holds(
  mirror: Mirror,
  variable: Variable,
  nowMs: number,
  isCertain: (held: MirrorVariable) => boolean,
): boolean {
  const held = mirror.variables.get(mirrorId({ scope: variable.scope, path: pathOf(variable) }));
  if (held === undefined || !isCertain(held) || isExpired(held, nowMs)) return false;
  if (hashOf(held) !== valueHash(variable.value)) return false;
  const { expiresAtMs } = variable;
  if (held.expiresAtMs === undefined) return true;
  if (expiresAtMs === undefined) return false;
  return held.expiresAtMs - nowMs >= (expiresAtMs - nowMs) / 2;
}

function resultOf(answer: Exclude<LaneAnswer, { kind: 'busy' | 'superseded' }>): CrmSessionResult {
  switch (answer.kind) {
    case 'settled': {
      const { outcome } = answer;
      const { operationId } = outcome;
      if (outcome.kind === 'confirmed') return { operationId, status: 'injected', visibility: 'confirmed' };
      return { operationId, status: 'refused', visibility: 'none', code: outcome.code };
    }
    case 'pending':
      return { operationId: answer.operationId, status: 'pending', visibility: 'queued' };
    case 'erased':
      return { operationId: null, status: 'refused', visibility: 'none', code: 'session-erased' };
    // The same event is under way elsewhere.
    case 'in-progress':
    case 'mismatch':
      return { operationId: null, status: 'pending', visibility: 'queued' };
  }
}
