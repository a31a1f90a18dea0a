import { beforeEach, describe, expect, it } from 'vitest';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  commit,
  erase,
  idleSettlementOf,
  keyHash,
  laneOf,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  operate,
  START_MS,
  settlementOf,
} from '../../fixtures/store/session.ts';
import type { TestTable } from '../../fixtures/store/testTable.ts';

/** The database did it, its answer was lost, and the SDK sends the same request again (DESIGN I2). */
describeOnDatabases('A lost acknowledgement', ({ newTable }) => {
  let table: TestTable;
  let store: SessionStore;
  let sessionId: SessionId;
  beforeEach(async () => {
    table = await newTable();
    store = table.sessions();
    sessionId = newSession();
  });

  describe('of a commit', () => {
    it.each([
      ['with an idempotency key', { idempotencyHash: keyHash('k') }],
      ['without one', {}],
    ])('is no second operation and no repeat, %s', async (_, keyed) => {
      await commit(store, sessionId, { lease: newLease() });
      const operation = newOperation(keyed);

      table.loseNextAcknowledgement();
      const committed = await commit(store, sessionId, { operation });

      expect(committed).toMatchObject({ version: 2, holdsLease: false });
      expect((await laneOf(store, sessionId)).journal).toHaveLength(2);
    });

    it('leaves the lease with whom it gave it to', async () => {
      table.loseNextAcknowledgement();

      const { lane, holdsLease } = await commit(store, sessionId);

      expect(holdsLease).toBe(true);
      expect(await store.settle(lane, settlementOf(lane))).toBe('settled');
    });

    it('that filled the journal is not told to be busy', async () => {
      await Promise.all(Array.from({ length: 99 }, () => commit(store, sessionId)));

      table.loseNextAcknowledgement();

      expect(await commit(store, sessionId)).toMatchObject({ version: 100 });
    });

    it('is known even when somebody has settled the operation before the SDK asks again', async () => {
      const operation = newOperation();
      const lease = newLease();
      await commit(store, sessionId, { operation, lease });
      const lane = await laneOf(store, sessionId);
      await store.settle(lane, settlementOf(lane));

      const again = await store.commit({ sessionId, operation, lease, dueAtMs: lease.untilMs });

      expect(again).toMatchObject({ kind: 'committed', version: 1, holdsLease: false });
      expect((await laneOf(store, sessionId)).journal).toEqual([]);
    });
  });

  it('of a commit that was given up, and lands when others have been settled since, is no second operation', async () => {
    const operation = newOperation();
    const first = { sessionId, operation, lease: newLease(), dueAtMs: START_MS };
    const { lane } = await commit(store, sessionId, { operation, lease: first.lease });
    await store.settle(lane, settlementOf(lane));
    for (let settles = 0; settles < 3; settles += 1) await operate(store, sessionId);

    await store.commit(first);

    expect(await laneOf(store, sessionId)).toMatchObject({ version: 4, journal: [] });
  });

  it('of a commit that was given up, and lands after an erase, brings nothing back', async () => {
    const operation = newOperation();
    const first = { sessionId, operation, lease: newLease(), dueAtMs: START_MS };
    const { lane } = await commit(store, sessionId, { operation, lease: first.lease });
    await store.settle(lane, settlementOf(lane));
    await erase(store, sessionId);

    await store.commit(first);

    expect(await laneOf(store, sessionId)).toMatchObject({ version: 1, erasedVersion: 1, journal: [] });
  });

  it('of a lease leaves it with its holder', async () => {
    await operate(store, sessionId);
    const lease = newLease();

    table.loseNextAcknowledgement();

    expect(await store.takeLease({ sessionId }, lease, START_MS)).toMatchObject({ lease });
  });

  describe('of a settle', () => {
    it.each([
      ['that leaves something to do', settlementOf],
      ['that does not', idleSettlementOf],
    ])('%s is one settle, and takes nothing from the journal twice', async (_, settlement) => {
      // Prepare
      for (let version = 1; version < 4; version += 1) await commit(store, sessionId);
      const lane = await laneOf(store, sessionId);

      // Act
      table.loseNextAcknowledgement();
      const result = await store.settle(lane, settlement(lane));

      // Assess
      expect(result).toBe('settled');
      const audit = await store.readAudit({ sessionId }, { nowMs: START_MS, limit: 10 });
      expect(audit?.chain.valid).toBe(true);
      expect(audit?.records.map(({ seq }) => seq)).toEqual([3, 2, 1]);
    });

    it('spares what was committed before the SDK asks again', async () => {
      const { lane } = await commit(store, sessionId);
      await store.settle(lane, settlementOf(lane));
      await commit(store, sessionId, { lease: newLease() });

      const again = await store.settle(lane, settlementOf(lane));

      expect(again).toBe('settled');
      expect(await laneOf(store, sessionId)).toMatchObject({ version: 2, journal: [{ version: 2 }] });
    });
  });

  describe('of a snapshot’s metrics', () => {
    const stats = (reads: number) => ({ latenciesMs: [5], totalRetrieved: 10 * reads, pages: 1, reads });
    const first = { seen: undefined, next: stats(1), nowMs: START_MS };

    it('is one read', async () => {
      const counted = table.snapshotStats();

      table.loseNextAcknowledgement();
      await counted.add(sessionId, first);

      expect(await counted.read(sessionId)).toEqual(stats(1));
    });

    it('is one read, too, where somebody was quicker', async () => {
      const counted = table.snapshotStats();
      await counted.add(sessionId, first);
      // The condition fails, which is an answer; the one that is lost is the one behind it.
      table.interruptNext('UpdateItemCommand', async () =>
        table.interruptNext('UpdateItemCommand', async () => table.loseNextAcknowledgement()),
      );

      await counted.add(sessionId, first);

      expect(await counted.read(sessionId)).toEqual(stats(2));
    });
  });

  it('of a refusal is one entry in the audit trail', async () => {
    const refusal = newRefusal();
    table.loseNextAcknowledgement();
    await store.noteRefusal(sessionId, refusal, START_MS);

    await operate(store, sessionId);

    const audit = await store.readAudit({ sessionId }, { nowMs: START_MS, limit: 10 });
    expect(
      audit?.records.map(({ operationId }) => operationId).filter((id) => id === refusal.operationId),
    ).toHaveLength(1);
  });
});
