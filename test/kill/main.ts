// npm run test:kill -- --restarts 50 --seed 1 --write: kills the running stack under load, again and again, and accounts for
// everything that was asked of it. `--write` keeps the report as docs/evidence/restarts.md.
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { circumstances } from '../fixtures/circumstances.ts';
import { figuresOf } from './report/figures.ts';
import { toMarkdown, toText } from './report/pages.ts';
import { runRestarts } from './run.ts';

const EVIDENCE = new URL('../../docs/evidence/', import.meta.url);
/** Where to look when something does not balance. */
const KEPT = new URL('../../.data/', import.meta.url);
/**
 * The local queue dies with the stack: an outcome whose prompt was in it is prompted again after half a minute, and after 2, 4 and 8
 * minutes more where that prompt was killed, too.
 */
const REST_MS = 900_000;

const { values: flags } = parseArgs({
  options: {
    restarts: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string', default: '400' },
    clients: { type: 'string', default: '14' },
    customers: { type: 'string', default: '6' },
    'think-ms': { type: 'string', default: '300' },
    write: { type: 'boolean', default: false },
  },
});

const options = {
  restarts: wholeNumber('restarts'),
  seed: wholeNumber('seed'),
  ratePerMinute: wholeNumber('rate'),
  clients: wholeNumber('clients'),
  customers: wholeNumber('customers'),
  thinkMs: wholeNumber('think-ms'),
  restMs: REST_MS,
  awaitDeliveries: true,
};
const command = `npm run test:kill -- --restarts ${options.restarts} --seed ${options.seed}`;
console.log(`${command}: the plan of kills follows from the seed.`);

const report = await runRestarts(options, console.log);
console.log(`\n${toText(report)}`);
if (flags.write) {
  const page = toMarkdown(report, {
    ...circumstances(),
    command: `${command} --write`,
  });
  await mkdir(EVIDENCE, { recursive: true });
  await writeFile(new URL('restarts.md', EVIDENCE), page);
}
if (figuresOf(report).some(({ target }) => target?.isMet === false)) process.exitCode = 1;
if (report.findings.length > 0) {
  await mkdir(KEPT, { recursive: true });
  const file = new URL(`restarts-${options.seed}.json`, KEPT);
  await writeFile(file, JSON.stringify({ findings: report.findings, evidence: report.evidence }, null, 1));
  console.log(`All that was seen is in ${fileURLToPath(file)}.`);
}

function wholeNumber(name: Exclude<keyof typeof flags, 'write'>): number {
  const value = Number(flags[name]);
  if (Number.isInteger(value) && value >= 1) return value;
  console.error(`--${name} must be a whole number from 1 on.`);
  process.exit(2);
}
