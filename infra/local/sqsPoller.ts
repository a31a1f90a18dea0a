import { DeleteMessageBatchCommand, type Message, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { type Clock, systemClock } from '../../lib/platform/clock.ts';
import { LOCAL_REGION } from './database.ts';
import type { Invoke } from './functions.ts';

export interface PollerOptions {
  /** The poller's own from now on: it ends with it. */
  readonly client: SQSClient;
  readonly queueUrl: string;
  /** Messages of one invocation, at most. */
  readonly batchSize: number;
  readonly invoke: Invoke;
  readonly clock?: Pick<Clock, 'sleep'>;
}

/** So many batches are under way at a time: one endpoint that hangs does not hold up all others. */
const POLLERS = 2;
/** SQS's longest. */
const WAIT_SECONDS = 20;
const RETRY_AFTER_MS = 1_000;

/**
 * What an event source mapping with `ReportBatchItemFailures` does: polls a queue, hands its messages to a function, and deletes
 * those that it has not reported as failed. The others show up again when their visibility timeout is over.
 */
export function startPoller(options: PollerOptions): { close(): Promise<void> } {
  const { client, clock = systemClock } = options;
  const closing = new AbortController();
  const poll = async () => {
    while (!closing.signal.aborted) {
      try {
        await workOff(options, await receive(options, closing.signal));
      } catch (error) {
        if (closing.signal.aborted) return;
        console.error(error instanceof Error ? error.message : error);
        await clock.sleep(RETRY_AFTER_MS, closing.signal);
      }
    }
  };
  const pollers = Array.from({ length: POLLERS }, poll);
  return {
    close: async () => {
      closing.abort();
      await Promise.all(pollers);
      client.destroy();
    },
  };
}

async function receive({ client, queueUrl, batchSize }: PollerOptions, abortSignal: AbortSignal): Promise<Message[]> {
  const command = new ReceiveMessageCommand({
    QueueUrl: queueUrl,
    MaxNumberOfMessages: batchSize,
    WaitTimeSeconds: WAIT_SECONDS,
    MessageSystemAttributeNames: ['All'],
  });
  const { Messages: messages = [] } = await client.send(command, { abortSignal });
  return messages;
}

async function workOff({ client, queueUrl, invoke }: PollerOptions, messages: readonly Message[]): Promise<void> {
  if (messages.length === 0) return;
  const event: SQSEvent = { Records: messages.map((message) => recordOf(message, queueUrl)) };
  const failed = failuresOf(await invoke(event), event);
  const done = messages.filter(({ MessageId }) => !failed.has(MessageId ?? ''));
  if (done.length === 0) return;
  const Entries = done.map(({ ReceiptHandle }, index) => ({ Id: `m${index}`, ReceiptHandle }));
  await client.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
}

/** As Lambda reads it: an answer that names something else than messages of this batch is a failure of all of them. */
function failuresOf(answer: unknown, { Records }: SQSEvent): ReadonlySet<string> {
  const ids = Records.map(({ messageId }) => messageId);
  const { batchItemFailures } = (answer ?? {}) as Partial<SQSBatchResponse>;
  const failed = batchItemFailures?.map(({ itemIdentifier }) => itemIdentifier) ?? [];
  return new Set(failed.every((id) => ids.includes(id)) ? failed : ids);
}

function recordOf(message: Message, queueUrl: string): SQSRecord {
  const { MessageId = '', ReceiptHandle = '', Body = '', MD5OfBody = '', Attributes = {} } = message;
  const {
    SenderId = '',
    SentTimestamp = '',
    ApproximateReceiveCount = '',
    ApproximateFirstReceiveTimestamp = '',
  } = Attributes;
  return {
    messageId: MessageId,
    receiptHandle: ReceiptHandle,
    body: Body,
    attributes: { SenderId, SentTimestamp, ApproximateReceiveCount, ApproximateFirstReceiveTimestamp },
    messageAttributes: {},
    md5OfBody: MD5OfBody,
    eventSource: 'aws:sqs',
    eventSourceARN: `arn:aws:sqs:${LOCAL_REGION}:000000000000:${queueUrl.split('/').at(-1)}`,
    awsRegion: LOCAL_REGION,
  };
}
