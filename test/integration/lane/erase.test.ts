import { describe, expect, it } from 'vitest';
import {
  type Instance,
  type LaneHarness,
  outcomesOf,
  sessionId,
  variable,
} from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

/** SCENARIO 43: nothing readable is left anywhere, the chain still verifies, a late retry cannot bring data back. */
const start = useDatabase();
/** Far more requests than an operation makes. */
const ENDLESS = 60;
const LARGE = 'x'.repeat(5_000);

/** Writes of both kinds, also of values that lie out of line, one of them temporary, and one repeatable. */
async function fill(
  harness: LaneHarness,
  instance: Instance = harness.instance(),
  session?: ReturnType<typeof sessionId>,
) {
  const at = session !== undefined && { session };
  const expiresAtMs = harness.clock.now() + 30_000;
  await instance.inject({ ...at, variables: [variable('k', LARGE), variable('short', 'v', expiresAtMs)] });
  await instance.sync({ ...at, data: { tree: { a: 1, b: LARGE } }, idempotencyKey: 'settled' });
}

/** What is left of the session: its lane, and an audit chain that ends with the erasure and of which the rest cannot be read. */
async function expectErased(harness: LaneHarness, session?: ReturnType<typeof sessionId>) {
  expect(await harness.instance().inspect(session)).toBe('unknown');
  const lane = await harness.lane(session);
  expect(lane).toMatchObject({ journal: [], hasRefusals: false });
  expect(lane?.stateRef).toBeUndefined();
  expect(lane?.confirmedVersion).toBe(lane?.version);
  const audit = await harness.audit(session);
  expect(audit.chain).toEqual({ valid: true, brokenAt: null });
  const [last, ...before] = audit.records;
  expect(last?.payload).toMatchObject({ operation: 'erase', outcome: 'confirmed', client: 'client', changes: [] });
  expect(before.every(({ payload }) => payload === undefined)).toBe(true);
}

/** What a reader is shown was written after the erasure, or is what the bot still has. */
function expectNothingOlder(inspected: Awaited<ReturnType<Instance['inspect']>>, erasedVersion: number) {
  const variables = typeof inspected === 'object' ? inspected.variables : [];
  for (const { source, version } of variables) {
    expect(version).toBeGreaterThan(erasedVersion);
    expect(source).toMatch(/^(client|bot)$/);
  }
}

describe('An erased session', () => {
  it('is unknown, and nothing of it is left but the chain of its audit', async () => {
    const harness = await start();
    await fill(harness);
    await harness.minutes(2);
    expect((await harness.items()).some((key) => key.startsWith('STATE#'))).toBe(true);
    expect(await harness.instance().erase()).toBe(true);
    await expectErased(harness);
    const left = new Set((await harness.items()).map((key) => key.split('#')[0]));
    expect(left).toEqual(new Set(['LANE', 'AUDIT']));
  });

  it('is erased once, however often that is asked for, and also where it never was', async () => {
    const harness = await start();
    await fill(harness);
    expect(await harness.instance().erase()).toBe(true);
    const before = await harness.audit();
    expect(await harness.instance().erase()).toBe(true);
    expect(await harness.audit()).toEqual(before);
    const never = sessionId('sess_never');
    expect(await harness.instance().erase(never)).toBe(true);
    expect(await harness.items(never)).toEqual([]);
  });

  it('is left alone by the schedule: nothing is sent to the bot any more, what was temporary included', async () => {
    const harness = await start();
    await fill(harness);
    const context = harness.context();
    await harness.instance().erase();
    const sent = harness.requests().length;
    await harness.minutes(5);
    // What the bot itself holds is the bot's.
    expect(harness.requests()).toHaveLength(sent);
    expect(harness.context()).toEqual(context);
    await expectErased(harness);
    const idle = harness.instance();
    await idle.workOff();
    expect(idle.wire.calls).toEqual(['QueryCommand', 'QueryCommand']);
  });

  it('takes what is queued with it: that is never pushed, and its client is told', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    harness.tenant.faults.add({ match: { surface: 'sync' }, times: 0, action: { status: 503 } });
    const put = { value: 'queued', idempotencyKey: 'pending inject' };
    const patch = { data: { tree: 'queued' }, idempotencyKey: 'pending sync' };
    expect(await harness.instance().inject(put)).toMatchObject({ kind: 'pending' });
    expect(await harness.instance().sync(patch)).toMatchObject({ kind: 'pending' });
    await harness.instance().erase();
    harness.tenant.faults.clear();
    await harness.minutes(5);
    expect(harness.context()).toEqual({});
    expect(await harness.instance().inject(put)).toEqual({ kind: 'erased' });
    expect(await harness.instance().sync(patch)).toEqual({ kind: 'erased' });
    await expectErased(harness);
  });

  it.each(['settled', 'archived'])(
    'a late retry of what was %s brings nothing back, and tells nothing of it',
    async (moment) => {
      const harness = await start();
      const put = { variables: [variable('k', LARGE)], idempotencyKey: 'inject' };
      const patch = { data: { tree: LARGE }, idempotencyKey: 'sync' };
      await harness.instance().inject(put);
      await harness.instance().sync(patch);
      if (moment === 'archived') await harness.minutes(2);
      await harness.instance().erase();
      const sent = harness.requests().length;
      for (let hour = 0; hour < 3; hour += 1) {
        expect(await harness.instance().inject(put)).toEqual({ kind: 'erased' });
        expect(await harness.instance().sync(patch)).toEqual({ kind: 'erased' });
        harness.clock.advance(3_600_000);
      }
      expect(harness.requests()).toHaveLength(sent);
      await expectErased(harness);
    },
  );

  it('starts anew with the next write: its versions go on, and nothing old is in it', async () => {
    const harness = await start();
    await fill(harness);
    await harness.instance().erase();
    const answer = await harness.instance().inject({ variables: [variable('new', 1)] });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed', version: 3 } });
    expect(await harness.instance().inspect()).toMatchObject({ context: { new: 1 }, version: 3 });
    await harness.minutes(2);
    expect(await harness.instance().inspect()).toMatchObject({ context: { new: 1 } });
    const audit = await harness.audit();
    expect(audit.chain.valid).toBe(true);
    expect(outcomesOf(audit)).toEqual(['unreadable', 'unreadable', 'confirmed', 'confirmed']);
    // The old key is still the old request's, a new one is not.
    expect(await harness.instance().sync({ data: {}, idempotencyKey: 'settled' })).toEqual({ kind: 'erased' });
    expect(await harness.instance().sync({ data: { b: 2 }, idempotencyKey: 'other' })).toMatchObject({
      outcome: { kind: 'confirmed', version: 4 },
    });
  });

  it('can be erased again, with what has come since', async () => {
    const harness = await start();
    await fill(harness);
    await harness.instance().erase();
    await harness.instance().sync({ data: { new: 1 }, idempotencyKey: 'second life' });
    await harness.instance().erase();
    expect(await harness.instance().sync({ data: { new: 1 }, idempotencyKey: 'second life' })).toEqual({
      kind: 'erased',
    });
    expect(await harness.instance().inspect()).toBe('unknown');
    expect((await harness.audit()).chain).toEqual({ valid: true, brokenAt: null });
  });
});

/** A session with something in it, and somebody in the middle of a push, whose request has not left yet. */
async function startUnderHolder<Answer>(write: (by: Instance) => Promise<Answer>) {
  const harness = await start();
  await fill(harness);
  const holder = harness.instance();
  const frozen = holder.wire.freeze(/^PUT /);
  const late = write(holder);
  await frozen.reached;
  return { harness, frozen, late };
}

describe('A session that is erased in the middle of a push', () => {
  const writes = [
    ['an inject', (by: Instance) => by.inject({ value: 'late', idempotencyKey: 'late', budgetMs: 60_000 })],
    ['a sync', (by: Instance) => by.sync({ data: { k: 'late' }, idempotencyKey: 'late', budgetMs: 60_000 })],
  ] as const;

  it.each(writes)('fences the holder out: %s leaves nothing in the mirror', async (_, write) => {
    const { harness, frozen, late } = await startUnderHolder(write);
    expect(await harness.instance().erase()).toBe(true);
    await expectErased(harness);
    frozen.goOn();
    expect(await late).toEqual({ kind: 'erased' });
    await expectErased(harness);
    await harness.minutes(3);
    await expectErased(harness);
    expect(await write(harness.instance())).toEqual({ kind: 'erased' });
  });

  it.each(writes)(
    'whichever request of the holder’s it comes before: %s',
    async (_, write) => {
      const harness = await start();
      for (let skip = 0, wasReached = true; wasReached; skip += 1) {
        expect(skip).toBeLessThan(ENDLESS);
        const session = sessionId(`sess_${skip}`);
        const at = { session };
        await fill(harness, harness.instance(), session);
        const holder = harness.instance();
        const frozen = holder.wire.freeze(/./, skip);
        const late = write({
          ...holder,
          inject: (put) => holder.inject({ ...put, ...at }),
          sync: (patch) => holder.sync({ ...patch, ...at }),
        });
        wasReached = await Promise.race([frozen.reached.then(() => true), late.then(() => false)]);

        expect(await harness.instance().erase(session)).toBe(true);
        const erasedVersion = (await harness.lane(session))?.erasedVersion ?? 0;
        frozen.goOn();
        const answer = await late;
        expect(answer.kind).toMatch(/^(erased|settled)$/);
        await harness.minutes(2);

        // Either it came before, and is gone, or it came after, and all of it is there; nothing older is.
        const version = 'version' in answer ? answer.version : 0;
        const settled =
          answer.kind === 'settled' && answer.outcome.kind === 'confirmed' ? answer.outcome.version : version;
        const inspected = await harness.instance().inspect(session);
        if (settled > erasedVersion) expect(inspected).toMatchObject({ version: settled });
        else expect(inspected).toBe('unknown');
        expectNothingOlder(inspected, erasedVersion);
        expect(await harness.lane(session)).toMatchObject({ journal: [] });
        expect((await harness.audit(session)).chain).toEqual({ valid: true, brokenAt: null });
      }
    },
    60_000,
  );

  /** What the holder has sent may be on its way as long as he might have the lease. */
  it.each(writes)('lets nothing that comes since overtake the holder: %s is not put over it', async (_, write) => {
    const { harness, frozen, late } = await startUnderHolder(write);
    await harness.instance().erase();
    const since = await harness.instance().inject({ value: 'since', idempotencyKey: 'since' });
    expect(since.kind).toBe('pending');
    frozen.goOn();
    expect(await late).toEqual({ kind: 'erased' });
    expect(harness.context()).toMatchObject({ k: 'late' });

    await harness.minutes(3);

    expect(harness.context()).toMatchObject({ k: 'since' });
    expect(await harness.instance().inspect()).toMatchObject({ context: { k: 'since' } });
    expect((await harness.lane())?.dueAtMs).toBeUndefined();
  });

  it('leaves the bot what it has, where what comes since expires before it can be sent', async () => {
    const harness = await start();
    await harness.instance().inject({ value: 'bot’s' });
    const holder = harness.instance();
    const frozen = holder.wire.freeze(/^PUT /);
    const late = holder.inject({ variables: [variable('other', 1)], budgetMs: 60_000 });
    await frozen.reached;
    await harness.instance().erase();
    const since = { variables: [variable('k', 'since', harness.clock.now() + 1_000)], idempotencyKey: 'since' };
    expect(await harness.instance().inject(since)).toMatchObject({ kind: 'pending' });
    frozen.goOn();
    await late;

    await harness.minutes(3);

    expect(await harness.instance().inject(since)).toMatchObject({ outcome: { code: 'expired-before-push' } });
    expect(harness.context()).toEqual({ k: 'bot’s', other: 1 });
  });

  it('tells who waits for somebody else’s push', async () => {
    const harness = await start();
    const holder = harness.instance();
    const frozen = holder.wire.freeze(/^PUT /);
    const first = holder.inject({ value: 1, budgetMs: 60_000 });
    await frozen.reached;
    const waiting = harness.instance().sync({ data: { b: 2 }, budgetMs: 60_000 });
    await harness.committed(2);
    await harness.instance().erase();
    expect(await waiting).toEqual({ kind: 'erased' });
    frozen.goOn();
    expect(await first).toEqual({ kind: 'erased' });
    await expectErased(harness);
  });

  it('is not brought back by a schedule that was taking something expired out of it', async () => {
    const harness = await start();
    await fill(harness);
    harness.clock.advance(60_000);
    const schedule = harness.instance();
    const frozen = schedule.wire.freeze(/^PUT /);
    const sweeping = schedule.workOff();
    await frozen.reached;
    await harness.instance().erase();
    frozen.goOn();
    await sweeping;
    await expectErased(harness);
    await harness.minutes(3);
    await expectErased(harness);
  });

  it('while many write: what was accepted before is gone, what was accepted after is all there', async () => {
    const harness = await start({ tenant: { latencyMs: 20 } });
    const write = (index: number) =>
      index % 2 === 0
        ? harness.instance().inject({ variables: [variable(`k${index}`, index)] })
        : harness.instance().sync({ data: { [`k${index}`]: index } });
    const first = Array.from({ length: 8 }, (_, index) => write(index));
    await Promise.any(first);
    const erasing = harness.instance().erase();
    const answers = await Promise.all([
      ...first,
      ...Array.from({ length: 8 }, (_, index) => write(first.length + index)),
    ]);
    const wasErased = await erasing;
    await harness.minutes(2);
    expect(wasErased).toBe(true);
    const erasedVersion = (await harness.lane())?.erasedVersion ?? 0;
    const inspected = await harness.instance().inspect();
    const variables = typeof inspected === 'object' ? inspected.variables : [];
    const shown = new Map(variables.map(({ path, version }) => [path, version]));
    for (const [index, answer] of answers.entries()) {
      const path = `/k${index}`;
      if (answer.kind === 'erased') continue;
      if (answer.kind !== 'settled' || answer.outcome.kind !== 'confirmed')
        throw new Error(`not ended: ${answer.kind}`);
      if (answer.outcome.version > erasedVersion) expect(shown.get(path)).toBe(answer.outcome.version);
    }
    expectNothingOlder(inspected, erasedVersion);
    expect((await harness.audit()).chain).toEqual({ valid: true, brokenAt: null });
  });
});

describe('Who reads a session while it is erased', () => {
  const readers = [
    ['an inspection', (by: Instance, session: ReturnType<typeof sessionId>) => by.inspect(session)],
    [
      'a repeated sync',
      (by: Instance, session: ReturnType<typeof sessionId>) =>
        by.sync({ session, data: { tree: { a: 1, b: LARGE } }, idempotencyKey: 'settled' }),
    ],
  ] as const;

  it.each(readers)('meets no defect, whichever of its requests that comes before: %s', async (_, read) => {
    const harness = await start();
    for (const isCutShort of [false, true]) {
      for (let skip = 0, wasReached = true; wasReached; skip += 1) {
        expect(skip).toBeLessThan(ENDLESS);
        const session = sessionId(`sess_${isCutShort}_${skip}`);
        await fill(harness, harness.instance(), session);
        if (skip % 2 === 1) await harness.minutes(2);
        const reader = harness.instance();
        const frozen = reader.wire.freeze(/./, skip);
        const reading = read(reader, session);
        wasReached = await Promise.race([frozen.reached.then(() => true), reading.then(() => false)]);

        // The items go only after the lane has forgotten how to read them: somebody may read in between.
        const eraser = harness.instance();
        const cut = isCutShort ? eraser.wire.freeze(/^Query/) : undefined;
        const erasing = eraser.erase(session);
        await (cut?.reached ?? erasing);
        frozen.goOn();
        await expect(reading).resolves.toBeDefined();
        cut?.goOn();
        expect(await erasing).toBe(true);
        await expectErased(harness, session);
      }
    }
  });
});

describe('An erasure that is struck at its k-th request', () => {
  it.each([
    { how: 'die', when: 'before' },
    { how: 'die', when: 'after' },
    { how: 'fail', when: 'before' },
    { how: 'fail', when: 'after' },
  ] as const)('$how $when: is finished by asking again', async (strike) => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      await fill(harness, harness.instance(), session);
      await harness.minutes(2);
      const victim = harness.instance();
      victim.wire.strike({ ...strike, atCall });
      await Promise.race([victim.erase(session).catch(() => undefined), victim.wire.died]);
      wasStruck = victim.wire.calls.length >= atCall;

      expect(await harness.instance().erase(session)).toBe(true);
      await expectErased(harness, session);
      const left = new Set((await harness.items(session)).map((key) => key.split('#')[0]));
      expect(left).toEqual(new Set(['LANE', 'AUDIT']));
      const { records } = await harness.audit(session);
      expect(records.filter(({ payload }) => payload?.operation === 'erase')).toHaveLength(1);
    }
  });
});
