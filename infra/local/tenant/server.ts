import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, problem } from './messages.ts';
import { createTenant, type Tenant, type TenantOptions } from './tenant.ts';

/** Above every limit of a surface, so that the surface says what was too large. */
const MAX_BODY_BYTES = 8_388_608;
/** Longer than any pause in a test: a client's idle connection must not be cut by accident when resets are what is tested. */
const KEEP_ALIVE_MS = 120_000;

export interface TenantServerOptions extends TenantOptions {
  /** 0 or absent = any free port. */
  readonly port?: number;
}

export interface TenantServer {
  /** Without a slash at the end: the `COGNIGY_BASE_URL`. */
  readonly url: string;
  readonly port: number;
  readonly tenant: Tenant;
  /** Cuts all connections, also those that are waiting for an answer, and gives the port back. */
  close(): Promise<void>;
}

/**
 * Starts a simulated tenant on 127.0.0.1.
 *
 * @throws Error when the port is taken
 * @example
 * const { url, tenant, close } = await startTenantServer({ settings: { latencyMs: 20 } });
 */
export async function startTenantServer({ port = 0, ...options }: TenantServerOptions = {}): Promise<TenantServer> {
  const tenant = createTenant(options);
  const closing = new AbortController();
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (incoming, response) => {
    respond(tenant, incoming, response, closing.signal).catch((error: unknown) => fail(response, error));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server listens on no port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    tenant,
    close: () =>
      new Promise((resolve) => {
        closing.abort();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(
  tenant: Tenant,
  incoming: IncomingMessage,
  response: ServerResponse,
  closing: AbortSignal,
): Promise<void> {
  const body = await readBody(incoming);
  if (body === undefined) {
    return send(response, problem({ status: 413, code: 'payload-too-large', detail: 'The body is far too large.' }));
  }
  const outcome = tenant.handle({
    method: incoming.method ?? 'GET',
    path: incoming.url ?? '/',
    headers: Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, value?.toString()])),
    body,
  });
  if (outcome.delayMs > 0) await sleep(outcome.delayMs, undefined, { signal: closing });
  if (outcome.kind === 'reset') incoming.socket.resetAndDestroy();
  else send(response, outcome.answer);
}

/** Reads a body to its end, so that the connection can be used again; undefined when it is larger than anything asked of the tenant. */
async function readBody(incoming: IncomingMessage): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of incoming) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return bytes <= MAX_BODY_BYTES ? Buffer.concat(chunks) : undefined;
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const length = status === 204 ? {} : { 'content-length': Buffer.byteLength(body) }; // RFC 9110, 8.6
  response.writeHead(status, { ...headers, ...length });
  response.end(body);
}

/** A client that went away or a server that is closing is no news; anything else is a defect of the tenant and has to be seen. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.socket === null || response.socket.destroyed) return;
  console.error('simulated tenant:', error);
  send(response, problem({ status: 500, code: 'simulator-defect', detail: String(error) }));
}
