import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { NewFault } from '../../../infra/local/tenant/faults.ts';
import { isJsonObject } from '../../../lib/context/json.ts';
import { patch, plainContext } from '../../fixtures/operations/contexts.ts';
import { type Instance, type LaneHarness, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

/**
 * Lives of sessions: clients, the schedule, the bot, faults of the upstream, crashes, time. Whatever has happened, in the end
 * nothing waits, bot and mirror agree, nothing expired is left, and the audit is one line (I1, I2, I3, I5, I6).
 */
const start = useDatabase();
/** The same lives at every run. Another seed, or many more runs, finds others. */
const LIVES = { seed: 20_261_121, numRuns: 60 } as const;
/** After this a session of an earlier life is idle, and every ttl is over. */
const LIFE_MS = 100 * 3_600_000;

const key = fc.constantFrom('a', 'b', 'c');
const value = fc.oneof(fc.constantFrom(0, 1, 'x'), plainContext);
const seconds = fc.constantFrom(1, 20, 90);

const inject = fc.record({
  kind: fc.constant('inject'),
  key,
  value,
  scope: fc.constantFrom('session', 'user', 'global'),
  ttlSeconds: fc.option(seconds, { nil: undefined }),
});
const sync = fc.record({
  kind: fc.constant('sync'),
  data: patch,
  ttl: fc.dictionary(fc.constantFrom('', '/a', '/b', '/a/b'), seconds, { maxKeys: 1 }),
  defaultTtlSeconds: fc.constantFrom(0, 30),
});
const dialog = fc.record({
  kind: fc.constant('dialog'),
  session: fc.option(fc.record({ a: value }), { nil: undefined }),
  user: fc.option(fc.record({ b: value }), { nil: undefined }),
  moves: fc.boolean(),
});
const webhook = fc.record({ kind: fc.constant('webhook'), message: fc.constantFrom('one', 'two') });
const schedule = fc.record({ kind: fc.constant('schedule') });
const work = fc.oneof(inject, sync, dialog, webhook, schedule);
type Work = typeof work extends fc.Arbitrary<infer Kind> ? Kind : never;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('alone'), work }) },
  fc.record({ kind: fc.constant('together'), works: fc.array(work, { minLength: 2, maxLength: 4 }) }),
  fc.record({
    kind: fc.constant('struck'),
    work,
    strike: fc.record({
      atCall: fc.integer({ min: 1, max: 20 }),
      how: fc.constantFrom('die', 'fail'),
      when: fc.constantFrom('before', 'after'),
    }),
  }),
  fc.record({ kind: fc.constant('bot'), key, value: fc.option(value, { nil: undefined }) }),
  fc.record({ kind: fc.constant('time'), ms: fc.constantFrom(500, 1_000, 30_000, 60_000, 3_700_000) }),
  fc.record({
    kind: fc.constant('fault'),
    fault: fc.record({
      match: fc.constantFrom<NewFault['match'][]>(
        { surface: 'inject', method: 'PUT' },
        { surface: 'inject', method: 'GET' },
        { surface: 'sync', method: 'PUT' },
        { surface: 'sync', method: 'GET' },
        { surface: 'dialog-state', method: 'PATCH' },
        { surface: 'dialog-state', method: 'GET' },
        { surface: 'webhook' },
      ),
      times: fc.constantFrom(1, 3, 4),
      action: fc.constantFrom(
        { status: 503 },
        { status: 400 },
        { status: 403 },
        { status: 409 },
        { status: 412 },
        { status: 500, applied: true },
        { reset: 'after' as const },
        { malformed: 'html' as const },
        { delayMs: 3_000 },
      ),
    }),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer Kind> ? Kind : never;

/** One life: how each step is done. */
class Life {
  readonly #harness: LaneHarness;
  readonly #session;
  #keys = 0;

  constructor(harness: LaneHarness, session: ReturnType<typeof sessionId>) {
    this.#harness = harness;
    this.#session = session;
  }

  async live(each: Step): Promise<unknown> {
    const { clock, tenant } = this.#harness;
    switch (each.kind) {
      case 'alone':
        return this.#do(each.work, this.#harness.instance());
      case 'together':
        return Promise.all(each.works.map((one) => this.#do(one, this.#harness.instance())));
      case 'struck': {
        const victim = this.#harness.instance();
        victim.wire.strike(each.strike);
        return Promise.race([this.#do(each.work, victim), victim.wire.died]);
      }
      case 'bot':
        return this.#harness.bot({ [each.key]: each.value }, this.#session);
      case 'time':
        return clock.advance(each.ms);
      case 'fault':
        return tenant.faults.add(each.fault);
    }
  }

  /** Whoever is told that it could not be done may be told so; what was accepted is looked at in the end. */
  async #do(one: Work, by: Instance): Promise<unknown> {
    const session = this.#session;
    this.#keys += 1;
    const idempotencyKey = `key${this.#keys}`;
    if (one.kind === 'schedule') return by.workOff().catch(() => undefined);
    if (one.kind === 'sync') {
      const { data, ttl, defaultTtlSeconds } = one;
      return by.sync({ session, idempotencyKey, data, ttl, defaultTtlSeconds }).catch(() => undefined);
    }
    if (one.kind === 'webhook') {
      return by.webhook({ sessionId: session, message: one.message, timestamp: this.#keys }).catch(() => undefined);
    }
    if (one.kind === 'dialog') {
      const { session: values, user, moves } = one;
      const change = {
        ...(values !== undefined && { session: values }),
        ...(user !== undefined && { user }),
        ...((moves || (values ?? user) === undefined) && { transition: { nextStep: `step ${this.#keys}` } }),
      };
      return by.dialog({ session, idempotencyKey, change }).catch(() => undefined);
    }
    const { ttlSeconds } = one;
    const expiresAtMs = ttlSeconds === undefined ? undefined : this.#harness.clock.now() + ttlSeconds * 1_000;
    const variables = [variable(one.key, one.value, expiresAtMs, one.scope)];
    return by.inject({ session, idempotencyKey, variables }).catch(() => undefined);
  }
}

async function expectGoodEnd(harness: LaneHarness, session: ReturnType<typeof sessionId>) {
  harness.tenant.faults.clear();
  await harness.minutes(20);
  expect((await harness.lane(session))?.journal ?? []).toEqual([]);

  // What the bot has done by itself the mirror learns with the next sync.
  const last = await harness.instance().sync({ session, data: {} });
  expect(last).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
  await harness.minutes(3);
  const inspected = await harness.instance().inspect(session);
  if (typeof inspected !== 'object') throw new Error(`the session is ${inspected}`);
  expect(inspected.context).toEqual(harness.context(session));
  const nowMs = harness.clock.now();
  for (const { expiresAtMs = Number.POSITIVE_INFINITY } of inspected.variables)
    expect(expiresAtMs).toBeGreaterThan(nowMs);

  const { records, chain } = await harness.audit(session);
  expect(chain).toEqual({ valid: true, brokenAt: null });
  const ends = records.filter(({ payload }) => payload?.outcome !== 'pending').map(({ operationId }) => operationId);
  expect(new Set(ends).size).toBe(ends.length);
  let version = 0;
  for (const { payload } of records.toReversed()) {
    if (payload?.outcome !== 'confirmed') continue;
    expect(payload.versionBefore).toBe(version);
    expect(payload.versionAfter).toBeGreaterThanOrEqual(version);
    version = payload.versionAfter ?? 0;
  }
  expect(inspected.version).toBe(version);

  // No transition was made twice.
  const moved = harness.tenant.journal
    .entries({ surface: 'dialog-state', sessionId: session })
    .filter(({ applied }) => applied)
    .flatMap(({ body }) =>
      isJsonObject(body) && isJsonObject(body['transition']) ? [body['transition']['nextStep']] : [],
    );
  expect(new Set(moved).size).toBe(moved.length);

  // And the schedule comes to rest.
  const sent = harness.requests(session).length;
  await harness.minutes(1);
  expect(harness.requests(session)).toHaveLength(sent);
}

it('property: whatever happens in a session’s life, it comes to a good end', async () => {
  const schema = { properties: { c: { 'x-conflict': 'theirs' }, a: { properties: { b: { default: 'filled' } } } } };
  const harness = await start({ schema, tenant: { latencyMs: 15 } });
  let lives = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12, size: 'max' }), async (steps) => {
      lives += 1;
      const session = sessionId(`sess_${lives}`);
      harness.clock.advance(LIFE_MS);
      harness.tenant.faults.clear();
      harness.tenant.sessions.create({ sessionId: session });
      const life = new Life(harness, session);
      for (const each of steps) await life.live(each);
      await expectGoodEnd(harness, session);
    }),
    LIVES,
  );
}, 120_000);
