import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it } from 'vitest';
import { bodyOf, type LocalServer, listenOnLoopback, serverFor } from '../../../infra/local/listen.ts';
import { verifyStandardWebhook } from '../../../lib/events/standardWebhooks.ts';
import { StandardWebhookSender, signatureHeaders } from '../../../lib/events/webhookSender.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { newSession } from '../../fixtures/store/session.ts';

const SECRETS = [1, 2].map((fill) => `whsec_${Buffer.alloc(24, fill).toString('base64')}`);
const [FIRST = '', SECOND = ''] = SECRETS;

const opened: LocalServer[] = [];
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close();
});

interface Received {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** An endpoint that answers so, and its sender. */
async function endpoint(status: number, secrets: readonly string[] = [FIRST]) {
  const received: Received[] = [];
  const server = serverFor(async (request, response) => {
    const headers = new Map(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    received.push({ headers, body: await bodyOf(request) });
    response.writeHead(status, { location: '/elsewhere' }).end('what it says');
  });
  const local = await listenOnLoopback(server, 0);
  opened.push(local);
  const sender = new StandardWebhookSender({ url: local.url, secrets, allowPrivate: true, clock: systemClock });
  return { received, sender };
}
const soon = () => systemClock.now() + 5_000;

describe('StandardWebhookSender', () => {
  it('sends the event, and no more than that, signed', async () => {
    const { received, sender } = await endpoint(200);
    const event = eventOf(newSession('sess_1'), { crm: { account: 'ACC-1' }, operationId: 'op' });
    expect(await sender.send('01EVENT', event, soon())).toEqual({ kind: 'delivered' });
    const [{ headers, body } = { headers: new Map(), body: '' }] = received;
    expect(body).toBe(
      JSON.stringify({
        type: 'context.injected',
        timestamp: '2026-11-21T09:00:00.000Z',
        data: {
          sessionId: 'sess_1',
          event: 'context.injected',
          operationId: 'op',
          version: 3,
          paths: ['/tier'],
          crm: { account: 'ACC-1' },
        },
      }),
    );
    expect(headers.get('webhook-id')).toBe('01EVENT');
    expect(headers.get('content-type')).toBe('application/json');
    expect(headers.get('user-agent')).toBe('Context-Bridge/1');
    expect(() => new Webhook(FIRST).verify(body, Object.fromEntries(headers))).not.toThrow();
  });

  it('says null where nobody has said anything, and how many paths are not there', async () => {
    const { received, sender } = await endpoint(200);
    await sender.send('id', eventOf(newSession(), { paths: [], pathsOmitted: 7, code: 'session-ended' }), soon());
    const { data } = JSON.parse(received[0]?.body ?? '');
    expect(data).toMatchObject({ paths: [], pathsOmitted: 7, code: 'session-ended', crm: null });
  });

  it('SCENARIO 37: is believed with either secret while they are rotated', async () => {
    const { received, sender } = await endpoint(200, SECRETS);
    await sender.send('id', eventOf(), soon());
    const [{ headers, body } = { headers: new Map<string, string>(), body: '' }] = received;
    const signed = { headers, rawBody: Buffer.from(body) };
    for (const secret of SECRETS)
      expect(verifyStandardWebhook(signed, [secret], systemClock.now())).toEqual({ ok: true });
  });

  it.each([
    [204, { kind: 'delivered' }],
    [299, { kind: 'delivered' }],
    [410, { kind: 'gone' }],
    [302, { kind: 'failed', reason: 'status', status: 302 }],
    [307, { kind: 'failed', reason: 'status', status: 307 }],
    [400, { kind: 'failed', reason: 'status', status: 400 }],
    [429, { kind: 'failed', reason: 'status', status: 429 }],
    [500, { kind: 'failed', reason: 'status', status: 500 }],
  ])('takes %i for what it is', async (status, result) => {
    const { sender } = await endpoint(status);
    expect(await sender.send('id', eventOf(), soon())).toEqual(result);
  });

  it('fails where nobody is, and where nobody may be', async () => {
    const closed = await listenOnLoopback(createServer(), 0);
    await closed.close();
    const options = { secrets: [FIRST], clock: systemClock };
    const sender = (url: string, allowPrivate: boolean) => new StandardWebhookSender({ ...options, url, allowPrivate });
    expect(await sender(`http://127.0.0.1:${closed.port}`, true).send('id', eventOf(), soon())).toEqual({
      kind: 'failed',
      reason: 'ECONNREFUSED',
    });
    expect(await sender('https://127.0.0.1/', false).send('id', eventOf(), soon())).toEqual({
      kind: 'failed',
      reason: 'private-address',
    });
  });
});

describe('signatureHeaders', () => {
  it('are those of the specification: a fixed vector', () => {
    const nowMs = 1_614_265_330_999;
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    expect(signatureHeaders('msg_p5jXN8AQM9LWM0D4loKWxJek', '{"test": 2432232314}', [secret], nowMs)).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('hold a signature for each secret, with a space between', () => {
    const of = (secrets: readonly string[]) => signatureHeaders('id', '{}', secrets, 0)['webhook-signature'];
    expect(of(SECRETS)).toBe(`${of([FIRST])} ${of([SECOND])}`);
  });
});
