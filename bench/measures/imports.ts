import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleEntry, type FunctionBundle } from '../../scripts/build.ts';
import { median } from '../statistics.ts';
import type { World } from '../world/process.ts';

export interface ImportTime {
  readonly name: string;
  readonly bytes: number;
  /** Median over fresh processes. */
  readonly importMs: number;
}

export interface ImportRun {
  readonly rounds: number;
  readonly functions: readonly ImportTime[];
  /** A file that imports and constructs the DynamoDB client, bundled with the same options. */
  readonly client: ImportTime;
  /** The same file, with everything left out that our bundles leave out as well. */
  readonly clientOnDiet: ImportTime;
}

const CLIENT = 'bench/imports/dynamoClient.ts';
const PROBE = fileURLToPath(new URL('../imports/probe.mjs', import.meta.url));
const run = promisify(execFile);
/** What it takes to be notify; nobody is there. */
const DELIVERY = {
  NOTIFY_QUEUE_URL: 'http://127.0.0.1:9/notify',
  DEAD_LETTER_QUEUE_URL: 'http://127.0.0.1:9/dead-letters',
  EVENT_BUS_NAME: 'bench',
};

/** Imports each bundle in a fresh process, all of them in turn, so that a busy moment of the machine meets them alike. */
export async function measureImports(
  world: World,
  bundles: readonly FunctionBundle[],
  rounds: number,
): Promise<ImportRun> {
  const plain = await bundleEntry('client', CLIENT, { isOnDiet: false });
  const onDiet = await bundleEntry('client-on-diet', CLIENT);
  const directory = await mkdtemp(join(tmpdir(), 'bridge-bench-'));
  try {
    const probes = await Promise.all(
      [plain, onDiet, ...bundles].map(async ({ name, code }) => {
        const file = join(directory, `${name}.mjs`);
        await writeFile(file, code);
        return { name, bytes: code.byteLength, file, timesMs: [] as number[] };
      }),
    );
    // The first round only warms the file system's cache.
    for (let round = 0; round <= rounds; round += 1) {
      for (const { file, timesMs } of probes) {
        const { stdout } = await run(process.execPath, [PROBE, file], {
          env: { ...world.environment, ...DELIVERY },
        });
        if (round > 0) timesMs.push(Number(stdout));
      }
    }
    const times = probes.map(({ name, bytes, timesMs }): ImportTime => ({ name, bytes, importMs: median(timesMs) }));
    const [client, clientOnDiet, ...functions] = times;
    if (client === undefined || clientOnDiet === undefined) throw new Error('nothing to compare with');
    return { rounds, functions, client, clientOnDiet };
  } finally {
    await rm(directory, { recursive: true });
  }
}
