// npm run bench: builds dist, measures the built functions, prints a report. `--write` keeps it as docs/evidence/bench.md.
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleAll, writeBundles } from '../scripts/build.ts';
import { startFunction } from './function/process.ts';
import { measureImports } from './measures/imports.ts';
import { type InjectionRun, runInjections } from './measures/injections.ts';
import { measureMemory } from './measures/memory.ts';
import { importSection, memorySection } from './report/bundleSections.ts';
import { DELAYED, latencySection, ownTimeSection, roundTripSection } from './report/injectionSections.ts';
import { toMarkdown } from './report/markdown.ts';
import { summary, toText } from './report/terminal.ts';
import { startWorld, type World } from './world/process.ts';

const INJECT = fileURLToPath(new URL('../dist/inject/index.mjs', import.meta.url));
const EVIDENCE = new URL('../docs/evidence/', import.meta.url);

const INJECTIONS_PER_KIND = 100;
const IMPORT_ROUNDS = 21;
const LARGE_INJECTIONS = 200;

const { values: flags } = parseArgs({ options: { write: { type: 'boolean', default: false } } });

const bundles = await bundleAll();
await writeBundles(bundles);
const world = await startWorld();
try {
  console.log('Measuring; this takes about two minutes, and a machine that does nothing else …\n');
  const imports = await measureImports(world, bundles, IMPORT_ROUNDS);
  const delayed = await measureInjections(world, DELAYED);
  const undelayed = await measureInjections(world, { databaseMs: 0, upstreamMs: 0 });
  const memory = await measureMemory(world, INJECT, LARGE_INJECTIONS);
  const sections = [
    latencySection(delayed),
    roundTripSection(delayed, undelayed),
    ownTimeSection(undelayed),
    importSection(imports),
    memorySection(memory),
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

function circumstances() {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    command: 'npm run bench -- --write',
  };
}
