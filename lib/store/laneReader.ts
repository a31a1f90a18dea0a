import { parseSessionId, type SessionId } from '../context/sessionId.ts';
import {
  type JournalEntry,
  type Lane,
  type LaneProgress,
  type OperationPayload,
  type SessionKey,
  StoreError,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { dueShardName, laneKey, sessionKeyOf, sessionPk } from './keys.ts';
import { decodeLane, decodeProgress, type LaneItem, type LinkedItem, PROGRESS_PATHS } from './laneItem.ts';
import type { SessionPlace } from './mirrors.ts';
import { FORMER, OCCURRED } from './occurrences.ts';
import type { Payloads } from './payloads.ts';
import type { Item, Table } from './table.ts';

/** A lane with what the store needs to settle it. */
export interface StoredLane extends Lane {
  readonly item: LaneItem;
  /** Generations of idempotency keys that the item still carries. */
  readonly generations: readonly number[];
  /** Names of the attributes that say when something of a CRM occurred, latest first. */
  readonly occurrences: readonly string[];
}

/** Reads lanes, and knows what of them the rest of the store needs. */
export class LaneReader {
  readonly #table: Table;
  readonly #payloads: Payloads;
  readonly #vault: Vault;

  constructor(table: Table, payloads: Payloads, vault: Vault) {
    this.#table = table;
    this.#payloads = payloads;
    this.#vault = vault;
  }

  async read(session: SessionKey): Promise<StoredLane | undefined> {
    const item = await this.#table.get(laneKey(sessionPk(this.#vault, session)));
    // Of what has been erased only those can say anything who know its id.
    if (item === undefined || (item['sealedId'] === undefined && !('sessionId' in session))) return undefined;
    return this.decode(item, session);
  }

  async readProgress(session: SessionKey): Promise<LaneProgress | undefined> {
    const item = await this.#table.glance(laneKey(sessionPk(this.#vault, session)), PROGRESS_PATHS);
    if (item === undefined) return undefined;
    const { confirmedVersion, endedVersions, deferredVersion, erasedVersion, lease } = decodeProgress(item);
    return {
      confirmedVersion,
      endedVersions: new Set(endedVersions),
      deferredVersion,
      erasedVersion,
      ...(lease !== undefined && { lease }),
    };
  }

  async *dueSessions(shard: number, nowMs: number): AsyncGenerator<SessionKey> {
    for await (const item of this.#table.queryDue({ shard: dueShardName(shard), dueAt: nowMs })) {
      if (typeof item['pk'] === 'string') yield sessionKeyOf(item['pk']);
    }
  }

  /** @throws {StoreError} for an item that is damaged, or that a newer bridge has written. */
  decode(raw: Item, session?: SessionKey): StoredLane {
    const item = decodeLane(raw);
    const sessionId = this.#sessionIdOf(item, session);
    if (sessionId === undefined) throw new StoreError('store-unavailable', new Error('a sealed id is no session id'));
    const oldest = item.version - item.journal.length + 1;
    const journal = item.journal.map(
      ({ payload, ...entry }, index): JournalEntry => ({
        ...entry,
        version: oldest + index,
        payload: () => this.openAs<OperationPayload>(item.pk, payload),
      }),
    );
    return {
      item,
      key: sessionKeyOf(item.pk).key,
      sessionId,
      journal,
      version: item.version,
      confirmedVersion: item.confirmedVersion,
      endedVersions: new Set(item.endedVersions),
      idleUntilMs: item.idleUntilMs,
      hasEnded: item.hasEnded,
      ...(item.dueAt !== undefined && { dueAtMs: item.dueAt }),
      deferrals: item.deferrals,
      erasedVersion: item.erasedVersion,
      unknownVersion: item.unknownVersion,
      ...(item.nextExpiryMs !== undefined && { nextExpiryMs: item.nextExpiryMs }),
      deferredVersion: item.deferredVersion,
      ...(item.userKey !== undefined && { userKey: item.userKey }),
      ...(item.dialog !== undefined && { dialog: this.#openDialog(item.pk, item.dialog, item.salt) }),
      hasOutbox: item.outbox.audit.length + item.outbox.answers.length > 0,
      hasRefusals: item.refusals.length > 0,
      generations: Object.keys(raw).flatMap((name) => (/^idem\d+$/.test(name) ? [Number(name.slice(4))] : [])),
      occurrences: occurrencesOf(raw),
      ...(item.lease !== undefined && { lease: item.lease }),
      ...(item.settledFence !== undefined && { settledFence: item.settledFence }),
      ...(item.stateRef !== undefined && { stateRef: item.stateRef }),
    };
  }

  #openDialog(pk: string, sealed: Uint8Array, salt: Uint8Array): NonNullable<Lane['dialog']> {
    return JSON.parse(Buffer.from(this.#vault.open(pk, sealed, this.#vault.contentKey(salt))).toString('utf8'));
  }

  /** After an erasure only who asks knows the id. */
  #sessionIdOf({ pk, sealedId }: LaneItem, session: SessionKey | undefined): SessionId | undefined {
    if (sealedId !== undefined) return parseSessionId(Buffer.from(this.#vault.open(pk, sealedId)).toString('utf8'));
    return session !== undefined && 'sessionId' in session ? session.sessionId : undefined;
  }

  /** What the bridge sealed itself needs no second check of its shape: AES-GCM vouches for every byte. */
  async openAs<Shape>(pk: string, stored: Uint8Array | string): Promise<Shape> {
    return JSON.parse(Buffer.from(await this.#payloads.open(pk, stored)).toString('utf8'));
  }

  /** Where a session's content lies, and the key to it. */
  placeOf(lane: Lane): SessionPlace {
    const { pk, salt } = asStored(lane).item;
    return { pk, key: this.#vault.contentKey(salt) };
  }

  /** The chain's head, its unarchived entries and the key to its payloads, for the reader of the audit trail. */
  trailOf(
    lane: Lane,
  ): SessionPlace & Pick<LaneItem, 'chain' | 'erasedSeq'> & { readonly unarchived: readonly LinkedItem[] } {
    const { chain, erasedSeq, outbox } = asStored(lane).item;
    return { ...this.placeOf(lane), chain, erasedSeq, unarchived: outbox.audit };
  }
}

/** The latest first, each with what it took the place of behind it. */
function occurrencesOf(raw: Item): string[] {
  const stamps = Object.entries(raw).filter(([name]) => name.startsWith(OCCURRED) && !name.endsWith(FORMER));
  stamps.sort(([, a], [, b]) => (String(a) < String(b) ? 1 : -1));
  return stamps.flatMap(([name]) => [name, name + FORMER]);
}

/** @throws {TypeError} for a lane that some other store has read. */
export function asStored(lane: Lane): StoredLane {
  if (!('item' in lane)) throw new TypeError('a lane of another store');
  return lane as StoredLane;
}
