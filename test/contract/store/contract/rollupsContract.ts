import { beforeEach, describe, expect, it } from 'vitest';
import { metrics } from '../../../../lib/operations/metrics.ts';
import {
  MEASURED_FUNCTIONS,
  type RollupReader,
  type RollupWriter,
  type Tally,
} from '../../../../lib/operations/ports/rollups.ts';
import { START_MS } from '../../../fixtures/store/session.ts';
import { FakeClock } from '../../../fixtures/upstream/fakeClock.ts';

type Rollups = RollupWriter & RollupReader;

const HOUR_MS = 3_600_000;
/** The first moment of an hour. */
export const HOUR = Math.floor(START_MS / HOUR_MS) * HOUR_MS;

export const tally = (more: Partial<Tally> = {}): Tally => ({
  operations: 1,
  successes: 1,
  confirmed: 1,
  latencySumMs: 40,
  latencies: new Map([[37, 1]]),
  ...more,
});

/** What a {@link RollupWriter} writes, its {@link RollupReader} reads. `makeRollups` makes empty ones for each test. */
export function rollupsContract(name: string, makeRollups: () => Promise<Rollups>): void {
  describe(name, () => {
    let rollups: Rollups;
    beforeEach(async () => {
      rollups = await makeRollups();
    });

    /** The figures of everything that is there. */
    async function readAll(fromMs = HOUR, toMs = HOUR) {
      return metrics({ rollups, clock: new FakeClock(toMs) }, (toMs - fromMs) / HOUR_MS);
    }

    it('hold nothing at first', async () => {
      expect(await rollups.read({ fromMs: HOUR, toMs: HOUR })).toEqual([]);
    });

    it('give back every number that was added', async () => {
      const added = tally({
        operations: 3,
        successes: 2,
        confirmed: 1,
        latencySumMs: 1_234,
        latencies: new Map([
          [0, 1],
          [133, 2],
        ]),
      });
      await rollups.add(HOUR, 'inject', added);

      expect(await rollups.read({ fromMs: HOUR, toMs: HOUR })).toEqual([{ name: 'inject', tally: added }]);
    });

    it('add up what many writers count at the same time, and lose nothing', async () => {
      await Promise.all(Array.from({ length: 40 }, () => rollups.add(HOUR, 'inject', tally())));

      expect(await readAll()).toMatchObject({ totalOperations: 40, successCount: 40, averageLatencyMs: 40 });
    });

    it('keep functions apart', async () => {
      for (const each of MEASURED_FUNCTIONS) await rollups.add(HOUR, each, tally());

      const found = await rollups.read({ fromMs: HOUR, toMs: HOUR });

      expect(found.map((each) => each.name).toSorted()).toEqual([...MEASURED_FUNCTIONS].toSorted());
    });

    it('count for the hour, and tell of the first and the last hour of a window and of all between', async () => {
      for (const hour of [-2, -1, 0, 1, 2])
        await rollups.add(HOUR + hour * HOUR_MS, 'sync', tally({ operations: 10 ** (hour + 2) }));

      const window = { fromMs: HOUR - 1, toMs: HOUR + HOUR_MS };

      const found = await rollups.read(window);
      expect(found.map((each) => each.tally.operations).toSorted((a, b) => a - b)).toEqual([10, 100, 1_000]);
    });

    it('take a confirmation that comes without its operation', async () => {
      await rollups.add(HOUR, 'sync', tally({ operations: 0, successes: 0, latencySumMs: 0, latencies: new Map() }));

      expect(await rollups.read({ fromMs: HOUR, toMs: HOUR })).toMatchObject([
        { tally: { operations: 0, confirmed: 1 } },
      ]);
    });

    it('show 35 days', async () => {
      await rollups.add(HOUR, 'inject', tally());

      const report = await readAll(HOUR, HOUR + 840 * HOUR_MS);

      expect(report).toMatchObject({ windowHours: 840, totalOperations: 1 });
    });
  });
}
