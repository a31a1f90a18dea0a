import type { SessionId } from '../context/sessionId.ts';
import type { SnapshotStats, SnapshotStatsStore } from '../operations/ports/snapshotStats.ts';
import type { Random } from '../platform/random.ts';
import type { Vault } from '../platform/vault.ts';
import { sessionPk, snapshotsKey } from './keys.ts';
import { type Table, ttlSeconds } from './table.ts';

const KEPT_MS = 35 * 24 * 3_600_000;

/** {@link SnapshotStatsStore} in the table: one item for each session, of plain numbers. */
export class DynamoSnapshotStats implements SnapshotStatsStore {
  readonly #table: Table;
  readonly #vault: Vault;
  readonly #random: Random;

  constructor(table: Table, vault: Vault, random: Random) {
    this.#table = table;
    this.#vault = vault;
    this.#random = random;
  }

  async read(sessionId: SessionId): Promise<SnapshotStats | undefined> {
    const item = await this.#table.get(this.#keyOf(sessionId));
    if (item === undefined) return undefined;
    const { latenciesMs, totalRetrieved, pages, reads } = item;
    // What another version has written is no reason not to answer: it is counted from here on.
    return {
      latenciesMs: Array.isArray(latenciesMs) ? latenciesMs.filter((each) => typeof each === 'number') : [],
      totalRetrieved: typeof totalRetrieved === 'number' ? totalRetrieved : 0,
      pages: typeof pages === 'number' ? pages : 1,
      reads: typeof reads === 'number' ? reads : 0,
    };
  }

  async add(sessionId: SessionId, { seen, next, nowMs }: Parameters<SnapshotStatsStore['add']>[1]): Promise<void> {
    const key = this.#keyOf(sessionId);
    const counts = {
      ':retrieved': next.totalRetrieved - (seen?.totalRetrieved ?? 0),
      ':one': 1,
      // Where an answer is lost the SDK sends the same again: what has been counted is known by its id.
      ':readId': this.#random.ulid(nowMs),
      ':ttl': ttlSeconds(nowMs + KEPT_MS),
    };
    const result = await this.#table.update({
      key,
      expression:
        'SET latenciesMs = :latenciesMs, pages = :pages, readId = :readId, #ttl = :ttl ADD totalRetrieved :retrieved, #reads :one',
      condition: seen === undefined ? 'attribute_not_exists(pk)' : '#reads = :seen',
      names: { '#reads': 'reads', '#ttl': 'ttl' },
      values: { ...counts, ':latenciesMs': next.latenciesMs, ':pages': next.pages, ':seen': seen?.reads },
      answer: 'nothing',
    });
    if (result.kind === 'updated') return;
    // Somebody was quicker; or it has been counted already; or it has been erased, and must not come back.
    await this.#table.update({
      key,
      expression: 'SET readId = :readId, #ttl = :ttl ADD totalRetrieved :retrieved, #reads :one',
      condition: 'attribute_exists(pk) AND (attribute_not_exists(readId) OR readId <> :readId)',
      names: { '#reads': 'reads', '#ttl': 'ttl' },
      values: counts,
      answer: 'nothing',
    });
  }

  #keyOf(sessionId: SessionId) {
    return snapshotsKey(sessionPk(this.#vault, { sessionId }));
  }
}
