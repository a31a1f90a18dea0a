import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import {
  type Instance,
  type LaneHarness,
  outcomesOf,
  sessionId,
  variable,
} from '../../fixtures/operations/laneHarness.ts';
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

type Session = ReturnType<typeof sessionId>;

/** What a client may ask for, and how a test tells that it has been done. */
interface Kind {
  readonly name: string;
  write(
    by: Instance,
    put: { session: Session; value: string; idempotencyKey?: string },
  ): ReturnType<Instance['inject' | 'sync' | 'dialog']>;
  /** Requests that change the bot. */
  sent(harness: LaneHarness, session: Session): number;
  readonly surface: 'inject' | 'sync' | 'dialog-state';
}

const KINDS: readonly Kind[] = [
  {
    name: 'An inject',
    surface: 'inject',
    write: (by, { value, ...put }) => by.inject({ ...put, value }),
    sent: (harness, session) => harness.puts(session).length,
  },
  {
    name: 'A sync',
    surface: 'sync',
    write: (by, { value, ...patch }) => by.sync({ ...patch, data: { k: value } }),
    sent: (harness, session) => harness.rewrites(session).length,
  },
  {
    name: 'A change of a dialog',
    surface: 'dialog-state',
    write: (by, { value, ...move }) =>
      by.dialog({ ...move, change: { session: { k: value }, transition: { nextStep: 'next' } } }),
    sent: (harness, session) => harness.requests(session).filter((request) => request === 'PATCH dialog-state').length,
  },
];

/** The operation has exactly one effect, one confirmation and one place in a chain that verifies; nothing is left to do. */
async function expectOneEffect(harness: LaneHarness, session: Session, value: string) {
  const lane = await harness.lane(session);
  expect(lane).toMatchObject({ version: 1, confirmedVersion: 1, journal: [] });
  expect(lane?.lease).toBeUndefined();
  expect(harness.atTenant('k', session)).toBe(value);
  expect(await harness.instance().inspect(session)).toMatchObject({ context: { k: value }, version: 1 });
  const audit = await harness.audit(session);
  expect(audit.chain).toEqual({ valid: true, brokenAt: null });
  expect(outcomesOf(audit).filter((outcome) => outcome === 'confirmed')).toHaveLength(1);
}

describe.each(KINDS)('$name that is struck at its k-th request', ({ write, sent }) => {
  it.each(STRIKES)('$how $when: comes back with one effect', async (strike) => {
    const harness = await start();
    let atCall = 1;
    for (let wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      const put = { session, value: `v${atCall}`, idempotencyKey: 'once' };

      // Prepare: a new session; tokens are warm after the first one.
      const victim = harness.instance();
      victim.wire.strike({ ...strike, atCall });
      const first = await Promise.race([
        write(victim, put).catch((error: unknown) => (error instanceof Error ? error.name : 'not an error')),
        victim.wire.died,
      ]);
      wasStruck = victim.wire.calls.length >= atCall;

      // Act: the schedule comes by, after lease and grace.
      await harness.minutes(1);

      // Assess
      const wasCommitted = (await harness.lane(session)) !== undefined;
      const told = typeof first === 'string' ? first : first.kind;
      if (told === 'StoreError' && !wasCommitted) expect(sent(harness, session)).toBe(0);
      if (told === 'settled' || told === 'pending') expect(wasCommitted).toBe(true);
      if (!wasCommitted) expect(harness.atTenant('k', session)).toBeUndefined();
      if (wasCommitted) await expectOneEffect(harness, session, put.value);

      // The client's retry joins what happened, or makes it happen.
      const before = sent(harness, session);
      const retry = await write(harness.instance(), put);
      expect(retry).toMatchObject({
        kind: 'settled',
        replayed: wasCommitted,
        outcome: { kind: 'confirmed', version: 1 },
      });
      if (wasCommitted) expect(sent(harness, session)).toBe(before);
      if (typeof first === 'object' && 'outcome' in first && 'outcome' in retry)
        expect(retry.outcome).toEqual(first.outcome);
      if ('context' in retry) expect(retry.context).toEqual({ k: put.value });
      await expectOneEffect(harness, session, put.value);
      await harness.minutes(2);
      await expectOneEffect(harness, session, put.value);
    }
    expect(atCall).toBeGreaterThan(7);
  });
});

describe.each(KINDS)('$name, the second operation, that is struck at its k-th request', ({ write }) => {
  it.each(STRIKES)('$how $when: takes nothing of the first one with it', async (strike) => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      const victim = harness.instance();
      // Prepare: an outbox to archive, a mirror to build on and a warm process; and a bot that has changed something.
      await write(victim, { session, value: 'old', idempotencyKey: 'first' });
      harness.bot({ turn: atCall }, session);
      const warm = victim.wire.calls.length;
      victim.wire.strike({ ...strike, atCall: warm + atCall });

      // Act
      await Promise.race([write(victim, { session, value: 'new' }).catch(() => undefined), victim.wire.died]);
      wasStruck = victim.wire.calls.length >= warm + atCall;
      await harness.minutes(3);

      // Assess
      const lane = await harness.lane(session);
      const isAccepted = lane?.version === 2;
      expect(lane).toMatchObject({ confirmedVersion: lane?.version, journal: [], hasOutbox: false });
      expect(harness.context(session)).toEqual({ k: isAccepted ? 'new' : 'old', turn: atCall });
      const audit = await harness.audit(session);
      expect(audit.chain.valid).toBe(true);
      expect(outcomesOf(audit).filter((outcome) => outcome === 'confirmed')).toHaveLength(isAccepted ? 2 : 1);
      const inspected = await harness.instance().inspect(session);
      expect(inspected).toMatchObject({ context: { k: isAccepted ? 'new' : 'old' }, pendingOperations: 0 });
      const repeated = await write(harness.instance(), { session, value: 'old', idempotencyKey: 'first' });
      expect(repeated).toMatchObject({ kind: 'settled', replayed: true, outcome: { version: 1 } });
    }
  });
});

describe.each(KINDS)('$name: a schedule that is struck at its k-th request', ({ write, surface }) => {
  it.each(STRIKES)('$how $when: leaves the rest to the next one', async (strike) => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      expect(atCall).toBeLessThan(ENDLESS);
      const session = sessionId(`sess_${atCall}`);
      // Prepare: a pending operation.
      harness.tenant.faults.add({ match: { sessionId: session, surface }, times: 0, action: { status: 503 } });
      const pending = await write(harness.instance(), { session, value: 'v' });
      expect(pending.kind).toBe('pending');
      harness.tenant.faults.clear();
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
      // A dialog that may have been moved is looked at first, which may take a run of its own.
      const outcomes = outcomesOf(audit);
      expect([new Set(outcomes.slice(0, -1)), outcomes.at(-1)]).toEqual([new Set(['pending']), 'confirmed']);
    }
  });
});

/** How what has expired had come: it leaves by one request to inject, by a rewritten context, or by a sync that comes by. */
const EXPIRING = [
  {
    name: 'injected',
    fill: (by: Instance, session: Session, expiresAtMs: number) =>
      by.inject({ session, variables: [variable('k', 'v', expiresAtMs), variable('stays', 1)] }),
  },
  {
    name: 'synced',
    fill: (by: Instance, session: Session) => by.sync({ session, data: { k: 'v', stays: 1 }, ttl: { '/k': 30 } }),
  },
] as const;

describe.each(EXPIRING)(
  'A schedule that takes out what was $name and has expired, struck at its k-th request',
  ({ fill }) => {
    it.each(STRIKES)('$how $when: it has left once, and is in the audit once', async (strike) => {
      const harness = await start();
      for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
        expect(atCall).toBeLessThan(ENDLESS);
        const session = sessionId(`sess_${atCall}`);
        await fill(harness.instance(), session, harness.clock.now() + 30_000);
        harness.clock.advance(60_000);

        // Act
        const victim = harness.instance();
        victim.wire.strike({ ...strike, atCall });
        await Promise.race([victim.workOff().catch(() => undefined), victim.wire.died]);
        wasStruck = victim.wire.calls.length >= atCall;
        await harness.minutes(3);

        // Assess
        const lane = await harness.lane(session);
        expect(lane).toMatchObject({ confirmedVersion: lane?.version, journal: [], hasOutbox: false });
        expect(lane?.nextExpiryMs).toBeUndefined();
        expect(lane?.lease).toBeUndefined();
        expect(harness.context(session)).toEqual({ stays: 1 });
        expect(await harness.instance().inspect(session)).toMatchObject({
          context: { stays: 1 },
          pendingOperations: 0,
        });
        const audit = await harness.audit(session);
        expect(audit.chain).toEqual({ valid: true, brokenAt: null });
        expect(outcomesOf(audit).filter((outcome) => outcome === 'confirmed')).toHaveLength(2);
        const removals = audit.records.flatMap(({ payload }) => payload?.changes ?? []).filter(({ cause }) => cause);
        expect(removals).toEqual([
          { path: '/k', scope: 'session', before: valueHash('v'), after: null, cause: 'expired' },
        ]);
        // Nothing goes on for ever.
        const idle = harness.instance();
        await idle.workOff();
        expect(idle.wire.calls).toEqual(['QueryCommand', 'QueryCommand']);
      }
    });
  },
);

describe('A sync, an inject and an expiry in one push, struck at its k-th request', () => {
  it.each(STRIKES)(
    '$how $when: each takes effect once, and bot and mirror agree',
    async (strike) => {
      const harness = await start();
      for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
        expect(atCall).toBeLessThan(ENDLESS);
        const session = sessionId(`sess_${atCall}`);
        // Prepare: what waits in the journal, what has expired, and a bot that has moved.
        await harness.instance().sync({ session, data: { gone: 'v', tree: { a: 1 } }, ttl: { '/gone': 30 } });
        for (const surface of ['inject', 'sync'] as const) {
          harness.tenant.faults.add({ match: { sessionId: session, surface }, times: 0, action: { status: 503 } });
        }
        await harness.instance().sync({ session, data: { tree: { b: 2 }, both: 'sync' }, idempotencyKey: 'sync' });
        await harness.instance().inject({ session, variables: [variable('both', 'inject')], idempotencyKey: 'inject' });
        harness.tenant.faults.clear();
        harness.bot({ turn: 1 }, session);
        harness.clock.advance(60_000);

        // Act
        const victim = harness.instance();
        victim.wire.strike({ ...strike, atCall });
        await Promise.race([victim.workOff().catch(() => undefined), victim.wire.died]);
        wasStruck = victim.wire.calls.length >= atCall;
        await harness.minutes(3);

        // Assess
        const context = { tree: { a: 1, b: 2 }, both: 'inject', turn: 1 };
        expect(harness.context(session)).toEqual(context);
        expect(await harness.instance().inspect(session)).toMatchObject({ context, pendingOperations: 0 });
        const audit = await harness.audit(session);
        expect(audit.chain).toEqual({ valid: true, brokenAt: null });
        const confirmed = audit.records.flatMap(({ payload }) => (payload?.outcome === 'confirmed' ? [payload] : []));
        expect(confirmed.map(({ operation }) => operation).sort()).toEqual(['expire', 'inject', 'sync', 'sync']);
        for (const key of ['sync', 'inject'] as const) {
          const by = harness.instance();
          const again =
            key === 'sync'
              ? by.sync({ session, data: { tree: { b: 2 }, both: 'sync' }, idempotencyKey: key })
              : by.inject({ session, variables: [variable('both', 'inject')], idempotencyKey: key });
          expect(await again).toMatchObject({ kind: 'settled', replayed: true, outcome: { kind: 'confirmed' } });
        }
      }
    },
    60_000,
  );
});
