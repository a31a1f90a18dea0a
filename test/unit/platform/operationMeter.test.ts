import { describe, expect, it, vi } from 'vitest';
import { bucketOf } from '../../../lib/context/latencyHistogram.ts';
import type { MeasuredFunction, RollupWriter } from '../../../lib/operations/ports/rollups.ts';
import { OperationMeter } from '../../../lib/platform/operationMeter.ts';
import { MemoryRollups } from '../../fixtures/store/memoryRollups.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';

function prepare<Counts extends RollupWriter>(rollups: Counts) {
  const clock = new FakeClock();
  const onLost = vi.fn();
  return { clock, onLost, rollups, meter: new OperationMeter({ rollups, clock }, onLost) };
}

const confirmed = (...counts: readonly (readonly [MeasuredFunction, number])[]) => new Map(counts);
const OWN = { name: 'inject', isSuccess: true } as const;
const REFUSED = { name: 'inject', isSuccess: false } as const;

describe('An invocation’s operation', () => {
  it('is counted with the settle that confirms it, in one write together with others of its kind', async () => {
    const { meter, clock, rollups } = prepare(new MemoryRollups());
    clock.advance(42);
    meter.settling({ confirmed: confirmed(['inject', 3]), own: OWN });
    await meter.end();
    const latencies = new Map([[bucketOf(42), 1]]);
    expect(rollups.added).toEqual([
      { name: 'inject', tally: { operations: 1, successes: 1, confirmed: 3, latencySumMs: 42, latencies } },
    ]);
  });

  it('is counted when it is answered, where no settle was', async () => {
    const { meter, rollups } = prepare(new MemoryRollups());
    meter.answered(REFUSED);
    await meter.end();
    expect(rollups.added).toMatchObject([{ tally: { operations: 1, successes: 0, confirmed: 0, latencySumMs: 0 } }]);
  });

  it('is counted once, however often it is told of; what is confirmed later is added', async () => {
    const { meter, rollups } = prepare(new MemoryRollups());
    meter.settling({ confirmed: confirmed(), own: OWN });
    meter.settling({ confirmed: confirmed(['inject', 1]), own: OWN });
    meter.answered(OWN);
    await meter.end();
    expect(rollups.added).toMatchObject([
      { tally: { operations: 1, successes: 1, confirmed: 0 } },
      { tally: { operations: 0, successes: 0, confirmed: 1 } },
    ]);
  });

  it('and those of others are credited each to its function', async () => {
    const { meter, rollups } = prepare(new MemoryRollups());
    meter.settling({ confirmed: confirmed(['sync', 2], ['inject', 1]), own: OWN });
    await meter.end();
    expect(rollups.added).toMatchObject([
      { name: 'inject', tally: { operations: 1, confirmed: 1 } },
      { name: 'sync', tally: { operations: 0, confirmed: 2 } },
    ]);
  });

  it('is nothing where nothing was asked for and nothing was confirmed', async () => {
    const { meter, rollups } = prepare(new MemoryRollups());
    meter.settling({ confirmed: confirmed() });
    await meter.end();
    expect(rollups.added).toEqual([]);
  });

  it('takes no negative time when the clock is set back', async () => {
    const { meter, clock, rollups } = prepare(new MemoryRollups());
    clock.advance(-1_000);
    meter.answered(OWN);
    await meter.end();
    expect(rollups.added).toMatchObject([{ tally: { latencySumMs: 0 } }]);
  });
});

describe('The end of an invocation', () => {
  it('does not wait where nothing is being written', async () => {
    const { meter, clock } = prepare(new MemoryRollups());
    await meter.end();
    expect(clock.sleeps).toEqual([]);
  });

  it('waits for a count 200 ms and no longer', async () => {
    const { meter, clock } = prepare({ add: () => new Promise<void>(() => {}) });
    const startMs = clock.now();
    meter.answered(OWN);
    await meter.end();
    expect(clock.now() - startMs).toBe(200);
  });

  it('tells of a count that could not be written, and goes on', async () => {
    const failure = new Error('down');
    const { meter, onLost } = prepare({ add: () => Promise.reject(failure) });
    meter.answered(OWN);
    await meter.end();
    expect(onLost).toHaveBeenCalledExactlyOnceWith(failure);
  });
});
