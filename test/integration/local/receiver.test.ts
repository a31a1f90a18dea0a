import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it } from 'vitest';
import { LOCAL_CRM_WEBHOOK_SECRET } from '../../../infra/local/crmSecrets.ts';
import type { LocalServer } from '../../../infra/local/listen.ts';
import { type ReceiverOptions, startReceiver } from '../../../infra/local/receiver.ts';

const EVENT = {
  type: 'context.injected',
  timestamp: '2027-01-15T08:00:00.000Z',
  data: {
    sessionId: 'sess_1',
    event: 'context.injected',
    operationId: '01J',
    version: 7,
    paths: ['/crm_tier', '/crm_name'],
    crm: { account: 'PRIVATE' },
  },
};

let receiver: LocalServer | undefined;
afterEach(async () => {
  await receiver?.close();
  receiver = undefined;
});

async function prepare(options: Partial<ReceiverOptions> = {}) {
  const lines: string[] = [];
  const started = await startReceiver({
    port: 0,
    secrets: [LOCAL_CRM_WEBHOOK_SECRET],
    status: 204,
    print: (line) => lines.push(line),
    ...options,
  });
  receiver = started;
  const deliver = async (body: string, headers: Record<string, string> = {}) =>
    (await fetch(started.url, { method: 'POST', body, headers })).status;
  return { lines, deliver };
}

function signed(body: string, secret = LOCAL_CRM_WEBHOOK_SECRET, at = new Date()): Record<string, string> {
  return {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign('msg_1', at, body),
  };
}

describe('the receiver', () => {
  it('answers 204, and prints one line without values', async () => {
    const { lines, deliver } = await prepare();
    const body = JSON.stringify(EVENT);
    expect(await deliver(body, signed(body))).toBe(204);
    expect(lines).toEqual([
      expect.stringMatching(
        /^\d\d:\d\d:\d\d {2}verified {2}msg_1 {2}context\.injected {2}sess_1 {2}\/crm_tier \/crm_name {2}→ 204$/,
      ),
    ]);
  });

  it.each([
    ['nobody has signed', () => ({}), 'missing'],
    ['somebody else has signed', () => signed('{}', `whsec_${Buffer.alloc(24, 1).toString('base64')}`), 'mismatch'],
    ['was changed on its way', () => signed('{ }'), 'mismatch'],
    ['was signed long ago', () => signed('{}', LOCAL_CRM_WEBHOOK_SECRET, new Date(Date.now() - 600_000)), 'stale'],
  ])('says so of what %s', async (_what, headers, reason) => {
    const { lines, deliver } = await prepare();
    expect(await deliver('{}', headers())).toBe(204);
    expect(lines).toEqual([expect.stringContaining(`NOT VERIFIED (${reason})`)]);
  });

  it('takes either secret during a rotation', async () => {
    const old = `whsec_${Buffer.alloc(24, 2).toString('base64')}`;
    const { lines, deliver } = await prepare({ secrets: [LOCAL_CRM_WEBHOOK_SECRET, old] });
    await deliver('{}', signed('{}', old));
    expect(lines).toEqual([expect.stringMatching(/ {2}verified {2}/)]);
  });

  it.each([500, 410])('plays a CRM that answers %i', async (status) => {
    const { lines, deliver } = await prepare({ status });
    expect(await deliver('{}', signed('{}'))).toBe(status);
    expect(lines).toEqual([expect.stringMatching(`→ ${status}$`)]);
  });

  it.each([
    ['no JSON', '{'],
    ['something else', '[1]'],
    ['other types', '{"type":1,"data":{"sessionId":{},"paths":"x"}}'],
    ['what would steer a terminal', '{"type":"\\u001b[2J\\nverified","data":{"paths":["\\u202e"]}}'],
    ['very much', JSON.stringify({ type: 'x'.repeat(10_000) })],
  ])('prints one short line about a body with %s', async (_what, body) => {
    const { lines, deliver } = await prepare();
    expect(await deliver(body)).toBe(204);
    expect(lines).toEqual([expect.stringMatching(/^\P{C}{1,400}$/u)]);
  });
});

describe('npm run receiver', () => {
  /** Runs it where it is not going to come up. */
  const runInVain = (args: readonly string[], env: Record<string, string>) =>
    new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      const file = fileURLToPath(new URL('../../../infra/local/receiver.ts', import.meta.url));
      execFile(process.execPath, [file, ...args], { env }, (error, stdout, stderr) =>
        resolve({ code: error?.code, stdout, stderr }),
      );
    });

  it.each([
    [['--status', '99'], {}, /^--status /],
    [['--state', '500'], {}, /--state/],
    [[], { RECEIVER_PORT: 'many' }, /^RECEIVER_PORT /],
    [[], { CRM_WEBHOOK_SECRET: 'whsec_hunter2' }, /^CRM_WEBHOOK_SECRET /],
  ])('with %j and %j ends at once with one line', async (args, env, line) => {
    const { code, stdout, stderr } = await runInVain(args, env);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(line)]);
    expect(stderr).not.toContain('hunter2');
  });

  it('says which port is taken, and what to do', async () => {
    await prepare();
    const port = receiver?.port ?? 0;
    const { code, stderr } = await runInVain([], { RECEIVER_PORT: String(port) });
    expect([code, stderr.trim()]).toEqual([
      1,
      `Port ${port} is taken. End what uses it, or choose another: RECEIVER_PORT=${port + 1} npm run receiver`,
    ]);
  });
});
