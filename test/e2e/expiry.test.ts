import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Bridge, type BridgeOptions, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json } from '../fixtures/stack/http.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

/** Without the shipped schema's defaults, which would be in every context. */
const DEFAULTS = {
  user_profile: { name: 'Guest', age: 0, preferences: [] },
  session_metadata: { turn_count: 0, last_intent: 'none', confidence: 0 },
};

let bridge: Bridge;
let session = '';
let sessions = 0;

function withBridge(options: BridgeOptions = {}): void {
  beforeAll(async () => {
    bridge = await startBridge({ ...options, settings: { SYNC_DEFAULT_TTL_SECONDS: '0', ...options.settings } });
  });
  afterAll(() => bridge.close());
  beforeEach(() => {
    sessions += 1;
    session = `sess_${sessions}`;
  });
  afterEach(async () => {
    bridge.tenant.faults.clear();
    bridge.tenant.settings.change({ latencyMs: 0 });
    // Nothing of this test is due in the next one.
    travel(3_600_000);
    await bridge.stack.tick();
  });
}

const inspect = async () => (await bridge.get(`/v1/sessions/${session}`)).body;
const without = ({ user_profile: _profile, session_metadata: _metadata, ...rest }: Json): Json => rest;
/** What is shown, and what the bot has, but for the defaults. */
const shown = async (): Promise<Json> => without((await inspect()).context);
const bot = (): Json => without(bridge.bot(session));
const requests = () => [...bridge.syncs(session), ...bridge.requests(session)];
const sync = async (data: Json, ttl: Json = {}): Promise<Json> => {
  const reply = await bridge.sync(session, { data, ttl });
  expect(reply.status, reply.text).toBe(200);
  return reply.body;
};
const entries = async (): Promise<Json[]> => {
  const { entries: all, chain } = await bridge.audit(session);
  expect(chain).toEqual({ valid: true, brokenAt: null });
  return all;
};
const pathsOf = (entry: Json, cause?: string): string[] =>
  entry.changes
    .filter((change: Json) => cause === undefined || change.cause === cause)
    .map(({ path }: Json) => path)
    .sort();

describe('a value whose time is over', () => {
  withBridge();

  it('with a ttl of 5 seconds vanishes from every read at once, and from the bot with the next tick', async () => {
    const { context } = await sync(
      { otp: '1234', profile: { tier: 'gold', mood: 'good' } },
      { '/otp': 5, '/profile/mood': 5 },
    );
    expect(without(context)).toEqual({ otp: '1234', profile: { tier: 'gold', mood: 'good' } });
    expect(bot()).toEqual({ otp: '1234', profile: { tier: 'gold', mood: 'good' } });

    travel(5_000);
    const found = await inspect();
    expect(without(found.context)).toEqual({ profile: { tier: 'gold' } });
    expect(found.variables.map(({ path }: Json) => path)).not.toContain('/otp');
    expect(found.sizeBytes).toBe(Buffer.byteLength(JSON.stringify(found.context)));
    expect(without((await bridge.get(`/v1/sessions/${session}?version=1`)).body.context)).toEqual({
      profile: { tier: 'gold' },
    });
    // Nobody has told the bot yet.
    expect(bot()).toEqual({ otp: '1234', profile: { tier: 'gold', mood: 'good' } });

    await bridge.stack.tick();
    expect(bot()).toEqual({ profile: { tier: 'gold' } });
    expect(bridge.bot(session)).toEqual({ ...DEFAULTS, profile: { tier: 'gold' } });
  });

  it('leaves as an operation of its own: with a version, and an entry that says why', async () => {
    const { context: _context, ...written } = await sync({ otp: '1234' }, { '/otp': 5 });
    travel(5_000);
    await bridge.stack.tick();
    expect(await inspect()).toMatchObject({ version: 2, confirmedVersion: 2, pendingOperations: 0 });
    const [left, put] = await entries();
    expect(put).toMatchObject({ operationId: written.operationId, operation: 'sync' });
    expect(left).toMatchObject({
      operation: 'expire',
      client: 'bridge',
      outcome: 'confirmed',
      versionBefore: 1,
      versionAfter: 2,
      upstreamStatus: 200,
    });
    expect(left.changes).toEqual([
      {
        path: '/otp',
        scope: 'session',
        before: put.changes.find(({ path }: Json) => path === '/otp').after,
        after: null,
        cause: 'expired',
      },
    ]);
  });

  it('is let alone before, and not sent for twice after', async () => {
    await sync({ otp: '1234' }, { '/otp': 60 });
    const before = requests().length;
    travel(59_000 - 10_000);
    await bridge.stack.tick();
    expect(requests()).toHaveLength(before);
    travel(11_000);
    await bridge.stack.tick();
    expect(bot()).toEqual({});
    const after = requests().length;
    for (let tick = 0; tick < 3; tick += 1) {
      travel(120_000);
      await bridge.stack.tick();
    }
    expect(requests()).toHaveLength(after);
  });

  it('that was injected leaves the bot too, from its own scope only', async () => {
    await bridge.inject(session, {
      variables: [
        { key: 'tier', value: 'gold', scope: 'user', ttlSeconds: 5 },
        { key: 'tier', value: 'silver' },
        { key: 'long', value: 1, ttlSeconds: 900 },
      ],
    });
    expect(bridge.bot(session)).toEqual({ tier: 'gold', long: 1 });
    travel(5_000);
    expect((await inspect()).context).toEqual({ tier: 'silver', long: 1 });
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual({ tier: 'silver', long: 1 });
    expect((await entries())[0]).toMatchObject({
      operation: 'expire',
      changes: [{ path: '/tier', scope: 'user', after: null, cause: 'expired' }],
    });
  });

  it('leaves with everything else that has expired, in one go, whichever way it came', async () => {
    await bridge.inject(session, one('injected', 1, { ttlSeconds: 5 }));
    await sync({ synced: { a: 1, b: 2 }, stays: 1 }, { '/synced': 6 });
    travel(10_000);
    const before = requests().length;
    await bridge.stack.tick();
    expect(bot()).toEqual({ stays: 1 });
    expect(await shown()).toEqual({ stays: 1 });
    expect(requests().length - before).toBeLessThanOrEqual(2);
    const [left] = await entries();
    expect(pathsOf(left, 'expired')).toEqual(['/injected', '/synced/a', '/synced/b']);
  });

  it('is not taken from the bot where the bot has made it its own meanwhile', async () => {
    await sync({ mood: 'good', otp: '1234' }, { '/mood': 5, '/otp': 5 });
    bridge.tenant.sessions.changeAsBot(session, { variables: [{ key: 'mood', value: 'angry' }] });
    travel(5_000);
    await bridge.stack.tick();
    expect(bot()).toEqual({ mood: 'angry' });
    expect(await shown()).toEqual({ mood: 'angry' });
  });

  it('SCENARIO 25: is no base of a merge, and does not come back with a later write', async () => {
    await sync({ otp: '1234', profile: { tier: 'gold' } }, { '/otp': 5 });
    travel(5_000);
    const { context, expired, conflicts } = await sync({ profile: { phone: '1' } });
    expect(without(context)).toEqual({ profile: { tier: 'gold', phone: '1' } });
    expect(expired).toEqual(['/otp']);
    expect(conflicts).toEqual([]);
    expect(bot()).toEqual({ profile: { tier: 'gold', phone: '1' } });
    // It has left with the sync: there is nothing for the schedule to do.
    const before = requests().length;
    travel(60_000);
    await bridge.stack.tick();
    expect(requests()).toHaveLength(before);
    expect((await entries()).map(({ operation }) => operation)).toEqual(['sync', 'sync']);
    expect(pathsOf((await entries())[0], 'expired')).toEqual(['/otp']);
  });

  it('SCENARIO 25: is written anew by the next write, as if it had never been', async () => {
    await sync({ otp: '1234' }, { '/otp': 5 });
    travel(5_000);
    const { conflicts } = await sync({ otp: '5678' }, { '/otp': 900 });
    expect(conflicts).toEqual([]);
    expect(await shown()).toEqual({ otp: '5678' });
    expect(bot()).toEqual({ otp: '5678' });
    const { before } = (await entries())[0].changes.find(({ path }: Json) => path === '/otp');
    expect(before).toBeNull();
    travel(60_000);
    await bridge.stack.tick();
    expect(bot()).toEqual({ otp: '5678' });
  });

  it('SCENARIO 25: that was injected, and is injected again after its time, stays with the bot', async () => {
    await bridge.inject(session, one('otp', '1234', { ttlSeconds: 5 }));
    travel(5_000);
    await bridge.inject(session, one('otp', '5678', { ttlSeconds: 900 }));
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual({ otp: '5678' });
    expect((await inspect()).context).toEqual({ otp: '5678' });
  });

  it('SCENARIO 27: renewed just before the schedule looks, it stays', async () => {
    await sync({ a: 1, b: 1, c: 1 }, { '': 60 });
    await bridge.inject(session, one('d', 1, { ttlSeconds: 60 }));
    travel(58_000 - 8_000);
    await sync({ a: 1 }, { '/a': 900, '/b': 900 });
    await bridge.inject(session, one('d', 1, { ttlSeconds: 900 }));
    travel(10_000);
    await bridge.stack.tick();
    expect(await shown()).toEqual({ a: 1, b: 1, d: 1 });
    expect(bot()).toEqual({ a: 1, b: 1, d: 1 });
  });

  it('SCENARIO 27: renewed while the schedule is at work, it stays or comes back', async () => {
    await sync({ a: 1, b: 1 }, { '/a': 5, '/b': 5 });
    travel(5_000);
    bridge.tenant.settings.change({ latencyMs: 150 });
    const before = bridge.syncs(session).length;
    const ticking = bridge.stack.tick();
    await eventually(() => bridge.syncs(session).length > before, { everyMs: 5 });
    await sync({ a: 2 }, { '/a': 900 });
    await ticking;
    expect(await shown()).toEqual({ a: 2 });
    expect(bot()).toEqual({ a: 2 });
    await bridge.stack.tick();
    expect(bot()).toEqual({ a: 2 });
  });

  it('leaves an object behind where it was the last value in it only if nobody needs it', async () => {
    await sync({ box: { only: 1 }, user_profile: { name: 'Ada' } }, { '/box/only': 5, '/user_profile/name': 5 });
    travel(5_000);
    await bridge.stack.tick();
    expect(bridge.bot(session)).toEqual((await inspect()).context);
    expect(bridge.bot(session)).toMatchObject({ user_profile: { age: 0, preferences: [] } });
    expect(JSON.stringify(bridge.bot(session))).not.toContain('Ada');
    expect(bridge.bot(session)).not.toHaveProperty('box.only');
  });

  it.each([5, 12])('is found by the schedule in %i sessions at once', async (count) => {
    const names = Array.from({ length: count }, (_, index) => `${session}_${index}`);
    await Promise.all(names.map((name) => bridge.sync(name, { data: { a: 1, b: 2 }, ttl: { '/a': 5 } })));
    travel(5_000);
    await bridge.stack.tick();
    for (const name of names) expect(without(bridge.bot(name)), name).toEqual({ b: 2 });
  });
});

describe('while the tenant is down', () => {
  withBridge();

  it('SCENARIO 24: an expired value is invisible all the same, and leaves the bot when the tenant is back', async () => {
    await sync({ otp: '1234', stays: 1 }, { '/otp': 5 });
    bridge.tenant.faults.add({ match: { surface: 'sync' }, times: 0, action: { status: 503 } });
    travel(5_000);
    await bridge.stack.tick();
    expect(await shown()).toEqual({ stays: 1 });
    expect(bot()).toEqual({ otp: '1234', stays: 1 });
    expect((await entries())[0]).toMatchObject({ operation: 'expire', outcome: 'pending', code: 'down' });

    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    expect(bot()).toEqual({ stays: 1 });
    expect((await entries())[0]).toMatchObject({ operation: 'expire', outcome: 'confirmed' });
  });

  it('SCENARIO 20: a session that has ended is asked once and no more', async () => {
    await sync({ otp: '1234' }, { '/otp': 5 });
    bridge.tenant.sessions.end(session);
    travel(5_000);
    await bridge.stack.tick();
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 410, 'session-ended');
    const before = requests().length;
    for (let tick = 0; tick < 3; tick += 1) {
      travel(20 * 60_000);
      await bridge.stack.tick();
    }
    expect(requests()).toHaveLength(before);
    expect((await entries())[0]).toMatchObject({ operation: 'expire', outcome: 'refused', code: 'session-ended' });
  });

  it('SCENARIO 21: a bot that changes all the time is asked again with the next ticks', async () => {
    await sync({ otp: '1234' }, { '/otp': 5 });
    bridge.tenant.faults.add({ match: { surface: 'sync', method: 'PUT' }, times: 4, action: { status: 412 } });
    travel(5_000);
    await bridge.stack.tick();
    expect(await shown()).toEqual({});
    bridge.tenant.faults.clear();
    for (let tick = 0; tick < 3 && bot().otp !== undefined; tick += 1) {
      travel(20 * 60_000);
      await bridge.stack.tick();
    }
    expect(bot()).toEqual({});
  });
});

describe('SESSION_TTL_SECONDS', () => {
  withBridge({ settings: { SESSION_TTL_SECONDS: '600' } });

  it('SCENARIO 25: a session idle for so long is unknown; a sync starts it anew, from what the bot still has', async () => {
    await sync({ old: 1, profile: { tier: 'gold' } });
    travel(600_000);
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
    expectProblem(await bridge.get(`/v1/sessions/${session}?version=1`), 404, 'unknown-session');
    const { version, conflicts } = await sync({ new: 1 });
    expect({ version, conflicts }).toEqual({ version: 2, conflicts: [] });
    expect(await shown()).toEqual({ old: 1, profile: { tier: 'gold' }, new: 1 });
    expect(bot()).toEqual(await shown());
    const { variables } = await inspect();
    expect(variables.find(({ path }: Json) => path === '/old')).toMatchObject({ source: 'bot', version: 2 });
  });

  it('is not prolonged by what the schedule does', async () => {
    await sync({ otp: 1, stays: 1 }, { '/otp': 300 });
    travel(300_000);
    await bridge.stack.tick();
    expect(bot()).toEqual({ stays: 1 });
    travel(300_000);
    expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
  });

  it('is prolonged by a sync', async () => {
    await sync({ a: 1 });
    travel(400_000);
    await sync({ b: 1 });
    travel(400_000);
    expect(await shown()).toEqual({ a: 1, b: 1 });
  });
});
