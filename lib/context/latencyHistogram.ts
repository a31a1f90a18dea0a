/**
 * How often latencies of which size occurred: by bucket, each about a tenth wider than the one before. Two histograms of the same
 * thing are merged by adding them up, so any number of writers can count into one without reading it.
 */
export type Histogram = ReadonlyMap<number, number>;

/** A percentile is at most this far from the true one, as a part of it. */
export const RELATIVE_ERROR = 0.05;
/** What takes longer counts as this long: ten minutes, more than any function has. */
export const LONGEST_MS = 600_000;

const GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);

/** The bucket of a latency in milliseconds. Bucket n holds what is longer than GROWTH^(n-1) and not longer than GROWTH^n. */
export function bucketOf(ms: number): number {
  const bounded = Math.min(LONGEST_MS, Math.max(1, ms));
  // Rounded first: a bucket's own border must not fall into the next one for want of a last digit.
  return Math.ceil(Number((Math.log(bounded) / Math.log(GROWTH)).toFixed(9)));
}

/** What stands for all latencies of a bucket, milliseconds: as far from its upper border as from its lower one. */
function middleOf(bucket: number): number {
  return (2 * GROWTH ** bucket) / (GROWTH + 1);
}

/** Both together. */
export function merged(one: Histogram, other: Histogram): Histogram {
  const sum = new Map(one);
  for (const [bucket, count] of other) sum.set(bucket, (sum.get(bucket) ?? 0) + count);
  return sum;
}

/**
 * The latency, in milliseconds, that `part` (above 0, up to 1) of all have not exceeded (nearest rank), up to
 * {@link RELATIVE_ERROR}; `undefined` where nothing was counted.
 */
export function percentile(histogram: Histogram, part: number): number | undefined {
  const buckets = [...histogram].sort(([a], [b]) => a - b);
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  let left = Math.max(1, Math.ceil(total * part));
  for (const [bucket, count] of buckets) {
    left -= count;
    if (left <= 0) return middleOf(bucket);
  }
  return undefined;
}
