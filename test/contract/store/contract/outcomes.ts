import { describe, expect, it } from 'vitest';
import {
  answerOf,
  archive,
  commit,
  keyHash,
  newOperation,
  newSession,
  operate,
  outcomeOf,
  settlementOf,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

export function outcomesContract(store: StoreUnderTest): void {
  describe('Outcomes', () => {
    it('are unknown of operations and sessions that do not exist', async () => {
      const sessionId = newSession();
      expect(await store().findOutcome({ sessionId }, keyHash('k'))).toEqual({ kind: 'unknown' });

      await commit(store(), sessionId);

      expect(await store().findOutcome({ sessionId }, keyHash('k'))).toEqual({ kind: 'unknown' });
    });

    it('tell of an operation under way, so that a repeat can join it (SCENARIO 8)', async () => {
      const sessionId = newSession();
      const operation = newOperation({ idempotencyHash: keyHash('k') });
      await commit(store(), sessionId);
      await commit(store(), sessionId, { operation });

      const prior = await store().findOutcome({ sessionId }, keyHash('k'));

      const { operationId, auditId, fingerprint } = operation;
      expect(prior).toMatchObject({ kind: 'running', entry: { operationId, auditId, fingerprint, version: 2 } });
    });

    it.each([
      ['with an idempotency key', keyHash('k')],
      ['without one', undefined],
    ])('are the same from the lane and from the archive, %s', async (_, idempotencyHash) => {
      // Prepare
      const sessionId = newSession();
      const operation = newOperation(idempotencyHash === undefined ? {} : { idempotencyHash });
      const outcomeId = idempotencyHash ?? operation.operationId;
      const { lane } = await commit(store(), sessionId, { operation });
      const [entry] = lane.journal;
      if (entry === undefined) throw new Error('one was committed');

      // Act
      await store().settle(lane, settlementOf(lane));
      const fromLane = await store().findOutcome({ sessionId }, outcomeId);
      await archive(store(), sessionId);
      const fromArchive = await store().findOutcome({ sessionId }, outcomeId);

      // Assess
      expect(fromLane).toEqual({ kind: 'settled', fingerprint: operation.fingerprint, outcome: outcomeOf(entry) });
      expect(fromArchive).toEqual(fromLane);
    });

    it('come back whole where they are large and many', async () => {
      // Prepare
      const sessionId = newSession();
      const operations = Array.from({ length: 40 }, () => newOperation());
      for (const operation of operations) await commit(store(), sessionId, { operation });
      const lane = await store().readLane({ sessionId });
      if (lane === undefined) throw new Error('forty were committed');
      const result = { text: keyHash('large').repeat(2_000) };
      const answers = lane.journal.map((entry) => ({ ...answerOf(entry), outcome: { ...outcomeOf(entry), result } }));

      // Act
      await store().settle(lane, settlementOf(lane, { answers }));
      await archive(store(), sessionId);

      // Assess
      for (const { outcomeId, outcome } of answers) {
        expect(await store().findOutcome({ sessionId }, outcomeId)).toMatchObject({ kind: 'settled', outcome });
      }
    });

    it('of a key that was released and used again are those of its second use', async () => {
      // Prepare
      const sessionId = newSession();
      const idempotencyHash = keyHash('k');
      await operate(store(), sessionId, newOperation({ idempotencyHash }), {
        answers: [],
        releasedKeys: [idempotencyHash],
      });
      expect(await store().findOutcome({ sessionId }, idempotencyHash)).toEqual({ kind: 'unknown' });

      // Act
      const again = newOperation({ idempotencyHash });
      await operate(store(), sessionId, again);

      // Assess
      expect(await store().findOutcome({ sessionId }, idempotencyHash)).toMatchObject({
        kind: 'settled',
        outcome: { operationId: again.operationId, version: 2 },
      });
    });
  });
}
