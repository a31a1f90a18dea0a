import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../../lib/context/sessionId.ts';
import {
  answerOf,
  archive,
  auditOf,
  commit,
  DAY_MS,
  idleSettlementOf,
  laneOf,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  operate,
  START_MS,
  settlementOf,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

const AUDIT_QUERY = { nowMs: START_MS, limit: 10 };

export function settleContract(store: StoreUnderTest): void {
  describe('Settle', () => {
    it('confirms what was pushed and frees the lease', async () => {
      // Prepare
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);

      // Act
      const result = await store().settle(
        lane,
        settlementOf(lane, { stateRef: 'ref-1', idleUntilMs: START_MS + 3_600_000, deferrals: 2, deferredVersion: 1 }),
      );

      // Assess
      expect(result).toBe('settled');
      const settled = await laneOf(store(), sessionId);
      expect(settled).toMatchObject({
        version: 1,
        confirmedVersion: 1,
        journal: [],
        stateRef: 'ref-1',
        idleUntilMs: START_MS + 3_600_000,
        hasEnded: false,
        deferrals: 2,
        deferredVersion: 1,
        hasOutbox: true,
      });
      expect(settled.lease).toBeUndefined();
    });

    it('leaves mirror and idle time as they are where it says nothing of them', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId, newOperation(), { stateRef: 'ref-1', idleUntilMs: START_MS + 1 });

      await operate(store(), sessionId);

      expect(await laneOf(store(), sessionId)).toMatchObject({ stateRef: 'ref-1', idleUntilMs: START_MS + 1 });
    });

    it('keeps the time of the next expiry, and forgets it when there is none any more', async () => {
      const sessionId = newSession();
      const nextExpiryMs = START_MS + 3_600_000;

      await operate(store(), sessionId, newOperation(), { nextExpiryMs });
      expect(await laneOf(store(), sessionId)).toMatchObject({ nextExpiryMs });
      expect((await commit(store(), sessionId)).lane).toMatchObject({ nextExpiryMs });
      const lane = await laneOf(store(), sessionId);
      await store().settle(lane, settlementOf(lane, { nextExpiryMs: undefined }));

      expect(await laneOf(store(), sessionId)).not.toHaveProperty('nextExpiryMs');
    });

    it('notes that the session has ended', async () => {
      const sessionId = newSession();

      await operate(store(), sessionId, newOperation(), { sessionEnded: true });

      expect(await laneOf(store(), sessionId)).toMatchObject({ hasEnded: true });
    });

    it('leaves operations alone that were committed since the lane was read', async () => {
      // Prepare
      const sessionId = newSession();
      for (let version = 1; version < 4; version += 1) await commit(store(), sessionId);
      const lane = await laneOf(store(), sessionId);
      const late = [newOperation(), newOperation()];
      for (const operation of late) await commit(store(), sessionId, { operation });

      // Act
      await store().settle(lane, settlementOf(lane));

      // Assess
      const { version, confirmedVersion, journal } = await laneOf(store(), sessionId);
      expect({ version, confirmedVersion }).toEqual({ version: 5, confirmedVersion: 3 });
      expect(journal.map((entry) => [entry.version, entry.operationId])).toEqual(
        late.map(({ operationId }, index) => [4 + index, operationId]),
      );
      expect(await journal[0]?.payload()).toEqual(late[0]?.payload);
    });

    it('keeps what ended behind an operation that is still pending', async () => {
      // Prepare: of three operations the second has ended.
      const sessionId = newSession();
      for (let version = 1; version < 4; version += 1) await commit(store(), sessionId);
      const lane = await laneOf(store(), sessionId);
      const [first, second, third] = lane.journal;
      if (first === undefined || second === undefined || third === undefined) throw new Error('three were committed');

      // Act
      await store().settle(
        lane,
        settlementOf(lane, {
          settledPrefix: 0,
          confirmedVersion: 0,
          endedVersions: [2],
          audit: [auditOf(second)],
          answers: [answerOf(second)],
        }),
      );

      // Assess
      const { confirmedVersion, endedVersions, journal } = await laneOf(store(), sessionId);
      expect({ confirmedVersion, endedVersions }).toEqual({ confirmedVersion: 0, endedVersions: new Set([2]) });
      expect(journal.map(({ version }) => version)).toEqual([1, 2, 3]);
      const kinds = [first, second, third].map(({ operationId }) => store().findOutcome({ sessionId }, operationId));
      expect((await Promise.all(kinds)).map(({ kind }) => kind)).toEqual(['running', 'settled', 'running']);
    });

    it('carries its outbox on until that is archived', async () => {
      // Prepare
      const sessionId = newSession();
      const operations = [newOperation(), newOperation()];
      for (const operation of operations) await operate(store(), sessionId, operation);

      // Act
      await archive(store(), sessionId);

      // Assess
      expect(await laneOf(store(), sessionId)).toMatchObject({ hasOutbox: false });
      const audit = await store().readAudit({ sessionId }, AUDIT_QUERY);
      expect(audit?.chain).toEqual({ valid: true, brokenAt: null });
      expect(audit?.records.map(({ operationId }) => operationId)).toEqual(
        operations.map(({ operationId }) => operationId).reverse(),
      );
    });

    it('archives the same outbox twice with one effect', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId);
      await store().archive(await laneOf(store(), sessionId));

      await archive(store(), sessionId);

      const audit = await store().readAudit({ sessionId }, AUDIT_QUERY);
      expect(audit).toMatchObject({ chain: { valid: true }, records: [{ seq: 1 }] });
    });
  });

  describe('Settle of a zombie', () => {
    it('is fenced off once somebody else has taken the lease, and changes nothing', async () => {
      // Prepare
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      const successor = newLease(START_MS + 10_000);
      await store().takeLease({ sessionId }, successor, successor.untilMs);

      // Act
      const result = await store().settle(lane, settlementOf(lane));

      // Assess
      expect(result).toBe('fenced');
      expect(await laneOf(store(), sessionId)).toMatchObject({ confirmedVersion: 0, lease: successor });
    });

    it('is fenced off when its successor has settled', async () => {
      // Prepare
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      const taken = await store().takeLease({ sessionId }, newLease(), START_MS + 10_000);
      if (taken === undefined) throw new Error('the lease was not to be had');
      await store().settle(taken, settlementOf(taken, { stateRef: 'successor' }));

      // Act
      const result = await store().settle(lane, settlementOf(lane, { stateRef: 'zombie' }));

      // Assess
      expect(result).toBe('fenced');
      expect(await laneOf(store(), sessionId)).toMatchObject({ stateRef: 'successor' });
      expect(await store().readAudit({ sessionId }, AUDIT_QUERY)).toMatchObject({
        chain: { valid: true },
        records: [{ seq: 1 }],
      });
    });

    it('still counts while nobody has taken over, however late it is', async () => {
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);

      expect(await store().settle(lane, settlementOf(lane, { nowMs: START_MS + 60_000 }))).toBe('settled');
    });
  });

  /** What may come between the reading of a lane and its settle. */
  const COMING: readonly [string, (sessionId: SessionId) => Promise<unknown>][] = [
    ['an operation', (sessionId) => commit(store(), sessionId)],
    ['a refusal', (sessionId) => store().noteRefusal(sessionId, newRefusal(), START_MS)],
  ];

  describe('Settle that sees nothing left to do', () => {
    it.each(COMING)('has to settle again when %s has come since', async (_, come) => {
      // Prepare
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      await come(sessionId);

      // Act
      const first = await store().settle(lane, idleSettlementOf(lane));
      const before = await laneOf(store(), sessionId);
      const second = await store().settle(lane, settlementOf(lane));

      // Assess
      expect([first, second]).toEqual(['moved-on', 'settled']);
      expect(before).toMatchObject({ confirmedVersion: 0, lease: lane.lease });
      expect(await laneOf(store(), sessionId)).toMatchObject({ confirmedVersion: 1 });
    });

    it.each(COMING)('but an expiry far away has to settle again when %s has come since', async (_, come) => {
      // Prepare
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      await come(sessionId);
      const farAwayMs = START_MS + 30 * DAY_MS;
      const expiring = { nextExpiryMs: farAwayMs, dueAtMs: farAwayMs };

      // Act
      const first = await store().settle(lane, settlementOf(lane, { ...expiring, isOtherwiseIdle: true }));
      const before = await laneOf(store(), sessionId);
      const again = { nextExpiryMs: farAwayMs, dueAtMs: START_MS + 100, isOtherwiseIdle: false };
      const second = await store().settle(lane, settlementOf(lane, again));

      // Assess
      expect([first, second]).toEqual(['moved-on', 'settled']);
      expect(before).toMatchObject({ confirmedVersion: 0, lease: lane.lease });
      expect(before).not.toHaveProperty('nextExpiryMs');
      expect(await laneOf(store(), sessionId)).toMatchObject({
        confirmedVersion: 1,
        nextExpiryMs: farAwayMs,
        dueAtMs: START_MS + 100,
      });
    });

    it('but an expiry far away is enough where nothing has come: the lane is due then', async () => {
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      const farAwayMs = START_MS + 30 * DAY_MS;
      const expiring = { nextExpiryMs: farAwayMs, dueAtMs: farAwayMs };

      expect(await store().settle(lane, settlementOf(lane, { ...expiring, isOtherwiseIdle: true }))).toBe('settled');

      expect(await laneOf(store(), sessionId)).toMatchObject(expiring);
    });

    it('need not settle again where it has something to do anyway, whatever has come', async () => {
      for (const [, come] of COMING) {
        const sessionId = newSession();
        const { lane } = await commit(store(), sessionId);
        await come(sessionId);

        expect(await store().settle(lane, settlementOf(lane))).toBe('settled');
      }
    });

    it('is fenced off, and not told to settle again, where the lease is gone', async () => {
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      await store().takeLease({ sessionId }, newLease(), START_MS + 10_000);
      await commit(store(), sessionId);

      const idle = { dueAtMs: START_MS + 30 * DAY_MS, isOtherwiseIdle: true };
      expect(await store().settle(lane, settlementOf(lane, idle))).toBe('fenced');
    });

    it('is enough where nothing has come', async () => {
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);

      expect(await store().settle(lane, idleSettlementOf(lane))).toBe('settled');
    });

    it('is enough after refusals that it has linked itself', async () => {
      const sessionId = newSession();
      await store().noteRefusal(sessionId, newRefusal(), START_MS);
      const { lane } = await commit(store(), sessionId);

      expect(await store().settle(lane, idleSettlementOf(lane))).toBe('settled');
      expect(await laneOf(store(), sessionId)).toMatchObject({ hasRefusals: false });
      await expect(archive(store(), sessionId)).resolves.toBeUndefined();
    });
  });
}
