import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { NewFault } from '../../infra/local/tenant/faults.ts';
import type { SettingsPatch } from '../../infra/local/tenant/settings.ts';
import { createTenant, type Tenant } from '../../infra/local/tenant/tenant.ts';
import type { JsonObject } from '../../lib/context/json.ts';
import type { ContextDecision } from '../../lib/operations/ports/cognigy.ts';
import { systemClock } from '../../lib/platform/clock.ts';
import { createRandom } from '../../lib/platform/random.ts';
import { Governor } from '../../lib/upstream/governor.ts';
import { createNodeFetch } from '../../lib/upstream/nodeFetch.ts';
import { createSessionApi } from '../../lib/upstream/session-api/index.ts';
import { MemoryRateStore } from '../fixtures/upstream/memoryRateStore.ts';
import { MemoryTokenStore } from '../fixtures/upstream/memoryTokenStore.ts';

/** The dialect over the bridge's own `fetch`, real sockets and the real clock: what a scripted network cannot prove. */
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

const issueToken: Handler = (_request, _body, response) =>
  answer(response, 200, { access_token: 'tok', token_type: 'Bearer' });

async function start(api: Handler, tokens = issueToken) {
  const seen: { method: string; url: string; body: string; headers: IncomingMessage['headers'] }[] = [];
  const baseUrl = await listen((request, body, response) => {
    const { method = '', url = '', headers } = request;
    if (url.endsWith('/oauth/token')) {
      tokens(request, body, response);
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
    fetch: createNodeFetch(),
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
  const call = () => ({ deadlineMs: Date.now() + 5_000, correlationId: 'corr-1' });
  return { seen, port, call };
}

async function prepare(api: Handler) {
  const { seen, port, call } = await start(api);
  const variables = [{ key: 'k', value: 'Zürich 🚀', scope: 'session' as const }];
  const inject = () => port.inject({ sessionId: 'a:b', variables }, call());
  return { seen, inject, bytes: port.injectBytes({ variables }) };
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

/** The simulated tenant behind a socket of ours, so that the bytes can be looked at. */
const asTenant =
  (tenant: Tenant): Handler =>
  (request, body, response) => {
    const { method = '', url = '', headers } = request;
    const flat = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value?.toString()]));
    const outcome = tenant.handle({ method, path: url, headers: flat, body });
    if (outcome.kind === 'reset') request.socket.resetAndDestroy();
    else response.writeHead(outcome.answer.status, outcome.answer.headers).end(outcome.answer.body);
  };

async function prepareSync(settings: SettingsPatch = {}) {
  const tenant = createTenant({ settings });
  tenant.sessions.create({ sessionId: 'a:b', variables: [{ key: 'theirs', value: 'Zürich 🚀' }] });
  const { seen, port, call } = await start(asTenant(tenant), asTenant(tenant));
  /** Puts `ours: 1` on top of what the bot has, unless it has that already; meanwhile the test may do something. */
  const replace = (meanwhile: () => unknown = () => {}) =>
    port.replaceContext(
      {
        sessionId: 'a:b',
        merge: async (theirs = {}) => {
          await meanwhile();
          return theirs['ours'] === 1 ? { kind: 'leave' } : put({ ...theirs, ours: 1 });
        },
      },
      call(),
    );
  const onPut = (action: NewFault['action'], more: Partial<NewFault> = {}) =>
    tenant.faults.add({ match: { surface: 'sync', method: 'PUT' }, action, ...more });
  const held = () => tenant.sessions.inspect('a:b');
  return { tenant, seen, port, call, replace, onPut, held };
}

const put = (context: JsonObject): ContextDecision => ({ kind: 'put', context });

describe('The whole context on a real wire, with the simulated tenant', () => {
  it('is read and written with exactly these bytes', async () => {
    const { seen, replace, held } = await prepareSync();
    expect(await replace()).toEqual({ kind: 'confirmed', result: {}, attempts: 2, upstreamStatus: 200 });

    const [read, write, ...more] = seen;
    const headers = { accept: 'application/json', 'content-type': 'application/json', 'x-correlation-id': 'corr-1' };
    const body = '{"theirs":"Zürich 🚀","ours":1}';
    expect(more).toEqual([]);
    expect(read).toMatchObject({ method: 'GET', url: '/api/v1/sessions/a%3Ab/context', body: '', headers });
    expect(read?.headers).not.toHaveProperty('if-match');
    expect(write).toMatchObject({
      method: 'PUT',
      url: '/api/v1/sessions/a%3Ab/context',
      body,
      headers: { ...headers, 'if-match': '"1"', 'content-length': String(Buffer.byteLength(body)) },
    });
    expect(write?.headers.authorization).toMatch(/^Bearer token-/);
    expect(held()).toMatchObject({ version: 2, context: { theirs: 'Zürich 🚀', ours: 1 } });
  });

  it('asks for a token of its own, with nothing but its own scope', async () => {
    const { tenant, replace } = await prepareSync();
    await replace();
    expect(tenant.journal.entries({ surface: 'token' })).toMatchObject([
      { path: '/oauth/token', body: { scope: 'cognigy:context:readwrite' }, status: 200 },
    ]);
  });

  it.each([
    ['weak', 'W/"1"'],
    ['none', undefined],
  ] as const)('with ETags that are %s, says If-Match: %s', async (syncEtags, expected) => {
    const { seen, replace } = await prepareSync({ syncEtags });
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 2 });
    expect(seen.map(({ headers }) => headers['if-match'])).toEqual([undefined, expected]);
  });

  it('hands back an ETag with bytes beyond ASCII as it came', async () => {
    const { seen, port, call } = await start((request, _body, response) =>
      answer(response, 200, {}, request.method === 'GET' ? { etag: 'W/"\u00e9\u00ff"' } : {}),
    );
    await port.replaceContext({ sessionId: 'a:b', merge: async () => put({}) }, call());
    expect(seen[1]?.headers['if-match']).toBe('W/"\u00e9\u00ff"');
  });

  it('SCENARIO 30: a context of 1 MiB goes there and back byte for byte', async () => {
    const { seen, port, call, tenant, held } = await prepareSync();
    const context = { text: 'ü€🚀\u2028"\\'.repeat(70_000) };
    tenant.sessions.changeAsBot('a:b', { variables: [{ key: 'text', value: context.text }], remove: [] });
    const merge = async (theirs?: JsonObject) => put({ ...theirs, more: 1 });
    expect(await port.replaceContext({ sessionId: 'a:b', merge }, call())).toMatchObject({ kind: 'confirmed' });
    expect(Buffer.byteLength(seen[1]?.body ?? '')).toBeGreaterThan(1_048_576);
    expect(seen[1]?.body).toBe(JSON.stringify({ theirs: 'Zürich 🚀', ...context, more: 1 }));
    expect(held()?.context).toEqual({ theirs: 'Zürich 🚀', ...context, more: 1 });
  });

  it('SCENARIO 21: keeps what the bot has changed between read and write', async () => {
    const { tenant, replace, held } = await prepareSync();
    let turns = 0;
    const botSpeaksTwice = () => {
      turns += 1;
      if (turns <= 2) tenant.sessions.changeAsBot('a:b', { variables: [{ key: 'turn', value: turns }] });
    };
    expect(await replace(botSpeaksTwice)).toMatchObject({ kind: 'confirmed', attempts: 6 });
    expect(held()?.context).toEqual({ theirs: 'Zürich 🚀', turn: 2, ours: 1 });
  });

  it.each([409, 412])('SCENARIO 21: ends in a conflict when it is answered %i each time', async (status) => {
    const { replace, onPut, held } = await prepareSync();
    onPut({ status }, { times: 0 });
    expect(await replace()).toMatchObject({ kind: 'refused', code: 'conflict', paths: ['/ours'], attempts: 8 });
    expect(held()?.version).toBe(1);
  });

  it('SCENARIO 10: a write that took effect, and whose answer was lost, is confirmed and made once', async () => {
    const { seen, replace, onPut, held } = await prepareSync();
    onPut({ reset: 'after' });
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 4 });
    expect(seen.map(({ method }) => method)).toEqual(['GET', 'PUT', 'PUT', 'GET']);
    expect(held()).toMatchObject({ version: 2, context: { ours: 1 } });
  });

  it('SCENARIO 10: a write that did not take effect is made by the next try', async () => {
    const { replace, onPut, held } = await prepareSync();
    onPut({ reset: 'before' });
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 3 });
    expect(held()).toMatchObject({ version: 2, context: { ours: 1 } });
  });

  it.each([
    ['204', { status: 204, applied: true }],
    ['200 without a body', { malformed: 'empty' }],
  ] as const)('is confirmed by %s', async (_what, action) => {
    const { replace, onPut } = await prepareSync();
    onPut(action);
    expect(await replace()).toMatchObject({ kind: 'confirmed', attempts: 2 });
  });

  it.each(['html', 'truncated', 'wrong-shape'] as const)('SCENARIO 22: is not confirmed by %s', async (malformed) => {
    const { replace, onPut } = await prepareSync();
    onPut({ malformed });
    expect(await replace()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', attempts: 2 });
  });

  it.each(['html', 'truncated', 'wrong-shape', 'empty'] as const)(
    'SCENARIO 22: is not written over what was read as %s',
    async (malformed) => {
      const { tenant, replace, held } = await prepareSync();
      tenant.faults.add({ match: { surface: 'sync', method: 'GET' }, action: { malformed } });
      expect(await replace()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', attempts: 1 });
      expect(held()?.version).toBe(1);
    },
  );

  it('SCENARIO 18: goes on with a new token when all were revoked between read and write', async () => {
    const { tenant, replace } = await prepareSync();
    expect(await replace(() => tenant.tokens.revokeAll())).toMatchObject({ kind: 'confirmed', attempts: 3 });
  });

  it('SCENARIO 20: says that the session has ended', async () => {
    const { tenant, replace } = await prepareSync();
    tenant.sessions.end('a:b');
    expect(await replace()).toMatchObject({ kind: 'refused', code: 'session-ended', upstreamStatus: 404 });
  });
});

describe('What the bot is to forget, with the simulated tenant', () => {
  it('is gone from its own scope and nowhere else, also when it is sent twice', async () => {
    const { tenant, port, call, held } = await prepareSync();
    const otp = { key: 'otp', value: '1234' };
    const variables = [otp, { ...otp, scope: 'user' as const }];
    tenant.sessions.changeAsBot('a:b', { variables });
    const expired = [{ key: 'otp', scope: 'user' as const, expiresAtMs: Date.now() - 1 }];
    for (let time = 0; time < 2; time += 1) {
      const result = await port.inject({ sessionId: 'a:b', variables: [], expired }, call());
      expect(result).toMatchObject({ kind: 'confirmed', attempts: 1 });
      expect(held()?.variables.map(({ key, scope }) => `${scope}:${key}`)).toEqual(['session:otp', 'session:theirs']);
    }
  });
});
