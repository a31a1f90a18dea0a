import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LocalQueues, queueClient, startQueues } from '../../../infra/local/queues.ts';

let queues: LocalQueues;
let client: SQSClient;
beforeEach(async () => {
  queues = await startQueues();
  client = queueClient(queues.url);
});
afterEach(async () => {
  client.destroy();
  await queues.close();
});

const attributesOf = async (QueueUrl: string) =>
  (await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))).Attributes ?? {};

/** Receives without hiding what was received. */
const receive = async (QueueUrl: string) =>
  (await client.send(new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 0 }))).Messages ?? [];

describe('the local queues', () => {
  it('are as infra/queues.yml deploys them', async () => {
    const notify = await attributesOf(queues.notifyQueueUrl);
    expect(notify).toMatchObject({ VisibilityTimeout: '360', MessageRetentionPeriod: '86400' });
    const deadLetters = await attributesOf(queues.deadLetterQueueUrl);
    expect(deadLetters).toMatchObject({ MessageRetentionPeriod: '1209600' });
    expect(JSON.parse(notify['RedrivePolicy'] ?? '')).toEqual({
      deadLetterTargetArn: deadLetters['QueueArn'],
      maxReceiveCount: 5,
    });
  });

  it('have addresses that lead to where they are', () => {
    for (const url of [queues.notifyQueueUrl, queues.deadLetterQueueUrl]) {
      expect(new URL(url).origin).toBe(queues.url);
    }
  });

  it('bury a message that was received five times', async () => {
    await client.send(new SendMessageCommand({ QueueUrl: queues.notifyQueueUrl, MessageBody: 'no prompt' }));
    for (let times = 1; times <= 5; times += 1) expect(await receive(queues.notifyQueueUrl)).toHaveLength(1);
    expect(await receive(queues.notifyQueueUrl)).toEqual([]);
    expect(await receive(queues.deadLetterQueueUrl)).toMatchObject([{ Body: 'no prompt' }]);
  });
});
