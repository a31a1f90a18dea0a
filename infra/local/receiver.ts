// `npm run receiver`: a CRM endpoint on this machine that shows what is delivered to it, or fails as it is told to.
//
//   npm run receiver -- --status 500

import { parseArgs } from 'node:util';
import { verifyStandardWebhook } from '../../lib/events/standardWebhooks.ts';
import { LOCAL_CRM_WEBHOOK_SECRET, webhookSecretsOf } from './crmSecrets.ts';
import { eventLine, printable } from './eventLine.ts';
import { bodyOf, type LocalServer, listenOnLoopback, serverFor } from './listen.ts';

export interface ReceiverOptions {
  /** 0 = any free one. */
  readonly port: number;
  /** What deliveries are signed with; two while the secret is rotated. */
  readonly secrets: readonly string[];
  /** What every delivery is answered with. */
  readonly status: number;
  readonly print: (line: string) => void;
}

/** Verifies what is posted to it as Standard Webhooks has it, and prints a line about each. */
export async function startReceiver({ port, secrets, status, print }: ReceiverOptions): Promise<LocalServer> {
  const server = serverFor(async (request, response) => {
    const body = await bodyOf(request);
    const text = (name: string) => String(request.headers[name] ?? '');
    const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].filter((name) => name in request.headers);
    const headers = new Map(names.map((name) => [name, text(name)]));
    const verdict = verifyStandardWebhook({ headers, rawBody: Buffer.from(body, 'utf8') }, secrets, Date.now());
    const verified = verdict.ok ? 'verified' : `NOT VERIFIED (${verdict.reason})`;
    const time = new Date().toTimeString().slice(0, 8);
    const line = [time, verified, printable(text('webhook-id')), eventLine(parsed(body)), `→ ${status}`];
    print(line.filter((part) => part !== '').join('  '));
    response.writeHead(status).end();
  });
  return listenOnLoopback(server, port);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @throws an error with one sentence for people */
function statusOf(args: readonly string[]): number {
  const { values } = parseArgs({ args: [...args], options: { status: { type: 'string', default: '204' } } });
  const status = Number(values.status);
  if (Number.isInteger(status) && status >= 200 && status <= 599) return status;
  throw new Error('--status must be a number from 200 to 599.');
}

async function main(): Promise<void> {
  const env = process.env;
  const port = Number(env['RECEIVER_PORT'] || 4020);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error('RECEIVER_PORT must be a port number.');
  const secrets = webhookSecretsOf('CRM_WEBHOOK_SECRET', env['CRM_WEBHOOK_SECRET']) ?? [LOCAL_CRM_WEBHOOK_SECRET];
  const receiver = await startReceiver({ port, secrets, status: statusOf(process.argv.slice(2)), print: console.log });
  console.log(`Waiting for deliveries at ${receiver.url}. Ctrl-C ends it.`);
  const end = () => void receiver.close().then(() => process.exit(0));
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
}

if (import.meta.main) {
  main().catch((error: NodeJS.ErrnoException & { port?: number }) => {
    const isTaken = error.code === 'EADDRINUSE';
    const other = `RECEIVER_PORT=${Number(error.port) + 1} npm run receiver`;
    console.error(
      isTaken ? `Port ${error.port} is taken. End what uses it, or choose another: ${other}` : error.message,
    );
    process.exitCode = 1;
  });
}
