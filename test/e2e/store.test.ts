import { createServer, request as httpRequest } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { functionDefinitions, type Invoke, loadFunction } from '../../infra/local/functions.ts';
import { type LocalServer, listenOnLoopback } from '../../infra/local/listen.ts';
import { type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import type { Json } from '../fixtures/stack/http.ts';
import { travel } from '../fixtures/stack/time.ts';

type Condition = 'well' | 'cut' | 'refusing' | 'silent';

/** The database as it is on a bad day. */
async function startFlakyStore(target: string): Promise<LocalServer & { condition: Condition }> {
  const server = createServer((incoming, response) => {
    if (state.condition === 'cut') return void incoming.socket.destroy();
    if (state.condition === 'refusing') return void response.writeHead(500).end('{"__type":"InternalServerError"}');
    if (state.condition === 'silent') return;
    const { method, url, headers } = incoming;
    const outgoing = httpRequest(`${target}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  const listening = await listenOnLoopback(server, 0);
  const state = { ...listening, condition: 'well' as Condition };
  return state;
}

describe('SCENARIO 45: the store', () => {
  let bridge: Bridge;
  let store: Awaited<ReturnType<typeof startFlakyStore>>;
  const functions = new Map<string, Invoke>();
  beforeAll(async () => {
    bridge = await startBridge({ settings: { STORE_TIMEOUT_MS: '1200' } });
    store = await startFlakyStore(bridge.stack.databaseUrl);
    process.env['AWS_ENDPOINT_URL_DYNAMODB'] = store.url;
    for (const definition of functionDefinitions()) functions.set(definition.name, await loadFunction(definition));
  });
  afterAll(async () => {
    await bridge.close();
    await store.close();
  });
  beforeEach(() => {
    store.condition = 'well';
  });

  async function invoke(name: string, routeKey: string, sessionId: string, body?: Json) {
    const startedMs = performance.now();
    const result = (await functions.get(name)?.({
      version: '2.0',
      routeKey,
      headers: { authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' },
      pathParameters: { sessionId },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      isBase64Encoded: false,
    })) as { statusCode: number; headers: Record<string, string>; body?: string };
    return { ...result, json: JSON.parse(result.body ?? 'null'), ms: performance.now() - startedMs };
  }
  const inject = (session: string, body: Json) =>
    invoke('inject', 'POST /v1/sessions/{sessionId}/variables', session, body);
  const sync = (session: string, body: Json) => invoke('sync', 'POST /v1/sessions/{sessionId}/sync', session, body);
  const erase = (session: string) => invoke('sync', 'DELETE /v1/sessions/{sessionId}', session);
  const inspect = (session: string) => invoke('snapshot', 'GET /v1/sessions/{sessionId}', session);

  it.each([
    ['cut', 503, 'store-unavailable'],
    ['refusing', 503, 'store-unavailable'],
    ['silent', 504, 'store-timeout'],
  ] as const)(
    '%s → %d %s in time, nothing is sent that is not recorded, and back again it works',
    async (condition, status, code) => {
      const session = `sess_${condition}`;
      expect((await inject(session, one('a', 'before'))).statusCode).toBe(200);

      store.condition = condition;
      const results = await Promise.all([
        inject(session, one('a', 'meanwhile')),
        inspect(session),
        sync(session, { data: { a: 'meanwhile' } }),
        erase(session),
      ]);
      for (const result of results) {
        expect({ status: result.statusCode, code: result.json.code }).toEqual({ status, code });
        expect(result.json.retryable).toBe(true);
        expect(Number(result.headers['retry-after'])).toBeGreaterThan(0);
        expect(result.ms).toBeLessThan(9_000);
      }
      expect([...bridge.requests(session), ...bridge.syncs(session)]).toHaveLength(1);

      store.condition = 'well';
      expect((await inject(session, one('a', 'after'))).statusCode).toBe(200);
      expect(bridge.bot(session)).toEqual({ a: 'after' });
      expect((await inspect(session)).json.context).toEqual({ a: 'after' });
      expect((await sync(session, { data: { b: 1 } })).json.context).toMatchObject({ a: 'after', b: 1 });
      expect((await bridge.audit(session)).chain.valid).toBe(true);
      expect((await erase(session)).statusCode).toBe(204);
      expect((await inspect(session)).json.code).toBe('unknown-session');
    },
  );

  it('gone while a sync is under way: the answer is 202, and the schedule finishes what was taken', async () => {
    const session = 'sess_between_syncs';
    bridge.tenant.faults.add({ match: { surface: 'sync', method: 'PUT' }, action: { delayMs: 1_500 } });
    const answer = sync(session, { data: { a: 1 } });
    await expect.poll(() => bridge.syncs(session).length, { interval: 5, timeout: 5_000 }).toBe(2);
    store.condition = 'cut';
    const result = await answer;
    store.condition = 'well';
    expect(result.statusCode).toBe(202);
    expect(result.json).toMatchObject({ status: 'pending', visibility: 'queued', version: 1 });

    travel(60_000);
    await bridge.stack.tick();
    const { entries } = await bridge.audit(session, `?operationId=${result.json.operationId}`);
    expect(entries.filter(({ outcome }: Json) => outcome === 'confirmed')).toHaveLength(1);
    expect((await inspect(session)).json.context).toEqual(bridge.bot(session));
    expect(bridge.bot(session)).toMatchObject({ a: 1 });
  });

  it('gone between commit and settle: the answer is 202, and the schedule finishes what was taken', async () => {
    const session = 'sess_between';
    bridge.tenant.settings.change({ latencyMs: 400 });
    const answer = inject(session, one('a', 1));
    await expect.poll(() => bridge.puts(session).length, { interval: 5, timeout: 5_000 }).toBe(1);
    store.condition = 'cut';
    const result = await answer;
    store.condition = 'well';
    bridge.tenant.settings.change({ latencyMs: 0 });
    expect(result.statusCode).toBe(202);
    expect(result.json).toMatchObject({ status: 'pending', visibility: 'queued', version: 1 });

    travel(60_000);
    await bridge.stack.tick();
    const { entries } = await bridge.audit(session, `?operationId=${result.json.operationId}`);
    expect(entries.filter(({ outcome }: Json) => outcome === 'confirmed')).toHaveLength(1);
    expect(bridge.bot(session)).toEqual({ a: 1 });
  });
});
