import { describe, expect, it } from 'vitest';
import type { NewFault } from '../../../infra/local/tenant/faults.ts';
import type { Outcome } from '../../../infra/local/tenant/messages.ts';
import type { SettingsPatch } from '../../../infra/local/tenant/settings.ts';
import { type SessionSurface, SURFACE_SCOPES } from '../../../infra/local/tenant/surface-table.ts';
import { createTenant } from '../../../infra/local/tenant/tenant.ts';

const START = Date.parse('2026-03-01T00:00:00Z');

function start(settings: SettingsPatch = {}) {
  let nowMs = START;
  let ids = 0;
  const tenant = createTenant({ now: () => nowMs, newId: () => `${++ids}`, settings });
  const token = (surface: SessionSurface) => tenant.tokens.issue(SURFACE_SCOPES[surface], 900);
  return {
    tenant,
    advance: (ms: number) => {
      nowMs += ms;
    },
    token,
    /** Sends JSON with a good token of the surface and reads the answer; a cut connection has no status. */
    send: (
      surface: SessionSurface,
      method: string,
      path: string,
      body?: unknown,
      headers: Record<string, string> = {},
    ) =>
      read(
        tenant.handle({
          method,
          path,
          headers: { authorization: `Bearer ${token(surface)}`, 'content-type': 'application/json', ...headers },
          ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        }),
      ),
  };
}

function read(outcome: Outcome) {
  if (outcome.kind === 'reset') return { status: undefined, headers: {}, text: '', json: undefined };
  const { status, headers, body } = outcome.answer;
  const isJson = headers['content-type']?.includes('json') === true;
  return { status, headers, text: body, json: isJson ? JSON.parse(body) : undefined };
}

const SYNC = '/api/v1/sessions/s1/context';

/** Puts `{a: 1}` under a fault and says what came back, whether it took effect, and what the journal says. */
function putUnder(action: NewFault['action']) {
  const { tenant, send } = start();
  tenant.faults.add({ action });
  const answer = send('sync', 'PUT', SYNC, { a: 1 });
  const context = tenant.sessions.inspect('s1')?.context;
  return { answer, took: context !== undefined && 'a' in context, entry: tenant.journal.entries()[0] };
}

describe('Tenant: faults', () => {
  it('answers a scripted status without making the change', () => {
    const { answer, took, entry } = putUnder({ status: 503, headers: { 'retry-after': '9' }, body: { busy: true } });
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '9' }, json: { busy: true } });
    expect(took).toBe(false);
    expect(entry).toMatchObject({ status: 503, applied: false, fault: 'fault-1' });
  });

  it('answers a scripted status after making the change', () => {
    const { answer, took, entry } = putUnder({ status: 500, applied: true });
    expect(answer.status).toBe(500);
    expect(took).toBe(true);
    expect(entry).toMatchObject({ status: 500, applied: true });
  });

  it('sends a text body as it is', () => {
    expect(putUnder({ status: 502, body: 'Bad Gateway' }).answer.text).toBe('Bad Gateway');
  });

  it.each([
    ['before', false],
    ['after', true],
  ] as const)('cuts the connection %s the change', (reset, taken) => {
    const { answer, took, entry } = putUnder({ reset });
    expect(answer.status).toBeUndefined();
    expect(took).toBe(taken);
    expect(entry).toMatchObject({ status: null, applied: taken });
  });

  it.each([
    ['html', /^<!doctype html>/],
    ['truncated', /^\{"a"?$/],
    ['wrong-shape', /^\[/],
    ['empty', /^$/],
  ] as const)('makes the change and answers 200 with a body that is %s', (malformed, body) => {
    const { tenant, token } = start();
    tenant.faults.add({ action: { malformed } });
    const outcome = tenant.handle({
      method: 'PUT',
      path: SYNC,
      headers: { authorization: `Bearer ${token('sync')}`, 'content-type': 'application/json' },
      body: '{"a":1}',
    });
    expect(outcome).toMatchObject({ answer: { status: 200, body: expect.stringMatching(body) } });
    expect(tenant.sessions.inspect('s1')?.context).toEqual({ a: 1 });
  });

  it('redirects without making the change', () => {
    const { answer, took } = putUnder({ redirectTo: 'http://elsewhere.example/' });
    expect(answer).toMatchObject({ status: 307, headers: { location: 'http://elsewhere.example/' } });
    expect(took).toBe(false);
  });

  it('delays on top of the latency, alone or with another action', () => {
    const { tenant } = start({ latencyMs: 5 });
    tenant.faults.add({ action: { delayMs: 100 } });
    tenant.faults.add({ action: { delayMs: 200, reset: 'before' } });
    const headers = { authorization: `Bearer ${tenant.tokens.issue(SURFACE_SCOPES.sync, 900)}` };
    const get = () => tenant.handle({ method: 'GET', path: SYNC, headers });
    expect(get()).toMatchObject({ kind: 'answer', delayMs: 105, answer: { status: 200 } });
    expect(get()).toEqual({ kind: 'reset', delayMs: 205 });
    expect(get()).toMatchObject({ delayMs: 5 });
  });

  it('leaves a refusal as it is: there is no change to hide', () => {
    const { tenant, send } = start();
    tenant.sessions.create({ sessionId: 's1' });
    tenant.sessions.end('s1');
    tenant.faults.add({ action: { malformed: 'html' } });
    expect(send('sync', 'GET', SYNC).status).toBe(404);
  });

  it('is not spent on a request without a good token', () => {
    const { tenant, send } = start();
    tenant.faults.add({ action: { status: 503 } });
    expect(send('sync', 'GET', SYNC, undefined, { authorization: 'Bearer unknown' }).status).toBe(401);
    expect(send('sync', 'GET', SYNC).status).toBe(503);
  });

  it('lets pass what it is told to skip and strikes as often as it is told', () => {
    const { tenant, send } = start();
    tenant.faults.add({ skip: 1, times: 2, action: { status: 500 } });
    const statuses = Array.from({ length: 5 }, () => send('sync', 'GET', SYNC).status);
    expect(statuses).toEqual([200, 500, 500, 200, 200]);
    expect(tenant.faults.list()).toMatchObject([{ name: 'fault-1', skipped: 1, struck: 2 }]);
  });

  it('strikes until it is cleared with times 0', () => {
    const { tenant, send } = start();
    tenant.faults.add({ times: 0, action: { status: 500 } });
    expect(Array.from({ length: 3 }, () => send('sync', 'GET', SYNC).status)).toEqual([500, 500, 500]);
    tenant.faults.clear();
    expect(send('sync', 'GET', SYNC).status).toBe(200);
  });

  it.each([
    [{ surface: 'sync' }, true],
    [{ surface: 'inject' }, false],
    [{ method: 'get' }, true],
    [{ method: 'PUT' }, false],
    [{ pathIncludes: '/v1/' }, true],
    [{ pathIncludes: '/v2/' }, false],
    [{ sessionId: 's1' }, true],
    [{ sessionId: 's2' }, false],
    [{ surface: 'sync', sessionId: 's2' }, false],
  ] as const)('for %j strikes GET on sync of s1: %s', (match, strikes) => {
    const { tenant, send } = start();
    tenant.faults.add({ match, action: { status: 500 } });
    expect(send('sync', 'GET', SYNC).status).toBe(strikes ? 500 : 200);
  });

  it('lets the first of several that fit strike', () => {
    const { tenant, send } = start();
    tenant.faults.add({ name: 'one', action: { status: 500 } });
    tenant.faults.add({ name: 'two', action: { status: 502 } });
    expect([send('sync', 'GET', SYNC).status, send('sync', 'GET', SYNC).status]).toEqual([500, 502]);
    expect(tenant.journal.entries().map(({ fault }) => fault)).toEqual(['one', 'two']);
  });
});
