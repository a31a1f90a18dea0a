import { describe, expect, it } from 'vitest';
import type { SettingsPatch } from '../../../infra/local/tenant/settings.ts';
import { createTenant } from '../../../infra/local/tenant/tenant.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const GRANT = 'grant_type=client_credentials';
const CLIENT = 'client_id=client&client_secret=secret';
const SCOPE = 'scope=sessions%3Aread_write';

function ask(
  body: string,
  {
    path = '/api/v2/oauth/token',
    headers = {},
    settings = {},
  }: {
    path?: string;
    headers?: Record<string, string>;
    settings?: SettingsPatch;
  } = {},
) {
  const tenant = createTenant({ now: () => 0, newId: () => '1', settings });
  const outcome = tenant.handle({ method: 'POST', path, headers: { ...FORM, ...headers }, body });
  if (outcome.kind === 'reset') throw new Error('The connection was cut.');
  return { tenant, ...outcome.answer, json: JSON.parse(outcome.answer.body) };
}

const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
});

describe('Tenant: token endpoints', () => {
  it.each([
    ['/oauth/token', 'cognigy:context:readwrite'],
    ['/oauth/token', 'runtime:write session:manage dialog:read'],
    ['/api/v2/oauth/token', 'sessions:read_write'],
    ['/api/v2/auth/token', 'bot:read session:read variable:read'],
    ['/api/v1/auth/token', 'session:write session:read'],
  ])('%s grants %s as asked', (path, scope) => {
    const { status, headers, json } = ask(`${GRANT}&${CLIENT}&scope=${encodeURIComponent(scope)}`, { path });
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(json).toEqual({ access_token: 'token-1', token_type: 'Bearer', expires_in: 900, scope });
  });

  it('takes client_secret_basic', () => {
    expect(ask(`${GRANT}&${SCOPE}`, { headers: basic('client', 'secret') }).status).toBe(200);
  });

  it('reads id and secret of client_secret_basic form-urlencoded (RFC 6749, 2.3.1)', () => {
    const settings = { clientId: 'a:b', clientSecret: 'p%+ ä' };
    const encoded = basic('a%3Ab', 'p%25%2B+%C3%A4');
    expect(ask(`${GRANT}&${SCOPE}`, { headers: encoded, settings }).status).toBe(200);
    expect(ask(`${GRANT}&${SCOPE}`, { headers: basic('a:b', 'p%+ ä'), settings }).status).toBe(401);
  });

  it('answers 401 invalid_client to a wrong secret, with a challenge where Basic was tried', () => {
    const posted = ask(`${GRANT}&${SCOPE}&client_id=client&client_secret=wrong`);
    expect(posted).toMatchObject({ status: 401, json: { error: 'invalid_client' } });
    expect(posted.headers).not.toHaveProperty('www-authenticate');
    const tried = ask(`${GRANT}&${SCOPE}`, { headers: basic('client', 'wrong') });
    expect(tried).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Basic realm="cognigy"' } });
  });

  it.each([
    ['another grant', `grant_type=password&${CLIENT}&${SCOPE}`, 'unsupported_grant_type'],
    ['no grant', `${CLIENT}&${SCOPE}`, 'unsupported_grant_type'],
    ['no scope', `${GRANT}&${CLIENT}`, 'invalid_scope'],
    ['a scope of another endpoint', `${GRANT}&${CLIENT}&scope=bot%3Aread`, 'invalid_scope'],
    ['a parameter twice', `${GRANT}&${GRANT}&${CLIENT}&${SCOPE}`, 'invalid_request'],
  ])('answers 400 to %s', (_, body, error) => {
    expect(ask(body)).toMatchObject({ status: 400, json: { error } });
  });

  it('answers 400 to two ways of client authentication at once', () => {
    const both = ask(`${GRANT}&${CLIENT}&${SCOPE}`, { headers: basic('client', 'secret') });
    expect(both).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
  });

  it('answers 400 to a body that is no form, and keeps it out of the journal', () => {
    const { status, tenant } = ask('{"client_secret":"secret"}', { headers: { 'content-type': 'application/json' } });
    expect(status).toBe(400);
    expect(JSON.stringify(tenant.journal.entries())).not.toContain('secret":"secret');
  });

  it('leaves expires_in out when set so', () => {
    const { json } = ask(`${GRANT}&${CLIENT}&${SCOPE}`, { settings: { includeExpiresIn: false } });
    expect(json).not.toHaveProperty('expires_in');
  });

  it('never counts against the rate, and masks the secret in the journal', () => {
    const { tenant } = ask(`${GRANT}&${CLIENT}&${SCOPE}`, {
      headers: { 'x-tenant-id': 't1' },
      settings: { ratePerMinute: 1 },
    });
    const authorization = 'Bearer token-1';
    const first = tenant.handle({ method: 'GET', path: '/api/v2/sessions/s1', headers: { authorization } });
    expect(first).toMatchObject({ answer: { status: 200 } });
    expect(tenant.journal.entries({ surface: 'token' })).toEqual([
      {
        seq: 1,
        at: 0,
        surface: 'token',
        method: 'POST',
        path: '/api/v2/oauth/token',
        headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-tenant-id': 't1' },
        body: {
          grant_type: 'client_credentials',
          client_id: 'client',
          client_secret: '***',
          scope: 'sessions:read_write',
        },
        bodyBytes: 95,
        status: 200,
        applied: false,
      },
    ]);
  });

  it('is struck by faults on the surface token', () => {
    const { tenant } = ask('');
    tenant.faults.add({ match: { surface: 'token' }, action: { malformed: 'html' } });
    const outcome = tenant.handle({
      method: 'POST',
      path: '/oauth/token',
      headers: { ...FORM, ...basic('client', 'secret') },
      body: `${GRANT}&scope=dialog%3Aread`,
    });
    expect(outcome).toMatchObject({
      answer: { status: 200, headers: { 'content-type': expect.stringContaining('html') } },
    });
  });
});
