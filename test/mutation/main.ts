// npm run mutation: Stryker on the pure rules, then docs/evidence/mutation.md. What is behind `--` goes to Stryker, for instance
// `-- --mutate lib/context/mirror.ts`, or `-- --force` to reuse nothing of earlier runs; the page always shows what is known of all files.
// Of what is evaluated when a module is loaded Stryker reuses results although the tests have changed: `--force` is the whole truth.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { circumstances } from '../fixtures/circumstances.ts';
import { type Reasons, resultOf, type StrykerReport, shortcomingsOf, toMarkdown } from './report.ts';

const root = new URL('../../', import.meta.url);
const CONFIG = 'test/mutation/stryker.config.mjs';
const REPORT = new URL('.cache/mutation/report.json', root);
const REASONS = new URL('survivors.json', import.meta.url);
const UNEXPLAINED = new URL('.cache/mutation/unexplained.json', root);
const EVIDENCE = new URL('docs/evidence/mutation.md', root);

const more = process.argv.slice(2);
const { status } = spawnSync('stryker', ['run', CONFIG, ...more], {
  cwd: fileURLToPath(root),
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);

const report: StrykerReport = JSON.parse(readFileSync(REPORT, 'utf8'));
const reasons: Reasons = JSON.parse(readFileSync(REASONS, 'utf8'));
const result = resultOf(report, reasons);
writeFileSync(
  EVIDENCE,
  toMarkdown(result, {
    ...circumstances(),
    command: ['npm run mutation', ...(more.length > 0 ? ['--', ...more] : [])].join(' '),
  }),
);
console.log(`${fileURLToPath(EVIDENCE)} is written`);

// To be moved to survivors.json, with a reason each.
const unexplained = result.files
  .map(({ file, survivors }) => [file, survivors.filter(({ reason }) => reason === undefined)] as const)
  .filter(([, survivors]) => survivors.length > 0)
  .map(([file, survivors]) => [file, survivors.map(({ line, from, to }) => ({ line, from, to, reason: '' }))]);
writeFileSync(UNEXPLAINED, `${JSON.stringify(Object.fromEntries(unexplained), null, 2)}\n`);

const shortcomings = shortcomingsOf(result);
for (const one of shortcomings) console.error(one);
process.exitCode = shortcomings.length > 0 ? 1 : 0;
