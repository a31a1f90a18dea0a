import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../../lib/upstream/backoff.ts';

const uniform = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('backoffMs', () => {
  it.each([
    [0, 200],
    [1, 400],
    [2, 800],
    [4, 3_200],
    [5, 5_000],
    [60, 5_000],
  ])('after %i failures stays below %i ms', (attempt, ceilingMs) => {
    fc.assert(
      fc.property(uniform, (u) => {
        const ms = backoffMs(attempt, u);
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThan(ceilingMs);
        expect(Number.isInteger(ms)).toBe(true);
      }),
    );
    expect(backoffMs(attempt, 1 - Number.EPSILON)).toBe(ceilingMs - 1);
  });

  it('uses the whole range, from nothing on (full jitter)', () => {
    expect(backoffMs(3, 0)).toBe(0);
    expect(backoffMs(3, 0.5)).toBe(800);
  });
});
