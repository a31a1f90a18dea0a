import type { Circumstances } from '../fixtures/circumstances.ts';
import type { Report } from './worker.ts';
import { Tally } from './world/tally.ts';

/** What came of many seeds together. */
export class Totals {
  readonly figures = new Tally();
  readonly faults = new Tally();
  readonly answers = new Tally();
  readonly failed: Report[] = [];
  /** Requests in the fullest minute of all, by how many may leave in one. */
  readonly fullest = new Map<number, number>();
  seeds = 0;

  add(report: Report): void {
    this.seeds += 1;
    for (const [name, count] of report.figures) this.figures.add(name, count);
    for (const [name, count] of report.faults) this.faults.add(name, count);
    for (const [name, count] of report.answers) this.answers.add(name, count);
    const { ratePerMinute, fullest } = report.budget;
    this.fullest.set(ratePerMinute, Math.max(fullest, this.fullest.get(ratePerMinute) ?? 0));
    if (report.violations.length > 0) this.failed.push(report);
  }
}

export interface Run extends Circumstances {
  readonly from: number;
  readonly operations: number;
  readonly workers: number;
  readonly seconds: number;
  readonly command: string;
}

const number = (count: number) => Math.round(count).toLocaleString('en-US');
const table = (head: readonly [string, string], rows: readonly (readonly [string, number])[]) =>
  [
    `| ${head[0]} | ${head[1]} |`,
    '| --- | ---: |',
    ...rows.map(([name, count]) => `| ${name} | ${number(count)} |`),
  ].join('\n');

/** The evidence of a run, as it is kept in `docs/evidence`. */
export function evidenceOf(totals: Totals, run: Run): string {
  const { figures, faults, answers, failed, seeds } = totals;
  const operations = figures.get('operations');
  const injected = faults.entries().reduce((sum, [, count]) => sum + count, 0);
  const verdict =
    failed.length === 0
      ? 'No invariant was broken (I1 to I8, `docs/design.md` section 4).'
      : `**Invariants were broken in ${number(failed.length)} seeds:** ${failed.map(({ seed }) => seed).join(', ')}.`;
  return `# Deterministic simulation

Written by \`${run.command}\` on ${run.date}, of ${run.revision}, on ${run.machine}; ${run.workers} processes.

${number(operations)} operations of clients (their repeats included) in ${number(seeds)} seeds, from ${run.from} on, with ${number(injected)} faults. ${verdict}
It took ${number(run.seconds)} s: ${number(operations / run.seconds)} operations a second.

What is simulated, and what is not: \`test/simulation/README.md\`.

## Figures

${table(['what', 'count'], figures.entries())}

## The fullest minute

Requests that left in any sixty seconds. An instance that cannot reach the table is allowed a twentieth of its own beyond the budget.

${table(
  ['allowed a minute', 'most that left'],
  [...totals.fullest].sort(([a], [b]) => a - b).map(([rate, fullest]) => [number(rate), fullest]),
)}

## Faults

${table(['fault', 'injected'], faults.entries())}

## What clients were told

${table(['answer', 'count'], answers.entries())}
`;
}
