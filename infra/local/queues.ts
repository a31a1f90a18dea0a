import { readFileSync } from 'node:fs';
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { buildApp } from 'fauxqs';
import { parse } from 'yaml';
import { LOCAL_CREDENTIALS, LOCAL_REGION } from './database.ts';
import { type LocalServer, listenOnLoopback } from './listen.ts';

/** The queues of `infra/queues.yml`, on this machine. */
export interface LocalQueues extends LocalServer {
  readonly notifyQueueUrl: string;
  readonly deadLetterQueueUrl: string;
}

/** What `infra/queues.yml` says of a queue. */
interface QueueProperties {
  readonly VisibilityTimeout?: number;
  readonly MessageRetentionPeriod: number;
  readonly RedrivePolicy?: { readonly maxReceiveCount: number };
}

/**
 * fauxqs, in memory: what is to be delivered is in the table, and the schedule prompts again what is due. With the queues as
 * `infra/queues.yml` deploys them, so that they have one definition.
 */
export async function startQueues(): Promise<LocalQueues> {
  // Not its own `startFauxqs`, which listens on every interface of the machine.
  const app = buildApp({ logger: false, defaultRegion: LOCAL_REGION });
  await app.ready();
  const local = await listenOnLoopback(app.server, 0);
  const close = async () => {
    await app.close();
    await local.close();
  };
  try {
    return { ...local, ...(await createQueues(local.url)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function createQueues(endpoint: string): Promise<Pick<LocalQueues, 'notifyQueueUrl' | 'deadLetterQueueUrl'>> {
  const client = queueClient(endpoint);
  const create = async (name: string, attributes: Record<string, string>): Promise<string> => {
    const { QueueUrl = '' } = await client.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
    // fauxqs names a host as AWS does, `sqs.<region>.…`, which not every machine resolves.
    return new URL(new URL(QueueUrl).pathname, endpoint).href;
  };
  const { NotifyQueue, DeadLetterQueue } = parse(readFileSync(new URL('../queues.yml', import.meta.url), 'utf8'), {
    logLevel: 'silent',
  }).Resources as Record<'NotifyQueue' | 'DeadLetterQueue', { readonly Properties: QueueProperties }>;
  try {
    const deadLetterQueueUrl = await create('dead-letters', attributesOf(DeadLetterQueue.Properties));
    const redrive = {
      deadLetterTargetArn: `arn:aws:sqs:${LOCAL_REGION}:000000000000:dead-letters`,
      maxReceiveCount: NotifyQueue.Properties.RedrivePolicy?.maxReceiveCount,
    };
    const notifyQueueUrl = await create('notify', {
      ...attributesOf(NotifyQueue.Properties),
      RedrivePolicy: JSON.stringify(redrive),
    });
    return { notifyQueueUrl, deadLetterQueueUrl };
  } finally {
    client.destroy();
  }
}

function attributesOf({ VisibilityTimeout, MessageRetentionPeriod }: QueueProperties): Record<string, string> {
  return {
    MessageRetentionPeriod: String(MessageRetentionPeriod),
    ...(VisibilityTimeout !== undefined && { VisibilityTimeout: String(VisibilityTimeout) }),
  };
}

/** A client of queues on this machine. */
export function queueClient(endpoint: string): SQSClient {
  return new SQSClient({ endpoint, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
}
