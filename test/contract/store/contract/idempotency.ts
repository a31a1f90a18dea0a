import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../../lib/context/sessionId.ts';
import {
  commit,
  HOUR_MS,
  keyHash,
  laneOf,
  newLease,
  newOperation,
  newSession,
  operate,
  settlementOf,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

/** Where one generation of keys ends and the next begins: every twelve hours of the epoch. */
const BOUNDARY_MS = Date.UTC(2026, 10, 21, 12, 0, 0);

export function idempotencyContract(store: StoreUnderTest): void {
  async function commitKeyed(sessionId: SessionId, idempotencyHash: string, acceptedAtMs = BOUNDARY_MS) {
    const operation = newOperation({ idempotencyHash, acceptedAtMs });
    const lease = newLease(acceptedAtMs);
    return (await store().commit({ sessionId, operation, lease, dueAtMs: lease.untilMs })).kind;
  }

  describe('Idempotency keys', () => {
    it('takes one of several concurrent operations with the same key (SCENARIOS 12, 13)', async () => {
      const sessionId = newSession();

      const kinds = await Promise.all(Array.from({ length: 10 }, () => commitKeyed(sessionId, keyHash('k'))));

      expect(kinds.toSorted()).toEqual(['committed', ...Array(9).fill('repeated')]);
      expect((await laneOf(store(), sessionId)).journal).toHaveLength(1);
    });

    it('takes the same key of another client, in another session, and any operation without a key (SCENARIO 12)', async () => {
      const sessionId = newSession();
      await commitKeyed(sessionId, keyHash('k', 'crm'));

      expect(await commitKeyed(sessionId, keyHash('k', 'bot'))).toBe('committed');
      expect(await commitKeyed(newSession(), keyHash('k', 'crm'))).toBe('committed');
      expect(await commit(store(), sessionId)).toMatchObject({ version: 3 });
      expect(await commit(store(), sessionId)).toMatchObject({ version: 4 });
    });

    it('remembers a key when its operation is settled', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId, newOperation({ idempotencyHash: keyHash('k'), acceptedAtMs: BOUNDARY_MS }));

      expect(await commitKeyed(sessionId, keyHash('k'))).toBe('repeated');
    });

    it.each([
      ['the next generation begins', BOUNDARY_MS - 1, BOUNDARY_MS],
      ['the next generation ends', BOUNDARY_MS, BOUNDARY_MS + 24 * HOUR_MS - 1],
      ['an instance repeats it whose clock is still in the generation before', BOUNDARY_MS, BOUNDARY_MS - 1],
    ])('still knows a key when %s', async (_, firstAtMs, againAtMs) => {
      const sessionId = newSession();
      await commitKeyed(sessionId, keyHash('k'), firstAtMs);

      expect(await commitKeyed(sessionId, keyHash('k'), againAtMs)).toBe('repeated');
    });

    it.each([
      ['twelve hours at the least', BOUNDARY_MS - 1, BOUNDARY_MS + 12 * HOUR_MS],
      ['twenty-four hours at the most', BOUNDARY_MS, BOUNDARY_MS + 24 * HOUR_MS],
    ])('forgets a key after %s', async (_, firstAtMs, againAtMs) => {
      const sessionId = newSession();
      await commitKeyed(sessionId, keyHash('k'), firstAtMs);

      expect(await commitKeyed(sessionId, keyHash('k'), againAtMs)).toBe('committed');
    });

    it('keeps the keys of the generation before when it settles, and only those', async () => {
      // Prepare
      const sessionId = newSession();
      await commitKeyed(sessionId, keyHash('old'), BOUNDARY_MS - 1);
      await commitKeyed(sessionId, keyHash('recent'), BOUNDARY_MS);
      const nowMs = BOUNDARY_MS + 12 * HOUR_MS;
      const lane = await laneOf(store(), sessionId);

      // Act
      await store().settle(lane, settlementOf(lane, { nowMs }));

      // Assess
      expect(await commitKeyed(sessionId, keyHash('recent'), nowMs)).toBe('repeated');
      expect(await commitKeyed(sessionId, keyHash('old'), nowMs)).toBe('committed');
    });

    it.each([
      ['the same generation', BOUNDARY_MS],
      ['the generation after', BOUNDARY_MS + 12 * HOUR_MS],
    ])('takes a key again that was released in %s', async (_, nowMs) => {
      // Prepare
      const sessionId = newSession();
      const released = keyHash('released');
      await commitKeyed(sessionId, released);
      await commitKeyed(sessionId, keyHash('kept'));
      const lane = await laneOf(store(), sessionId);

      // Act
      await store().settle(lane, settlementOf(lane, { nowMs, answers: [], releasedKeys: [released] }));

      // Assess
      expect(await commitKeyed(sessionId, released, nowMs)).toBe('committed');
      expect(await commitKeyed(sessionId, keyHash('kept'), nowMs)).toBe('repeated');
    });

    it('takes several keys again that were released together, also the last one of a session', async () => {
      const sessionId = newSession();
      const keys = ['a', 'b'].map((key) => keyHash(key));
      for (const key of keys) await commitKeyed(sessionId, key);
      const lane = await laneOf(store(), sessionId);

      await store().settle(lane, settlementOf(lane, { nowMs: BOUNDARY_MS, answers: [], releasedKeys: keys }));

      for (const key of keys) expect(await commitKeyed(sessionId, key)).toBe('committed');
    });
  });
}
