import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RETRY_PAUSES_MS, retryPauseMs } from '../../../lib/context/retryLadder.ts';

const uniform = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('retryPauseMs', () => {
  it('climbs the rungs of the contract', () => {
    expect(RETRY_PAUSES_MS.map((ms) => ms / 1_000)).toEqual([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
    expect([1, 2, 3, 4, 5, 6, 7].map((failures) => retryPauseMs(failures, 0.5))).toEqual(RETRY_PAUSES_MS);
  });

  it('ends after the last', () => {
    expect(retryPauseMs(8, 0)).toBeUndefined();
  });

  it('is never more than a tenth shorter or longer, and whole', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), uniform, (failures, chance) => {
        const rungMs = RETRY_PAUSES_MS[failures - 1] ?? 0;
        const pauseMs = retryPauseMs(failures, chance) ?? 0;
        expect(Number.isInteger(pauseMs)).toBe(true);
        expect(pauseMs).toBeGreaterThanOrEqual(0.9 * rungMs);
        expect(pauseMs).toBeLessThanOrEqual(1.1 * rungMs);
      }),
    );
  });
});
