import { pathOf } from '../context/mirror.ts';
import type { Applied, LoadedOperation } from './plan.ts';
import type { InjectResult, RefusalCode } from './ports/cognigy.ts';
import type {
  AuditPayload,
  Lane,
  NewAnswer,
  NewAuditEntry,
  Outcome,
  OutcomeCode,
  Settlement,
} from './ports/sessionStore.ts';

/** What came of one operation's attempt. `expired`: nothing of it was left to send. */
export interface Attempt {
  readonly operation: LoadedOperation;
  readonly result: InjectResult | { readonly kind: 'expired' };
}

export interface SettlementInput {
  readonly lane: Lane;
  readonly fence: string;
  readonly nowMs: number;
  /** Every operation that was looked at, in commit order. */
  readonly attempts: readonly Attempt[];
  /** The operation whose client is waiting for this very push. */
  readonly ownOperationId?: string | undefined;
  /** What all operations together would have led to. */
  readonly planned: Applied;
  /** What the confirmed ones do lead to, starting from this version. */
  readonly applied: Applied;
  readonly mirrorVersion: number;
  readonly stateRef?: string | undefined;
  readonly outboxArchived: boolean;
  /** The upstream's or the budget's own word on when to come again, epoch milliseconds. */
  readonly retryAtMs?: number | undefined;
  readonly sessionTtlMs: number;
  readonly auditValues: boolean;
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
  const { lane, nowMs, attempts } = input;
  const outcomes = new Map<string, Outcome>();
  const audit: NewAuditEntry[] = [];
  const answers: NewAnswer[] = [];
  const releasedKeys: string[] = [];
  const ended = new Set(lane.endedVersions);
  const pending: Attempt[] = [];
  let { deferredVersion } = lane;
  let versionBefore = input.mirrorVersion;

  for (const attempt of attempts) {
    const { entry } = attempt.operation;
    const outcome = outcomeOf(attempt, input);
    if (outcome === undefined) {
      pending.push(attempt);
    } else {
      ended.add(entry.version);
      outcomes.set(entry.operationId, outcome);
      keepAnswer(attempt, outcome, input.ownOperationId, answers, releasedKeys);
    }
    // Every attempt has its entry (DESIGN I6); to have waited for a permit once more is none.
    const isNoNews = outcome === undefined && triesOf(attempt) === 0 && entry.version <= lane.deferredVersion;
    if (!isNoNews) {
      const payload = auditOf(attempt, outcome, versionBefore, input);
      audit.push({ operationId: entry.operationId, atMs: nowMs, payload });
    }
    if (attempt.result.kind === 'confirmed') versionBefore = entry.version;
    if (outcome === undefined) deferredVersion = Math.max(deferredVersion, entry.version);
  }

  const { settledPrefix, confirmedVersion } = takePrefix(lane, ended);
  const sessionEnded = [...outcomes.values()].some(
    (outcome) => outcome.kind === 'refused' && outcome.code === 'session-ended',
  );
  const wasTried = pending.some((attempt) => triesOf(attempt) > 0);
  // Nothing was looked at: what waits in the journal goes on waiting as it did.
  const isUntouched = attempts.length === 0 && lane.journal.length > settledPrefix;
  const deferrals = pending.length === 0 && !isUntouched ? 0 : lane.deferrals + (wasTried ? 1 : 0);
  const carriesWork =
    audit.length > 0 ||
    lane.hasRefusals ||
    (lane.hasOutbox && !input.outboxArchived) ||
    settledPrefix < lane.journal.length;
  const settledDueAtMs = isUntouched ? (lane.dueAtMs ?? nowMs) : archiveAt(lane, nowMs);
  const dueAtMs = pending.length > 0 ? deferUntil(input, wasTried ? deferrals : 1) : settledDueAtMs;
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
      sessionEnded: sessionEnded || (lane.hasEnded && input.stateRef === undefined),
      ...(input.stateRef !== undefined && { stateRef: input.stateRef, idleUntilMs: nowMs + input.sessionTtlMs }),
      // The bot's session is gone, and the mirror with it (SCENARIOS 20).
      ...(sessionEnded && { idleUntilMs: nowMs }),
      ...((pending.length > 0 || carriesWork) && { dueAtMs }),
    },
  };
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
  return result.kind === 'expired' ? 0 : result.attempts;
}

/** How the operation ended, or `undefined` while it stays pending. */
function outcomeOf({ operation: { entry }, result }: Attempt, input: SettlementInput): Outcome | undefined {
  const { operationId, auditId, version } = entry;
  switch (result.kind) {
    case 'unavailable':
      return undefined;
    case 'expired':
      return { kind: 'refused', operationId, auditId, code: 'expired-before-push' };
    case 'confirmed':
      return {
        kind: 'confirmed',
        operationId,
        auditId,
        version,
        variablesInjected: input.applied.changes.get(operationId)?.length ?? 0,
        latencyMs: input.nowMs - entry.acceptedAtMs,
        result: result.result,
      };
    case 'refused': {
      const isFresh = operationId === input.ownOperationId && version > input.lane.deferredVersion;
      // Others' operations may have been accepted as pending already; whether access comes back is not for us to say.
      if (isAboutAccess(result.code) && !isFresh) return undefined;
      const paths = result.paths === undefined ? {} : { paths: result.paths };
      return { kind: 'refused', operationId, auditId, code: result.code, ...paths };
    }
  }
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
  const changed = new Set(changes.map(({ path, scope }) => `${scope}:${path}`));
  const expired = operation.payload.variables
    .map((variable) => ({ path: pathOf(variable), scope: variable.scope }))
    .filter(({ path, scope }) => !changed.has(`${scope}:${path}`));
  const code = outcome?.kind === 'refused' ? outcome.code : pendingCode(result);
  return {
    // One id for the entry that tells how the operation ended; the attempts before it have ids of their own.
    auditId: outcome === undefined ? input.newAuditId() : entry.auditId,
    operation: entry.kind,
    client: entry.client,
    correlationId: entry.correlationId,
    outcome: outcome === undefined ? 'pending' : auditOutcome(outcome),
    changes,
    ...(expired.length > 0 && { expired }),
    versionBefore,
    versionAfter: result.kind === 'confirmed' ? entry.version : versionBefore,
    attempts: triesOf(attempt),
    latencyMs: input.nowMs - entry.acceptedAtMs,
    ...(code !== undefined && { code }),
    ...(result.kind !== 'expired' && result.upstreamStatus !== undefined && { upstreamStatus: result.upstreamStatus }),
  };
}

/** What an operation changed, or was to change. */
function changesOf({ entry, payload }: LoadedOperation, input: SettlementInput): AuditPayload['changes'] {
  const { operationId } = entry;
  const changes = input.applied.changes.get(operationId) ?? input.planned.changes.get(operationId) ?? [];
  if (!input.auditValues) return changes;
  const values = new Map(
    payload.variables.map((variable) => [`${variable.scope}:${pathOf(variable)}`, variable.value]),
  );
  return changes.map((change) => ({ ...change, value: values.get(`${change.scope}:${change.path}`) }));
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
