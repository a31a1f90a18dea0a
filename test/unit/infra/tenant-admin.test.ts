import { describe, expect, it } from 'vitest';
import type { SettingsPatch } from '../../../infra/local/tenant/settings.ts';
import { SURFACE_SCOPES } from '../../../infra/local/tenant/surface-table.ts';
import { createTenant } from '../../../infra/local/tenant/tenant.ts';

const SYNC = '/api/v1/sessions/s1/context';

function start(settings: SettingsPatch = {}) {
  const tenant = createTenant({ now: () => 0, settings });
  const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const outcome = tenant.handle({
      method,
      path,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (outcome.kind === 'reset') throw new Error('The connection was cut.');
    const { status, body: text } = outcome.answer;
    return { status, json: text === '' ? undefined : JSON.parse(text) };
  };
  return {
    tenant,
    admin: (method: string, path: string, body?: unknown) => send(method, `/__admin/${path}`, body),
    sync: (method: string, body?: unknown) =>
      send(method, SYNC, body, { authorization: `Bearer ${tenant.tokens.issue(SURFACE_SCOPES.sync, 900)}` }),
  };
}

describe('Tenant: admin routes', () => {
  it('scripts, lists and clears faults', () => {
    const { admin, sync } = start();
    const fault = { match: { surface: 'sync' }, action: { status: 503 } };
    expect(admin('POST', 'faults', fault)).toMatchObject({
      status: 201,
      json: { name: 'fault-1', times: 1, struck: 0 },
    });
    expect(sync('GET').status).toBe(503);
    expect(admin('GET', 'faults').json.faults).toMatchObject([{ name: 'fault-1', struck: 1 }]);
    expect(admin('DELETE', 'faults').status).toBe(204);
    expect(admin('GET', 'faults').json).toEqual({ faults: [] });
  });

  it.each([
    [{ action: { status: 503 }, tmies: 2 }, 'tmies'],
    [{ action: { status: 503, dealyMs: 2 } }, 'dealyMs'],
    [{ match: { surfaec: 'sync' }, action: { status: 503 } }, 'surfaec'],
    [{ match: { surface: 'sink' }, action: { status: 503 } }, '/match/surface'],
    [{ action: {} }, 'exactly one of'],
    [{ action: { status: 503, reset: 'before' } }, 'exactly one of'],
    [{ action: { reset: 'after', body: 'x' } }, 'status only'],
  ])('refuses the fault %j with 400 and names what is wrong', (fault, named) => {
    const { admin } = start();
    const answer = admin('POST', 'faults', fault);
    expect(answer.status).toBe(400);
    expect(answer.json.detail).toContain(named);
    expect(admin('GET', 'faults').json.faults).toEqual([]);
  });

  it('shows the journal, by surface and session, and empties it', () => {
    const { admin, sync } = start();
    sync('PUT', { a: 1 });
    admin('GET', 'sessions');
    expect(admin('GET', 'journal').json.entries).toEqual([
      {
        seq: 1,
        at: 0,
        surface: 'sync',
        method: 'PUT',
        path: SYNC,
        sessionId: 's1',
        headers: { 'content-type': 'application/json', authorization: 'Bearer' },
        body: { a: 1 },
        bodyBytes: 7,
        status: 200,
        applied: true,
      },
    ]);
    expect(admin('GET', 'journal?surface=sync&sessionId=s1').json.entries).toHaveLength(1);
    expect(admin('GET', 'journal?surface=inject').json.entries).toEqual([]);
    expect(admin('GET', 'journal?sessionId=s2').json.entries).toEqual([]);
    expect(admin('GET', 'journal?session=s1').status).toBe(400);
    expect(admin('DELETE', 'journal').status).toBe(204);
    expect(admin('GET', 'journal').json.entries).toEqual([]);
  });

  it('has requests to nowhere in the journal as well', () => {
    const { tenant } = start();
    tenant.handle({ method: 'GET', path: '/nowhere', body: 'plain' });
    expect(tenant.journal.entries({ surface: 'unknown' })).toMatchObject([{ status: 404, body: 'plain' }]);
  });

  it('makes, shows, changes and ends sessions', () => {
    const { admin, sync } = start();
    const tier = { key: 'tier', value: 'gold', scope: 'user', expiresAt: '2026-12-01T10:00:00Z' };
    const made = admin('POST', 'sessions', { sessionId: 's1', ttlSeconds: 60, variables: [tier] });
    expect(made).toMatchObject({
      status: 201,
      json: { state: 'live', version: 1, expiresAt: '1970-01-01T00:01:00.000Z' },
    });

    const changed = admin('PUT', 'sessions/s1/variables', {
      variables: [{ key: 'turn', value: 1 }],
      remove: [{ key: 'x' }],
    });
    expect(changed).toMatchObject({ status: 200, json: { version: 2, context: { tier: 'gold', turn: 1 } } });
    expect(sync('GET').json).toEqual({ tier: 'gold', turn: 1 });

    expect(admin('GET', 'sessions/s1').json.variables).toEqual([
      tier,
      { key: 'turn', value: 1, scope: 'session', expiresAt: null },
    ]);
    expect(admin('DELETE', 'sessions/s1').status).toBe(204);
    expect(admin('GET', 'sessions').json.sessions).toMatchObject([{ sessionId: 's1', state: 'ended' }]);
    expect(sync('GET').status).toBe(404);
    expect(admin('PUT', 'sessions/s1/variables', { remove: [{ key: 'tier' }] }).status).toBe(404);
  });

  it('answers 404 to sessions it does not have, without making them', () => {
    const { admin } = start();
    expect(admin('GET', 'sessions/s1').status).toBe(404);
    expect(admin('DELETE', 'sessions/s1').status).toBe(404);
    expect(admin('GET', 'sessions').json.sessions).toEqual([]);
  });

  it('shows and changes settings, and never shows the secret', () => {
    const { admin } = start();
    expect(admin('PATCH', 'settings', { ratePerMinute: 7, clientSecret: 'other' }).json).toMatchObject({
      ratePerMinute: 7,
    });
    expect(admin('GET', 'settings').json).toMatchObject({
      ratePerMinute: 7,
      tokenLifeSeconds: 900,
      clientSecret: '***',
    });
    expect(admin('PATCH', 'settings', { ratePerMinuet: 1 }).json.detail).toContain('ratePerMinuet');
    expect(admin('PATCH', 'settings', { latencyMs: -1 }).status).toBe(400);
  });

  it('revokes all tokens', () => {
    const { tenant, admin } = start();
    tenant.tokens.issue(['bot:read'], 900);
    expect(admin('POST', 'tokens/revoke').json).toEqual({ revoked: 1 });
  });

  it('resets to how it was started', () => {
    const { tenant, admin, sync } = start({ ratePerMinute: 1 });
    sync('PUT', { a: 1 });
    admin('PATCH', 'settings', { latencyMs: 9 });
    admin('POST', 'faults', { action: { status: 500 } });
    expect(admin('POST', 'reset').status).toBe(204);
    expect(tenant.settings.current).toMatchObject({ latencyMs: 0, ratePerMinute: 1 });
    expect(tenant.journal.entries()).toEqual([]);
    expect(sync('GET')).toMatchObject({ status: 200, json: {} });
  });

  it.each([
    ['GET', ''],
    ['GET', 'nowhere'],
    ['POST', 'journal'],
    ['GET', 'sessions/%ff'],
  ])('answers 404 to %s %s', (method, path) => {
    expect(start().admin(method, path).status).toBe(404);
  });

  it('never counts against the rate', () => {
    const { admin, sync } = start({ ratePerMinute: 1 });
    for (let request = 0; request < 5; request += 1) admin('GET', 'settings');
    expect(sync('GET').status).toBe(200);
  });
});
