import type { ChainEntry } from '../../context/auditChain.ts';
import type { DialogChange } from '../../context/dialogState.ts';
import type { JsonObject } from '../../context/json.ts';
import type { LoadedMirror, Mirror } from '../../context/mirror.ts';
import type { Pruned } from '../../context/pruning.ts';
import type { SessionId } from '../../context/sessionId.ts';
import type { MergeConflict } from '../../context/threeWayMerge.ts';
import type { Scope, Variable } from '../../context/variables.ts';
import type { Violation } from '../../context/violation.ts';
import type { KnownDialog, RefusalCode } from './cognigy.ts';
import type { Occurrence } from './crm.ts';

/** The store could not do its work; nothing is known to have been written. Answered as 503 or 504 (SPEC 2). */
export class StoreError extends Error {
  readonly code: 'store-unavailable' | 'store-timeout';

  constructor(code: 'store-unavailable' | 'store-timeout', cause?: unknown) {
    super(code === 'store-timeout' ? 'the store did not answer in time' : 'the store could not be reached', { cause });
    this.name = 'StoreError';
    this.code = code;
  }
}

/** What is journaled: enough to push it later without the client. */
export type OperationPayload = InjectPayload | WebhookPayload | SyncPayload | DialogPayload | ExpirePayload;

export type OperationKind = OperationPayload['kind'];

export interface InjectPayload {
  readonly kind: 'inject';
  readonly variables: readonly Variable[];
  /** Free-form data for the outbound event. */
  readonly crm?: JsonObject;
}

/** What derives from a message to the bot. */
export interface WebhookPayload {
  readonly kind: 'webhook';
  /** Of the session, without an expiry. */
  readonly variables: readonly Variable[];
}

export interface DialogPayload {
  readonly kind: 'dialog-state';
  readonly change: DialogChange;
  /** The entity tag that the client insists on. */
  readonly ifMatch?: string;
}

export interface SyncPayload {
  readonly kind: 'sync';
  /** A JSON Merge Patch (RFC 7396) of the context. */
  readonly data: JsonObject;
  /** When what lies at these JSON Pointers expires, epoch milliseconds. */
  readonly expiries: Readonly<Record<string, number>>;
  /** When leaves expire of which neither `expiries` nor the schema says anything. Absent = never. */
  readonly defaultExpiresAtMs?: number;
}

/** The bridge's own: whatever has expired leaves the bot. What that is, is known when it is pushed. */
export interface ExpirePayload {
  readonly kind: 'expire';
}

/** How an operation ended: what its client is told, now and whenever it asks again with the same idempotency key. */
export type Outcome =
  | {
      readonly kind: 'confirmed';
      readonly operationId: string;
      readonly auditId: string;
      readonly version: number;
      readonly variablesInjected: number;
      /** Milliseconds from acceptance to confirmation. */
      readonly latencyMs: number;
      /** The upstream's answer. */
      readonly result: JsonObject;
      /** What a sync has done. */
      readonly sync?: SyncReport;
      /** The dialog's entity tag, where the upstream said it. */
      readonly etag?: string;
    }
  | {
      readonly kind: 'refused';
      readonly operationId: string;
      readonly auditId: string;
      readonly code: OutcomeCode;
      /** JSON Pointers of what is in dispute. */
      readonly paths?: readonly string[];
      /** What is wrong with the context that the operation would have led to. */
      readonly violations?: readonly Violation[];
      /** How large that context would have been, in UTF-8 bytes. */
      readonly bytes?: number;
      /** The entity tag that the dialog has instead, where the upstream said it. */
      readonly etag?: string;
    };

/** What a sync did beside what it was asked to. */
export interface SyncReport {
  /** The mirror it led to; the context is read from there. */
  readonly stateRef?: string;
  /** `mirror` where the bot's context could not be read. */
  readonly freshness: 'live' | 'mirror';
  /** UTF-8 bytes of the context's JSON, as sent. */
  readonly contextSizeBytes: number;
  readonly pruned: readonly Pruned[];
  /** JSON Pointers of what had expired and has left the bot, or never reached it. */
  readonly expired: readonly string[];
  readonly conflicts: readonly MergeConflict[];
  readonly warnings: readonly SyncWarning[];
}

export interface SyncWarning {
  readonly code: 'context-nearly-full' | 'schema-violation' | 'ttl-without-value';
  readonly message: string;
  readonly pointer?: string;
}

/** Why an accepted operation came to nothing. */
export type OutcomeCode =
  | RefusalCode
  /** Every value had expired before it could be pushed. */
  | 'expired-before-push'
  /** What the operation would have led to is not what the tenant's schema allows. */
  | 'validation-failed'
  /** It would be larger than the bot takes, whatever is pruned. */
  | 'context-too-large'
  /** The session was erased before the operation was pushed. */
  | 'session-erased';

/** An operation before the lane has given it its version. */
export interface NewOperation {
  readonly operationId: string;
  readonly auditId: string;
  readonly kind: OperationKind;
  readonly acceptedAtMs: number;
  /** Name of the client that asked for it. */
  readonly client: string;
  readonly correlationId: string;
  /** Present when the client sent an idempotency key: its keyed hash, bound to the client. */
  readonly idempotencyHash?: string;
  /** Keyed hash of kind and canonical body: two requests are the same iff these are. */
  readonly fingerprint: string;
  readonly payload: OperationPayload;
  /** Whose session it is, where that is known: the raw id, which is kept sealed. */
  readonly userId?: string;
  /** When what it says occurred in a CRM: it may be committed only while nothing later is known of any of its paths. */
  readonly occurrence?: Occurrence;
}

/** An operation in the lane's journal: accepted, in commit order, not yet settled. */
export interface JournalEntry extends Omit<NewOperation, 'payload' | 'userId' | 'occurrence'> {
  readonly version: number;
  /** Loads what is to be pushed (from the lane itself, or from its own items where it is large). */
  readonly payload: () => Promise<OperationPayload>;
}

/** Exclusive right to push and settle a lane until `untilMs`. `fence` is unique, so a late settle by an old holder fails. */
export interface Lease {
  readonly fence: string;
  readonly untilMs: number;
}

/**
 * The fence of a lease whose holder an erasure has fenced out. Until its end he may go on sending what has been erased; of what is
 * in the journal since, nobody has sent anything.
 */
export const NOBODY = '';

/** What the audit trail says about one attempt (SPEC 6). Stored sealed. */
export interface AuditPayload {
  readonly auditId: string;
  readonly operation: OperationKind | 'erase';
  readonly client: string;
  readonly correlationId: string;
  readonly outcome: 'confirmed' | 'pending' | 'refused' | 'failed';
  /** Problem code, where the outcome is not `confirmed`. */
  readonly code?: string;
  /** What changed; where the outcome is not `confirmed`, what was to change. */
  readonly changes: readonly AuditChange[];
  /** Where a dialog was to go on. */
  readonly nextStep?: string;
  /** Variables that had expired before they could be pushed. */
  readonly expired?: readonly { readonly path: string; readonly scope: Scope }[];
  /** Absent for a request that was refused before it became an operation. */
  readonly versionBefore?: number;
  readonly versionAfter?: number;
  /** JSON Pointers into a request that was refused before it became an operation. */
  readonly pointers?: readonly string[];
  /** What the operation's client said for the outbound event. Not shown with the trail: it may be anything. */
  readonly crm?: JsonObject;
  readonly upstreamStatus?: number;
  readonly attempts: number;
  readonly latencyMs: number;
}

export interface AuditChange {
  readonly path: string;
  readonly scope: Scope;
  readonly before: string | null;
  readonly after: string | null;
  /** Why, where it is not what the operation asked for. */
  readonly cause?: 'bot' | 'default' | 'pruned' | 'expired' | 'overtaken';
  /** Only where the tenant asked for values in the audit trail (`AUDIT_VALUES`). */
  readonly value?: unknown;
}

/** An audit entry that is to be linked into the chain by the next settle. */
export interface NewAuditEntry {
  readonly operationId: string;
  readonly atMs: number;
  readonly payload: AuditPayload;
}

/** A settled operation's answer, kept until the idempotency window is over. */
export interface NewAnswer {
  /** Idempotency hash, or the operation's id where there is none. */
  readonly outcomeId: string;
  readonly fingerprint: string;
  readonly outcome: Outcome;
}

/** One session's lane as read at one moment. */
export interface Lane {
  /** What the session is stored under: a keyed hash. */
  readonly key: string;
  readonly version: number;
  /** Every operation up to this version is settled. */
  readonly confirmedVersion: number;
  readonly journal: readonly JournalEntry[];
  /** Versions beyond `confirmedVersion` that are settled all the same. */
  readonly endedVersions: ReadonlySet<number>;
  readonly lease?: Lease;
  /** The fence of whoever has settled last: each settle has another one. */
  readonly settledFence?: string;
  /** Points to the current mirror; absent before the first confirmed operation. */
  readonly stateRef?: string;
  /** Epoch milliseconds after which the session counts as gone. */
  readonly idleUntilMs: number;
  /** The upstream has said that the session does not exist any more, and nothing was confirmed since. */
  readonly hasEnded: boolean;
  /** When the schedule will look at the lane, epoch milliseconds. */
  readonly dueAtMs?: number;
  /** How often in a row a push has been put off. */
  readonly deferrals: number;
  /** Operations up to this version have been told they are pending. */
  readonly deferredVersion: number;
  /** When the next variable of the mirror expires, epoch milliseconds. */
  readonly nextExpiryMs?: number;
  /** Of operations up to this version nobody may know whether the bot has got them; 0 where that is known of all. */
  readonly unknownVersion: number;
  /** Operations up to this version, and all that came of them, have been erased; 0 where nothing has been. */
  readonly erasedVersion: number;
  /** The upstream's id, unsealed. */
  readonly sessionId: SessionId;
  /** Keyed hash of the user's id, where a message has told it; the id itself is kept sealed. */
  readonly userKey?: string;
  /** What is known of the session's dialog, and the version with which it was learned. */
  readonly dialog?: KnownDialog & { readonly atVersion: number };
  /** True when the lane holds settled work that is not archived yet. */
  readonly hasOutbox: boolean;
  /** True when requests were refused that are not in the audit chain yet; the next settle links them. */
  readonly hasRefusals: boolean;
}

/** How far a lane has come: all that those need who wait for somebody else to push. */
export type LaneProgress = Pick<
  Lane,
  'confirmedVersion' | 'endedVersions' | 'deferredVersion' | 'erasedVersion' | 'lease'
>;

export type CommitResult =
  | { readonly kind: 'committed'; readonly lane: Lane; readonly version: number; readonly holdsLease: boolean }
  /** The idempotency key has been used before. */
  | { readonly kind: 'repeated' }
  /** Of these paths something later is known already; nothing was committed. */
  | { readonly kind: 'superseded'; readonly paths: readonly string[] }
  /** The journal is full; or the session has taken as many idempotency keys as it can until `untilMs`. */
  | { readonly kind: 'busy'; readonly untilMs?: number };

export type PriorOutcome =
  | { readonly kind: 'running'; readonly entry: JournalEntry }
  | { readonly kind: 'settled'; readonly fingerprint: string; readonly outcome: Outcome }
  /** The session has been erased since. */
  | { readonly kind: 'erased' }
  | { readonly kind: 'unknown' };

export interface Settlement {
  readonly fence: string;
  readonly nowMs: number;
  /** True when {@link SessionStore.archive} has written the lane's outbox; otherwise the lane goes on carrying it. */
  readonly outboxArchived: boolean;
  /** How many entries leave the front of the journal. */
  readonly settledPrefix: number;
  /** Every operation up to this version is settled now. */
  readonly confirmedVersion: number;
  /** Versions behind the prefix that are settled although an older one is not. */
  readonly endedVersions: readonly number[];
  /** Audit entries to link, in this order. */
  readonly audit: readonly NewAuditEntry[];
  readonly answers: readonly NewAnswer[];
  /** Idempotency hashes that may be used again: their operation failed without any effect. */
  readonly releasedKeys: readonly string[];
  /** The new mirror (from {@link SessionStore.writeMirror}), where one was confirmed. */
  readonly stateRef?: string;
  /** New end of the idle period, epoch milliseconds; unchanged where absent. */
  readonly idleUntilMs?: number;
  /** The upstream says that the session does not exist any more. */
  readonly sessionEnded: boolean;
  readonly deferrals: number;
  readonly deferredVersion: number;
  readonly unknownVersion?: number;
  /** What is known of the dialog now; unchanged where absent. */
  readonly dialog?: KnownDialog & { readonly atVersion: number };
  /** When the schedule should look at the lane again, epoch milliseconds. Absent = when nothing is left to do. */
  readonly dueAtMs?: number;
  /** True where only an expiry to come makes the lane due: what has been committed since must not wait for that. */
  readonly isOtherwiseIdle: boolean;
  /** When the next variable of the mirror expires, epoch milliseconds. */
  readonly nextExpiryMs?: number | undefined;
}

/** A session's erasure: one audit entry, and the end of everything else. */
export interface Erasure {
  readonly nowMs: number;
  readonly entry: NewAuditEntry;
}

/** `moved-on`: nothing was left to do when the lane was read, but something is now; settle again with a `dueAtMs`. */
export type SettleResult = 'settled' | 'fenced' | 'moved-on';

/**
 * What it takes to change sessions. One item per session (the lane) serialises; all else is immutable.
 * Every method may throw {@link StoreError}.
 */
export interface LaneStore {
  /** Appends an operation to the lane: one conditional write that never conflicts with other writers (DESIGN: commit). */
  commit(command: {
    readonly sessionId: SessionId;
    readonly operation: NewOperation;
    readonly lease: Lease;
    readonly dueAtMs: number;
  }): Promise<CommitResult>;
  /**
   * Notes an occurrence that changes nothing in the lane as it was read: what occurred before it, and comes later, changes nothing
   * either. False when the lane has moved on since.
   */
  noteOccurrence(lane: Lane, occurrence: Occurrence): Promise<boolean>;
  /** Forgets an occurrence that came to nothing after all: what it took the place of counts again, unless something later is known of one of its paths by now. */
  withdrawOccurrence(sessionId: SessionId, occurrence: Occurrence): Promise<void>;
  /** The lane as it is now (consistent read). */
  readLane(session: SessionKey): Promise<Lane | undefined>;
  /** How far the lane has come, perhaps a moment ago: cheap enough to be asked again and again. */
  readProgress(session: SessionKey): Promise<LaneProgress | undefined>;
  /** Takes the lease where it is free or past its time. */
  takeLease(session: SessionKey, lease: Lease, nowMs: number): Promise<Lane | undefined>;
  /** Settles what the holder of the lease has pushed. `fenced` when the lease has gone to somebody else (DESIGN: settle). */
  settle(lane: Lane, settlement: Settlement): Promise<SettleResult>;
  /** Writes settled work of the lane to its own items, so that the next settle may drop it. */
  archive(lane: Lane): Promise<void>;
  /** The audit entries among that settled work, oldest first; what has been erased is left out. */
  readOutbox(lane: Lane): Promise<readonly NewAuditEntry[]>;
  /** Notes a refused request for the audit trail without touching version or mirror. False when the lane has no room for it. */
  noteRefusal(session: SessionId, refusal: NewAuditEntry, dueAtMs: number): Promise<boolean>;
  /** How an operation ended, by its idempotency hash or its id. */
  findOutcome(session: SessionKey, outcomeId: string): Promise<PriorOutcome>;

  /** The mirror that `stateRef` points to. */
  readMirror(lane: Lane, stateRef: string): Promise<StoredMirror | undefined>;
  /** Writes one immutable version of the mirror, which nobody sees until a settle points to it. */
  writeMirror(lane: Lane, mirror: Mirror, options: WriteMirrorOptions): Promise<string>;
  /** Fetches the values that a mirror holds by reference. */
  loadValues(lane: Lane, mirror: Mirror): Promise<LoadedMirror>;
  /** Sessions of one shard that are due, oldest first. */
  dueSessions(shard: number, nowMs: number): AsyncIterable<SessionKey>;
}

/** Everything the bridge keeps about sessions: also what is only looked at, and how it is erased. */
export interface SessionStore extends LaneStore {
  /** The mirror as it was when `version` had taken effect and nothing later had; `undefined` where that is not known any more. */
  readHistory(lane: Lane, version: number): Promise<StoredMirror | undefined>;

  /**
   * Takes away everything but the audit chain, and the means to read that chain's payloads. False when the lane has changed
   * since it was read. Whoever holds its lease is fenced out, and nobody else gets it before its end.
   */
  erase(lane: Lane, erasure: Erasure): Promise<boolean>;
  /** Takes away what there is of a session that has no lane: it has only been looked at. False when it has one by now. */
  eraseWithoutLane(session: SessionKey): Promise<boolean>;

  /** Audit entries, newest first, with the verdict on the whole chain. */
  readAudit(session: SessionKey, query: AuditQuery): Promise<AuditPage | undefined>;
  /** The newest audit entries, newest first, without a verdict: cheap, however long the trail is. */
  readRecentAudit(
    lane: Lane,
    query: { readonly nowMs: number; readonly limit: number },
  ): Promise<readonly AuditRecord[]>;
}

/** A session by its stored key (a keyed hash), or by its id. */
export type SessionKey = { readonly sessionId: SessionId } | { readonly key: string };

export interface StoredMirror {
  readonly stateRef: string;
  readonly mirror: Mirror;
  /** When it was written, epoch milliseconds. */
  readonly atMs: number;
}

export interface WriteMirrorOptions {
  readonly fence: string;
  readonly keepUntilMs: number;
  readonly atMs: number;
  /** The first version that took effect with this mirror: operations that leave together have one mirror. */
  readonly since: number;
}

export interface AuditQuery {
  readonly nowMs: number;
  readonly limit: number;
  /** Entries older than this sequence number. */
  readonly beforeSeq?: number;
  readonly operationId?: string;
}

export interface AuditRecord extends ChainEntry {
  /** Absent when the means to read it are gone (after an erase). */
  readonly payload?: AuditPayload;
}

export interface AuditPage {
  readonly records: readonly AuditRecord[];
  /** Sequence number to go on before, where there is more. */
  readonly nextBeforeSeq?: number;
  readonly chain: { readonly valid: boolean; readonly brokenAt: number | null };
}
