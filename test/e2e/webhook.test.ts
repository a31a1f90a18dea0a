import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Body, type Bridge, startBridge } from '../fixtures/stack/bridge.ts';
import { travel } from '../fixtures/stack/time.ts';

const SECRET = `whsec_${Buffer.from('the secret of today, 24+').toString('base64')}`;
const NEXT_SECRET = `whsec_${Buffer.from('the secret of tomorrow 1').toString('base64')}`;
const OTHER_SECRET = `whsec_${Buffer.from('the secret of yesterday!').toString('base64')}`;

const MESSAGE = {
  sessionId: 'sess_1',
  userId: 'alice@example.org',
  message: 'Where is my order?',
  channel: 'webchat',
  timestamp: 1_764_000_000_123,
};

/** Headers as Standard Webhooks has them, made without the library that verifies them. */
function signed(
  body: string | Uint8Array,
  { secret = SECRET, id = `msg_${randomUUID()}`, at = Date.now() }: { secret?: string; id?: string; at?: number } = {},
): Record<string, string> {
  const seconds = Math.floor(at / 1_000);
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${seconds}.`).update(body).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': `v1,${signature}` };
}

let bridge: Bridge;
let sessions = 0;
const newSession = () => {
  sessions += 1;
  return `sess_${sessions}`;
};
const posts = (sessionId: string) =>
  // A tenant that was reset wants a new token first.
  bridge.tenant.journal.entries({ surface: 'webhook', sessionId }).filter(({ status }) => status !== 401);

describe('POST /v1/webhooks/cognigy, signed', () => {
  beforeAll(async () => {
    bridge = await startBridge({ webhookSecrets: [SECRET, NEXT_SECRET] });
  });
  afterAll(() => bridge.close());
  beforeEach(() => bridge.tenant.reset());

  const send = (body: Body, headers?: Record<string, string>) => {
    const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
    return bridge.webhook(text, headers ?? signed(text));
  };

  it('is answered when the upstream has what the bot is to know', async () => {
    const sessionId = newSession();
    const reply = await send({ ...MESSAGE, sessionId, custom: { page: '/cart' } });
    expect([reply.status, reply.body]).toEqual([
      200,
      expect.objectContaining({ status: 'processed', sessionId, visibility: 'confirmed' }),
    ]);
    expect(bridge.bot(sessionId)).toEqual({
      last_user_message: MESSAGE.message,
      webhook_timestamp: MESSAGE.timestamp,
      channel_type: 'webchat',
      custom_data: '{"page":"/cart"}',
    });
    expect(posts(sessionId)).toHaveLength(1);
    expect(bridge.requests(sessionId)).toEqual([]);
  });

  it('makes the session known', async () => {
    const sessionId = newSession();
    await send({ ...MESSAGE, sessionId });
    const { body } = await bridge.get(`/v1/sessions/${sessionId}`);
    expect(body.context).toMatchObject({ last_user_message: MESSAGE.message });
    const { entries } = await bridge.audit(sessionId);
    expect(entries).toMatchObject([{ operation: 'webhook', client: 'webhook', outcome: 'confirmed' }]);
  });

  it('SCENARIO 13: three times at once: one effect, three 2xx, whatever each is called', async () => {
    const body = JSON.stringify({ ...MESSAGE, sessionId: newSession() });
    const replies = await Promise.all([1, 2, 3].map(() => send(body)));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(posts(JSON.parse(body).sessionId)).toHaveLength(1);
  });

  describe('SCENARIO 37: the signature', () => {
    const body = JSON.stringify({ ...MESSAGE, sessionId: 'sess_signature' });
    const right = signed(body, { id: 'msg_1' });
    const { 'webhook-signature': signature = '' } = right;

    it.each<[string, Record<string, string>, number]>([
      ['right', right, 200],
      ['of the second live secret', signed(body, { secret: NEXT_SECRET }), 200],
      ['one of several', { ...right, 'webhook-signature': `v1,AAAA ${signature} v2,xyz` }, 200],
      ['four minutes old', signed(body, { at: Date.now() - 240_000 }), 200],
      ['missing', {}, 401],
      ['without an id', { ...right, 'webhook-id': '' }, 401],
      ['without a moment', { ...right, 'webhook-timestamp': '' }, 401],
      ['malformed', { ...right, 'webhook-signature': 'nonsense' }, 401],
      ['empty', { ...right, 'webhook-signature': 'v1,' }, 401],
      ['too short', { ...right, 'webhook-signature': signature.slice(0, -8) }, 401],
      ['too long', { ...right, 'webhook-signature': `${signature}AAAA` }, 401],
      ['of another version', { ...right, 'webhook-signature': signature.replace('v1', 'v2') }, 401],
      ['of a secret that is over', signed(body, { secret: OTHER_SECRET }), 401],
      ['of another body', signed(`${body} `), 401],
      ['of another id', { ...right, 'webhook-id': 'msg_2' }, 401],
      ['of another moment', { ...right, 'webhook-timestamp': String(Number(right['webhook-timestamp']) + 1) }, 401],
      ['six minutes old', signed(body, { at: Date.now() - 360_000 }), 401],
      ['of a time to come', signed(body, { at: Date.now() + 360_000 }), 401],
      ['of no moment', { ...right, 'webhook-timestamp': 'NaN' }, 401],
    ])('%s', async (_what, headers, status) => {
      bridge.tenant.journal.clear();
      const reply = await send(body, headers);
      expect(reply.status).toBe(status);
      if (status !== 401) return;
      expect(reply.body.code).toBe('unauthenticated');
      expect(reply.text).not.toContain(signature);
      expect(posts('sess_signature')).toEqual([]);
    });

    it('is about the bytes: a body that is no text, or that the gateway hands over as base64, is the same to it', async () => {
      const bytes = Buffer.from([0xff, 0xfe, 0x7b, 0x7d]);
      expect((await send(bytes, signed(bytes))).status).toBe(401);
      const sessionId = newSession();
      const text = JSON.stringify({ ...MESSAGE, sessionId, message: 'Zürich 🚀' });
      const reply = await bridge.webhook(text, { ...signed(text), 'content-type': 'application/octet-stream' });
      expect([reply.status, reply.body.code]).toEqual([415, 'unsupported-media-type']);
      expect((await send(text)).status).toBe(200);
      expect(bridge.bot(sessionId)).toMatchObject({ last_user_message: 'Zürich 🚀' });
    });

    it('comes before everything else: without it nobody is told what is wrong with a body', async () => {
      for (const wrong of ['{', '{}', '{"a":1,"a":2}']) expect((await send(wrong, {})).status).toBe(401);
    });
  });

  describe('A body that is wrong', () => {
    it.each<[string, object, string[]]>([
      ['empty', {}, ['/channel', '/message', '/sessionId', '/timestamp', '/userId']],
      ['a session id that is none', { ...MESSAGE, sessionId: '../../admin' }, ['/sessionId']],
      ['a timestamp as text', { ...MESSAGE, timestamp: '1764000000123' }, ['/timestamp']],
      ['a fraction of a millisecond', { ...MESSAGE, timestamp: 1.5 }, ['/timestamp']],
      ['custom data that is a list', { ...MESSAGE, custom: [] }, ['/custom']],
      ['custom data that is null', { ...MESSAGE, custom: null }, ['/custom']],
      ['a user without a name', { ...MESSAGE, userId: '' }, ['/userId']],
      ['a member that nobody knows', { ...MESSAGE, extra: 1 }, ['/extra']],
      ['a number as message', { ...MESSAGE, message: 7 }, ['/message']],
      [
        'SCENARIO 35: several',
        { sessionId: '', userId: 1, message: 'x', channel: '' },
        ['/channel', '/sessionId', '/timestamp', '/userId'],
      ],
    ])('%s: 422 with every place', async (_what, body, pointers) => {
      const reply = await send(body);
      expect([reply.status, reply.body.code]).toEqual([422, 'validation-failed']);
      expect(reply.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual(pointers);
      expect(reply.text).not.toContain('alice');
    });

    it('is audited where it says whose it is', async () => {
      const sessionId = newSession();
      await send({ ...MESSAGE, sessionId, timestamp: 'x' });
      const { entries } = await bridge.audit(sessionId);
      expect(entries).toMatchObject([{ operation: 'webhook', outcome: 'refused', pointers: ['/timestamp'] }]);
    });

    it.each([
      ['SCENARIO 31', `{"custom":{"__proto__":{}},${JSON.stringify(MESSAGE).slice(1)}`, 422, 'validation-failed'],
      ['SCENARIO 32', `{"message":"a",${JSON.stringify(MESSAGE).slice(1)}`, 400, 'duplicate-json-key'],
      ['no JSON', '{"sessionId":', 400, 'malformed-json'],
    ])('%s: %s is %i', async (_what, body, status, code) => {
      const reply = await send(body);
      expect([reply.status, reply.body.code]).toEqual([status, code]);
    });

    it('SCENARIO 34: nested beyond all limits is 422, without a stack', async () => {
      const custom = `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`;
      const reply = await send(`${JSON.stringify(MESSAGE).slice(0, -1)},"custom":${custom}}`);
      expect(reply.status).toBe(422);
    });

    it('SCENARIO 28: what the upstream takes just so is sent, one byte more is 413', async () => {
      const sessionId = newSession();
      const sent = {
        last_user_message: 'é',
        webhook_timestamp: MESSAGE.timestamp,
        channel_type: 'webchat',
        custom_data: '{}',
      };
      const room = 262_144 - Buffer.byteLength(JSON.stringify({ variables: sent }));
      const message = `é${'x'.repeat(room)}`;
      expect((await send({ ...MESSAGE, sessionId, message })).status).toBe(200);
      expect(posts(sessionId).at(-1)?.bodyBytes).toBe(262_144);
      const reply = await send({ ...MESSAGE, sessionId: newSession(), message: `${message}x` });
      expect([reply.status, reply.body.code]).toEqual([413, 'payload-too-large']);
    });
  });

  describe('An upstream in trouble', () => {
    const at = { surface: 'webhook' } as const;

    it.each([
      ['SCENARIO 18: 403', { status: 403 }, 502, 'upstream-forbidden'],
      ['SCENARIO 18: 401 again and again', { status: 401 }, 502, 'upstream-unauthorized'],
      ['SCENARIO 20: 404', { status: 404 }, 410, 'session-ended'],
      ['SCENARIO 22: HTML', { malformed: 'html' }, 502, 'upstream-bad-response'],
      ['SCENARIO 22: cut off', { malformed: 'truncated' }, 502, 'upstream-bad-response'],
      ['SCENARIO 23: a redirect', { redirectTo: 'http://127.0.0.1:9/' }, 502, 'upstream-bad-response'],
      ['a refusal', { status: 400 }, 502, 'upstream-rejected'],
    ] as const)('%s', async (_what, action, status, code) => {
      bridge.tenant.faults.add({ match: at, times: 0, action });
      const reply = await send({ ...MESSAGE, sessionId: newSession() });
      expect([reply.status, reply.body.code]).toEqual([status, code]);
    });

    it('that is down: 202, and once it is back the schedule brings the message', async () => {
      const sessionId = newSession();
      bridge.tenant.faults.add({ match: at, times: 3, action: { status: 503 } });
      const reply = await send({ ...MESSAGE, sessionId });
      expect([reply.status, reply.body]).toEqual([
        202,
        expect.objectContaining({ status: 'accepted', sessionId, visibility: 'queued' }),
      ]);
      expect(bridge.bot(sessionId)).toBeUndefined();

      // Past the first pause of what is pending, and well within what a signature may be old.
      travel(20_000);
      await bridge.stack.tick();
      expect(bridge.bot(sessionId)).toMatchObject({ last_user_message: MESSAGE.message });
      const { entries } = await bridge.audit(sessionId);
      expect(entries.map(({ outcome }: { outcome: string }) => outcome)).toEqual(['confirmed', 'pending']);
    });
  });
});

describe('The time budget', () => {
  it('of WEBHOOK_BUDGET_MS: 202 before it is over, however long the upstream takes', async () => {
    // Generous for a busy machine, and still less than the budget by default (4 s) leaves, and than the upstream takes.
    const boundMs = 3_000;
    const delayMs = 6_000;
    bridge = await startBridge({ webhookSecrets: [SECRET], settings: { WEBHOOK_BUDGET_MS: '900' } });
    try {
      bridge.tenant.faults.add({ match: { surface: 'webhook' }, times: 0, action: { delayMs } });
      const body = JSON.stringify({ ...MESSAGE, sessionId: 'sess_slow' });
      const startedMs = performance.now();
      const reply = await bridge.webhook(body, signed(body));
      const tookMs = performance.now() - startedMs;
      expect([reply.status, reply.body.status]).toEqual([202, 'accepted']);
      expect(tookMs).toBeLessThan(boundMs);
    } finally {
      await bridge.close();
    }
  });
});

describe('Without a secret for signatures', () => {
  it('locally: unsigned messages are accepted', async () => {
    bridge = await startBridge();
    try {
      expect((await bridge.webhook(MESSAGE)).status).toBe(200);
    } finally {
      await bridge.close();
    }
  });

  it('SCENARIO 38: deployed: everything is refused, and the log names what is missing', async () => {
    bridge = await startBridge({ settings: { ALLOW_UNSIGNED_WEBHOOKS: undefined } });
    try {
      const reply = await bridge.webhook(MESSAGE);
      expect([reply.status, reply.body.code]).toEqual([500, 'misconfigured']);
      expect(bridge.bot('sess_1')).toBeUndefined();
    } finally {
      await bridge.close();
    }
  });

  it('a permission to do without is worth nothing where there is a secret', async () => {
    bridge = await startBridge({ webhookSecrets: [SECRET], settings: { ALLOW_UNSIGNED_WEBHOOKS: 'true' } });
    try {
      expect((await bridge.webhook(MESSAGE)).status).toBe(401);
    } finally {
      await bridge.close();
    }
  });
});
