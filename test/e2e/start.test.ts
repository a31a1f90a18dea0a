import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LOCAL_CRM_WEBHOOK_SECRET } from '../../infra/local/crmSecrets.ts';
import { startReceiver } from '../../infra/local/receiver.ts';
import { startTenantServer, type TenantServer } from '../../infra/local/tenant/server.ts';
import { one } from '../fixtures/stack/bridge.ts';
import { makeClone } from '../fixtures/stack/clone.ts';
import type { Json } from '../fixtures/stack/http.ts';
import { npmStart, npmStartInVain, type Started } from '../fixtures/stack/npmStart.ts';
import { eventually } from '../fixtures/stack/time.ts';

/** Two of them, as during a rotation. */
const WEBHOOK_SECRETS = [1, 2].map((byte) => `whsec_${Buffer.alloc(24, byte).toString('base64')}`).join(', ');

let clone: ReturnType<typeof makeClone>;
const running: Started[] = [];
beforeAll(() => {
  clone = makeClone();
});
afterAll(() => clone.remove());
afterEach(async () => {
  for (const started of running.splice(0)) await started.end('SIGKILL');
});

async function start(env: Record<string, string> = {}): Promise<Started> {
  const started = await npmStart(clone.directory, { PORT: '0', ...env });
  running.push(started);
  return started;
}

/** Pastes a command into a shell. */
function paste(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('sh', ['-c', command], (error, stdout) => (error === null ? resolve(stdout) : reject(error)));
  });
}

function isOpen(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

const inject = (started: Started, session: string, body: Json, key?: string) =>
  started.send(`/v1/sessions/${session}/variables`, {
    method: 'POST',
    body: JSON.stringify(body),
    ...(key !== undefined && { headers: { 'idempotency-key': key } }),
  });

describe('npm start', () => {
  it('prints commands that work when pasted, says so once if the port is taken, and leaves nothing behind', async () => {
    const started = await start();
    expect(started.banner.match(/^.*unsigned.*$/gm)).toEqual([expect.stringContaining('COGNIGY_WEBHOOK_SECRET')]);
    const commands = started.banner.match(/^ {2}curl [\s\S]*?(?=\n\n)/gm) ?? [];
    expect(commands).toHaveLength(3);
    const [put = '', sync = '', look = ''] = commands;

    const first = JSON.parse(await paste(put));
    expect(first).toMatchObject({ status: 'injected', visibility: 'confirmed', sessionId: 'sess_1' });
    expect(JSON.parse(await paste(look)).context).toEqual({ crm_tier: 'gold' });
    const again = await paste(`${put} -i`);
    expect(again).toMatch(/^HTTP\/1.1 200 /);
    expect(again).toMatch(/^idempotency-replayed: true\r$/im);
    expect(JSON.parse(again.slice(again.indexOf('\r\n\r\n')))).toEqual(first);

    expect(JSON.parse(await paste(sync))).toMatchObject({
      status: 'synced',
      sessionId: 'sess_1',
      context: { crm_tier: 'gold', user_profile: { name: 'Ada' } },
    });
    expect(JSON.parse(await paste(look)).context).toMatchObject({ crm_tier: 'gold', user_profile: { name: 'Ada' } });

    const { port } = new URL(started.url);
    const second = await npmStartInVain(clone.directory, { PORT: port });
    expect(second.code).toBe(1);
    expect(second.stdout).toBe('');
    expect(second.stderr.trim().split('\n')).toEqual([expect.stringContaining(`Port ${port} is taken`)]);
    const third = await npmStartInVain(clone.directory, { PORT: '0', EVENTS_PORT: port });
    expect(third).toMatchObject({ code: 1, stdout: '' });
    expect(third.stderr.trim().split('\n')).toEqual([
      expect.stringMatching(`Port ${port} is taken.* EVENTS_PORT=${Number(port) + 1} npm start`),
    ]);
    // The first one has not noticed.
    expect((await inject(started, 'sess_1', one('a', 1))).status).toBe(200);

    // Behind `=` is what could be, not what is.
    const urls = started.banner.match(/(?<!=)http:\/\/[\w.[\]:]+:\d+/g) ?? [];
    expect(new Set(urls).size).toBe(5);
    for (const url of urls) expect(await isOpen(url)).toBe(true);
    expect(await started.end('SIGINT')).toEqual({ code: 0, signal: null });
    for (const url of urls) expect(await isOpen(url)).toBe(false);
    expect(started.errors).toBe('');
    expect(existsSync(join(clone.directory, '.data'))).toBe(false);
  });

  it.each([
    [{ PORT: 'many' }, /^PORT /],
    [{ PORT: '65536' }, /^PORT /],
    [{ EVENTS_PORT: 'many' }, /^EVENTS_PORT /],
    [{ SYNC_DEFAULT_TTL_SECONDS: 'hunter2' }, /SYNC_DEFAULT_TTL_SECONDS/],
    [{ SWEEP_SECONDS: '0' }, /^SWEEP_SECONDS /],
    [{ COGNIGY_BASE_URL: 'https://hunter2:hunter2@example.org' }, /COGNIGY_BASE_URL/],
    [{ AUDIT_VALUES: 'hunter2' }, /AUDIT_VALUES/],
    [{ CRM_WEBHOOK_SECRET: 'whsec_hunter2' }, /^CRM_WEBHOOK_SECRET .*\.$/],
    [{ CRM_WEBHOOK_URL: 'hunter2' }, /^CRM_WEBHOOK_URL .*\.$/],
    [{ CRM_WEBHOOK_URL: 'file:///hunter2' }, /^CRM_WEBHOOK_URL .*\.$/],
    [{ CRM_SECRETS: 'hunter2' }, /^CRM_SECRETS .*\.$/],
    [{ CRM_SECRETS: '{"generic":"hunter2"}' }, /^CRM_SECRETS .*\.$/],
    [{ CRM_SECRETS: '{"generic":["hunter2"]}' }, /^CRM_SECRETS.* generic.*\.$/],
    [{ CRM_SOURCES_FILE: 'nowhere.json' }, /^CRM_SOURCES_FILE.*\.$/],
    [{ CRM_SECRETS: '{"generic":["hunter2",""]}' }, /^CRM_SECRETS .*\.$/],
    [{ CRM_SECRETS: '{"generic":["hunter2","hunter2","hunter2"]}' }, /^CRM_SECRETS .*\.$/],
    [{ COGNIGY_WEBHOOK_SECRET: 'whsec_hunter2' }, /^COGNIGY_WEBHOOK_SECRET .*\.$/],
    [{ COGNIGY_WEBHOOK_SECRET: `${WEBHOOK_SECRETS},${WEBHOOK_SECRETS}` }, /^COGNIGY_WEBHOOK_SECRET .*\.$/],
  ])('SCENARIO 46: %j ends at once with one line', async (env, line) => {
    const { code, stdout, stderr } = await npmStartInVain(clone.directory, { PORT: '0', ...env });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(line)]);
    expect(stderr).not.toContain('hunter2');
  });

  it('with COGNIGY_WEBHOOK_SECRET takes signed webhooks only, and does not show what it is', async () => {
    const started = await start({ COGNIGY_WEBHOOK_SECRET: WEBHOOK_SECRETS });
    expect(started.banner).not.toContain('unsigned');
    expect(started.banner).not.toContain('whsec_');
    const { status, body } = await started.send('/v1/webhooks/cognigy', { method: 'POST', body: '{}' });
    expect([status, body.code]).toEqual([401, 'unauthenticated']);
  });
});

describe('npm start and npm run receiver', () => {
  it('say how to use the one with the other', async () => {
    const { banner } = await start();
    expect(banner).toMatch(
      /npm run receiver in a second terminal, and CRM_WEBHOOK_URL=http:\/\/127\.0\.0\.1:4020 npm start/,
    );
  });

  it('an outcome is told to the receiver, verified, and to whoever reads the terminal', async () => {
    const lines: string[] = [];
    const receiver = await startReceiver({
      port: 0,
      secrets: [LOCAL_CRM_WEBHOOK_SECRET],
      status: 204,
      print: (line) => lines.push(line),
    });
    try {
      const started = await start({ CRM_WEBHOOK_URL: `${receiver.url}/token-in-the-path` });
      expect(started.banner).toContain(`are told to localhost:${receiver.port} (CRM_WEBHOOK_URL)`);
      expect(started.banner).not.toContain('token-in-the-path');
      expect((await inject(started, 'sess_1', one('crm_tier', 'PRIVATE'))).status).toBe(200);
      await eventually(() => lines.length > 0, { what: 'the delivery' });
      expect(lines).toEqual([
        expect.stringMatching(/ {2}verified {2}\S+ {2}context\.injected {2}sess_1 {2}\/\S*crm_tier/),
      ]);
      await eventually(() => /on the bus: context\.injected {2}sess_1 {2}/.test(started.banner), {
        what: 'the event on the bus',
      });
      expect(started.banner + started.errors + lines.join()).not.toContain('PRIVATE');
      expect(started.errors).toBe('');
      expect(await started.end('SIGINT')).toEqual({ code: 0, signal: null });
    } finally {
      await receiver.close();
    }
  });
});

describe('killed and started again with the same DATA_DIR', () => {
  let tenant: TenantServer;
  let runs = 0;
  beforeAll(async () => {
    tenant = await startTenantServer({ settings: { ratePerMinute: 0 } });
  });
  afterAll(() => tenant.close());
  afterEach(() => tenant.tenant.reset());

  const puts = (session: string) =>
    tenant.tenant.journal.entries({ surface: 'inject', sessionId: session }).filter(({ method }) => method === 'PUT');
  const bot = (session: string) => tenant.tenant.sessions.inspect(session)?.context;
  const prepare = () => {
    runs += 1;
    return {
      COGNIGY_BASE_URL: tenant.url,
      DATA_DIR: join(clone.directory, `data-${runs}`),
      // What a dead process holds (lease, claim on the token) runs out soon.
      REQUEST_BUDGET_MS: '3000',
      UPSTREAM_TIMEOUT_MS: '2000',
    };
  };
  const entriesOf = async (started: Started, session: string): Promise<Json[]> => {
    const { body } = await started.send(`/v1/sessions/${session}/audit`);
    expect(body.chain).toEqual({ valid: true, brokenAt: null });
    return body.entries;
  };
  const confirmedOf = async (started: Started, session: string) =>
    (await entriesOf(started, session)).filter(({ outcome }) => outcome === 'confirmed');

  it('SCENARIO 15: everything acknowledged is there, and pending work goes on', async () => {
    const env = prepare();
    const before = await start(env);
    const confirmed = await inject(before, 'sess_1', one('a', 'kept'), 'key-1');
    expect(confirmed.status).toBe(200);
    tenant.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    const pending = await inject(before, 'sess_1', one('b', 'late'), 'key-2');
    expect(pending.status).toBe(202);
    expect(await before.end('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });

    tenant.tenant.faults.clear();
    const after = await start({ ...env, SWEEP_SECONDS: '1' });
    const { body } = await after.send('/v1/sessions/sess_1');
    expect(body).toMatchObject({ version: 2, context: { a: 'kept' } });
    const replay = await inject(after, 'sess_1', one('a', 'kept'), 'key-1');
    expect(replay.body).toEqual(confirmed.body);
    expect(replay.headers['idempotency-replayed']).toBe('true');

    await eventually(async () => (await after.send('/v1/sessions/sess_1')).body.pendingOperations === 0, {
      what: 'the pending operation',
    });
    expect(bot('sess_1')).toEqual({ a: 'kept', b: 'late' });
    const [last, first] = await confirmedOf(after, 'sess_1');
    expect(first.operationId).toBe(confirmed.body.operationId);
    expect(last.operationId).toBe(pending.body.operationId);
    expect(await after.end('SIGINT')).toEqual({ code: 0, signal: null });
  });

  it('SCENARIO 15: a sync that is killed in the middle of its push arrives, and what has expired leaves, with nobody asking', async () => {
    const env = { ...prepare(), SYNC_DEFAULT_TTL_SECONDS: '0', CONTEXT_MAX_BYTES: '50000' };
    const before = await start(env);
    const sync = (started: Started, body: Json, key: string) =>
      started.send('/v1/sessions/sess_1/sync', {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'idempotency-key': key },
      });
    const first = await sync(before, { data: { kept: { a: 1 }, otp: '1234' }, ttl: { '/otp': 5 } }, 'key-1');
    expect(first.status).toBe(200);
    // It has been read and merged; what is to be written is on its way, and gets nowhere.
    tenant.tenant.faults.add({
      match: { surface: 'sync', method: 'PUT' },
      times: 0,
      action: { status: 503, delayMs: 60_000 },
    });
    const writes = () =>
      tenant.tenant.journal.entries({ surface: 'sync', sessionId: 'sess_1' }).filter(({ method }) => method === 'PUT');
    const body = { data: { kept: { b: 2 } }, ttl: { '/kept/b': 900 } };
    const lost = sync(before, body, 'key-2').catch(() => 'lost');
    await eventually(() => writes().length > 1, { everyMs: 5, what: 'the PUT' });
    expect(await before.end('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
    expect(await lost).toBe('lost');
    expect(bot('sess_1')).toMatchObject({ kept: { a: 1 }, otp: '1234' });

    tenant.tenant.faults.clear();
    const after = await start({ ...env, SWEEP_SECONDS: '1' });
    const arrived = ({ kept, otp }: Json) => kept.b === 2 && otp === undefined;
    await eventually(() => arrived(bot('sess_1')), { what: 'the sync, and the end of what had expired' });

    const found = await eventually(
      async () => {
        const reply = await after.send('/v1/sessions/sess_1');
        return reply.body.pendingOperations === 0 && reply.body;
      },
      { what: 'the end of all work' },
    );
    expect(found.context).toEqual(bot('sess_1'));
    expect(found.context.kept).toEqual({ a: 1, b: 2 });
    // Settings go through.
    expect(found.limitBytes).toBe(50_000);
    expect(found.variables.find(({ path }: Json) => path === '/kept/a')).toMatchObject({ expiresAt: null });
    const synced = (await confirmedOf(after, 'sess_1')).filter(({ operation }) => operation === 'sync');
    expect(synced.map(({ versionAfter }) => versionAfter)).toEqual([2, 1]);
    const again = await sync(after, body, 'key-2');
    expect(again.status).toBe(200);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.body).toMatchObject({ status: 'synced', version: 2, operationId: synced[0].operationId });
  });

  it('SCENARIO 8: after the commit, before the upstream call: the schedule pushes it, and a retry joins it', async () => {
    const env = prepare();
    const before = await start(env);
    // Without a token nothing leaves.
    tenant.tenant.faults.add({ match: { surface: 'token' }, action: { delayMs: 60_000 } });
    const lost = inject(before, 'sess_1', one('a', 1), 'key-1').catch(() => 'lost');
    await eventually(async () => (await before.send('/v1/sessions/sess_1')).body.pendingOperations === 1, {
      everyMs: 10,
      what: 'the commit',
    });
    await before.end('SIGKILL');
    expect(await lost).toBe('lost');
    expect(puts('sess_1')).toEqual([]);

    const after = await start({ ...env, SWEEP_SECONDS: '1' });
    const retry = await inject(after, 'sess_1', one('a', 1), 'key-1');
    expect([200, 202]).toContain(retry.status);
    expect(retry.body.version).toBe(1);
    expect(retry.headers['idempotency-replayed']).toBe('true');
    const [confirmed] = await eventually(
      async () => {
        const found = await confirmedOf(after, 'sess_1');
        return found.length > 0 && found;
      },
      { what: 'the confirmation' },
    );
    expect(confirmed.operationId).toBe(retry.body.operationId);
    expect(bot('sess_1')).toEqual({ a: 1 });
    expect((await after.send('/v1/sessions/sess_1')).body).toMatchObject({ version: 1, confirmedVersion: 1 });
    expect(puts('sess_1')).toHaveLength(1);
  });

  it.each([
    {
      what: 'a message',
      path: '/v1/webhooks/cognigy',
      method: 'POST',
      body: { sessionId: 'sess_1', userId: 'u', message: 'hello', channel: 'web', timestamp: 1 },
      made: { context: { last_user_message: 'hello' }, version: 2 },
    },
    {
      what: 'a change of a dialog',
      path: '/v1/dialogs/sess_1/state',
      method: 'PATCH',
      body: { session: { a: 1 }, transition: { nextStep: 'next' } },
      made: { context: { a: 1 }, nextStep: 'next', version: 2 },
    },
  ])('SCENARIO 8: $what is not lost either, and made once', async ({ path, method, body, made }) => {
    const env = prepare();
    const before = await start(env);
    tenant.tenant.faults.add({ match: { surface: 'token' }, action: { delayMs: 60_000 } });
    const send = (started: Started) =>
      started.send(path, { method, body: JSON.stringify(body), headers: { 'idempotency-key': 'once' } });
    const lost = send(before).catch(() => 'lost');
    await eventually(async () => (await before.send('/v1/sessions/sess_1')).body.pendingOperations === 1, {
      everyMs: 10,
      what: 'the commit',
    });
    await before.end('SIGKILL');
    expect(await lost).toBe('lost');
    expect(bot('sess_1')).toBeUndefined();

    const after = await start({ ...env, SWEEP_SECONDS: '1' });
    await eventually(async () => (await confirmedOf(after, 'sess_1')).length > 0, { what: 'the confirmation' });
    expect(tenant.tenant.sessions.inspect('sess_1')).toMatchObject(made);
    const retry = await send(after);
    expect(retry.status).toBe(200);
    expect(retry.headers['idempotency-replayed']).toBe('true');
    expect(tenant.tenant.sessions.inspect('sess_1')).toMatchObject(made);
  });

  it('SCENARIO 9: after the upstream took it, before settling: pushed again without harm, one success', async () => {
    const env = prepare();
    const before = await start(env);
    tenant.tenant.faults.add({ match: { surface: 'inject' }, action: { delayMs: 60_000 } });
    const lost = inject(before, 'sess_1', one('a', 1), 'key-1').catch(() => 'lost');
    await eventually(() => puts('sess_1').length > 0, { everyMs: 5, what: 'the PUT' });
    await before.end('SIGKILL');
    expect(await lost).toBe('lost');
    expect(bot('sess_1')).toEqual({ a: 1 });

    const after = await start({ ...env, SWEEP_SECONDS: '1' });
    await eventually(async () => (await confirmedOf(after, 'sess_1')).length > 0, { what: 'the confirmation' });
    expect(puts('sess_1')).toHaveLength(2);
    expect(puts('sess_1')[1]?.body).toEqual(puts('sess_1')[0]?.body);
    expect(await confirmedOf(after, 'sess_1')).toHaveLength(1);
    const retry = await inject(after, 'sess_1', one('a', 1), 'key-1');
    expect(retry.status).toBe(200);
    expect(retry.headers['idempotency-replayed']).toBe('true');
    expect(puts('sess_1')).toHaveLength(2);
  });
});
