import { expect, it } from 'vitest';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  auditOf,
  commit,
  incompressible,
  laneOf,
  newSession,
  operate,
  settlementOf,
} from '../../fixtures/store/session.ts';

describeOnDatabases('What a lane has to tell', ({ newTable }) => {
  it('is every operation that has ended and is not archived, oldest first', async () => {
    const store = (await newTable()).sessions();
    const session = newSession();
    await operate(store, session);
    await operate(store, session);
    const told = await store.readOutbox(await laneOf(store, session));
    expect(told.map(({ payload }) => payload.versionAfter)).toEqual([1, 2]);
  });

  it('is told without what is damaged: one entry must not silence its session', async () => {
    const table = await newTable();
    const store = table.sessions();
    const session = newSession();
    const { lane } = await commit(store, session);
    const changes = Array.from({ length: 20 }, () => {
      return { path: `/${incompressible(300)}`, scope: 'session', before: null, after: null } as const;
    });
    const audit = lane.journal.map((entry) => auditOf(entry, { changes }));
    expect(await store.settle(lane, settlementOf(lane, { audit }))).toBe('settled');
    await operate(store, session);
    const versions = async () =>
      (await store.readOutbox(await laneOf(store, session))).map(({ payload }) => payload.versionAfter);
    expect(await versions()).toEqual([1, 2]);

    const parts = await table.itemsOf(session, 'BLOB#');
    expect(parts).not.toEqual([]);
    for (const part of parts) await table.delete(part);

    expect(await versions()).toEqual([2]);
  });
});
