import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { circumstances } from '../fixtures/circumstances.ts';
import { evidenceOf, Totals } from './totals.ts';
import type { Report, Task } from './worker.ts';

/** `npm run simulate`: many seeds, on all cores. Every failing one is printed, with the command that replays it. */
const EVIDENCE = new URL('../../docs/evidence/simulation.md', import.meta.url);
const PROGRESS_MS = 30_000;

const { values } = parseArgs({
  options: {
    /** The first seed, and how many. */
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1000' },
    /** Requests of clients in each life, without their repeats. */
    operations: { type: 'string', default: '60' },
    workers: { type: 'string', default: String(availableParallelism()) },
    /** Writes `docs/evidence/simulation.md`. */
    write: { type: 'boolean', default: false },
  },
});
const options = {
  from: wholeNumber('from'),
  seeds: wholeNumber('seeds'),
  operations: wholeNumber('operations'),
  workers: wholeNumber('workers'),
};

function wholeNumber(name: 'from' | 'seeds' | 'operations' | 'workers'): number {
  const number = Number(values[name]);
  if (!Number.isSafeInteger(number) || number < 1) throw new RangeError(`--${name} is a whole number from 1`);
  return number;
}

const totals = new Totals();
const startedMs = performance.now();
const seconds = () => (performance.now() - startedMs) / 1_000;
let next = options.from;

/** One process, which is given a seed whenever it is done with the one before. */
function work(): Promise<void> {
  const worker = fork(new URL('./worker.ts', import.meta.url));
  return new Promise((resolve, reject) => {
    const give = () => {
      if (next >= options.from + options.seeds) return worker.disconnect();
      const task: Task = { seed: next, operations: options.operations };
      next += 1;
      worker.send(task);
    };
    worker.on('message', (report: Report) => {
      note(report);
      give();
    });
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
    give();
  });
}

function note(report: Report): void {
  totals.add(report);
  if (report.violations.length === 0) return;
  console.log(
    `seed ${report.seed}: npm run simulate -- --from ${report.seed} --seeds 1 --operations ${options.operations}`,
  );
  for (const violation of report.violations) console.log(`  ${violation}`);
}

function summary(): string {
  const operations = totals.figures.get('operations');
  const rate = Math.round(operations / seconds());
  return `${totals.seeds} seeds, ${operations} operations, ${totals.failed.length} failed; ${rate} operations a second`;
}

const progress = setInterval(() => console.log(summary()), PROGRESS_MS);
await Promise.all(Array.from({ length: Math.min(options.workers, options.seeds) }, work));
clearInterval(progress);

for (const [name, count] of [...totals.figures.entries(), ...totals.faults.entries()])
  console.log(`  ${name}: ${count}`);
console.log(summary());
if (values.write) {
  const evidence = evidenceOf(totals, {
    from: options.from,
    operations: options.operations,
    workers: options.workers,
    seconds: seconds(),
    command: `npm run simulate -- ${process.argv.slice(2).join(' ')}`,
    ...circumstances(),
  });
  writeFileSync(EVIDENCE, evidence);
}
if (totals.failed.length > 0) process.exitCode = 1;
