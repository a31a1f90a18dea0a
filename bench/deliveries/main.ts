// The way of events out of the bridge, in a process of its own: queue, bus, an endpoint where one is wanted, and the built notify
// function that works the queue off.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEventBridge } from '../../infra/local/eventBridge.ts';
import { functionDefinitions, loadFunction } from '../../infra/local/functions.ts';
import { listenOnLoopback, serverFor } from '../../infra/local/listen.ts';
import { queueClient, startQueues } from '../../infra/local/queues.ts';
import { startPoller } from '../../infra/local/sqsPoller.ts';
import type { WayOutAddress, WayOutQuestion, WayOutReport } from './protocol.ts';

const HANGS_MS = 30_000;
const EVENT_BUS_NAME = 'bench';

const { values: flags } = parseArgs({ options: { endpoint: { type: 'boolean', default: false } } });

let onBus = 0;
let isHanging = false;
const requests: { fromMs: number; untilMs?: number; status?: number }[] = [];

const endpoint = serverFor(async (request, response) => {
  const noted: (typeof requests)[number] = { fromMs: Date.now() };
  requests.push(noted);
  response.once('close', () => {
    noted.untilMs = Date.now();
    if (response.writableFinished) noted.status = response.statusCode;
  });
  request.resume();
  if (isHanging) await sleep(HANGS_MS);
  response.writeHead(204).end();
});

const queues = await startQueues();
const bus = await startEventBridge({
  port: 0,
  rules: [],
  ownBus: {
    name: EVENT_BUS_NAME,
    onEvent: () => {
      onBus += 1;
    },
  },
});
const environment = { NOTIFY_QUEUE_URL: queues.notifyQueueUrl, AWS_ENDPOINT_URL_SQS: queues.url };
Object.assign(process.env, environment, {
  DEAD_LETTER_QUEUE_URL: queues.deadLetterQueueUrl,
  EVENT_BUS_NAME,
  AWS_ENDPOINT_URL_EVENTBRIDGE: bus.url,
  ...(flags.endpoint && {
    CRM_WEBHOOK_URL: (await listenOnLoopback(endpoint, 0)).url,
    ALLOW_PRIVATE_WEBHOOKS: 'true',
  }),
});
const notify = functionDefinitions().find(({ batchSize }) => batchSize !== undefined);
if (notify?.batchSize === undefined) throw new Error('no function works the queue off');
const invoke = await loadFunction(notify);
startPoller({
  client: queueClient(queues.url),
  queueUrl: queues.notifyQueueUrl,
  batchSize: notify.batchSize,
  invoke,
});
process.on('message', (question: WayOutQuestion) => process.send?.(answer(question)));
process.on('disconnect', () => process.exit());
process.send?.({ environment } satisfies WayOutAddress);

function answer({ kind }: WayOutQuestion): WayOutReport | 'done' {
  if (kind === 'hang') {
    isHanging = true;
    return 'done';
  }
  const nowMs = Date.now();
  return { onBus, toEndpoint: requests.map((request) => ({ untilMs: nowMs, ...request })) };
}
