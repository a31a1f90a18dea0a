// npm run bench: builds dist, measures the built functions, prints a report. `--only storm,rules` measures only these.
// `--write` keeps report and charts in docs/evidence; of a part only the charts that it has made anew.
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { bundleAll, writeBundles } from '../scripts/build.ts';
import { circumstances } from '../test/fixtures/circumstances.ts';
import { MEASURES, type Measure, type Measured } from './catalogue.ts';
import { costSection, latencyChart } from './report/costSection.ts';
import { toMarkdown } from './report/markdown.ts';
import { summary, toText } from './report/terminal.ts';
import { selectMeasures } from './selection.ts';
import { startWorld } from './world/process.ts';

const EVIDENCE = new URL('../docs/evidence/', import.meta.url);

const { values: flags } = parseArgs({
  options: { write: { type: 'boolean', default: false }, only: { type: 'string' } },
});
const selected = select(flags.only);

const bundles = await bundleAll();
await writeBundles(bundles);
const howLong = flags.only === undefined ? 'this takes about ten minutes, and' : 'this wants';
console.log(`Measuring; ${howLong} a machine that does nothing else …\n`);
// Before anything is written: then the working tree is another one.
const at = circumstances();
const measured = await measure(selected);
const operations = measured.flatMap((each) => each.operations ?? []);
const costs = operations.length === 0 ? [] : [costSection(operations)];
const sections = [...costs, ...measured.flatMap((each) => each.sections)];
console.log(`${toText(sections)}\n\n${summary(sections)}`);
if (flags.write) {
  await mkdir(EVIDENCE, { recursive: true });
  const charts = chartsOf(measured);
  for (const [file, svg] of charts) await writeFile(new URL(file, EVIDENCE), svg);
  const report = () => toMarkdown(sections, { ...at, command: 'npm run bench -- --write' }, [...charts.keys()]);
  if (flags.only === undefined) await writeFile(new URL('bench.md', EVIDENCE), report());
}

/** SVG by the name of its file. That of the latencies is of all functions or not at all. */
function chartsOf(all: readonly Measured[]): Map<string, string> {
  const charts = new Map(all.flatMap((each) => Object.entries(each.charts ?? {})));
  const isOfAll = bundles.every((bundle) => selected.some(({ name }) => name === bundle.name));
  if (isOfAll) charts.set('latency.svg', latencyChart(operations));
  return charts;
}

/** In the order of the report; what needs no world comes first. */
async function measure(measures: readonly Measure[]): Promise<Measured[]> {
  const measured = new Map<string, Measured>();
  for (const { name, needsWorld, run } of measures) if (!needsWorld) measured.set(name, await run());
  const rest = measures.filter(({ needsWorld }) => needsWorld);
  if (rest.length > 0) {
    const world = await startWorld();
    try {
      for (const { name, run } of rest) measured.set(name, await run(world, bundles));
    } finally {
      await world.close();
    }
  }
  return measures.flatMap(({ name }) => measured.get(name) ?? []);
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
