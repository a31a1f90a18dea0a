import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { functionDefinitions } from '../../infra/local/functions.ts';
import { type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, send, violations } from '../fixtures/stack/http.ts';

const CRM = { name: 'crm', apiKey: 'key-of-the-crm', operations: ['inject', 'audit'], keyPrefixes: ['crm_', 'hub_'] };
const BINDER = { name: 'binder', apiKey: 'key-of-the-binder', operations: ['bindings'] };
const READER = { name: 'reader', apiKey: 'key-of-the-reader', operations: ['inspect'] };
const NOTHING = { name: 'nothing', apiKey: 'key-of-nothing', operations: ['values', 'injection', 'INJECT'] };
const as = ({ apiKey }: { apiKey: string }) => ({ authorization: `Bearer ${apiKey}` });

describe('who gets in', () => {
  let bridge: Bridge;
  beforeAll(async () => {
    bridge = await startBridge({
      clients: [CRM, BINDER, READER, NOTHING],
      webhookSecrets: [`whsec_${'c2VjcmV0'.repeat(4)}`],
    });
  });
  afterAll(() => bridge.close());

  const routes = functionDefinitions()
    .flatMap((definition) => definition.routes)
    .map((route) => route.split(' ') as [string, string]);
  const isSigned = ([, template]: [string, string]) => template.startsWith('/v1/webhooks/');
  const ofClients = routes.filter((route) => !isSigned(route));
  const pathTo = (template: string, session: string) =>
    template
      .replace('{source}', 'generic')
      .replace('{recordId}', 'ACC-1')
      .replace(/\{\w+Id\}/, session);
  const sent = (session: string) => bridge.tenant.journal.entries({ sessionId: session });

  it.each(ofClients)('SCENARIO 36: %s %s takes nobody without a valid key', async (method, template) => {
    const path = pathTo(template, 'sess_closed');
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Bearer ${LOCAL_KEY}x` },
      { authorization: `Bearer ${LOCAL_KEY} ${LOCAL_KEY}` },
      { authorization: `Basic ${Buffer.from(`local:${LOCAL_KEY}`).toString('base64')}` },
      { authorization: LOCAL_KEY },
      { authorization: 'Bearer ' },
      { 'x-api-key': '' },
      { 'x-api-key': 'wrong' },
    ]) {
      const reply = await send(bridge.url, path, {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        ...(method !== 'GET' && { body: JSON.stringify(method === 'POST' ? one('a', 1) : {}) }),
      });
      expectProblem(reply, 401, 'unauthenticated');
      expect(reply.headers['www-authenticate']).toMatch(/^Bearer/);
    }
    expect(sent('sess_closed')).toEqual([]);
    expectProblem(await bridge.get('/v1/sessions/sess_closed'), 404, 'unknown-session');
    // Nobody was known: nothing is noted either.
    expectProblem(await bridge.get('/v1/sessions/sess_closed/audit'), 404, 'unknown-session');
  });

  it('SCENARIO 36: these are all routes there are', () => {
    expect(routes.map((route) => route.join(' ')).sort()).toEqual([
      'DELETE /v1/sessions/{sessionId}',
      'DELETE /v1/sessions/{sessionId}/bindings/{source}/{recordId}',
      'GET /v1/metrics',
      'GET /v1/sessions/{sessionId}',
      'GET /v1/sessions/{sessionId}/audit',
      'GET /v1/sessions/{sessionId}/diff',
      'GET /v1/sessions/{sessionId}/snapshot',
      'PATCH /v1/dialogs/{dialogId}/state',
      'POST /v1/sessions/{sessionId}/sync',
      'POST /v1/sessions/{sessionId}/variables',
      'POST /v1/webhooks/cognigy',
      'POST /v1/webhooks/crm/{source}',
      'PUT /v1/sessions/{sessionId}/bindings/{source}/{recordId}',
    ]);
  });

  it.each(routes.filter(isSigned))(
    'SCENARIO 37: %s %s takes nothing that is not signed, whatever key comes with it',
    async (method, template) => {
      const path = pathTo(template, 'sess_unsigned');
      for (const headers of [{}, { authorization: `Bearer ${LOCAL_KEY}` }, { 'x-api-key': LOCAL_KEY }]) {
        const body = JSON.stringify({
          sessionId: 'sess_unsigned',
          userId: 'u',
          message: 'm',
          channel: 'c',
          timestamp: 1,
        });
        const reply = await send(bridge.url, path, {
          method,
          headers: { 'content-type': 'application/json', ...headers },
          body,
        });
        expectProblem(reply, 401, 'unauthenticated');
      }
      expect(sent('sess_unsigned')).toEqual([]);
      expectProblem(await bridge.get('/v1/sessions/sess_unsigned/audit'), 404, 'unknown-session');
    },
  );

  it.each(ofClients)('SCENARIO 36: %s %s takes no client without its grant', async (method, template) => {
    const path = pathTo(template, 'sess_nothing');
    const reply = await send(bridge.url, path, {
      method,
      headers: { 'content-type': 'application/json', ...as(NOTHING) },
      ...(['POST', 'PATCH'].includes(method) && { body: '{"no":"body is looked at"}' }),
    });
    expectProblem(reply, 403, 'forbidden');
    expect(sent('sess_nothing')).toEqual([]);
  });

  it('takes the key from either header', async () => {
    expect((await bridge.inject('sess_1', one('a', 1), { 'x-api-key': LOCAL_KEY })).status).toBe(200);
    expect((await bridge.inject('sess_1', one('a', 2), { authorization: `bearer ${LOCAL_KEY}` })).status).toBe(200);
  });

  it('SCENARIO 36: a valid key without the grant is 403', async () => {
    await bridge.inject('sess_grants', one('crm_a', 1), as(CRM));
    expectProblem(await bridge.inject('sess_grants', one('crm_a', 2), as(READER)), 403, 'forbidden');
    expectProblem(await bridge.get('/v1/sessions/sess_grants', as(CRM)), 403, 'forbidden');
    expectProblem(await bridge.get('/v1/sessions/sess_grants/audit', as(READER)), 403, 'forbidden');
    expect((await bridge.get('/v1/sessions/sess_grants', as(READER))).body.context).toEqual({ crm_a: 1 });
    expect((await bridge.get('/v1/sessions/sess_grants/audit', as(CRM))).status).toBe(200);
    expect(bridge.puts('sess_grants')).toHaveLength(1);
  });

  it.each(routes.filter(([, template]) => template.includes('/bindings/')))(
    'SCENARIO 36: %s %s takes whoever has the grant "bindings", and nobody with others alone',
    async (method, template) => {
      const path = pathTo(template, 'sess_bindings');
      for (const client of [CRM, READER]) {
        expectProblem(await send(bridge.url, path, { method, headers: as(client) }), 403, 'forbidden');
      }
      const reply = await send(bridge.url, path, { method, headers: as(BINDER) });
      expect(reply.status).toBe(method === 'PUT' ? 200 : 204);
      // It is worth nothing elsewhere.
      expectProblem(await bridge.inject('sess_bindings', one('crm_a', 1), as(BINDER)), 403, 'forbidden');
    },
  );

  it('SCENARIO 36: writing outside its key prefixes is 403, with a pointer to every such key', async () => {
    const variables = ['crm_a', 'a', 'hub_b', 'xcrm_', 'CRM_A'].map((key) => ({ key, value: 1 }));
    const reply = await bridge.inject('sess_prefix', { variables }, as(CRM));
    expect(violations(expectProblem(reply, 403, 'forbidden'))).toEqual([
      '/variables/1/key outside-grant',
      '/variables/3/key outside-grant',
      '/variables/4/key outside-grant',
    ]);
    expect(bridge.requests('sess_prefix')).toEqual([]);
    expectProblem(await bridge.get('/v1/sessions/sess_prefix'), 404, 'unknown-session');

    const within = await bridge.inject('sess_prefix', { variables: [variables[0], variables[2]] }, as(CRM));
    expect(within.body).toMatchObject({ status: 'injected', version: 1 });
  });

  it('who was refused, and why, is in the audit trail of the session', async () => {
    const session = 'sess_refused';
    await bridge.inject(session, one('a', 1), { ...as(READER), 'x-correlation-id': 'no-grant' });
    await bridge.inject(session, one('a', 1), { ...as(CRM), 'x-correlation-id': 'no-prefix' });
    await bridge.inject(session, one('a b', 1), { 'x-correlation-id': 'invalid' });
    await bridge.inject(session, one('a', 'x'.repeat(262_144)), { 'x-correlation-id': 'too-large' });
    await bridge.inject(session, one('a', 'let in'));

    const { entries, chain } = await bridge.audit(session);
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(entries).toMatchObject([
      { outcome: 'confirmed', client: 'local', versionAfter: 1 },
      { outcome: 'refused', client: 'local', code: 'payload-too-large', correlationId: 'too-large', changes: [] },
      { outcome: 'refused', client: 'local', code: 'validation-failed', pointers: ['/variables/0/key'] },
      { outcome: 'refused', client: 'crm', code: 'forbidden', pointers: ['/variables/0/key'] },
      { outcome: 'refused', client: 'reader', code: 'forbidden', correlationId: 'no-grant' },
    ]);
    expect(entries.map(({ seq }: { seq: number }) => seq)).toEqual([5, 4, 3, 2, 1]);
  });

  it('the audit trail of a session that was only ever refused can be read', async () => {
    await bridge.inject('sess_only_refused', one('a', 1), as(READER));
    const { entries, chain } = await bridge.audit('sess_only_refused');
    expect(entries).toMatchObject([{ outcome: 'refused', client: 'reader', code: 'forbidden' }]);
    expect(chain.valid).toBe(true);
  });
});

describe("a tenant's session id prefix", () => {
  it('is required on every route', async () => {
    const bridge = await startBridge({ settings: { SESSION_ID_PREFIX: 'sess_' } });
    try {
      expect((await bridge.inject('sess_1', one('a', 1))).status).toBe(200);
      for (const id of ['other_1', 'Sess_1', 'a_sess_1']) {
        expectProblem(await bridge.inject(id, one('a', 1)), 400, 'invalid-session-id');
        expectProblem(await bridge.get(`/v1/sessions/${id}`), 400, 'invalid-session-id');
        expectProblem(await bridge.get(`/v1/sessions/${id}/audit`), 400, 'invalid-session-id');
        expectProblem(await bridge.get(`/v1/sessions/${id}/diff?from=0&to=1`), 400, 'invalid-session-id');
        expectProblem(await bridge.sync(id, { data: { a: 1 } }), 400, 'invalid-session-id');
        expectProblem(await bridge.erase(id), 400, 'invalid-session-id');
        for (const method of ['PUT', 'DELETE']) {
          const path = `/v1/sessions/${id}/bindings/generic/ACC-1`;
          const headers = { authorization: `Bearer ${LOCAL_KEY}` };
          expectProblem(await send(bridge.url, path, { method, headers }), 400, 'invalid-session-id');
        }
      }
      expect(bridge.requests()).toHaveLength(1);
    } finally {
      await bridge.close();
    }
  });
});
