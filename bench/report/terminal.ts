import { type Figure, type Section, type Table, verdictOf } from './figures.ts';

/** The report as text, one figure a line. */
export function toText(sections: readonly Section[]): string {
  return sections.map(sectionText).join('\n\n');
}

function sectionText({ title, method, figures, tables = [] }: Section): string {
  const rows = figures.map((figure) => [figure.name, figure.value, targetText(figure), verdictOf(figure)]);
  const lines = aligned(rows).map((row, index) => `  ${[...row, figures[index]?.remark ?? ''].join('  ').trimEnd()}`);
  const figureLines = lines.length === 0 ? [] : ['', ...lines];
  return [title, `  ${method}`, ...figureLines, ...tables.flatMap(tableLines)].join('\n');
}

function tableLines({ caption, columns, rows }: Table): string[] {
  const lines = aligned([columns, ...rows]).map((row) => `  ${row.join('   ').trimEnd()}`);
  return ['', `  ${caption}`, '', ...lines];
}

/** Every column as wide as its widest cell. */
function aligned(rows: readonly (readonly string[])[]): string[][] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)));
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
