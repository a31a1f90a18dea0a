// The rules in a process of their own: nothing else of the benchmark is in its heap.
import type { RulesQuestion } from '../measures/rules.ts';
import { timeSnapshotRules } from './snapshots.ts';
import { timeRules } from './timing.ts';

process.on('message', async ({ sizes, rounds, variables }: RulesQuestion) => {
  const bySize = await timeRules(sizes, rounds);
  process.send?.({ bySize, snapshot: timeSnapshotRules(variables) });
});
process.on('disconnect', () => process.exit());
