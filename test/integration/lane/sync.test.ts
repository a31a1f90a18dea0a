import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import type { JsonObject } from '../../../lib/context/json.ts';
import { storeWith } from '../../fixtures/operations/failingStore.ts';
import {
  type LaneHarness,
  outcomesOf,
  reportOf,
  SESSION,
  sessionId,
  variable,
} from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();
const AT_SYNC = { surface: 'sync' } as const;
const AT_GET = { ...AT_SYNC, method: 'GET' } as const;
const AT_PUT = { ...AT_SYNC, method: 'PUT' } as const;
const DOWN = { status: 503 } as const;

/** Bot and mirror show the same, nothing waits, and the audit is one chain that verifies. */
async function expectAgreement(harness: LaneHarness, context: JsonObject, session = SESSION) {
  expect(harness.context(session)).toEqual(context);
  expect(await harness.instance().inspect(session)).toMatchObject({ context, pendingOperations: 0 });
  expect((await harness.audit(session)).chain).toEqual({ valid: true, brokenAt: null });
}

/** Both surfaces, until the faults are cleared. */
function goDown({ tenant }: LaneHarness): void {
  for (const surface of ['inject', 'sync'] as const) tenant.faults.add({ match: { surface }, times: 0, action: DOWN });
}

/** What each audit entry says it has changed, oldest first. */
const changesBy = async (harness: LaneHarness) =>
  (await harness.audit()).records.map(({ payload }) => payload?.changes ?? []).reverse();

describe('A mirror that was given up for another one', () => {
  it('changes nothing when its writing arrives late (I8)', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_PUT, times: 0, action: DOWN });
    expect(await harness.instance().sync({ data: { synced: 1 } })).toMatchObject({ kind: 'pending' });
    const arrive = Promise.withResolvers<void>();
    let late: Promise<string> | undefined;
    const instance = harness.instance({
      store: (store) =>
        storeWith(store, {
          writeMirror: (...writing) => {
            if (late !== undefined) return store.writeMirror(...writing);
            late = arrive.promise.then(() => store.writeMirror(...writing));
            return late;
          },
        }),
    });

    // The injection leaves, and the sync before it does not: of the two mirrors the one without the sync counts.
    await instance.inject({ variables: [variable('injected', 2)] });
    arrive.resolve();
    await late;

    expect(late).toBeDefined();
    const inspected = await harness.instance().inspect();
    expect(inspected).toMatchObject({ pendingOperations: 1 });
    expect(inspected).toHaveProperty('context', { injected: 2 });
    expect(harness.context()).toEqual({ injected: 2 });
  });
});

describe('Writers of one session by sync', () => {
  it('SCENARIO 1: two instances sync different paths at once, and nothing is lost', async () => {
    const harness = await start({ tenant: { latencyMs: 20 } });
    const answers = await Promise.all([
      harness.instance().sync({ data: { a: { x: 1 } } }),
      harness.instance().sync({ data: { a: { y: 2 } } }),
    ]);
    const versions = answers.map((answer) =>
      answer.kind === 'settled' && 'version' in answer.outcome ? answer.outcome.version : 0,
    );
    expect(versions.sort()).toEqual([1, 2]);
    await expectAgreement(harness, { a: { x: 1, y: 2 } });
    const { records } = await harness.audit();
    expect(records.map(({ payload }) => payload?.versionAfter).reverse()).toEqual([1, 2]);
  });

  it('SCENARIO 2: of one path the last in commit order stays, and the other one’s hash is in the audit', async () => {
    const harness = await start({ tenant: { latencyMs: 20 } });
    const values = ['one', 'two'];
    const answers = await Promise.all(values.map((value) => harness.instance().sync({ data: { a: { k: value } } })));
    const last = answers.findIndex(
      (answer) => answer.kind === 'settled' && 'version' in answer.outcome && answer.outcome.version === 2,
    );
    const [loser = '', winner = ''] = [values[1 - last], values[last]];
    await expectAgreement(harness, { a: { k: winner } });
    expect(await changesBy(harness)).toEqual([
      [{ path: '/a/k', scope: 'session', before: null, after: valueHash(loser) }],
      [{ path: '/a/k', scope: 'session', before: valueHash(loser), after: valueHash(winner) }],
    ]);
  });

  it('SCENARIOS 3 and 42: a hundred injects and syncs at once all end, in a few requests and one chain', async () => {
    const harness = await start({ tenant: { latencyMs: 40 } });
    const instances = Array.from({ length: 8 }, () => harness.instance());
    const bystander = harness.instance().sync({ session: sessionId('sess_other'), data: { k: 1 } });
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const instance = instances[index % instances.length];
        if (index % 2 === 0) {
          return instance?.inject({ variables: [variable('shared', index), variable(`own${index}`, index)] });
        }
        return instance?.sync({ data: { shared: index, tree: { [`own${index}`]: index } } });
      }),
    );
    expect(await bystander).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });

    const versions = new Map<number, number>();
    answers.forEach((answer, index) => {
      expect(answer?.kind).toMatch(/^(settled|busy)$/);
      if (answer?.kind === 'settled' && answer.outcome.kind === 'confirmed') {
        versions.set(answer.outcome.version, index);
      }
    });
    const inOrder = [...versions.keys()].sort((a, b) => a - b);
    expect(inOrder).toEqual(inOrder.map((_, index) => index + 1));
    expect(versions.size).toBe(answers.filter((answer) => answer?.kind === 'settled').length);
    expect(harness.requests().length).toBeLessThan(30);

    const context = harness.context();
    const shared = versions.get(inOrder.length);
    const indexes = [...versions.values()];
    const own = (odd: number) =>
      Object.fromEntries(indexes.filter((index) => index % 2 === odd).map((index) => [`own${index}`, index]));
    expect(context).toEqual({ shared, ...own(0), tree: own(1) });
    await expectAgreement(harness, context);
    const { records } = await harness.audit();
    expect(records.map(({ payload }) => payload?.versionAfter).reverse()).toEqual(inOrder);
  });

  it('SCENARIO 7: the schedule and a client keep to one lane', async () => {
    const harness = await start({ tenant: { latencyMs: 30 } });
    harness.tenant.faults.add({ match: AT_SYNC, times: 3, action: DOWN });
    expect(await harness.instance().sync({ data: { k: 'old', first: 1 } })).toMatchObject({ kind: 'pending' });
    harness.clock.advance(60_000);
    const [, answer] = await Promise.all([
      harness.instance().workOff(),
      harness.instance().sync({ data: { k: 'new' } }),
    ]);
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed', version: 2 } });
    await expectAgreement(harness, { k: 'new', first: 1 });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed', 'confirmed']);
  });

  it('what waits leaves together: variables in one request, all syncs in one pair', async () => {
    const harness = await start();
    goDown(harness);
    const instance = harness.instance();
    await instance.sync({ data: { k: 'first', a: 1 } });
    await instance.inject({ variables: [variable('k', 'second')] });
    await instance.sync({ data: { b: 2 } });
    await instance.inject({ variables: [variable('c', 3)] });
    harness.tenant.faults.clear();
    const before = harness.requests().length;
    await harness.minutes(1);
    expect(harness.requests().slice(before)).toEqual(['PUT inject', 'GET sync', 'PUT sync']);
    // In commit order all the same: the injection came after the sync that says otherwise.
    await expectAgreement(harness, { k: 'second', a: 1, b: 2, c: 3 });
  });
});

describe('A sync that comes to nothing beside an injection that does not', () => {
  it.each<[string, { status: number } | undefined, string]>([
    ['is in conflict', { status: 412 }, 'conflict'],
    ['is rejected', { status: 400 }, 'upstream-rejected'],
    ['is not allowed', undefined, 'validation-failed'],
  ])('leaves nothing in the mirror: it %s', async (_, action, code) => {
    const harness = await start({ schema: { properties: { age: { minimum: 0 } } } });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'old')] });
    goDown(harness);
    const patch = { data: { age: action === undefined ? -1 : 1, k: 'sync' }, idempotencyKey: 'sync' };
    await instance.sync(patch);
    await instance.inject({ variables: [variable('new', 1)] });
    harness.tenant.faults.clear();
    harness.bot({ bots: 1 });
    if (action !== undefined) harness.tenant.faults.add({ match: AT_PUT, times: 0, action });
    await harness.minutes(1);
    expect(await instance.sync(patch)).toMatchObject({ replayed: true, outcome: { kind: 'refused', code } });
    expect(harness.context()).toEqual({ k: 'old', new: 1, bots: 1 });
    // What the bot has was looked at, but nothing of that was carried out either.
    expect(await instance.inspect()).toMatchObject({ context: { k: 'old', new: 1 }, version: 3, pendingOperations: 0 });
    expect((await harness.audit()).chain.valid).toBe(true);
  });
});

describe('The budget', () => {
  it('pays one permit for each request that a sync makes, and none for what it does not send', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { k: 1 } });
    const updatesBy = async (data: JsonObject) => {
      // With all of the burst to be had.
      harness.clock.advance(1_000);
      const before = instance.wire.calls.length;
      await instance.sync({ data });
      return instance.wire.calls.slice(before).filter((name) => name === 'UpdateItemCommand').length;
    };
    // Commit and settle, and the event of the operation before; the read's permit, and the write's, which is asked for beside it.
    expect(await updatesBy({ k: 2 })).toBe(5);
    // Nothing to write: its permit is given back.
    expect(await updatesBy({ k: 2 })).toBe(6);
  });
});

describe('SCENARIO 5: the bot has changed its context meanwhile', () => {
  it('what only the bot has changed is kept; what both have is reported with base, ours and theirs', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { tier: 'gold', turn: 1 } });
    harness.bot({ tier: 'bronze', turn: 2, mood: 'good' });
    const answer = await instance.sync({ data: { tier: 'silver' } });
    expect(reportOf(answer)).toMatchObject({
      freshness: 'live',
      conflicts: [{ path: '/tier', base: 'gold', ours: 'silver', theirs: 'bronze', chosen: 'ours' }],
    });
    expect(answer).toMatchObject({ context: { tier: 'silver', turn: 2, mood: 'good' } });
    await expectAgreement(harness, { tier: 'silver', turn: 2, mood: 'good' });
  });

  it('also between our read and our write: it is read and merged again', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { turn: 1 } });
    const frozen = instance.wire.freeze(/^PUT /);
    const late = instance.sync({ data: { tier: 'silver' } });
    await frozen.reached;
    harness.bot({ turn: 2 });
    frozen.goOn();
    expect(await late).toMatchObject({ context: { tier: 'silver', turn: 2 } });
    await expectAgreement(harness, { tier: 'silver', turn: 2 });
    expect(harness.requests().slice(-4)).toEqual(['GET sync', 'PUT sync', 'GET sync', 'PUT sync']);
  });

  it('nothing is sent where the bot has it already', async () => {
    const harness = await start();
    harness.bot({ k: { a: 1 } });
    const answer = await harness.instance().sync({ data: { k: { a: 1 } } });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' }, context: { k: { a: 1 } } });
    expect(harness.requests()).toEqual(['GET sync']);
  });
});

describe('SCENARIO 12: a repeated idempotency key', () => {
  const data = { a: { x: 1, y: 2 }, gone: 's' };

  it('joins the sync while it runs, and gets the same result and context', async () => {
    const harness = await start({ tenant: { latencyMs: 500 } });
    const patch = { data, ttl: { '/gone': 60 }, idempotencyKey: 'key' };
    const answers = await Promise.all([1, 2, 3].map(() => harness.instance().sync(patch)));
    const told = answers.map((answer) => (answer.kind === 'settled' ? [answer.outcome, answer.context] : answer));
    expect(new Set(told.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(answers[0]).toMatchObject({ kind: 'settled', context: data });
    expect(answers.filter((answer) => 'replayed' in answer && !answer.replayed)).toHaveLength(1);
    expect(harness.rewrites()).toHaveLength(1);
    expect(await harness.lane()).toMatchObject({ version: 1 });
  });

  it.each(['settled', 'archived'])(
    'gets the first answer again once it is %s, without what has expired since',
    async (moment) => {
      const harness = await start();
      const patch = { data, ttl: { '/gone': 600 }, idempotencyKey: 'key' };
      const first = await harness.instance().sync(patch);
      if (moment === 'archived') await harness.minutes(2);
      // It is the context after that very sync, whatever has come later.
      await harness.instance().sync({ data: { later: 1 } });
      const again = await harness.instance().sync(patch);
      expect(again).toMatchObject({ kind: 'settled', replayed: true, context: data });
      if (first.kind === 'settled' && again.kind === 'settled') expect(again.outcome).toEqual(first.outcome);
      harness.clock.advance(600_000);
      expect(await harness.instance().sync(patch)).toMatchObject({ replayed: true, context: { a: { x: 1, y: 2 } } });
      expect((await harness.lane())?.version).toBe(2);
    },
  );

  it('is a mismatch for another patch, another ttl, or an injection; not for another order of members', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data, ttl: { '/a': 60, '/gone': 60 }, idempotencyKey: 'key' });
    const ttl = { '/gone': 60, '/a': 60 };
    const turned = { gone: 's', a: { y: 2, x: 1 } };
    expect(await instance.sync({ data: turned, ttl, idempotencyKey: 'key' })).toMatchObject({ replayed: true });
    expect(await instance.sync({ data: { ...data, more: 1 }, ttl, idempotencyKey: 'key' })).toEqual({
      kind: 'mismatch',
    });
    expect(await instance.sync({ data, ttl: { '/a': 60 }, idempotencyKey: 'key' })).toEqual({ kind: 'mismatch' });
    expect(await instance.inject({ idempotencyKey: 'key' })).toEqual({ kind: 'mismatch' });
    expect(await instance.sync({ data: { other: 1 }, idempotencyKey: 'key', client: 'b' })).toMatchObject({
      kind: 'settled',
      replayed: false,
    });
  });

  it('of a sync that was refused gets the refusal again, with its violations', async () => {
    const harness = await start({ schema: { properties: { age: { type: 'integer' } } } });
    const patch = { data: { age: 'old' }, idempotencyKey: 'key' };
    const first = await harness.instance().sync(patch);
    expect(first).toMatchObject({
      kind: 'settled',
      outcome: { kind: 'refused', code: 'validation-failed', violations: [{ pointer: '/age', code: 'type' }] },
    });
    const again = await harness.instance().sync(patch);
    expect(again).toMatchObject({ ...first, replayed: true });
    expect(harness.requests()).toEqual(['GET sync']);
    expect(outcomesOf(await harness.audit())).toEqual(['refused']);
  });
});

describe('A sync that is not allowed', () => {
  it('is refused and leaves version, mirror and bot alone; others of the same push are confirmed', async () => {
    const harness = await start({ schema: { properties: { age: { minimum: 0 } } } });
    const instance = harness.instance();
    harness.tenant.faults.add({ match: AT_SYNC, times: 0, action: DOWN });
    await instance.sync({ data: { a: 1 } });
    const bad = { data: { age: -1 }, idempotencyKey: 'bad' };
    await instance.sync(bad);
    harness.tenant.faults.clear();
    expect(await instance.sync({ data: { b: 2 } })).toMatchObject({ outcome: { kind: 'confirmed', version: 3 } });
    expect(await instance.sync(bad)).toMatchObject({ outcome: { kind: 'refused', code: 'validation-failed' } });
    await expectAgreement(harness, { a: 1, b: 2 });
    const ended = (await harness.audit()).records.slice(0, 3).reverse();
    expect(ended.map(({ payload }) => [payload?.outcome, payload?.versionBefore, payload?.versionAfter])).toEqual([
      ['confirmed', 0, 1],
      ['refused', 1, 1],
      ['confirmed', 1, 3],
    ]);
  });

  it('SCENARIO 29: too large whatever is pruned: refused with its size, and nothing changed', async () => {
    const harness = await start({ contextMaxBytes: 1_000, schema: { properties: { pinned: { 'x-pinned': true } } } });
    const instance = harness.instance();
    await instance.sync({ data: { pinned: 'x'.repeat(500) } });
    const before = await harness.lane();
    const answer = await instance.sync({ data: { pinned: 'x'.repeat(1_500) } });
    expect(answer).toMatchObject({ outcome: { kind: 'refused', code: 'context-too-large', bytes: 1_513 } });
    expect(harness.rewrites()).toHaveLength(1);
    expect((await harness.lane())?.stateRef).toBe(before?.stateRef);
    await expectAgreement(harness, { pinned: 'x'.repeat(500) });
  });

  it('SCENARIO 29: too large unless something goes: that goes from bot and mirror, and is listed', async () => {
    const harness = await start({ contextMaxBytes: 1_000, schema: { properties: { cheap: { 'x-priority': 0 } } } });
    const instance = harness.instance();
    await instance.sync({ data: { cheap: 'x'.repeat(400), dear: 'y'.repeat(400) } });
    const answer = await instance.sync({ data: { new: 'z'.repeat(300) } });
    expect(reportOf(answer).pruned.map(({ path }) => path)).toEqual(['/cheap']);
    await expectAgreement(harness, { dear: 'y'.repeat(400), new: 'z'.repeat(300) });
  });
});

describe('SCENARIO 10: an outcome that is not known', () => {
  it.each([
    [1, 'settled', ['confirmed']],
    [3, 'pending', ['pending', 'confirmed']],
  ])(
    'after %d cut connections is %s, and is resolved by reading what has become of it',
    async (times, kind, outcomes) => {
      const harness = await start();
      harness.tenant.faults.add({ match: AT_PUT, times, action: { reset: 'after' } });
      expect(await harness.instance().sync({ data: { k: 1 } })).toMatchObject({ kind });
      const written = harness.rewrites().length;
      await harness.minutes(1);
      // What is read is our own: there is nothing to write any more.
      expect(harness.rewrites()).toHaveLength(written);
      await expectAgreement(harness, { k: 1 });
      expect(outcomesOf(await harness.audit())).toEqual(outcomes);
    },
  );

  it('reports what it has really done, although the last look finds nothing left to do', async () => {
    const harness = await start({ contextMaxBytes: 1_000, schema: { properties: { cheap: { 'x-priority': 0 } } } });
    const instance = harness.instance();
    await instance.sync({ data: { tier: 'gold', cheap: 'x'.repeat(500) } });
    harness.bot({ tier: 'bronze' });
    harness.tenant.faults.add({ match: AT_PUT, times: 1, action: { reset: 'after' } });
    const report = reportOf(await instance.sync({ data: { tier: 'silver', dear: 'y'.repeat(600) } }));
    expect(harness.requests().slice(-4)).toEqual(['GET sync', 'PUT sync', 'PUT sync', 'GET sync']);
    expect(report.conflicts).toEqual([
      { path: '/tier', base: 'gold', ours: 'silver', theirs: 'bronze', chosen: 'ours' },
    ]);
    expect(report.pruned.map(({ path }) => path)).toEqual(['/cheap']);
    const changes = (await changesBy(harness)).at(-1) ?? [];
    expect(changes.map(({ path, cause }) => [path, cause])).toContainEqual(['/cheap', 'pruned']);
    await expectAgreement(harness, { tier: 'silver', dear: 'y'.repeat(600) });
  });

  it('answers within its time when the upstream does not answer at all, and is finished by the schedule', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_PUT, times: 0, action: { delayMs: 120_000 } });
    expect(await harness.instance().sync({ data: { k: 1 } })).toMatchObject({ kind: 'pending' });
    expect((await harness.audit()).records[0]?.payload).toMatchObject({ outcome: 'pending', code: 'timeout' });
    harness.bot({ turn: 1 });
    harness.tenant.faults.clear();
    await harness.minutes(2);
    await expectAgreement(harness, { k: 1, turn: 1 });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
  });
});

describe('SCENARIO 16: 429 with Retry-After', () => {
  it.each(['GET', 'PUT'] as const)('during the %s: pending, and nobody calls inside the window', async (method) => {
    const harness = await start();
    const action = { status: 429, headers: { 'retry-after': '120' } };
    harness.tenant.faults.add({ match: { ...AT_SYNC, method }, times: 1, action });
    expect(await harness.instance().sync({ data: { k: 1 } })).toMatchObject({ kind: 'pending' });
    const refusedAtMs = harness.tenant.journal.entries(AT_SYNC).at(-1)?.at ?? 0;
    expect(await harness.instance().inject({ session: sessionId('sess_2') })).toMatchObject({ kind: 'pending' });
    await harness.minutes(4);
    const calls = harness.tenant.journal.entries().filter(({ surface, at }) => surface !== 'token' && at > refusedAtMs);
    expect(calls.length).toBeGreaterThan(0);
    for (const { at } of calls) expect(at).toBeGreaterThanOrEqual(refusedAtMs + 120_000);
    await expectAgreement(harness, { k: 1 });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
  });
});

describe('SCENARIO 18: access that is denied to a sync', () => {
  it.each(['GET', 'PUT'] as const)('401 at the %s: one new token, one repeat', async (method) => {
    const harness = await start();
    harness.tenant.faults.add({ match: { ...AT_SYNC, method }, times: 1, action: { status: 401 } });
    expect(await harness.instance().sync({ data: { k: 1 } })).toMatchObject({ outcome: { kind: 'confirmed' } });
    const tokens = harness.tenant.journal.entries({ surface: 'token' }).filter(({ path }) => path === '/oauth/token');
    expect(tokens).toHaveLength(2);
    await expectAgreement(harness, { k: 1 });
  });

  it.each([
    [401, 'upstream-unauthorized', 2],
    [403, 'upstream-forbidden', 1],
  ])('%i for good is %s, and the key may be used again', async (status, code, requests) => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_SYNC, times: 0, action: { status } });
    const patch = { data: { k: 1 }, idempotencyKey: 'key' };
    expect(await harness.instance().sync(patch)).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code } });
    expect(harness.requests()).toHaveLength(requests);
    expect(outcomesOf(await harness.audit())).toEqual(['failed']);
    harness.tenant.faults.clear();
    await harness.minutes(1);
    expect(harness.context()).toEqual({});
    expect(await harness.instance().sync(patch)).toMatchObject({ replayed: false, outcome: { kind: 'confirmed' } });
  });

  it('403 leaves what is already pending pending, and it is done when access comes back', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_SYNC, times: 3, action: DOWN });
    await harness.instance().sync({ data: { k: 1 } });
    harness.tenant.faults.add({ match: AT_SYNC, times: 0, action: { status: 403 } });
    await harness.minutes(5);
    expect(await harness.lane()).toMatchObject({ confirmedVersion: 0, journal: [{ version: 1 }] });
    harness.tenant.faults.clear();
    await harness.minutes(16);
    await expectAgreement(harness, { k: 1 });
  });
});

describe('SCENARIO 20: the session is gone upstream', () => {
  it('ends the sync, refuses what is queued, and the mirror goes with it', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { k: 1 } });
    harness.tenant.faults.add({ match: AT_SYNC, times: 3, action: DOWN });
    const queued = { data: { queued: 1 }, idempotencyKey: 'queued' };
    expect(await instance.sync(queued)).toMatchObject({ kind: 'pending' });
    harness.tenant.sessions.end(SESSION);
    const sent = harness.requests().length;
    const answer = await instance.sync({ data: { late: 1 } });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code: 'session-ended' } });
    expect(harness.requests().slice(sent)).toEqual(['GET sync']);
    expect(await instance.sync(queued)).toMatchObject({
      replayed: true,
      outcome: { kind: 'refused', code: 'session-ended' },
    });
    expect(await instance.inspect()).toBe('ended');
    await harness.minutes(3);
    expect(harness.requests()).toHaveLength(sent + 1);
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed', 'pending', 'refused', 'refused']);
  });

  it('nothing of it comes back when a session of the same id begins, nor is anything of the new one removed', async () => {
    const harness = await start();
    const instance = harness.instance();
    const expiresAtMs = harness.clock.now() + 120_000;
    await instance.inject({ variables: [variable('temporary', 'old', expiresAtMs), variable('k', 'old')] });
    await instance.sync({ data: { tree: { temporary: 'old' } }, ttl: { '/tree': 120 } });
    harness.tenant.sessions.end(SESSION);
    await instance.sync({ data: { late: 1 } });

    harness.tenant.sessions.create({ sessionId: SESSION });
    harness.bot({ temporary: 'old', tree: { temporary: 'old' } });
    await instance.sync({ data: { new: 1 } });
    await harness.minutes(5);
    await expectAgreement(harness, { temporary: 'old', tree: { temporary: 'old' }, new: 1 });
  });
});

describe('SCENARIO 21: the bot changes between our read and our write', () => {
  it.each([409, 412])('%i: read and merged again, both sides’ changes in', async (status) => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { mine: 0, bots: 0 } });
    harness.tenant.faults.add({ match: AT_PUT, times: 2, action: { status } });
    const frozen = instance.wire.freeze(/^PUT /);
    const late = instance.sync({ data: { mine: 1 } });
    await frozen.reached;
    harness.bot({ bots: 1 });
    frozen.goOn();
    expect(await late).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
    await expectAgreement(harness, { mine: 1, bots: 1 });
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed', 'confirmed']);
  });

  it('that does not settle is a conflict with paths; nothing has changed, and it is not tried for ever', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { k: 0, same: 1 } });
    harness.tenant.faults.add({ match: AT_PUT, times: 0, action: { status: 412 } });
    const answer = await instance.sync({ data: { k: 1, new: 2 } });
    expect(answer).toMatchObject({ outcome: { kind: 'refused', code: 'conflict', paths: ['/k', '/new'] } });
    const sent = harness.requests().length;
    await harness.minutes(3);
    expect(harness.requests()).toHaveLength(sent);
    await expectAgreement(harness, { k: 0, same: 1 });
    expect(await harness.lane()).toMatchObject({ journal: [], confirmedVersion: 2 });
  });

  it('of several syncs ends them all: it is the bot that is in the way, and none of them', async () => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.faults.add({ match: AT_SYNC, times: 6, action: DOWN });
    await instance.sync({ data: { a: 1 } });
    await instance.sync({ data: { b: 2 } });
    harness.tenant.faults.add({ match: AT_PUT, times: 4, action: { status: 412 } });
    await harness.minutes(3);
    const ended = (await harness.audit()).records.slice(0, 2);
    expect(ended.map(({ payload }) => payload?.code)).toEqual(['conflict', 'conflict']);
    expect(harness.rewrites()).toHaveLength(4);
  });
});

describe('Syncs of which the upstream rejects one', () => {
  const REJECTED = { status: 400 } as const;
  /** How the operations have ended, in commit order, with the versions they went from and to. */
  const ends = async (harness: LaneHarness) =>
    (await harness.audit()).records
      .filter(({ payload }) => payload?.outcome !== 'pending')
      .map(({ payload }) => [payload?.outcome, payload?.versionBefore, payload?.versionAfter])
      .reverse();

  it.each([
    [
      'the first',
      0,
      { b: 2 },
      [
        ['refused', 0, 0],
        ['confirmed', 0, 2],
      ],
    ],
    [
      'the second',
      1,
      { a: 1 },
      [
        ['confirmed', 0, 1],
        ['refused', 1, 1],
      ],
    ],
    [
      'neither by itself',
      9,
      { a: 1, b: 2 },
      [
        ['confirmed', 0, 1],
        ['confirmed', 1, 2],
      ],
    ],
  ])('go on one by one: %s', async (_, skip, context, expected) => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.faults.add({ match: AT_SYNC, times: 6, action: DOWN });
    await instance.sync({ data: { a: 1 } });
    await instance.sync({ data: { b: 2 } });
    // Once for both together.
    harness.tenant.faults.add({ match: AT_PUT, times: 1, action: REJECTED });
    harness.tenant.faults.add({ match: AT_PUT, times: 1, skip, action: REJECTED });
    await harness.minutes(1);
    expect(await ends(harness)).toEqual(expected);
    await expectAgreement(harness, context);
  });

  it('may change what the bot has put, although an injection has been committed after them', async () => {
    const harness = await start();
    const instance = harness.instance();
    goDown(harness);
    await instance.sync({ data: { a: 1 } });
    await instance.sync({ data: { bots: 'ours' } });
    await instance.inject({ variables: [variable('vip', true)] });
    harness.tenant.faults.clear();
    harness.bot({ bots: 'theirs' });
    harness.tenant.faults.add({ match: AT_PUT, times: 1, action: REJECTED });
    await harness.minutes(1);
    await expectAgreement(harness, { a: 1, bots: 'ours', vip: true });
    expect(await ends(harness)).toEqual([
      ['confirmed', 0, 1],
      ['confirmed', 1, 2],
      ['confirmed', 2, 3],
    ]);
  });

  it('are not begun any more once the upstream is down, and leave in order later', async () => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.faults.add({ match: AT_SYNC, times: 6, action: DOWN });
    await instance.sync({ data: { k: 1 } });
    await instance.sync({ data: { k: 2 } });
    harness.tenant.faults.add({ match: AT_PUT, times: 1, action: REJECTED });
    harness.tenant.faults.add({ match: AT_PUT, times: 3, action: DOWN });
    await harness.minutes(1);
    expect(await harness.lane()).toMatchObject({ confirmedVersion: 0, journal: [{ version: 1 }, { version: 2 }] });
    await harness.minutes(3);
    expect(await ends(harness)).toEqual([
      ['confirmed', 0, 1],
      ['confirmed', 1, 2],
    ]);
    await expectAgreement(harness, { k: 2 });
  });
});

describe('SCENARIO 22: an answer that is none', () => {
  it.each(['html', 'truncated', 'wrong-shape', 'empty'] as const)(
    'a read that is %s is no context',
    async (malformed) => {
      const harness = await start();
      harness.bot({ bots: 1 });
      harness.tenant.faults.add({ match: AT_GET, times: 1, action: { malformed } });
      const answer = await harness.instance().sync({ data: { k: 1 } });
      // An empty object would be one: nothing may be written on the strength of the others.
      if (answer.kind === 'settled' && answer.outcome.kind === 'confirmed')
        throw new Error(`confirmed by ${malformed}`);
      expect(harness.rewrites()).toEqual([]);
      expect(harness.context()).toEqual({ bots: 1 });
      expect(answer).toMatchObject({ outcome: { kind: 'refused', code: 'upstream-bad-response' } });
    },
  );

  it.each(['html', 'truncated'] as const)('a write that is answered with %s is not confirmed', async (malformed) => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_PUT, times: 1, action: { malformed } });
    const patch = { data: { k: 1 }, idempotencyKey: 'key' };
    const answer = await harness.instance().sync(patch);
    expect(answer).toMatchObject({ outcome: { kind: 'refused', code: 'upstream-bad-response' } });
    expect(outcomesOf(await harness.audit())).toEqual(['failed']);
    // It has taken effect, as it turns out: the client's retry finds it so.
    expect(await harness.instance().sync(patch)).toMatchObject({ replayed: false, outcome: { kind: 'confirmed' } });
    await expectAgreement(harness, { k: 1 });
    expect(harness.rewrites()).toHaveLength(1);
  });
});

describe('SCENARIO 24: down for an hour', () => {
  it('takes what comes, drops what expires before it is pushed, and drains in order', async () => {
    const harness = await start();
    goDown(harness);
    const sessions = ['sess_a', 'sess_b'].map(sessionId);
    for (let minute = 0; minute < 60; minute += 1) {
      if (minute % 6 === 0) {
        for (const session of sessions) {
          const data = { latest: minute, short: { [`at${minute}`]: 'gone' }, long: { [`at${minute}`]: 'kept' } };
          const put = { session, data, ttl: { '/short': 300, '/long': 6 * 3_600 } };
          expect(await harness.instance().sync(put)).toMatchObject({ kind: 'pending' });
        }
      }
      await harness.minutes(1);
    }
    harness.clock.advance(300_000);
    harness.tenant.faults.clear();
    await harness.minutes(16);

    const long = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`at${index * 6}`, 'kept']));
    for (const session of sessions) {
      await expectAgreement(harness, { latest: 54, long }, session);
      const applied = harness.rewrites(session).filter((each) => each.applied);
      // One request carries all ten, and nothing in it has expired.
      expect(applied.map(({ body }) => body)).toEqual([{ latest: 54, long }]);
      const audit = await harness.audit(session);
      const confirmed = audit.records.filter(({ payload }) => payload?.outcome === 'confirmed').reverse();
      expect(confirmed.map(({ payload }) => payload?.versionAfter)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
  }, 60_000);

  it('refuses a sync of which nothing is left, and tells its client so', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_SYNC, times: 3, action: DOWN });
    const patch = { data: { a: { b: 1 } }, defaultTtlSeconds: 30, idempotencyKey: 'key' };
    expect(await harness.instance().sync(patch)).toMatchObject({ kind: 'pending' });
    await harness.minutes(1);
    const told = await harness.instance().sync(patch);
    expect(told).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code: 'expired-before-push' } });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'refused']);
    expect(harness.rewrites()).toEqual([]);
  });

  it('what expires while the write is held back is not sent any more', async () => {
    const harness = await start();
    // The read takes longer than the value lives.
    harness.tenant.faults.add({ match: AT_GET, times: 1, action: { delayMs: 1_500 } });
    const answer = await harness.instance().sync({ data: { short: 1, long: 2 }, ttl: { '/short': 1 } });
    expect(reportOf(answer).expired).toEqual(['/short']);
    expect(harness.rewrites().map(({ body }) => body)).toEqual([{ long: 2 }]);
    await expectAgreement(harness, { long: 2 });
  });

  it('what expires between two tries of a write is taken out of it', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_PUT, times: 1, action: { status: 503, delayMs: 2_000 } });
    const answer = await harness.instance().sync({ data: { short: 1, long: 2 }, ttl: { '/short': 1 } });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' }, context: { long: 2 } });
    expect(harness.rewrites().map(({ body }) => body)).toEqual([{ short: 1, long: 2 }, { long: 2 }]);
    await expectAgreement(harness, { long: 2 });
  });
});

describe('SCENARIO 25: after its expiry', () => {
  it('a value is invisible at once, and a write to it starts anew', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.sync({ data: { k: 'same', stays: 1 }, ttl: { '/k': 1 } });
    harness.clock.advance(999);
    expect(await instance.inspect()).toMatchObject({ context: { k: 'same', stays: 1 } });
    harness.clock.advance(1);
    expect(await instance.inspect()).toMatchObject({ context: { stays: 1 }, variables: [{ path: '/stays' }] });
    const answer = await instance.sync({ data: { k: 'same' } });
    expect(reportOf(answer)).toMatchObject({ conflicts: [], expired: ['/k'] });
    expect((await changesBy(harness)).at(-1)).toEqual([
      { path: '/k', scope: 'session', before: null, after: valueHash('same') },
    ]);
    await expectAgreement(harness, { k: 'same', stays: 1 });
  });
});

describe('Where a tenant has no strong ETags', () => {
  it.each(['weak', 'none'] as const)('%s: a sync goes through all the same', async (syncEtags) => {
    const harness = await start({ tenant: { syncEtags } });
    harness.bot({ bots: 1 });
    expect(await harness.instance().sync({ data: { k: 1 } })).toMatchObject({ outcome: { kind: 'confirmed' } });
    await expectAgreement(harness, { bots: 1, k: 1 });
  });
});

describe('What the audit holds of values (AUDIT_VALUES)', () => {
  it('is what the change led to, and nothing where the schema says x-pii', async () => {
    const schema = { properties: { name: { 'x-pii': true }, tier: { 'x-conflict': 'theirs' } } };
    const harness = await start({ auditValues: true, schema });
    const instance = harness.instance();
    await instance.sync({ data: { name: 'Ada', tier: 'gold', plan: 'a' } });
    harness.bot({ tier: 'bronze' });
    await instance.sync({ data: { tier: 'silver' } });
    const { records } = await harness.audit();
    for (const { path, after, value } of records.flatMap(({ payload }) => payload?.changes ?? [])) {
      if (value !== undefined) expect([path, valueHash(value as JsonObject)]).toEqual([path, after]);
    }
    const first = records.at(-1)?.payload?.changes ?? [];
    expect(first.map(({ path, value }) => [path, value])).toEqual([
      ['/name', undefined],
      ['/tier', 'gold'],
      ['/plan', 'a'],
    ]);
  });
});
