import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { type FauxqsServer, startFauxqs } from 'fauxqs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LOCAL_CREDENTIALS, LOCAL_REGION } from '../../../infra/local/database.ts';
import { afterGone, UNTRIED } from '../../../lib/context/circuitBreaker.ts';
import { SqsDeadLetters } from '../../../lib/events/sqsDeadLetters.ts';
import { SqsPrompts } from '../../../lib/events/sqsPrompts.ts';
import { SqsQueue } from '../../../lib/events/sqsQueue.ts';
import type { EventRef } from '../../../lib/operations/ports/deliveryQueue.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import { type ReplayReport, replayDeadLetters } from '../../../scripts/replay-dead-letters.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { MemoryDeliveryQueue } from '../../fixtures/events/memoryDeliveryQueue.ts';
import { MemoryDestinationStates } from '../../fixtures/events/memoryDestinationStates.ts';
import { newId, newSession, START_MS } from '../../fixtures/store/session.ts';

describe('Dead letters', () => {
  let server: FauxqsServer;
  let sqs: SQSClient;
  let queueUrl: string;
  let queue: MemoryDeliveryQueue;
  let states: MemoryDestinationStates;
  beforeAll(async () => {
    server = await startFauxqs({ port: 0, logger: false });
    sqs = new SQSClient({ endpoint: server.address, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
  });
  afterAll(async () => {
    sqs.destroy();
    await server.stop();
  });
  beforeEach(() => {
    queueUrl = server.createQueue(`dead-${newId()}`).queueUrl;
    queue = new MemoryDeliveryQueue();
    states = new MemoryDestinationStates();
  });

  const outbox = () =>
    new SqsQueue({
      queueUrl,
      endpoint: server.address,
      region: LOCAL_REGION,
      credentials: LOCAL_CREDENTIALS,
      fetch: globalThis.fetch,
      clock: systemClock,
    });
  const replay = (enable = false): Promise<ReplayReport> =>
    replayDeadLetters({ sqs, queueUrl, dead: queue, states, enable, nowMs: START_MS });
  const inQueue = () => server.inspectQueue(queueUrl.slice(queueUrl.lastIndexOf('/') + 1))?.messages;
  async function buried(): Promise<EventRef> {
    const ref = await queue.enqueueOnce(eventOf(), { eventId: newId(), dueAtMs: START_MS });
    const result = await queue.claim(ref, { nowMs: START_MS, untilMs: START_MS + 1 });
    if (result.kind !== 'claimed') throw new Error(result.kind);
    await queue.bury(result.claim, { deliveredTo: ['bus'] });
    return ref;
  }

  it('say whom nobody has reached, and nothing else', async () => {
    const ref = { session: { key: 'A'.repeat(43) }, eventId: newId() };
    await new SqsDeadLetters(outbox()).send({ ...ref, reason: 'retries-exhausted', attempts: 8, destination: 'crm' });
    expect(inQueue()?.ready.map(({ body }) => JSON.parse(body))).toEqual([
      {
        kind: 'dead',
        session: ref.session.key,
        eventId: ref.eventId,
        reason: 'retries-exhausted',
        attempts: 8,
        destination: 'crm',
      },
    ]);
  });

  it('are replayed: their events are due again, and the queue is empty', async () => {
    const letters = new SqsDeadLetters(outbox());
    for (let each = 0; each < 12; each += 1) {
      await letters.send({ ...(await buried()), reason: 'retries-exhausted', attempts: 8 });
    }
    await letters.send({ session: { key: newSession() }, eventId: newId(), reason: 'retries-exhausted', attempts: 8 });
    expect(queue.waiting).toBe(0);

    expect(await replay()).toEqual({ revived: 12, gone: 1, waiting: 0, prompts: 0, foreign: 0, enabled: 0 });

    expect(queue.waiting).toBe(12);
    expect(inQueue()).toMatchObject({ ready: [], inflight: [] });
  });

  it('stay while their event is under way: who has written them may not have given it up yet', async () => {
    const ref = await queue.enqueueOnce(eventOf(), { eventId: newId(), dueAtMs: START_MS });
    await new SqsDeadLetters(outbox()).send({ ...ref, reason: 'retries-exhausted', attempts: 8 });
    expect(await replay()).toMatchObject({ revived: 0, waiting: 1 });
    expect(inQueue()?.inflight).toHaveLength(1);
  });

  it('enable a destination only when told to, and once', async () => {
    const letters = new SqsDeadLetters(outbox());
    const send = async () =>
      letters.send({ ...(await buried()), reason: 'destination-disabled', attempts: 0, destination: 'crm' });
    await states.replace('crm', await states.read('crm'), afterGone(UNTRIED, START_MS, 'gone'));
    await send();
    expect(await replay()).toMatchObject({ revived: 1, enabled: 0 });
    expect((await states.read('crm')).state.disabled).toBeDefined();
    await send();
    await send();
    expect(await replay(true)).toMatchObject({ revived: 2, enabled: 1 });
    expect((await states.read('crm')).state).toEqual(UNTRIED);
  });

  it('leave what is not theirs in the queue, and drop prompts that nobody could work off', async () => {
    await new SqsPrompts(outbox()).send([{ kind: 'lane', session: 'A'.repeat(43) }]);
    for (const MessageBody of ['hello', '{"kind":"dead"}']) {
      await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody }));
    }
    expect(await replay()).toEqual({ revived: 0, gone: 0, waiting: 0, prompts: 1, foreign: 2, enabled: 0 });
    expect(inQueue()).toMatchObject({ ready: [], inflight: [{}, {}] });
  });
});
