import { valueHash } from '../context/canonicalJson.ts';
import type { JsonObject, JsonValue } from '../context/json.ts';
import { leavesOf, valueAt } from '../context/leaves.ts';
import { pathOf } from '../context/mirror.ts';
import { tokensOf } from '../context/pointer.ts';
import type { PlanRefusal } from './contextPlan.ts';
import { type Applied, type LoadedOperation, variablesOf } from './plan.ts';
import type { DialogResult, RefusalCode } from './ports/cognigy.ts';
import type {
  AuditChange,
  AuditPayload,
  JournalEntry,
  Lane,
  NewAnswer,
  NewAuditEntry,
  OperationPayload,
  Outcome,
  OutcomeCode,
  Settlement,
  SyncReport,
} from './ports/sessionStore.ts';

/** What came of one operation's attempt. */
export interface Attempt {
  readonly operation: LoadedOperation;
  readonly result:
    | DialogResult
    /** Nothing of it was left to send. */
    | { readonly kind: 'expired' }
    /** There was nothing for it to do. */
    | { readonly kind: 'needless' }
    /** What it would have led to is not allowed; the bot was asked, and not changed. */
    | {
        readonly kind: 'unfit';
        readonly refusal: PlanRefusal;
        readonly attempts: number;
        readonly upstreamStatus?: number;
      };
}

export interface SettlementInput {
  readonly lane: Lane;
  readonly fence: string;
  readonly nowMs: number;
  /** Every operation that was looked at, in commit order. */
  readonly attempts: readonly Attempt[];
  /** The operation whose client is waiting for this very push. */
  readonly ownOperationId?: string | undefined;
  /** Up to this version somebody else may have sent what he has not settled; 0 where nobody has. */
  readonly leftVersion?: number | undefined;
  /** What all operations together would have led to. */
  readonly planned: Applied;
  /** What the confirmed ones do lead to, starting from this version. */
  readonly applied: Applied;
  readonly mirrorVersion: number;
  readonly stateRef?: string | undefined;
  /** When the next variable of the mirror that holds now expires, epoch milliseconds. */
  readonly nextExpiryMs?: number | undefined;
  /** What is known of the dialog since, where anything is. */
  readonly dialog?: Settlement['dialog'];
  /** Operations wait behind those that were looked at, and are looked at next. */
  readonly hasMore?: boolean;
  /** What each confirmed sync has done. */
  readonly reports: ReadonlyMap<string, Omit<SyncReport, 'stateRef'>>;
  readonly outboxArchived: boolean;
  /** The upstream's or the budget's own word on when to come again, epoch milliseconds. */
  readonly retryAtMs?: number | undefined;
  readonly sessionTtlMs: number;
  /** True for values that the audit trail must not hold. */
  readonly isMasked: (path: string, value: JsonValue) => boolean;
  /** Uniform in [0, 1). */
  readonly jitter: number;
  readonly newAuditId: () => string;
}

export interface Settled {
  readonly settlement: Settlement;
  /** How each operation ended that has ended now, by operation id. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

/** After this the schedule moves settled work out of the lane, unless the next operation has done so before. */
const ARCHIVE_AFTER_MS = 60_000;
const DEFERRAL_BASE_MS = 5_000;
const DEFERRAL_CAP_MS = 15 * 60_000;

/** Answers that say nothing about an operation, only about our access or the way there: what is already pending stays so. */
const ACCESS_CODES: ReadonlySet<OutcomeCode> = new Set<RefusalCode>([
  'upstream-unauthorized',
  'upstream-forbidden',
  'upstream-unavailable',
  'upstream-bad-response',
]);

/** True for answers about our access to the upstream rather than about what was sent. */
export function isAboutAccess(code: OutcomeCode): boolean {
  return ACCESS_CODES.has(code);
}

/** Decides what the lane looks like after a push, and what everybody is told: pure, so that each rule can be tested alone. */
export function settlementOf(input: SettlementInput): Settled {
  const { lane, nowMs, attempts, leftVersion = 0 } = input;
  const outcomes = new Map<string, Outcome>();
  const audit: NewAuditEntry[] = [];
  const answers: NewAnswer[] = [];
  const releasedKeys: string[] = [];
  const ended = new Set(lane.endedVersions);
  const pending: Attempt[] = [];
  // Later ones must know which values may be in the bot although nobody has said so (SCENARIOS 10, 22).
  let { deferredVersion, unknownVersion } = lane;
  let versionBefore = input.mirrorVersion;

  for (const attempt of attempts) {
    const { entry } = attempt.operation;
    const outcome = outcomeOf(attempt, input);
    if (attempt.result.kind === 'needless') {
      ended.add(entry.version);
      continue;
    }
    const isLeft = outcome === undefined && entry.version <= leftVersion;
    if (isLeft || isUnknown(attempt)) unknownVersion = Math.max(unknownVersion, entry.version);
    if (outcome === undefined) {
      pending.push(attempt);
    } else {
      ended.add(entry.version);
      outcomes.set(entry.operationId, outcome);
      if (entry.kind !== 'expire') keepAnswer(attempt, outcome, input.ownOperationId, answers, releasedKeys);
    }
    // Every attempt has its entry (DESIGN I6); to have waited for a permit once more is none.
    const isNoNews = outcome === undefined && triesOf(attempt) === 0 && entry.version <= lane.deferredVersion;
    if (!isNoNews) {
      const payload = auditOf(attempt, outcome, versionBefore, input);
      audit.push({ operationId: entry.operationId, atMs: nowMs, payload });
    }
    if (attempt.result.kind === 'confirmed') versionBefore = Math.max(versionBefore, entry.version);
    if (outcome === undefined) deferredVersion = Math.max(deferredVersion, entry.version);
  }

  const { settledPrefix, confirmedVersion } = takePrefix(lane, ended);
  const sessionEnded = [...outcomes.values()].some(
    (outcome) => outcome.kind === 'refused' && outcome.code === 'session-ended',
  );
  const wasTried = pending.some((attempt) => triesOf(attempt) > 0 && !isHeldBack(attempt));
  // Nothing was looked at: what waits in the journal goes on waiting as it did.
  const isUntouched = attempts.length === 0 && lane.journal.length > settledPrefix;
  const deferrals = pending.length === 0 && !isUntouched ? 0 : lane.deferrals + (wasTried ? 1 : 0);
  // What is pending lies in the journal.
  const hasWork =
    audit.length > 0 ||
    lane.hasRefusals ||
    (lane.hasOutbox && !input.outboxArchived) ||
    settledPrefix < lane.journal.length;
  const nextExpiryMs = sessionEnded ? undefined : nextLookMs(input, attempts);
  const settledDueAtMs = isUntouched || input.hasMore === true ? (lane.dueAtMs ?? nowMs) : archiveAt(lane, nowMs);
  // While the upstream cannot be reached, what has expired cannot leave either.
  const workAtMs = pending.length > 0 ? deferUntil(input, wasTried ? deferrals : 1) : undefined;
  const dueAtMs = workAtMs ?? Math.min(...(hasWork ? [settledDueAtMs] : []), nextExpiryMs ?? Number.POSITIVE_INFINITY);
  const isRenewed = attempts.some(
    ({ operation: { entry }, result }) => result.kind === 'confirmed' && entry.kind !== 'expire',
  );
  return {
    outcomes,
    settlement: {
      fence: input.fence,
      nowMs,
      outboxArchived: input.outboxArchived,
      settledPrefix,
      confirmedVersion,
      endedVersions: [...ended],
      audit,
      answers,
      releasedKeys,
      deferrals,
      deferredVersion,
      ...(unknownVersion > lane.unknownVersion && { unknownVersion }),
      ...(input.dialog !== undefined && { dialog: input.dialog }),
      sessionEnded: sessionEnded || (lane.hasEnded && input.stateRef === undefined),
      isOtherwiseIdle: !hasWork,
      nextExpiryMs,
      ...(input.stateRef !== undefined && { stateRef: input.stateRef }),
      // What the bridge does by itself keeps no session alive.
      ...(isRenewed && { idleUntilMs: nowMs + input.sessionTtlMs }),
      // The bot's session is gone, and the mirror with it (SCENARIOS 20).
      ...(sessionEnded && { idleUntilMs: nowMs }),
      ...(Number.isFinite(dueAtMs) && { dueAtMs }),
    },
  };
}

/** Nobody may know whether the bot has got it: no answer has come, or one that makes no sense. */
export function isUnknown({ result }: Pick<Attempt, 'result'>): boolean {
  if (result.kind !== 'unavailable' && result.kind !== 'refused') return false;
  const isSenseless = result.kind === 'refused' && result.code === 'upstream-bad-response' && result.attempts > 0;
  return isSenseless || result.outcomeUnknown === true;
}

/** When something expires next; later where the upstream has just refused to have something expired taken out. */
function nextLookMs({ nextExpiryMs, nowMs }: SettlementInput, attempts: readonly Attempt[]): number | undefined {
  const wasRefused = attempts.some(
    ({ operation: { entry }, result }) => entry.kind === 'expire' && result.kind === 'refused',
  );
  if (nextExpiryMs === undefined || !wasRefused) return nextExpiryMs;
  return Math.max(nextExpiryMs, nowMs + DEFERRAL_CAP_MS);
}

/** Settled versions leave the journal from its front; those behind an open one wait for it. Takes the prefix out of `ended`. */
function takePrefix(lane: Lane, ended: Set<number>): { settledPrefix: number; confirmedVersion: number } {
  let { confirmedVersion } = lane;
  let settledPrefix = 0;
  for (const { version } of lane.journal) {
    if (!ended.delete(version)) break;
    confirmedVersion = version;
    settledPrefix += 1;
  }
  return { settledPrefix, confirmedVersion };
}

function triesOf({ result }: Attempt): number {
  return result.kind === 'expired' || result.kind === 'needless' ? 0 : result.attempts;
}

/** All that was asked was answered well, and then our own budget was used up: no trouble that only time will mend. */
function isHeldBack({ result }: Attempt): boolean {
  return result.kind === 'unavailable' && result.reason === 'budget' && result.upstreamStatus === 200;
}

/** How the operation ended, or `undefined` while it stays pending. */
function outcomeOf({ operation: { entry }, result }: Attempt, input: SettlementInput): Outcome | undefined {
  const { operationId, auditId, version } = entry;
  switch (result.kind) {
    case 'unavailable':
    case 'needless':
      return undefined;
    case 'unfit':
      return { kind: 'refused', operationId, auditId, ...result.refusal };
    case 'expired':
      return { kind: 'refused', operationId, auditId, code: 'expired-before-push' };
    case 'confirmed': {
      const report = input.reports.get(operationId);
      const stateRef = input.stateRef !== undefined && { stateRef: input.stateRef };
      return {
        kind: 'confirmed',
        operationId,
        auditId,
        version,
        variablesInjected: input.applied.changes.get(operationId)?.length ?? 0,
        latencyMs: input.nowMs - entry.acceptedAtMs,
        result: result.result,
        ...(report !== undefined && { sync: { ...report, ...stateRef } }),
        ...etagOf(result),
      };
    }
    case 'refused': {
      if (staysPending(entry, result.code, input)) return undefined;
      const paths = result.paths === undefined ? {} : { paths: result.paths };
      return { kind: 'refused', operationId, auditId, code: result.code, ...paths, ...etagOf(result) };
    }
  }
}

/** Others' operations may have been accepted as pending already; whether access comes back is not for us to say. */
export function staysPending(
  { operationId, version }: Pick<JournalEntry, 'operationId' | 'version'>,
  code: RefusalCode,
  { ownOperationId, lane }: Pick<SettlementInput, 'ownOperationId' | 'lane'>,
): boolean {
  const isFresh = operationId === ownOperationId && version > lane.deferredVersion;
  return isAboutAccess(code) && !isFresh;
}

function etagOf({ kind, dialog, currentEtag }: DialogResult): { etag?: string } {
  const etag = kind === 'confirmed' ? dialog?.etag : currentEtag;
  return etag === undefined ? {} : { etag };
}

/** An answer is kept for whoever may ask: a repeat of the key, or the client of an operation that was pushed for it. */
function keepAnswer(
  { operation: { entry } }: Attempt,
  outcome: Outcome,
  ownOperationId: string | undefined,
  answers: NewAnswer[],
  releasedKeys: string[],
): void {
  const { idempotencyHash, operationId, fingerprint } = entry;
  if (outcome.kind === 'refused' && isAboutAccess(outcome.code)) {
    // It failed without an effect that lasts: the key may be used again. Who waits for this operation is told all the same.
    if (idempotencyHash === undefined) return;
    releasedKeys.push(idempotencyHash);
    answers.push({ outcomeId: operationId, fingerprint, outcome });
    return;
  }
  if (idempotencyHash === undefined && operationId === ownOperationId) return;
  answers.push({ outcomeId: idempotencyHash ?? operationId, fingerprint, outcome });
}

function auditOf(
  attempt: Attempt,
  outcome: Outcome | undefined,
  versionBefore: number,
  input: SettlementInput,
): AuditPayload {
  const { operation, result } = attempt;
  const { entry } = operation;
  const changes = changesOf(operation, input);
  const expired = expiredOf(operation, changes);
  const code = outcome?.kind === 'refused' ? outcome.code : pendingCode(result);
  return {
    // One id for the entry that tells how the operation ended; the attempts before it have ids of their own.
    auditId: outcome === undefined ? input.newAuditId() : entry.auditId,
    operation: entry.kind,
    client: entry.client,
    correlationId: entry.correlationId,
    outcome: outcome === undefined ? 'pending' : auditOutcome(outcome),
    changes,
    ...nextStepOf(operation),
    ...(outcome !== undefined && crmOf(operation)),
    ...(expired.length > 0 && { expired }),
    versionBefore,
    // An injection may have been confirmed before a sync that was committed earlier: the mirror's version never goes back.
    versionAfter: result.kind === 'confirmed' ? Math.max(versionBefore, entry.version) : versionBefore,
    attempts: triesOf(attempt),
    latencyMs: input.nowMs - entry.acceptedAtMs,
    ...(code !== undefined && { code }),
    ...('upstreamStatus' in result && result.upstreamStatus !== undefined && { upstreamStatus: result.upstreamStatus }),
  };
}

function nextStepOf({ payload }: LoadedOperation): { nextStep?: string } {
  const nextStep = payload.kind === 'dialog-state' ? payload.change.transition?.nextStep : undefined;
  return nextStep === undefined ? {} : { nextStep };
}

function crmOf({ payload }: LoadedOperation): { crm?: JsonObject } {
  return payload.kind === 'inject' && payload.crm !== undefined ? { crm: payload.crm } : {};
}

/** Injected variables that had expired before they could be pushed. */
function expiredOf({ payload }: LoadedOperation, changes: AuditPayload['changes']): AuditPayload['expired'] & object {
  if (payload.kind !== 'inject') return [];
  const changed = new Set(changes.map(({ path, scope }) => `${scope}:${path}`));
  return payload.variables
    .map((variable) => ({ path: pathOf(variable), scope: variable.scope }))
    .filter(({ path, scope }) => !changed.has(`${scope}:${path}`));
}

/** What an operation changed, or was to change. */
function changesOf({ entry, payload }: LoadedOperation, input: SettlementInput): AuditPayload['changes'] {
  const { operationId } = entry;
  const known = input.applied.changes.get(operationId) ?? input.planned.changes.get(operationId);
  const changes = known ?? (payload.kind === 'sync' ? intended(payload.data) : []);
  return changes.map((change) => {
    const value = change.after === null ? undefined : valueIn(payload, change);
    if (value === undefined || input.isMasked(change.path, value)) return change;
    // What the operation said need not be what it led to.
    return valueHash(value) === change.after ? { ...change, value } : change;
  });
}

/** What a sync says that was never compared with anything. */
function intended(data: JsonObject): AuditChange[] {
  return leavesOf(data).map(({ path, value }) => {
    return { path, scope: 'session', before: null, after: value === null ? null : valueHash(value) };
  });
}

function valueIn(payload: OperationPayload, { path, scope }: AuditChange): JsonValue | undefined {
  if (payload.kind === 'sync') return valueAt(payload.data, tokensOf(path));
  return variablesOf(payload).find((variable) => variable.scope === scope && pathOf(variable) === path)?.value;
}

function pendingCode(result: Attempt['result']): string | undefined {
  if (result.kind === 'unavailable') return result.reason;
  return result.kind === 'refused' ? result.code : undefined;
}

/** `refused`: somebody said no. `failed`: it could not be done. */
function auditOutcome(outcome: Outcome): AuditPayload['outcome'] {
  if (outcome.kind === 'confirmed') return 'confirmed';
  return isAboutAccess(outcome.code) ? 'failed' : 'refused';
}

/** Work that is only to be archived does not move the lane in the due index, if the schedule comes soon anyway. */
function archiveAt({ dueAtMs }: Lane, nowMs: number): number {
  const latestMs = nowMs + ARCHIVE_AFTER_MS;
  return dueAtMs !== undefined && dueAtMs > nowMs && dueAtMs <= latestMs ? dueAtMs : latestMs;
}

function deferUntil({ nowMs, jitter, retryAtMs = 0 }: SettlementInput, deferrals: number): number {
  const backoffMs = Math.min(DEFERRAL_CAP_MS, DEFERRAL_BASE_MS * 2 ** Math.min(deferrals - 1, 10));
  return Math.round(Math.max(nowMs + backoffMs * (0.5 + jitter / 2), retryAtMs));
}
