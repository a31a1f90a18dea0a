import { type Section, verdictOf } from './figures.ts';
import { summary } from './terminal.ts';

export interface Circumstances {
  readonly date: string;
  readonly machine: string;
  readonly command: string;
}

/** The report as a page for `docs/evidence`. */
export function toMarkdown(sections: readonly Section[], { date, machine, command }: Circumstances): string {
  const head = [
    '# Benchmark',
    '',
    `Written by \`${command}\` on ${date}, on ${machine}. Not a test: figures differ with the machine and with what else it does.`,
    '',
    summary(sections),
  ];
  return `${[...head, ...sections.flatMap(sectionLines)].join('\n')}\n`;
}

function sectionLines({ title, method, figures }: Section): string[] {
  const rows = figures.map(
    (figure) =>
      `| ${[figure.name, figure.value, figure.target?.text ?? '', verdictOf(figure), figure.remark ?? ''].join(' | ')} |`,
  );
  return [
    '',
    `## ${title}`,
    '',
    method,
    '',
    '| figure | value | target | verdict | remark |',
    '|---|---|---|---|---|',
    ...rows,
  ];
}
