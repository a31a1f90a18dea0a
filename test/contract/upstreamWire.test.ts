import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/platform/clock.ts';
import { createRandom } from '../../lib/platform/random.ts';
import { Governor } from '../../lib/upstream/governor.ts';
import { createSessionApi } from '../../lib/upstream/session-api/index.ts';
import { MemoryRateStore } from '../fixtures/upstream/memoryRateStore.ts';
import { MemoryTokenStore } from '../fixtures/upstream/memoryTokenStore.ts';

/** The dialect over the platform's real `fetch`, real sockets and the real clock: what a scripted network cannot prove. */
type Handler = (request: IncomingMessage, body: string, response: ServerResponse) => void;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listen(handler: Handler): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    handler(request, Buffer.concat(chunks).toString('utf8'), response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}

const answer = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

async function prepare(api: Handler) {
  const seen: { method: string; url: string; body: string; headers: IncomingMessage['headers'] }[] = [];
  const baseUrl = await listen((request, body, response) => {
    const { method = '', url = '', headers } = request;
    if (url === '/api/v2/oauth/token') {
      answer(response, 200, { access_token: 'tok', token_type: 'Bearer' });
      return;
    }
    seen.push({ method, url, body, headers });
    api(request, body, response);
  });
  const random = createRandom();
  const port = createSessionApi({
    baseUrl,
    credentials: async () => ({ clientId: 'client', clientSecret: 'secret' }),
    tokenKey: (surface) => surface,
    fetch,
    clock: systemClock,
    random,
    tokenStore: new MemoryTokenStore(),
    governor: new Governor({
      store: new MemoryRateStore(),
      cell: 'tenant',
      ratePerMinute: 6_000,
      burst: 20,
      clock: systemClock,
      random,
    }),
    requestTimeoutMs: 300,
  });
  const variables = [{ key: 'k', value: 'Zürich 🚀', scope: 'session' as const }];
  const inject = () =>
    port.inject({ sessionId: 'a:b', variables }, { deadlineMs: Date.now() + 5_000, correlationId: 'corr-1' });
  return { seen, inject, bytes: port.injectBytes(variables) };
}

const confirm: Handler = (_request, _body, response) => answer(response, 200, { sessionId: 'a:b', variables: {} });

describe('The session-api dialect on a real wire', () => {
  it('sends the bytes it counted, to the encoded path, with the contract’s headers', async () => {
    const { seen, inject, bytes } = await prepare(confirm);
    expect(await inject()).toMatchObject({ kind: 'confirmed', attempts: 1 });
    const [put] = seen;
    expect(put).toMatchObject({ method: 'PUT', url: '/api/v2/sessions/a%3Ab/context' });
    expect(put?.headers).toMatchObject({
      authorization: 'Bearer tok',
      accept: 'application/json',
      'content-type': 'application/json',
      'content-length': String(bytes),
      'x-correlation-id': 'corr-1',
    });
  });

  it('SCENARIO 23: does not follow a redirect to another host, nor send it anything', async () => {
    let asked = 0;
    const elsewhere = await listen((_request, _body, response) => {
      asked += 1;
      answer(response, 200, { variables: {} });
    });
    const { inject } = await prepare((_request, _body, response) =>
      answer(response, 307, {}, { location: `${elsewhere}/api/v2/sessions/a/context` }),
    );
    expect(await inject()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', upstreamStatus: 307 });
    expect(asked).toBe(0);
  });

  it('SCENARIO 22: an answer that breaks off is not a success', async () => {
    const { inject } = await prepare((_request, _body, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"variables":{', () => response.destroy());
    });
    expect(await inject()).toMatchObject({ kind: 'unavailable', reason: 'down', outcomeUnknown: true });
  });

  it('survives connections that die under it', async () => {
    let requests = 0;
    const { inject } = await prepare((request, body, response) => {
      requests += 1;
      if (requests === 1) request.socket.resetAndDestroy();
      else confirm(request, body, response);
    });
    expect(await inject()).toMatchObject({ kind: 'confirmed', attempts: 2 });
  });

  it('SCENARIO 10: no answer in time is a timeout with an unknown outcome', async () => {
    const { inject, seen } = await prepare(() => {});
    expect(await inject()).toMatchObject({ kind: 'unavailable', reason: 'timeout', outcomeUnknown: true, attempts: 3 });
    expect(seen).toHaveLength(3);
  });

  it('nobody listens any more: down after three tries', async () => {
    const { inject } = await prepare(confirm);
    await inject(); // warms the token
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    const result = await inject();
    expect(result).toMatchObject({ kind: 'unavailable', reason: 'down', attempts: 3 });
  });
});
