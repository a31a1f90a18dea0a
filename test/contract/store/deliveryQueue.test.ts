import { beforeAll, describe, expect, it } from 'vitest';
import { DynamoDeadEvents } from '../../../lib/store/deadEvents.ts';
import { DynamoDeliveryQueue } from '../../../lib/store/deliveryQueue.ts';
import { DynamoDestinationStates } from '../../../lib/store/destinationStates.ts';
import { DynamoEventQueue } from '../../../lib/store/eventQueue.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { MemoryDeliveryQueue } from '../../fixtures/events/memoryDeliveryQueue.ts';
import { MemoryDestinationStates } from '../../fixtures/events/memoryDestinationStates.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { DAY_MS, erase, newId, newSession, operate, START_MS, STORE_OPTIONS } from '../../fixtures/store/session.ts';
import type { TestTable } from '../../fixtures/store/testTable.ts';
import { deliveryQueueContract } from './contract/deliveryQueueContract.ts';
import { destinationStatesContract } from './contract/destinationStatesContract.ts';

deliveryQueueContract('MemoryDeliveryQueue', 1, async () => {
  const queue = new MemoryDeliveryQueue();
  return { queue, dead: queue };
});
destinationStatesContract('MemoryDestinationStates', async () => new MemoryDestinationStates());

const DURING = { nowMs: START_MS, untilMs: START_MS + 30_000 };

describeOnDatabases('DynamoDeliveryQueue', ({ newTable }) => {
  deliveryQueueContract('DeliveryQueue', STORE_OPTIONS.dueShards, async () => {
    const { table, vault } = await newTable();
    return { queue: new DynamoDeliveryQueue(table, vault, STORE_OPTIONS), dead: new DynamoDeadEvents(table) };
  });

  let table: TestTable;
  let queue: DynamoDeliveryQueue;
  let dead: DynamoDeadEvents;
  beforeAll(async () => {
    table = await newTable();
    queue = new DynamoDeliveryQueue(table.table, table.vault, STORE_OPTIONS);
    dead = new DynamoDeadEvents(table.table);
  });

  async function claimedOf(session = newSession()) {
    const ref = await queue.enqueueOnce(eventOf(session), { eventId: newId(), dueAtMs: START_MS });
    const result = await queue.claim(ref, DURING);
    if (result.kind !== 'claimed') throw new Error('not claimed');
    return { session, ref, claim: result.claim };
  }
  const itemOf = async (session: Parameters<TestTable['itemsOf']>[0]) => {
    const [item] = await table.itemsOf(session, 'EVENT#');
    if (item === undefined) throw new Error('there is no event');
    return item;
  };

  it('leaves a tombstone of what was delivered, which TTL takes', async () => {
    const { session, ref } = await claimedOf();
    await queue.finish(ref, START_MS);
    const { pk: _pk, sk: _sk, ...rest } = await itemOf(session);
    expect(rest).toEqual({ format: 1, isSalted: false, ttl: (START_MS + 7 * DAY_MS) / 1_000 });
  });

  it('keeps what waits for as long as it waits, and what was given up for as long as told', async () => {
    const { session, claim } = await claimedOf();
    const dueAtMs = START_MS + 2 * DAY_MS;
    await queue.postpone(claim, {
      readyAtMs: dueAtMs,
      dueAtMs,
      failures: 1,
      deliveredTo: [],
      waitingSinceMs: START_MS,
    });
    expect((await itemOf(session))['ttl']).toBe((dueAtMs + 7 * DAY_MS) / 1_000);

    const other = await claimedOf();
    await queue.bury(other.claim, { keepUntilMs: START_MS + 14 * DAY_MS, deliveredTo: [] });
    expect((await itemOf(other.session))['ttl']).toBe((START_MS + 14 * DAY_MS) / 1_000);
  });

  it('SCENARIO 42: says nothing in plain', async () => {
    const session = newSession();
    const event = eventOf(session, { crm: { account: 'kept-out' }, paths: ['/kept-out'] });
    await queue.enqueueOnce(event, { eventId: newId(), dueAtMs: START_MS });
    const item = await itemOf(session);
    const plain = JSON.stringify(item) + Buffer.from(item['body'] as Uint8Array).toString('latin1');
    for (const secret of [session, 'kept-out', event.data.operationId]) expect(plain).not.toContain(secret);
  });

  it('takes events that were queued by a snapshot, but not what was taken back', async () => {
    const snapshots = new DynamoEventQueue(table.table, table.vault, STORE_OPTIONS);
    const event = eventOf();
    const place = { eventId: newId(), dueAtMs: START_MS };
    await snapshots.enqueue(event, place);
    const ref = await queue.enqueueOnce(event, place);
    expect(await queue.claim(ref, DURING)).toMatchObject({ kind: 'claimed', claim: { event } });
    await snapshots.withdraw(event, place);
    expect(await queue.claim(ref, { nowMs: DURING.untilMs, untilMs: DURING.untilMs + 1 })).toEqual({ kind: 'not-due' });
    await queue.enqueueOnce(event, place);
    expect((await queue.claim(ref, { nowMs: DURING.untilMs, untilMs: DURING.untilMs + 1 })).kind).toBe('not-due');
  });

  it('SCENARIO 43: what was queued with a lane opens for nobody once that is erased, and is done away with', async () => {
    const session = newSession();
    const store = table.sessions();
    await operate(store, session);
    const lane = await store.readLane({ sessionId: session });
    const place = { eventId: newId(), dueAtMs: START_MS, lane };
    const ref = await queue.enqueueOnce(eventOf(session), place);
    await erase(store, session);
    expect(await queue.claim(ref, DURING)).toEqual({ kind: 'not-due' });
    await queue.enqueueOnce(eventOf(session), place);
    expect(await queue.claim(ref, DURING)).toEqual({ kind: 'unreadable' });
    await queue.finish(ref, START_MS);
    expect(await itemOf(session)).not.toHaveProperty('body');
  });

  it('SCENARIO 43: brings nothing back that was erased while it was being delivered', async () => {
    const { session, ref, claim } = await claimedOf();
    await table.sessions().eraseWithoutLane({ sessionId: session });
    await queue.finish(ref, START_MS);
    await queue.bury(claim, { keepUntilMs: START_MS + DAY_MS, deliveredTo: [] });
    expect(await table.itemsOf(session, 'EVENT#')).toEqual([]);
  });

  it('SCENARIO 48: leaves what a newer bridge has written as it is', async () => {
    const { session, ref, claim } = await claimedOf();
    const newer = { ...(await itemOf(session)), format: 2 };
    await table.put(newer);
    const untilMs = DURING.untilMs + 30_000;
    expect(await queue.claim(ref, { nowMs: DURING.untilMs, untilMs })).toEqual({ kind: 'not-due' });
    await queue.postpone(claim, { readyAtMs: 0, dueAtMs: 0, failures: 9, deliveredTo: [], waitingSinceMs: 0 });
    await queue.finish(ref, START_MS);
    await queue.bury(claim, { keepUntilMs: 0, deliveredTo: [] });
    expect(await queue.notePrompt(ref, START_MS + DAY_MS)).toBe(false);
    expect(await dead.revive(ref, START_MS)).toBe('waiting');
    expect(await itemOf(session)).toEqual(newer);
  });

  it('queues in part what would not fit into an item', async () => {
    const crm = { note: 'x'.repeat(300_000) };
    const ref = await queue.enqueueOnce(eventOf(newSession(), { crm }), { eventId: newId(), dueAtMs: START_MS });
    const result = await queue.claim(ref, DURING);
    expect(result.kind === 'claimed' && result.claim.event.data).toMatchObject({ paths: [], pathsOmitted: 1 });
  });
});

describeOnDatabases('DynamoDestinationStates', ({ newTable }) => {
  destinationStatesContract('DestinationStates', async () => new DynamoDestinationStates((await newTable()).table));

  describe('items', () => {
    it('are forgotten after a while, unless the destination is disabled', async () => {
      const table = await newTable();
      const states = new DynamoDestinationStates(table.table);
      await states.replace('a', await states.read('a'), { failures: 1, openUntilMs: 0 }, START_MS);
      expect((await table.scan())[0]?.['ttl']).toBe((START_MS + 30 * DAY_MS) / 1_000);
      const disabled = { failures: 1, openUntilMs: 0, disabled: { atMs: START_MS, reason: 'gone' } };
      await states.replace('a', await states.read('a'), disabled, START_MS);
      expect((await table.scan())[0]).not.toHaveProperty('ttl');
    });

    it('SCENARIO 48: are refused and left alone where a newer bridge has written them', async () => {
      const table = await newTable();
      const states = new DynamoDestinationStates(table.table);
      const seen = await states.read('a');
      await states.replace('a', seen, { failures: 1, openUntilMs: 0 }, START_MS);
      const [item] = await table.scan();
      if (item === undefined) throw new Error('nothing was written');
      await table.put({ ...item, format: 2 });
      await expect(states.read('a')).rejects.toThrow('store');
      expect(await states.replace('a', { ...seen, revision: 1 }, { failures: 9, openUntilMs: 0 }, START_MS)).toBe(
        false,
      );
      expect((await table.scan())[0]).toEqual({ ...item, format: 2 });
    });
  });
});
