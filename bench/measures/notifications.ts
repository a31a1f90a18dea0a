import { randomUUID } from 'node:crypto';
import { DeleteMessageCommand, type Message, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { SQSEvent } from 'aws-lambda';
import { startEventBridge } from '../../infra/local/eventBridge.ts';
import { bodyOf, listenOnLoopback, serverFor } from '../../infra/local/listen.ts';
import { queueClient, startQueues } from '../../infra/local/queues.ts';
import { type FunctionProcess, startFunction } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { crmVariables, injectEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest } from '../world/protocol.ts';

/** What telling one outcome took: from the queue's message to an endpoint and the bus. */
export interface TimedNotification {
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  /** To the CRM's endpoint. */
  readonly upstream: readonly { readonly sentBytes: number }[];
  readonly onBus: number;
}

const EVENT_BUS_NAME = 'bench';
const LONGEST_WAIT_SECONDS = 5;

/** Injections, then what the queue says of them, one message after the other, to the built function. The endpoint answers at once. */
export async function runNotifications(
  world: World,
  files: { readonly inject: string; readonly notify: string },
  notifications: number,
): Promise<readonly TimedNotification[]> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const sent: { readonly sentBytes: number }[] = [];
  let onBus = 0;
  const endpoint = await listenOnLoopback(
    serverFor(async (request, response) => {
      sent.push({ sentBytes: (await bodyOf(request)).length });
      response.writeHead(204).end();
    }),
    0,
  );
  const queues = await startQueues();
  const onEvent = () => {
    onBus += 1;
  };
  const ownBus = { name: EVENT_BUS_NAME, onEvent };
  const bus = await startEventBridge({ port: 0, rules: [], ownBus });
  const environment = {
    ...world.environment,
    NOTIFY_QUEUE_URL: queues.notifyQueueUrl,
    DEAD_LETTER_QUEUE_URL: queues.deadLetterQueueUrl,
    AWS_ENDPOINT_URL_SQS: queues.url,
    AWS_ENDPOINT_URL_EVENTBRIDGE: bus.url,
    EVENT_BUS_NAME,
    CRM_WEBHOOK_URL: endpoint.url,
    ALLOW_PRIVATE_WEBHOOKS: 'true',
  };
  const started: FunctionProcess[] = [];
  const client = queueClient(queues.url);
  try {
    const inject = await startFunction(files.inject, environment);
    started.push(inject);
    const notify = await startFunction(files.notify, environment);
    started.push(notify);
    for (let turn = 0; turn < notifications; turn += 1) {
      const event = injectEvent({ sessionId: `told-${randomUUID()}`, variables: crmVariables(turn) });
      const { status } = await inject.invoke(event);
      if (status !== 200) throw new Error(`an injection was answered ${status}`);
    }
    const timed: TimedNotification[] = [];
    while (timed.length < notifications) {
      const command = new ReceiveMessageCommand({
        QueueUrl: queues.notifyQueueUrl,
        WaitTimeSeconds: LONGEST_WAIT_SECONDS,
        MessageSystemAttributeNames: ['All'],
      });
      const { Messages: [message] = [] } = await client.send(command);
      if (message === undefined)
        throw new Error(`the queue has said nothing of ${notifications - timed.length} outcomes`);
      sent.length = 0;
      onBus = 0;
      await world.take();
      const invocation = await notify.invoke(eventOf(message));
      const { database } = await world.take();
      timed.push({ invocation, database, upstream: [...sent], onBus });
      const { ReceiptHandle } = message;
      await client.send(new DeleteMessageCommand({ QueueUrl: queues.notifyQueueUrl, ReceiptHandle }));
    }
    return timed;
  } finally {
    client.destroy();
    await Promise.all([...started.map((each) => each.close()), endpoint.close(), bus.close(), queues.close()]);
    await world.take();
  }
}

/** As Lambda's event source hands it over. */
function eventOf({ MessageId = '', ReceiptHandle = '', Body = '', MD5OfBody = '' }: Message): SQSEvent {
  const attributes = {
    ApproximateReceiveCount: '1',
    SentTimestamp: String(Date.now()),
    SenderId: 'bench',
    ApproximateFirstReceiveTimestamp: String(Date.now()),
  };
  return {
    Records: [
      {
        messageId: MessageId,
        receiptHandle: ReceiptHandle,
        body: Body,
        attributes,
        messageAttributes: {},
        md5OfBody: MD5OfBody,
        eventSource: 'aws:sqs',
        eventSourceARN: 'arn:aws:sqs:local:000000000000:notify',
        awsRegion: 'local',
      },
    ],
  };
}
