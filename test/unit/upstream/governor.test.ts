import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../lib/platform/random.ts';
import { gcraFor } from '../../../lib/upstream/gcra.ts';
import { Governor, type GovernorOptions } from '../../../lib/upstream/governor.ts';
import type { RateCell, RateStore } from '../../../lib/upstream/ports.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { MemoryRateStore } from '../../fixtures/upstream/memoryRateStore.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

function prepare(options: Partial<GovernorOptions> = {}) {
  const clock = new FakeClock();
  const store = new MemoryRateStore();
  let seed = 0;
  const instance = (own: Partial<GovernorOptions> = {}) => {
    seed += 1;
    return new Governor({
      store,
      cell: 'tenant',
      ratePerMinute: 100,
      clock,
      random: seededRandom(seed),
      ...options,
      ...own,
    });
  };
  return { clock, store, instance, startMs: clock.now() };
}

/** The most moments in any closed window of a minute. */
function worstMinute(momentsMs: readonly number[]): number {
  const sorted = [...momentsMs].sort((a, b) => a - b);
  let worst = 0;
  let first = 0;
  for (const [last, atMs] of sorted.entries()) {
    while (atMs - (sorted[first] ?? 0) > 60_000) first += 1;
    worst = Math.max(worst, last - first + 1);
  }
  return worst;
}

describe('A crowd of clients', () => {
  it('that want a permit at once gets the burst, and does not ask the table for more than that', async () => {
    const { clock, store, instance } = prepare();
    const governor = instance();
    const answers = await Promise.all(Array.from({ length: 200 }, () => governor.acquire({ deadlineMs: clock.now() })));
    expect(answers.filter(({ granted }) => granted)).toHaveLength(5);
    const { reserveIdle, reserveBusy, read } = store.calls;
    expect(reserveIdle + reserveBusy + read).toBeLessThanOrEqual(5 * 3);
  });

  it('that would wait beyond its deadline is told so from what was seen a moment ago, and asks again later', async () => {
    const { clock, store, instance } = prepare();
    const governor = instance();
    const soon = () => governor.acquire({ deadlineMs: clock.now() + 1_000 });
    // Somebody else's crowd fills the cell far beyond that.
    await store.reserveIdle('tenant', { nowMs: clock.now(), intervalMs: 6_000 });
    const first = await soon();
    const before = { ...store.calls };
    const second = await soon();
    expect(second).toEqual(first);
    expect(first).toEqual({ granted: false, retryAtMs: expect.any(Number) });
    expect(store.calls).toEqual(before);
    await clock.sleep(5_000);
    expect((await soon()).granted).toBe(true);
  });

  it('hears of a slot that was given back a quarter of a second after it looked, not before', async () => {
    const { clock, store, instance } = prepare();
    const governor = instance();
    const soon = () => governor.acquire({ deadlineMs: clock.now() + 1_000 });
    await store.reserveIdle('tenant', { nowMs: clock.now(), intervalMs: 6_000 });
    await soon();
    await store.release('tenant', { intervalMs: 6_000 });
    clock.advance(249);
    expect((await soon()).granted).toBe(false);
    clock.advance(1);
    expect((await soon()).granted).toBe(true);
  });
});

describe('A block', () => {
  const INTERVAL_MS = gcraFor(100).intervalMs;

  /** Slots granted, as milliseconds from the start, and the first moment for those who got none; in the order of asking. */
  async function ask(governor: Governor, clock: FakeClock, patiencesMs: readonly number[]) {
    const startMs = clock.now();
    const asked = patiencesMs.map(async (patienceMs) => {
      const answer = await governor.acquire({ deadlineMs: startMs + patienceMs });
      return answer.granted ? { at: clock.now() - startMs } : { again: Math.round(answer.retryAtMs - startMs) };
    });
    return Promise.all(asked);
  }

  it('of all who ask in one moment takes one update, and each gets the slot that he would have got by himself', async () => {
    const { clock, store, instance } = prepare();
    const answers = await ask(instance(), clock, Array(8).fill(10_000));
    expect(answers.map(({ at }) => at)).toEqual([0, 0, 0, 0, 0, 632, 1264, 1895]);
    expect(store.calls).toMatchObject({ reserveIdle: 1, reserveBusy: 0 });
  });

  it('is as large as there is room for: who can wait longer waits, the others are told when to come back', async () => {
    const { clock, store, instance } = prepare();
    const answers = await ask(instance(), clock, [5_000, 1, 1, 1, 1, 1, 1]);
    expect(answers.slice(1, 6)).toEqual(Array(5).fill({ at: 0 }));
    expect(answers[0]).toEqual({ at: 632 });
    // Six slots are taken: the next one that is free at once is that of the seventh.
    expect(answers[6]).toEqual({ again: Math.ceil(2 * INTERVAL_MS) });
    expect(store.calls.reserveIdle + store.calls.reserveBusy).toBe(1);
  });

  it('shrinks to what others have left', async () => {
    const { clock, store, instance } = prepare();
    await ask(instance(), clock, [0, 0, 0]);
    const answers = await ask(instance(), clock, [0, 0, 0, 0]);
    expect(answers.filter(({ at }) => at === 0)).toHaveLength(2);
    expect(answers.filter(({ again }) => again === Math.ceil(INTERVAL_MS))).toHaveLength(2);
    expect(store.cells.get('tenant')?.tatMs).toBeCloseTo(clock.now() + 5 * INTERVAL_MS, 6);
  });

  it('takes in who asks while two are on their way', async () => {
    const { clock, store, instance } = prepare();
    const { reserveIdle, reserveBusy } = store;
    store.reserveIdle = (...args) => clock.sleep(20).then(() => reserveIdle.apply(store, args));
    store.reserveBusy = (...args) => clock.sleep(20).then(() => reserveBusy.apply(store, args));
    const governor = instance();
    const answers = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        await clock.sleep(index);
        return governor.acquire({ deadlineMs: clock.now() + 10_000 });
      }),
    );
    expect(answers.every(({ granted }) => granted)).toBe(true);
    expect(store.reservedMs).toBeCloseTo(10 * INTERVAL_MS, 6);
    // One idle, one that found it busy meanwhile and tried again, and the other eight.
    expect(store.calls.reserveIdle + store.calls.reserveBusy).toBeLessThanOrEqual(4);
  });

  it('that the store fails is served from the local share, one by one', async () => {
    const { clock, store, instance } = prepare();
    store.down = true;
    const answers = await ask(instance(), clock, Array(4).fill(30_000));
    const shareMs = gcraFor(5).intervalMs;
    expect(answers.map(({ at }) => at)).toEqual([0, shareMs, 2 * shareMs, undefined]);
  });

  it('gives back what one of its askers does not use, and nothing else', async () => {
    const { clock, store, instance } = prepare();
    const governor = instance();
    const startMs = clock.now();
    const [one] = await Promise.all(Array.from({ length: 3 }, () => governor.acquire({ deadlineMs: startMs })));
    if (one?.granted !== true) throw new Error('expected a permit');
    await one.permit.release();
    expect(store.cells.get('tenant')?.tatMs).toBeCloseTo(startMs + 2 * INTERVAL_MS, 6);
  });

  it('grants the same slots as asking one after the other in the order of the deadlines, whatever the cell was', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 8_000 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 0, max: 12 }),
        async (patiencesMs, taken) => {
          const together = prepare();
          const apart = prepare();
          for (const { store, clock } of [together, apart]) {
            if (taken > 0) await store.reserveIdle('tenant', { nowMs: clock.now(), intervalMs: taken * INTERVAL_MS });
          }
          const block = await ask(together.instance(), together.clock, patiencesMs);
          const governor = apart.instance();
          const startMs = apart.clock.now();
          const slots = [];
          for (const patienceMs of [...patiencesMs].sort((a, b) => a - b)) {
            const answer = await governor.acquire({ deadlineMs: startMs + patienceMs });
            if (answer.granted) slots.push(apart.clock.now() - startMs);
          }
          const granted = block.flatMap(({ at }) => (at === undefined ? [] : [at])).sort((a, b) => a - b);
          expect(granted).toEqual(slots);
        },
      ),
    );
  });
});

describe('A client that must have a slot at once', () => {
  it('is told so while as many as the burst has slots are asking or about to ask; who can wait is not', async () => {
    // Prepare: two blocks of two are on their way, and a fifth client is to leave with the next one.
    const { clock, store, instance, startMs } = prepare();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const slow: RateStore = {
      reserveIdle: (...args) => answered.then(() => store.reserveIdle(...args)),
      reserveBusy: (...args) => answered.then(() => store.reserveBusy(...args)),
      read: (...args) => store.read(...args),
      pause: (...args) => store.pause(...args),
      release: (...args) => store.release(...args),
    };
    const governor = instance({ store: slow });
    const atOnce = () => governor.acquire({ deadlineMs: startMs });
    const asking = [atOnce(), atOnce()];
    await clock.turn();
    asking.push(atOnce(), atOnce());
    await clock.turn();
    asking.push(atOnce());
    await clock.turn();
    const soon = <T>(promise: Promise<T>) => Promise.race([promise, clock.turn().then(() => 'waits')]);

    // Act and assess
    expect(await soon(atOnce())).toEqual({ granted: false, retryAtMs: startMs });
    const patient = governor.acquire({ deadlineMs: startMs + 10_000 });
    expect(await soon(patient)).toBe('waits');
    answer();
    expect((await Promise.all([...asking, patient])).every(({ granted }) => granted)).toBe(true);
  });
});

describe('Scheduled work of one instance', () => {
  it('waits in one place: who would only lose the next slot does not ask for it', async () => {
    const { clock, store, instance } = prepare();
    const governor = instance();
    const deadlineMs = clock.now() + 20_000;
    const answers = Array.from({ length: 20 }, () => governor.acquire({ deadlineMs, priority: 'scheduled' }));
    expect((await Promise.all(answers)).every(({ granted }) => granted)).toBe(true);
    const { reserveIdle, reserveBusy, read } = store.calls;
    // A refused pair and a look, then the slot: for each of them, not for each pair of them.
    expect(reserveIdle + reserveBusy + read).toBeLessThanOrEqual(20 * 5);
  });

  it('leaves half of the burst to clients, down to the last of it', async () => {
    const { clock, instance } = prepare();
    const governor = instance();
    const atOnce = async (priority: 'scheduled' | 'interactive') => {
      const answers = Array.from({ length: 5 }, () => governor.acquire({ deadlineMs: clock.now(), priority }));
      return (await Promise.all(answers)).filter(({ granted }) => granted).length;
    };
    expect(await atOnce('scheduled')).toBe(3);
    expect(await atOnce('interactive')).toBe(2);
  });

  it('does not wait for a slot that comes after its deadline', async () => {
    const { clock, store, instance, startMs } = prepare();
    await store.reserveIdle('tenant', { nowMs: startMs, intervalMs: 60_000 });
    const { toleranceMs } = gcraFor(100);
    const answer = await instance().acquire({ deadlineMs: startMs + 20_000, priority: 'scheduled' });
    expect(answer).toEqual({ granted: false, retryAtMs: Math.ceil(startMs + 60_000 - toleranceMs / 2) });
    expect(clock.now()).toBe(startMs);
    // The one that has filled it, one of each branch, and a look.
    expect(store.calls).toMatchObject({ reserveIdle: 2, reserveBusy: 1, read: 1 });
  });
});

describe('gcraFor', () => {
  it('gives 100 a minute a slot every 631.6 ms and a burst of 5', () => {
    const { intervalMs, toleranceMs, latenessMs } = gcraFor(100);
    expect(intervalMs).toBeCloseTo(60_000 / 95, 2);
    expect(toleranceMs).toBe(4 * intervalMs);
    expect(latenessMs).toBeCloseTo(intervalMs / 2, 2);
  });

  it('keeps the worst minute within the rate at every rate, lateness and a slot given back included', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), (rate) => {
        const { intervalMs, toleranceMs, latenessMs } = gcraFor(rate);
        const burst = toleranceMs / intervalMs + 1;
        expect((60_000 + 2 * latenessMs) / intervalMs + burst).toBeLessThanOrEqual(rate + 1);
      }),
    );
  });

  it.each([0, -5, 1.5, Number.NaN])('refuses the rate %d', (rate) => {
    expect(() => gcraFor(rate)).toThrow(new RangeError('ratePerMinute must be a whole number of at least 1'));
  });

  it.each([
    [100, 100],
    [100, 0],
    [100, 2.5],
  ])('refuses at rate %d the burst %d', (rate, burst) => {
    expect(() => gcraFor(rate, burst)).toThrow(new RangeError('burst must be a whole number from 1 to 99'));
  });
});

describe('Method: acquire', () => {
  it('grants the burst at once, then one slot per interval', async () => {
    const { clock, instance, startMs } = prepare();
    const governor = instance();
    const grantedAt: number[] = [];
    for (let index = 0; index < 8; index += 1) {
      expect((await governor.acquire({ deadlineMs: startMs + 10_000 })).granted).toBe(true);
      grantedAt.push(clock.now() - startMs);
    }
    expect(grantedAt).toEqual([0, 0, 0, 0, 0, 632, 1264, 1895]);
  });

  it('takes one round trip while it knows the cell', async () => {
    const { store, instance, startMs } = prepare();
    const governor = instance();
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    expect(store.calls).toMatchObject({ reserveIdle: 1, reserveBusy: 4, read: 0 });
  });

  it('takes one round trip at the very moment from which on the cell is idle, too', async () => {
    const { store, instance, startMs } = prepare();
    const governor = instance();
    const first = await governor.acquire({ deadlineMs: startMs });
    // By this it is idle from now on.
    if (first.granted) await first.permit.release();
    await governor.acquire({ deadlineMs: startMs });
    expect(store.calls).toMatchObject({ reserveIdle: 2, reserveBusy: 0, read: 0 });
  });

  it.each([
    [50, 0],
    [51, 1],
  ])('has waited %i ms for its slot: looks %i times whether somebody has paused the cell', async (waitMs, looks) => {
    // A slot every 3.1 s, and no burst.
    const { clock, store, instance, startMs } = prepare({ ratePerMinute: 20 });
    await store.reserveIdle('tenant', { nowMs: startMs, intervalMs: waitMs });
    const answer = await instance().acquire({ deadlineMs: startMs + 1_000 });
    expect(answer.granted).toBe(true);
    expect(clock.now()).toBe(startMs + waitMs);
    expect(store.calls.read).toBe(looks);
  });

  it('sleeps for none of the slots that are free at once', async () => {
    const { clock, instance, startMs } = prepare();
    const governor = instance();
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    expect(clock.sleeps).toEqual([]);
  });

  it('says when to come back, if no slot fits the deadline', async () => {
    const { instance, startMs } = prepare();
    const governor = instance();
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    expect(await governor.acquire({ deadlineMs: startMs + 100 })).toEqual({ granted: false, retryAtMs: startMs + 632 });
  });

  it('grants nothing after the deadline', async () => {
    const { store, instance, startMs } = prepare();
    expect(await instance().acquire({ deadlineMs: startMs - 1 })).toEqual({ granted: false, retryAtMs: startMs });
    expect(store.calls.reserveIdle).toBe(0);
  });

  it.each([1, 2, 3, 5, 20, 40, 100, 600])(
    'at %i a minute: never more, and under steady load nearly all of it (95 percent from 20 on)',
    async (rate) => {
      const { clock, instance, startMs } = prepare({ ratePerMinute: rate });
      const endMs = startMs + 10 * 60_000;
      const grants: number[] = [];
      await Promise.all(
        Array.from({ length: 6 }, async () => {
          const governor = instance();
          while (clock.now() < endMs) {
            const answer = await governor.acquire({ deadlineMs: clock.now() + 5_000 });
            if (answer.granted) grants.push(clock.now());
            else await clock.sleep(Math.max(1, answer.retryAtMs - clock.now()));
          }
        }),
      );
      const inTime = grants.filter((atMs) => atMs < endMs);
      expect(worstMinute(inTime)).toBeLessThanOrEqual(rate);
      expect(inTime.length).toBeGreaterThanOrEqual(rate * 10 * (rate >= 20 ? 0.95 : rate === 1 ? 0.9 : 0.85));
    },
    60_000,
  );

  it('SCENARIO 17: random arrivals at many instances, some permits given back, used up to the last usable moment → never more than 100 in any minute', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            atMs: fc.integer({ min: 0, max: 150_000 }),
            patienceMs: fc.integer({ min: 0, max: 20_000 }),
            instance: fc.nat(7),
            lateness: fc.double({ min: 0, max: 1, noNaN: true }),
            fate: fc.constantFrom('use', 'use', 'use', 'release'),
            scheduled: fc.boolean(),
          }),
          { minLength: 150, maxLength: 400 },
        ),
        async (arrivals) => {
          const { clock, instance, startMs } = prepare();
          const instances = Array.from({ length: 8 }, () => instance());
          const used: number[] = [];
          await Promise.all(
            arrivals.map(async (arrival) => {
              await clock.sleep(arrival.atMs);
              const answer = await instances[arrival.instance]?.acquire({
                deadlineMs: clock.now() + arrival.patienceMs,
                priority: arrival.scheduled ? 'scheduled' : 'interactive',
              });
              if (!answer?.granted) return;
              const untilMs = answer.permit.usableUntilMs ?? 0;
              await clock.sleep(Math.floor((untilMs - clock.now()) * arrival.lateness));
              if (arrival.fate === 'release') await answer.permit.release();
              else used.push(clock.now());
            }),
          );
          expect(worstMinute(used)).toBeLessThanOrEqual(100);
          expect(used.every((atMs) => atMs >= startMs)).toBe(true);
        },
      ),
      { numRuns: 15 },
    );
  }, 60_000);

  it('lets clients go before the schedule, which still uses what is free', async () => {
    const { clock, instance, startMs } = prepare();
    const governor = instance();
    let clients = 0;
    let scheduled = 0;
    const run = async (priority: 'interactive' | 'scheduled', untilMs: number, count: () => void) => {
      while (clock.now() < untilMs) {
        const answer = await governor.acquire({ deadlineMs: clock.now() + 3_000, priority });
        if (answer.granted) count();
        else await clock.sleep(Math.max(1, answer.retryAtMs - clock.now()));
      }
    };
    await Promise.all([
      run('interactive', startMs + 60_000, () => clients++),
      run('interactive', startMs + 60_000, () => clients++),
      run('scheduled', startMs + 60_000, () => scheduled++),
    ]);
    expect(clients).toBeGreaterThan(90);
    expect(scheduled).toBeLessThan(8);

    const before = scheduled;
    await run('scheduled', clock.now() + 120_000, () => scheduled++);
    expect(scheduled - before).toBeGreaterThanOrEqual(190);
  });
});

describe('A cell that others change between two looks at it', () => {
  const BUSY_MS = 2_000;
  const latestTatMs = (deadlineMs: number) => deadlineMs + gcraFor(100).toleranceMs;

  /** The first `times` requests for a slot come too early or too late; what is read then shows `found`. */
  function contended(times: number, found: RateCell | undefined) {
    const { store, ...rest } = prepare();
    let missed = 0;
    const elusive: RateStore = {
      reserveIdle: async (...args) => (missed < times ? undefined : await store.reserveIdle(...args)),
      reserveBusy: async (...args) => (missed < times ? undefined : await store.reserveBusy(...args)),
      read: async (cell) => {
        missed += 1;
        return missed > times ? await store.read(cell) : found;
      },
      pause: (...args) => store.pause(...args),
      release: (...args) => store.release(...args),
    };
    const { clock, startMs } = rest;
    const governor = new Governor({
      store: elusive,
      cell: 'tenant',
      ratePerMinute: 100,
      clock,
      random: seededRandom(),
    });
    return { clock, governor, startMs, deadlineMs: startMs + BUSY_MS, rounds: () => missed };
  }

  it.each([
    ['is free', (startMs: number) => ({ tatMs: startMs, pausedUntilMs: 0 })],
    [
      'has a slot before the deadline',
      (startMs: number) => ({ tatMs: latestTatMs(startMs + BUSY_MS) - 1, pausedUntilMs: 0 }),
    ],
    ['has a slot at the deadline', (startMs: number) => ({ tatMs: latestTatMs(startMs + BUSY_MS), pausedUntilMs: 0 })],
    ['is not there', () => undefined],
  ])('and that %s when read: it is asked again', async (_what, cellAt) => {
    const { startMs } = prepare();
    const { governor, deadlineMs, rounds } = contended(1, cellAt(startMs));
    expect((await governor.acquire({ deadlineMs })).granted).toBe(true);
    expect(rounds()).toBe(1);
  });

  it.each(['interactive', 'scheduled'] as const)(
    'for ever: counts as full after six rounds, for an interval (%s)',
    async (priority) => {
      const { governor, startMs, rounds } = contended(Number.POSITIVE_INFINITY, undefined);
      const answer = await governor.acquire({ deadlineMs: startMs + 600, priority });
      expect(answer).toEqual({ granted: false, retryAtMs: startMs + 632 });
      expect(rounds()).toBe(6);
    },
  );

  it('for ever: a client does not sleep over it, whatever its deadline', async () => {
    const { clock, governor, startMs } = contended(Number.POSITIVE_INFINITY, undefined);
    const answer = await governor.acquire({ deadlineMs: startMs + 20_000 });
    expect(answer).toEqual({ granted: false, retryAtMs: startMs + 632 });
    expect(clock.sleeps).toEqual([]);
  });
});

describe('A permit that took its time in the table', () => {
  it('is good for 50 ms all the same', async () => {
    const { clock, store, instance } = prepare();
    const slow: RateStore = {
      reserveIdle: (cell, reserve) => {
        clock.advance(2_000);
        return store.reserveIdle(cell, reserve);
      },
      reserveBusy: (...args) => store.reserveBusy(...args),
      read: (...args) => store.read(...args),
      pause: (...args) => store.pause(...args),
      release: (...args) => store.release(...args),
    };
    const governor = instance({ store: slow });
    const answer = await governor.acquire({ deadlineMs: clock.now() + 5_000 });
    expect(answer).toMatchObject({ granted: true, permit: { usableUntilMs: clock.now() + 50 } });
  });
});

describe('Method: pause', () => {
  it('that ends this very moment holds nobody', async () => {
    const { clock, instance, startMs } = prepare();
    const governor = instance();
    await governor.pause(startMs);
    expect((await governor.acquire({ deadlineMs: startMs })).granted).toBe(true);
    expect(clock.now()).toBe(startMs);
  });

  it('is never mistaken for a slot, wherever in the asking it ends', async () => {
    for (let pauseMs = 1; pauseMs <= 20; pauseMs += 1) {
      const clock = new FakeClock();
      const startMs = clock.now();
      const { store, instance } = prepare();
      await store.pause('tenant', startMs + pauseMs);
      // Every look at the clock takes a millisecond.
      const now = () => {
        clock.advance(1);
        return clock.now();
      };
      const slow = { now, sleep: (ms: number) => clock.sleep(ms), turn: () => clock.turn() };
      const answer = await instance({ clock: slow }).acquire({ deadlineMs: startMs + 60_000 });
      expect(answer).toMatchObject({ granted: true, permit: { usableUntilMs: expect.toSatisfy(Number.isFinite) } });
      expect(store.reservedMs).toBe(gcraFor(100).intervalMs);
    }
  });

  it.each([
    [100, 'an interval', 632],
    [20, 'a second', 1_000],
  ])('SCENARIO 17: at %i a minute those who wait come back spread over %s', async (ratePerMinute, _what, spreadMs) => {
    const lastToWake = createRandom(() => 0.9999);
    const { clock, instance, startMs } = prepare({ ratePerMinute, random: lastToWake });
    const governor = instance();
    await governor.pause(startMs + 10_000);
    expect((await governor.acquire({ deadlineMs: startMs + 20_000 })).granted).toBe(true);
    expect(clock.now()).toBe(startMs + 10_000 + spreadMs);
  });

  it('SCENARIO 16: pauses every instance, and this one does not even ask', async () => {
    const { clock, store, instance, startMs } = prepare();
    const [one, other] = [instance(), instance()];
    await one.pause(startMs + 120_000);

    expect(await one.acquire({ deadlineMs: startMs + 5_000 })).toEqual({
      granted: false,
      retryAtMs: startMs + 120_000,
    });
    expect(store.calls.reserveIdle).toBe(0);
    expect(await other.acquire({ deadlineMs: startMs + 5_000 })).toEqual({
      granted: false,
      retryAtMs: startMs + 120_000,
    });

    expect((await other.acquire({ deadlineMs: startMs + 125_000 })).granted).toBe(true);
    expect(clock.now()).toBeGreaterThanOrEqual(startMs + 120_000);
  });

  it('SCENARIO 16: one that another instance has begun is seen when a slot is given back, by those who hold permits still', async () => {
    const { instance, store, startMs } = prepare();
    const governor = instance();
    const [unused] = await Promise.all([1, 2].map(() => governor.acquire({ deadlineMs: startMs })));
    if (unused?.granted !== true) throw new Error('expected a permit');
    await store.pause('tenant', startMs + 10_000);
    await unused.permit.release();
    expect(governor.pausedUntilMs).toBe(startMs + 10_000);
  });

  it('keeps the longer of two pauses', async () => {
    const { instance, startMs } = prepare();
    const governor = instance();
    await governor.pause(startMs + 60_000);
    await governor.pause(startMs + 10_000);
    expect(await governor.acquire({ deadlineMs: startMs + 30_000 })).toEqual({
      granted: false,
      retryAtMs: startMs + 60_000,
    });
  });

  it('SCENARIO 16, 17: those who queue when the pause comes are not granted before its end, and do not come back in step', async () => {
    const { clock, instance, startMs } = prepare();
    const endMs = startMs + 32_000;
    const grants: number[] = [];
    const refused: number[] = [];
    const waiting = Array.from({ length: 50 }, async (_, index) => {
      const answer = await instance().acquire({ deadlineMs: startMs + (index % 2 === 0 ? 40_000 : 20_000) });
      if (answer.granted) grants.push(clock.now() - startMs);
      else refused.push(answer.retryAtMs - startMs);
    });
    await clock.sleep(2_000);
    await instance().pause(endMs);
    await Promise.all(waiting);

    expect(grants.filter((atMs) => atMs > 2_050 && atMs < 32_000)).toEqual([]);
    const after = grants.filter((atMs) => atMs >= 32_000);
    expect(after.length).toBeGreaterThan(10);
    expect(after.filter((atMs) => atMs === 32_000).length).toBeLessThan(3);
    expect(refused.every((atMs) => atMs >= 20_000)).toBe(true);
    expect(worstMinute(grants)).toBeLessThanOrEqual(100);
  });

  it('holds on this instance although the store is down', async () => {
    const { store, instance, startMs } = prepare();
    const governor = instance();
    store.down = true;
    await governor.pause(startMs + 10_000);
    expect((await governor.acquire({ deadlineMs: startMs + 5_000 })).granted).toBe(false);
  });
});

describe('Method: release', () => {
  it('gives a fresh permit back, once', async () => {
    const { store, instance, startMs } = prepare();
    const governor = instance();
    const answer = await governor.acquire({ deadlineMs: startMs });
    if (!answer.granted) throw new Error('expected a permit');
    await answer.permit.release();
    await answer.permit.release();
    expect(store.calls.release).toBe(1);
    expect(store.cells.get('tenant')?.tatMs).toBe(startMs);
  });

  it.each([
    ['a moment before its time is over, goes back', 999, 1],
    ['when its time is over, lapses', 1_000, 0],
  ])('of a permit, %s', async (_what, ageMs, releases) => {
    // A permit is good for a second.
    const { clock, store, instance, startMs } = prepare({ ratePerMinute: 20 });
    const answer = await instance().acquire({ deadlineMs: startMs });
    if (!answer.granted) throw new Error('expected a permit');
    expect(answer.permit.usableUntilMs).toBe(startMs + 1_000);
    clock.advance(ageMs);
    await answer.permit.release();
    expect(store.calls.release).toBe(releases);
  });

  it('lets an aged or a queued permit lapse, as it would come back in another minute', async () => {
    const { clock, store, instance, startMs } = prepare();
    const governor = instance();
    const aged = await governor.acquire({ deadlineMs: startMs });
    clock.advance(400);
    if (aged.granted) await aged.permit.release();
    for (let index = 0; index < 5; index += 1) {
      const queued = await governor.acquire({ deadlineMs: startMs + 20_000 });
      if (queued.granted && index === 4) await queued.permit.release();
    }
    expect(store.calls.release).toBe(0);
  });

  it('never throws, whatever the store does', async () => {
    const { store, instance, startMs } = prepare();
    const answer = await instance().acquire({ deadlineMs: startMs });
    store.down = true;
    if (answer.granted) await expect(answer.permit.release()).resolves.toBeUndefined();
  });
});

describe('Store down', () => {
  it('SCENARIO 45: falls back to a small local share, never to "unlimited", and finds back', async () => {
    const { clock, store, instance, startMs } = prepare();
    const governor = instance();
    store.down = true;
    const grants: number[] = [];
    while (clock.now() < startMs + 180_000) {
      const answer = await governor.acquire({ deadlineMs: clock.now() + 1_000 });
      if (answer.granted) grants.push(clock.now());
      else await clock.sleep(Math.max(1, answer.retryAtMs - clock.now()));
    }
    expect(worstMinute(grants)).toBeLessThanOrEqual(5);
    expect(grants.length).toBeGreaterThanOrEqual(14);

    store.down = false;
    expect((await governor.acquire({ deadlineMs: clock.now() })).granted).toBe(true);
    expect(store.cells.size).toBe(1);
  });

  it('counts what the table granted against the local share', async () => {
    const { store, instance, startMs } = prepare();
    const governor = instance();
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    store.down = true;
    const answer = await governor.acquire({ deadlineMs: startMs + 5_000 });
    expect(answer.granted).toBe(false);
  });

  it.each([
    ['one permit of the table', 1, 12_400],
    ['as many as there are', 100, 60_000],
  ])('after %s the local share has a slot no later than a minute on', async (_what, permits, waitMs) => {
    const { clock, store, instance, startMs } = prepare({ burst: 99 });
    const governor = instance();
    for (let index = 0; index < Math.min(permits, 99); index += 1) await governor.acquire({ deadlineMs: startMs });
    store.down = true;
    const answer = await governor.acquire({ deadlineMs: startMs + 61_000 });
    expect(clock.now()).toBe(startMs + waitMs);
    // As good as one of the table: half an interval, within its bounds.
    expect(answer).toMatchObject({ granted: true, permit: { usableUntilMs: clock.now() + 1_000 } });
  });

  it('allows itself as much as it is told, the burst of that rate at once', async () => {
    const { clock, store, instance, startMs } = prepare({ localShare: 100 });
    const governor = instance();
    store.down = true;
    const grantedAt: number[] = [];
    for (let index = 0; index < 7; index += 1) {
      await governor.acquire({ deadlineMs: startMs + 10_000 });
      grantedAt.push(clock.now() - startMs);
    }
    expect(grantedAt).toEqual([0, 0, 0, 0, 0, 632, 1264]);
  });
});
