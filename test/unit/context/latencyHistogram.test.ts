import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bucketOf,
  type Histogram,
  LONGEST_MS,
  merged,
  percentile,
  RELATIVE_ERROR,
} from '../../../lib/context/latencyHistogram.ts';

const latency = fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.integer({ min: 1, max: LONGEST_MS }));
const latencies = fc.array(latency, { minLength: 1, maxLength: 200 });
const part = fc.double({ min: 0.001, max: 1, noNaN: true });

function histogramOf(values: readonly number[]): Histogram {
  return values.reduce<Histogram>((sum, ms) => merged(sum, new Map([[bucketOf(ms), 1]])), new Map());
}

/** The nearest rank, by its definition. */
function trueRank(values: readonly number[], of: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(sorted.length * of)) - 1] ?? Number.NaN;
}

describe('A latency histogram', () => {
  it('property: tells every percentile within the promised error', () => {
    fc.assert(
      fc.property(latencies, part, (values, of) => {
        const expected = trueRank(values, of);
        const found = percentile(histogramOf(values), of) ?? Number.NaN;
        expect(Math.abs(found - expected) / expected).toBeLessThanOrEqual(RELATIVE_ERROR + 1e-6);
      }),
      { numRuns: 500 },
    );
  });

  it('property: merging is addition: whatever was counted where, together it is the same', () => {
    fc.assert(
      fc.property(latencies, latencies, (one, other) => {
        const together = histogramOf([...one, ...other]);
        expect(merged(histogramOf(one), histogramOf(other))).toEqual(together);
        expect(merged(histogramOf(other), histogramOf(one))).toEqual(together);
      }),
    );
  });

  it('property: a longer latency is never in a lower bucket', () => {
    fc.assert(
      fc.property(latency, latency, (one, other) => {
        expect(bucketOf(Math.max(one, other))).toBeGreaterThanOrEqual(bucketOf(Math.min(one, other)));
      }),
    );
  });

  it('is told nothing of an empty one', () => {
    expect(percentile(new Map(), 0.5)).toBeUndefined();
    expect(percentile(new Map([[3, 0]]), 0.5)).toBeUndefined();
  });

  it('counts nothing below a millisecond and nothing above ten minutes apart', () => {
    expect([bucketOf(-5), bucketOf(0), bucketOf(1)]).toEqual([0, 0, 0]);
    expect(bucketOf(Number.MAX_SAFE_INTEGER)).toBe(bucketOf(LONGEST_MS));
    expect(bucketOf(LONGEST_MS)).toBeLessThan(150);
  });

  it('takes the nearest rank: of two the median is the lower, of a hundred p99 the last but one', () => {
    const near = (ms: number) => expect.closeTo(ms, -Math.log10(2.01 * ms * RELATIVE_ERROR));
    expect(percentile(histogramOf([10, 1_000]), 0.5)).toEqual(near(10));
    const hundred = [...Array.from({ length: 98 }, () => 10), 500, 9_000];
    expect(percentile(histogramOf(hundred), 0.99)).toEqual(near(500));
    expect(percentile(histogramOf(hundred), 1)).toEqual(near(9_000));
  });
});
