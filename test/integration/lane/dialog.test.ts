import { describe, expect, it } from 'vitest';
import type { NewFault } from '../../../infra/local/tenant/faults.ts';
import type { JsonObject } from '../../../lib/context/json.ts';
import type { DialogAnswer } from '../../../lib/operations/updateDialogState.ts';
import {
  type LaneHarness,
  type Move,
  outcomesOf,
  SESSION,
  sessionId,
  variable,
} from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';
import type { Strike } from '../../fixtures/operations/wire.ts';

const start = useDatabase();
const AT_DIALOG = { surface: 'dialog-state' } as const;

/** What reached the dialog surface, oldest first, as in `PATCH "1"` (with its If-Match) or `GET`. */
const dialogRequests = (harness: LaneHarness, session = SESSION) =>
  harness.tenant.journal
    .entries({ ...AT_DIALOG, sessionId: session })
    .map(({ method, headers }) => [method, headers['if-match']].filter((part) => part !== undefined).join(' '));

const atBot = (harness: LaneHarness, session = SESSION) => {
  const view = harness.tenant.sessions.inspect(session);
  return { nextStep: view?.nextStep, context: view?.context, version: view?.version };
};

const confirmed = { kind: 'settled', outcome: { kind: 'confirmed' } };
const refusedWith = (code: string, more: object = {}) => ({
  kind: 'settled',
  outcome: { kind: 'refused', code, ...more },
});

describe('A change of a dialog', () => {
  it('is one request that carries variables and transition together', async () => {
    const harness = await start();
    const answer = await harness.instance().dialog({
      change: { session: { step_count: 1 }, user: { tier: 'gold' }, transition: { nextStep: 'checkout' } },
    });
    expect(answer).toMatchObject({ ...confirmed, outcome: { version: 1, etag: '"2"', result: { version: 2 } } });
    expect(harness.requests()).toEqual(['PATCH dialog-state']);
    const [patch] = harness.tenant.journal.entries(AT_DIALOG);
    expect(patch?.body).toEqual({
      session: { step_count: 1 },
      user: { tier: 'gold' },
      transition: { nextStep: 'checkout' },
    });
    expect(atBot(harness)).toMatchObject({
      nextStep: 'checkout',
      context: { step_count: 1, tier: 'gold' },
      version: 2,
    });
  });

  it('is in the mirror, the history and the audit trail afterwards, with its step', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1 }, transition: { nextStep: 'one' } } });
    await instance.dialog({ change: { session: { a: 2 }, transition: { nextStep: 'two' } } });
    expect(await instance.inspect()).toMatchObject({ version: 2, context: { a: 2 } });
    const { records } = await harness.audit();
    expect(records.map(({ payload }) => [payload?.operation, payload?.nextStep, payload?.client])).toEqual([
      ['dialog-state', 'two', 'client'],
      ['dialog-state', 'one', 'client'],
    ]);
    expect(records[0]?.payload?.changes.map(({ path, scope }) => `${scope}${path}`)).toEqual(['session/a']);
  });

  it('goes by the version that is known, and needs no reading for that', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1 } } });
    await harness.instance().dialog({ change: { session: { a: 2 } } });
    expect(dialogRequests(harness)).toEqual(['PATCH', 'PATCH "2"']);
  });

  it.each([409, 412] as const)(
    'SCENARIO 5: is made again on top of what the bot has changed beside it (%i)',
    async (status) => {
      const harness = await start({ tenant: { dialogMismatchStatus: status } });
      const instance = harness.instance();
      await instance.dialog({ change: { session: { a: 1 } } });
      harness.bot({ b: 'bot' });
      expect(await instance.dialog({ change: { session: { a: 2 } } })).toMatchObject(confirmed);
      expect(dialogRequests(harness)).toEqual(['PATCH', 'PATCH "2"', 'GET', 'PATCH "3"']);
      expect(harness.context()).toEqual({ a: 2, b: 'bot' });
    },
  );

  it('is refused with the paths of what the bot has changed, too, and changes nothing; said again, it is meant', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1, c: 1 } } });
    harness.bot({ a: 'bot' });
    const change = { session: { a: 2, c: 2 }, user: { d: 1 }, transition: { nextStep: 'on' } };
    expect(await instance.dialog({ change })).toMatchObject(refusedWith('conflict', { paths: ['/session/a'] }));
    expect(atBot(harness)).toMatchObject({ nextStep: null, context: { a: 'bot', c: 1 } });
    expect(await instance.dialog({ change })).toMatchObject(confirmed);
    expect(atBot(harness)).toMatchObject({ nextStep: 'on', context: { a: 2, c: 2, d: 1 } });
  });

  it('does not collide with what the bot has set to the same value', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1 } } });
    harness.bot({ a: 2 });
    expect(await instance.dialog({ change: { session: { a: 2 }, transition: { nextStep: 's' } } })).toMatchObject(
      confirmed,
    );
    expect(atBot(harness)).toMatchObject({ nextStep: 's', version: 4 });
  });

  it('reads first where we have written to the session ourselves, instead of being refused for it', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1 } } });
    await instance.inject({ value: 'injected' });
    harness.bot({ b: 'bot' });
    expect(await instance.dialog({ change: { session: { a: 2, k: 'again' } } })).toMatchObject(confirmed);
    expect(dialogRequests(harness)).toEqual(['PATCH', 'GET', 'PATCH "4"']);
    expect(harness.context()).toEqual({ a: 2, b: 'bot', k: 'again' });
  });
});

describe('What is believed of a dialog', () => {
  const set = (values: JsonObject) => ({ change: { session: values } });

  it('a refusal of somebody’s stale If-Match is no licence for others to overwrite what the bot has set', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog(set({ cart: 1 }));
    harness.bot({ cart: 5 });
    expect(await instance.dialog({ ...set({ a: 1 }), ifMatch: '"2"' })).toMatchObject(refusedWith('version-mismatch'));
    expect(await instance.dialog(set({ cart: 7 }))).toMatchObject(
      refusedWith('conflict', { paths: ['/session/cart'] }),
    );
    expect(harness.context()).toEqual({ cart: 5 });
  });

  it('a conflict is told once for each place, whatever else happens between two tries', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog(set({ cart: 1, b: 1 }));
    harness.bot({ cart: 5, b: 5 });
    expect(await instance.dialog(set({ b: 2 }))).toMatchObject(refusedWith('conflict', { paths: ['/session/b'] }));
    expect(await instance.dialog(set({ cart: 2 }))).toMatchObject(
      refusedWith('conflict', { paths: ['/session/cart'] }),
    );
    await instance.webhook();
    harness.bot({ other: 1 });
    expect(await instance.dialog(set({ b: 2 }))).toMatchObject(confirmed);
    await instance.inject();
    expect(await instance.dialog(set({ cart: 2 }))).toMatchObject(confirmed);
    expect(harness.context()).toMatchObject({ b: 2, cart: 2 });
  });

  it('ends with its session: nothing of it collides with the one that begins anew', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog(set({ cart: 1 }));
    harness.tenant.sessions.end(SESSION);
    expect(await instance.dialog(set({ cart: 2 }))).toMatchObject(refusedWith('session-ended'));
    harness.tenant.sessions.create({ sessionId: SESSION });
    expect(await instance.dialog(set({ cart: 3 }))).toMatchObject(confirmed);
    expect(harness.context()).toEqual({ cart: 3 });
  });

  it('our own writes by other surfaces are no answer to whether a transition was made', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { transition: { nextStep: 'one' } } });
    await instance.inject({ variables: [variable('tariff', 'y', undefined, 'global')] });
    harness.tenant.faults.add({ match: { ...AT_DIALOG, method: 'GET' }, action: { delayMs: 3_000 } });
    const victim = harness.instance();
    victim.wire.strike({ atCall: victim.wire.calls.length + 6, how: 'die', when: 'before' });
    await Promise.race([victim.dialog({ change: { transition: { nextStep: 'two' } } }), victim.wire.died]);
    await harness.minutes(3);
    const [last] = outcomesOf(await harness.audit()).slice(-1);
    const { nextStep } = atBot(harness);
    // Made, or said not to be known; never said to be made without being.
    expect([last, nextStep]).toEqual(last === 'confirmed' ? ['confirmed', 'two'] : ['refused', 'one']);
  });

  it('SCENARIO 8: what waited behind an operation of unknown outcome has not been sent itself, and is', async () => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 6, action: { reset: 'after' } });
    expect(await instance.inject({ value: 1 })).toMatchObject({ kind: 'pending' });
    expect(await instance.dialog({ change: { transition: { nextStep: 'go' } } })).toMatchObject({ kind: 'pending' });
    await harness.minutes(3);
    expect(atBot(harness).nextStep).toBe('go');
    expect(dialogRequests(harness)).toEqual(['PATCH']);
  });

  it('SCENARIO 25: what has expired and not left the bot is not in an answer', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ variables: [variable('otp', '1234', harness.clock.now() + 5_000)] });
    harness.clock.advance(6_000);
    const answer = await instance.dialog(set({ a: 1 }));
    expect(answer).toMatchObject({ ...confirmed, outcome: { result: { session: { a: 1 } } } });
    expect(JSON.stringify(answer)).not.toContain('1234');
  });
});

describe('SCENARIO 4: If-Match', () => {
  it('is passed on, and holds where nothing has changed', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1 } } });
    expect(await instance.dialog({ change: { session: { a: 2 } }, ifMatch: '"2"' })).toMatchObject(confirmed);
    expect(dialogRequests(harness)).toEqual(['PATCH', 'PATCH "2"']);
  });

  it.each([409, 412] as const)(
    'is refused with the current tag where it is stale (%i), whatever has changed',
    async (status) => {
      const harness = await start({ tenant: { dialogMismatchStatus: status } });
      const instance = harness.instance();
      await instance.dialog({ change: { session: { a: 1 } } });
      harness.bot({ b: 'bot' });
      const stale = await instance.dialog({
        change: { session: { a: 2 }, transition: { nextStep: 'x' } },
        ifMatch: '"2"',
      });
      expect(stale).toMatchObject(refusedWith('version-mismatch', { etag: '"3"' }));
      expect(atBot(harness)).toMatchObject({ nextStep: null, context: { a: 1, b: 'bot' } });
    },
  );

  it('is refused with the current tag also where the refusal itself does not tell it', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.dialog({ change: { session: { a: 1 } } });
    harness.tenant.faults.add({ match: { ...AT_DIALOG, method: 'PATCH' }, action: { status: 412 } });
    const answer = await instance.dialog({ change: { session: { a: 2 } }, ifMatch: '"1"' });
    expect(answer).toMatchObject(refusedWith('version-mismatch', { etag: '"2"' }));
  });
});

const MOVES: readonly (readonly [string, Move])[] = [
  ['a transition alone', { change: { transition: { nextStep: 'next' } } }],
  [
    'a transition with variables',
    { change: { session: { a: 2 }, user: { u: 'new' }, transition: { nextStep: 'next' } } },
  ],
  [
    'a transition with variables that are there already',
    { change: { session: { a: 1 }, transition: { nextStep: 'next' } } },
  ],
  ['variables alone', { change: { session: { a: 2 } } }],
];

const FAULTS: readonly NewFault['action'][] = [
  { status: 500 },
  { status: 500, applied: true },
  { status: 502, applied: true },
  { status: 503 },
  { status: 503, headers: { 'retry-after': '3' } },
  { status: 408 },
  { status: 429 },
  { status: 429, headers: { 'retry-after': '90' } },
  { status: 401 },
  { status: 403 },
  { status: 400 },
  { status: 409 },
  { status: 412 },
  { status: 404 },
  { reset: 'before' },
  { reset: 'after' },
  { malformed: 'html' },
  { malformed: 'truncated' },
  { malformed: 'wrong-shape' },
  { malformed: 'empty' },
  { redirectTo: 'http://elsewhere.test/' },
  { delayMs: 120_000 },
  { delayMs: 4_500 },
];

/** How often something was changed at the bot. */
const changes = (harness: LaneHarness, session = SESSION) => (atBot(harness, session).version ?? 1) - 1;

describe('property: a transition takes effect at most once, whatever happens to it', () => {
  const situations = FAULTS.flatMap((action) =>
    [1, 4].map((times) => [JSON.stringify(action), times, action] as const),
  );

  it.each(situations)('%s, %i times', async (_name, times, action) => {
    const harness = await start();
    for (const [index, [what, move]] of MOVES.entries()) {
      for (const knows of [true, false]) {
        const session = sessionId(`sess_${index}_${knows}`);
        if (knows) await harness.instance().dialog({ session, change: { session: { a: 1 } } });
        const before = changes(harness, session);
        harness.tenant.faults.clear();
        harness.tenant.faults.add({ match: AT_DIALOG, times, action });
        const answer = await harness.instance().dialog({ ...move, session, idempotencyKey: 'once' });
        // Long enough for the longest pause, and for what waits for it.
        await harness.minutes(20);
        await expectOneFate(harness, { session, before, what, move, answer });
      }
    }
  });
});

describe('A transition of which the upstream says that it has not begun, and which it has made', () => {
  const LIES = [{ status: 503 }, { status: 408 }] as const;
  const TOLD = MOVES.flatMap(([what, move]) =>
    [true, false].map((knows) => ({ what, move, knows, hasVariables: what !== 'a transition alone' })),
  ).filter(({ knows, hasVariables }) => knows || hasVariables);

  it.each(LIES)('is looked at before it is sent again: $status', async ({ status }) => {
    const harness = await start();
    for (const [index, { what, move, knows }] of TOLD.entries()) {
      const session = sessionId(`sess_${index}`);
      if (knows) await harness.instance().dialog({ session, change: { session: { a: 1 } } });
      const before = changes(harness, session);
      harness.tenant.faults.clear();
      harness.tenant.faults.add({ match: AT_DIALOG, times: 1, action: { status, applied: true } });
      const answer = await harness.instance().dialog({ ...move, session, idempotencyKey: 'once' });
      expect(answer, what).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
      await harness.minutes(2);
      await expectOneFate(harness, { session, before, what, move, answer });
    }
  });

  it('is sent three times at most, as every request is', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: { ...AT_DIALOG, method: 'PATCH' }, times: 0, action: { status: 503 } });
    const change = { session: { a: 2 }, transition: { nextStep: 'next' } };
    expect(await harness.instance().dialog({ change })).toMatchObject({ kind: 'pending' });
    expect(harness.requests().filter((request) => request === 'PATCH dialog-state')).toHaveLength(3);
  });

  it('is not told to be another’s by the tag that it has changed itself', async () => {
    const harness = await start();
    const first = await harness.instance().dialog({ change: { session: { a: 1 } } });
    expect(first).toMatchObject({ outcome: { kind: 'confirmed' } });
    harness.tenant.faults.add({ match: AT_DIALOG, times: 1, action: { status: 503, applied: true } });
    const change = { session: { a: 2 }, transition: { nextStep: 'next' } };
    expect(await harness.instance().dialog({ change, ifMatch: '"2"' })).toMatchObject({
      outcome: { kind: 'confirmed' },
    });
  });
});

async function expectOneFate(
  harness: LaneHarness,
  given: {
    readonly session: typeof SESSION;
    readonly before: number;
    readonly what: string;
    readonly move: Move;
    readonly answer: DialogAnswer;
  },
): Promise<void> {
  const { session, before, what, move } = given;
  const made = changes(harness, session) - before;
  const { records, chain } = await harness.audit(session);
  const ends = records
    .filter(({ operationId }) => operationId === records[0]?.operationId)
    .map(({ payload }) => payload?.outcome)
    .filter((outcome) => outcome !== 'pending');
  expect(chain.valid).toBe(true);
  // The operation ends, once: nothing is forgotten.
  expect(ends, what).toHaveLength(1);
  expect(await harness.lane(session)).toMatchObject({ journal: [] });
  if (move.change.transition !== undefined) expect(made, what).toBeLessThanOrEqual(1);
  if (ends[0] !== 'confirmed') return;
  expect(made, what).toBeGreaterThanOrEqual(1);
  expect(atBot(harness, session)).toMatchObject({
    context: { ...move.change.session, ...move.change.user },
    ...(move.change.transition && { nextStep: 'next' }),
  });
}

describe('A transition that is struck at its k-th request', () => {
  const STRIKES = [
    { how: 'die', when: 'before' },
    { how: 'die', when: 'after' },
    { how: 'fail', when: 'before' },
    { how: 'fail', when: 'after' },
  ] as const satisfies readonly Omit<Strike, 'atCall'>[];

  it.each(STRIKES)('SCENARIOS 8, 9: $how $when: takes effect once', async (strike) => {
    const harness = await start();
    for (let atCall = 1, wasStruck = true; wasStruck; atCall += 1) {
      const session = sessionId(`sess_${atCall}`);
      await harness.instance().dialog({ session, change: { session: { a: 1 } } });
      const victim = harness.instance();
      victim.wire.strike({ ...strike, atCall });
      const change = { session: { a: 2 }, transition: { nextStep: 'next' } };
      const move = { session, change, idempotencyKey: 'once' };
      const answer = await Promise.race([victim.dialog(move).catch(() => 'failed' as const), victim.wire.died]);
      wasStruck = victim.wire.calls.length >= atCall;
      if (answer === 'died') harness.clock.advance(30_000);
      await harness.instance().dialog(move);
      await harness.minutes(2);
      expect(changes(harness, session), `struck at ${atCall}`).toBe(2);
      expect(atBot(harness, session)).toMatchObject({ nextStep: 'next', context: { a: 2 } });
      const audit = await harness.audit(session);
      expect(audit.chain.valid).toBe(true);
      expect(outcomesOf(audit).filter((outcome) => outcome === 'confirmed')).toHaveLength(2);
    }
  });
});

describe('I3: beside other changes of the same session', () => {
  it('takes effect in commit order', async () => {
    const harness = await start();
    const instance = harness.instance();
    for (const surface of ['inject', 'dialog-state', 'sync'] as const) {
      harness.tenant.faults.add({ match: { surface }, times: 0, action: { status: 503 } });
    }
    await instance.inject({ value: 'first' });
    await instance.dialog({ change: { session: { k: 'second', only: 'dialog' }, transition: { nextStep: 'go' } } });
    await instance.inject({ value: 'third' });
    await instance.sync({ data: { k: 'fourth' } });
    await instance.dialog({ change: { session: { k: 'fifth' } } });
    harness.tenant.faults.clear();
    harness.tenant.journal.clear();
    await harness.minutes(2);
    expect(harness.requests()).toEqual([
      'PUT inject',
      'PATCH dialog-state',
      'PUT inject',
      'GET sync',
      'PUT sync',
      'GET dialog-state',
      'PATCH dialog-state',
    ]);
    expect(atBot(harness)).toMatchObject({ nextStep: 'go', context: { k: 'fifth', only: 'dialog' } });
    expect(await instance.inspect()).toMatchObject({ version: 5, context: { k: 'fifth', only: 'dialog' } });
    expect(await harness.lane()).toMatchObject({ confirmedVersion: 5, journal: [] });
  });

  it('nothing overtakes a change that could not be sent', async () => {
    const harness = await start();
    const instance = harness.instance();
    // The change, and the look at what became of it.
    harness.tenant.faults.add({ match: AT_DIALOG, times: 4, action: { status: 503 } });
    expect(await instance.dialog({ change: { session: { k: 'first' } } })).toMatchObject({ kind: 'pending' });
    harness.tenant.faults.add({ match: AT_DIALOG, times: 4, action: { status: 503 } });
    expect(await instance.inject({ value: 'second' })).toMatchObject({ kind: 'pending' });
    expect(harness.puts()).toEqual([]);
    await harness.minutes(2);
    expect(harness.atTenant()).toBe('second');
  });
});
