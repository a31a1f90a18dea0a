// Makes the events of the dead-letter queue due again: npm run dlq:replay [-- --enable]
//
// `--enable` also enables destinations that have said that they are gone (410). Needs TABLE_NAME, DEAD_LETTER_QUEUE_URL (outputs of
// the stack), AWS_REGION and credentials; no secret of the bridge: it opens nothing.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DeleteMessageCommand, type Message, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import * as z from 'zod/mini';
import { UNTRIED } from '../lib/context/circuitBreaker.ts';
import type { DeadEvents } from '../lib/operations/ports/deliveryQueue.ts';
import type { DestinationStates } from '../lib/operations/ports/destinationStates.ts';
import { systemClock } from '../lib/platform/clock.ts';
import { DynamoDeadEvents } from '../lib/store/deadEvents.ts';
import { DynamoDestinationStates } from '../lib/store/destinationStates.ts';
import { Table } from '../lib/store/table.ts';

export interface ReplayOptions {
  readonly sqs: SQSClient;
  readonly queueUrl: string;
  readonly dead: DeadEvents;
  readonly states: DestinationStates;
  /** Whether destinations that are disabled are to be enabled. */
  readonly enable: boolean;
  readonly nowMs: number;
}

export interface ReplayReport {
  /** Events that are due again. */
  revived: number;
  /** Letters whose event was delivered or erased meanwhile. */
  gone: number;
  /** Letters whose event is under way, again or still; they stay. */
  waiting: number;
  /** Messages that notify could not work off: what they ask for is due anyway. */
  prompts: number;
  /** Messages that are none of the bridge's; they stay. */
  foreign: number;
  /** Destinations that were disabled and are not any more. */
  enabled: number;
}

const letter = z.object({
  kind: z.literal('dead'),
  session: z.string(),
  eventId: z.string(),
  destination: z.optional(z.string()),
});
const prompt = z.object({ kind: z.enum(['lane', 'event']) });

/** Takes one message after the other, until there is none. A letter is deleted when its event is due again, and not before. */
export async function replayDeadLetters(options: ReplayOptions): Promise<ReplayReport> {
  const { sqs, queueUrl: QueueUrl } = options;
  const report = { revived: 0, gone: 0, waiting: 0, prompts: 0, foreign: 0, enabled: 0 };
  for (;;) {
    const receive = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 });
    const { Messages = [] } = await sqs.send(receive);
    if (Messages.length === 0) return report;
    for (const message of Messages) {
      const end = await replay(options, message, report);
      report[end] += 1;
      if (end === 'foreign' || end === 'waiting') continue;
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
    }
  }
}

async function replay(
  { dead, states, enable, nowMs }: ReplayOptions,
  { Body = '' }: Message,
  report: ReplayReport,
): Promise<Exclude<keyof ReplayReport, 'enabled'>> {
  const json = jsonOf(Body);
  if (prompt.safeParse(json).success) return 'prompts';
  const { data } = letter.safeParse(json);
  if (data === undefined) return 'foreign';
  const { session, eventId, destination } = data;
  // Before its event: that would be given up again at once.
  if (enable && destination !== undefined && (await enableDestination(states, destination, nowMs))) report.enabled += 1;
  return dead.revive({ session: { key: session }, eventId }, nowMs);
}

async function enableDestination(states: DestinationStates, destination: string, nowMs: number): Promise<boolean> {
  for (;;) {
    const seen = await states.read(destination);
    if (seen.state.disabled === undefined) return false;
    if (await states.replace(destination, seen, UNTRIED, nowMs)) return true;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const { TABLE_NAME: tableName, DEAD_LETTER_QUEUE_URL: queueUrl } = process.env;
  const unknown = process.argv.slice(2).filter((argument) => argument !== '--enable');
  if (tableName === undefined || queueUrl === undefined || unknown.length > 0) {
    console.error('usage: TABLE_NAME=… DEAD_LETTER_QUEUE_URL=… npm run dlq:replay [-- --enable]');
    process.exit(1);
  }
  const table = new Table({ client: new DynamoDBClient({}), tableName, clock: systemClock });
  const report = await replayDeadLetters({
    sqs: new SQSClient({}),
    queueUrl,
    dead: new DynamoDeadEvents(table),
    states: new DynamoDestinationStates(table),
    enable: process.argv.includes('--enable'),
    nowMs: systemClock.now(),
  });
  console.log(`${report.revived} events are due again; the schedule delivers them within a minute.`);
  if (report.gone > 0) console.log(`${report.gone} were delivered or erased meanwhile.`);
  if (report.waiting > 0) console.log(`${report.waiting} are under way; their letters stay in the queue.`);
  if (report.prompts > 0) console.log(`${report.prompts} were prompts; what they ask for is due anyway.`);
  if (report.enabled > 0) console.log(`${report.enabled} destinations are enabled again.`);
  if (report.foreign > 0) console.log(`${report.foreign} are none of the bridge's, and stay in the queue.`);
}
