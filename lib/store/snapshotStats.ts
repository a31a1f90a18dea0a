import type { SessionId } from '../context/sessionId.ts';
import type { SnapshotStats, SnapshotStatsStore } from '../operations/ports/snapshotStats.ts';
import type { Vault } from '../platform/vault.ts';
import { sessionPk, snapshotsKey } from './keys.ts';
import { type Table, ttlSeconds } from './table.ts';

const KEPT_MS = 35 * 24 * 3_600_000;

/** {@link SnapshotStatsStore} in the table: one item for each session, of plain numbers. */
export class DynamoSnapshotStats implements SnapshotStatsStore {
  readonly #table: Table;
  readonly #vault: Vault;

  constructor(table: Table, vault: Vault) {
    this.#table = table;
    this.#vault = vault;
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

  async replace(
    sessionId: SessionId,
    { seen, next, nowMs }: Parameters<SnapshotStatsStore['replace']>[1],
  ): Promise<void> {
    await this.#table.update({
      key: this.#keyOf(sessionId),
      expression:
        'SET latenciesMs = :latenciesMs, totalRetrieved = :totalRetrieved, pages = :pages, #reads = :reads, #ttl = :ttl',
      condition: seen === undefined ? 'attribute_not_exists(pk)' : '#reads = :seen',
      names: { '#reads': 'reads', '#ttl': 'ttl' },
      values: {
        ':latenciesMs': next.latenciesMs,
        ':totalRetrieved': next.totalRetrieved,
        ':pages': next.pages,
        ':reads': next.reads,
        ':ttl': ttlSeconds(nowMs + KEPT_MS),
        ':seen': seen?.reads,
      },
      answer: 'nothing',
    });
  }

  #keyOf(sessionId: SessionId) {
    return snapshotsKey(sessionPk(this.#vault, { sessionId }));
  }
}
