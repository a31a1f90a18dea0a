import {
  ChangeMessageVisibilityCommand,
  GetQueueAttributesCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type LocalQueues, queueClient, startQueues } from '../../../infra/local/queues.ts';
import { startPoller } from '../../../infra/local/sqsPoller.ts';

let queues: LocalQueues;
let client: SQSClient;
let poller: { close(): Promise<void> } | undefined;
beforeEach(async () => {
  queues = await startQueues();
  client = queueClient(queues.url);
});
afterEach(async () => {
  await poller?.close();
  poller = undefined;
  client.destroy();
  await queues.close();
  vi.restoreAllMocks();
});

type Handle = (event: SQSEvent) => Promise<Partial<SQSBatchResponse> | undefined>;

/** A poller whose function does as told, and the batches that the function has had. */
function poll(handle: Handle = async () => ({ batchItemFailures: [] }), slept: number[] = []) {
  const batches: SQSEvent[] = [];
  const invoke = async (event: unknown) => {
    batches.push(event as SQSEvent);
    return handle(event as SQSEvent);
  };
  poller = startPoller({
    client: queueClient(queues.url),
    queueUrl: queues.notifyQueueUrl,
    batchSize: 10,
    invoke,
    clock: {
      sleep: async (ms, signal) => {
        slept.push(ms);
        await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }));
      },
    },
  });
  return {
    get records(): SQSRecord[] {
      return batches.flatMap(({ Records }) => Records);
    },
    batches,
  };
}

const send = (...bodies: string[]) =>
  client.send(
    new SendMessageBatchCommand({
      QueueUrl: queues.notifyQueueUrl,
      Entries: bodies.map((MessageBody, index) => ({ Id: `m${index}`, MessageBody })),
    }),
  );

/** How many messages wait, and how many are hidden because somebody has received them. */
async function left() {
  const { Attributes: { ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible } = {} } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: queues.notifyQueueUrl, AttributeNames: ['All'] }),
  );
  return { waiting: Number(ApproximateNumberOfMessages), hidden: Number(ApproximateNumberOfMessagesNotVisible) };
}
const settled = (expected: { waiting: number; hidden: number }) =>
  vi.waitFor(async () => expect(await left()).toEqual(expected), { timeout: 5_000 });

/** Ends the visibility timeout of a message, as its time would. */
const show = ({ receiptHandle }: SQSRecord) =>
  client.send(
    new ChangeMessageVisibilityCommand({
      QueueUrl: queues.notifyQueueUrl,
      ReceiptHandle: receiptHandle,
      VisibilityTimeout: 0,
    }),
  );

describe('the event source mapping', () => {
  it('hands over what Lambda would, and deletes it', async () => {
    const seen = poll();
    await send('{"kind":"lane"}');
    await settled({ waiting: 0, hidden: 0 });
    expect(seen.records).toEqual([
      {
        messageId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        receiptHandle: expect.stringMatching(/\S/),
        body: '{"kind":"lane"}',
        attributes: {
          SenderId: '000000000000',
          SentTimestamp: expect.stringMatching(/^\d{13}$/),
          ApproximateReceiveCount: '1',
          ApproximateFirstReceiveTimestamp: expect.stringMatching(/^\d{13}$/),
        },
        messageAttributes: {},
        md5OfBody: expect.stringMatching(/^[0-9a-f]{32}$/),
        eventSource: 'aws:sqs',
        eventSourceARN: 'arn:aws:sqs:eu-central-1:000000000000:notify',
        awsRegion: 'eu-central-1',
      },
    ]);
  });

  it('hands over ten at a time at most', async () => {
    await send(...Array.from({ length: 10 }, (_, index) => `a${index}`));
    await send(...Array.from({ length: 10 }, (_, index) => `b${index}`));
    const seen = poll();
    await settled({ waiting: 0, hidden: 0 });
    expect(seen.batches.map(({ Records }) => Records.length)).toEqual([10, 10]);
  });

  it('leaves what has failed, and only that, until its visibility timeout is over', async () => {
    const failsOnce = new Set(['bad']);
    const seen = poll(async ({ Records }) => {
      const failed = Records.filter(({ body }) => failsOnce.delete(body));
      return { batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })) };
    });
    await send('good', 'bad', 'fine');
    await settled({ waiting: 0, hidden: 1 });
    const bad = seen.records.find(({ body }) => body === 'bad');
    if (bad === undefined) throw new Error('it never came');
    await show(bad);
    await settled({ waiting: 0, hidden: 0 });
    const times = seen.records.filter(({ body }) => body === 'bad').map(({ attributes }) => attributes);
    expect(times.map(({ ApproximateReceiveCount }) => ApproximateReceiveCount)).toEqual(['1', '2']);
    expect(seen.records).toHaveLength(4);
  });

  it.each([
    ['nothing', undefined],
    ['no list', {}],
  ])('takes %s for a success', async (_what, answer) => {
    poll(async () => answer);
    await send('a');
    await settled({ waiting: 0, hidden: 0 });
  });

  it.each(['', 'another message'])('takes a failure of "%s" for one of the whole batch', async (itemIdentifier) => {
    poll(async () => ({ batchItemFailures: [{ itemIdentifier }] }));
    await send('a', 'b');
    await settled({ waiting: 0, hidden: 2 });
  });

  it('keeps the batch of a function that throws, says so, and goes on after a pause', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    const slept: number[] = [];
    poll(async ({ Records }) => {
      if (Records.some(({ body }) => body === 'worst')) throw new Error('not now');
      return { batchItemFailures: [] };
    }, slept);
    await send('worst');
    await settled({ waiting: 0, hidden: 1 });
    await vi.waitFor(() => expect(slept).toEqual([1_000]));
    expect(printed.mock.calls).toEqual([['not now']]);
    // One that pauses does not keep the other from working.
    await send('good');
    await settled({ waiting: 0, hidden: 1 });
  });

  it('ends at once while it waits for messages', async () => {
    poll();
    const startedMs = performance.now();
    await poller?.close();
    // Far below the 20 s of a long poll.
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    await send('late');
    expect(await left()).toEqual({ waiting: 1, hidden: 0 });
  });

  it('ends when what is under way is done, and has deleted it', async () => {
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const seen = poll(async () => {
      await finished;
      return { batchItemFailures: [] };
    });
    await send('slow');
    await vi.waitFor(() => expect(seen.records).toHaveLength(1));
    const closed = poller?.close();
    finish();
    await closed;
    expect(await left()).toEqual({ waiting: 0, hidden: 0 });
  });
});
