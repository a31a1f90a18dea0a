import { describe, expect, it } from 'vitest';
import { interpretTokenResponse, requestToken, type TokenSurface } from '../../../lib/upstream/oauth.ts';
import { SURFACES } from '../../../lib/upstream/session-api/surfaces.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { fail, hang, html, json, type Reply, ScriptedFetch } from '../../fixtures/upstream/scriptedFetch.ts';

const REQUESTED = 1_000_000;

async function ask(reply: Reply, overrides: { surface?: TokenSurface; tenantId?: string; baseUrl?: string } = {}) {
  const clock = new FakeClock();
  const network = new ScriptedFetch(reply);
  const { surface = SURFACES.inject, tenantId, baseUrl = 'https://cognigy.test' } = overrides;
  const outcome = await requestToken(
    {
      baseUrl,
      surface,
      credentials: { clientId: 'client', clientSecret: 's3cret', ...(tenantId !== undefined && { tenantId }) },
      timeoutMs: 5_000,
    },
    { fetch: network.fetch, clock },
  );
  return { outcome, clock, request: network.requests[0], network };
}

const grant = () => json(200, { access_token: 'tok', token_type: 'Bearer', expires_in: 3600 });

describe('requestToken', () => {
  it('asks by client_secret_post with only the scopes of its surface', async () => {
    const { request } = await ask(grant);

    expect(request?.url).toBe('https://cognigy.test/api/v2/oauth/token');
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'sessions:read_write',
      client_id: 'client',
      client_secret: 's3cret',
    });
    expect(request?.headers.get('authorization')).toBeNull();
    expect(request?.headers.get('accept')).toBe('application/json');
    expect(request?.headers.has('x-tenant-id')).toBe(false);
    expect(request?.redirect).toBe('manual');
  });

  it('asks by client_secret_basic where the surface wants that', async () => {
    const { request } = await ask(grant, { surface: SURFACES.dialogState });

    expect(request?.url).toBe('https://cognigy.test/oauth/token');
    expect(request?.headers.get('authorization')).toBe(`Basic ${btoa('client:s3cret')}`);
    expect(new URLSearchParams(request?.body).has('client_secret')).toBe(false);
  });

  it('names the tenant where there is one', async () => {
    const { request } = await ask(grant, { tenantId: 'acme' });
    expect(request?.headers.get('x-tenant-id')).toBe('acme');
  });

  it('speaks plain http only to a base URL that says so', async () => {
    const { outcome } = await ask(grant, { baseUrl: 'http://127.0.0.1:4000' });
    expect(outcome.kind).toBe('token');
  });

  it('counts the life from the request, and refreshes ahead by a minute', async () => {
    const { outcome, clock } = await ask(grant);
    expect(outcome).toEqual({
      kind: 'token',
      token: { accessToken: 'tok', expiresAtMs: clock.now() + 3_600_000, refreshAtMs: clock.now() + 3_540_000 },
    });
  });

  it.each([
    ['a dead socket', fail('ECONNRESET'), true],
    ['a refused connection', fail('ECONNREFUSED'), false],
    ['no answer in time', hang, false],
  ])('is unavailable after %s', async (_what, reply, deadSocket) => {
    const { outcome } = await ask(reply);
    expect(outcome).toEqual({ kind: 'unavailable', deadSocket });
  });

  it('SCENARIO 23: does not take its secret to where a redirect points', async () => {
    const { outcome, network } = await ask(
      () => new Response(null, { status: 302, headers: { location: 'https://evil.test/token' } }),
    );
    expect(outcome).toEqual({ kind: 'bad-response', status: 302 });
    expect(network.requests).toHaveLength(1);
  });
});

describe('requestToken of a connection', () => {
  it.each([200, 204, 304, 401])('reads an answer to its end, whatever it says: %i', async (status) => {
    let isRead = false;
    const body = (async function* () {
      yield Buffer.from('{}');
      isRead = true;
    })();
    const network = async () => ({ status, headers: new Headers(), body });
    const { clientId, clientSecret } = { clientId: 'client', clientSecret: 's3cret' };
    await requestToken(
      {
        baseUrl: 'https://x.test',
        surface: SURFACES.inject,
        credentials: { clientId, clientSecret },
        timeoutMs: 5_000,
      },
      { fetch: network, clock: new FakeClock() },
    );
    expect(isRead).toBe(true);
  });
});

describe('interpretTokenResponse', () => {
  const interpret = (response: Response) => interpretTokenResponse(response, REQUESTED, REQUESTED);

  it.each([
    ['without expires_in, 300 s and a tenth ahead', { access_token: 't', token_type: 'Bearer' }, 300_000, 270_000],
    ['with a null expires_in', { access_token: 't', token_type: 'Bearer', expires_in: null }, 300_000, 270_000],
    ['with expires_in as text', { access_token: 't', token_type: 'bearer', expires_in: '100' }, 100_000, 90_000],
    ['without token_type', { access_token: 't', expires_in: 100 }, 100_000, 90_000],
    ['that lives for years, a day', { access_token: 't', expires_in: 1e12 }, 86_400_000, 86_340_000],
  ])('takes a token %s', async (_what, body, lifeMs, refreshMs) => {
    expect(await interpret(json(200, body))).toEqual({
      kind: 'token',
      token: { accessToken: 't', expiresAtMs: REQUESTED + lifeMs, refreshAtMs: REQUESTED + refreshMs },
    });
  });

  it.each([400, 401, 403])('calls %i rejected credentials', async (status) => {
    expect(await interpret(json(status, { error: 'invalid_client' }))).toEqual({ kind: 'rejected', status });
  });

  it.each([
    ['HTML', () => html(200)],
    ['no token', () => json(200, { token_type: 'Bearer' })],
    ['an array', () => json(200, [])],
    ['a token that fits no header', () => json(200, { access_token: 'a\r\nb' })],
    ['an expires_in of words', () => json(200, { access_token: 't', expires_in: 'soon' })],
    ['a negative life', () => json(200, { access_token: 't', expires_in: -1 })],
    ['a foreign token type', () => json(200, { access_token: 't', token_type: 'mac' })],
    ['404', () => json(404, {})],
  ])('calls %s a bad response', async (_what, reply) => {
    expect(await interpret(reply())).toMatchObject({ kind: 'bad-response' });
  });

  it.each([408, 429, 500, 503])('calls %i unavailable, and hands on Retry-After', async (status) => {
    expect(await interpret(json(status, {}, { 'retry-after': '7' }))).toEqual({
      kind: 'unavailable',
      status,
      retryAfterMs: 7_000,
      deadSocket: false,
    });
  });
});
