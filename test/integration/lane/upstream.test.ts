import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../lib/context/json.ts';
import { storeThat } from '../../fixtures/operations/failingStore.ts';
import { type LaneHarness, outcomesOf, SESSION, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { confirmed, refused, ScriptedCognigy, unavailable } from '../../fixtures/operations/scriptedCognigy.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();
const AT_INJECT = { surface: 'inject' } as const;

/** What every PUT to the tenant carried. */
const sentBy = (harness: LaneHarness): { at: number; key: string; value: unknown; expiresAt: string | null }[] =>
  harness.puts().flatMap(({ at, body }) => {
    const { variables } = body as unknown as { variables: { key: string; value: unknown; expiresAt: string | null }[] };
    return variables.map(({ key, value, expiresAt }) => ({ at, key, value, expiresAt }));
  });

describe('SCENARIO 10: an outcome that is not known', () => {
  it('stays pending and is resolved by sending the same values again', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 3, action: { reset: 'after' } });
    expect(await harness.instance().inject({ value: 'once' })).toMatchObject({ kind: 'pending' });
    expect(harness.atTenant()).toBe('once');
    await harness.minutes(1);
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
    expect(new Set(harness.puts().map(({ body }) => JSON.stringify(body))).size).toBe(1);
  });

  it('answers within its time when the upstream does not answer at all', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 0, action: { delayMs: 120_000 } });
    expect(await harness.instance().inject()).toMatchObject({ kind: 'pending' });
    const { records } = await harness.audit();
    expect(records[0]?.payload).toMatchObject({ outcome: 'pending', code: 'timeout' });
    harness.tenant.faults.clear();
    await harness.minutes(2);
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
  });
});

describe('SCENARIO 20: the session is gone upstream', () => {
  it('ends the operation, refuses what is queued behind it, and the mirror goes with it', async () => {
    const harness = await start();
    const instance = harness.instance();
    await instance.inject({ value: 'before' });
    harness.tenant.faults.add({ match: AT_INJECT, times: 3, action: { status: 503 } });
    const queued = await instance.inject({ value: 'queued', idempotencyKey: 'queued' });
    expect(queued.kind).toBe('pending');

    harness.tenant.sessions.end(SESSION);
    const sent = harness.puts().length;
    const answer = await instance.inject({ value: 'late' });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code: 'session-ended' } });
    expect(harness.puts()).toHaveLength(sent + 1);
    const told = await instance.inject({ value: 'queued', idempotencyKey: 'queued' });
    expect(told).toMatchObject({
      kind: 'settled',
      outcome: { kind: 'refused', code: 'session-ended' },
      replayed: true,
    });
    expect(await instance.inspect()).not.toHaveProperty('context');
    await harness.minutes(3);
    expect(harness.puts()).toHaveLength(sent + 1);
    const audit = await harness.audit();
    expect(audit.chain.valid).toBe(true);
    expect(outcomesOf(audit)).toEqual(['confirmed', 'pending', 'refused', 'refused']);
  });
});

describe('SCENARIO 21: a conflict upstream', () => {
  it('is settled by reading and putting again, with scopes and expiries kept', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: { ...AT_INJECT, method: 'PUT' }, times: 2, action: { status: 409 } });
    const expiresAtMs = harness.clock.now() + 600_000;
    const answer = await harness.instance().inject({ variables: [variable('k', 'v', expiresAtMs, 'user')] });
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
    const [stored] = harness.tenant.sessions.inspect(SESSION)?.variables ?? [];
    expect(stored).toMatchObject({ key: 'k', scope: 'user', expiresAt: new Date(expiresAtMs).toISOString() });
  });

  it('that does not settle is a refusal with paths, and is not tried for ever', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: { ...AT_INJECT, method: 'PUT' }, times: 0, action: { status: 409 } });
    const answer = await harness.instance().inject();
    expect(answer).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code: 'conflict', paths: ['/k'] } });
    const sent = harness.puts().length;
    await harness.minutes(3);
    expect(harness.puts()).toHaveLength(sent);
    expect(await harness.lane()).toMatchObject({ journal: [], confirmedVersion: 1 });
  });
});

describe('Access that is denied', () => {
  it.each([
    [401, 'upstream-unauthorized'],
    [403, 'upstream-forbidden'],
  ])('%i ends an operation with a client waiting, and frees its key', async (status, code) => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 0, action: { status } });
    const put = { idempotencyKey: 'key' };
    expect(await harness.instance().inject(put)).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code } });
    expect(outcomesOf(await harness.audit())).toEqual(['failed']);
    harness.tenant.faults.clear();
    await harness.minutes(1);
    expect(harness.atTenant()).toBeUndefined();
    const again = await harness.instance().inject(put);
    expect(again).toMatchObject({ kind: 'settled', replayed: false, outcome: { kind: 'confirmed', version: 2 } });
  });

  it.each([401, 403])('%i leaves what is already pending pending, with growing pauses and an alarm', async (status) => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 3, action: { status: 503 } });
    expect(await harness.instance().inject({ value: 'waits', idempotencyKey: 'key' })).toMatchObject({
      kind: 'pending',
    });
    harness.tenant.faults.clear();
    harness.tenant.faults.add({ match: AT_INJECT, times: 0, action: { status } });
    let alarms = 0;
    const tries: number[] = [];
    for (let minute = 0; minute < 30; minute += 1) {
      harness.clock.advance(60_000);
      const before = harness.puts().length;
      const instance = harness.instance();
      await instance.workOff();
      if (harness.puts().length > before) tries.push(minute);
      alarms += instance.telemetry.counts.get('UpstreamAccessDenied') ?? 0;
    }
    expect(await harness.lane()).toMatchObject({ confirmedVersion: 0, journal: [{ version: 1 }] });
    expect(alarms).toBe(tries.length);
    expect(tries.length).toBeLessThan(15);
    harness.tenant.faults.clear();
    await harness.minutes(16);
    expect(harness.atTenant()).toBe('waits');
    expect(await harness.instance().inject({ value: 'waits', idempotencyKey: 'key' })).toMatchObject({
      replayed: true,
    });
  });
});

describe('What leaves together', () => {
  it('is sent one by one when the upstream rejects it as a whole, so that one bad operation harms no other', async () => {
    const harness = await start();
    const cognigy = new ScriptedCognigy([
      unavailable(),
      refused('upstream-rejected'),
      confirmed,
      refused('upstream-rejected'),
    ]);
    const instance = harness.instance({ cognigy });
    expect(await instance.inject({ variables: [variable('good', 1)] })).toMatchObject({ kind: 'pending' });
    const bad = await instance.inject({ variables: [variable('bad', 2)] });
    expect(bad).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code: 'upstream-rejected' } });
    expect(cognigy.sent.map((variables) => variables.map(({ key }) => key))).toEqual([
      ['good'],
      ['good', 'bad'],
      ['good'],
      ['bad'],
    ]);
    expect(await harness.lane()).toMatchObject({ version: 2, confirmedVersion: 2, journal: [] });
    expect(await instance.inspect()).toMatchObject({ context: { good: 1 } });
    expect(cognigy.permitsOut).toBe(0);
  });

  it('settles what is behind a pending one, and asks nobody twice about it', async () => {
    const harness = await start();
    // Three requests: too large together. The first is down, so that the others are not even tried.
    const cognigy = new ScriptedCognigy(
      [unavailable(), unavailable(), confirmed, refused('upstream-rejected'), confirmed],
      110,
    );
    const instance = harness.instance({ cognigy });
    for (const key of ['a', 'b']) await instance.inject({ variables: [variable(key, 'x'.repeat(40))] });
    expect((await harness.lane())?.journal).toHaveLength(2);
    harness.clock.advance(60_000);
    const third = await instance.inject({ variables: [variable('c', 'x'.repeat(40))] });
    expect(third).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed', version: 3 } });
    expect(await harness.lane()).toMatchObject({ version: 3, confirmedVersion: 3, journal: [] });
    const inspected = (await instance.inspect()) as { context: JsonObject };
    expect(Object.keys(inspected.context)).toEqual(['a', 'c']);
  });

  it('an operation that has ended behind a pending one is not touched again', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 0, action: { status: 503 } });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('open', 1)] });
    const put = { variables: [variable('short', 2, harness.clock.now() + 30_000)], idempotencyKey: 'short' };
    await instance.inject(put);
    await harness.minutes(1);
    const lane = await harness.lane();
    expect(lane).toMatchObject({ version: 2, confirmedVersion: 0, endedVersions: new Set([2]) });
    expect(await instance.inspect()).toMatchObject({ pendingOperations: 1 });
    expect(await instance.inject(put)).toMatchObject({ outcome: { code: 'expired-before-push' }, replayed: true });

    await harness.minutes(3);
    harness.tenant.faults.clear();
    await harness.minutes(5);
    expect(await harness.lane()).toMatchObject({
      version: 2,
      confirmedVersion: 2,
      journal: [],
      endedVersions: new Set(),
    });
    expect(harness.tenant.sessions.inspect(SESSION)?.context).toEqual({ open: 1 });
    const { records } = await harness.audit();
    const aboutTwo = records.filter(({ operationId }) => operationId === lane?.journal[1]?.operationId);
    expect(outcomesOf({ records: aboutTwo })).toEqual(['pending', 'refused']);
  });
});

describe('A permit that was asked for ahead of the commit', () => {
  it('is given back by everybody who sends nothing', async () => {
    const harness = await start();
    const cognigy = new ScriptedCognigy([confirmed]);
    const instance = harness.instance({ cognigy });
    await instance.inject({ value: 1, idempotencyKey: 'key' });
    expect(await instance.inject({ value: 1, idempotencyKey: 'key' })).toMatchObject({ replayed: true });
    expect(await instance.inject({ value: 2, idempotencyKey: 'key' })).toEqual({ kind: 'mismatch' });
    await expect(harness.instance({ cognigy, store: storeThat({ commit: 'before' }) }).inject()).rejects.toThrow();
    expect(await instance.inject({ variables: [variable('k', 1, harness.clock.now())] })).toMatchObject({
      outcome: { code: 'expired-before-push' },
    });
    expect(cognigy.sent).toHaveLength(1);
    expect(cognigy.permitsOut).toBe(0);
  });
});

describe('SCENARIO 24: down for an hour', () => {
  it('takes what comes, drops what expires before it is pushed, and drains in order', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 0, action: { status: 503 } });
    const startedMs = harness.clock.now();
    const sessions = ['sess_a', 'sess_b'].map(sessionId);
    for (let minute = 0; minute < 60; minute += 1) {
      if (minute % 6 === 0) {
        for (const session of sessions) {
          const put = {
            session,
            variables: [
              variable('latest', minute),
              variable(`short${minute}`, 'gone', harness.clock.now() + 300_000),
              variable(`long${minute}`, 'kept', startedMs + 6 * 3_600_000),
            ],
          };
          expect(await harness.instance().inject(put)).toMatchObject({ kind: 'pending' });
        }
      }
      await harness.minutes(1);
    }
    harness.clock.advance(300_000);
    const upAtMs = harness.clock.now();
    harness.tenant.faults.clear();
    await harness.minutes(16);

    for (const session of sessions) {
      for (const { at, body } of harness.puts(session)) {
        const { variables } = body as unknown as { variables: { key: string; expiresAt: string | null }[] };
        for (const { expiresAt } of variables)
          if (expiresAt !== null) expect(Date.parse(expiresAt)).toBeGreaterThan(at);
        if (at > upAtMs) expect(variables.every(({ key }) => !key.startsWith('short'))).toBe(true);
      }
      const context = harness.tenant.sessions.inspect(session)?.context ?? {};
      expect(context['latest']).toBe(54);
      expect(Object.keys(context).filter((key) => key.startsWith('long'))).toHaveLength(10);
      expect(Object.keys(context).some((key) => key.startsWith('short'))).toBe(false);
      // One request carries all ten operations.
      expect(harness.puts(session).filter(({ applied }) => applied)).toHaveLength(1);
      const audit = await harness.audit(session);
      expect(audit.chain.valid).toBe(true);
      const confirmedEntries = audit.records.filter(({ payload }) => payload?.outcome === 'confirmed').reverse();
      expect(confirmedEntries.map(({ payload }) => payload?.versionAfter)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(confirmedEntries[0]?.payload?.expired).toEqual([{ path: '/short0', scope: 'session' }]);
    }
  }, 60_000);

  it('refuses an operation of which nothing is left, and tells its client so', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 3, action: { status: 503 } });
    const put = { variables: [variable('k', 'v', harness.clock.now() + 30_000)], idempotencyKey: 'key' };
    const first = await harness.instance().inject(put);
    expect(first.kind).toBe('pending');
    await harness.minutes(1);
    expect(sentBy(harness).filter(({ at, expiresAt }) => expiresAt !== null && Date.parse(expiresAt) <= at)).toEqual(
      [],
    );
    const told = await harness.instance().inject(put);
    expect(told).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code: 'expired-before-push' } });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'refused']);
    expect(harness.atTenant()).toBeUndefined();
  });

  it('a value that expired unseen has changed nothing: what was said before it stays', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_INJECT, times: 6, action: { status: 503 } });
    const instance = harness.instance();
    await instance.inject({ variables: [variable('k', 'old')] });
    await instance.inject({ variables: [variable('k', 'new', harness.clock.now() + 50_000)] });
    expect((await harness.lane())?.journal).toHaveLength(2);
    await harness.minutes(2);
    expect(harness.atTenant()).toBe('old');
    expect(await instance.inspect()).toMatchObject({ context: { k: 'old' }, pendingOperations: 0 });
    expect(outcomesOf(await harness.audit()).slice(-2)).toEqual(['confirmed', 'refused']);
  });
});

describe('SCENARIO 17: fifty invocations of ten instances in a storm of 429', () => {
  it('stay within the budget in every minute, and nobody calls inside Retry-After', async () => {
    const rate = 30;
    const harness = await start({ ratePerMinute: rate, tenant: { latencyMs: 30 } });
    const instances = Array.from({ length: 10 }, () => harness.instance());
    harness.tenant.faults.add({
      match: AT_INJECT,
      times: 2,
      skip: 4,
      action: { status: 429, headers: { 'retry-after': '20' } },
    });
    const sessions = Array.from({ length: 50 }, (_, index) => sessionId(`sess_${index}`));
    const answers = await Promise.all(
      sessions.map((session, index) => instances[index % 10]?.inject({ session, value: index })),
    );
    for (const answer of answers) expect(answer?.kind).toMatch(/^(settled|pending)$/);
    expect(answers.some((answer) => answer?.kind === 'pending')).toBe(true);
    for (let minute = 0; minute < 12; minute += 1) {
      harness.clock.advance(30_000);
      await harness.instance().workOff(25_000);
    }
    expect(sessions.map((session) => harness.atTenant('k', session))).toEqual(sessions.map((_, index) => index));

    const calls = harness.tenant.journal.entries({ surface: 'inject' });
    for (const { at } of calls) {
      expect(calls.filter((other) => other.at >= at && other.at < at + 60_000).length).toBeLessThanOrEqual(rate);
    }
    for (const refusal of calls.filter(({ status }) => status === 429)) {
      // Those that were on their way when the answer came cannot know of it.
      const inside = calls.filter(({ at }) => at > refusal.at + 30 && at < refusal.at + 30 + 20_000);
      expect(inside).toEqual([]);
    }
  }, 60_000);
});
