import { calculateMutationTestMetrics, type Metrics } from 'mutation-testing-metrics';
import type { Circumstances } from '../fixtures/circumstances.ts';

/** What Stryker's JSON reporter writes. */
export type StrykerReport = Parameters<typeof calculateMutationTestMetrics>[0];
type FileResult = StrykerReport['files'][string];
export type Mutant = FileResult['mutants'][number];

/** At least so many of a file's mutants are to be killed (percent). */
export const REQUIRED_SCORE = 90;

/** A mutant that no test notices, told apart by what stands in the source: line numbers move. */
export interface Survivor {
  /** The source line that it begins in. */
  readonly line: string;
  readonly from: string;
  readonly to: string;
}

/** Why a survivor may live, by file: the content of `survivors.json`. */
export type Reasons = Readonly<Record<string, readonly Explained[]>>;

interface Explained extends Survivor {
  readonly reason: string;
}

export interface FoundSurvivor extends Survivor {
  readonly lineNumber: number;
  /** No test runs it at all. */
  readonly isUncovered: boolean;
  readonly reason: string | undefined;
}

export interface FileScore {
  readonly file: string;
  readonly metrics: Metrics;
  readonly survivors: readonly FoundSurvivor[];
}

export interface MutationResult {
  readonly total: Metrics;
  /** Worst first. */
  readonly files: readonly FileScore[];
  /** Reasons for what does not survive any more, as `file: line`. */
  readonly outdated: readonly string[];
}

/** Brings Stryker's report and the reasons for its survivors together. Files in which there is nothing to mutate are left out. */
export function resultOf(report: StrykerReport, reasons: Reasons): MutationResult {
  const metricsOf = (files: StrykerReport['files']) =>
    calculateMutationTestMetrics({ ...report, files }).systemUnderTestMetrics.metrics;
  const files = Object.entries(report.files)
    .map(([file, result]) => ({
      file,
      metrics: metricsOf({ [file]: result }),
      survivors: result.mutants
        .filter(({ status }) => status === 'Survived' || status === 'NoCoverage')
        .map((mutant) => foundIn(result, mutant, reasons[file] ?? [])),
    }))
    .filter(({ metrics }) => metrics.totalValid > 0);
  const outdated = files.flatMap(({ file, survivors }) =>
    (reasons[file] ?? [])
      .filter((one) => !survivors.some((other) => isSame(one, other)))
      .map(({ line }) => `${file}: ${line}`),
  );
  return {
    total: metricsOf(report.files),
    files: files.sort((a, b) => a.metrics.mutationScore - b.metrics.mutationScore || (a.file < b.file ? -1 : 1)),
    outdated,
  };
}

/** What keeps the result from being good enough, as sentences; none when it is. */
export function shortcomingsOf({ total, files, outdated }: MutationResult): string[] {
  return [
    ...(total.pending > 0 ? [`${total.pending} mutants have not been run`] : []),
    ...files
      .filter(({ metrics }) => metrics.mutationScore < REQUIRED_SCORE)
      .map(({ file, metrics }) => `${file}: only ${percent(metrics.mutationScore)} killed`),
    ...files.flatMap(({ file, survivors }) =>
      survivors
        .filter(({ reason }) => reason === undefined)
        .map((one) => `${file}:${one.lineNumber} survives without a reason`),
    ),
    ...outdated.map((one) => `a reason for what no longer survives: ${one}`),
  ];
}

/** The result as a page for `docs/evidence`. */
export function toMarkdown(
  result: MutationResult,
  { date, machine, revision, command }: Circumstances & { readonly command: string },
): string {
  const { total, files, outdated } = result;
  const survivors = files.reduce((sum, file) => sum + file.survivors.length, 0);
  const unexplained = files.reduce((sum, file) => sum + file.survivors.filter((one) => !one.reason).length, 0);
  return `${[
    '# Mutation testing',
    '',
    `Written by \`${command}\` on ${date}, of ${revision}, on ${machine}. Stryker changes the rules in one place at a time and runs the unit tests that reach it; not part of \`npm test\`.`,
    '',
    `${percent(total.mutationScore)} of ${total.totalValid} mutants killed or timed out; at least ${REQUIRED_SCORE} % are wanted of every file. ${survivors} live on, ${unexplained} of them without a reason.`,
    ...withoutResult(total).map((sentence) => `\n${sentence}`),
    ...outdated.map((one) => `\nA reason for what no longer survives: ${one}`),
    '',
    '| file | mutants | killed | timed out | survived | no coverage | score |',
    '|---|---|---|---|---|---|---|',
    ...files.map(({ file, metrics }) => row(`\`${file}\``, metrics)),
    row('all', total),
    ...files.filter((file) => file.survivors.length > 0).flatMap(survivorLines),
  ].join('\n')}\n`;
}

/** Mutants of which there is no saying whether a test would notice, as sentences. */
function withoutResult({ pending, ignored, totalInvalid }: Metrics): string[] {
  return [
    ...(pending > 0 ? [`**Not complete:** ${pending} more have not been run.`] : []),
    ...(ignored > 0 ? [`${ignored} more were left out.`] : []),
    ...(totalInvalid > 0 ? [`With ${totalInvalid} more a module could not even be loaded.`] : []),
  ];
}

function row(name: string, { totalValid, killed, timeout, survived, noCoverage, mutationScore }: Metrics): string {
  return `| ${[name, totalValid, killed, timeout, survived, noCoverage, percent(mutationScore)].join(' | ')} |`;
}

function survivorLines({ file, survivors }: FileScore): string[] {
  return [
    '',
    `## ${file}`,
    '',
    ...survivors.map(
      ({ lineNumber, line, from, to, isUncovered, reason }) =>
        `- ${lineNumber}, ${code(line)}: ${code(from)} → ${code(to)}${isUncovered ? ' (no coverage)' : ''}. ${reason ?? '**No reason yet.**'}`,
    ),
  ];
}

function foundIn({ source }: FileResult, mutant: Mutant, reasons: readonly Explained[]): FoundSurvivor {
  const { start, end } = mutant.location;
  const lines = source.split('\n').slice(start.line - 1, end.line);
  const lastLine = lines.at(-1) ?? '';
  const text = lines.join('\n');
  // Columns count from 1.
  const from = text.slice(start.column - 1, text.length - lastLine.length + end.column - 1);
  const survivor = { line: inOneLine(lines[0] ?? ''), from: inOneLine(from), to: inOneLine(mutant.replacement ?? '') };
  return {
    ...survivor,
    lineNumber: start.line,
    isUncovered: mutant.status === 'NoCoverage',
    reason: reasons.find((one) => isSame(one, survivor))?.reason,
  };
}

function isSame(a: Survivor, b: Survivor): boolean {
  return a.line === b.line && a.from === b.from && a.to === b.to;
}

function inOneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

const CODE_LIMIT = 100;

/** In Markdown, with a fence that the text itself does not hold. */
function code(text: string): string {
  const short = text.length > CODE_LIMIT ? `${text.slice(0, CODE_LIMIT)}…` : text;
  if (short === '') return 'nothing';
  return short.includes('`') ? `\`\` ${short} \`\`` : `\`${short}\``;
}

function percent(score: number): string {
  return `${score.toFixed(1)} %`;
}
