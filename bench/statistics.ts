/** The smallest value that at least `share` of all values do not exceed (nearest rank). `NaN` of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Most of these moments within any sliding window, which is as long as said and does not contain its end. In order of time. */
export function mostWithin(momentsMs: readonly number[], windowMs: number): number {
  let most = 0;
  let first = 0;
  momentsMs.forEach((at, last) => {
    while (at - (momentsMs[first] ?? at) >= windowMs) first += 1;
    most = Math.max(most, last - first + 1);
  });
  return most;
}
