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
import { AUDIT_PREFIX, sessionPk } from './keys.ts';
import { decodeLinked, type LinkedItem } from './laneItem.ts';
import { digestOf, Lanes } from './lanes.ts';
import type { Payloads } from './payloads.ts';
import type { Table } from './table.ts';

/** Reads a session's audit trail and proves it. */
export class AuditTrail {
  readonly #table: Table;
  readonly #payloads: Payloads;
  readonly #vault: Vault;

  constructor(table: Table, payloads: Payloads, vault: Vault) {
    this.#table = table;
    this.#payloads = payloads;
    this.#vault = vault;
  }

  /**
   * Reads the whole trail: a chain is proved from its first link or not at all. The lane must have been read *before* the
   * entries, so that nothing it points to can be missing.
   */
  async read(lane: Lane, session: SessionKey, query: AuditQuery): Promise<AuditPage> {
    const pk = sessionPk(this.#vault, session);
    const { chain: head, auditSalt, unarchived } = Lanes.trailOf(lane);
    const byPlace = new Map<number, LinkedItem>();
    for await (const item of this.#table.query({ pk, prefix: AUDIT_PREFIX })) {
      const place = Number(String(item['sk']).slice(AUDIT_PREFIX.length));
      const entry = decodeLinked(item);
      // What a later settle has archived meanwhile does not belong to the lane as it was read.
      if (entry !== undefined && place <= head.seq && entry.keptUntilMs > query.nowMs) byPlace.set(place, entry);
    }
    for (const entry of unarchived) byPlace.set(entry.seq, entry);
    // In the order of their places, not of what they say of themselves: two that were swapped must not look right.
    const entries = [...byPlace.entries()].sort(([a], [b]) => a - b).map(([, entry]) => entry);

    const key = this.#vault.auditKey(auditSalt);
    const verdict = verifyChain(this.#vault.chainKey(pk), entries, head, query.nowMs);
    const payloads = await this.#openAll(pk, entries, key);
    const brokenPayload = entries.find(
      (entry) => digestOf(entry.payload) !== entry.payloadDigest || !payloads.has(entry.seq),
    );
    const brokenAt = Math.min(
      verdict.brokenAt ?? Number.POSITIVE_INFINITY,
      brokenPayload?.seq ?? Number.POSITIVE_INFINITY,
    );

    const wanted = entries
      .filter((entry) => query.operationId === undefined || entry.operationId === query.operationId)
      .filter((entry) => query.beforeSeq === undefined || entry.seq < query.beforeSeq)
      .reverse();
    const page = wanted.slice(0, query.limit);
    const last = page.at(-1);
    return {
      records: page.map(({ payload: _sealed, ...entry }): AuditRecord => {
        const payload = payloads.get(entry.seq);
        return { ...entry, ...(payload !== undefined && { payload }) };
      }),
      ...(wanted.length > page.length && last !== undefined && { nextBeforeSeq: last.seq }),
      chain: Number.isFinite(brokenAt) ? { valid: false, brokenAt } : { valid: true, brokenAt: null },
    };
  }

  /** Payloads by sequence number; those that cannot be opened are left out. */
  async #openAll(pk: string, entries: readonly LinkedItem[], key: Uint8Array): Promise<Map<number, AuditPayload>> {
    const payloads = new Map<number, AuditPayload>();
    await Promise.all(
      entries.map(async ({ seq, payload }) => {
        try {
          const plain = await this.#payloads.open(pk, payload, key);
          payloads.set(seq, JSON.parse(Buffer.from(plain).toString('utf8')));
        } catch (error) {
          if (!isUnreadable(error)) throw error;
        }
      }),
    );
    return payloads;
  }
}

function isUnreadable(error: unknown): boolean {
  return error instanceof Error && (error.name === 'SealError' || error.name === 'MissingPayloadError');
}
