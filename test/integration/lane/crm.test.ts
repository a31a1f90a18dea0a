import { describe, expect, it } from 'vitest';
import { type LaneHarness, SESSION, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();

const MINUTE_MS = 60_000;
const inUser = (key: string, value: string) => variable(key, value, undefined, 'user');
const takeDown = ({ tenant }: LaneHarness) =>
  tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
const injected = { status: 'injected', visibility: 'confirmed' };
const sessions = (count: number) => Array.from({ length: count }, (_each, index) => sessionId(`sess_${index}`));

describe('An event of a CRM', () => {
  it('that comes again with something else to say, while it is unfinished, says what it said at first (I2)', async () => {
    const harness = await start();
    const [victim, successor] = [harness.instance(), harness.instance()];
    await victim.bind();
    const left = victim.wire.freeze(/^PUT /);
    void victim.crm({ eventId: 'evt_1', tier: 'gold' });
    await left.reached;
    harness.clock.advance(5_000);

    const again = await successor.crm({ eventId: 'evt_1', tier: 'silver' });

    expect(again).toMatchObject({ kind: 'done', sessions: [injected] });
    expect(harness.atTenant('crm_tier')).toBe('gold');
    expect(await successor.inspect()).toMatchObject({ context: { crm_tier: 'gold' } });
  });

  it('is injected into every live session that is bound to its record, by one request each', async () => {
    const harness = await start();
    const bridge = harness.instance();
    const bound = sessions(7);
    for (const session of bound) await bridge.bind('ACC-1', session);
    await bridge.bind('ACC-2', sessionId('other'));

    const answer = await bridge.crm({ eventId: 'evt_1' });

    expect(answer).toMatchObject({ kind: 'done', eventId: 'evt_1', outcome: 'applied' });
    expect(answer).toMatchObject({ sessions: bound.map(() => injected) });
    for (const session of bound) {
      expect(harness.requests(session)).toEqual(['PUT inject']);
      expect(harness.atTenant('crm_tier', session)).toBe('gold');
    }
    expect(harness.requests(sessionId('other'))).toEqual([]);
  });

  it('is an operation like any other: versioned, audited under its source, with its own expiry', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm();
    const { records, chain } = await harness.audit();
    expect(records.map(({ payload }) => payload)).toMatchObject([
      {
        operation: 'inject',
        client: 'crm:generic',
        outcome: 'confirmed',
        changes: [{ path: '/crm_tier', scope: 'user' }],
      },
    ]);
    expect(chain.valid).toBe(true);
    await harness.minutes(61);
    expect(harness.atTenant('crm_tier')).toBeUndefined();
  });

  it('about a record that nobody is bound to changes nothing, and says so', async () => {
    const harness = await start();
    expect(await harness.instance().crm()).toMatchObject({ outcome: 'no-live-session', sessions: [] });
  });

  it('without anything that is mapped changes nothing', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    expect(await bridge.crm({ variables: [] })).toMatchObject({ sessions: [{ status: 'unchanged' }] });
    expect(harness.requests()).toEqual([]);
  });

  it('that the upstream cannot take now is pending in its sessions, and the schedule brings it', async () => {
    const harness = await start();
    takeDown(harness);
    const bridge = harness.instance();
    await bridge.bind();
    expect(await bridge.crm({ budgetMs: 2_000 })).toMatchObject({
      outcome: 'applied',
      sessions: [{ status: 'pending', visibility: 'queued' }],
    });
    harness.tenant.faults.clear();
    await harness.minutes(2);
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });
});

describe('An event that cannot even be tried, because there is no token to be had', () => {
  it('is not taken, and is not taken for seen when it comes again', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    harness.tenant.faults.add({ match: { surface: 'token' }, times: 0, action: { status: 503 } });
    const event = { eventId: 'evt_1', occurredAtMs: harness.clock.now() };
    expect(await bridge.crm(event)).toEqual({ kind: 'failed', code: 'upstream-unavailable' });
    harness.tenant.faults.clear();
    harness.clock.advance(MINUTE_MS);
    expect(await bridge.crm(event)).toMatchObject({ outcome: 'applied', sessions: [injected] });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });
});

describe('SCENARIO 13: the same event', () => {
  it('three times, at once, has one effect', async () => {
    const harness = await start();
    await harness.instance().bind();
    const answers = await Promise.all([1, 2, 3].map(() => harness.instance().crm({ eventId: 'evt_1' })));
    expect(answers.every(({ kind }) => kind === 'done')).toBe(true);
    expect(harness.puts()).toHaveLength(1);
    expect(await harness.lane()).toMatchObject({ version: 1 });
  });

  it('again is a duplicate, with the outcome of the first time', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const first = await bridge.crm({ eventId: 'evt_1' });
    const second = await harness.instance().crm({ eventId: 'evt_1', tier: 'silver' });
    expect(second).toMatchObject({ outcome: 'duplicate' });
    expect(second).toMatchObject({ sessions: 'sessions' in first ? first.sessions : [] });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('again after a crash at any moment takes effect once in every session', async () => {
    for (let atCall = 1; atCall <= 24; atCall += 1) {
      const harness = await start();
      const bound = sessions(2);
      const dying = harness.instance();
      for (const session of bound) await dying.bind('ACC-1', session);
      const before = dying.wire.calls.length;
      dying.wire.strike({ atCall: before + atCall, when: atCall % 2 === 0 ? 'after' : 'before', how: 'die' });
      const event = { eventId: 'evt_1', occurredAtMs: harness.clock.now() };
      const end = await Promise.race([dying.crm(event), dying.wire.died]);
      await harness.minutes(1);
      await harness.instance().crm(event);
      await harness.minutes(2);
      for (const session of bound) {
        expect(harness.atTenant('crm_tier', session), `struck at ${atCall}`).toBe('gold');
        expect((await harness.lane(session))?.version, `struck at ${atCall}`).toBe(1);
      }
      if (end !== 'died') break;
    }
  });
});

describe('SCENARIO 6: an event that occurred before one that has been applied', () => {
  it('is ignored and audited; nothing changes', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const nowMs = harness.clock.now();
    await bridge.crm({ tier: 'gold', occurredAtMs: nowMs });
    expect(await bridge.crm({ tier: 'silver', occurredAtMs: nowMs - 1 })).toMatchObject({
      outcome: 'stale-ignored',
      sessions: [{ status: 'stale-ignored', visibility: 'none' }],
    });
    expect(harness.atTenant('crm_tier')).toBe('gold');
    expect(await harness.lane()).toMatchObject({ version: 1 });
    const { records } = await harness.audit();
    expect(records[0]?.payload).toMatchObject({ outcome: 'refused', code: 'stale-event', client: 'crm:generic' });
  });

  it('is ignored by a session, too, that was bound only after that', async () => {
    const harness = await start();
    const bridge = harness.instance();
    const nowMs = harness.clock.now();
    await bridge.crm({ tier: 'gold', occurredAtMs: nowMs });
    await bridge.bind();
    expect(await bridge.crm({ tier: 'silver', occurredAtMs: nowMs - 1 })).toMatchObject({ outcome: 'stale-ignored' });
    expect(harness.requests()).toEqual([]);
  });

  it('of two at the same time the greater id counts', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const occurredAtMs = harness.clock.now();
    await bridge.crm({ eventId: 'b', tier: 'gold', occurredAtMs });
    expect(await bridge.crm({ eventId: 'a', tier: 'silver', occurredAtMs })).toMatchObject({
      outcome: 'stale-ignored',
    });
    expect(await bridge.crm({ eventId: 'c', tier: 'bronze', occurredAtMs })).toMatchObject({ outcome: 'applied' });
    expect(harness.atTenant('crm_tier')).toBe('bronze');
  });

  it('still says what nothing later has said: paths are looked at one by one', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const nowMs = harness.clock.now();
    await bridge.crm({ tier: 'gold', occurredAtMs: nowMs });
    const earlier = { occurredAtMs: nowMs - 1, variables: [inUser('crm_tier', 'silver'), inUser('crm_name', 'Ada')] };
    expect(await bridge.crm(earlier)).toMatchObject({ outcome: 'applied', sessions: [injected] });
    expect(harness.context()).toMatchObject({ crm_tier: 'gold', crm_name: 'Ada' });
  });

  it('does not overtake it either when both are under way and the later one gets there first', async () => {
    const harness = await start();
    const slow = harness.instance();
    await slow.bind();
    const nowMs = harness.clock.now();
    // It has seen that it is not late, and is about to commit.
    const { reached, goOn } = slow.wire.freeze(/UpdateItem/, 1);
    const late = slow.crm({ eventId: 'a', tier: 'silver', occurredAtMs: nowMs - 1 });
    await reached;
    await harness.instance().crm({ eventId: 'b', tier: 'gold', occurredAtMs: nowMs });
    goOn();
    expect(await late).toMatchObject({ outcome: 'stale-ignored' });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('does not overtake it when the later one has found nothing to change', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const nowMs = harness.clock.now();
    await bridge.crm({ tier: 'gold', occurredAtMs: nowMs });
    const slow = harness.instance();
    const { reached, goOn } = slow.wire.freeze(/UpdateItem/, 1);
    const late = slow.crm({ eventId: 'y', tier: 'silver', occurredAtMs: nowMs + 1 });
    await reached;
    expect(await bridge.crm({ eventId: 'z', tier: 'gold', occurredAtMs: nowMs + 2 })).toMatchObject({
      sessions: [{ status: 'unchanged' }],
    });
    goOn();
    expect(await late).toMatchObject({ outcome: 'stale-ignored' });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('of two that a clock far ahead has stamped, whichever arrives last, the later one counts', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const aheadMs = harness.clock.now() + 10 * MINUTE_MS;
    await bridge.crm({ tier: 'gold', occurredAtMs: aheadMs });
    harness.clock.advance(MINUTE_MS);
    expect(await bridge.crm({ tier: 'silver', occurredAtMs: aheadMs - 1 })).toMatchObject({ outcome: 'stale-ignored' });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('is not late because of a later one that came to nothing', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    const nowMs = harness.clock.now();
    harness.tenant.faults.add({ match: { surface: 'token' }, times: 0, action: { status: 503 } });
    await bridge.crm({ eventId: 'later', tier: 'gold', occurredAtMs: nowMs });
    harness.tenant.faults.clear();
    harness.clock.advance(MINUTE_MS);
    expect(await bridge.crm({ eventId: 'earlier', tier: 'silver', occurredAtMs: nowMs - 1 })).toMatchObject({
      outcome: 'applied',
    });
    expect(await bridge.crm({ eventId: 'later', tier: 'gold', occurredAtMs: nowMs })).toMatchObject({
      outcome: 'applied',
    });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('that a clock far ahead has stamped does not silence its record until then', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm({ tier: 'gold', occurredAtMs: harness.clock.now() + 365 * 24 * 60 * MINUTE_MS });
    harness.clock.advance(6 * MINUTE_MS);
    expect(await bridge.crm({ tier: 'silver' })).toMatchObject({ outcome: 'applied' });
    expect(harness.atTenant('crm_tier')).toBe('silver');
  });
});

describe('The echo of what a CRM was told', () => {
  it('changes nothing: no request, no operation, no event', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm({ tier: 'gold' });
    harness.clock.advance(1_000);
    expect(await bridge.crm({ tier: 'gold' })).toMatchObject({
      outcome: 'applied',
      sessions: [{ operationId: null, status: 'unchanged', visibility: 'confirmed' }],
    });
    expect(harness.puts()).toHaveLength(1);
    expect(await harness.lane()).toMatchObject({ version: 1 });
  });

  it('is one of a value that stays for good as well, which it does not make a passing one', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.inject({ variables: [inUser('crm_tier', 'gold')] });
    expect(await bridge.crm({ tier: 'gold' })).toMatchObject({ sessions: [{ status: 'unchanged' }] });
    await harness.minutes(70);
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('is no echo when nobody knows what the bot has got meanwhile (SCENARIO 22)', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm({ tier: 'gold' });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 1, action: { malformed: 'html' } });
    await bridge.inject({ variables: [inUser('crm_tier', 'silver')] });
    expect(harness.atTenant('crm_tier')).toBe('silver');
    expect(await bridge.crm({ tier: 'gold' })).toMatchObject({ sessions: [injected] });
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('is no echo when the value has less than half of its life left: it is renewed', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm({ tier: 'gold' });
    harness.clock.advance(31 * MINUTE_MS);
    expect(await bridge.crm({ tier: 'gold' })).toMatchObject({ sessions: [injected] });
    await harness.minutes(40);
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });

  it('is no echo while another change is on its way', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm({ tier: 'gold' });
    takeDown(harness);
    await bridge.inject({ variables: [inUser('crm_tier', 'silver')], budgetMs: 1_000 });
    expect(await bridge.crm({ tier: 'gold', budgetMs: 1_000 })).toMatchObject({ sessions: [{ status: 'pending' }] });
    harness.tenant.faults.clear();
    await harness.minutes(2);
    expect(harness.atTenant('crm_tier')).toBe('gold');
  });
});

describe('A binding', () => {
  it('is made by an inject that names the record', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject({ crm: { source: 'generic', recordId: 4711 } });
    expect(await bridge.crm({ recordId: '4711' })).toMatchObject({ outcome: 'applied', sessions: [injected] });
  });

  it('is made by a message whose custom data name the record', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.webhook({ custom: { crm: { source: 'generic', recordId: 'ACC-1' } } });
    expect(await bridge.crm()).toMatchObject({ outcome: 'applied', sessions: [injected] });
  });

  it('ends when it is taken back', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.deps.records.unbind({ source: 'generic', recordId: 'ACC-1' }, SESSION);
    expect(await bridge.crm()).toMatchObject({ outcome: 'no-live-session' });
  });

  it('ends with the session: when the upstream says so', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject();
    await bridge.bind();
    harness.tenant.sessions.end(SESSION);
    expect(await bridge.crm()).toMatchObject({ sessions: [{ status: 'refused', code: 'session-ended' }] });
    expect(await bridge.crm()).toMatchObject({ outcome: 'no-live-session' });
  });

  it('ends with the session: when nobody has used it for so long', async () => {
    const harness = await start({ sessionTtlMs: 10 * MINUTE_MS });
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.inject();
    harness.clock.advance(9 * MINUTE_MS);
    await bridge.inject({ value: 'still here' });
    harness.clock.advance(9 * MINUTE_MS);
    expect(await bridge.crm()).toMatchObject({ outcome: 'applied' });
    harness.clock.advance(11 * MINUTE_MS);
    expect(await bridge.crm({ tier: 'silver' })).toMatchObject({ outcome: 'no-live-session' });
  });

  it('SCENARIO 43: goes with the session that is erased, on both sides', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject();
    await bridge.bind();
    await bridge.erase();
    expect(await bridge.crm()).toMatchObject({ outcome: 'no-live-session' });
    expect((await harness.items()).filter((sk) => sk.startsWith('BINDING'))).toEqual([]);
  });
});

describe('What a lane remembers of occurrences', () => {
  it('does not grow for ever: the oldest are forgotten', async () => {
    const harness = await start();
    const bridge = harness.instance();
    for (let record = 0; record < 10; record += 1) {
      await bridge.bind(`ACC-${record}`);
      const variables = Array.from({ length: 20 }, (_each, index) => inUser(`key_${record}_${index}`, 'x'));
      await bridge.crm({ recordId: `ACC-${record}`, variables });
    }
    await bridge.inject();
    const lane = (await harness.lane()) as unknown as { readonly occurrences: readonly string[] };
    // 128 of them, each with what it took the place of.
    expect(lane.occurrences.length).toBe(256);
  });
});

describe('A session whose journal is full', () => {
  it('SCENARIO 3: has the event come again; the others have it once', async () => {
    const harness = await start();
    takeDown(harness);
    const bridge = harness.instance();
    const [full, free] = [sessionId('full'), sessionId('free')];
    for (const session of [full, free]) await bridge.bind('ACC-1', session);
    for (let each = 0; each < 100; each += 1) await bridge.inject({ session: full, value: each, budgetMs: 1 });
    const event = { eventId: 'evt_1', occurredAtMs: harness.clock.now(), budgetMs: 200 };
    expect(await bridge.crm(event)).toMatchObject({ kind: 'busy' });
    harness.tenant.faults.clear();
    await harness.minutes(2);
    expect(await bridge.crm(event)).toMatchObject({ outcome: 'applied' });
    expect(harness.atTenant('crm_tier', full)).toBe('gold');
    expect((await harness.lane(free))?.version).toBe(1);
  });
});
