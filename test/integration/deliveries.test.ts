import { describe, expect, it } from 'vitest';
import { runDeliveries } from '../fixtures/events/runDeliveries.ts';

const HOUR_MS = 3_600_000;

describe('Deliveries to an endpoint that fails 30 % of the time', () => {
  it.each([1, 2, 3])(
    'SCENARIO 14: all arrive; twice only what a crash has repeated, under the same id (seed %i)',
    async (seed) => {
      const report = await runDeliveries({ deliveries: 1_000, failureRate: 0.3, crashes: 20, seed });
      expect(report).toMatchObject({ delivered: 1_000, crashed: 20, duplicates: 20, unexplainedDuplicates: 0 });
      // With jitter, and a moment for each that had to be replayed.
      if (report.deadLetters === 0) expect(report.durationMs).toBeLessThan(1.1 * 28 * HOUR_MS);
    },
  );

  it('arrive once where nothing dies', async () => {
    const report = await runDeliveries({ deliveries: 500, failureRate: 0.3, crashes: 0, seed: 7 });
    expect(report).toMatchObject({ delivered: 500, crashed: 0, duplicates: 0 });
  });

  it('take one request each where nothing fails', async () => {
    const report = await runDeliveries({ deliveries: 200, failureRate: 0, crashes: 0, seed: 1 });
    expect(report).toMatchObject({ delivered: 200, requests: 200, prompts: 200, deadLetters: 0 });
  });

  it('are replayed where the ladder was not long enough', async () => {
    const report = await runDeliveries({ deliveries: 20, failureRate: 0.9, crashes: 2, seed: 1 });
    expect(report.deadLetters).toBeGreaterThan(0);
    expect(report).toMatchObject({ delivered: 20, unexplainedDuplicates: 0 });
  });
});
