import { encodeTime } from 'ulid';
import { linkEntries } from '../context/auditChain.ts';
import type { Occurrence } from '../operations/ports/crm.ts';
import {
  type AuditPayload,
  type CommitResult,
  type Erasure,
  type Lane,
  type Lease,
  type NewAuditEntry,
  type NewOperation,
  NOBODY,
  type SessionKey,
  type Settlement,
  type SettleResult,
  StoreError,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import type { Answers } from './answers.ts';
import {
  generationEndMs,
  generationOf,
  idempotencyAttribute,
  idempotencyElement,
  staleGenerations,
} from './idempotency.ts';
import { auditKey, dueShardOf, laneKey, outcomeKey, recordPk, sessionPk } from './keys.ts';
import { decodeLane, type JournalItem, LANE_FORMAT, type LaneItem, type LinkedItem } from './laneItem.ts';
import { asStored, type LaneReader, type StoredLane } from './laneReader.ts';
import type { LaneOccurrences } from './occurrences.ts';
import { digestOf, isUnreadable, type Payloads } from './payloads.ts';
import { type Table, ttlSeconds } from './table.ts';

const DAY_MS = 86_400_000;
/** A lane is one item of at most 400 KB. With all of the following at its limit, and the outbox of 100 more, there is some to spare. */
const JOURNAL_MAX = 100;
const REFUSALS_MAX = 20;
const IDEMPOTENCY_KEYS_MAX = 1_500;
/** Of half as many paths a lane knows what occurred last, and before that. The oldest are forgotten; their records know them still. */
const OCCURRENCES_MAX = 256;
const JOURNAL_INLINE_BYTES = 1_024;
/**
 * A commit that the SDK has given up, and sent again, may land so late, also from a process that was frozen meanwhile: for so long
 * its id is remembered, as a ULID tells the time.
 */
export const LATE_MS = 60_000;
/** An audit entry's payload lies in the lane up to this, whatever else does; */
const AUDIT_INLINE_BYTES = 700;
/** and up to this while the payloads of one settle stay below the second together, and nothing older is carried along. */
const AUDIT_ALONE_INLINE_BYTES = 4_096;
const AUDIT_TOGETHER_INLINE_BYTES = 32_768;
/** Longest life of a session upstream: what has not been pushed by then has nowhere to go. */
const PENDING_KEPT_MS = 7 * DAY_MS;

// Every clause of a condition by its name. A comparison with an attribute that is not there is false, so its negation says "not
// there, or not so" without a disjunction (which the local database takes fifty times as long to parse).
const FORMAT_IS_KNOWN = 'NOT #format > :format';
const JOURNAL_HAS_ROOM = 'NOT size(journal) >= :journalMax';
const NOT_COMMITTED_YET = 'NOT contains(openIds, :openId)';
const REFUSALS_HAVE_ROOM = 'NOT size(refusals) >= :refusalsMax';
const LANE_EXISTS = 'attribute_exists(pk)';
const ID_IS_KNOWN = 'attribute_exists(sealedId)';
const LEASE_IS_MINE = 'lease.fence = :fence';
const LEASE_IS_OVER = 'NOT lease.untilMs > :now';
const LEASE_IS_FREE = `(${LEASE_IS_OVER} OR ${LEASE_IS_MINE})`;
const CHAIN_IS_AS_SEEN = '(attribute_not_exists(chain) OR chain.#hash = :seenHash)';
/** Both only grow while one lease is held. */
const NOTHING_CAME_SINCE = 'NOT version > :seenVersion AND NOT size(refusals) > :seenRefusals';

export interface LanesOptions {
  readonly dueShards: number;
  readonly auditRetentionMs: number;
  /** Of a store to which events of CRMs are committed. */
  readonly occurrences?: LaneOccurrences;
}

/**
 * The lane item of each session: commit, lease, settle and archive.
 *
 * ```text
 *   commit ─▶ journal ──settle──▶ outbox ──archive──▶ AUDIT#, OUTCOME# ──next settle──▶ gone from the lane
 *             lease ────▲ (only the holder of the lease settles; commits go on meanwhile)
 * ```
 */
export class Lanes {
  readonly #table: Table;
  readonly #payloads: Payloads;
  readonly #vault: Vault;
  readonly #reader: LaneReader;
  readonly #answers: Answers;
  readonly #options: LanesOptions;

  constructor(
    table: Table,
    parts: {
      readonly payloads: Payloads;
      readonly vault: Vault;
      readonly reader: LaneReader;
      readonly answers: Answers;
    },
    options: LanesOptions,
  ) {
    this.#table = table;
    this.#payloads = parts.payloads;
    this.#vault = parts.vault;
    this.#reader = parts.reader;
    this.#answers = parts.answers;
    this.#options = options;
  }

  async commit(command: {
    readonly session: SessionKey & { readonly sessionId: string };
    readonly operation: NewOperation;
    readonly lease: Lease;
    readonly dueAtMs: number;
  }): Promise<CommitResult> {
    const { userId, occurrence, ...operation } = command.operation;
    const pk = sessionPk(this.#vault, command.session);
    const nowMs = operation.acceptedAtMs;
    const payload = await this.#payloads.store(pk, encode(operation.payload), {
      inlineBytes: JOURNAL_INLINE_BYTES,
      keepUntilMs: nowMs + PENDING_KEPT_MS,
      operationId: operation.operationId,
    });
    const key = operation.idempotencyHash;
    const generation = generationOf(nowMs);
    const occurred = occurrence && this.#occurrenceClauses(occurrence);
    const result = await this.#table.update({
      key: laneKey(pk),
      expression: [
        'SET #format = if_not_exists(#format, :format), sealedId = if_not_exists(sealedId, :sealedId),',
        'salt = if_not_exists(salt, :salt), version = if_not_exists(version, :zero) + :one,',
        'journal = list_append(if_not_exists(journal, :none), :entries), lease = if_not_exists(lease, :lease),',
        'dueShard = :dueShard, dueAt = :dueAt, #ttl = :ttl',
        userId === undefined ? '' : ', userKey = :userKey, sealedUserId = :sealedUserId',
        ...(occurred === undefined ? [] : [...occurred.keep, ...occurred.set].map((each) => `, ${each}`)),
        'ADD openIds :openIds',
        key === undefined ? '' : `, ${idempotencyAttribute(generation)} :keys`,
      ].join(' '),
      condition: [
        FORMAT_IS_KNOWN,
        JOURNAL_HAS_ROOM,
        NOT_COMMITTED_YET,
        ...(key === undefined ? [] : keyIsNew(generation)),
        ...(occurred?.condition ?? []),
      ].join(' AND '),
      names: { '#format': 'format', '#ttl': 'ttl', ...occurred?.names },
      values: {
        ...occurred?.values,
        ':format': LANE_FORMAT,
        ':sealedId': this.#vault.seal(pk, Buffer.from(command.session.sessionId, 'utf8')),
        ':salt': this.#vault.newSalt(),
        ':zero': 0,
        ':one': 1,
        ':none': [],
        ':entries': [{ ...operation, payload } satisfies JournalItem],
        ':lease': command.lease,
        ':dueShard': dueShardOf(pk, this.#options.dueShards),
        ':dueAt': command.dueAtMs,
        ':ttl': this.#laneTtl(nowMs),
        ':openId': Buffer.from(operation.operationId),
        ':openIds': new Set([Buffer.from(operation.operationId)]),
        ':journalMax': JOURNAL_MAX,
        ...(userId !== undefined && {
          ':userKey': this.#vault.hashId('user', userId),
          ':sealedUserId': this.#vault.seal(pk, Buffer.from(userId, 'utf8')),
        }),
        ...(key !== undefined && {
          ':key': idempotencyElement(key),
          ':keys': new Set([idempotencyElement(key)]),
          ':keysMax': IDEMPOTENCY_KEYS_MAX,
        }),
      },
    });
    if (result.kind === 'condition-failed') {
      const why = await this.#whyNotCommitted(pk, command);
      // Nobody would ever look at it, nor would an erasure that has been find it.
      if (why.kind !== 'committed') await this.#payloads.drop(pk, payload);
      return why;
    }
    const lane = this.#reader.decode(result.item);
    return { kind: 'committed', lane, version: lane.version, holdsLease: lane.lease?.fence === command.lease.fence };
  }

  /** A failed condition says only that one clause failed; the item tells which. */
  async #whyNotCommitted(
    pk: string,
    { session, operation, lease }: { session: SessionKey; operation: NewOperation; lease: Lease },
  ): Promise<CommitResult> {
    const item = await this.#table.get(laneKey(pk));
    if (item === undefined) throw new StoreError('store-unavailable');
    const lane = this.#reader.decode(item, session);
    const id = Buffer.from(operation.operationId);
    if ([...lane.item.openIds].some((open) => id.equals(open))) {
      // The SDK repeated a write whose acknowledgement was lost: it had been committed all along.
      const entry = lane.journal.find(({ operationId }) => operationId === operation.operationId);
      const version = entry?.version ?? lane.confirmedVersion;
      return { kind: 'committed', lane, version, holdsLease: lane.lease?.fence === lease.fence };
    }
    const key = operation.idempotencyHash;
    if (key !== undefined) {
      const element = idempotencyElement(key);
      const used = lane.generations.some((generation) => holds(item[idempotencyAttribute(generation)], element));
      if (used) return { kind: 'repeated' };
    }
    const { occurrence } = operation;
    if (occurrence !== undefined) {
      const prefix = this.#occurrencePrefix(occurrence);
      const current = this.#occurrences().current(occurrence, item, prefix);
      const paths = occurrence.paths.filter((path) => !current.includes(path));
      if (paths.length > 0) return { kind: 'superseded', paths };
    }
    if (lane.journal.length >= JOURNAL_MAX) return { kind: 'busy' };
    const generation = generationOf(operation.acceptedAtMs);
    const keys = item[idempotencyAttribute(generation)];
    const isFullOfKeys = key !== undefined && keys instanceof Set && keys.size >= IDEMPOTENCY_KEYS_MAX;
    if (isFullOfKeys) return { kind: 'busy', untilMs: generationEndMs(operation.acceptedAtMs) };
    // What stood in the way has gone since.
    return occurrence === undefined ? { kind: 'busy' } : { kind: 'superseded', paths: [] };
  }

  /** Several records may be known to one session, and say something of the same path. */
  #occurrencePrefix({ record }: Occurrence): string {
    return `${recordPk(this.#vault, record)}:`;
  }

  #occurrenceClauses(occurrence: Occurrence) {
    return this.#occurrences().clauses(occurrence, this.#occurrencePrefix(occurrence));
  }

  #occurrences(): LaneOccurrences {
    const { occurrences } = this.#options;
    if (occurrences === undefined) throw new TypeError('no store for events of CRMs');
    return occurrences;
  }

  async noteOccurrence(lane: Lane, occurrence: Occurrence): Promise<boolean> {
    const { item } = asStored(lane);
    const { keep, set, condition, names, values } = this.#occurrenceClauses(occurrence);
    const result = await this.#table.update({
      answer: 'nothing',
      key: laneKey(item.pk),
      expression: `SET ${[...keep, ...set].join(', ')}`,
      condition: [FORMAT_IS_KNOWN, 'version = :seenVersion', ...condition].join(' AND '),
      names: { '#format': 'format', ...names },
      values: { ...values, ':format': LANE_FORMAT, ':seenVersion': item.version },
    });
    return result.kind === 'updated';
  }

  async withdrawOccurrence(session: SessionKey, occurrence: Occurrence): Promise<void> {
    const { set, restore, names } = this.#occurrenceClauses(occurrence);
    await this.#table.update({
      answer: 'nothing',
      key: laneKey(sessionPk(this.#vault, session)),
      expression: `SET ${restore.join(', ')}`,
      // The same equations: what would be set is what is there.
      condition: [FORMAT_IS_KNOWN, ...set].join(' AND '),
      names: { '#format': 'format', ...names },
      values: { ':format': LANE_FORMAT, ':stamp': occurrence.stamp, ':never': '' },
    });
  }

  async takeLease(session: SessionKey, lease: Lease, nowMs: number): Promise<Lane | undefined> {
    const result = await this.#table.update({
      key: laneKey(sessionPk(this.#vault, session)),
      expression: 'SET lease = :lease',
      // As with read: what has been erased has no work for those who do not know its id.
      condition: ['sessionId' in session ? LANE_EXISTS : ID_IS_KNOWN, FORMAT_IS_KNOWN, LEASE_IS_FREE].join(' AND '),
      names: { '#format': 'format' },
      values: { ':lease': lease, ':fence': lease.fence, ':now': nowMs, ':format': LANE_FORMAT },
    });
    return result.kind === 'updated' ? this.#reader.decode(result.item, session) : undefined;
  }

  async settle(lane: Lane, settlement: Settlement): Promise<SettleResult> {
    const stored = asStored(lane);
    const { item } = stored;
    const { nowMs } = settlement;
    const next = await this.#nextOutboxUnlessFenced(stored, settlement);
    if (next === 'fenced') return next;
    const { outbox, chain } = next;

    const journalIds = new Set(item.journal.map(({ operationId }) => operationId));
    const longAgo = encodeTime(nowMs - LATE_MS);
    const closedIds = [...item.openIds].filter((id) => {
      const text = Buffer.from(id).toString();
      return !journalIds.has(text) && text < longAgo;
    });
    const released = settlement.releasedKeys.map(idempotencyElement);
    const stale = staleGenerations(stored.generations, nowMs);
    const outdated = stored.occurrences.slice(OCCURRENCES_MAX);
    // An index entry that stays where it is costs nothing; whoever has committed since has moved it to a good place.
    // Where the schedule would come late or never, it must not overlook what has been committed meanwhile.
    const mustNotMiss = settlement.dueAtMs === undefined || settlement.isOtherwiseIdle;
    const movesDue = settlement.dueAtMs !== undefined && settlement.dueAtMs !== item.dueAt;

    const set = [
      'confirmedVersion = :confirmedVersion, endedVersions = :endedVersions, #outbox = :outbox, chain = :chain',
      'settledFence = :fence, hasEnded = :hasEnded, deferrals = :deferrals, deferredVersion = :deferredVersion, #ttl = :ttl',
      ...(settlement.stateRef === undefined ? [] : ['stateRef = :stateRef']),
      ...(settlement.idleUntilMs === undefined ? [] : ['idleUntilMs = :idleUntilMs']),
      ...(settlement.nextExpiryMs === undefined ? [] : ['nextExpiryMs = :nextExpiryMs']),
      ...(settlement.unknownVersion === undefined ? [] : ['unknownVersion = :unknownVersion']),
      ...(settlement.dialog === undefined ? [] : ['dialog = :dialog']),
      ...(movesDue ? ['dueShard = :dueShard, dueAt = :dueAt'] : []),
    ];
    // Highest index first: some implementations remove one after the other.
    const remove = [
      'lease',
      ...indexesDown('journal', settlement.settledPrefix),
      ...indexesDown('refusals', item.refusals.length),
      ...stale.map(idempotencyAttribute),
      ...outdated.map((_name, index) => `#outdated${index}`),
      ...(settlement.dueAtMs === undefined ? ['dueShard', 'dueAt'] : []),
      ...(settlement.nextExpiryMs === undefined ? ['nextExpiryMs'] : []),
    ];
    const drop = [
      ...(closedIds.length === 0 ? [] : ['openIds :closedIds']),
      ...(released.length === 0
        ? []
        : stored.generations
            .filter((generation) => !stale.includes(generation))
            .map((generation) => `${idempotencyAttribute(generation)} :released`)),
    ];
    const result = await this.#table.update({
      answer: 'nothing',
      key: laneKey(item.pk),
      expression: [
        `SET ${set.join(', ')}`,
        `REMOVE ${remove.join(', ')}`,
        drop.length === 0 ? '' : `DELETE ${drop.join(', ')}`,
      ].join(' '),
      condition: [FORMAT_IS_KNOWN, LEASE_IS_MINE, ...(mustNotMiss ? [NOTHING_CAME_SINCE] : [])].join(' AND '),
      names: {
        '#format': 'format',
        '#outbox': 'outbox',
        '#ttl': 'ttl',
        ...Object.fromEntries(outdated.map((name, index) => [`#outdated${index}`, name])),
      },
      values: {
        ':format': LANE_FORMAT,
        ':fence': settlement.fence,
        ':confirmedVersion': settlement.confirmedVersion,
        ':endedVersions': settlement.endedVersions,
        ':outbox': outbox,
        ':chain': chain,
        ':hasEnded': settlement.sessionEnded,
        ':deferrals': settlement.deferrals,
        ':deferredVersion': settlement.deferredVersion,
        ':ttl': this.#laneTtl(
          nowMs,
          settlement.idleUntilMs ?? item.idleUntilMs,
          settlement.dueAtMs ?? nowMs,
          chain.keptUntilMs,
        ),
        ':stateRef': settlement.stateRef,
        ':idleUntilMs': settlement.idleUntilMs,
        ':nextExpiryMs': settlement.nextExpiryMs,
        ':unknownVersion': settlement.unknownVersion,
        ...(settlement.dialog !== undefined && {
          ':dialog': this.#vault.seal(item.pk, encode(settlement.dialog), this.#vault.contentKey(item.salt)),
        }),
        ...(mustNotMiss && {
          ':seenVersion': item.version,
          ':seenRefusals': item.refusals.length,
        }),
        ...(movesDue && {
          ':dueShard': dueShardOf(item.pk, this.#options.dueShards),
          ':dueAt': settlement.dueAtMs,
        }),
        ...(closedIds.length > 0 && { ':closedIds': new Set(closedIds) }),
        ...(released.length > 0 && { ':released': new Set(released) }),
      },
    });
    return result.kind === 'updated' ? 'settled' : this.#whyNotSettled(item.pk, settlement.fence);
  }

  async #whyNotSettled(pk: string, fence: string): Promise<SettleResult> {
    const item = await this.#table.get(laneKey(pk));
    if (item === undefined) return 'fenced';
    const lane = decodeLane(item);
    // The SDK repeated a write whose acknowledgement was lost: it had been settled all along.
    if (lane.settledFence === fence) return 'settled';
    return lane.lease?.fence === fence ? 'moved-on' : 'fenced';
  }

  /** Who was fenced out by an erasure may miss payloads that went with it. */
  async #nextOutboxUnlessFenced(lane: StoredLane, settlement: Settlement) {
    try {
      return await this.#nextOutbox(lane, settlement);
    } catch (error) {
      if (!isUnreadable(error) || (await this.#whyNotSettled(lane.item.pk, settlement.fence)) !== 'fenced') throw error;
      return 'fenced';
    }
  }

  /** Links refusals and new entries to the chain and seals what goes into the outbox. */
  async #nextOutbox({ item }: StoredLane, settlement: Settlement) {
    const { pk } = item;
    // Never before its predecessor's: with a shorter retention, or a clock that is behind, the chain would get a hole.
    const keptUntilMs = Math.max(settlement.nowMs + this.#options.auditRetentionMs, item.chain.keptUntilMs);
    const key = this.#vault.contentKey(item.salt);
    const refusals = await Promise.all(
      onceEach(item.refusals).map(async ({ operationId, atMs, payload }) => ({
        operationId,
        atMs,
        payload: await this.#reader.openAs<AuditPayload>(pk, payload),
      })),
    );
    const carried = settlement.outboxArchived ? { audit: [], answers: [] } : item.outbox;
    const entries = [...refusals, ...settlement.audit];
    const inlineBytes = auditInlineBytes(entries.length, carried.audit.length);
    const unlinked = await Promise.all(
      entries.map(async ({ operationId, atMs, payload }) => {
        const stored = await this.#payloads.store(pk, encode(payload), { inlineBytes, keepUntilMs: keptUntilMs, key });
        return { operationId, atMs, keptUntilMs, payloadDigest: digestOf(stored), payload: stored };
      }),
    );
    const { linked, head } = linkEntries(this.#vault.chainKey(pk), item.chain, unlinked);
    const answers = await this.#answers.store({ pk, key }, settlement.answers, settlement.nowMs);
    return {
      chain: head,
      outbox: {
        audit: [...carried.audit, ...linked],
        answers: [...carried.answers, ...answers],
      } satisfies LaneItem['outbox'],
    };
  }

  async archive(lane: Lane): Promise<void> {
    const { pk, outbox, salt } = asStored(lane).item;
    // The settle will need these; now, while the upstream works, there is time to derive them.
    this.#vault.contentKey(salt);
    this.#vault.chainKey(pk);
    const items = [
      ...auditItems(pk, outbox.audit),
      ...outbox.answers.map((answer) => ({
        ...outcomeKey(pk, answer.outcomeId),
        ...answer,
        format: LANE_FORMAT,
        ttl: ttlSeconds(answer.keptUntilMs),
      })),
    ];
    if (items.length > 0) await this.#table.putMany(items);
  }

  async readOutbox(lane: Lane): Promise<NewAuditEntry[]> {
    const { pk, outbox, salt, erasedSeq } = asStored(lane).item;
    const key = this.#vault.contentKey(salt);
    const live = outbox.audit.filter(({ seq }) => seq > erasedSeq);
    const entries = live.map(async ({ operationId, atMs, payload }) => {
      try {
        const plain = await this.#payloads.open(pk, payload, key);
        return [{ operationId, atMs, payload: JSON.parse(Buffer.from(plain).toString('utf8')) }];
      } catch (error) {
        // One that is damaged must not keep the others from being told: the audit trail says so.
        if (isUnreadable(error)) return [];
        throw error;
      }
    });
    return (await Promise.all(entries)).flat();
  }

  /**
   * Takes everything out of the lane but its version, its idempotency keys and the ids of operations (what comes late must not bring
   * anything back) and the end of its audit chain, to which the erasure itself is linked. The payloads of the entries before it open no more.
   * Of a lease the end stays: until then its holder may go on sending, and nobody else does.
   */
  async forget(lane: Lane, { nowMs, entry }: Erasure): Promise<boolean> {
    const { item, occurrences } = asStored(lane);
    const { pk, chain } = item;
    // The entries stay, so they must have their own items before the lane drops them.
    await this.#table.putMany(auditItems(pk, item.outbox.audit));
    const salt = this.#vault.newSalt();
    const keptUntilMs = Math.max(nowMs + this.#options.auditRetentionMs, chain.keptUntilMs);
    const payload = this.#vault.seal(pk, encode(entry.payload), this.#vault.contentKey(salt));
    const { operationId, atMs } = entry;
    const unlinked = { operationId, atMs, keptUntilMs, payloadDigest: digestOf(payload), payload };
    const { linked, head } = linkEntries(this.#vault.chainKey(pk), chain, [unlinked]);
    const held = item.lease !== undefined && item.lease.untilMs > nowMs ? item.lease : undefined;
    const result = await this.#table.update({
      answer: 'nothing',
      key: laneKey(pk),
      expression: [
        'SET salt = :salt, chain = :chain, #outbox = :outbox, erasedVersion = :version, erasedSeq = :erasedSeq,',
        'confirmedVersion = :version, endedVersions = :none, deferredVersion = :version, deferrals = :zero,',
        'journal = :none, idleUntilMs = :zero, hasEnded = :false, #ttl = :ttl',
        held === undefined ? 'REMOVE lease,' : ', lease = :lease REMOVE',
        'sealedId, userKey, sealedUserId, dialog, stateRef, nextExpiryMs, refusals, dueShard, dueAt',
        ...occurrences.map((_name, index) => `, #occurred${index}`),
      ].join(' '),
      condition: [
        FORMAT_IS_KNOWN,
        NOTHING_CAME_SINCE,
        CHAIN_IS_AS_SEEN,
        held === undefined ? LEASE_IS_OVER : LEASE_IS_MINE,
      ].join(' AND '),
      names: {
        '#format': 'format',
        '#outbox': 'outbox',
        '#ttl': 'ttl',
        '#hash': 'hash',
        ...Object.fromEntries(occurrences.map((name, index) => [`#occurred${index}`, name])),
      },
      values: {
        ':format': LANE_FORMAT,
        ':salt': salt,
        ':chain': head,
        ':outbox': { audit: linked, answers: [] } satisfies LaneItem['outbox'],
        ':version': item.version,
        ':seenVersion': item.version,
        ':seenRefusals': item.refusals.length,
        ':erasedSeq': chain.seq,
        ':seenHash': chain.hash,
        ':none': [],
        ':zero': 0,
        ':false': false,
        ':ttl': this.#laneTtl(nowMs, keptUntilMs),
        ...(held === undefined
          ? { ':now': nowMs }
          : { ':fence': held.fence, ':lease': { ...held, fence: NOBODY } satisfies Lease }),
      },
    });
    return result.kind === 'updated';
  }

  /** True for a lane that has been erased, and to which nothing has come since. */
  isForgotten(lane: Lane): boolean {
    return asStored(lane).item.sealedId === undefined;
  }

  async isStillForgotten({ sessionId }: Lane): Promise<boolean> {
    const now = await this.#reader.read({ sessionId });
    return now !== undefined && this.isForgotten(now);
  }

  async noteRefusal(session: SessionKey & { readonly sessionId: string }, refusal: NewAuditEntry, dueAtMs: number) {
    const pk = sessionPk(this.#vault, session);
    const payload = await this.#payloads.store(pk, encode(refusal.payload), {
      inlineBytes: AUDIT_INLINE_BYTES,
      keepUntilMs: refusal.atMs + PENDING_KEPT_MS,
    });
    const result = await this.#table.update({
      key: laneKey(pk),
      expression: [
        'SET #format = if_not_exists(#format, :format), sealedId = if_not_exists(sealedId, :sealedId),',
        'salt = if_not_exists(salt, :salt), refusals = list_append(if_not_exists(refusals, :none), :refusals),',
        'dueShard = :dueShard, dueAt = if_not_exists(dueAt, :dueAt), #ttl = :ttl',
      ].join(' '),
      condition: [FORMAT_IS_KNOWN, REFUSALS_HAVE_ROOM].join(' AND '),
      names: { '#format': 'format', '#ttl': 'ttl' },
      values: {
        ':format': LANE_FORMAT,
        ':sealedId': this.#vault.seal(pk, Buffer.from(session.sessionId, 'utf8')),
        ':salt': this.#vault.newSalt(),
        ':none': [],
        ':refusals': [{ operationId: refusal.operationId, atMs: refusal.atMs, payload }],
        ':refusalsMax': REFUSALS_MAX,
        ':dueShard': dueShardOf(pk, this.#options.dueShards),
        ':dueAt': dueAtMs,
        ':ttl': this.#laneTtl(refusal.atMs),
      },
    });
    if (result.kind === 'condition-failed') return false;
    const { dueAt } = decodeLane(result.item);
    if (dueAt !== undefined && dueAt > dueAtMs) await this.#bringForward(pk, dueAtMs);
    return true;
  }

  /** A lane that waits for an expiry far away is looked at before that, where it has something to do. */
  async #bringForward(pk: string, dueAtMs: number): Promise<void> {
    await this.#table.update({
      answer: 'nothing',
      key: laneKey(pk),
      expression: 'SET dueAt = :dueAt',
      condition: `${FORMAT_IS_KNOWN} AND dueAt > :dueAt`,
      names: { '#format': 'format' },
      values: { ':format': LANE_FORMAT, ':dueAt': dueAtMs },
    });
  }

  /** A lane outlives its audit trail, and whatever else needs it until `untilMs`. */
  #laneTtl(nowMs: number, ...untilMs: number[]): number {
    return ttlSeconds(Math.max(nowMs + this.#options.auditRetentionMs, ...untilMs) + DAY_MS);
  }
}

function auditItems(pk: string, entries: readonly LinkedItem[]) {
  return entries.map((entry) => ({
    ...auditKey(pk, entry.seq),
    ...entry,
    format: LANE_FORMAT,
    ttl: ttlSeconds(entry.keptUntilMs),
  }));
}

function keyIsNew(generation: number): string[] {
  const [before, now, after] = [generation - 1, generation, generation + 1].map(idempotencyAttribute);
  return [
    // Instances whose clocks differ may be one generation apart.
    ...[before, now, after].map((attribute) => `NOT contains(${attribute}, :key)`),
    `NOT size(${now}) >= :keysMax`,
  ];
}

function holds(set: unknown, element: Uint8Array): boolean {
  return (
    set instanceof Set && [...set].some((member) => member instanceof Uint8Array && Buffer.from(element).equals(member))
  );
}

/** Without what the SDK appended twice because an acknowledgement was lost. */
function onceEach<Noted extends { readonly operationId: string }>(noted: readonly Noted[]): Noted[] {
  return [...new Map(noted.map((each) => [each.operationId, each])).values()];
}

/** What lies out of line costs the client who waits for the settle a round trip; what lies inline makes every later write dearer. */
function auditInlineBytes(entries: number, carried: number): number {
  if (carried > 0) return AUDIT_INLINE_BYTES;
  const share = Math.floor(AUDIT_TOGETHER_INLINE_BYTES / Math.max(1, entries));
  return Math.max(AUDIT_INLINE_BYTES, Math.min(AUDIT_ALONE_INLINE_BYTES, share));
}

function indexesDown(list: string, length: number): string[] {
  return Array.from({ length }, (_, index) => `${list}[${length - 1 - index}]`);
}

function encode(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8');
}
