import { beforeAll, describe, expect, it } from 'vitest';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { OutboundEvent } from '../../../lib/operations/ports/eventQueue.ts';
import { DynamoDeliveryQueue } from '../../../lib/store/deliveryQueue.ts';
import { DynamoEventQueue } from '../../../lib/store/eventQueue.ts';
import type { DynamoSnapshotStats } from '../../../lib/store/snapshotStats.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  commit,
  DAY_MS,
  erase,
  newId,
  newSession,
  operate,
  START_MS,
  STORE_OPTIONS,
} from '../../fixtures/store/session.ts';
import type { TestTable } from '../../fixtures/store/testTable.ts';

const eventOf = (sessionId: SessionId, paths: readonly string[] = ['/tier']): OutboundEvent => ({
  type: 'variable_snapshot',
  timestamp: new Date(START_MS).toISOString(),
  data: { sessionId, event: 'variable_snapshot', operationId: newId(), version: 3, paths },
});

describeOnDatabases('DynamoEventQueue', ({ newTable }) => {
  let table: TestTable;
  let queue: DynamoEventQueue;
  let deliveries: DynamoDeliveryQueue;
  beforeAll(async () => {
    table = await newTable();
    queue = new DynamoEventQueue(table.table, table.vault, STORE_OPTIONS);
    deliveries = new DynamoDeliveryQueue(table.table, table.vault, STORE_OPTIONS);
  });

  /** What may be delivered now; it may be again. */
  async function due(nowMs: number) {
    const found: { readonly eventId: string; readonly event: OutboundEvent }[] = [];
    for (let shard = 0; shard < STORE_OPTIONS.dueShards; shard += 1) {
      for await (const ref of deliveries.due(shard, nowMs)) {
        const taken = await deliveries.claim(ref, { nowMs, untilMs: nowMs });
        if (taken.kind === 'claimed') found.push({ eventId: ref.eventId, event: taken.claim.event });
      }
    }
    return found;
  }
  const dueOf = async (sessionId: SessionId, nowMs = START_MS) =>
    (await due(nowMs)).filter(({ event }) => event.data.sessionId === sessionId);

  it('hands out what was put in, oldest first, and not before its time', async () => {
    const session = newSession();
    const events = [0, 1, 2].map((minute) => ({ event: eventOf(session), eventId: newId(), minute }));
    for (const { event, eventId, minute } of events.toReversed()) {
      await queue.enqueue(event, { eventId, dueAtMs: START_MS + minute * 60_000 });
    }
    expect(await dueOf(session, START_MS - 1)).toEqual([]);
    const [first, second] = events.map(({ event, eventId }) => ({ event, eventId }));
    expect(await dueOf(session, START_MS + 60_000)).toEqual([first, second]);
  });

  it('the same event again is one event', async () => {
    const session = newSession();
    const event = eventOf(session);
    const place = { eventId: newId(), dueAtMs: START_MS };
    await queue.enqueue(event, place);
    await queue.enqueue(event, place);
    expect(await dueOf(session)).toHaveLength(1);
  });

  it('an event that is put again says what was put last; one that is taken back says nothing', async () => {
    const session = newSession();
    const [kept, gone] = [newId(), newId()].map((eventId) => ({ eventId, dueAtMs: START_MS }));
    if (kept === undefined || gone === undefined) throw new TypeError('no places');
    for (const place of [kept, gone]) await queue.enqueue(eventOf(session, []), place);
    await queue.complete(eventOf(session, ['/a']), kept);
    await queue.withdraw(eventOf(session), gone);
    await queue.complete(eventOf(session, ['/b']), gone);
    expect((await dueOf(session)).map(({ event }) => event.data.paths)).toEqual([['/a']]);
  });

  it('SCENARIO 42: says nothing in plain', async () => {
    const session = newSession();
    const event = eventOf(session, ['/a-name-to-be-kept-out']);
    await queue.enqueue(event, { eventId: newId(), dueAtMs: START_MS });
    const [item] = await table.itemsOf(session, 'EVENT#');
    expect(Object.keys(item ?? {}).sort()).toEqual([
      'body',
      'dueAt',
      'dueShard',
      'format',
      'isSalted',
      'pk',
      'sk',
      'ttl',
    ]);
    expect(item?.['ttl']).toBe((START_MS + 7 * DAY_MS) / 1_000);
    const plain = JSON.stringify(item) + Buffer.from((item?.['body'] as Uint8Array) ?? []).toString('latin1');
    for (const secret of [session, 'kept-out', event.data.operationId]) expect(plain).not.toContain(secret);
  });

  it('the schedule of lanes does not see it, nor does this one see lanes', async () => {
    const session = newSession();
    const store = table.sessions();
    await queue.enqueue(eventOf(session), { eventId: newId(), dueAtMs: START_MS });
    await commit(store, newSession());
    const lanes: unknown[] = [];
    for (let shard = 0; shard < STORE_OPTIONS.dueShards; shard += 1) {
      for await (const lane of store.dueSessions(shard, START_MS + DAY_MS)) lanes.push(lane);
    }
    expect(lanes).toHaveLength(1);
    expect((await dueOf(session, START_MS + DAY_MS)).length).toBe(1);
  });

  it('what opens no more, or a newer bridge has written, is left out', async () => {
    const session = newSession();
    await queue.enqueue(eventOf(session), { eventId: newId(), dueAtMs: START_MS });
    const [item] = await table.itemsOf(session, 'EVENT#');
    if (item === undefined) throw new Error('there is no event');
    for (const changed of [{ format: 2 }, { format: 'x' }, { body: new Uint8Array(40) }, { body: 7 }]) {
      await table.put({ ...item, ...changed });
      expect(await dueOf(session)).toEqual([]);
    }
    await table.put(item);
    expect(await dueOf(session)).toHaveLength(1);
  });

  it('SCENARIO 43: what is written while a session is erased opens for nobody, and what was taken away stays away', async () => {
    const session = newSession();
    const store = table.sessions();
    await operate(store, session);
    const lane = await store.readLane({ sessionId: session });
    const [early, late] = [newId(), newId()].map((eventId) => ({ eventId, dueAtMs: START_MS, lane }));
    if (early === undefined || late === undefined) throw new TypeError('no places');
    await queue.enqueue(eventOf(session), early);
    expect(await dueOf(session)).toHaveLength(1);
    await erase(store, session);
    await queue.complete(eventOf(session), early);
    await queue.enqueue(eventOf(session), late);
    expect(await dueOf(session)).toEqual([]);
    expect((await table.itemsOf(session, 'EVENT#')).map(({ sk }) => sk)).toEqual([`EVENT#${late.eventId}`]);
  });

  describe('SCENARIO 43: an erase', () => {
    it.each(['with a lane', 'without one'])('takes events and metrics along: a session %s', async (which) => {
      const session = newSession();
      const store = table.sessions();
      const stats = table.snapshotStats();
      if (which === 'with a lane') await operate(store, session);
      await queue.enqueue(eventOf(session), { eventId: newId(), dueAtMs: START_MS });
      const next = { latenciesMs: [1], totalRetrieved: 1, pages: 1, reads: 1 };
      await stats.add(session, { seen: undefined, next, nowMs: START_MS });

      if (which === 'with a lane') await erase(store, session);
      else await store.eraseWithoutLane({ sessionId: session });

      expect(await dueOf(session, START_MS + DAY_MS)).toEqual([]);
      expect(await stats.read(session)).toBeUndefined();
      expect(await table.itemsOf(session, 'EVENT#')).toEqual([]);
    });
  });
});

describeOnDatabases('DynamoSnapshotStats', ({ newTable }) => {
  let table: TestTable;
  let stats: DynamoSnapshotStats;
  beforeAll(async () => {
    table = await newTable();
    stats = table.snapshotStats();
  });
  const of = (reads: number) => ({ latenciesMs: [reads, 5], totalRetrieved: 0, pages: 5, reads });

  it('hands out what was kept', async () => {
    const session = newSession();
    expect(await stats.read(session)).toBeUndefined();
    await stats.add(session, { seen: undefined, next: of(1), nowMs: START_MS });
    await stats.add(session, { seen: of(1), next: of(2), nowMs: START_MS });
    expect(await stats.read(session)).toEqual(of(2));
    const [item] = await table.itemsOf(session, 'SNAPSHOTS');
    expect(item?.['ttl']).toBe((START_MS + 35 * DAY_MS) / 1_000);
  });

  it('of two at the same time both are counted, and the quicker one is among the last', async () => {
    const session = newSession();
    await stats.add(session, { seen: undefined, next: of(1), nowMs: START_MS });
    await stats.add(session, { seen: undefined, next: of(7), nowMs: START_MS });
    const seen = await stats.read(session);
    expect(seen).toEqual({ ...of(1), totalRetrieved: of(1).totalRetrieved + of(7).totalRetrieved, reads: 2 });
  });

  it('what somebody else has left there is no reason to fail', async () => {
    const session = newSession();
    await stats.add(session, { seen: undefined, next: of(1), nowMs: START_MS });
    const [item] = await table.itemsOf(session, 'SNAPSHOTS');
    if (item === undefined) throw new Error('nothing was kept');
    await table.put({ pk: item.pk, sk: item.sk, latenciesMs: ['x', 3], reads: 'many' });
    expect(await stats.read(session)).toEqual({ latenciesMs: [3], totalRetrieved: 0, pages: 1, reads: 0 });
  });
});
