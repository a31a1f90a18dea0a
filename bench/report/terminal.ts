import { type Figure, type Section, verdictOf } from './figures.ts';

/** The report as text, one figure a line. */
export function toText(sections: readonly Section[]): string {
  return sections.map(sectionText).join('\n\n');
}

function sectionText({ title, method, figures }: Section): string {
  const rows = figures.map((figure) => [figure.name, figure.value, targetText(figure), verdictOf(figure)]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row, index) => {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    return `  ${[...cells, figures[index]?.remark ?? ''].join('  ').trimEnd()}`;
  });
  return [title, `  ${method}`, '', ...lines].join('\n');
}

function targetText({ target }: Figure): string {
  return target === undefined ? '' : `(${target.text})`;
}

/** One line that says what was missed, or that nothing was. */
export function summary(sections: readonly Section[]): string {
  const promised = sections.flatMap(({ figures }) => figures).filter(({ target }) => target !== undefined);
  const missed = promised.filter((figure) => verdictOf(figure) === 'MISSED');
  if (missed.length === 0) return `All ${promised.length} targets met.`;
  return `${missed.length} of ${promised.length} targets MISSED: ${missed.map(({ name }) => name).join('; ')}.`;
}
