import { spawn } from 'node:child_process';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listenOnLoopback } from '../../infra/local/listen.ts';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { INSTANT, send, ULID } from '../fixtures/stack/http.ts';

/** As `npm start` prints it. */
const BANNER_BODY = '{"variables":[{"key":"crm_tier","value":"gold","ttlSeconds":900}]}';

describe('the first request of a newcomer', () => {
  let bridge: Bridge;
  beforeAll(async () => {
    bridge = await startBridge();
  });
  afterAll(() => bridge.close());

  it('is confirmed, and every member of the answer is as promised', async () => {
    const startedMs = Date.now();
    const reply = await bridge.inject('sess_1', BANNER_BODY, { 'idempotency-key': 'first-try' });

    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(reply.headers['x-correlation-id']).toMatch(/\S/);
    expect(reply.headers).not.toHaveProperty('idempotency-replayed');
    expect(reply.body).toEqual({
      status: 'injected',
      sessionId: 'sess_1',
      version: 1,
      visibility: 'confirmed',
      variablesInjected: 1,
      latencyMs: expect.any(Number),
      operationId: expect.stringMatching(ULID),
      auditId: expect.stringMatching(ULID),
      result: { sessionId: 'sess_1', variables: { crm_tier: 'gold' }, updatedAt: expect.stringMatching(INSTANT) },
    });
    expect(reply.body.latencyMs).toBeGreaterThanOrEqual(0);
    expect(reply.body.latencyMs).toBeLessThanOrEqual(Date.now() - startedMs);
  });

  it('is visible in the simulated session: value, scope and expiry', async () => {
    const session = await send(bridge.stack.tenant?.url ?? '', '/__admin/sessions/sess_1');

    expect(session.body.context).toEqual({ crm_tier: 'gold' });
    expect(session.body.variables).toEqual([
      { key: 'crm_tier', value: 'gold', scope: 'session', expiresAt: expect.stringMatching(INSTANT) },
    ]);
    const secondsLeft = (Date.parse(session.body.variables[0].expiresAt) - Date.now()) / 1_000;
    expect(secondsLeft).toBeGreaterThan(880);
    expect(secondsLeft).toBeLessThanOrEqual(900);
  });

  it('is in the mirror and in the audit trail', async () => {
    const { body } = await bridge.get('/v1/sessions/sess_1');
    expect(body).toEqual({
      sessionId: 'sess_1',
      version: 1,
      confirmedVersion: 1,
      freshness: 'mirror',
      userKey: null,
      context: { crm_tier: 'gold' },
      variables: [
        {
          path: '/crm_tier',
          scope: 'session',
          value: 'gold',
          expiresAt: expect.stringMatching(INSTANT),
          ttlSecondsLeft: expect.any(Number),
          updatedAt: expect.stringMatching(INSTANT),
          source: 'local',
          version: 1,
        },
      ],
      nextOffset: null,
      sizeBytes: Buffer.byteLength('{"crm_tier":"gold"}'),
      limitBytes: 95_000,
      schemaValid: expect.any(Boolean),
      schemaErrors: expect.any(Array),
      pendingOperations: 0,
      recentAudit: [expect.objectContaining({ outcome: 'confirmed' })],
    });
    expect(body.variables[0].ttlSecondsLeft).toBeGreaterThan(880);
    expect(body.schemaValid).toBe(body.schemaErrors.length === 0);

    const { entries, nextCursor, chain } = await bridge.audit('sess_1');
    expect(chain).toEqual({ valid: true, brokenAt: null });
    expect(nextCursor).toBeNull();
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      seq: 1,
      outcome: 'confirmed',
      client: 'local',
      operation: 'inject',
      versionBefore: 0,
      versionAfter: 1,
      attempts: 1,
      upstreamStatus: 200,
      changes: [{ path: '/crm_tier', scope: 'session', before: null, after: expect.stringMatching(/^[0-9a-f]{64}$/) }],
    });
  });

  it('answers the same again for the same key, and the upstream saw one PUT', async () => {
    const first = await bridge.inject('sess_again', BANNER_BODY, { 'idempotency-key': 'first-try' });
    const second = await bridge.inject('sess_again', BANNER_BODY, { 'idempotency-key': 'first-try' });

    expect(second.status).toBe(200);
    expect(second.body).toEqual(first.body);
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(bridge.puts('sess_again')).toHaveLength(1);
  });
});

describe('against another upstream', () => {
  it('works just so with a tenant that stands alone', async () => {
    const child = spawn(process.execPath, ['infra/local/tenant/main.ts'], {
      env: { ...process.env, TENANT_PORT: '0' },
    });
    try {
      const lines = createInterface({ input: child.stdout });
      const [url = ''] =
        /http:\/\/[\d.:]+/.exec(await new Promise<string>((resolve) => lines.once('line', resolve))) ?? [];
      const bridge = await startBridge({ cognigyBaseUrl: url });
      try {
        expect(bridge.stack.tenant).toBeUndefined();
        const first = await bridge.inject('sess_1', BANNER_BODY, { 'idempotency-key': 'first-try' });
        const second = await bridge.inject('sess_1', BANNER_BODY, { 'idempotency-key': 'first-try' });

        expect(first.status).toBe(200);
        expect(first.body).toMatchObject({ visibility: 'confirmed', variablesInjected: 1 });
        expect(second.body).toEqual(first.body);
        expect(second.headers['idempotency-replayed']).toBe('true');
        const session = await send(url, '/__admin/sessions/sess_1');
        expect(session.body.context).toEqual({ crm_tier: 'gold' });
        const journal = await send(url, '/__admin/journal?surface=inject');
        expect(journal.body.entries.map(({ method }: { method: string }) => method)).toEqual(['PUT']);
      } finally {
        await bridge.close();
      }
    } finally {
      child.kill();
      await new Promise((resolve) => child.once('exit', resolve));
    }
  });

  it('sends exactly what SPEC 3 says', async () => {
    const seen: { method?: string; url?: string; headers: IncomingHttpHeaders; body: string }[] = [];
    const recorder = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const { method = '', url = '', headers } = request;
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString('utf8') });
      const answer = url.endsWith('/token')
        ? { access_token: 'a-token', token_type: 'Bearer', expires_in: 900 }
        : { sessionId: 'sess:1@x~y', variables: { a: 1 }, updatedAt: '2026-01-01T00:00:00.000Z', more: 'is kept' };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
    const { url, close } = await listenOnLoopback(recorder, 0);
    const bridge = await startBridge({
      cognigyBaseUrl: url,
      credentials: { clientId: 'an id', clientSecret: 's&cret=+%', tenantId: 'tenant-7' },
    });
    try {
      const expiresAt = '2099-12-01T11:00:00.5+01:00';
      const body = {
        variables: [
          { key: 'a', value: { text: 'ü€😀', list: [1, null, true] }, scope: 'user', expiresAt },
          { key: 'b', value: '007' },
          { key: 'b', value: 0.1, scope: 'global' },
        ],
        crm: { account: 'ACC-1' },
      };
      const reply = await bridge.inject('sess:1@x~y', body, { 'x-correlation-id': 'corr-1' });
      expect(reply.status).toBe(200);
      expect(reply.body.result).toEqual({
        sessionId: 'sess:1@x~y',
        variables: { a: 1 },
        updatedAt: '2026-01-01T00:00:00.000Z',
        more: 'is kept',
      });
      await bridge.inject('sess:1@x~y', one('c', 1));

      expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
        'POST /api/v2/oauth/token',
        'PUT /api/v2/sessions/sess%3A1%40x~y/context',
        'PUT /api/v2/sessions/sess%3A1%40x~y/context',
      ]);
      const [token, put] = seen;
      expect(token?.headers).toMatchObject({ accept: 'application/json', 'x-tenant-id': 'tenant-7' });
      expect(token?.headers['content-type']).toMatch(/^application\/x-www-form-urlencoded\b/);
      expect(token?.headers).not.toHaveProperty('authorization');
      expect([...new URLSearchParams(token?.body)].sort()).toEqual([
        ['client_id', 'an id'],
        ['client_secret', 's&cret=+%'],
        ['grant_type', 'client_credentials'],
        ['scope', 'sessions:read_write'],
      ]);
      expect(put?.headers).toMatchObject({
        authorization: 'Bearer a-token',
        'content-type': 'application/json',
        accept: 'application/json',
        'x-correlation-id': 'corr-1',
      });
      expect(put?.body).toBe(
        '{"variables":[{"key":"a","value":{"text":"ü€😀","list":[1,null,true]},"scope":"user","expiresAt":"2099-12-01T10:00:00.500Z"},' +
          '{"key":"b","value":"007","scope":"session","expiresAt":null},{"key":"b","value":0.1,"scope":"global","expiresAt":null}],' +
          '"mergeStrategy":"atomic_put"}',
      );
    } finally {
      await bridge.close();
      await close();
    }
  });
});
