import { describe, expect, it } from 'vitest';
import type { SessionStore } from '../../../../lib/operations/ports/sessionStore.ts';
import {
  archive,
  auditOf,
  commit,
  DAY_MS,
  laneOf,
  newLease,
  newOperation,
  newSession,
  operate,
  START_MS,
  STORE_OPTIONS,
  settlementOf,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

const VALID = { valid: true, brokenAt: null };

export function auditContract(store: StoreUnderTest): void {
  const readAll = (sessionId: ReturnType<typeof newSession>, nowMs = START_MS) =>
    store().readAudit({ sessionId }, { nowMs, limit: 1_000 });

  describe('Audit trail', () => {
    it('does not exist of a session that does not, and is empty before anything is settled', async () => {
      const sessionId = newSession();
      expect(await readAll(sessionId)).toBeUndefined();

      await commit(store(), sessionId);

      expect(await readAll(sessionId)).toEqual({ records: [], chain: VALID });
    });

    it('verifies after its way through the store, partly in the lane, partly archived (DESIGN I6)', async () => {
      // Prepare: what the trail is to tell, one of it too large for the lane.
      const sessionId = newSession();
      const operations = Array.from({ length: 7 }, () => newOperation());
      const large = Array.from(
        { length: 100 },
        (_, n) => ({ path: `/k${n}`, scope: 'user', before: null, after: `h${n}` }) as const,
      );

      // Act
      for (const [index, operation] of operations.entries()) {
        const { lane } = await commit(store(), sessionId, { operation });
        const audit = lane.journal.map((entry) => auditOf(entry, index === 2 ? { changes: large } : {}));
        await store().settle(lane, settlementOf(lane, { audit }));
        if (index === 3) await archive(store(), sessionId);
      }

      // Assess
      const page = await readAll(sessionId);
      expect(page?.chain).toEqual(VALID);
      expect(page?.records.map(({ seq, operationId }) => [seq, operationId])).toEqual(
        operations.map(({ operationId }, index) => [index + 1, operationId]).reverse(),
      );
      expect(page?.records.map(({ payload }) => payload?.auditId)).toEqual(
        operations.map(({ auditId }) => auditId).reverse(),
      );
      expect(page?.records.find(({ seq }) => seq === 3)?.payload?.changes).toEqual(large);
    });

    it('is handed out in pages, newest first', async () => {
      const sessionId = newSession();
      for (let count = 0; count < 5; count += 1) await operate(store(), sessionId);

      const pages: number[][] = [];
      let beforeSeq: number | undefined;
      do {
        const query = { nowMs: START_MS, limit: 2, ...(beforeSeq !== undefined && { beforeSeq }) };
        const page = await store().readAudit({ sessionId }, query);
        expect(page?.chain).toEqual(VALID);
        pages.push(page?.records.map(({ seq }) => seq) ?? []);
        beforeSeq = page?.nextBeforeSeq;
      } while (beforeSeq !== undefined);

      expect(pages).toEqual([[5, 4], [3, 2], [1]]);
    });

    it('can be asked for one operation, whose entries may be several', async () => {
      // Prepare: put off twice, then confirmed, with another operation in between.
      const sessionId = newSession();
      const operation = newOperation();
      const { operationId } = operation;
      await commit(store(), sessionId, { operation });
      for (const outcome of ['pending', 'pending', 'confirmed'] as const) {
        await commit(store(), sessionId);
        const lane =
          (await store().takeLease({ sessionId }, newLease(), START_MS + DAY_MS)) ?? (await laneOf(store(), sessionId));
        const settledPrefix = outcome === 'confirmed' ? lane.journal.length : 0;
        const audit = lane.journal.map((entry) => auditOf(entry, { outcome }));
        await store().settle(
          lane,
          settlementOf(lane, { audit, settledPrefix, confirmedVersion: settledPrefix, answers: [] }),
        );
      }

      // Act
      const page = await store().readAudit({ sessionId }, { nowMs: START_MS, limit: 2, operationId });
      const rest = await store().readAudit(
        { sessionId },
        { nowMs: START_MS, limit: 2, operationId, beforeSeq: page?.nextBeforeSeq ?? 0 },
      );

      // Assess
      const outcomes = [page, rest].map((each) => each?.records.map(({ payload }) => payload?.outcome));
      expect(outcomes).toEqual([['confirmed', 'pending'], ['pending']]);
      expect(page?.chain).toEqual(VALID);
      expect(rest?.nextBeforeSeq).toBeUndefined();
    });

    it('shows nothing whose time is over, and is no less valid for it (SCENARIO 25)', async () => {
      // Prepare
      const sessionId = newSession();
      for (const day of [0, 1, 2]) {
        await operate(store(), sessionId, newOperation(), { nowMs: START_MS + day * DAY_MS });
        await archive(store(), sessionId, START_MS + day * DAY_MS);
      }

      // Act and assess
      const firstGoneMs = START_MS + STORE_OPTIONS.auditRetentionMs;
      for (const [nowMs, seqs] of [
        [firstGoneMs - 1, [3, 2, 1]],
        [firstGoneMs, [3, 2]],
        [firstGoneMs + DAY_MS, [3]],
        [firstGoneMs + 2 * DAY_MS, []],
      ] as const) {
        const page = await readAll(sessionId, nowMs);
        expect(page?.records.map(({ seq }) => seq)).toEqual(seqs);
        expect(page?.chain).toEqual(VALID);
      }
    });

    it('is valid at any moment, though a settle came from an instance whose clock is behind', async () => {
      const sessionId = newSession();
      for (const nowMs of [START_MS + 5_000, START_MS]) {
        await operate(store(), sessionId, newOperation(), { nowMs });
        await archive(store(), sessionId, nowMs);
      }

      const page = await readAll(sessionId, START_MS + STORE_OPTIONS.auditRetentionMs + 1_000);

      expect(page?.chain).toEqual(VALID);
    });

    it('is one linear chain after fifty concurrent operations (SCENARIO 42)', async () => {
      // Prepare
      const sessionId = newSession();
      const operations = Array.from({ length: 50 }, () => newOperation());

      // Act: whoever gets the lease settles all it sees.
      await Promise.all(operations.map((operation) => operateWithOthers(store(), sessionId, operation)));
      for (;;) {
        const lane = await store().takeLease({ sessionId }, newLease(), START_MS);
        if (lane === undefined) throw new Error('somebody still holds the lane');
        await store().settle(lane, settlementOf(lane));
        if (lane.journal.length === 0) break;
      }

      // Assess
      const page = await readAll(sessionId);
      expect(page?.chain).toEqual(VALID);
      const told = page?.records.toReversed() ?? [];
      expect(told.map(({ seq }) => seq)).toEqual(operations.map((_, index) => index + 1));
      expect(told.map(({ payload }) => payload?.versionAfter)).toEqual(operations.map((_, index) => index + 1));
      expect(new Set(told.map(({ operationId }) => operationId))).toEqual(
        new Set(operations.map(({ operationId }) => operationId)),
      );
    });
  });
}

async function operateWithOthers(
  store: SessionStore,
  sessionId: ReturnType<typeof newSession>,
  operation: ReturnType<typeof newOperation>,
): Promise<void> {
  const { lane, holdsLease } = await commit(store, sessionId, { operation });
  if (!holdsLease) return;
  await store.archive(lane);
  const result = await store.settle(lane, settlementOf(lane, { outboxArchived: true }));
  if (result !== 'settled') throw new Error(`not settled: ${result}`);
}
