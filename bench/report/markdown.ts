import type { Circumstances } from '../../test/fixtures/circumstances.ts';
import { WARM_UP, YOUNG_AFTER } from '../measures/inTurn.ts';
import { type Section, type Table, verdictOf } from './figures.ts';
import { summary } from './terminal.ts';

/** The report as a page for `docs/evidence`. */
export function toMarkdown(
  sections: readonly Section[],
  { date, machine, revision, command }: Circumstances & { readonly command: string },
  charts: readonly string[] = [],
): string {
  const head = [
    '# Benchmark',
    '',
    `Written by \`${command}\` on ${date}, of ${revision}, on ${machine}. Not a test: figures differ with the machine and with what else it does.`,
    '',
    'Where time is told and 5 ms are added to every round trip to DynamoDB, the simulated table of `test/simulation/table` stands for it, which keeps the same contract as dynalite and DynamoDB Local ' +
      '(`test/contract/store`) and takes a few tenths of a millisecond at most for a request. Everywhere else it is dynalite, which takes one to two on the same processors, and counts units as DynamoDB bills them.',
    '',
    `Warm: for inject, sync, snapshot, webhook and dialog-state the instance has had ${WARM_UP.toLocaleString('en-US')} operations, of all kinds together. V8 compiles with Maglev what has been called 400 times, ` +
      `and most of a function is called once or a few times an operation. What a young instance takes, which has had ${YOUNG_AFTER}, is told beside it, without a target. A CRM event pushes to ten sessions, and 50 go before; ` +
      'storms have had 100 requests, and what grows or costs too much to be repeated so often is less warm.',
    '',
    summary(sections),
    ...charts.flatMap((file) => ['', `![${file.replace('.svg', '')}](${file})`]),
  ];
  return `${[...head, ...sections.flatMap(sectionLines)].join('\n')}\n`;
}

function sectionLines({ title, method, figures, tables = [] }: Section): string[] {
  const rows = figures.map((figure) => [
    figure.name,
    figure.value,
    figure.target?.text ?? '',
    verdictOf(figure),
    figure.remark ?? '',
  ]);
  const figureLines = rows.length === 0 ? [] : ['', ...grid(['figure', 'value', 'target', 'verdict', 'remark'], rows)];
  return ['', `## ${title}`, '', method, ...figureLines, ...tables.flatMap(tableLines)];
}

function tableLines({ caption, columns, rows }: Table): string[] {
  return ['', caption, '', ...grid(columns, rows)];
}

function grid(columns: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(columns), `|${columns.map(() => '---').join('|')}|`, ...rows.map(line)];
}
