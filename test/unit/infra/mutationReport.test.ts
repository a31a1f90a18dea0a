import { describe, expect, it } from 'vitest';
import {
  type Mutant,
  type Reasons,
  resultOf,
  type StrykerReport,
  shortcomingsOf,
  toMarkdown,
} from '../../mutation/report.ts';

const SOURCE = 'const a = 1;\nconst isBig = a > 9 &&\n  a < 99;\n';

const mutant = (status: Mutant['status'], rest: Partial<Mutant> = {}): Mutant => ({
  id: '0',
  mutatorName: 'EqualityOperator',
  replacement: 'a >= 9',
  location: { start: { line: 2, column: 15 }, end: { line: 2, column: 20 } },
  status,
  ...rest,
});

/** Of an expression that goes over two lines. */
const whole = mutant('NoCoverage', {
  mutatorName: 'ConditionalExpression',
  replacement: 'true',
  location: { start: { line: 2, column: 15 }, end: { line: 3, column: 9 } },
});

const killed = (count: number) => Array.from({ length: count }, () => mutant('Killed'));

const report = (files: Readonly<Record<string, readonly Mutant[]>>): StrykerReport => ({
  schemaVersion: '2.0',
  thresholds: { high: 90, low: 90 },
  files: Object.fromEntries(
    Object.entries(files).map(([name, mutants]) => [
      name,
      { language: 'typescript', source: SOURCE, mutants: [...mutants] },
    ]),
  ),
});

const NINE = { line: 'const isBig = a > 9 &&', from: 'a > 9', to: 'a >= 9' };
const reasons: Reasons = { 'lib/b.ts': [{ ...NINE, reason: 'Nine is as good.' }] };

describe('The result of mutation testing', () => {
  it('has the worst file first, under its path, and none in which there is nothing to mutate', () => {
    const { files, total } = resultOf(
      report({
        'lib/c.ts': killed(6),
        'lib/a.ts': [...killed(2), mutant('Timeout'), mutant('Survived')],
        'lib/t.ts': [],
      }),
      {},
    );
    expect(files.map(({ file, metrics }) => [file, metrics.mutationScore])).toEqual([
      ['lib/a.ts', 75],
      ['lib/c.ts', 100],
    ]);
    expect(total).toMatchObject({ totalValid: 10, killed: 8, timeout: 1, survived: 1, mutationScore: 90 });
  });

  it('knows a survivor by its source, wherever that has moved, and says why it may live', () => {
    const moved: StrykerReport = report({ 'lib/b.ts': [mutant('Survived'), whole] });
    const { files } = resultOf(moved, reasons);
    expect(files[0]?.survivors).toEqual([
      { ...NINE, lineNumber: 2, isUncovered: false, reason: 'Nine is as good.' },
      { line: NINE.line, from: 'a > 9 && a < 99', to: 'true', lineNumber: 2, isUncovered: true, reason: undefined },
    ]);
  });

  it('takes a reason for no other mutant, and for no other file', () => {
    const other = resultOf(
      report({ 'lib/b.ts': [mutant('Survived', { replacement: 'a <= 9' })], 'lib/c.ts': [mutant('Survived')] }),
      reasons,
    );
    expect(other.files.flatMap(({ survivors }) => survivors.map(({ reason }) => reason))).toEqual([
      undefined,
      undefined,
    ]);
    expect(other.outdated).toEqual(['lib/b.ts: const isBig = a > 9 &&']);
  });
});

describe('What keeps a result from being good enough', () => {
  it('is nothing where every file has 90 percent and every survivor a reason', () => {
    expect(shortcomingsOf(resultOf(report({ 'lib/b.ts': [...killed(9), mutant('Survived')] }), reasons))).toEqual([]);
  });

  it('is a mutant that was not run', () => {
    const files = { 'lib/b.ts': [...killed(9), mutant('Pending'), mutant('Pending')] };
    expect(shortcomingsOf(resultOf(report(files), {}))).toEqual(['2 mutants have not been run']);
  });

  it('is a file below that, a survivor without a reason, and a reason without a survivor', () => {
    const files = { 'lib/a.ts': [...killed(8), mutant('Survived')], 'lib/b.ts': killed(1) };
    expect(shortcomingsOf(resultOf(report(files), reasons))).toEqual([
      'lib/a.ts: only 88.9 % killed',
      'lib/a.ts:2 survives without a reason',
      'a reason for what no longer survives: lib/b.ts: const isBig = a > 9 &&',
    ]);
  });
});

describe('The page', () => {
  it('has the figures of every file, and every survivor with its reason or that it has none', () => {
    const result = resultOf(
      report({ 'lib/b.ts': [...killed(17), mutant('Timeout'), mutant('Survived'), whole] }),
      reasons,
    );
    const page = toMarkdown(result, {
      date: '2026-11-21',
      machine: '2 × CPU',
      revision: 'commit `abc`',
      command: 'npm run mutation',
    });
    expect(page).toContain('Written by `npm run mutation` on 2026-11-21, of commit `abc`, on 2 × CPU.');
    expect(page).toContain('90.0 % of 20 mutants');
    expect(page).toContain('2 live on, 1 of them without a reason');
    expect(page).toContain('| `lib/b.ts` | 20 | 17 | 1 | 1 | 1 | 90.0 % |');
    expect(page).toContain('- 2, `const isBig = a > 9 &&`: `a > 9` → `a >= 9`. Nine is as good.');
    expect(page).toContain('`a > 9 && a < 99` → `true` (no coverage). **No reason yet.**');
  });

  it('says of how many mutants there is no result, and nothing of that where there are none', () => {
    const run = { date: '2026-11-21', machine: '2 × CPU', revision: 'commit `abc`', command: 'npm run mutation' };
    const others = [mutant('Pending'), mutant('RuntimeError'), mutant('RuntimeError'), mutant('Ignored')];
    const page = toMarkdown(resultOf(report({ 'lib/b.ts': [...killed(1), ...others] }), {}), run);
    expect(page).toContain('**Not complete:** 1 more have not been run.');
    expect(page).toContain('1 more were left out.');
    expect(page).toContain('With 2 more a module could not even be loaded.');
    expect(toMarkdown(resultOf(report({ 'lib/b.ts': killed(1) }), {}), run)).not.toMatch(/more/);
  });
});
