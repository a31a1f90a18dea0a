import { randomBytes } from 'node:crypto';
import { lambdaNodeOptions } from '../function/lambdaOptions.ts';
import { startFunction } from '../function/process.ts';
import { injectEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';

export interface MemoryRun {
  /** How the process was started. */
  readonly nodeOptions: string;
  readonly injections: number;
  /** UTF-8 bytes of the variables in each of them. */
  readonly bytesEach: number;
  /** Peak resident set of the function's process: when it was loaded, after the first injection, and of all. */
  readonly loadedBytes: number;
  readonly firstBytes: number;
  readonly peakBytes: number;
}

const NODE_OPTIONS = lambdaNodeOptions(128);
const VARIABLES = 64;
/** Leaves room below 262,144 bytes for what the upstream's format puts around the values. */
const VALUE_CHARACTERS = 4_010;
const SESSIONS = 10;

/** Injects as much as the upstream takes, again and again, into a function that has done nothing else. */
export async function measureMemory(world: World, file: string, injections: number): Promise<MemoryRun> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const inject = await startFunction(file, { ...world.environment, NODE_OPTIONS });
  try {
    let bytesEach = 0;
    const peaks: number[] = [];
    for (let turn = 0; turn < injections; turn += 1) {
      const variables = largeVariables();
      bytesEach = Buffer.byteLength(JSON.stringify(variables));
      const event = injectEvent({ sessionId: `large-${turn % SESSIONS}`, variables });
      const { status, maxRssBytes } = await inject.invoke(event);
      if (status !== 200) throw new Error(`a large injection was answered ${status}`);
      peaks.push(maxRssBytes);
      await world.take();
    }
    const [firstBytes = Number.NaN] = peaks;
    const peakBytes = Math.max(...peaks);
    return { nodeOptions: NODE_OPTIONS, injections, bytesEach, loadedBytes: inject.loadedBytes, firstBytes, peakBytes };
  } finally {
    await inject.close();
  }
}

/** Text that does not compress, new every time: nothing is saved by sealing it or by having seen it before. */
function largeVariables(): object[] {
  return Array.from({ length: VARIABLES }, (_, index) => ({
    key: `crm_note_${index}`,
    value: randomBytes(VALUE_CHARACTERS).toString('base64').slice(0, VALUE_CHARACTERS),
  }));
}
