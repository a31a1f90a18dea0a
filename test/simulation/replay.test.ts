import { describe, expect, it } from 'vitest';
import { live } from './life.ts';

describe('A seed', () => {
  it.each([2, 3, 7, 11])('replays exactly: %i', async (seed) => {
    const one = await live({ seed, operations: 40 });
    const between = await live({ seed: seed + 100, operations: 10 });
    const other = await live({ seed, operations: 40 });

    expect(other.digest).toBe(one.digest);
    expect(other.figures.entries()).toEqual(one.figures.entries());
    expect(other.faults.entries()).toEqual(one.faults.entries());
    expect(other.answers.entries()).toEqual(one.answers.entries());
    expect(between.digest).not.toBe(one.digest);
  });
});
