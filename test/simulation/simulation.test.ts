import { expect, it } from 'vitest';
import { live } from './life.ts';
import { REGRESSIONS } from './regressions.ts';

/** The same at every run. `npm run simulate` lives through as many others as one likes. */
const FIXED = { from: 1, seeds: 25, operations: 60 };
/** Others at every run, for so long (milliseconds). */
const FRESH_MS = 8_000;

/** Lives through a seed; what it has found is said with the command that does so again. */
async function expectGoodLife(seed: number, operations: number): Promise<void> {
  const { violations } = await live({ seed, operations });
  const again = `npm run simulate -- --from ${seed} --seeds 1 --operations ${operations}`;
  expect(violations, `seed ${seed}: see it again by\n  ${again}\n`).toEqual([]);
}

it.each(REGRESSIONS)('seed $seed, which has once found: $found', ({ seed, operations }) =>
  expectGoodLife(seed, operations),
);

it(`keeps all invariants in the lives of ${FIXED.seeds} seeds`, async () => {
  for (let seed = FIXED.from; seed < FIXED.from + FIXED.seeds; seed += 1) await expectGoodLife(seed, FIXED.operations);
});

it('keeps all invariants in lives that nobody has seen before', async () => {
  const startedMs = Date.now();
  for (let seed = startedMs; Date.now() - startedMs < FRESH_MS; seed += 1) await expectGoodLife(seed, FIXED.operations);
});
