import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import type { JsonObject } from '../../../lib/context/json.ts';
import type { SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import {
  type Instance,
  type LaneHarness,
  outcomesOf,
  reportOf,
  SESSION,
  variable,
} from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();
const HOUR_MS = 3_600_000;
const NO_WORK = { worked: 0, skipped: 0, waiting: 0, cutShort: false };

/** Bot and mirror show the same, nothing waits, and the audit is one chain that verifies. */
async function expectAgreement(harness: LaneHarness, context: JsonObject) {
  expect(harness.context()).toEqual(context);
  expect(await harness.instance().inspect()).toMatchObject({ context, pendingOperations: 0 });
  expect((await harness.audit()).chain).toEqual({ valid: true, brokenAt: null });
}

const inMs = (harness: LaneHarness, ms: number) => harness.clock.now() + ms;

/** What the bridge has done by itself, oldest first. */
const expiriesOf = async (harness: LaneHarness) =>
  (await harness.audit()).records
    .flatMap(({ payload }) => (payload?.operation === 'expire' ? [payload] : []))
    .reverse();

const removal = (path: string, value: string, scope = 'session') => ({
  path,
  scope,
  before: valueHash(value),
  after: null,
  cause: 'expired',
});

/** What the schedule sent, by one run of it. */
async function sentByOneRun(harness: LaneHarness): Promise<string[]> {
  const before = harness.requests().length;
  await harness.instance().workOff();
  return harness.requests().slice(before);
}

describe('A value that has expired leaves the bot with the next run of the schedule (I5)', () => {
  it('injected: by one request, with `null` and the expiry that has passed, in its own scope', async () => {
    const harness = await start();
    const expiresAtMs = inMs(harness, 30_000);
    const variables = [variable('k', 'v', expiresAtMs, 'user'), variable('stays', 1), variable('g', 'w', expiresAtMs)];
    await harness.instance().inject({ variables });
    harness.clock.advance(29_999);
    expect(await sentByOneRun(harness)).toEqual([]);
    harness.clock.advance(1);
    expect(await sentByOneRun(harness)).toEqual(['PUT inject']);

    const expiresAt = new Date(expiresAtMs).toISOString();
    expect(harness.puts().at(-1)?.body).toEqual({
      variables: [
        { key: 'k', value: null, scope: 'user', expiresAt },
        { key: 'g', value: null, scope: 'session', expiresAt },
      ],
      mergeStrategy: 'atomic_put',
    });
    await expectAgreement(harness, { stays: 1 });
    expect(await expiriesOf(harness)).toEqual([
      expect.objectContaining({
        client: 'bridge',
        outcome: 'confirmed',
        versionBefore: 1,
        versionAfter: 2,
        changes: [removal('/k', 'v', 'user'), removal('/g', 'w')],
      }),
    ]);
    expect((await harness.lane())?.nextExpiryMs).toBeUndefined();
  });

  it('synced: by reading the context and writing it without', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { a: { k: 'v', stays: 1 }, b: { k: 'w' } }, ttl: { '/a/k': 30, '/b': 30 } });
    await harness.minutes(1);
    expect(harness.requests().slice(-2)).toEqual(['GET sync', 'PUT sync']);
    expect(harness.rewrites().at(-1)?.body).toEqual({ a: { stays: 1 } });
    await expectAgreement(harness, { a: { stays: 1 } });
    expect(await expiriesOf(harness)).toEqual([
      expect.objectContaining({ outcome: 'confirmed', changes: [removal('/a/k', 'v'), removal('/b/k', 'w')] }),
    ]);
  });

  it('both kinds at once: by one rewritten context', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000)), variable('stays', 1)] });
    await harness.instance().sync({ data: { tree: { k: 'w' } }, ttl: { '/tree': 20 } });
    harness.clock.advance(30_000);
    expect(await sentByOneRun(harness)).toEqual(['GET sync', 'PUT sync']);
    await expectAgreement(harness, { stays: 1 });
    expect((await expiriesOf(harness)).flatMap(({ changes }) => changes.map(({ path }) => path))).toEqual([
      '/k',
      '/tree/k',
    ]);
  });

  it('each at its own time', async () => {
    const harness = await start();
    const variables = [1, 2, 3].map((minute) => variable(`k${minute}`, minute, inMs(harness, minute * 60_000)));
    await harness.instance().inject({ variables });
    for (const left of [['k2', 'k3'], ['k3'], []]) {
      await harness.minutes(1);
      expect(Object.keys(harness.context())).toEqual(left);
    }
    expect(harness.puts()).toHaveLength(4);
  });

  it('together with what waits to be injected, in one request', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    await harness.instance().inject({ variables: [variable('new', 1)] });
    harness.clock.advance(60_000);
    expect(await sentByOneRun(harness)).toEqual(['PUT inject']);
    await expectAgreement(harness, { new: 1 });
  });

  it('large values, too, which lie out of line', async () => {
    const harness = await start();
    const large = 'x'.repeat(5_000);
    await harness.instance().inject({ variables: [variable('k', large, inMs(harness, 30_000))] });
    await harness.instance().sync({ data: { tree: { k: large }, stays: large }, ttl: { '/tree': 30 } });
    await harness.minutes(1);
    await expectAgreement(harness, { stays: large });
  });

  it('and makes way for what lies under it in a weaker scope', async () => {
    const harness = await start();
    const variables = [variable('k', 'user’s', inMs(harness, 30_000), 'user'), variable('k', 'session’s')];
    await harness.instance().inject({ variables });
    await harness.minutes(1);
    await expectAgreement(harness, { k: 'session’s' });
  });

  it('member by member, where a sync has written into an injected object', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', { a: 1, b: 2 }, inMs(harness, 30_000))] });
    await harness.instance().sync({ data: { k: { a: 9 } } });
    await harness.minutes(1);
    expect(harness.requests().slice(-2)).toEqual(['GET sync', 'PUT sync']);
    await expectAgreement(harness, { k: { a: 9 } });
  });

  it('but not what was injected over it meanwhile', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { k: { a: 1, b: 2 } }, ttl: { '/k': 30 } });
    await harness.instance().inject({ variables: [variable('k', { b: 2 })] });
    const sent = harness.requests().length;
    await harness.minutes(2);
    expect(harness.requests()).toHaveLength(sent);
    await expectAgreement(harness, { k: { b: 2 } });
  });

  it('SCENARIO 28: in several requests where one would be larger than the upstream takes', async () => {
    const harness = await start();
    const expiresAtMs = inMs(harness, 30_000);
    // Without their values they take more bytes than with them: `null` is longer than 1.
    const variables = Array.from({ length: 3_150 }, (_, index) => variable(`k${index}`, 1, expiresAtMs));
    const many = await harness.instance().inject({ variables: [...variables, variable('stays', 1)] });
    expect(many).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
    expect(harness.puts()[0]?.bodyBytes).toBeGreaterThan(255_000);
    await harness.minutes(1);
    expect(harness.puts().every(({ status }) => status === 200)).toBe(true);
    await expectAgreement(harness, { stays: 1 });
    expect(await expiriesOf(harness)).toMatchObject([{ outcome: 'confirmed' }]);
  });

  it('in several requests of which the first is rejected: then it has not left, and goes later', async () => {
    const harness = await start();
    const expiresAtMs = inMs(harness, 30_000);
    const variables = Array.from({ length: 3_150 }, (_, index) => variable(`k${index}`, 1, expiresAtMs));
    await harness.instance().inject({ variables });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 1, action: { status: 400 } });
    await harness.minutes(1);
    expect(Object.keys(harness.context()).length).toBeGreaterThan(0);
    expect(await expiriesOf(harness)).toMatchObject([{ outcome: 'refused', code: 'upstream-rejected' }]);
    await harness.minutes(16);
    await expectAgreement(harness, {});
    expect((await expiriesOf(harness)).map(({ outcome }) => outcome)).toEqual(['refused', 'confirmed']);
  });

  it('and the schema’s default comes back where it was required', async () => {
    const properties = { name: { type: 'string', default: 'Guest' } };
    const schema = { properties: { profile: { type: 'object', required: ['name'], properties } } };
    const harness = await start({ schema });
    await harness.instance().sync({ data: { profile: { name: 'Ada', age: 36 } }, ttl: { '/profile/name': 30 } });
    await harness.minutes(1);
    await expectAgreement(harness, { profile: { name: 'Guest', age: 36 } });
    const [expiry] = await expiriesOf(harness);
    expect(expiry?.changes.map(({ cause }) => cause).sort()).toEqual(['default', 'expired']);
  });

  it('unless the bot has changed it meanwhile: then it is the bot’s, and stays', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { k: 'v', tree: { k: 'w', mine: 1 } }, ttl: { '': 30 } });
    harness.bot({ k: 'bot’s', tree: { k: 'bot’s', mine: 1 } });
    await harness.minutes(2);
    await expectAgreement(harness, { k: 'bot’s', tree: { k: 'bot’s' } });
    await harness.minutes(60);
    expect(harness.context()).toEqual({ k: 'bot’s', tree: { k: 'bot’s' } });
  });

  it('and nothing is written where it has left already', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { k: 'v', stays: 1 }, ttl: { '/k': 30 } });
    harness.bot({ k: undefined });
    harness.clock.advance(30_000);
    expect(await sentByOneRun(harness)).toEqual(['GET sync']);
    await expectAgreement(harness, { stays: 1 });
  });

  it('SCENARIO 21: also while the bot changes its context', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { k: 'v', turn: 1 }, ttl: { '/k': 30 } });
    harness.clock.advance(30_000);
    const schedule = harness.instance();
    const frozen = schedule.wire.freeze(/^PUT /);
    const sweeping = schedule.workOff();
    await frozen.reached;
    harness.bot({ turn: 2 });
    frozen.goOn();
    await sweeping;
    await expectAgreement(harness, { turn: 2 });
  });
});

describe('SCENARIO 27: a renewal just before the sweep wins', () => {
  const lasting = (harness: LaneHarness, ms: number) => variable('k', 'v', inMs(harness, ms));
  const renewals = [
    ['an injection', (harness: LaneHarness, by: Instance) => by.inject({ variables: [lasting(harness, HOUR_MS)] })],
    ['a sync of the same value', (_: LaneHarness, by: Instance) => by.sync({ data: { k: 'v' }, ttl: { '/k': 3_600 } })],
    ['a ttl alone', (_: LaneHarness, by: Instance) => by.sync({ data: {}, ttl: { '/k': 3_600 } })],
  ] as const;
  const origins = [
    ['injected', (harness: LaneHarness) => harness.instance().inject({ variables: [lasting(harness, 60_000)] })],
    ['synced', (harness: LaneHarness) => harness.instance().sync({ data: { k: 'v' }, ttl: { '/k': 60 } })],
  ] as const;
  const cases = origins.flatMap(([origin, put]) => renewals.map(([by, renew]) => ({ origin, by, put, renew })));

  it.each(cases)('$origin, renewed by $by', async ({ put, renew }) => {
    const harness = await start();
    await put(harness);
    harness.clock.advance(59_999);
    expect(await renew(harness, harness.instance())).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
    const sent = harness.requests().length;
    await harness.minutes(3);
    expect(harness.requests()).toHaveLength(sent);
    await expectAgreement(harness, { k: 'v' });
    await harness.minutes(60);
    // And then it goes, by whichever way it has come last.
    expect(harness.context()).toEqual({});
    expect(await expiriesOf(harness)).toHaveLength(1);
  });

  it.each(cases)('$origin, renewed by $by at the same moment as the sweep runs', async ({ put, renew }) => {
    const harness = await start({ tenant: { latencyMs: 20 } });
    const expiresAtMs = inMs(harness, 60_000);
    await put(harness);
    // Accepted before the expiry, pushed after it: the read alone takes longer.
    harness.clock.advance(expiresAtMs - 100 - harness.clock.now());
    const client = harness.instance();
    const frozen = client.wire.freeze(/^(GET|PUT) /);
    const renewing = renew(harness, client);
    await frozen.reached;
    expect(harness.clock.now()).toBeLessThan(expiresAtMs);
    harness.clock.advance(200);
    frozen.goOn();
    const [answer] = await Promise.all([renewing, harness.instance().workOff()]);
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
    await harness.minutes(3);
    await expectAgreement(harness, { k: 'v' });
  });

  it.each(cases.filter(({ by }) => by !== 'a ttl alone'))(
    '$origin, renewed by $by while the sweep’s own operation is already journaled',
    async ({ put, renew }) => {
      const harness = await start();
      await put(harness);
      harness.clock.advance(60_000);
      const victim = harness.instance();
      const frozen = victim.wire.freeze(/^(GET|PUT) /);
      void victim.workOff();
      await frozen.reached;
      expect((await harness.lane())?.journal).toMatchObject([{ kind: 'expire' }]);
      // The schedule has died there. The renewal is the next operation, and takes the expiry along.
      harness.clock.advance(60_000);
      expect(await renew(harness, harness.instance())).toMatchObject({ outcome: { kind: 'confirmed', version: 3 } });
      await harness.minutes(2);
      await expectAgreement(harness, { k: 'v' });
      expect((await harness.lane())?.journal).toEqual([]);
    },
  );

  it('an expiry that has nothing to do any more is ended without an audit entry, and what waits goes on', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 60_000))] });
    harness.clock.advance(60_000);
    const victim = harness.instance();
    const frozen = victim.wire.freeze(/^PUT /);
    void victim.workOff();
    await frozen.reached;
    harness.clock.advance(60_000);
    await harness.instance().inject({ variables: [variable('k', 'new')] });
    expect(await harness.lane()).toMatchObject({ version: 3, confirmedVersion: 3, journal: [] });
    expect(await expiriesOf(harness)).toEqual([]);
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed', 'confirmed']);
  });
});

describe('A sweep with nothing to do', () => {
  it('sends nothing and commits nothing, however long a value has still to live', async () => {
    const harness = await start({ sessionTtlMs: 48 * HOUR_MS });
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 24 * HOUR_MS))] });
    await harness.instance().sync({ data: { tree: 1 }, ttl: { '/tree': 86_400 } });
    await harness.minutes(3);
    const sent = harness.requests().length;
    harness.clock.advance(HOUR_MS);
    const idle = harness.instance();
    expect(await idle.workOff()).toEqual(NO_WORK);
    // One look at each shard, and no more.
    expect(idle.wire.calls).toEqual(['QueryCommand', 'QueryCommand']);
    expect(harness.requests()).toHaveLength(sent);
    expect((await harness.lane())?.version).toBe(2);
  });

  it('comes to rest once everything has left', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    await harness.minutes(3);
    harness.clock.advance(HOUR_MS);
    expect(await harness.instance().workOff()).toEqual(NO_WORK);
    expect((await harness.lane())?.version).toBe(2);
  });

  it('comes to rest also where the mirror itself is gone', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    const forgetful = (store: SessionStore): SessionStore =>
      new Proxy(store, {
        get: (target, name) => {
          const method: unknown = Reflect.get(target, name);
          if (typeof method !== 'function') return method;
          return name === 'readMirror' ? async () => undefined : method.bind(target);
        },
      });
    for (let minute = 0; minute < 10; minute += 1) {
      harness.clock.advance(60_000);
      await harness.instance({ store: forgetful }).workOff();
    }
    expect((await harness.lane())?.version).toBe(2);
    expect(harness.puts()).toHaveLength(1);
  });

  it('a value that was written anew before the sweep came is no work for it', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    harness.clock.advance(30_000);
    await harness.instance().inject({ variables: [variable('k', 'new')] });
    const sent = harness.requests().length;
    await harness.minutes(3);
    expect(harness.requests()).toHaveLength(sent);
    expect((await harness.lane())?.version).toBe(2);
    await expectAgreement(harness, { k: 'new' });
  });
});

describe('An expiry that cannot leave', () => {
  it.each(['inject', 'sync'] as const)(
    'SCENARIO 24: %s down for an hour: invisible all the time, and one operation in the journal',
    async (surface) => {
      const harness = await start({ sessionTtlMs: 24 * HOUR_MS });
      if (surface === 'inject')
        await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
      else await harness.instance().sync({ data: { k: 'v' }, ttl: { '/k': 30 } });
      harness.tenant.faults.add({ match: { surface }, times: 0, action: { status: 503 } });
      for (let minute = 0; minute < 60; minute += 1) {
        await harness.minutes(1);
        expect(await harness.instance().inspect()).toMatchObject({ context: {} });
      }
      expect(await harness.lane()).toMatchObject({ version: 2, journal: [{ kind: 'expire', version: 2 }] });
      // Growing pauses: far fewer tries than minutes.
      expect(harness.requests().length).toBeLessThan(40);
      harness.tenant.faults.clear();
      await harness.minutes(16);
      await expectAgreement(harness, {});
      const expiries = await expiriesOf(harness);
      expect(expiries.filter(({ outcome }) => outcome === 'confirmed')).toHaveLength(1);
    },
  );

  it('because the upstream rejects it is tried again with growing pauses, not every minute', async () => {
    const harness = await start({ sessionTtlMs: 24 * HOUR_MS });
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 400 } });
    const sent = harness.puts().length;
    await harness.minutes(120);
    expect(harness.puts().length - sent).toBeLessThan(20);
    harness.tenant.faults.clear();
    await harness.minutes(16);
    await expectAgreement(harness, {});
  });

  it('because the session has ended upstream is not tried again', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    harness.tenant.sessions.end(SESSION);
    await harness.minutes(1);
    const sent = harness.requests().length;
    await harness.minutes(5);
    expect(harness.requests()).toHaveLength(sent);
    expect(await harness.instance().inspect()).toBe('ended');
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed', 'refused']);
  });

  it('because a hundred operations wait: those are worked off, and it leaves with the schedule after', async () => {
    const harness = await start({ sessionTtlMs: 24 * HOUR_MS });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    for (let index = 0; index < 100; index += 1) {
      const answer = await instance.inject({ variables: [variable(`k${index}`, index)], budgetMs: 300 });
      expect(answer).toMatchObject({ kind: 'pending' });
    }
    harness.clock.advance(60_000);
    expect((await harness.lane())?.journal).toHaveLength(100);
    harness.tenant.faults.clear();
    await harness.minutes(20);
    expect((await harness.lane())?.journal).toEqual([]);
    await expectAgreement(harness, Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, index])));
  });

  it('because whoever held the lane has died leaves with the first run after the lease', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'v', inMs(harness, 30_000)), variable('stays', 1)] });
    const victim = harness.instance();
    const frozen = victim.wire.freeze(/^PUT /);
    void victim.inject({ variables: [variable('late', 2)], budgetMs: 1_000 });
    await frozen.reached;
    harness.clock.advance(60_000);
    await harness.instance().workOff();
    await expectAgreement(harness, { stays: 1, late: 2 });
  });
});

describe('An idle session', () => {
  it('is unknown; what was to expire still leaves the bot at its time, and what was not stays there', async () => {
    const harness = await start({ sessionTtlMs: 600_000 });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'v', inMs(harness, 900_000)), variable('stays', 1)] });
    await instance.sync({ data: { tree: { k: 'v', stays: 1 } }, ttl: { '/tree/k': 900 } });
    harness.clock.advance(600_000);
    expect(await instance.inspect()).toBe('unknown');
    await harness.minutes(1);
    expect(await instance.inspect()).toBe('unknown');
    await harness.minutes(5);
    expect(harness.context()).toEqual({ stays: 1, tree: { stays: 1 } });
    expect(await instance.inspect()).toBe('unknown');
    expect((await harness.audit()).chain.valid).toBe(true);
    // And the schedule comes to rest.
    await harness.minutes(2);
    expect(await harness.instance().workOff()).toEqual(NO_WORK);
  });

  it('starts anew with the next write: what was to expire some day leaves at once, and nothing old is shown', async () => {
    const harness = await start({ sessionTtlMs: 600_000 });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'v', inMs(harness, 24 * HOUR_MS)), variable('stays', 1)] });
    await harness.minutes(2);
    harness.clock.advance(600_000);
    await instance.inject({ variables: [variable('new', 2)] });
    expect(await instance.inspect()).toMatchObject({ context: { new: 2 } });
    await harness.minutes(1);
    expect(harness.context()).toEqual({ stays: 1, new: 2 });
    expect(await instance.inspect()).toMatchObject({ context: { new: 2 } });
  });

  it('is not kept alive by an expiry', async () => {
    const harness = await start({ sessionTtlMs: 600_000 });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'v', inMs(harness, 540_000)), variable('stays', 1)] });
    await harness.minutes(9);
    expect(harness.context()).toEqual({ stays: 1 });
    expect(await instance.inspect()).toMatchObject({ context: { stays: 1 } });
    harness.clock.advance(59_999);
    expect(await instance.inspect()).toMatchObject({ context: { stays: 1 } });
    harness.clock.advance(1);
    expect(await instance.inspect()).toBe('unknown');
  });
});

describe('A sync that meets what has expired', () => {
  it('takes it out of the bot on its way, and the schedule has nothing left to do', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'v', inMs(harness, 30_000))] });
    harness.clock.advance(30_000);
    expect(reportOf(await instance.sync({ data: { new: 1 } })).expired).toEqual(['/k']);
    await expectAgreement(harness, { new: 1 });
    const sent = harness.requests().length;
    await harness.minutes(3);
    expect(harness.requests()).toHaveLength(sent);
    expect(await expiriesOf(harness)).toEqual([]);
  });

  it('in the push of the sweep’s own operation it is that one’s in the audit', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { k: 'v' }, ttl: { '/k': 30 } });
    harness.tenant.faults.add({ match: { surface: 'sync' }, times: 3, action: { status: 503 } });
    await harness.instance().sync({ data: { new: 1 } });
    await harness.minutes(1);
    await expectAgreement(harness, { new: 1 });
    const [expiry] = await expiriesOf(harness);
    expect(expiry).toMatchObject({ outcome: 'confirmed', changes: [removal('/k', 'v')] });
  });
});

describe('The schedule beside clients', () => {
  it('SCENARIO 7: expiries, injects and syncs at once keep to one lane', async () => {
    const harness = await start({ tenant: { latencyMs: 25 } });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('gone', 'v', inMs(harness, 30_000))] });
    await instance.sync({ data: { tree: { gone: 'v' } }, ttl: { '/tree': 30 } });
    harness.clock.advance(30_000);
    const writes = Array.from({ length: 10 }, (_, index) =>
      index % 2 === 0
        ? harness.instance().inject({ variables: [variable(`k${index}`, index)] })
        : harness.instance().sync({ data: { all: { [`k${index}`]: index } } }),
    );
    const answers = await Promise.all([harness.instance().workOff(), harness.instance().workOff(), ...writes]);
    expect(answers.slice(2).every((answer) => 'kind' in answer && answer.kind === 'settled')).toBe(true);
    await harness.minutes(2);
    const injected = Object.fromEntries([0, 2, 4, 6, 8].map((index) => [`k${index}`, index]));
    const all = Object.fromEntries([1, 3, 5, 7, 9].map((index) => [`k${index}`, index]));
    await expectAgreement(harness, { ...injected, all });
    const removed = (await harness.audit()).records
      .flatMap(({ payload }) => payload?.changes ?? [])
      .filter(({ cause }) => cause === 'expired');
    expect(removed.map(({ path }) => path).sort()).toEqual(['/gone', '/tree/gone']);
  });
});

describe('SCENARIO 22: an answer that makes no sense, to a change that was made', () => {
  it.each(['inject', 'sync'] as const)(
    '%s: fails, and what was to live for a time only leaves the bot',
    async (surface) => {
      const harness = await start();
      harness.tenant.faults.add({ match: { surface, method: 'PUT' }, times: 1, action: { malformed: 'truncated' } });
      const instance = harness.instance();
      const answer =
        surface === 'inject'
          ? await instance.inject({ variables: [variable('otp', '1234', harness.clock.now() + 30_000)] })
          : await instance.sync({ data: { otp: '1234' }, ttl: { '/otp': 30 } });
      expect(answer).toMatchObject({ outcome: { kind: 'refused', code: 'upstream-bad-response' } });
      expect(harness.atTenant('otp')).toBe('1234');
      expect(await instance.inspect()).toBe('unknown');

      await harness.minutes(2);

      expect(harness.atTenant('otp')).toBeUndefined();
      const lane = await harness.lane();
      expect(lane?.nextExpiryMs).toBeUndefined();
    },
  );

  it('makes way for what was put before, and is confirmed after it', async () => {
    const harness = await start();
    const instance = harness.instance();
    const onPut = { surface: 'inject', method: 'PUT' } as const;
    harness.tenant.faults.add({ match: onPut, times: 3, action: { status: 503 } });
    expect(await instance.inject({ value: 'stays' })).toMatchObject({ kind: 'pending' });
    harness.tenant.faults.clear();
    harness.tenant.faults.add({ match: onPut, action: { malformed: 'truncated' } });
    const passing = { variables: [variable('k', 'passing', inMs(harness, 30_000))] };
    expect(await instance.inject(passing)).toMatchObject({ outcome: { code: 'upstream-bad-response' } });

    await harness.minutes(3);

    await expectAgreement(harness, { k: 'stays' });
  });

  it('also when the last attempt is refused, and nobody has heard of the one before', async () => {
    const harness = await start();
    const instance = harness.instance();
    const otp = { variables: [variable('otp', '1234', inMs(harness, HOUR_MS))] };
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 500, applied: true } });
    expect(await instance.inject(otp)).toMatchObject({ kind: 'pending' });
    expect(harness.atTenant('otp')).toBe('1234');

    harness.tenant.faults.clear();
    harness.tenant.faults.add({ match: { surface: 'inject' }, action: { status: 400 } });
    await harness.minutes(3);

    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'refused', 'confirmed']);
    expect(harness.atTenant('otp')).toBeUndefined();
  });
});

describe('SCENARIO 10, 22: a change that is refused, and was made all the same by a try before', () => {
  const writes = [
    ['inject', (by: Instance, atMs: number) => by.inject({ variables: [variable('otp', '1234', atMs)] })],
    ['sync', (by: Instance) => by.sync({ data: { otp: '1234', turns: 1 }, ttl: { '/otp': 600 } })],
  ] as const;

  it.each(writes)('of one push: what was to live for a time only leaves the bot (%s)', async (surface, write) => {
    const harness = await start();
    const match = { surface, method: 'PUT' } as const;
    harness.tenant.faults.add({ match, times: 1, action: { status: 500, applied: true } });
    harness.tenant.faults.add({ match, times: 1, action: { status: 400 } });
    const answer = await write(harness.instance(), inMs(harness, 600_000));
    expect(answer).toMatchObject({ outcome: { kind: 'refused', code: 'upstream-rejected' } });
    expect(harness.atTenant('otp')).toBe('1234');

    await harness.minutes(2);

    expect(harness.atTenant('otp')).toBeUndefined();
    expect((await harness.lane())?.nextExpiryMs).toBeUndefined();
  });

  it.each(writes)(
    'of an earlier push: what was to live for a time only leaves the bot (%s)',
    async (surface, write) => {
      const harness = await start();
      const match = { surface, method: 'PUT' } as const;
      const instance = harness.instance();
      harness.tenant.faults.add({ match, times: 3, action: { reset: 'after' } });
      harness.tenant.faults.add({ match, times: 1, action: { status: 400 } });
      expect(await write(instance, inMs(harness, 600_000))).toMatchObject({ kind: 'pending' });
      expect(harness.atTenant('otp')).toBe('1234');
      harness.bot({ turns: 2 });
      await harness.minutes(3);
      expect((await harness.lane())?.journal).toEqual([]);
      expect(outcomesOf(await harness.audit())).toContain('refused');

      expect(harness.atTenant('otp')).toBeUndefined();
      expect((await harness.lane())?.nextExpiryMs).toBeUndefined();
    },
  );

  it.each(['upstream-forbidden', 'upstream-rejected'])('of one push: whatever the refusal says (%s)', async (code) => {
    const harness = await start();
    const status = code === 'upstream-forbidden' ? 403 : 400;
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 1, action: { reset: 'after' } });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 1, action: { status } });
    const passing = { variables: [variable('otp', '1234', inMs(harness, 600_000))] };
    expect(await harness.instance().inject(passing)).toMatchObject({ outcome: { code } });

    await harness.minutes(2);

    expect(harness.context()).toEqual({});
  });

  it('is not taken for the bot’s own by a sync of the same push', async () => {
    const harness = await start();
    const onInject = { surface: 'inject', method: 'PUT' } as const;
    harness.tenant.faults.add({ match: onInject, times: 3, action: { status: 500, applied: true } });
    const passing = { variables: [variable('otp', '1234', inMs(harness, 600_000))] };
    expect(await harness.instance().inject(passing)).toMatchObject({ kind: 'pending' });
    expect(harness.atTenant('otp')).toBe('1234');
    harness.tenant.faults.add({ match: onInject, times: 1, action: { status: 400 } });

    expect(await harness.instance().sync({ data: { tier: 'gold' } })).toMatchObject({ outcome: { kind: 'confirmed' } });

    await expectAgreement(harness, { tier: 'gold' });
    // It has left the bot already.
    expect((await harness.lane())?.nextExpiryMs).toBeUndefined();
  });

  it('nor by the next sync of the same push, where the upstream would not have them together', async () => {
    const harness = await start();
    const onSync = { surface: 'sync', method: 'PUT' } as const;
    const passing = { data: { otp: '1234' }, ttl: { '/otp': 600 } };
    harness.tenant.faults.add({ match: onSync, times: 3, action: { status: 503 } });
    expect(await harness.instance().sync(passing)).toMatchObject({ kind: 'pending' });
    // Both together, then the first of them alone.
    harness.tenant.faults.add({ match: onSync, times: 1, action: { status: 400 } });
    harness.tenant.faults.add({ match: onSync, times: 1, action: { status: 500, applied: true } });
    harness.tenant.faults.add({ match: onSync, times: 1, action: { status: 400 } });

    expect(await harness.instance().sync({ data: { tier: 'gold' } })).toMatchObject({ outcome: { kind: 'confirmed' } });

    await expectAgreement(harness, { tier: 'gold' });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'refused', 'confirmed']);
  });

  it('nor by an earlier sync that was sent with it, and goes alone when it has expired', async () => {
    const harness = await start();
    await harness.instance().sync({ data: { otp: 'old' } });
    const onSync = { surface: 'sync', method: 'PUT' } as const;
    for (const patch of [{ data: { tier: 'gold' } }, { data: { otp: '1234', level: 2 }, ttl: { '/otp': 90 } }]) {
      harness.tenant.faults.add({ match: onSync, times: 3, action: { status: 503 } });
      expect(await harness.instance().sync(patch)).toMatchObject({ kind: 'pending' });
    }
    harness.tenant.faults.add({ match: onSync, times: 1, action: { malformed: 'html' } });
    await harness.minutes(1);
    expect(harness.atTenant('otp')).toBe('1234');
    // Both together, then each alone.
    harness.clock.advance(90_000);
    harness.tenant.faults.add({ match: onSync, times: 1, action: { status: 400 } });

    await harness.minutes(5);

    await expectAgreement(harness, { otp: 'old', tier: 'gold', level: 2 });
  });

  it('stays where it is as long as it is tried again', async () => {
    const harness = await start();
    const match = { surface: 'inject', method: 'PUT' } as const;
    harness.tenant.faults.add({ match, times: 3, action: { status: 500, applied: true } });
    const passing = { variables: [variable('otp', '1234', inMs(harness, 600_000))] };
    expect(await harness.instance().inject(passing)).toMatchObject({ kind: 'pending' });
    harness.tenant.faults.add({ match, times: 1, action: { malformed: 'html' } });
    await harness.minutes(1);
    const lane = await harness.lane();
    expect(lane?.journal).toHaveLength(1);
    expect(lane?.nextExpiryMs).toBeUndefined();
    await harness.minutes(2);
    await expectAgreement(harness, { otp: '1234' });
  });

  /** Two injects that wait leave as one request, which is applied, answered 500, and refused when it is repeated. */
  async function refusedTogether(harness: LaneHarness, forMs: number, ...then: readonly number[]) {
    const match = { surface: 'inject', method: 'PUT' } as const;
    const expiresAtMs = inMs(harness, forMs);
    harness.tenant.faults.add({ match, times: 3, action: { status: 503 } });
    const inject = (key: string) => harness.instance().inject({ variables: [variable(key, key, expiresAtMs)] });
    expect(await inject('a')).toMatchObject({ kind: 'pending' });
    harness.tenant.faults.add({ match, times: 1, action: { status: 500, applied: true } });
    for (const status of [400, ...then]) harness.tenant.faults.add({ match, times: 1, action: { status } });
    return inject('b');
  }

  it('with others: only what was refused leaves the bot', async () => {
    const harness = await start();
    expect(await refusedTogether(harness, 600_000, 400)).toMatchObject({ outcome: { kind: 'confirmed' } });
    expect(harness.context()).toEqual({ a: 'a', b: 'b' });

    await harness.minutes(2);

    await expectAgreement(harness, { b: 'b' });
  });

  it('with others, and expires before it can be sent alone', async () => {
    const harness = await start();
    expect(await refusedTogether(harness, 30_000, 503, 503, 503)).toMatchObject({ kind: 'pending' });
    expect(harness.context()).toEqual({ a: 'a', b: 'b' });

    await harness.minutes(3);

    expect(harness.context()).toEqual({});
    expect((await harness.lane())?.journal).toEqual([]);
  });
});

describe('Values of one key in two scopes', () => {
  const inScope = (
    value: string,
    scope: 'session' | 'user',
    forMs: number | undefined,
    harness: { clock: { now(): number } },
  ) => variable('b', value, forMs === undefined ? undefined : harness.clock.now() + forMs, scope);

  it('the hidden one that has expired leaves the bot too, also when a sync comes between', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ variables: [inScope('old', 'session', 5_000, harness)] });
    await instance.inject({ variables: [inScope('shown', 'user', 60_000, harness)] });
    harness.clock.advance(6_000);
    await instance.sync({ data: { other: 1 } });
    expect(harness.atTenant('b')).toBe('shown');
    await harness.minutes(3);
    expect(harness.atTenant('b')).toBeUndefined();
    expect((await harness.lane())?.nextExpiryMs).toBeUndefined();
  });

  it('one that has taken the place of the bot’s own, of which nobody told the scope, is not the bot’s when it expires', async () => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.sessions.changeAsBot(SESSION, { variables: [{ key: 'b', value: 'own', scope: 'global' }] });
    await instance.sync({ data: { z: 1 } });
    await instance.inject({ variables: [variable('b', 'ours', inMs(harness, 30_000), 'global')] });
    await instance.sync({ data: { z: 2 } });
    expect(await instance.inspect()).toHaveProperty('context', { b: 'ours', z: 2 });
    harness.clock.advance(30_000);
    expect(await instance.inspect()).toHaveProperty('context', { z: 2 });
    await harness.minutes(1);
    await expectAgreement(harness, { z: 2 });
  });

  it('the one that hid another leaves once, also where the context is rewritten by the same run', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ variables: [inScope('S', 'session', undefined, harness)] });
    await instance.inject({ variables: [inScope('U', 'user', 30_000, harness)] });
    await instance.sync({ data: { z: 1 }, ttl: { '/z': 30 } });
    harness.clock.advance(30_000);
    expect(await sentByOneRun(harness)).toEqual(['PUT inject', 'GET sync', 'PUT sync']);
    await expectAgreement(harness, { b: 'S' });
    expect((await harness.lane())?.nextExpiryMs).toBeUndefined();
    const [expiry] = await expiriesOf(harness);
    expect(expiry?.changes.map(({ path, scope }) => `${scope}:${path}`).sort()).toEqual(['session:/z', 'user:/b']);
  });

  it('the one that hid another leaves by its key, so that a later inject of the other shows', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ variables: [inScope('S', 'session', undefined, harness)] });
    await instance.inject({ variables: [inScope('U', 'user', 2_000, harness)] });
    await instance.sync({ data: { z: 1 }, ttl: { '/z': 2 } });
    await harness.minutes(2);
    expect(harness.atTenant('b')).toBe('S');
    await instance.inject({ variables: [inScope('S2', 'session', undefined, harness)] });
    expect(harness.atTenant('b')).toBe('S2');
    expect(await instance.inspect()).toMatchObject({ context: { b: 'S2' } });
  });
});

describe('SCENARIO 10: an injected value whose push nobody heard of', () => {
  it.each([
    ['leaves the bot when its time is over', undefined],
    ['gives way to what was there before', 'before'],
  ])('%s', async (_, before) => {
    const harness = await start();
    const instance = harness.instance();
    if (before !== undefined) await instance.inject({ value: before });
    harness.tenant.faults.add({ match: { surface: 'inject', method: 'PUT' }, times: 3, action: { reset: 'after' } });
    const short = { variables: [variable('k', 'short', harness.clock.now() + 30_000)] };
    expect(await instance.inject(short)).toMatchObject({ kind: 'pending' });
    expect(harness.atTenant()).toBe('short');
    await harness.minutes(3);
    expect(harness.atTenant()).toBe(before);
  });
});

describe('SCENARIO 10: a sync whose push nobody heard of', () => {
  it('stays until what it has left in the bot is out again, however often that fails', async () => {
    const harness = await start();
    const onPut = { surface: 'sync', method: 'PUT' } as const;
    harness.tenant.faults.add({ match: onPut, times: 3, action: { reset: 'after' } });
    const instance = harness.instance();
    expect(await instance.sync({ data: { otp: '1234' }, ttl: { '/otp': 30 } })).toMatchObject({ kind: 'pending' });
    expect(harness.atTenant('otp')).toBe('1234');
    harness.tenant.faults.add({ match: onPut, times: 3, action: { status: 503 } });
    await harness.minutes(1);
    expect(harness.atTenant('otp')).toBe('1234');
    expect((await harness.lane())?.journal).toHaveLength(1);

    await harness.minutes(3);

    expect(harness.atTenant('otp')).toBeUndefined();
    expect((await harness.lane())?.journal).toEqual([]);
    expect(outcomesOf(await harness.audit()).at(-1)).toBe('refused');
  });
});

describe('SCENARIO 10: a value that may have reached the bot, and expires while it waits', () => {
  it('leaves the bot also when it was refused at first that what was there before be put back', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'kept')] });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 500, applied: true } });
    const passing = [variable('k', 'passing', harness.clock.now() + 30_000)];
    expect(await harness.instance().inject({ variables: passing })).toMatchObject({ kind: 'pending' });
    harness.clock.advance(60_000);

    harness.tenant.faults.add({ match: { surface: 'inject' }, action: { status: 400 } });
    await harness.minutes(3);

    expect(harness.atTenant()).toBe('kept');
    expect(await harness.instance().inspect()).toMatchObject({ context: { k: 'kept' }, pendingOperations: 0 });
  });

  it('leaves the bot also when what was to take its place is refused', async () => {
    const harness = await start();
    const inject = (value: string, expiresAtMs?: number) =>
      harness.instance().inject({ variables: [variable('k', value, expiresAtMs)] });
    await inject('kept');
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 500, applied: true } });
    expect(await inject('passing', harness.clock.now() + 30_000)).toMatchObject({ kind: 'pending' });
    expect(harness.atTenant()).toBe('passing');
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    expect(await inject('bad')).toMatchObject({ kind: 'pending' });

    harness.tenant.faults.clear();
    harness.tenant.faults.add({ match: { surface: 'inject' }, action: { status: 400 } });
    await harness.minutes(3);

    expect(harness.atTenant()).toBe('kept');
    expect(await harness.instance().inspect()).toMatchObject({ context: { k: 'kept' }, pendingOperations: 0 });
  });

  it('leaves the bot also when putting back what was there is refused, and the rest of its operation leaves', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'kept')] });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 500, applied: true } });
    const passing = variable('k', 'passing', inMs(harness, 30_000));
    expect(await instance.inject({ variables: [passing, variable('rest', 'old')] })).toMatchObject({ kind: 'pending' });
    harness.clock.advance(40_000);

    harness.tenant.faults.clear();
    harness.tenant.faults.add({ match: { surface: 'inject' }, action: { status: 400 } });
    // It leaves together with what was put later, and must not overtake it when it leaves again.
    expect(await instance.inject({ variables: [variable('rest', 'new')] })).toMatchObject({ kind: 'pending' });
    expect(harness.context()).toEqual({ k: 'passing', rest: 'new' });
    await harness.minutes(3);

    await expectAgreement(harness, { k: 'kept', rest: 'new' });
    expect(outcomesOf(await harness.audit())).toEqual([
      'confirmed',
      'pending',
      'pending',
      'pending',
      'confirmed',
      'confirmed',
    ]);
  });

  it('leaves the bot also when whoever took over from a holder that died could not send anything', async () => {
    const harness = await start();
    await harness.instance().inject({ variables: [variable('k', 'kept')] });
    const victim = harness.instance();
    const sent = victim.wire.freeze(/^PUT /);
    void victim.inject({ variables: [variable('k', 'passing', harness.clock.now() + 5_000)] });
    await sent.reached;
    // Its request arrives, and it never hears of that.
    harness.bot({ k: 'passing' });

    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    await harness.minutes(1);
    harness.tenant.faults.clear();
    await harness.minutes(10);

    expect(harness.atTenant()).toBe('kept');
  });
});
