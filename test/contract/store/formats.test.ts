import { beforeEach, describe, expect, it } from 'vitest';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import { type SessionStore, StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  archive,
  commit,
  incompressible,
  keyHash,
  laneOf,
  newErasure,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  newVariable,
  operate,
  operateWithMirror,
  START_MS,
  settlementOf,
} from '../../fixtures/store/session.ts';
import type { StoredItem, TestTable } from '../../fixtures/store/testTable.ts';

describeOnDatabases('Items of another version of the bridge ', ({ newTable }) => {
  let table: TestTable;
  let store: SessionStore;
  let sessionId: SessionId;
  beforeEach(async () => {
    table = await newTable();
    store = table.sessions();
    sessionId = newSession();
  });

  /** As a newer bridge would leave the item; what it looks like inside is not for this one to know. */
  async function madeNewer(item: StoredItem | undefined): Promise<StoredItem> {
    if (item === undefined) throw new Error('there is no such item');
    const newer = { ...item, format: Number(item['format']) + 1, journal: [{ from: 'the future' }] };
    await table.put(newer);
    return newer;
  }

  const refused = (promise: Promise<unknown>) => expect(promise).rejects.toThrow(StoreError);

  it('carry their format: lanes, mirrors, audit entries and answers', async () => {
    const operation = newOperation({ idempotencyHash: keyHash('k') });
    await operateWithMirror(store, sessionId, [newVariable('a', 1)], { operation });
    await archive(store, sessionId);

    const kinds = (await table.scan()).map(({ sk, format }) => [sk.split('#')[0], format]);

    expect(Object.fromEntries(kinds)).toEqual({ LANE: 1, STATE: 1, AUDIT: 1, OUTCOME: 1 });
  });

  describe('SCENARIO 48: Lane', () => {
    it.each<[string, (lane: Awaited<ReturnType<typeof commit>>['lane']) => Promise<unknown>]>([
      ['a read', () => store.readLane({ sessionId })],
      ['a commit', () => commit(store, sessionId)],
      ['a settle', (lane) => store.settle(lane, settlementOf(lane))],
      ['the audit trail', () => store.readAudit({ sessionId }, { nowMs: START_MS, limit: 1 })],
      ['a question for an outcome', () => store.findOutcome({ sessionId }, keyHash('k'))],
    ])('of a newer format is refused by %s, and not damaged', async (_, act) => {
      const { lane } = await commit(store, sessionId);
      const newer = await madeNewer(await table.laneOf(sessionId));

      await refused(act(lane));

      expect(await table.laneOf(sessionId)).toEqual(newer);
    });

    it('of a newer format gives nobody its lease and takes no refusal', async () => {
      await operate(store, sessionId);
      const newer = await madeNewer(await table.laneOf(sessionId));

      expect(await store.takeLease({ sessionId }, newLease(), START_MS)).toBeUndefined();
      await store.noteRefusal(sessionId, newRefusal(), START_MS);

      expect(await table.laneOf(sessionId)).toEqual(newer);
    });

    it('of a newer format is not erased, nor what hangs on it', async () => {
      const stateRef = await operateWithMirror(store, sessionId, [newVariable('a', incompressible(2_000))]);
      const lane = await laneOf(store, sessionId);
      await madeNewer(await table.laneOf(sessionId));
      const content = async () => [await table.itemsOf(sessionId, 'STATE#'), await table.itemsOf(sessionId, 'BLOB#')];
      const before = [await table.laneOf(sessionId), await content()];

      expect(await store.erase(lane, newErasure())).toBe(false);

      expect([await table.laneOf(sessionId), await content()]).toEqual(before);
      expect(await store.readMirror(lane, stateRef)).toBeDefined();
    });

    it('that is damaged is refused too', async () => {
      await commit(store, sessionId);
      await table.put({ ...(await table.laneOf(sessionId)), journal: 'nonsense' });

      await refused(store.readLane({ sessionId }));
    });
  });

  it('that are mirrors are refused when they are newer, and not damaged', async () => {
    const stateRef = await operateWithMirror(store, sessionId, [newVariable('a', 1)]);
    const lane = await laneOf(store, sessionId);
    const newer = await madeNewer((await table.itemsOf(sessionId, 'STATE#'))[0]);

    await refused(store.readMirror(lane, stateRef));
    await refused(store.readHistory(lane, 1));

    expect(await table.itemsOf(sessionId, 'STATE#')).toEqual([newer]);
  });

  it('that are mirrors are refused also where they only lie on the way to an older one', async () => {
    for (const value of [1, 2]) await operateWithMirror(store, sessionId, [newVariable('a', value)]);
    const lane = await laneOf(store, sessionId);
    expect(await store.readHistory(lane, 1)).toMatchObject({ mirror: { version: 1 } });

    await madeNewer((await table.itemsOf(sessionId, 'STATE#'))[1]);

    // What it says of those before it is not for this bridge to know.
    await refused(store.readHistory(lane, 1));
  });

  it('that are audit entries are refused when they are newer, and not damaged', async () => {
    await operate(store, sessionId);
    await archive(store, sessionId);
    const newer = await madeNewer((await table.itemsOf(sessionId, 'AUDIT#'))[0]);

    await refused(store.readAudit({ sessionId }, { nowMs: START_MS, limit: 1 }));

    expect(await table.itemsOf(sessionId, 'AUDIT#')).toEqual([newer]);
  });

  it('that are answers are refused when they are newer, and not damaged', async () => {
    await operate(store, sessionId, newOperation({ idempotencyHash: keyHash('k') }));
    await archive(store, sessionId);
    const newer = await madeNewer((await table.itemsOf(sessionId, 'OUTCOME#'))[0]);

    await refused(store.findOutcome({ sessionId }, keyHash('k')));

    expect(await table.itemsOf(sessionId, 'OUTCOME#')).toEqual([newer]);
  });
});
