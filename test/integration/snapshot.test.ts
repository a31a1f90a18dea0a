import { describe, expect, it } from 'vitest';
import { answerSnapshot } from '../../functions/snapshot/snapshotRequest.ts';
import type { JsonValue } from '../../lib/context/json.ts';
import type { BridgeRequest } from '../../lib/http/messages.ts';
import type { CognigyReads, ReadResult, SnapshotScope, UpstreamVariable } from '../../lib/operations/ports/cognigy.ts';
import type { OutboundEvent } from '../../lib/operations/ports/eventQueue.ts';
import { type SessionStore, StoreError } from '../../lib/operations/ports/sessionStore.ts';
import type { SnapshotStats } from '../../lib/operations/ports/snapshotStats.ts';
import { type SnapshotCommand, type SnapshotDeps, takeSnapshot } from '../../lib/operations/takeSnapshot.ts';
import { storeThat } from '../fixtures/operations/failingStore.ts';
import { SESSION, variable } from '../fixtures/operations/laneHarness.ts';
import { MemoryTelemetry } from '../fixtures/operations/memoryTelemetry.ts';
import { useDatabase } from '../fixtures/operations/useDatabase.ts';

const newHarness = useDatabase();

type Reading = () => Promise<ReadResult> | ReadResult;
const read = (pages: number, variables: Record<string, JsonValue>, scope: SnapshotScope = 'session'): ReadResult => ({
  kind: 'read',
  attempts: pages,
  pages,
  characters: JSON.stringify(variables).length,
  variables: Object.entries(variables).map(([name, value]): UpstreamVariable => ({ name, value, scope })),
});
const refused: ReadResult = { kind: 'refused', code: 'upstream-forbidden', attempts: 1, upstreamStatus: 403 };

interface Trouble {
  readonly store?: (store: SessionStore) => SessionStore;
  readonly stats?: Partial<SnapshotDeps['stats']>;
  readonly events?: Partial<SnapshotDeps['events']>;
}

/** A bridge whose bot is read by a script, one reading after the other, the last one for ever. */
async function prepare({ store, stats, events }: Trouble = {}) {
  const harness = await newHarness();
  const instance = harness.instance();
  const { clock, random } = instance.deps;
  const readings: Reading[] = [];
  const queued: { readonly event: OutboundEvent; readonly eventId: string; readonly dueAtMs: number }[] = [];
  /** How many paths each writing of an event had. */
  const writes: number[] = [];
  const telemetry = new MemoryTelemetry();
  const seen = {
    reads: 0,
    lanes: 0,
    released: 0,
    expected: [] as boolean[],
    kept: undefined as SnapshotStats | undefined,
  };
  const cognigy: CognigyReads = {
    prepare: async () => ({
      granted: true,
      permit: {
        release: async () => {
          seen.released += 1;
        },
      },
    }),
    readVariables: async ({ expectedPages }) => {
      seen.expected.push(((await expectedPages) ?? 1) > 1);
      const reading = readings[Math.min(seen.reads, readings.length - 1)];
      seen.reads += 1;
      if (reading === undefined) throw new Error('the script is empty');
      return reading();
    },
  };
  const counting = new Proxy(instance.deps.store, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      return (...args: unknown[]) => {
        if (name === 'readLane') seen.lanes += 1;
        return Reflect.apply(method, target, args);
      };
    },
  });
  const deps: SnapshotDeps = {
    store: store?.(counting) ?? counting,
    cognigy,
    clock,
    random,
    schema: instance.deps.context.schema,
    precedence: ['global', 'bot', 'session', 'user'],
    stats: {
      read: async () => seen.kept,
      add: async (_session, { next }) => {
        seen.kept = next;
      },
      ...stats,
    },
    events: {
      enqueue: async (event, { eventId, dueAtMs }) => {
        queued.push({ event, eventId, dueAtMs });
        writes.push(event.data.paths.length);
      },
      complete: async (event, { eventId, dueAtMs }) => {
        const known = queued.findIndex((each) => each.eventId === eventId);
        if (known >= 0) queued[known] = { event, eventId, dueAtMs };
        writes.push(event.data.paths.length);
      },
      withdraw: async (_event, { eventId }) => {
        queued.splice(
          queued.findIndex((each) => each.eventId === eventId),
          1,
        );
      },
      ...events,
    },
  };
  const take = async (more: Partial<SnapshotCommand> = {}) => {
    const answer = await takeSnapshot(deps, {
      sessionId: SESSION,
      filter: { includeSystem: false },
      coercion: 'auto',
      correlationId: 'corr',
      deadlineMs: clock.now() + 8_000,
      telemetry,
      ...more,
    });
    // What is not waited for begins in the next turn.
    await clock.turn();
    await clock.turn();
    return answer;
  };
  const script = (...all: Reading[]) => {
    readings.splice(0, readings.length, ...all);
    seen.reads = 0;
    seen.lanes = 0;
  };
  const shown = async () => {
    const answer = await take();
    if (answer.kind !== 'taken') return answer.kind;
    const { freshness, variables } = answer.snapshot;
    return [freshness, Object.fromEntries(Object.entries(variables).map(([name, { value }]) => [name, value]))];
  };
  return { ...harness, instance, deps, telemetry, queued, writes, seen, take, script, shown };
}

describe('SCENARIO 47: a read of several pages', () => {
  it('is read again when an operation of ours came in between', async () => {
    const { instance, script, shown, seen } = await prepare();
    await instance.inject({ variables: [variable('a', 1), variable('b', 1)] });
    script(
      async () => {
        await instance.inject({ variables: [variable('a', 2), variable('b', 2)] });
        return read(2, { a: '1', b: '2' });
      },
      () => read(2, { a: '2', b: '2' }),
    );
    expect(await shown()).toEqual(['live', { a: 2, b: 2 }]);
    expect(seen.reads).toBe(2);
  });

  it('is read again when one was under way before, although nothing has come since', async () => {
    const { instance, script, shown, seen, deps, clock } = await prepare();
    await instance.inject({ value: 1 });
    const lease = { fence: deps.random.ulid(clock.now()), untilMs: clock.now() + 100 };
    await deps.store.takeLease({ sessionId: SESSION }, lease, clock.now());
    script(() => read(2, { k: '1' }));
    expect(await shown()).toEqual(['live', { k: 1 }]);
    expect(seen.reads).toBe(2);
  });

  it('is read again when one was tried in between, and nobody heard what became of it', async () => {
    const { instance, tenant, clock, script, shown, seen } = await prepare();
    tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    expect((await instance.inject({ variables: [variable('a', 1), variable('b', 1)] })).kind).toBe('pending');
    tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 504, applied: true } });
    script(
      async () => {
        clock.advance(60_000);
        await instance.workOff();
        return read(2, { b: '1' });
      },
      () => read(2, { a: '1', b: '1' }),
    );
    expect(await shown()).toEqual(['live', { a: 1, b: 1 }]);
    expect(seen.reads).toBe(2);
  });

  it('is the mirror’s, whole, when they come again and again', async () => {
    const { instance, script, shown, seen } = await prepare();
    let value = 0;
    script(async () => {
      value += 1;
      await instance.inject({ variables: [variable('a', value), variable('b', value)] });
      return read(2, { a: String(value - 1), b: String(value) });
    });
    expect(await shown()).toEqual(['mirror', { a: 3, b: 3 }]);
    expect(seen.reads).toBe(3);
  });

  it('is nobody’s when there is no mirror yet', async () => {
    const { instance, tenant, script, shown } = await prepare();
    tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    script(async () => {
      await instance.inject();
      return read(2, {});
    });
    expect(await shown()).toBe('busy');
  });

  it('is live at once when nobody has written, also to a session without a lane', async () => {
    const { instance, script, shown, seen } = await prepare();
    script(() => read(5, { k: 'x' }));
    expect(await shown()).toEqual(['live', { k: 'x' }]);
    await instance.inject({ value: 1 });
    script(() => read(5, { k: '1' }));
    expect(await shown()).toEqual(['live', { k: 1 }]);
    expect(seen.reads).toBe(1);
  });

  it('several pages are expected where there were several the last time', async () => {
    const { script, take, seen } = await prepare();
    script(() => read(2, { a: 1 }));
    await take();
    script(() => read(1, { a: 1 }));
    await take();
    await take();
    expect(seen.expected).toEqual([false, true, false]);
  });

  it('of one page needs no second look, whoever writes', async () => {
    const { instance, script, shown, seen } = await prepare();
    script(async () => {
      await instance.inject({ value: 2 });
      return read(1, { k: '1' });
    });
    expect(await shown()).toEqual(['live', { k: 1 }]);
    expect([seen.reads, seen.lanes]).toEqual([1, 1]);
  });
});

describe('SCENARIO 25: what has expired in the bridge and is in the bot', () => {
  it('is not shown; renewed while it was looked at, it is', async () => {
    const { instance, clock, script, shown, seen } = await prepare();
    const otp = () => ({ ...variable('otp', 7), expiresAtMs: clock.now() + 1_000 });
    await instance.inject({ variables: [otp()] });
    clock.advance(2_000);
    script(() => read(1, { otp: '7', b: '1' }));
    expect(await shown()).toEqual(['live', { b: 1 }]);
    expect(seen.reads).toBe(1);

    script(
      async () => {
        await instance.inject({ variables: [otp()] });
        return read(1, { otp: '7' });
      },
      () => read(1, { otp: '7' }),
    );
    expect(await shown()).toEqual(['live', { otp: 7 }]);
    expect(seen.reads).toBe(2);
  });

  it('goes with the idle time, too: what has a life of its own longer than the session’s', async () => {
    const { instance, clock, script, shown } = await prepare();
    await instance.inject({
      variables: [{ ...variable('offer', 1), expiresAtMs: clock.now() + 10 * 3_600_000 }, variable('stays', 2)],
    });
    clock.advance(3_600_001);
    script(() => read(1, { offer: '1', stays: '2' }));
    expect(await shown()).toEqual(['live', { stays: 2 }]);
    script(() => refused);
    expect(await shown()).toBe('unreadable');
  });

  it.each([
    ['timeout', 'upstream-timeout', 504],
    ['down', 'upstream-unavailable', 503],
    ['budget', 'upstream-unavailable', 503],
  ] as const)('where there is none, an upstream that cannot be read (%s) is %s, %i', async (reason, code, status) => {
    const { script, take, clock } = await prepare();
    script(() => ({ kind: 'unavailable', reason, outcomeUnknown: false, attempts: 1 }));
    const answer = await take();
    expect(answer).toEqual({ kind: 'unreadable', code });
    const refusal = expect.objectContaining({ code, status });
    expect(() => answerSnapshot({ sessionId: SESSION } as BridgeRequest, answer, clock.now())).toThrow(refusal);
  });

  it('is no secret of the mirror that stands in', async () => {
    const { instance, clock, script, shown } = await prepare();
    await instance.inject({
      variables: [{ ...variable('otp', 1), expiresAtMs: clock.now() + 1_000 }, variable('b', 2)],
    });
    script(() => refused);
    expect(await shown()).toEqual(['mirror', { otp: 1, b: 2 }]);
    clock.advance(1_000);
    expect(await shown()).toEqual(['mirror', { b: 2 }]);
  });
});

describe('What has been accepted and not settled', () => {
  const DOWN = { status: 504, applied: true } as const;

  it('SCENARIO 25: is not shown once it has expired, although only the journal knows of it', async () => {
    const { instance, tenant, clock, script, shown } = await prepare();
    tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: DOWN });
    const put = { variables: [variable('otp', 1234, clock.now() + 60_000)] };
    expect((await instance.inject(put)).kind).toBe('pending');
    script(() => read(1, { otp: '1234', z: '1' }));
    expect(await shown()).toEqual(['live', { otp: 1234, z: 1 }]);
    clock.advance(3_000_000);
    expect(await shown()).toEqual(['live', { z: 1 }]);
  });

  it('SCENARIO 27: is shown where it renews what would have expired', async () => {
    const { instance, tenant, clock, script, shown } = await prepare();
    await instance.inject({ variables: [variable('k', 'v', clock.now() + 60_000)] });
    tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: DOWN });
    const renewed = { variables: [variable('k', 'v', clock.now() + 3_000_000)] };
    expect((await instance.inject(renewed)).kind).toBe('pending');
    clock.advance(70_000);
    script(() => read(1, { k: 'v' }));
    expect(await shown()).toEqual(['live', { k: 'v' }]);
  });

  it('SCENARIO 25: hides nothing that has expired in the bot while it waits to take its place', async () => {
    const { instance, tenant, clock, script, shown } = await prepare();
    const put = (value: string, expiresAtMs?: number) =>
      instance.inject({ variables: [variable('k', value, expiresAtMs)] });
    await put('old', clock.now() + 60_000);
    tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: DOWN });
    expect((await put('newer', clock.now() + 60_000)).kind).toBe('pending');
    expect((await put('newest')).kind).toBe('pending');
    clock.advance(120_000);
    for (const [inBot, seen] of [
      ['old', {}],
      ['newer', {}],
      ['newest', { k: 'newest' }],
    ] as const) {
      script(() => read(1, { k: inBot }));
      expect(await shown()).toEqual(['live', seen]);
    }
  });

  it('SCENARIO 22: is shown whole after an answer that made no sense, when that ends only what was sent with it', async () => {
    const { instance, tenant, script, shown } = await prepare();
    const onPut = { surface: 'sync', method: 'PUT' } as const;
    tenant.faults.add({ match: onPut, times: 3, action: { status: 503 } });
    const waiting = { data: { stays: 1, otp: 1234 }, ttl: { '/otp': 60 } };
    expect((await instance.sync(waiting)).kind).toBe('pending');
    tenant.faults.clear();
    tenant.faults.add({ match: onPut, action: { malformed: 'truncated' } });
    const failing = { data: { failed: 2 }, ttl: { '/failed': 60 } };
    expect(await instance.sync(failing)).toMatchObject({ outcome: { code: 'upstream-bad-response' } });
    script(() => read(1, { stays: '1', otp: '1234', failed: '2' }));
    expect(await shown()).toEqual(['live', { stays: 1, otp: 1234 }]);
  });

  it('is in the mirror that stands in, where it was settled while the bot was asked in vain', async () => {
    const { instance, script, shown } = await prepare();
    script(async () => {
      await instance.inject({ variables: [variable('a', 1)] });
      return refused;
    });
    expect(await shown()).toEqual(['mirror', { a: 1 }]);
  });
});

describe('What goes on beside it', () => {
  it('an event is queued, with names and without values', async () => {
    const { instance, script, take, queued, clock } = await prepare();
    script(() => read(1, { 'a/b': 'secret', c: 1 }));
    await take();
    await instance.inject();
    await take();
    const ulid = expect.stringMatching(/^[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(queued.map(({ event }) => event.data.version)).toEqual([0, 1]);
    expect(queued[0]).toEqual({
      eventId: ulid,
      dueAtMs: expect.any(Number),
      event: {
        type: 'variable_snapshot',
        timestamp: expect.stringMatching(/Z$/),
        data: { sessionId: SESSION, event: 'variable_snapshot', operationId: ulid, version: 0, paths: ['/a~1b', '/c'] },
      },
    });
    expect(queued[1]?.dueAtMs).toBeGreaterThan(clock.now());
  });

  it('an event is queued before the bot has answered, and filled in afterwards', async () => {
    const { script, take, queued, writes, clock } = await prepare();
    const asked = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<void>();
    script(async () => {
      asked.resolve();
      await answered.promise;
      return read(1, { a: 1, b: 2 });
    });
    const taking = take();
    await asked.promise;
    expect(queued).toEqual([]);
    await clock.turn();
    expect(queued.map(({ event }) => event.data.paths)).toEqual([[]]);
    answered.resolve();
    await taking;
    expect(writes).toEqual([0, 2]);
    expect(queued.map(({ event }) => event.data.paths)).toEqual([['/a', '/b']]);
  });

  it('an event of a snapshot that fails, or that no answer can hold, is taken back, too', async () => {
    const down = await prepare({ store: storeThat({ loadValues: 'before' }) });
    await down.instance.inject();
    down.script(() => read(1, { k: 'v' }));
    await expect(down.take()).rejects.toThrow(StoreError);
    expect(down.queued).toEqual([]);

    const large = await prepare();
    large.script(() => read(1, { a: 'x'.repeat(5_000_001) }));
    expect((await large.take()).kind).toBe('too-large');
    large.script(() => ({ kind: 'too-large', attempts: 2 }));
    expect((await large.take()).kind).toBe('too-large');
    expect(large.queued).toEqual([]);
  });

  it('paths that no item has room for are counted', async () => {
    const { script, take, queued } = await prepare();
    const names = Array.from({ length: 2_000 }, (_, index) => `${String(index).padStart(5, '0')}${'x'.repeat(240)}`);
    script(() => read(1, Object.fromEntries(names.map((name) => [name, 1]))));
    await take();
    const { paths = [], pathsOmitted = 0 } = queued[0]?.event.data ?? {};
    expect(Buffer.byteLength(JSON.stringify(paths))).toBeLessThanOrEqual(200_001);
    expect(paths.length + pathsOmitted).toBe(names.length);
  });

  it.each(['refused', 'ended'] as const)(
    'an event that there is nothing to tell of is taken back: %s',
    async (what) => {
      const { script, take, queued } = await prepare();
      script(() => (what === 'refused' ? refused : { ...refused, code: 'session-ended' as const }));
      await take();
      expect(queued).toEqual([]);
    },
  );

  it('the average is of the last ten reads, the total of all', async () => {
    const { script, take, clock } = await prepare();
    let ms = 0;
    script(async () => {
      ms += 10;
      await clock.sleep(ms);
      return read(1, { a: 1, b: 2 });
    });
    let metrics: unknown;
    for (let reads = 0; reads < 12; reads += 1) {
      const answer = await take();
      metrics = answer.kind === 'taken' && answer.snapshot.metrics;
    }
    expect(metrics).toEqual({ averageLatencyMs: 75, totalRetrieved: 24 });
    script(() => refused);
    expect((await take()).kind).toBe('unreadable');
  });

  it.each<[string, Trouble, number | null]>([
    ['metrics that cannot be read', { stats: { read: () => Promise.reject(new StoreError('store-timeout')) } }, 1],
    ['metrics that cannot be kept', { stats: { add: () => Promise.reject(new StoreError('store-timeout')) } }, 1],
    ['an event that cannot be queued', { events: { enqueue: () => Promise.reject(new Error('full')) } }, 1],
  ])('SCENARIO 45: %s do not become the answer', async (_what, trouble, lines) => {
    const { script, shown, telemetry } = await prepare(trouble);
    script(() => read(1, { a: 1 }));
    expect(await shown()).toEqual(['live', { a: 1 }]);
    expect(telemetry.lines.filter(({ level }) => level === 'warn')).toHaveLength(lines ?? 0);
  });

  it('SCENARIO 45: without the lane there is no answer, and the permit goes back', async () => {
    const { take, script, seen } = await prepare({
      store: (store) =>
        new Proxy(store, {
          get: (target, name) =>
            name === 'readLane' ? () => Promise.reject(new StoreError('store-unavailable')) : Reflect.get(target, name),
        }),
    });
    script(() => read(1, {}));
    await expect(take()).rejects.toThrow(StoreError);
    expect([seen.released, seen.reads]).toEqual([1, 0]);
  });

  it('SCENARIO 43: erased while it is looked at: what the bot has is shown, and nothing of what was', async () => {
    const session: { eraseNow?: () => Promise<unknown> } = {};
    const { instance, script, take } = await prepare({
      store: (store) =>
        new Proxy(store, {
          get: (target, name) => {
            const method: unknown = Reflect.get(target, name);
            if (typeof method !== 'function') return method;
            return async (...args: unknown[]) => {
              if (name === 'readMirror') await session.eraseNow?.();
              return Reflect.apply(method, target, args);
            };
          },
        }),
    });
    await instance.inject({ variables: [variable('big', 'x'.repeat(5_000))] });
    session.eraseNow = () => instance.erase();
    script(() => read(1, { a: 1 }));
    const answer = await take();
    expect(answer).toMatchObject({ kind: 'taken', snapshot: { freshness: 'live', variables: { a: { value: 1 } } } });
  });
});
