import type { Circumstances } from '../../fixtures/circumstances.ts';
import type { RunReport } from '../run.ts';
import { type Figure, figuresOf } from './figures.ts';

/** The report for a terminal: figures, and everything that does not balance. */
export function toText(report: RunReport): string {
  const lines = figuresOf(report).map(
    (figure) =>
      `${figure.name.padEnd(50)} ${figure.value.padStart(12)}  ${[verdictOf(figure), figure.remark].join('  ')}`,
  );
  const findings = report.findings.map(({ rule, what }) => `  ${rule}: ${what}`);
  return [...lines, '', ...findings, summaryOf(report)].join('\n');
}

/** The report as a page for `docs/evidence`. */
export function toMarkdown(
  report: RunReport,
  { date, machine, revision, command }: Circumstances & { readonly command: string },
): string {
  const { clients, customers, thinkMs, ratePerMinute, seed } = report.options;
  const rows = figuresOf(report).map(
    (figure) =>
      `| ${[figure.name, figure.value, figure.target?.text ?? '', verdictOf(figure), figure.remark ?? ''].join(' | ')} |`,
  );
  return `${[
    '# Restarts',
    '',
    `Written by \`${command}\` on ${date}, of ${revision}, on ${machine}. ${summaryOf(report)}`,
    '',
    `\`npm start\` with a \`DATA_DIR\` is killed with \`SIGKILL\`, its whole process group, at random moments (seed ${seed}), and started again on the same data and port. ${clients} clients go on meanwhile, over ${2 * customers} sessions, with ${thinkMs} ms between two requests on average: injects in all scopes, some with a ttl, syncs, changes of dialogs with transitions, signed messages, signed events of a CRM, and now and then somebody who puts something into a session of his own and has it erased. Three in four repeat a request that got no answer, with the same idempotency key; the CRM and the messaging endpoint always do. Tenant and receiver are processes of their own, which live on. The budget is ${ratePerMinute} requests a minute, at the bridge and at the tenant. Every value tells by which request it was put, so that what the tenant has been sent and holds at the end can be compared with what was answered and what the audit trails say (\`test/kill/accounting\`).`,
    '',
    '| figure | value | target | verdict | remark |',
    '|---|---|---|---|---|',
    ...rows,
    ...(report.findings.length > 0 ? ['', '## What does not balance', ''] : []),
    ...report.findings.map(({ rule, what }) => `- ${rule}: ${what}`),
  ].join('\n')}\n`;
}

function verdictOf({ target }: Figure): string {
  if (target === undefined) return '';
  return target.isMet ? 'met' : 'MISSED';
}

function summaryOf({ findings, kills }: RunReport): string {
  const underLoad = kills.filter(({ from }) => from === 'under-load').length;
  const restarts = `${underLoad} restarts by SIGKILL under load`;
  if (findings.length === 0) return `${restarts}: every acknowledged operation is accounted for.`;
  return `${restarts}: ${findings.length} findings.`;
}
