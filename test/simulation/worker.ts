import { live, type Verdict } from './life.ts';

/** One process of `npm run simulate`: lives through the seeds that it is told, one after the other. */
export interface Task {
  readonly seed: number;
  readonly operations: number;
}

export interface Report extends Omit<Verdict, 'figures' | 'faults' | 'answers'> {
  readonly figures: readonly [string, number][];
  readonly faults: readonly [string, number][];
  readonly answers: readonly [string, number][];
}

async function work({ seed, operations }: Task): Promise<Report> {
  try {
    const { figures, faults, answers, ...verdict } = await live({ seed, operations });
    return { ...verdict, figures: figures.entries(), faults: faults.entries(), answers: answers.entries() };
  } catch (error) {
    const violations = [`the simulation itself failed: ${error instanceof Error ? error.stack : String(error)}`];
    return {
      seed,
      violations,
      digest: '',
      budget: { ratePerMinute: 0, fullest: 0 },
      figures: [],
      faults: [],
      answers: [],
    };
  }
}

process.on('message', (task: Task) => {
  work(task).then((report) => process.send?.(report));
});
