// npm run bench: builds dist, measures the built functions, prints a report. `--write` keeps it as docs/evidence/bench.md;
// `--only storm,rules` measures only these.
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { bundleAll, writeBundles } from '../scripts/build.ts';
import { MEASURES, type Measure } from './catalogue.ts';
import type { Section } from './report/figures.ts';
import { toMarkdown } from './report/markdown.ts';
import { summary, toText } from './report/terminal.ts';
import { selectMeasures } from './selection.ts';
import { startWorld } from './world/process.ts';

const EVIDENCE = new URL('../docs/evidence/', import.meta.url);

const { values: flags } = parseArgs({
  options: { write: { type: 'boolean', default: false }, only: { type: 'string' } },
});
if (flags.write && flags.only !== undefined) fail('--write keeps the whole report, not a part of it: leave --only out');
const selected = select(flags.only);

const bundles = await bundleAll();
await writeBundles(bundles);
const howLong = flags.only === undefined ? 'this takes about six minutes, and' : 'this wants';
console.log(`Measuring; ${howLong} a machine that does nothing else …\n`);
const measured = await measure(selected);
const sections = selected.flatMap(({ name }) => measured.get(name) ?? []);
console.log(`${toText(sections)}\n\n${summary(sections)}`);
if (flags.write) {
  await mkdir(EVIDENCE, { recursive: true });
  await writeFile(new URL('bench.md', EVIDENCE), toMarkdown(sections, circumstances()));
}

/** Sections by the names of their measures. */
async function measure(measures: readonly Measure[]): Promise<Map<string, readonly Section[]>> {
  const sections = new Map<string, readonly Section[]>();
  for (const { name, needsWorld, run } of measures) if (!needsWorld) sections.set(name, await run());
  const rest = measures.filter(({ needsWorld }) => needsWorld);
  if (rest.length === 0) return sections;
  const world = await startWorld();
  try {
    for (const { name, run } of rest) sections.set(name, await run(world, bundles));
  } finally {
    await world.close();
  }
  return sections;
}

function select(only: string | undefined): readonly Measure[] {
  try {
    return selectMeasures(MEASURES, only);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail(error.message);
  }
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function circumstances() {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    command: 'npm run bench -- --write',
  };
}
