import { describe, expect, it } from 'vitest';
import { type LaneHarness, outcomesOf, sessionId } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';
import type { Strike } from '../../fixtures/operations/wire.ts';

/**
 * SCENARIOS 8, 9, 11, 45 and I1, I2, I6, at every request an operation makes: the process dies there, or the request fails
 * there, before it is carried out or after.
 */
const start = useDatabase();
/** Far more requests than an operation makes. */
const ENDLESS = 60;

const STRIKES = [
  { how: 'die', when: 'before' },
  { how: 'die', when: 'after' },
  { how: 'fail', when: 'before' },
  { how: 'fail', when: 'after' },
] as const satisfies readonly Omit<Strike, 'atCall'>[];

/** The operation has exactly one effect, one confirmation and one place in a chain that verifies; nothing is left to do. */
async function expectOneEffect(harness: LaneHarness, session: ReturnType<typeof sessionId>, value: string) {
  const lane = await harness.lane(session);
  expect(lane).toMatchObject({ version: 1, confirmedVersion: 1, journal: [] });
  expect(lane?.lease).toBeUndefined();
  expect(harness.atTenant('k', session)).toBe(value);
  const audit = await harness.audit(session);
  expect(audit.chain).toEqual({ valid: true, brokenAt: null });
  expect(outcomesOf(audit).filter((outcome) => outcome === 'confirmed')).toHaveLength(1);
}

describe('An inject that is struck at its k-th request', () => {
  it.each(STRIKES)('$how $when: comes back with one effect', async (strike) => {
    const harness = await start();
    let atCall = 1;
    for (let wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      const put = { session, value: `v${atCall}`, idempotencyKey: 'once' };

      // Prepare: every third victim finds the lane with a history, the others find none; tokens are warm after the first.
      const victim = harness.instance();
      victim.wire.strike({ ...strike, atCall });
      const first = await Promise.race([
        victim.inject(put).catch((error: unknown) => (error instanceof Error ? error.name : 'not an error')),
        victim.wire.died,
      ]);
      wasStruck = victim.wire.calls.length >= atCall;

      // Act: the schedule comes by, after lease and grace.
      await harness.minutes(1);

      // Assess
      const wasCommitted = (await harness.lane(session)) !== undefined;
      const told = typeof first === 'string' ? first : first.kind;
      if (told === 'StoreError' && !wasCommitted) expect(harness.puts(session)).toHaveLength(0);
      if (told === 'settled' || told === 'pending') expect(wasCommitted).toBe(true);
      if (!wasCommitted) expect(harness.atTenant('k', session)).toBeUndefined();
      if (wasCommitted) await expectOneEffect(harness, session, put.value);

      // The client's retry joins what happened, or makes it happen.
      const sent = harness.puts(session).length;
      const retry = await harness.instance().inject(put);
      expect(retry).toMatchObject({
        kind: 'settled',
        replayed: wasCommitted,
        outcome: { kind: 'confirmed', version: 1 },
      });
      if (wasCommitted) expect(harness.puts(session)).toHaveLength(sent);
      if (typeof first === 'object' && 'outcome' in first && 'outcome' in retry)
        expect(retry.outcome).toEqual(first.outcome);
      await expectOneEffect(harness, session, put.value);
      await harness.minutes(2);
      await expectOneEffect(harness, session, put.value);
    }
    expect(atCall).toBeGreaterThan(7);
  });
});

describe('A second operation that is struck at its k-th request', () => {
  it.each(STRIKES)('$how $when: takes nothing of the first one with it', async (strike) => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      const victim = harness.instance();
      // Prepare: an outbox to archive, a mirror to build on and a warm process.
      await victim.inject({ session, value: 'old', idempotencyKey: 'first' });
      const warm = victim.wire.calls.length;
      victim.wire.strike({ ...strike, atCall: warm + atCall });

      // Act
      await Promise.race([victim.inject({ session, value: 'new' }).catch(() => undefined), victim.wire.died]);
      wasStruck = victim.wire.calls.length >= warm + atCall;
      await harness.minutes(3);

      // Assess
      const lane = await harness.lane(session);
      const isAccepted = lane?.version === 2;
      expect(lane).toMatchObject({ confirmedVersion: lane?.version, journal: [], hasOutbox: false });
      expect(harness.atTenant('k', session)).toBe(isAccepted ? 'new' : 'old');
      const audit = await harness.audit(session);
      expect(audit.chain.valid).toBe(true);
      expect(outcomesOf(audit).filter((outcome) => outcome === 'confirmed')).toHaveLength(isAccepted ? 2 : 1);
      const inspected = await harness.instance().inspect(session);
      expect(inspected).toMatchObject({ context: { k: isAccepted ? 'new' : 'old' }, pendingOperations: 0 });
      const repeated = await harness.instance().inject({ session, value: 'old', idempotencyKey: 'first' });
      expect(repeated).toMatchObject({ kind: 'settled', replayed: true, outcome: { version: 1 } });
    }
  });
});

describe('A schedule that is struck at its k-th request', () => {
  it.each(STRIKES)('$how $when: leaves the rest to the next one', async (strike) => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      // Prepare: a pending operation.
      harness.tenant.faults.add({ match: { sessionId: session }, times: 3, action: { status: 503 } });
      const pending = await harness.instance().inject({ session, value: 'v' });
      expect(pending.kind).toBe('pending');
      harness.clock.advance(60_000);

      // Act
      const victim = harness.instance();
      victim.wire.strike({ ...strike, atCall });
      await Promise.race([victim.workOff().catch(() => undefined), victim.wire.died]);
      wasStruck = victim.wire.calls.length >= atCall;
      await harness.minutes(3);

      // Assess
      expect(await harness.lane(session)).toMatchObject({
        version: 1,
        confirmedVersion: 1,
        journal: [],
        hasOutbox: false,
      });
      expect(harness.atTenant('k', session)).toBe('v');
      const audit = await harness.audit(session);
      expect(audit.chain.valid).toBe(true);
      expect(outcomesOf(audit)).toEqual(['pending', 'confirmed']);
    }
  });
});
