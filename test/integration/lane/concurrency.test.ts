import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import { BUDGET_MS, outcomesOf, SESSION, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();

describe('Writers of one session', () => {
  it('SCENARIO 1: two keys at the same instant become versions 1 and 2, audited in that order', async () => {
    const harness = await start();
    const answers = await Promise.all([
      harness.instance().inject({ variables: [variable('a', 1)] }),
      harness.instance().inject({ variables: [variable('b', 2)] }),
    ]);
    const versions = answers.map((answer) =>
      answer.kind === 'settled' && 'version' in answer.outcome ? answer.outcome.version : 0,
    );
    expect(versions.sort()).toEqual([1, 2]);
    expect(harness.tenant.sessions.inspect(SESSION)?.context).toEqual({ a: 1, b: 2 });
    const { records, chain } = await harness.audit();
    expect(records.map(({ payload }) => payload?.versionAfter).reverse()).toEqual([1, 2]);
    expect(chain.valid).toBe(true);
  });

  it('SCENARIO 2: of one key the last in commit order stays, and the other one’s hash is in the audit', async () => {
    const harness = await start();
    const values = ['one', 'two'];
    const answers = await Promise.all(values.map((value) => harness.instance().inject({ value })));
    const last = answers.findIndex(
      (answer) => answer.kind === 'settled' && 'version' in answer.outcome && answer.outcome.version === 2,
    );
    expect(harness.atTenant()).toBe(values[last]);
    const { records } = await harness.audit();
    const [loser = '', winner = ''] = [values[1 - last], values[last]];
    expect(records.map(({ payload }) => payload?.changes).reverse()).toEqual([
      [{ path: '/k', scope: 'session', before: null, after: valueHash(loser) }],
      [{ path: '/k', scope: 'session', before: valueHash(loser), after: valueHash(winner) }],
    ]);
  });

  it('SCENARIO 3: a hundred at once all complete or are told to come back, in a handful of upstream requests', async () => {
    const harness = await start({ tenant: { latencyMs: 40 } });
    const instances = Array.from({ length: 8 }, () => harness.instance());
    const other = sessionId('sess_other');
    const [answers, bystander] = await Promise.all([
      Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const instance = instances[index % instances.length];
          return instance?.inject({ variables: [variable('shared', index), variable(`own${index}`, index)] });
        }),
      ),
      harness.instance().inject({ session: other }),
    ]);
    expect(bystander).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });

    const versions = new Map<number, number>();
    answers.forEach((answer, index) => {
      expect(answer?.kind).toMatch(/^(settled|busy)$/);
      if (answer?.kind === 'settled' && answer.outcome.kind === 'confirmed')
        versions.set(answer.outcome.version, index);
    });
    const inOrder = [...versions.keys()].sort((a, b) => a - b);
    expect(inOrder).toEqual(inOrder.map((_, index) => index + 1));
    expect(versions.size).toBe(answers.filter((answer) => answer?.kind === 'settled').length);
    expect(harness.puts().length).toBeLessThan(20);

    const context = harness.tenant.sessions.inspect(SESSION)?.context ?? {};
    expect(context['shared']).toBe(versions.get(inOrder.length));
    expect(Object.keys(context)).toHaveLength(inOrder.length + 1);
    const { records, chain } = await harness.audit();
    expect(chain.valid).toBe(true);
    expect(records.map(({ payload }) => payload?.versionAfter).reverse()).toEqual(inOrder);
  });

  it('SCENARIO 3: the hundred-and-first in the journal is busy, and gets in again when there is room', async () => {
    const harness = await start({ tenant: { latencyMs: 10 } });
    const instance = harness.instance();
    harness.tenant.faults.add({ times: 0, match: { surface: 'inject' }, action: { status: 503 } });
    for (let index = 0; index < 100; index += 1) {
      const answer = await instance.inject({ variables: [variable(`k${index}`, index)], budgetMs: 300 });
      expect(answer).toMatchObject({ kind: 'pending', version: index + 1 });
    }
    const before = await harness.lane();
    expect(await instance.inject({ idempotencyKey: 'late' })).toEqual({
      kind: 'busy',
      retryAfterSeconds: expect.any(Number),
    });
    expect((await harness.lane())?.version).toBe(before?.version);

    harness.tenant.faults.clear();
    await harness.minutes(16);
    expect(await instance.inject({ idempotencyKey: 'late' })).toMatchObject({
      kind: 'settled',
      outcome: { version: 101 },
    });
    expect(Object.keys(harness.tenant.sessions.inspect(SESSION)?.context ?? {})).toHaveLength(101);
  });

  it('SCENARIO 7: the schedule and clients keep to one lane', async () => {
    const harness = await start({ tenant: { latencyMs: 30 } });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    expect(await harness.instance().inject({ value: 'old' })).toMatchObject({ kind: 'pending' });
    harness.clock.advance(60_000);
    const [, answer] = await Promise.all([harness.instance().workOff(), harness.instance().inject({ value: 'new' })]);
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed', version: 2 } });
    expect(harness.atTenant()).toBe('new');
    expect((await harness.audit()).chain.valid).toBe(true);
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed', 'confirmed']);
  });
});

describe('Readers during writes (SCENARIO 47, I8)', () => {
  it('see one version, never half an operation, and versions never go back', async () => {
    const harness = await start({ tenant: { latencyMs: 15 } });
    const keys = ['a', 'b', 'c'];
    const large = 'x'.repeat(3_000);
    const write = (value: number) =>
      harness.instance().inject({
        variables: [...keys.map((key) => variable(key, value)), variable('large', `${value}:${large}`)],
      });
    await write(0);
    let writing = true;
    const writers = Promise.all(Array.from({ length: 20 }, (_, index) => write(index + 1))).finally(() => {
      writing = false;
    });
    const reader = harness.instance();
    let seen = 0;
    let reads = 0;
    while (writing) {
      const inspected = await reader.inspect();
      if (typeof inspected !== 'object') throw new Error('a session that exists was not found');
      const { context, confirmedVersion, variables } = inspected;
      expect(context).toEqual({ a: context['a'], b: context['a'], c: context['a'], large: `${context['a']}:${large}` });
      expect(new Set(variables.map(({ version }) => version)).size).toBe(1);
      expect(confirmedVersion).toBeGreaterThanOrEqual(seen);
      seen = confirmedVersion;
      reads += 1;
      // Only then can time go on for the writers.
      await harness.clock.sleep(2);
    }
    expect((await writers).every(({ kind }) => kind === 'settled')).toBe(true);
    expect(reads).toBeGreaterThan(3);
    expect(await reader.inspect()).toMatchObject({ version: 21, confirmedVersion: 21, pendingOperations: 0 });
  });
});

describe('A repeated idempotency key (SCENARIO 12, I2)', () => {
  it('waits for the first request and gets its answer', async () => {
    const harness = await start({ tenant: { latencyMs: 500 } });
    const put = { value: 'once', idempotencyKey: 'key' };
    const answers = await Promise.all([1, 2, 3].map(() => harness.instance().inject(put)));
    const outcomes = answers.map((answer) => ('outcome' in answer ? answer.outcome : answer.kind));
    expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size).toBe(1);
    expect(answers.filter((answer) => 'replayed' in answer && !answer.replayed)).toHaveLength(1);
    expect(harness.puts()).toHaveLength(1);
    expect(await harness.lane()).toMatchObject({ version: 1 });
  });

  it.each(['while it runs', 'when it is settled', 'when it is archived'])(
    'is refused for another body %s',
    async (moment) => {
      const harness = await start({ tenant: { latencyMs: 500 } });
      const first = harness.instance().inject({ value: 1, idempotencyKey: 'key' });
      if (moment !== 'while it runs') await first;
      if (moment === 'when it is archived') await harness.minutes(2);
      // While it runs: not before its commit.
      else await harness.committed(1);
      expect(await harness.instance().inject({ value: 2, idempotencyKey: 'key' })).toEqual({ kind: 'mismatch' });
      await first;
      expect(harness.atTenant()).toBe(1);
    },
  );

  it('is independent of another client’s', async () => {
    const harness = await start();
    await harness.instance().inject({ value: 1, idempotencyKey: 'key', client: 'a' });
    const answer = await harness.instance().inject({ value: 2, idempotencyKey: 'key', client: 'b' });
    expect(answer).toMatchObject({ kind: 'settled', replayed: false, outcome: { version: 2 } });
  });

  it('is the same request whatever the order of its members', async () => {
    const harness = await start();
    const { variables } = { variables: [variable('k', { a: 1, b: 2 })] };
    const turned = [variable('k', { b: 2, a: 1 })];
    await harness.instance().inject({ variables, idempotencyKey: 'key' });
    const again = await harness.instance().inject({ variables: turned, idempotencyKey: 'key' });
    expect(again).toMatchObject({ kind: 'settled', replayed: true });
  });

  it('stays pending with the first request’s names when that one is pending', async () => {
    const harness = await start();
    harness.tenant.faults.add({ times: 3, action: { status: 503 }, match: { surface: 'inject' } });
    const first = await harness.instance().inject({ idempotencyKey: 'key' });
    const again = await harness.instance().inject({ idempotencyKey: 'key' });
    expect(again).toEqual({ ...first, replayed: true });
    await harness.minutes(1);
    const ended = await harness.instance().inject({ idempotencyKey: 'key' });
    expect(ended).toMatchObject({
      kind: 'settled',
      replayed: true,
      outcome: { operationId: 'operationId' in first ? first.operationId : '' },
    });
  });
});

describe('SCENARIO 11: near the deadline', () => {
  it('stops in time and leaves a record that is resumed', async () => {
    const harness = await start({ tenant: { latencyMs: 3_000 } });
    const startedMs = harness.clock.now();
    harness.tenant.faults.add({ match: { surface: 'inject' }, action: { delayMs: 60_000 }, times: 3 });
    const answer = await harness.instance().inject();
    expect(answer.kind).toBe('pending');
    expect(harness.clock.now() - startedMs).toBeLessThanOrEqual(BUDGET_MS + 100);
    await harness.minutes(2);
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
  });
});
