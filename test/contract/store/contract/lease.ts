import { describe, expect, it } from 'vitest';
import { commit, laneOf, newLease, newSession, operate, START_MS } from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

export function leaseContract(store: StoreUnderTest): void {
  describe('Lease', () => {
    it('is not to be had of a session that does not exist, and does not make it exist', async () => {
      const sessionId = newSession();

      expect(await store().takeLease({ sessionId }, newLease(), START_MS)).toBeUndefined();
      expect(await store().readLane({ sessionId })).toBeUndefined();
    });

    it('stays with its holder until its time is over', async () => {
      // Prepare
      const sessionId = newSession();
      const lease = newLease();
      await commit(store(), sessionId, { lease });

      // Act and assess
      expect(await store().takeLease({ sessionId }, newLease(), lease.untilMs - 1)).toBeUndefined();
      expect(await laneOf(store(), sessionId)).toMatchObject({ lease });
      const successor = newLease(lease.untilMs);
      expect(await store().takeLease({ sessionId }, successor, lease.untilMs)).toMatchObject({
        lease: successor,
        version: 1,
      });
    });

    it('goes to its holder again', async () => {
      const sessionId = newSession();
      const lease = newLease();
      await commit(store(), sessionId, { lease });

      expect(await store().takeLease({ sessionId }, lease, START_MS)).toMatchObject({ lease });
    });

    it('is free after a settle, and goes to one of several', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId);

      const taken = await Promise.all(
        Array.from({ length: 10 }, () => store().takeLease({ sessionId }, newLease(), START_MS)),
      );

      expect(taken.filter((lane) => lane !== undefined)).toHaveLength(1);
    });

    it('does not go to a later commit while somebody holds it', async () => {
      const sessionId = newSession();
      const lease = newLease();
      await commit(store(), sessionId, { lease });

      expect(await commit(store(), sessionId)).toMatchObject({ holdsLease: false, lane: { lease } });
    });
  });
}
