import { describe, expect, it } from 'vitest';
import { changesOf } from '../../../bench/storm/changes.ts';
import { runStraightforward } from '../../../bench/storm/straightforward.ts';

const TENANT = { ratePerMinute: 10, upstreamMs: 60 };

describe('The straightforward client', () => {
  it('is as quick as the upstream where there is room for all', async () => {
    const changes = changesOf({ changes: 10, sessions: 2, workers: 5, withinMs: 1_000 });
    const run = await runStraightforward(changes, 'as they come', TENANT);
    expect(run.confirmedAtMs).toEqual(changes.map(({ atMs }) => atMs + 60));
    expect(run).toMatchObject({ givenUp: 0, refused: 0, keysWithLast: run.keys });
  });

  it('obeys Retry-After, and gives a change up after three retries', async () => {
    const changes = changesOf({ changes: 60, sessions: 2, workers: 60, withinMs: 1_000 });
    const run = await runStraightforward(changes, 'as they come', TENANT);
    // Ten in each of the four minutes in which each change has a try; everybody comes back for the same ten.
    expect(run.confirmedAtMs).toHaveLength(40);
    expect(run.givenUp).toBe(20);
    expect(run.requestsAtMs).toHaveLength(60 + 50 + 40 + 30);
    expect(run.refused).toBe(50 + 40 + 30 + 20);
  });

  it('gives up less in turn, where each worker waits for its own, and takes the longer for it', async () => {
    const changes = changesOf({ changes: 60, sessions: 2, workers: 20, withinMs: 1_000 });
    const asTheyCome = await runStraightforward(changes, 'as they come', TENANT);
    const inTurn = await runStraightforward(changes, 'in turn', TENANT);
    expect(inTurn.givenUp).toBeLessThan(asTheyCome.givenUp);
    expect(inTurn.requestsAtMs.length).toBeLessThan(asTheyCome.requestsAtMs.length);
    expect(inTurn.confirmedAtMs.at(-1)).toBeGreaterThan(asTheyCome.confirmedAtMs.at(-1) ?? 0);
  });
});
