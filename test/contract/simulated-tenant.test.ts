import { once } from 'node:events';
import { Agent, request } from 'node:http';
import * as oauth from 'oauth4webapi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTenantServer, type TenantServer } from '../../infra/local/tenant/server.ts';
import { type SessionSurface, SURFACE_SCOPES } from '../../infra/local/tenant/surface-table.ts';

let server: TenantServer;
beforeEach(async () => {
  server = await startTenantServer();
});
afterEach(() => server.close());

const SYNC = '/api/v1/sessions/s1/context';

function call(
  surface: SessionSurface,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const token = server.tenant.tokens.issue(SURFACE_SCOPES[surface], 900);
  return fetch(server.url + path, {
    method,
    redirect: 'manual',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

function admin(method: string, path: string, body?: unknown) {
  return fetch(`${server.url}/__admin/${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
}

describe('Simulated tenant over HTTP', () => {
  it.each([
    ['client_secret_post', oauth.ClientSecretPost('secret')],
    ['client_secret_basic', oauth.ClientSecretBasic('secret')],
  ])('gives oauth4webapi a token by %s that opens the surface', async (_, authenticate) => {
    // Prepare
    const issuer = { issuer: server.url, token_endpoint: `${server.url}/oauth/token` };
    const client = { client_id: 'client' };
    const scope = 'runtime:write session:manage dialog:read';

    // Act
    const response = await oauth.clientCredentialsGrantRequest(
      issuer,
      client,
      authenticate,
      { scope },
      {
        [oauth.allowInsecureRequests]: true,
      },
    );
    const { access_token, expires_in } = await oauth.processClientCredentialsResponse(issuer, client, response);
    const state = await fetch(`${server.url}/runtime/v2/dialogs/s1/state`, {
      headers: { authorization: `Bearer ${access_token}` },
    });

    // Assess
    expect(expires_in).toBe(900);
    expect(await state.json()).toEqual({ session: {}, user: {}, version: 1 });
    expect(state.headers.get('etag')).toBe('"1"');
  });

  it('shows on one surface what another wrote', async () => {
    await call('sync', 'PUT', SYNC, { name: 'Zoë' });
    const snapshot = await call('snapshot', 'GET', '/api/v2/botsessions/s1/variables?name=name');
    expect(await snapshot.json()).toEqual({ variables: [{ name: 'name', value: 'Zoë', scope: 'session' }] });
  });

  it.each([
    ['before', {}],
    ['after', { a: 1 }],
  ])('cuts the connection %s the change', async (reset, context) => {
    await admin('POST', 'faults', { action: { reset } });
    await expect(call('sync', 'PUT', SYNC, { a: 1 })).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
    expect(await (await call('sync', 'GET', SYNC)).json()).toEqual(context);
  });

  it.each(['html', 'truncated', 'wrong-shape', 'empty'])('answers 200 with a body that is %s', async (malformed) => {
    await admin('POST', 'faults', { action: { malformed } });
    const answer = await call('sync', 'PUT', SYNC, { a: 1 });
    expect(answer.status).toBe(200);
    const isContext = await answer.json().then(
      (json) => !Array.isArray(json),
      () => false,
    );
    expect(isContext).toBe(false);
  });

  it.each([
    ['strong', '"1"', '"2"'],
    ['weak', 'W/"1"', 'W/"2"'],
    ['none', null, null],
  ])('labels whole contexts with ETags that are %s', async (syncEtags, before, after) => {
    await admin('PATCH', 'settings', { syncEtags });
    const read = await call('sync', 'GET', SYNC);
    const write = await call('sync', 'PUT', SYNC, { a: 1 }, before === null ? {} : { 'if-match': before });
    const stale = await call('sync', 'PUT', SYNC, { a: 2 }, { 'if-match': '"1"' });
    expect([read, write, stale].map(({ status, headers }) => [status, headers.get('etag')])).toEqual([
      [200, before],
      [200, after],
      [412, after],
    ]);
  });

  it('sends a redirect', async () => {
    await admin('POST', 'faults', { action: { redirectTo: 'http://elsewhere.example/' } });
    const answer = await call('sync', 'GET', SYNC);
    expect([answer.status, answer.headers.get('location')]).toEqual([307, 'http://elsewhere.example/']);
  });

  it('holds a late answer back although the change is made', async () => {
    await admin('POST', 'faults', { action: { delayMs: 600_000 } });
    const late = call('sync', 'PUT', SYNC, { a: 1 });
    const ended = expect(late).rejects.toThrow('fetch failed');
    await expect.poll(() => server.tenant.sessions.inspect('s1')?.context).toEqual({ a: 1 });
    await server.close();
    await ended;
  });

  it('keeps connections alive, through answers, refusals and 204s', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (const [method, path] of [
      ['GET', '/__admin/settings'],
      ['POST', '/__admin/reset'],
      ['GET', SYNC],
      ['GET', '/nowhere'],
    ] as const) {
      const sent = request(server.url + path, { agent, method }).end();
      const [answer] = await once(sent, 'response');
      ports.add(answer.socket.localPort);
      await once(answer.resume(), 'end');
    }
    agent.destroy();
    expect(ports.size).toBe(1);
  });

  it('answers 413 to a body larger than anything', async () => {
    const answer = await call('sync', 'PUT', SYNC, 'x'.repeat(9_000_000));
    expect(answer.status).toBe(413);
  });

  it('refuses to start on a port that is taken', async () => {
    await expect(startTenantServer({ port: server.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('gives its port back at once when it is closed, with connections open', async () => {
    await call('sync', 'GET', SYNC);
    await server.close();
    const next = await startTenantServer({ port: server.port });
    await next.close();
  });
});
