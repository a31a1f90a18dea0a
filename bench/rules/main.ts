// The rules in a process of their own: nothing else of the benchmark is in its heap.
import type { RulesQuestion } from '../measures/rules.ts';
import { timeRules } from './timing.ts';

process.on('message', async ({ sizes, rounds }: RulesQuestion) => process.send?.(await timeRules(sizes, rounds)));
process.on('disconnect', () => process.exit());
