// npm run bench: builds dist, measures the built functions, prints a report. `--write` keeps it as docs/evidence/bench.md.
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleAll, writeBundles } from '../scripts/build.ts';
import { startFunction } from './function/process.ts';
import { measureImports } from './measures/imports.ts';
import { type InjectionRun, runInjections } from './measures/injections.ts';
import { measureLargeContexts } from './measures/largeContexts.ts';
import { measureMemory } from './measures/memory.ts';
import { measureRules } from './measures/rules.ts';
import { runSweep } from './measures/sweep.ts';
import { runSyncs, type SyncRun } from './measures/syncs.ts';
import { importSection, memorySection } from './report/bundleSections.ts';
import { latencySection, ownTimeSection, roundTripSection } from './report/injectionSections.ts';
import { largeContextSection } from './report/largeContextSection.ts';
import { toMarkdown } from './report/markdown.ts';
import { DELAYED } from './report/roundTrips.ts';
import { rulesSection } from './report/rulesSection.ts';
import { sweepSection } from './report/sweepSection.ts';
import { syncSection } from './report/syncSection.ts';
import { summary, toText } from './report/terminal.ts';
import { startWorld, type World } from './world/process.ts';

const bundleOf = (name: string) => fileURLToPath(new URL(`../dist/${name}/index.mjs`, import.meta.url));
const INJECT = bundleOf('inject');
const SYNC = bundleOf('sync');
const SNAPSHOT = bundleOf('snapshot');
const EVIDENCE = new URL('../docs/evidence/', import.meta.url);

const INJECTIONS_PER_KIND = 100;
const IMPORT_ROUNDS = 21;
const LARGE_INJECTIONS = 200;
const SYNCS_PER_KIND = 100;
const RULES = { sizes: [100, 1_000, 2_000, 5_000, 10_000], rounds: 30 };
const LARGE_CONTEXT_ROUNDS = 8;
const SWEEP = { sessions: 10_000, due: 500, ratePerMinute: 100 };

const { values: flags } = parseArgs({ options: { write: { type: 'boolean', default: false } } });

const bundles = await bundleAll();
await writeBundles(bundles);
console.log('Measuring; this takes about three minutes, and a machine that does nothing else …\n');
// Before there is a world, which keeps a processor busy.
const rules = await measureRules(RULES);
const world = await startWorld();
try {
  const imports = await measureImports(world, bundles, IMPORT_ROUNDS);
  const delayed = await measureInjections(world, DELAYED);
  const undelayed = await measureInjections(world, { databaseMs: 0, upstreamMs: 0 });
  const delayedSyncs = await measureSyncs(world, DELAYED);
  const undelayedSyncs = await measureSyncs(world, { databaseMs: 0, upstreamMs: 0 });
  const memory = await measureMemory(world, INJECT, LARGE_INJECTIONS);
  const large = await measureLargeContexts(world, { sync: SYNC, snapshot: SNAPSHOT }, LARGE_CONTEXT_ROUNDS);
  const sweep = await runSweep(world, SWEEP);
  const sections = [
    latencySection(delayed),
    roundTripSection(delayed, undelayed),
    ownTimeSection(undelayed),
    syncSection(delayedSyncs, undelayedSyncs),
    rulesSection(rules),
    sweepSection(sweep),
    importSection(imports),
    memorySection(memory),
    largeContextSection(large),
  ];
  console.log(`${toText(sections)}\n\n${summary(sections)}`);
  if (flags.write) {
    await mkdir(EVIDENCE, { recursive: true });
    await writeFile(new URL('bench.md', EVIDENCE), toMarkdown(sections, circumstances()));
  }
} finally {
  await world.close();
}

async function measureInjections(
  world: World,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<InjectionRun> {
  const inject = await startFunction(INJECT, world.environment);
  try {
    return await runInjections(world, inject, { perKind: INJECTIONS_PER_KIND, ...delays });
  } finally {
    await inject.close();
  }
}

async function measureSyncs(
  world: World,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<SyncRun> {
  const sync = await startFunction(SYNC, { ...world.environment, SYNC_DEFAULT_TTL_SECONDS: '0' });
  try {
    return await runSyncs(world, sync, { perKind: SYNCS_PER_KIND, ...delays });
  } finally {
    await sync.close();
  }
}

function circumstances() {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    command: 'npm run bench -- --write',
  };
}
