import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../../lib/context/sessionId.ts';
import { type AuditPage, type Lane, NOBODY, type SessionKey } from '../../../../lib/operations/ports/sessionStore.ts';
import {
  archive,
  auditOf,
  commit,
  erase,
  HOUR_MS,
  idleSettlementOf,
  incompressible,
  keyHash,
  laneOf,
  mirrorOf,
  newErasure,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  newVariable,
  operate,
  operateWithMirror,
  START_MS,
  STORE_OPTIONS,
  settlementOf,
  storedMirror,
  valuesOf,
  writing,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

const VALID = { valid: true, brokenAt: null };
const LEASE_OVER = { ...newLease(), untilMs: START_MS };

export function eraseContract(store: StoreUnderTest): void {
  async function trailOf(sessionId: SessionId, nowMs = START_MS): Promise<AuditPage> {
    const page = await store().readAudit({ sessionId }, { nowMs, limit: 1_000 });
    if (page === undefined) throw new Error('the session has no trail');
    return page;
  }

  /** What the trail says of each entry, oldest first; `undefined` where that can be read no more. */
  const told = ({ records }: AuditPage) => records.map(({ payload }) => payload?.operation).toReversed();

  async function dueSessions(nowMs: number): Promise<SessionKey[]> {
    const due: SessionKey[] = [];
    for (let shard = 0; shard < STORE_OPTIONS.dueShards; shard += 1) {
      for await (const key of store().dueSessions(shard, nowMs)) due.push(key);
    }
    return due;
  }

  /** The key of the only session that is due, as the schedule has got it. */
  async function dueKey(nowMs: number): Promise<SessionKey> {
    const [key] = await dueSessions(nowMs);
    if (key === undefined) throw new Error('no session is due');
    return key;
  }

  /** A session with work settled and archived, settled only, pending and refused, left by a holder whose time is over. */
  async function busySession(): Promise<{ sessionId: SessionId; lane: Lane; stateRef: string }> {
    const sessionId = newSession();
    await operateWithMirror(store(), sessionId, [newVariable('a', 1)]);
    await archive(store(), sessionId);
    const large = [newVariable('a', 2), newVariable('large', incompressible(2_000))];
    const operation = newOperation({ idempotencyHash: keyHash('settled') });
    const stateRef = await operateWithMirror(store(), sessionId, large, { operation });
    const pending = newOperation({ idempotencyHash: keyHash('pending') });
    await commit(store(), sessionId, { operation: pending, lease: LEASE_OVER });
    await store().noteRefusal(sessionId, newRefusal(), START_MS);
    return { sessionId, lane: await laneOf(store(), sessionId), stateRef };
  }

  describe('Erase (SCENARIO 43)', () => {
    it('leaves nothing of a session but its version', async () => {
      const { sessionId, lane, stateRef } = await busySession();

      expect(await store().erase(lane, newErasure())).toBe(true);

      const erased = await laneOf(store(), sessionId);
      expect(erased).toMatchObject({
        sessionId,
        version: 3,
        confirmedVersion: 3,
        deferredVersion: 3,
        erasedVersion: 3,
        journal: [],
        endedVersions: new Set(),
        idleUntilMs: 0,
        hasEnded: false,
        deferrals: 0,
        hasRefusals: false,
      });
      for (const gone of ['lease', 'stateRef', 'dueAtMs', 'nextExpiryMs']) expect(erased).not.toHaveProperty(gone);
      expect(await store().readProgress({ sessionId })).toEqual({
        confirmedVersion: 3,
        endedVersions: new Set(),
        deferredVersion: 3,
        erasedVersion: 3,
      });
      for (const reader of [lane, erased]) expect(await store().readMirror(reader, stateRef)).toBeUndefined();
      expect(await dueSessions(START_MS + 1_000 * HOUR_MS)).toEqual([]);
    });

    it('takes the time of the next expiry, and a session that had ended, along', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId, newOperation(), { nextExpiryMs: START_MS + 1, sessionEnded: true });

      await erase(store(), sessionId);

      const erased = await laneOf(store(), sessionId);
      expect(erased).toMatchObject({ hasEnded: false });
      expect(erased).not.toHaveProperty('nextExpiryMs');
    });

    it('of a session leaves others alone', async () => {
      const [{ sessionId }, other] = [await busySession(), await busySession()];
      const before = { lane: other.lane, audit: await trailOf(other.sessionId) };

      await erase(store(), sessionId);

      const after = { lane: await laneOf(store(), other.sessionId), audit: await trailOf(other.sessionId) };
      expect(JSON.stringify(after)).toBe(JSON.stringify(before));
      expect(told(after.audit)).toEqual(['inject', 'inject']);
      const { mirror } = await storedMirror(store(), other.lane, other.stateRef);
      expect(valuesOf(await store().loadValues(other.lane, mirror))).toHaveProperty('large');
    });

    describe('The audit trail', () => {
      it('still verifies, says no more what its older entries said, and ends with the erasure', async () => {
        // Prepare
        const { sessionId, lane } = await busySession();
        const before = await trailOf(sessionId);
        expect(told(before)).toEqual(['inject', 'inject']);
        const erasure = newErasure(START_MS + 5);

        // Act
        await store().erase(lane, erasure);

        // Assess
        const { chain, records } = await trailOf(sessionId);
        expect(chain).toEqual(VALID);
        const { operationId, atMs, payload } = erasure.entry;
        expect(records[0]).toMatchObject({ seq: 3, operationId, atMs, payload });
        expect(records.slice(1)).toEqual(before.records.map(({ payload: _payload, ...entry }) => entry));
      });

      it('still verifies when the erasure is archived, and at any moment of its life (SCENARIO 25)', async () => {
        // Prepare: entries of several days, the last one still in the lane when it is erased.
        const sessionId = newSession();
        const times = [0, 24, 48].map((hours) => START_MS + hours * HOUR_MS);
        for (const nowMs of times) await operate(store(), sessionId, newOperation(), { nowMs });
        const erasedMs = START_MS + 72 * HOUR_MS;
        await erase(store(), sessionId, erasedMs);

        // Act
        const inLane = await trailOf(sessionId, erasedMs);
        await archive(store(), sessionId, erasedMs + 1);

        // Assess
        expect(await trailOf(sessionId, erasedMs)).toEqual(inLane);
        expect(await laneOf(store(), sessionId)).toMatchObject({ hasOutbox: false });
        const goneMs = [...times, erasedMs].map((ms) => ms + STORE_OPTIONS.auditRetentionMs);
        for (const [index, goneAtMs] of goneMs.entries()) {
          for (const nowMs of [goneAtMs - 1, goneAtMs]) {
            const page = await trailOf(sessionId, nowMs);
            expect(page.chain).toEqual(VALID);
            expect(page.records).toHaveLength(4 - index - (nowMs === goneAtMs ? 1 : 0));
          }
        }
      });

      it('loses what was noted as refused, and no entry of it comes later', async () => {
        const sessionId = newSession();
        await store().noteRefusal(sessionId, newRefusal(), START_MS);

        await erase(store(), sessionId);
        await operate(store(), sessionId);

        expect(told(await trailOf(sessionId))).toEqual(['erase', 'inject']);
      });

      it('loses what was too large for its entry, and is no less valid for it', async () => {
        const sessionId = newSession();
        const { lane } = await commit(store(), sessionId);
        const path = `/${incompressible(3_000)}`;
        const changes = [{ path, scope: 'user', before: null, after: 'h' }] as const;
        const audit = lane.journal.map((entry) => auditOf(entry, { changes }));
        await store().settle(lane, settlementOf(lane, { audit }));

        await erase(store(), sessionId);

        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(told(page)).toEqual([undefined, 'erase']);
      });
    });

    describe('A lane that has changed since it was read', () => {
      it.each<[string, (sessionId: SessionId) => Promise<unknown>]>([
        ['a commit', (sessionId) => commit(store(), sessionId)],
        ['a refusal', (sessionId) => store().noteRefusal(sessionId, newRefusal(), START_MS)],
        [
          'a settle',
          async (sessionId) => {
            const taken = await store().takeLease({ sessionId }, newLease(), START_MS + HOUR_MS);
            if (taken === undefined) throw new Error('somebody holds the lane');
            expect(await store().settle(taken, settlementOf(taken))).toBe('settled');
          },
        ],
        ['another erasure', (sessionId) => erase(store(), sessionId)],
      ])('is not erased, and not damaged: by %s', async (_, change) => {
        // Prepare
        const { sessionId, lane, stateRef } = await busySession();
        await change(sessionId);
        const read = async () =>
          JSON.stringify([await laneOf(store(), sessionId), await trailOf(sessionId), await mirrorNow()]);
        const mirrorNow = async () => (await store().readMirror(await laneOf(store(), sessionId), stateRef)) ?? 'none';
        const before = await read();

        // Act
        const wasErased = await store().erase(lane, newErasure());

        // Assess
        expect(wasErased).toBe(false);
        expect(await read()).toBe(before);
        expect((await trailOf(sessionId)).chain).toEqual(VALID);
      });

      it('by a first settle is not erased either', async () => {
        const { lane } = await commit(store(), newSession());
        await store().settle(lane, idleSettlementOf(lane));

        expect(await store().erase(lane, newErasure())).toBe(false);
      });

      it.each<[string, typeof LEASE_OVER | undefined]>([
        ['of a free lane', undefined],
        ['left by somebody', LEASE_OVER],
      ])(
        'by a lease alone, %s, is not erased either: when its holder is through, nobody would know',
        async (_, left) => {
          const sessionId = newSession();
          if (left === undefined) await operate(store(), sessionId);
          else await commit(store(), sessionId, { lease: left });
          const lane = await laneOf(store(), sessionId);
          const holder = await store().takeLease({ sessionId }, newLease(), START_MS);
          if (holder === undefined) throw new Error('somebody holds the lane');

          expect(await store().erase(lane, newErasure())).toBe(false);

          expect(await laneOf(store(), sessionId)).toMatchObject({ lease: holder.lease });
        },
      );

      it('by another holder’s lease is not erased either', async () => {
        const sessionId = newSession();
        const { lane } = await commit(store(), sessionId);
        const successor = newLease(START_MS + HOUR_MS);
        await store().takeLease({ sessionId }, successor, START_MS + HOUR_MS);

        expect(await store().erase(lane, newErasure())).toBe(false);

        expect(await laneOf(store(), sessionId)).toMatchObject({ lease: successor });
      });
    });

    describe('Whoever held the lease', () => {
      it('is fenced out, and what it writes late opens for nobody', async () => {
        // Prepare
        const { sessionId, lane } = await busySession();
        await erase(store(), sessionId);

        // Act: mirror, outbox and settle of an operation that was under way.
        const late = mirrorOf(3, newVariable('late', 'value'), newVariable('large', incompressible(2_000)));
        const stateRef = await store().writeMirror(lane, late, writing({ since: 3 }));
        await store().archive(lane);
        const settled = await store().settle(lane, settlementOf(lane, { stateRef, outboxArchived: true }));

        // Assess
        expect(settled).toBe('fenced');
        const erased = await laneOf(store(), sessionId);
        expect(erased).toMatchObject({ version: 3, confirmedVersion: 3, erasedVersion: 3 });
        expect(erased).not.toHaveProperty('stateRef');
        await expect(store().readMirror(erased, stateRef)).rejects.toThrow();
        const { mirror } = await storedMirror(store(), lane, stateRef);
        await expect(store().loadValues(erased, mirror)).rejects.toThrow();
        expect(await store().findOutcome({ sessionId }, keyHash('settled'))).toEqual({ kind: 'erased' });
        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(told(page)).toEqual([undefined, undefined, 'erase']);
      });

      it('may go on sending until its end, and nobody else gets it before: not an operation that comes since', async () => {
        // Prepare
        const sessionId = newSession();
        const lease = newLease();
        const { lane } = await commit(store(), sessionId, { lease });

        // Act
        await erase(store(), sessionId);

        // Assess
        const kept = { fence: NOBODY, untilMs: lease.untilMs };
        expect(await store().settle(lane, settlementOf(lane))).toBe('fenced');
        expect(await store().readProgress({ sessionId })).toMatchObject({ lease: kept });
        expect(await dueSessions(lease.untilMs)).toEqual([]);
        const next = await commit(store(), sessionId);
        expect(next).toMatchObject({ holdsLease: false, lane: { lease: kept } });
        expect(await dueSessions(lease.untilMs)).toHaveLength(1);
        expect(await store().takeLease({ sessionId }, newLease(), lease.untilMs - 1)).toBeUndefined();
        const taken = await store().takeLease({ sessionId }, newLease(), lease.untilMs);
        expect(taken).toMatchObject({ journal: [{ version: next.version }] });
      });

      it('keeps its end, however often the session is erased meanwhile', async () => {
        const sessionId = newSession();
        const lease = newLease();
        await commit(store(), sessionId, { lease });
        await erase(store(), sessionId);
        expect(await store().erase(await laneOf(store(), sessionId), newErasure(START_MS + 1))).toBe(true);
        await commit(store(), sessionId);

        await erase(store(), sessionId, START_MS + 1);

        const erased = await laneOf(store(), sessionId);
        expect(erased).toMatchObject({ erasedVersion: 2, journal: [], lease: { untilMs: lease.untilMs } });
        expect(told(await trailOf(sessionId))).toEqual([undefined, 'erase']);
      });

      it('is fenced out of the session that begins anew, too', async () => {
        // Prepare
        const { sessionId, lane } = await busySession();
        await erase(store(), sessionId);
        await operateWithMirror(store(), sessionId, [newVariable('new', 1)]);

        // Act
        const late = mirrorOf(4, newVariable('late', 1));
        const stateRef = await store().writeMirror(lane, late, writing({ since: 1 }));
        await store().archive(lane);
        const settled = await store().settle(lane, settlementOf(lane, { stateRef }));

        // Assess
        expect(settled).toBe('fenced');
        const now = await laneOf(store(), sessionId);
        const stored = await store().readHistory(now, 4);
        expect(valuesOf(stored?.mirror ?? mirrorOf(0))).toEqual({ new: 1 });
        expect((await trailOf(sessionId)).chain).toEqual(VALID);
      });
    });

    describe('An idempotency key', () => {
      it.each([
        ['settled and archived', true],
        ['settled', false],
      ])('still counts as used when its operation was %s: nothing comes back', async (_, isArchived) => {
        const sessionId = newSession();
        const idempotencyHash = keyHash('k');
        await operate(store(), sessionId, newOperation({ idempotencyHash }));
        if (isArchived) await archive(store(), sessionId);
        await erase(store(), sessionId);

        const operation = newOperation({ idempotencyHash });
        const again = await store().commit({ sessionId, operation, lease: newLease(), dueAtMs: START_MS });

        expect(again).toEqual({ kind: 'repeated' });
        expect(await store().findOutcome({ sessionId }, idempotencyHash)).toEqual({ kind: 'erased' });
        expect(await laneOf(store(), sessionId)).toMatchObject({ version: 1, erasedVersion: 1, journal: [] });
      });

      it('still counts as used when its operation was pending', async () => {
        const { sessionId } = await busySession();
        await erase(store(), sessionId);

        const operation = newOperation({ idempotencyHash: keyHash('pending') });
        const again = await store().commit({ sessionId, operation, lease: newLease(), dueAtMs: START_MS });

        expect(again).toEqual({ kind: 'repeated' });
        expect(await store().findOutcome({ sessionId }, keyHash('pending'))).toEqual({ kind: 'erased' });
      });

      it('of before counts as used also when the session has begun anew, whose own keys have outcomes', async () => {
        const { sessionId } = await busySession();
        await erase(store(), sessionId);
        await operate(store(), sessionId, newOperation({ idempotencyHash: keyHash('new') }));

        const operation = newOperation({ idempotencyHash: keyHash('settled') });
        const again = await store().commit({ sessionId, operation, lease: newLease(), dueAtMs: START_MS });

        expect(again).toEqual({ kind: 'repeated' });
        for (const isArchived of [false, true]) {
          if (isArchived) await archive(store(), sessionId);
          expect(await store().findOutcome({ sessionId }, keyHash('settled'))).toEqual({ kind: 'erased' });
          expect(await store().findOutcome({ sessionId }, keyHash('new'))).toMatchObject({ kind: 'settled' });
        }
      });

      it('is not needed to be told: an operation without one is erased, too', async () => {
        const sessionId = newSession();
        const operation = newOperation();
        await operate(store(), sessionId, operation);

        await erase(store(), sessionId);

        expect(await store().findOutcome({ sessionId }, operation.operationId)).toEqual({ kind: 'erased' });
      });
    });

    describe('A session that was erased', () => {
      it('can be asked for by those who know its id, and by nobody else', async () => {
        // Prepare: the key of a session, as the schedule has got it a moment before.
        const sessionId = newSession();
        await commit(store(), sessionId, { lease: LEASE_OVER });
        const key = await dueKey(START_MS);
        expect(await store().readLane(key)).toMatchObject({ sessionId });

        // Act
        await erase(store(), sessionId);

        // Assess
        expect(await store().readLane(key)).toBeUndefined();
        expect(await store().readAudit(key, { nowMs: START_MS, limit: 1 })).toBeUndefined();
        expect(await store().takeLease(key, newLease(), START_MS)).toBeUndefined();
        const lane = await laneOf(store(), sessionId);
        expect(lane).toMatchObject({ sessionId, erasedVersion: 1 });
        expect(lane).not.toHaveProperty('lease');
      });

      it('begins anew with the next operation, of which everything can be read', async () => {
        // Prepare
        const { sessionId } = await busySession();
        await erase(store(), sessionId);

        // Act
        const operation = newOperation({ idempotencyHash: keyHash('new') });
        const { lane, version, holdsLease } = await commit(store(), sessionId, { operation });

        // Assess
        expect({ version, holdsLease }).toEqual({ version: 4, holdsLease: true });
        expect(lane).toMatchObject({ sessionId, confirmedVersion: 3, erasedVersion: 3 });
        expect(lane.journal.map((entry) => entry.version)).toEqual([4]);
        expect(await lane.journal[0]?.payload()).toEqual(operation.payload);
        expect(await store().readLane(await dueKey(START_MS + HOUR_MS))).toMatchObject({ sessionId });
        const stateRef = await store().writeMirror(lane, mirrorOf(4, newVariable('b', 1)), writing({ since: 4 }));
        expect(await store().settle(lane, settlementOf(lane, { stateRef }))).toBe('settled');
        const stored = await store().readHistory(await laneOf(store(), sessionId), 4);
        expect(valuesOf(stored?.mirror ?? mirrorOf(0))).toEqual({ b: 1 });
        for (const isArchived of [false, true]) {
          if (isArchived) await archive(store(), sessionId);
          const page = await trailOf(sessionId);
          expect(page.chain).toEqual(VALID);
          expect(told(page)).toEqual([undefined, undefined, 'erase', 'inject']);
          expect(page.records[0]?.payload?.versionAfter).toBe(4);
        }
      });

      it('can begin with a refusal, which tells nothing of before', async () => {
        const { sessionId } = await busySession();
        await erase(store(), sessionId);

        await store().noteRefusal(sessionId, newRefusal(), START_MS);
        await archive(store(), sessionId);

        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(page.records.map(({ payload }) => payload?.outcome)).toEqual([
          'refused',
          'confirmed',
          undefined,
          undefined,
        ]);
      });

      it('and has begun anew can be erased again, with an entry of its own', async () => {
        // Prepare
        const { sessionId } = await busySession();
        await erase(store(), sessionId);
        const stateRef = await operateWithMirror(store(), sessionId, [newVariable('b', 1)]);
        const lane = await laneOf(store(), sessionId);

        // Act
        await erase(store(), sessionId);

        // Assess
        expect(await store().readMirror(lane, stateRef)).toBeUndefined();
        expect(await laneOf(store(), sessionId)).toMatchObject({ version: 4, erasedVersion: 4 });
        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(told(page)).toEqual([undefined, undefined, undefined, undefined, 'erase']);
      });

      it('and has only been refused something since is erased again with what that says', async () => {
        const { sessionId } = await busySession();
        await erase(store(), sessionId);
        await store().noteRefusal(sessionId, newRefusal(), START_MS);
        await archive(store(), sessionId);

        await erase(store(), sessionId);

        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(told(page)).toEqual([undefined, undefined, undefined, undefined, 'erase']);
      });
    });

    describe('Twice', () => {
      it.each<[string, () => Promise<SessionId>]>([
        ['a busy session', async () => (await busySession()).sessionId],
        [
          'a session that was only ever refused something',
          async () => {
            const sessionId = newSession();
            await store().noteRefusal(sessionId, newRefusal(), START_MS);
            return sessionId;
          },
        ],
      ])('does no harm and adds no second entry: %s', async (_, make) => {
        // Prepare
        const sessionId = await make();
        await erase(store(), sessionId);
        const read = async () => JSON.stringify([await laneOf(store(), sessionId), await trailOf(sessionId)]);
        const before = await read();

        // Act
        const again = await store().erase(await laneOf(store(), sessionId), newErasure(START_MS + 1));

        // Assess
        expect(again).toBe(true);
        expect(await read()).toBe(before);
        expect(told(await trailOf(sessionId)).filter((operation) => operation === 'erase')).toHaveLength(1);
      });

      it('does no harm after the erasure was archived either', async () => {
        const { sessionId } = await busySession();
        await erase(store(), sessionId);
        await archive(store(), sessionId);

        expect(await store().erase(await laneOf(store(), sessionId), newErasure())).toBe(true);

        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(told(page)).toEqual([undefined, undefined, 'erase']);
      });

      it('at once erases once', async () => {
        const { sessionId, lane } = await busySession();

        const results = await Promise.all(Array.from({ length: 4 }, () => store().erase(lane, newErasure())));

        expect(results.filter((wasErased) => wasErased)).toHaveLength(1);
        const page = await trailOf(sessionId);
        expect(page.chain).toEqual(VALID);
        expect(told(page)).toEqual([undefined, undefined, 'erase']);
      });
    });
  });
}
