import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, end } from '../ask.ts';
import { lambdaNodeOptions } from '../function/lambdaOptions.ts';

export interface RulesQuestion {
  /** Leaves of the contexts. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** Variables of a snapshot. */
  readonly variables: number;
}

/** What the rules took for contexts of one size. */
export interface RulesTiming {
  readonly leaves: number;
  /** UTF-8 bytes of the bot's context. */
  readonly bytes: number;
  /** Each run's time. */
  readonly timesMs: readonly number[];
  /** What of each the garbage collector took. */
  readonly collectingMs: readonly number[];
  /** What there was to do in each. */
  readonly conflicts: number;
  readonly expired: number;
  readonly pruned: number;
}

/** What coercing and resolving a snapshot's variables took. */
export interface SnapshotTiming {
  readonly variables: number;
  /** Names that they have; the rest is shadowed. */
  readonly names: number;
  /** Each run's time. */
  readonly timesMs: readonly number[];
}

export interface RulesRun {
  /** How the process was started. */
  readonly nodeOptions: string;
  readonly bySize: readonly RulesTiming[];
  readonly snapshot: SnapshotTiming;
}

/** As the functions are deployed (`serverless.yml`). */
const NODE_OPTIONS = lambdaNodeOptions(512);

/** Times the rules alone, in a process that does nothing else. */
export async function measureRules(question: RulesQuestion): Promise<RulesRun> {
  const child = fork(fileURLToPath(new URL('../rules/main.ts', import.meta.url)), {
    env: { ...process.env, NODE_OPTIONS },
  });
  try {
    return { nodeOptions: NODE_OPTIONS, ...(await ask<Omit<RulesRun, 'nodeOptions'>>(child, question)) };
  } finally {
    await end(child);
  }
}
