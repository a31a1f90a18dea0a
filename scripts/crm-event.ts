// npm run -s crm:event -- <source>: signs an event as a CRM would, and sends it to the stack that runs here.
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { CrmSource } from '../lib/context/crmSource.ts';
import type { JsonObject } from '../lib/context/json.ts';
import { treeOf } from '../lib/context/leaves.ts';
import { signCrmCall } from '../lib/events/crmSignatures.ts';
import { CrmSourcesFileError, readCrmSources } from './build.ts';

const USAGE =
  "usage: npm run -s crm:event -- <source> [--data '<JSON>'] [--secret <secret>] [--base-url http://127.0.0.1:3000] [--print]";

/** What the local stack starts with (SPEC 9). */
const LOCAL_SECRETS: Readonly<Record<string, string>> = { generic: 'whsec_bG9jYWwtZGV2LXNlY3JldA==' };

/** The command was called wrongly, or nobody was there to be called. Its message is one sentence for people. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** An event as the source would send it: the first mapping's, of a record `ACC-1`, occurring now. */
function exampleOf({ eventId, recordId, occurredAt, mapping: [first] }: CrmSource): JsonObject {
  return treeOf([
    { path: eventId, value: `evt_${randomUUID()}` },
    { path: recordId, value: 'ACC-1' },
    { path: occurredAt, value: new Date().toISOString() },
    ...Object.entries(first?.when ?? {}).map(([path, value]) => ({ path, value })),
    ...(first === undefined ? [] : [{ path: first.from, value: 'gold' }]),
  ]);
}

interface Call {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Shown, not sent. */
  readonly isPrinted: boolean;
}

/** @throws {UsageError} */
async function readCall(args: readonly string[]): Promise<Call> {
  const { values, positionals } = parsed(args);
  const sources = await readCrmSources();
  const [name = '', ...more] = positionals;
  const source = sources.get(name);
  if (source === undefined || more.length > 0) {
    throw new UsageError(`Name one source (${[...sources.keys()].join(', ')}); ${USAGE}`);
  }
  const secret = values.secret ?? LOCAL_SECRETS[name];
  if (!secret) throw new UsageError(`Say with --secret what ${name} signs with.`);
  const body = values.data ?? JSON.stringify(exampleOf(source));
  if (!isJson(body)) throw new UsageError('What --data gives is not JSON.');
  const base = values['base-url'];
  if (!/^https?:$/.test(URL.parse(base)?.protocol ?? '')) throw new UsageError('--base-url must be an http(s) URL.');
  const url = `${base.replace(/\/+$/, '')}/v1/webhooks/crm/${name}`;

  const call = { method: 'POST', url, rawBody: Buffer.from(body, 'utf8') };
  try {
    const signed = signCrmCall(source, call, secret, { nowMs: Date.now(), messageId: `msg_${randomUUID()}` });
    return { url, body, headers: { 'content-type': 'application/json', ...signed }, isPrinted: values.print };
  } catch {
    // Only Standard Webhooks have a form for secrets.
    throw new UsageError('What --secret gives is not whsec_ and base64.');
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        secret: { type: 'string' },
        'base-url': { type: 'string', default: 'http://127.0.0.1:3000' },
        print: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}; ${USAGE}`);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The call as a command for a POSIX shell. */
function curlOf({ url, headers, body }: Call): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const given = Object.entries(headers).map(([header, value]) => `  -H ${quoted(`${header}: ${value}`)}`);
  return [`curl -si ${quoted(url)}`, ...given, `  --data-binary ${quoted(body)}`].join(' \\\n');
}

/** @throws {UsageError} where nothing answers. */
async function send({ url, headers, body }: Call): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual' }).catch(() => {
    throw new UsageError(`Nothing answers at ${url}: npm start brings the stack up.`);
  });
  console.log(`${response.status} ${response.statusText}`.trim());
  console.log(await response.text());
  if (!response.ok) process.exitCode = 1;
}

if (import.meta.main) {
  try {
    const call = await readCall(process.argv.slice(2));
    if (call.isPrinted) console.log(curlOf(call));
    else await send(call);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof CrmSourcesFileError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
