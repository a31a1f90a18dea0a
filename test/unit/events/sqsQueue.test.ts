import { describe, expect, it } from 'vitest';
import { QueueError, SqsQueue } from '../../../lib/events/sqsQueue.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';

const QUEUE_URL = 'https://sqs.eu-central-1.amazonaws.com/123456789012/notify';

function queueThat(answer: (url: string, init: RequestInit) => Response | Promise<Response>, endpoint?: string) {
  const sent: { url: string; init: RequestInit; body: Record<string, unknown> }[] = [];
  const queue = new SqsQueue({
    queueUrl: QUEUE_URL,
    ...(endpoint !== undefined && { endpoint }),
    region: 'eu-central-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret', sessionToken: 'token' },
    fetch: async (url, init) => {
      sent.push({ url, init, body: JSON.parse(String(init.body)) });
      return answer(url, init);
    },
    clock: new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5)),
  });
  return { queue, sent };
}

const taken = () => Response.json({});

describe('A queue of SQS', () => {
  it('takes a message by the AWS JSON protocol, signed for it, at the place that its URL names', async () => {
    const { queue, sent } = queueThat(taken);
    await queue.send({ body: { kind: 'lane' }, delaySeconds: 5 });
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({
      url: 'https://sqs.eu-central-1.amazonaws.com/',
      body: { QueueUrl: QUEUE_URL, MessageBody: '{"kind":"lane"}', DelaySeconds: 5 },
      init: {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': 'AmazonSQS.SendMessage',
          'x-amz-date': '20260102T030405Z',
          'x-amz-security-token': 'token',
          authorization: expect.stringMatching(
            /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/20260102\/eu-central-1\/sqs\/aws4_request, SignedHeaders=[^,]*\bhost\b[^,]*, Signature=[0-9a-f]{64}$/,
          ),
        },
      },
    });
  });

  it('is somewhere else where an endpoint is given, and is asked for under its own name all the same', async () => {
    const { queue, sent } = queueThat(taken, 'http://127.0.0.1:4566');
    await queue.send({ body: {} });
    expect(sent[0]).toMatchObject({ url: 'http://127.0.0.1:4566/', body: { QueueUrl: QUEUE_URL } });
  });

  it('takes ten messages in a request, and none in none', async () => {
    const { queue, sent } = queueThat(taken);
    await queue.sendAll(Array.from({ length: 21 }, (_each, index) => ({ body: { index } })));
    expect(sent.map(({ body }) => (body['Entries'] as unknown[]).length)).toEqual([10, 10, 1]);
    await queue.sendAll([]);
    expect(sent).toHaveLength(3);
  });

  it('that refuses one message of many has not taken them', async () => {
    const { queue } = queueThat(() => Response.json({ Successful: [], Failed: [{ Id: 'm1', Code: 'InternalError' }] }));
    await expect(queue.sendAll([{ body: {} }, { body: {} }])).rejects.toThrow(/1 of 2 refused/);
  });

  it.each([
    ['answers with an error', () => new Response('{"__type":"AccessDenied","message":"arn:secret"}', { status: 403 })],
    ['answers no JSON', () => new Response('<html>', { status: 200 })],
    ['redirects', () => new Response(null, { status: 302, headers: { location: 'https://elsewhere.test/' } })],
    ['cannot be reached', () => Promise.reject(new TypeError('fetch failed'))],
  ])('that %s has not taken it, and is not quoted', async (_what, answer) => {
    const { queue } = queueThat(answer);
    const failure = await queue.send({ body: {} }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(QueueError);
    expect(String(failure)).not.toContain('secret');
  });
});
