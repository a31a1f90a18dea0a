import { beforeEach, describe, expect, it } from 'vitest';
import { UNTRIED } from '../../../../lib/context/circuitBreaker.ts';
import type { DestinationStates } from '../../../../lib/operations/ports/destinationStates.ts';
import { START_MS } from '../../../fixtures/store/session.ts';

const FAILING = { failures: 5, openUntilMs: START_MS + 30_000 };
const DISABLED = { ...FAILING, disabled: { atMs: START_MS, reason: 'gone' } };

/** What all {@link DestinationStates} do. `makeStates` makes empty ones for each test. */
export function destinationStatesContract(name: string, makeStates: () => Promise<DestinationStates>): void {
  describe(name, () => {
    let states: DestinationStates;
    beforeEach(async () => {
      states = await makeStates();
    });

    it('know nothing of a destination at first', async () => {
      expect(await states.read('a')).toEqual({ state: UNTRIED, revision: 0 });
    });

    it('hand out what was written last, each destination by itself', async () => {
      for (const state of [FAILING, DISABLED, UNTRIED]) {
        const seen = await states.read('a');
        expect(await states.replace('a', seen, state, START_MS)).toBe(true);
        expect(await states.read('a')).toEqual({ state, revision: seen.revision + 1 });
      }
      expect(await states.read('b')).toEqual({ state: UNTRIED, revision: 0 });
    });

    it('take what one of several writes who have seen the same', async () => {
      for (let round = 0; round < 3; round += 1) {
        const seen = await states.read('a');
        const next = (failures: number) => states.replace('a', seen, { failures, openUntilMs: 0 }, START_MS);
        const taken = await Promise.all([1, 2, 3, 4, 5].map(next));
        expect(taken.filter(Boolean)).toHaveLength(1);
        expect((await states.read('a')).state.failures).toBe(taken.indexOf(true) + 1);
      }
    });
  });
}
