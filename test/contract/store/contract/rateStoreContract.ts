import { beforeEach, describe, expect, it } from 'vitest';
import type { RateStore } from '../../../../lib/upstream/ports.ts';
import { START_MS } from '../../../fixtures/store/session.ts';

/** As the governor chooses it: a multiple of 1/1024 ms. */
const INTERVAL_MS = 631.5791015625;
const idle = (nowMs = START_MS) => ({ nowMs, intervalMs: INTERVAL_MS });
const busy = (nowMs: number, latestTatMs: number) => ({ nowMs, intervalMs: INTERVAL_MS, latestTatMs });

/** What every {@link RateStore} does. `makeStore` makes an empty one for each test. */
export function rateStoreContract(name: string, makeStore: () => Promise<RateStore>): void {
  describe(name, () => {
    let store: RateStore;
    beforeEach(async () => {
      store = await makeStore();
    });

    it('holds nothing at first, also after a slot was given back that nobody had', async () => {
      expect(await store.read('cell')).toBeUndefined();

      expect(await store.release('cell', { intervalMs: INTERVAL_MS })).toBeUndefined();

      expect(await store.read('cell')).toBeUndefined();
    });

    it('gives the idle slot to one of several', async () => {
      const slots = await Promise.all(Array.from({ length: 10 }, () => store.reserveIdle('cell', idle())));

      const granted = slots.filter((slot) => slot !== undefined);
      expect(granted).toEqual([{ tatMs: START_MS + INTERVAL_MS, pausedUntilMs: 0 }]);
      expect(await store.read('cell')).toEqual(granted[0]);
    });

    it('is idle again from its theoretical arrival time on', async () => {
      await store.reserveIdle('cell', { nowMs: START_MS, intervalMs: 600 });

      expect(await store.reserveIdle('cell', idle(START_MS + 599))).toBeUndefined();
      expect(await store.reserveIdle('cell', idle(START_MS + 600))).toMatchObject({
        tatMs: START_MS + 600 + INTERVAL_MS,
      });
    });

    it('counts each cell by itself', async () => {
      await store.reserveIdle('cell', idle());

      expect(await store.reserveIdle('other', idle())).toBeDefined();
    });

    it('gives busy slots one after the other, up to and including the latest', async () => {
      await store.reserveIdle('cell', { nowMs: START_MS, intervalMs: 600 });
      const reserve = { nowMs: START_MS, intervalMs: 600, latestTatMs: START_MS + 1_200 };

      const slots = await Promise.all(Array.from({ length: 5 }, () => store.reserveBusy('cell', reserve)));

      const granted = slots.flatMap((slot) => (slot === undefined ? [] : [slot.tatMs - START_MS]));
      expect(granted.toSorted()).toEqual([1_200, 1_800]);
    });

    it('has no busy slot in a cell that is idle, or was never used', async () => {
      expect(await store.reserveBusy('cell', busy(START_MS, START_MS + 60_000))).toBeUndefined();
      await store.reserveIdle('cell', { nowMs: START_MS, intervalMs: 600 });

      expect(await store.reserveBusy('cell', busy(START_MS + 600, START_MS + 60_000))).toBeUndefined();
    });

    it('counts fractions of milliseconds over thousands of slots without drift', async () => {
      await store.reserveIdle('cell', idle());
      for (let slot = 2; slot <= 500; slot += 1) {
        await store.reserveBusy('cell', busy(START_MS, Number.MAX_SAFE_INTEGER));
      }

      const cell = await store.read('cell');

      expect(cell?.tatMs).toBeCloseTo(START_MS + 500 * INTERVAL_MS, 1);
    });

    it('takes a slot back', async () => {
      await store.reserveIdle('cell', { nowMs: START_MS, intervalMs: 600 });

      const found = await store.release('cell', { intervalMs: 600 });

      expect(found).toEqual({ tatMs: START_MS, pausedUntilMs: 0 });
      expect(await store.read('cell')).toEqual(found);
      expect(await store.reserveIdle('cell', idle())).toBeDefined();
    });

    it('gives no slot during a pause, and keeps the longer of two (SCENARIO 16)', async () => {
      // Prepare
      const untilMs = START_MS + 120_000;
      await store.pause('cell', untilMs);
      await store.pause('cell', untilMs - 60_000);

      // Act and assess
      expect(await store.read('cell')).toEqual({ tatMs: 0, pausedUntilMs: untilMs });
      expect(await store.reserveIdle('cell', idle(untilMs - 1))).toBeUndefined();
      expect(await store.reserveIdle('cell', idle(untilMs))).toEqual({
        tatMs: untilMs + INTERVAL_MS,
        pausedUntilMs: untilMs,
      });
    });

    it('gives no busy slot during a pause, which takes nothing from the cell', async () => {
      await store.reserveIdle('cell', { nowMs: START_MS, intervalMs: 600 });
      await store.pause('cell', START_MS + 300);

      expect(await store.reserveBusy('cell', busy(START_MS + 299, START_MS + 60_000))).toBeUndefined();
      expect(await store.read('cell')).toEqual({ tatMs: START_MS + 600, pausedUntilMs: START_MS + 300 });
      expect(await store.reserveBusy('cell', busy(START_MS + 300, START_MS + 60_000))).toBeDefined();
    });

    it('takes no slot back from a cell that was only ever paused', async () => {
      await store.pause('cell', START_MS + 1_000);

      await store.release('cell', { intervalMs: INTERVAL_MS });

      expect(await store.read('cell')).toEqual({ tatMs: 0, pausedUntilMs: START_MS + 1_000 });
    });

    it('prolongs a pause', async () => {
      await store.pause('cell', START_MS + 1_000);

      await store.pause('cell', START_MS + 2_000);

      expect(await store.read('cell')).toMatchObject({ pausedUntilMs: START_MS + 2_000 });
    });
  });
}
