import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { putVariables } from '../../../lib/context/mirror.ts';
import type { Lane, SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  answerOf,
  auditOf,
  auditPayload,
  commit,
  DAY_MS,
  HOUR_MS,
  incompressible,
  keyHash,
  laneOf,
  mirrorOf,
  newId,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  newVariable,
  outcomeOf,
  START_MS,
  settlementOf,
  storedMirror,
  valuesOf,
  writing,
} from '../../fixtures/store/session.ts';
import type { TestTable } from '../../fixtures/store/testTable.ts';

const ITEM_MAX_BYTES = 400 * 1024;

/** Bytes of an attribute as DynamoDB counts them: names, contents, and overhead for each member of a list or map. */
function sizeOf(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (value instanceof Set || Array.isArray(value)) {
    return [...value].reduce((sum: number, member) => sum + 1 + sizeOf(member), 3);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).reduce((sum, [name, member]) => sum + 1 + name.length + sizeOf(member), 3);
  }
  return typeof value === 'string' ? Buffer.byteLength(value) : 10;
}

describeOnDatabases('How sessions lie in the table', ({ newTable }) => {
  let table: TestTable;
  let store: SessionStore;
  const sessionId = newSession();
  beforeEach(async () => {
    table = await newTable();
    store = table.sessions();
  });

  const writtenKinds = () => table.written.map((sk) => sk.split('#')[0]).toSorted();

  describe('Writes', () => {
    it('of a small operation are one: the lane', async () => {
      await commit(store, sessionId);

      expect(writtenKinds()).toEqual(['LANE']);
    });

    it('of a settle are one, as long as what it says is small', async () => {
      const { lane } = await commit(store, sessionId);
      table.forgetWrites();

      await store.settle(lane, settlementOf(lane));

      expect(writtenKinds()).toEqual(['LANE']);
    });

    it('of a settle are one also when its one entry lists some dozens of changes, unless the lane carries others already', async () => {
      const changes = [{ path: `/${incompressible(2_500)}`, scope: 'session', before: null, after: '' }] as const;
      const settleWith = async () => {
        const { lane } = await commit(store, sessionId);
        const audit = lane.journal.map((entry) => auditOf(entry, { changes }));
        table.forgetWrites();
        await store.settle(lane, settlementOf(lane, { audit }));
        return writtenKinds();
      };

      expect(await settleWith()).toEqual(['LANE']);
      expect((await settleWith()).toSorted()).toEqual(['BLOB', 'LANE']);
    });

    it('of a mirror whose large values have not changed are one: they stay where they lie', async () => {
      // Prepare
      const values = { a: incompressible(600_000), b: incompressible(2_000) };
      const first = mirrorOf(1, newVariable('a', values.a), newVariable('b', values.b), newVariable('small', 1));
      const { lane } = await commit(store, sessionId);
      const options = writing({ keepUntilMs: START_MS + HOUR_MS });
      table.forgetWrites();
      const firstRef = await store.writeMirror(lane, first, options);
      expect(writtenKinds()).toEqual(['BLOB', 'BLOB', 'BLOB', 'STATE']);
      table.forgetWrites();

      // Act: one small value changes, a large one is put again as it is.
      const stored = await storedMirror(store, lane, firstRef);
      const { mirror } = putVariables(
        stored.mirror,
        [
          { key: 'small', value: 2, scope: 'session' },
          { key: 'a', value: values.a, scope: 'session' },
        ],
        { version: 2, atMs: START_MS, source: 'crm' },
      );
      const secondRef = await store.writeMirror(lane, mirror, { ...options, keepUntilMs: START_MS + 2 * HOUR_MS });

      // Assess
      expect(writtenKinds()).toEqual(['STATE']);
      expect(await loaded(lane, secondRef)).toEqual({ ...values, small: 2 });
      expect(await loaded(lane, firstRef)).toEqual({ ...values, small: 1 });
    });

    it('of a mirror that is to live longer than its large values prolong these', async () => {
      const first = mirrorOf(1, newVariable('a', incompressible(2_000)));
      const { lane } = await commit(store, sessionId);
      const options = writing({ keepUntilMs: START_MS + HOUR_MS });
      const stored = await storedMirror(store, lane, await store.writeMirror(lane, first, options));

      const keepUntilMs = START_MS + 10 * DAY_MS;
      const stateRef = await store.writeMirror(lane, stored.mirror, writing({ keepUntilMs }));

      const blobs = await table.itemsOf(sessionId, 'BLOB#');
      expect(blobs).toHaveLength(1);
      expect(blobs[0]?.['ttl']).toBeGreaterThanOrEqual(keepUntilMs / 1_000);
      const prolonged = (await storedMirror(store, lane, stateRef)).mirror.variables.get('session:/a');
      expect(prolonged?.stored?.keptUntilMs).toBeGreaterThanOrEqual(keepUntilMs);
    });

    async function loaded(lane: Lane, stateRef: string) {
      const { mirror } = await storedMirror(store, lane, stateRef);
      return valuesOf(await store.loadValues(lane, mirror));
    }
  });

  describe('The lane', () => {
    const BOUNDARY_MS = Date.UTC(2026, 10, 21, 12, 0, 0);

    it('drops idempotency keys that nobody asks for any more', async () => {
      // Prepare
      for (const [key, acceptedAtMs] of [
        ['old', BOUNDARY_MS - 1],
        ['recent', BOUNDARY_MS],
      ] as const) {
        await commit(store, sessionId, { operation: newOperation({ idempotencyHash: keyHash(key), acceptedAtMs }) });
      }
      const generations = async () =>
        Object.keys(await table.laneOf(sessionId)).filter((name) => name.startsWith('idem'));
      expect(await generations()).toHaveLength(2);

      // Act
      const lane = await laneOf(store, sessionId);
      await store.settle(lane, settlementOf(lane, { nowMs: BOUNDARY_MS + 12 * HOUR_MS }));

      // Assess
      expect(await generations()).toHaveLength(1);
    });

    it('forgets after a while which operations it has taken', async () => {
      const settle = async (nowMs: number) => {
        const { lane } = await commit(store, sessionId);
        await store.settle(lane, settlementOf(lane, { nowMs }));
      };
      const openIds = async () => (await table.laneOf(sessionId))['openIds'];
      for (let round = 0; round < 3; round += 1) await settle(START_MS + 100);
      expect(await openIds()).toHaveProperty('size', 3);

      await settle(START_MS + 61_000);

      expect(await openIds()).toHaveProperty('size', 1);
    });

    it('fits into one item with the largest operations, answers and audit entries, and every idempotency key', async () => {
      // Prepare: two generations of keys up to their limit, and refusals.
      await commit(store, sessionId, { operation: newOperation({ idempotencyHash: keyHash('a') }), lease: newLease() });
      const keys = () => new Set(Array.from({ length: 1_299 }, (_, n) => createHash('md5').update(`${n}`).digest()));
      const generation = Math.floor(START_MS / (12 * HOUR_MS));
      await table.put({
        ...(await table.laneOf(sessionId)),
        [`idem${generation - 1}`]: keys(),
        [`idem${generation}`]: keys(),
      });
      const noteRefusals = async () => {
        for (let count = 0; count < 20; count += 1)
          await store.noteRefusal(
            sessionId,
            newRefusal({ payload: auditPayload({ changes: largeChanges }) }),
            START_MS,
          );
      };

      // Act: the journal fills twice, and what the first settle has left is still in the lane at the second.
      await fill(99);
      await noteRefusals();
      const first = await settleAll(false);
      await fill(100);
      await noteRefusals();
      expect(sizeOf(await table.laneOf(sessionId))).toBeLessThan(0.95 * ITEM_MAX_BYTES);
      const second = await settleAll(true);

      // Assess
      expect([first, second]).toEqual(['settled', 'settled']);
      expect(writtenKinds()).not.toContain('BLOB');
      expect(await laneOf(store, sessionId)).toMatchObject({ confirmedVersion: 200, journal: [] });
      const audit = await store.readAudit({ sessionId }, { nowMs: START_MS, limit: 1 });
      expect(audit?.chain).toEqual({ valid: true, brokenAt: null });
    });

    /** Longest that a header may be, and a payload that is just not too large to lie in the lane. */
    const correlationId = 'c'.repeat(128);
    const client = 'c'.repeat(64);
    const largeOperation = () =>
      newOperation({
        correlationId,
        client,
        idempotencyHash: keyHash(newId()),
        payload: { kind: 'inject', variables: [{ key: 'v', value: incompressible(1_170), scope: 'session' }] },
      });
    const largeChanges = [{ path: `/${incompressible(560)}`, scope: 'session', before: null, after: '' }] as const;

    async function fill(count: number): Promise<void> {
      for (let n = 0; n < count; n += 1) {
        await commit(store, sessionId, { operation: largeOperation() });
      }
    }

    async function settleAll(outboxArchived: boolean) {
      const lane = await store.takeLease({ sessionId }, newLease(), START_MS + HOUR_MS);
      if (lane === undefined) throw new Error('somebody holds the lane');
      if (outboxArchived) await store.archive(lane);
      const audit = lane.journal.map((entry) => auditOf(entry, { changes: largeChanges }));
      const result = { text: incompressible(150) };
      const answers = lane.journal.map((entry) => answerOf(entry, { ...outcomeOf(entry), result }));
      return store.settle(lane, settlementOf(lane, { audit, answers, outboxArchived }));
    }
  });
});
