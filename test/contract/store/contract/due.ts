import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../../lib/context/sessionId.ts';
import {
  archive,
  commit,
  DAY_MS,
  laneOf,
  newOperation,
  newRefusal,
  newSession,
  operate,
  START_MS,
  STORE_OPTIONS,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

const SHARDS = Array.from({ length: STORE_OPTIONS.dueShards }, (_, shard) => shard);

export function dueContract(store: StoreUnderTest): void {
  /** The sessions of a shard that are due, as the schedule finds them. */
  async function due(shard: number, nowMs: number): Promise<SessionId[]> {
    const sessions: SessionId[] = [];
    for await (const key of store().dueSessions(shard, nowMs)) {
      const lane = await store().readLane(key);
      if (lane !== undefined) sessions.push(lane.sessionId);
    }
    return sessions;
  }

  async function dueInAnyShard(nowMs: number): Promise<SessionId[]> {
    return (await Promise.all(SHARDS.map((shard) => due(shard, nowMs)))).flat();
  }

  describe('Due index', () => {
    it('lists what is due by now, oldest first, each session in one shard', async () => {
      // Prepare: due in another order than they were made.
      const sessions = Array.from({ length: 12 }, () => newSession());
      const dueAt = new Map(sessions.map((sessionId, index) => [sessionId, START_MS + ((index * 5) % 12) * 1_000]));
      for (const [sessionId, dueAtMs] of dueAt) await commit(store(), sessionId, { dueAtMs });

      // Act
      const nowMs = START_MS + 7_000;
      const shards = await Promise.all(SHARDS.map((shard) => due(shard, nowMs)));

      // Assess
      const expected = sessions.filter((sessionId) => (dueAt.get(sessionId) ?? 0) <= nowMs);
      expect(shards.flat().toSorted()).toEqual(expected.toSorted());
      for (const shard of shards) {
        const times = shard.map((sessionId) => dueAt.get(sessionId) ?? 0);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
      }
    });

    it('moves a session to the time that its settle names', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId);

      expect(await dueInAnyShard(START_MS + 59_999)).toEqual([]);
      expect(await dueInAnyShard(START_MS + 60_000)).toEqual([sessionId]);
    });

    it('forgets a session that has nothing left to do, until something comes again', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId);
      await archive(store(), sessionId);
      const muchLaterMs = START_MS + 86_400_000;
      expect(await dueInAnyShard(muchLaterMs)).toEqual([]);

      await commit(store(), sessionId, { dueAtMs: START_MS });

      expect(await dueInAnyShard(muchLaterMs)).toEqual([sessionId]);
    });

    it('lists a session that has only been refused something, at the earlier of two times', async () => {
      const sessionId = newSession();
      await store().noteRefusal(sessionId, newRefusal(), START_MS);
      await store().noteRefusal(sessionId, newRefusal(), START_MS + 60_000);

      expect(await dueInAnyShard(START_MS)).toEqual([sessionId]);
    });
  });

  describe('A session that waits for nothing but an expiry far away', () => {
    const farAwayMs = START_MS + 30 * DAY_MS;

    async function waitingSession(): Promise<SessionId> {
      const sessionId = newSession();
      await operate(store(), sessionId, newOperation(), { dueAtMs: farAwayMs, nextExpiryMs: farAwayMs });
      return sessionId;
    }

    it('is due then, and not before', async () => {
      const sessionId = await waitingSession();

      expect(await dueInAnyShard(farAwayMs - 1)).toEqual([]);
      expect(await dueInAnyShard(farAwayMs)).toEqual([sessionId]);
    });

    it.each<[string, (sessionId: SessionId, dueAtMs: number) => Promise<unknown>]>([
      ['an operation', (sessionId, dueAtMs) => commit(store(), sessionId, { dueAtMs })],
      ['a refusal', (sessionId, dueAtMs) => store().noteRefusal(sessionId, newRefusal(), dueAtMs)],
    ])('is due earlier when %s comes', async (_, come) => {
      const sessionId = await waitingSession();

      await come(sessionId, START_MS + 60_000);

      expect(await dueInAnyShard(START_MS + 59_999)).toEqual([]);
      expect(await dueInAnyShard(START_MS + 60_000)).toEqual([sessionId]);
    });
  });

  describe('Refusals', () => {
    it('are noted without a version, also before the first operation', async () => {
      const sessionId = newSession();

      await store().noteRefusal(sessionId, newRefusal(), START_MS);

      expect(await laneOf(store(), sessionId)).toMatchObject({
        version: 0,
        confirmedVersion: 0,
        journal: [],
        hasRefusals: true,
        sessionId,
      });
    });

    it('enter the audit trail with the next settle, before what that settles', async () => {
      // Prepare
      const sessionId = newSession();
      const refusals = [newRefusal(), newRefusal()];
      for (const refusal of refusals) await store().noteRefusal(sessionId, refusal, START_MS);

      // Act
      await operate(store(), sessionId);

      // Assess
      const audit = await store().readAudit({ sessionId }, { nowMs: START_MS, limit: 10 });
      expect(audit?.chain.valid).toBe(true);
      expect(audit?.records.map(({ payload }) => payload?.outcome)).toEqual(['confirmed', 'refused', 'refused']);
      expect(audit?.records.slice(1).map(({ payload }) => payload)).toEqual(
        refusals.map(({ payload }) => payload).reverse(),
      );
      expect(await laneOf(store(), sessionId)).toMatchObject({ version: 1, hasRefusals: false });
    });

    it('beyond twenty are not kept, and stop nobody', async () => {
      const sessionId = newSession();
      for (let count = 0; count < 25; count += 1) await store().noteRefusal(sessionId, newRefusal(), START_MS);

      await operate(store(), sessionId);

      const audit = await store().readAudit({ sessionId }, { nowMs: START_MS, limit: 100 });
      expect(audit?.records).toHaveLength(21);
    });
  });
}
