import { describe, expect, it } from 'vitest';
import { recordRefusal } from '../../../lib/operations/recordRefusal.ts';
import { storeThat } from '../../fixtures/operations/failingStore.ts';
import { type Instance, outcomesOf, SESSION, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();

const refuse = ({ deps, telemetry }: Instance, pointers = ['/variables/0/key'], session = SESSION) =>
  recordRefusal(deps, {
    sessionId: session,
    operation: 'inject',
    client: 'client',
    code: 'validation-failed',
    pointers,
    correlationId: 'corr',
    telemetry,
  });

describe('A refused request', () => {
  it('is audited without touching version, mirror or upstream', async () => {
    const harness = await start();
    await harness.instance().inject();
    const before = await harness.lane();
    await refuse(harness.instance());
    const after = await harness.lane();
    expect(after).toMatchObject({ version: 1, confirmedVersion: 1, stateRef: before?.stateRef, journal: [] });
    expect(after?.lease).toBeUndefined();
    expect(harness.puts()).toHaveLength(1);
    const audit = await harness.audit();
    expect(audit.chain.valid).toBe(true);
    expect(outcomesOf(audit)).toEqual(['confirmed', 'refused']);
    const payload = audit.records[0]?.payload;
    expect(payload).toMatchObject({
      code: 'validation-failed',
      pointers: ['/variables/0/key'],
      changes: [],
      attempts: 0,
    });
    expect(payload).not.toHaveProperty('versionAfter');
  });

  it('does not make a session out of nothing', async () => {
    const harness = await start();
    await refuse(harness.instance());
    expect(await harness.instance().inspect()).not.toHaveProperty('context');
    expect(await harness.lane()).toMatchObject({ version: 0 });
    expect(outcomesOf(await harness.audit())).toEqual(['refused']);
  });

  it('is linked by whoever holds the lane, in one chain', async () => {
    const harness = await start({ tenant: { latencyMs: 50 } });
    const results = await Promise.all([
      harness.instance().inject({ variables: [variable('a', 1)] }),
      ...[1, 2, 3].map(() => refuse(harness.instance())),
      harness.instance().inject({ variables: [variable('b', 2)] }),
    ]);
    expect(results).toHaveLength(5);
    await harness.minutes(3);
    const audit = await harness.audit();
    expect(audit.chain.valid).toBe(true);
    expect(outcomesOf(audit).sort()).toEqual(['confirmed', 'confirmed', 'refused', 'refused', 'refused']);
    expect(await harness.lane()).toMatchObject({ hasRefusals: false, hasOutbox: false, version: 2 });
  });

  it('SCENARIO 9: after a crash takes nothing for known that nobody knows: a transition is still not made twice', async () => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      const session = sessionId(`sess_${atCall}`);
      await harness.instance().dialog({ session, change: { session: { a: 1 } } });
      const victim = harness.instance();
      victim.wire.strike({ atCall, how: 'die', when: 'after' });
      const change = { session: { a: 2 }, transition: { nextStep: 'next' } };
      const dying = victim.dialog({ session, change, idempotencyKey: 'once' }).catch(() => 'failed');
      const answer = await Promise.race([dying, victim.wire.died]);
      wasStruck = victim.wire.calls.length >= atCall;
      if (answer === 'died') harness.clock.advance(30_000);

      await refuse(harness.instance(), ['/data'], session);

      await harness.instance().dialog({ session, change, idempotencyKey: 'once' });
      await harness.minutes(2);
      const made = harness.tenant.journal
        .entries({ surface: 'dialog-state', sessionId: session })
        .filter(({ applied }) => applied);
      expect(made, `died at ${atCall}`).toHaveLength(2);
      const audit = await harness.audit(session);
      expect(audit.chain.valid).toBe(true);
      expect(outcomesOf(audit)).toEqual(expect.arrayContaining(['refused', 'confirmed', 'confirmed']));
    }
  });

  it('names a bounded number of places', async () => {
    const harness = await start();
    await refuse(
      harness.instance(),
      Array.from({ length: 500 }, (_, index) => `/variables/${index}`),
    );
    const { records } = await harness.audit();
    expect(records[0]?.payload?.pointers?.length).toBeLessThanOrEqual(20);
  });

  it('that cannot be audited is counted, and disturbs nobody', async () => {
    const harness = await start();
    const instance = harness.instance({ store: storeThat({ noteRefusal: 'before' }) });
    await refuse(instance);
    expect(instance.telemetry.counts.get('RefusalNotAudited')).toBe(1);
  });
});

describe('The schedule', () => {
  it('begins nothing when there is no time, and takes it the next time', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    await harness.instance().inject();
    harness.clock.advance(60_000);
    expect(await harness.instance().workOff(2_000)).toMatchObject({ worked: 0, cutShort: true });
    expect(harness.atTenant()).toBeUndefined();
    expect(await harness.instance().workOff()).toMatchObject({ worked: 1, cutShort: false });
    expect(harness.atTenant()).toBe('v');
  });

  it('has nothing to do once all is settled and archived', async () => {
    const harness = await start();
    await harness.instance().inject();
    await harness.minutes(2);
    harness.clock.advance(3_600_000);
    const idle = harness.instance();
    expect(await idle.workOff()).toEqual({ worked: 0, skipped: 0, waiting: 0, cutShort: false });
    // One look at each shard, and no scan.
    expect(idle.wire.calls).toEqual(['QueryCommand', 'QueryCommand']);
  });

  it('run twice at once pushes once', async () => {
    const harness = await start({ tenant: { latencyMs: 100 } });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    await harness.instance().inject();
    const failed = harness.puts().length;
    harness.clock.advance(60_000);
    const reports = await Promise.all([harness.instance().workOff(), harness.instance().workOff()]);
    expect(reports.reduce((sum, { worked }) => sum + worked, 0)).toBeGreaterThanOrEqual(1);
    expect(harness.puts()).toHaveLength(failed + 1);
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
  });
});

describe('SCENARIO 25: after its idle time', () => {
  it('a session is unknown, and a write starts anew without what was before', async () => {
    const harness = await start({ sessionTtlMs: 600_000 });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('old', 1)] });
    harness.clock.advance(600_000);
    expect(await instance.inspect()).not.toHaveProperty('context');
    await instance.inject({ variables: [variable('new', 2)] });
    expect(await instance.inspect()).toMatchObject({ context: { new: 2 }, version: 2 });
    const { records } = await harness.audit();
    expect(records[0]?.payload?.changes).toEqual([expect.objectContaining({ path: '/new', before: null })]);
  });

  it('an expired variable is invisible at once, and is no base for what comes after', async () => {
    const harness = await start();
    const instance = harness.instance();
    const expiresAtMs = harness.clock.now() + 1_000;
    await instance.inject({ variables: [variable('k', 'same', expiresAtMs), variable('stays', 1)] });
    harness.clock.advance(999);
    expect(await instance.inspect()).toMatchObject({ context: { k: 'same', stays: 1 } });
    harness.clock.advance(1);
    expect(await instance.inspect()).toMatchObject({ context: { stays: 1 } });
    expect(await instance.inspect()).toMatchObject({ variables: [{ path: '/stays' }] });
    await instance.inject({ variables: [variable('k', 'same')] });
    const { records } = await harness.audit();
    expect(records[0]?.payload?.changes).toEqual([expect.objectContaining({ path: '/k', before: null })]);
  });
});
