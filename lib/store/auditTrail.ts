import type { KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { verifyChain } from '../context/auditChain.ts';
import type {
  AuditPage,
  AuditPayload,
  AuditQuery,
  AuditRecord,
  Lane,
  SessionKey,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { AUDIT_PREFIX, auditSeqOf } from './keys.ts';
import { decodeLinked, type LinkedItem } from './laneItem.ts';
import type { LaneReader } from './laneReader.ts';
import { digestOf, isUnreadable, type Payloads } from './payloads.ts';
import type { Table } from './table.ts';

/** Entries by their place in the trail: what an entry says of itself may be forged, where it lies may not. */
type Places = ReadonlyMap<number, LinkedItem>;

interface Trail {
  readonly places: Places;
  /** Places at which something is wrong that the chain alone would not show. */
  readonly broken: readonly number[];
}

/** Reads a session's audit trail and proves it. */
export class AuditTrail {
  readonly #table: Table;
  readonly #lanes: LaneReader;
  readonly #payloads: Payloads;
  readonly #vault: Vault;

  constructor(table: Table, lanes: LaneReader, payloads: Payloads, vault: Vault) {
    this.#table = table;
    this.#lanes = lanes;
    this.#payloads = payloads;
    this.#vault = vault;
  }

  /** Reads the whole trail: a chain is proved from its first link or not at all. */
  async read(session: SessionKey, query: AuditQuery): Promise<AuditPage | undefined> {
    // Before the entries, so that nothing it points to can be missing.
    const lane = await this.#lanes.read(session);
    if (lane === undefined) return undefined;
    const { pk, chain: head, erasedSeq, key } = this.#lanes.trailOf(lane);
    const { places, broken } = await this.#readTrail(session, lane, query.nowMs);

    const verdict = verifyChain(this.#vault.chainKey(pk), [...places.values()], head, query.nowMs);
    const payloads = await this.#openAll(pk, places, key, erasedSeq);
    const closed = [...places.keys()].filter((place) => place > erasedSeq && !payloads.has(place));
    const later = closed.length === 0 ? lane : await this.#lanes.read(session);
    if (later === undefined) return undefined;
    // Gone with an erasure that came while we read, or not to be opened by anybody.
    const erasedSince = this.#lanes.trailOf(later).erasedSeq;
    const misplaced = [...places].filter(
      ([place, { seq, payload, payloadDigest }]) =>
        seq !== place || digestOf(payload) !== payloadDigest || (place > erasedSince && !payloads.has(place)),
    );
    const brokenAt = Math.min(
      verdict.brokenAt ?? Number.POSITIVE_INFINITY,
      ...broken,
      ...misplaced.map(([place]) => place),
    );

    const wanted = [...places]
      .filter(([, { operationId }]) => query.operationId === undefined || operationId === query.operationId)
      .filter(([place]) => query.beforeSeq === undefined || place < query.beforeSeq)
      .reverse();
    const page = wanted.slice(0, query.limit);
    const last = page.at(-1);
    return {
      records: page.map(([place, entry]) => recordOf(entry, payloads.get(place))),
      ...(wanted.length > page.length && last !== undefined && { nextBeforeSeq: last[0] }),
      chain: Number.isFinite(brokenAt) ? { valid: false, brokenAt } : { valid: true, brokenAt: null },
    };
  }

  /** The newest entries, newest first. Nothing is proved. */
  async readRecent(
    lane: Lane,
    { nowMs, limit }: { readonly nowMs: number; readonly limit: number },
  ): Promise<readonly AuditRecord[]> {
    const { pk, chain: head, unarchived, key, erasedSeq } = this.#lanes.trailOf(lane);
    const places = new Map<number, LinkedItem>();
    for (const [index, entry] of unarchived.slice(-limit).reverse().entries()) places.set(head.seq - index, entry);
    for await (const item of this.#table.query({ pk, prefix: AUDIT_PREFIX, newestFirst: true, limit })) {
      const place = auditSeqOf(item['sk']);
      const entry = decodeLinked(item);
      const isIn = place !== undefined && place <= head.seq && !places.has(place);
      if (isIn && entry !== undefined && entry.keptUntilMs > nowMs) places.set(place, entry);
    }
    const newest = new Map([...places].sort(([a], [b]) => b - a).slice(0, limit));
    const payloads = await this.#openAll(pk, newest, key, erasedSeq);
    return [...newest].map(([place, entry]) => recordOf(entry, payloads.get(place)));
  }

  async #readTrail(session: SessionKey, lane: Lane, nowMs: number): Promise<Trail> {
    const { pk, chain: head, unarchived } = this.#lanes.trailOf(lane);
    const places = new Map<number, LinkedItem>();
    const broken: number[] = [];
    const beyond: number[] = [];
    let last = 0;
    for await (const item of this.#table.query({ pk, prefix: AUDIT_PREFIX })) {
      const place = auditSeqOf(item['sk']);
      if (place === undefined) {
        broken.push(last + 1);
        continue;
      }
      last = place;
      if (place > head.seq) {
        beyond.push(place);
        continue;
      }
      const entry = decodeLinked(item);
      if (entry === undefined) broken.push(place);
      else if (entry.keptUntilMs > nowMs) places.set(place, entry);
    }
    const firstPlace = firstPlaceOf(unarchived, head.seq);
    for (const [index, entry] of unarchived.entries()) {
      const place = firstPlace + index;
      const archived = places.get(place);
      if (archived !== undefined && !isDeepStrictEqual(archived, entry)) broken.push(place);
      places.set(place, entry);
    }
    if (beyond.length > 0) {
      // Archived since the lane was read, by settles that moved its head; or never linked by anybody.
      const later = await this.#lanes.read(session);
      const seq = later === undefined ? head.seq : this.#lanes.trailOf(later).chain.seq;
      broken.push(...beyond.filter((place) => place > seq));
    }
    return { places: new Map([...places].sort(([a], [b]) => a - b)), broken };
  }

  /** Payloads by place; those that cannot be opened are left out, as are those of what has been erased. */
  async #openAll(pk: string, places: Places, key: KeyObject, erasedSeq: number): Promise<Map<number, AuditPayload>> {
    const payloads = new Map<number, AuditPayload>();
    const readable = [...places].filter(([place]) => place > erasedSeq);
    await Promise.all(
      readable.map(async ([place, { payload }]) => {
        try {
          const plain = await this.#payloads.open(pk, payload, key);
          payloads.set(place, JSON.parse(Buffer.from(plain).toString('utf8')));
        } catch (error) {
          if (!isUnreadable(error)) throw error;
        }
      }),
    );
    return payloads;
  }
}

function recordOf({ payload: _sealed, ...entry }: LinkedItem, payload: AuditPayload | undefined): AuditRecord {
  return { ...entry, ...(payload !== undefined && { payload }) };
}

/** Where the lane's entries begin: where they say, if they agree with each other; else counted back from the chain's end. */
function firstPlaceOf(entries: readonly LinkedItem[], headSeq: number): number {
  const [first, ...others] = entries.map(({ seq }) => seq);
  const agree = first !== undefined && others.length > 0 && others.every((seq, index) => seq === first + 1 + index);
  return agree ? first : headSeq - entries.length + 1;
}
