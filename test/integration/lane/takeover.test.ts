import { describe, expect, it } from 'vitest';
import { StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { storeThat } from '../../fixtures/operations/failingStore.ts';
import { outcomesOf, SESSION, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();
const PUT = /^PUT /;

describe('A holder that stalls past its lease', () => {
  it('is fenced: who took over has settled, and it answers with that outcome', async () => {
    const harness = await start();
    const [zombie, successor] = [harness.instance(), harness.instance()];
    const frozen = zombie.wire.freeze(PUT);
    const late = zombie.inject({ value: 'zombie', budgetMs: 60_000 });
    await frozen.reached;

    // The zombie's lease is over; another client's operation finds it so.
    harness.clock.advance(62_000);
    const second = await successor.inject({ variables: [variable('k2', 2)] });
    expect(second).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed', version: 2 } });
    const afterSecond = await harness.audit();

    frozen.goOn();
    const first = await late;
    expect(first).toMatchObject({ kind: expect.stringMatching(/^(settled|pending)$/) });
    if (first.kind === 'settled') expect(first.outcome).toMatchObject({ kind: 'confirmed', version: 1 });
    // What the zombie did left no trace: no entry, no version, no mirror.
    expect(await harness.audit()).toEqual(afterSecond);
    expect(outcomesOf(afterSecond)).toEqual(['confirmed', 'confirmed']);
    expect(await harness.instance().inspect()).toMatchObject({ version: 2, context: { k: 'zombie', k2: 2 } });
  });

  it('is fenced also when the schedule took over, and its late request changes nothing that came after it', async () => {
    const harness = await start();
    const zombie = harness.instance();
    await zombie.inject({ value: 'first' });
    const again = zombie.wire.freeze(PUT);
    const late = zombie.inject({ value: 'second' });
    await again.reached;
    await harness.minutes(1);
    expect(harness.atTenant()).toBe('second');
    again.goOn();
    // Its deadline has passed meanwhile: nothing may leave any more under a lease that is over.
    const answer = await late;
    expect(['settled', 'pending']).toContain(answer.kind);
    expect(harness.atTenant()).toBe('second');
    expect(outcomesOf(await harness.audit()).filter((outcome) => outcome === 'confirmed')).toHaveLength(2);
  });
});

describe('A holder that loses its lease to a clock that runs ahead', () => {
  it('answers with what its successor has recorded, and a repeat gets the same (I2)', async () => {
    const harness = await start();
    const zombie = harness.instance();
    const put = { idempotencyKey: 'key', budgetMs: 30_000 };
    const frozen = zombie.wire.freeze(PUT);
    const late = zombie.inject(put);
    await frozen.reached;
    expect(await harness.instance({ skewMs: 60_000 }).workOff(120_000)).toMatchObject({ worked: 1 });
    frozen.goOn();
    const answer = await late;
    const repeated = await harness.instance().inject(put);
    if (answer.kind !== 'settled' || repeated.kind !== 'settled') throw new Error('it was not settled');
    expect(answer.outcome).toEqual(repeated.outcome);
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed']);
  });
});

describe('A schedule that tidies up while a client commits', () => {
  it('leaves the lane free and due for what came', async () => {
    const harness = await start();
    await harness.instance().inject({ value: 'first' });
    harness.clock.advance(60_000);
    const schedule = harness.instance();
    const frozen = schedule.wire.freeze(/^(Put|BatchWrite)/);
    const tidying = schedule.workOff();
    await frozen.reached;
    expect(await harness.instance().inject({ value: 'second', budgetMs: 500 })).toMatchObject({ kind: 'pending' });
    frozen.goOn();
    await tidying;
    expect((await harness.lane())?.lease).toBeUndefined();
    await harness.minutes(1);
    expect(harness.atTenant()).toBe('second');
  });
});

describe('A holder that has died', () => {
  it('is followed by a client that waits: it takes over when the lease is past its time', async () => {
    const harness = await start();
    const victim = harness.instance();
    const frozen = victim.wire.freeze(PUT);
    void victim.inject({ value: 'dead', budgetMs: 1_000 });
    await frozen.reached;

    const waiter = harness.instance();
    const answer = await waiter.inject({ variables: [variable('k2', 'alive')], budgetMs: 8_000 });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed', version: 2 } });
    expect(waiter.telemetry.lines).toContainEqual(expect.objectContaining({ message: 'lease taken' }));
    expect(harness.tenant.sessions.inspect(SESSION)?.context).toEqual({ k: 'dead', k2: 'alive' });
    expect(harness.puts()).toHaveLength(1);
    const audit = await harness.audit();
    expect(audit.records.map(({ payload }) => payload?.versionAfter).reverse()).toEqual([1, 2]);
  });

  it('is not followed before the lease is past its time', async () => {
    const harness = await start();
    const victim = harness.instance();
    const frozen = victim.wire.freeze(PUT);
    void victim.inject({ value: 'slow', budgetMs: 20_000 });
    await frozen.reached;
    const answer = await harness.instance().inject({ variables: [variable('k2', 2)], budgetMs: 8_000 });
    expect(answer).toMatchObject({ kind: 'pending', version: 2 });
    expect(harness.puts()).toHaveLength(0);
  });
});

describe('A store that fails', () => {
  it('at the commit: the client is told, and nothing is sent upstream (SCENARIO 45)', async () => {
    const harness = await start();
    const instance = harness.instance({ store: storeThat({ commit: 'before' }) });
    await expect(instance.inject()).rejects.toBeInstanceOf(StoreError);
    expect(await harness.lane()).toBeUndefined();
    expect(harness.puts()).toHaveLength(0);
    // Back again: works without a restart.
    expect(await instance.inject()).toMatchObject({ kind: 'settled' });
  });

  it.each(['before', 'after'] as const)('at the settle (%s): pending now, one confirmation later', async (when) => {
    const harness = await start();
    const answer = await harness.instance({ store: storeThat({ settle: when }) }).inject({ idempotencyKey: 'key' });
    expect(answer).toMatchObject({ kind: 'pending', version: 1 });
    expect(harness.atTenant()).toBe('v');
    await harness.minutes(2);
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed']);
    expect(await harness.instance().inject({ idempotencyKey: 'key' })).toMatchObject({
      kind: 'settled',
      replayed: true,
    });
    expect(await harness.lane()).toMatchObject({ version: 1, confirmedVersion: 1, journal: [] });
  });

  it('at the mirror: the operation stays pending rather than confirmed without one', async () => {
    const harness = await start();
    const answer = await harness.instance({ store: storeThat({ writeMirror: 'before' }) }).inject();
    expect(answer.kind).toBe('pending');
    await harness.minutes(1);
    expect(await harness.instance().inspect()).toMatchObject({ context: { k: 'v' }, confirmedVersion: 1 });
  });

  it('at the archive: the lane goes on carrying its outbox, and nothing is lost', async () => {
    const harness = await start();
    const session = sessionId('sess_outbox');
    const instance = harness.instance({ store: storeThat({ archive: 'before' }, 5) });
    for (let value = 1; value <= 4; value += 1)
      await instance.inject({ session, value, idempotencyKey: `key${value}` });
    expect(outcomesOf(await harness.audit(session))).toHaveLength(4);
    await harness.minutes(2);
    const audit = await harness.audit(session);
    expect(audit.chain.valid).toBe(true);
    expect(outcomesOf(audit)).toHaveLength(4);
    expect(await harness.lane(session)).toMatchObject({ hasOutbox: false });
    const repeated = await harness.instance().inject({ session, value: 2, idempotencyKey: 'key2' });
    expect(repeated).toMatchObject({ kind: 'settled', replayed: true, outcome: { version: 2 } });
  });

  it('while a client waits for another’s settle: pending, for the operation is durable', async () => {
    const harness = await start();
    const holder = harness.instance();
    const frozen = holder.wire.freeze(PUT);
    const first = holder.inject({ budgetMs: 20_000 });
    await frozen.reached;
    const waiter = harness.instance({ store: storeThat({ readLane: 'before' }) });
    expect(await waiter.inject({ variables: [variable('k2', 2)] })).toMatchObject({ kind: 'pending', version: 2 });
    frozen.goOn();
    await first;
    await harness.minutes(2);
    expect(harness.atTenant('k2')).toBe(2);
  });
});
