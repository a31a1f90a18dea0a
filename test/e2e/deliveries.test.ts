import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { DynamoDBClient, paginateScan } from '@aws-sdk/client-dynamodb';
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { afterEach, describe, expect, it } from 'vitest';
import { LOCAL_CREDENTIALS, LOCAL_REGION } from '../../infra/local/database.ts';
import type { BusEvent } from '../../infra/local/eventBridge.ts';
import { bodyOf, type LocalServer, listenOnLoopback } from '../../infra/local/listen.ts';
import { queueClient } from '../../infra/local/queues.ts';
import { type Bridge, type BridgeOptions, one, startBridge } from '../fixtures/stack/bridge.ts';
import { buildWith } from '../fixtures/stack/build.ts';
import { GENERIC, SENDERS_SECRETS } from '../fixtures/stack/crmSenders.ts';
import { INSTANT, type Json, send, ULID } from '../fixtures/stack/http.ts';
import { captureOutput } from '../fixtures/stack/output.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

const SECRET = `whsec_${Buffer.from('the secret of today, 24+').toString('base64')}`;
const NEXT_SECRET = `whsec_${Buffer.from('the secret of tomorrow 1').toString('base64')}`;
const MINUTE_MS = 60_000;

interface Delivery {
  readonly path: string;
  readonly id: string;
  readonly timestamp: string;
  readonly signatures: readonly string[];
  readonly contentType: string;
  readonly text: string;
  readonly body: Json;
}

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  /** It is answered when this is. */
  readonly after?: Promise<void>;
}

interface Endpoint extends LocalServer {
  readonly deliveries: Delivery[];
  /** What comes next is answered by these, one after the other; with 204 when there are none. */
  readonly answers: Answer[];
}

/** An endpoint of a CRM. */
async function startEndpoint(): Promise<Endpoint> {
  const deliveries: Delivery[] = [];
  const answers: Answer[] = [];
  const server = createServer(async (request, response) => {
    const text = await bodyOf(request);
    const header = (name: string) => String(request.headers[name] ?? '');
    deliveries.push({
      path: request.url ?? '',
      id: header('webhook-id'),
      timestamp: header('webhook-timestamp'),
      signatures: header('webhook-signature').split(' '),
      contentType: header('content-type'),
      text,
      body: JSON.parse(text),
    });
    const { status, headers = {}, after } = answers.shift() ?? { status: 204 };
    await after;
    response.writeHead(status, headers).end();
  });
  return { ...(await listenOnLoopback(server, 0)), deliveries, answers };
}

/** The signature that a delivery has to have, by the specification of Standard Webhooks. */
function signatureOf({ id, timestamp, text }: Delivery, secret: string): string {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${text}`).digest('base64')}`;
}

let bridge: Bridge;
let endpoint: Endpoint;
const bus: BusEvent[] = [];
const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
  bus.length = 0;
});

async function start({ settings, ...options }: BridgeOptions = {}): Promise<void> {
  endpoint = await startEndpoint();
  opened.push(endpoint);
  bridge = await startBridge({
    crmWebhookSecrets: [SECRET],
    crmSecrets: SENDERS_SECRETS,
    onEvent: (event) => bus.push(event),
    settings: { CRM_WEBHOOK_URL: `${endpoint.url}/hook`, ...settings },
    ...options,
  });
  opened.push(bridge);
}

const delivered = (count: number) =>
  eventually(() => endpoint.deliveries.length >= count && endpoint.deliveries, {
    everyMs: 10,
    what: `delivery ${count}`,
  });
const onBus = (type: string, sessionId?: string) =>
  eventually(
    () =>
      bus.find(
        (event) =>
          event['detail-type'] === type &&
          (sessionId === undefined || (event.detail as Json).data?.sessionId === sessionId),
      ),
    { everyMs: 10, what: `${type} on the bus` },
  );

/** What the table says of an event: it is open while it has a body, and waits while it is due at some time. */
async function stored(eventId: string): Promise<Json> {
  const client = new DynamoDBClient({
    endpoint: bridge.stack.databaseUrl,
    region: LOCAL_REGION,
    credentials: LOCAL_CREDENTIALS,
  });
  try {
    for await (const { Items = [] } of paginateScan({ client }, { TableName: 'context-bridge' })) {
      for (const item of Items) if (item['sk']?.S === `EVENT#${eventId}`) return unmarshall(item);
    }
    return undefined;
  } finally {
    client.destroy();
  }
}
/** Waits until nothing more is to be done about an event. */
const finished = (eventId: string) =>
  eventually(
    async () => {
      const item = await stored(eventId);
      return item !== undefined && item.body === undefined;
    },
    { everyMs: 20, what: 'the end of the delivery' },
  );
/** Waits until an event has failed so often, and is put off. */
const postponed = (eventId: string, failures: number) =>
  eventually(async () => (await stored(eventId))?.failures === failures, {
    everyMs: 20,
    what: `failure ${failures} to be noted`,
  });
/** The time of the next try, and the schedule that sees to it. */
async function later(minutes: number): Promise<void> {
  travel(minutes * MINUTE_MS);
  await bridge.stack.tick();
}

function crm(session: string, record: string) {
  const path = `/v1/sessions/${session}/bindings/generic/${record}`;
  return send(bridge.url, path, { method: 'PUT', headers: { authorization: 'Bearer local-key-of-the-tests' } });
}
function report(number: number, recordId: string, value: string, occurredAtMs = Date.now()) {
  const body = JSON.stringify(GENERIC.bodyOf({ number, recordId, value, occurredAtMs }));
  const headers = GENERIC.sign({ url: '', body, secret: GENERIC.secrets[0] });
  return send(bridge.url, '/v1/webhooks/crm/generic', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}

describe('Every outcome is posted to the CRM', () => {
  it('signed, as an event of Standard Webhooks, and put on the bus', async () => {
    await start();
    const { body } = await bridge.inject('sess_1', { ...one('crm_tier', 'private'), crm: { account: 'ACC-1' } });

    const [delivery] = await delivered(1);

    if (delivery === undefined) throw new Error('no delivery');
    expect(delivery.path).toBe('/hook');
    expect(delivery.contentType).toMatch(/^application\/json\b/);
    expect(delivery.id).toBe(body.operationId);
    expect(Math.abs(Number(delivery.timestamp) * 1_000 - Date.now())).toBeLessThan(MINUTE_MS);
    expect(delivery.signatures).toEqual([signatureOf(delivery, SECRET)]);
    const event = {
      type: 'context.injected',
      timestamp: expect.stringMatching(INSTANT),
      data: {
        sessionId: 'sess_1',
        event: 'context.injected',
        operationId: body.operationId,
        version: 1,
        paths: ['/crm_tier'],
        crm: { account: 'ACC-1' },
      },
    };
    expect(delivery.body).toEqual(event);
    expect(delivery.text).not.toContain('private');
    const told = await onBus('context.injected', 'sess_1');
    expect(told.detail).toMatchObject({ data: event.data });
    await finished(body.operationId);
    expect(endpoint.deliveries).toHaveLength(1);
  });

  it('with two secrets: two signatures, one by each', async () => {
    await start({ crmWebhookSecrets: [SECRET, NEXT_SECRET] });
    await bridge.inject('sess_1', one('a', 1));
    const [delivery] = await delivered(1);
    if (delivery === undefined) throw new Error('no delivery');
    expect(delivery.signatures).toEqual([signatureOf(delivery, SECRET), signatureOf(delivery, NEXT_SECRET)]);
  });

  it('whatever it was, under its own name', async () => {
    await start();
    const names = () => endpoint.deliveries.map(({ body }) => `${body.type} ${body.data.sessionId}`);
    await bridge.sync('sess_sync', { data: { a: { b: 1 } } });
    await delivered(1);
    await bridge.dialog('sess_dialog', { session: { step: 1 }, transition: { nextStep: 'next' } });
    await delivered(2);
    const message = { sessionId: 'sess_message', userId: 'u', message: 'm', channel: 'web', timestamp: 1 };
    await bridge.webhook({ ...message, custom: { crm: { source: 'generic', recordId: 'ACC-7' } } });
    await delivered(3);
    await report(1, 'ACC-7', 'gold');
    await delivered(4);
    bridge.tenant.sessions.end('sess_dialog');
    await bridge.dialog('sess_dialog', { session: { step: 2 }, transition: { nextStep: 'next' } });
    await delivered(5);
    await bridge.inject('sess_expiring', one('otp', '1234', { ttlSeconds: 60 }));
    await delivered(6);
    await later(2);
    await delivered(7);

    expect(names()).toEqual([
      'context.synced sess_sync',
      'dialog.updated sess_dialog',
      'context.injected sess_message',
      'context.injected sess_message',
      'context.failed sess_dialog',
      'context.injected sess_expiring',
      'context.expired sess_expiring',
    ]);
    const data = endpoint.deliveries.map(({ body }) => body.data);
    expect(data.map(({ paths }) => paths).slice(0, 2)).toEqual([expect.arrayContaining(['/a/b']), ['/step']]);
    expect(data[0]).toMatchObject({ crm: null });
    expect(data[3]).toMatchObject({
      paths: ['/crm_tier'],
      crm: { source: 'generic', recordId: 'ACC-7', eventId: 'evt_1' },
    });
    expect(data[4]).toMatchObject({ code: 'session-ended' });
    expect(data[6]).toMatchObject({ paths: ['/otp'] });
    expect(new Set(endpoint.deliveries.map(({ id }) => id)).size).toBe(7);
    for (const { id } of endpoint.deliveries) expect(id).toMatch(ULID);
  });

  it('SCENARIO 43: but not when the session has been erased before it could be', async () => {
    await start();
    endpoint.answers.push({ status: 500 });
    const { body } = await bridge.inject('sess_1', one('a', 1));
    await delivered(1);
    await postponed(body.operationId, 1);
    expect((await bridge.erase('sess_1')).status).toBe(204);
    expect((await stored(body.operationId))?.body).toBeUndefined();
    await later(2);
    // What comes after it has been told by then.
    const { body: other } = await bridge.inject('sess_2', one('a', 1));
    await finished(other.operationId);
    expect(endpoint.deliveries.map(({ id }) => id)).toEqual([body.operationId, other.operationId]);
  });
});

describe('No answer waits for the endpoint', () => {
  it('of any operation, while it takes its time', async () => {
    await start();
    let release = () => {};
    const after = new Promise<void>((resolve) => {
      release = resolve;
    });
    endpoint.answers.push(...Array.from({ length: 4 }, () => ({ status: 204, after })));
    try {
      expect((await bridge.inject('sess_1', one('a', 1))).status).toBe(200);
      await delivered(1);
      // The endpoint has the first one, and has not answered.
      expect((await bridge.inject('sess_1', one('a', 2))).status).toBe(200);
      expect((await bridge.sync('sess_2', { data: { a: 1 } })).status).toBe(200);
      await crm('sess_3', 'ACC-1');
      expect((await report(1, 'ACC-1', 'gold')).body).toMatchObject({ outcome: 'applied' });
    } finally {
      release();
    }
    await delivered(4);
  });
});

describe('A delivery that fails', () => {
  it('SCENARIO 14: comes again under the same id, with the same body and a signature of its own', async () => {
    await start();
    endpoint.answers.push({ status: 500 });
    const { body } = await bridge.inject('sess_1', one('a', 1));
    await delivered(1);
    await postponed(body.operationId, 1);
    await later(2);

    const [first, second] = await delivered(2);

    if (first === undefined || second === undefined) throw new Error('no second delivery');
    await finished(body.operationId);
    expect(second.id).toBe(body.operationId);
    expect(second.text).toBe(first.text);
    expect(Number(second.timestamp)).toBeGreaterThanOrEqual(Number(first.timestamp) + 60);
    expect(second.signatures).toEqual([signatureOf(second, SECRET)]);
    expect(endpoint.deliveries).toHaveLength(2);
    // The bus had it the first time.
    expect(bus.filter(({ 'detail-type': type }) => type === 'context.injected')).toHaveLength(1);
  });

  it('comes by itself after five seconds, with no schedule', async () => {
    await start();
    endpoint.answers.push({ status: 503 });
    const { body } = await bridge.inject('sess_1', one('a', 1));
    const [first, second] = await delivered(2);
    await finished(body.operationId);
    expect(second?.id).toBe(first?.id);
    expect(Number(second?.timestamp) - Number(first?.timestamp)).toBeGreaterThanOrEqual(4);
  });

  it('does not hold up what comes after it', async () => {
    await start();
    endpoint.answers.push({ status: 500 });
    const { body: first } = await bridge.inject('sess_1', one('a', 1));
    await postponed(first.operationId, 1);
    const { body: second } = await bridge.inject('sess_1', one('a', 2));
    await finished(second.operationId);
    expect(endpoint.deliveries.map(({ id }) => id)).toEqual([first.operationId, second.operationId]);
    await later(2);
    await finished(first.operationId);
  });

  it('goes up the ladder: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h, and is a dead letter then', async () => {
    await start();
    const gaps: number[] = [];
    endpoint.answers.push(...Array.from({ length: 8 }, () => ({ status: 500 })));
    const { body } = await bridge.inject('sess_1', one('a', 1));
    for (let failures = 1; failures < 8; failures += 1) {
      await postponed(body.operationId, failures);
      const { readyAt } = await stored(body.operationId);
      gaps.push(Math.round((readyAt - Date.now()) / 1_000));
      // So late that the breaker, which the failures have opened, is closed again.
      travel(Math.max(0, readyAt - Date.now()) + 20 * MINUTE_MS);
      await bridge.stack.tick();
      await delivered(failures + 1);
    }
    const [letter] = await deadLetters();
    expect(letter).toMatchObject({ kind: 'dead', eventId: body.operationId, reason: 'retries-exhausted' });
    const RUNGS_S = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
    gaps.forEach((gap, index) => {
      const rung = RUNGS_S[index] ?? 0;
      expect(gap, `pause ${index + 1}`).toBeGreaterThanOrEqual(Math.floor(0.9 * rung) - 3);
      expect(gap, `pause ${index + 1}`).toBeLessThanOrEqual(Math.ceil(1.1 * rung));
    });
    expect(new Set(endpoint.deliveries.map(({ id }) => id))).toEqual(new Set([body.operationId]));
    expect(endpoint.deliveries).toHaveLength(8);
  });

  it('SCENARIO 40: a redirect is not followed, but a failure', async () => {
    await start();
    const elsewhere = await startEndpoint();
    opened.push(elsewhere);
    for (const status of [301, 302, 307, 308]) {
      endpoint.answers.push({ status, headers: { location: `${elsewhere.url}/elsewhere` } });
      const { body } = await bridge.inject(`sess_${status}`, one('a', 1));
      await postponed(body.operationId, 1);
      await later(2);
      await finished(body.operationId);
    }
    expect(elsewhere.deliveries).toEqual([]);
    expect(endpoint.deliveries).toHaveLength(8);
    expect(new Set(endpoint.deliveries.map(({ path }) => path))).toEqual(new Set(['/hook']));
  });
});

describe('410', () => {
  it('disables the endpoint for good, which is said on the bus once; what comes later is a dead letter', async () => {
    await start();
    endpoint.answers.push({ status: 410 });
    const { body: first } = await bridge.inject('sess_1', one('a', 1));
    const disabled = await onBus('destination.disabled');
    expect(disabled.detail).toMatchObject({ data: { reason: 'gone', destination: expect.any(String) } });
    expect(JSON.stringify(disabled)).not.toContain(endpoint.url);

    const { body: second } = await bridge.inject('sess_2', one('a', 1));
    const letters = await deadLetters(2);
    await later(60);

    expect(letters.map(({ eventId, reason }) => [eventId, reason]).sort()).toEqual(
      [first, second].map(({ operationId }) => [operationId, 'destination-disabled']).sort(),
    );
    expect(endpoint.deliveries.map(({ id }) => id)).toEqual([first.operationId]);
    // The bus hears of everything all the same.
    await onBus('context.injected', 'sess_2');
    expect(bus.filter(({ 'detail-type': type }) => type === 'destination.disabled')).toHaveLength(1);
  });
});

describe('The endpoint hears of what it has asked for', () => {
  it('CRM_WEBHOOK_EVENTS: of these types only; the bus hears of all', async () => {
    await start({ settings: { CRM_WEBHOOK_EVENTS: 'context.synced, dialog.updated' } });
    const { body: injected } = await bridge.inject('sess_1', one('a', 1));
    await finished(injected.operationId);
    const { body: synced } = await bridge.sync('sess_1', { data: { b: 1 } });
    await finished(synced.operationId);
    expect(endpoint.deliveries.map(({ id }) => id)).toEqual([synced.operationId]);
    await onBus('context.injected', 'sess_1');
    await onBus('context.synced', 'sess_1');
  });

  it('CRM_WEBHOOK_KEY_PREFIXES: of events with one such key at the least, with all their paths', async () => {
    await start({ settings: { CRM_WEBHOOK_KEY_PREFIXES: 'crm_,hub_' } });
    const ids: string[] = [];
    for (const keys of [['other'], ['xcrm_'], ['crm_tier'], ['other', 'hub_a']]) {
      const { body } = await bridge.inject('sess_1', { variables: keys.map((key) => ({ key, value: ids.length })) });
      await finished(body.operationId);
      ids.push(body.operationId);
    }
    expect(endpoint.deliveries.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(endpoint.deliveries.map(({ body }) => body.data.paths)).toEqual([['/crm_tier'], ['/other', '/hub_a']]);
  });

  it('without CRM_WEBHOOK_URL nobody but the bus is told', async () => {
    await start({ settings: { CRM_WEBHOOK_URL: undefined } });
    const { body } = await bridge.inject('sess_1', one('a', 1));
    await finished(body.operationId);
    await onBus('context.injected', 'sess_1');
    expect(endpoint.deliveries).toEqual([]);
  });
});

describe('What the schema calls x-pii', () => {
  it('SCENARIO 44: has no name in what is told (the shipped schema)', async () => {
    await start();
    const { body } = await bridge.sync('sess_1', {
      data: { user_profile: { name: 'Ada', age: 36 }, order: { id: 1 } },
    });
    const [delivery] = await delivered(1);
    await finished(body.operationId);
    expect(delivery?.body.data.paths).toEqual(expect.arrayContaining(['/user_profile/*', '/order/id']));
    const told = JSON.stringify([endpoint.deliveries.map(({ text }) => text), bus]);
    expect(told).not.toMatch(/Ada|\/name|\/age/);
  });

  it('SCENARIO 44: nor in that of a schema of one’s own', async () => {
    const build = await buildWith({
      type: 'object',
      properties: { mail: { type: 'string', 'x-pii': true }, person: { type: 'object', 'x-pii': true } },
    });
    opened.push({ close: async () => build.remove() });
    await start({ dist: build.dist });
    const variables = [
      { key: 'mail', value: 'ada@example.org' },
      { key: 'person', value: { phone: '+49' } },
      { key: 'tier', value: 'gold' },
    ];
    await bridge.inject('sess_1', { variables });
    const [delivery] = await delivered(1);
    expect(delivery?.body.data.paths).toEqual(expect.arrayContaining(['/*', '/tier']));
    expect(delivery?.text).not.toMatch(/mail|person|phone|ada@/);
  });
});

describe('An echo', () => {
  it('of what the CRM was told causes no upstream request, no operation and no further event', async () => {
    await start();
    await crm('sess_1', 'ACC-1');
    const crmData = { source: 'generic', recordId: 'ACC-1' };
    const changed = { variables: [{ key: 'crm_tier', value: 'gold', scope: 'user', ttlSeconds: 3_600 }], crm: crmData };
    const { body: first } = await bridge.inject('sess_1', changed);
    const [told] = await delivered(1);
    expect(told?.body.data.crm).toEqual(crmData);

    // The CRM writes what it was told into its record, and says that the record has changed.
    const echo = await report(1, 'ACC-1', 'gold');

    expect([echo.status, echo.body]).toEqual([
      200,
      {
        eventId: 'evt_1',
        outcome: 'applied',
        sessions: [{ operationId: null, status: 'unchanged', visibility: 'confirmed' }],
      },
    ]);
    expect(bridge.requests('sess_1')).toHaveLength(1);
    const { body: last } = await bridge.inject('sess_1', one('later', 1));
    await finished(last.operationId);
    expect(endpoint.deliveries.map(({ id }) => id)).toEqual([first.operationId, last.operationId]);
    expect((await bridge.audit('sess_1')).entries).toHaveLength(2);
    expect(last.version).toBe(2);
  });
});

describe('SCENARIO 40: without ALLOW_PRIVATE_WEBHOOKS', () => {
  it.each(['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '2130706433'])(
    '%s is not connected to; the bus is told all the same, and no answer says so',
    async (host) => {
      let connections = 0;
      const server = createTcpServer((socket) => {
        connections += 1;
        socket.destroy();
      });
      // On every address of this machine.
      await new Promise<void>((resolve) => server.listen(0, resolve));
      opened.push({ close: () => new Promise((resolve) => void server.close(() => resolve())) });
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const output = captureOutput();
      try {
        await start({
          settings: {
            ALLOW_PRIVATE_WEBHOOKS: 'false',
            CRM_WEBHOOK_URL: `https://${host}:${port}/hook`,
            POWERTOOLS_LOG_LEVEL: 'WARN',
          },
        });
        const reply = await bridge.inject('sess_1', one('a', 1));
        expect(reply.status).toBe(200);
        await onBus('context.injected', 'sess_1');
        await postponed(reply.body.operationId, 1);
        expect(output.records).toContainEqual(
          expect.objectContaining({ message: 'a delivery failed', receiver: 'webhook', reason: 'private-address' }),
        );
      } finally {
        output.stop();
      }
      expect(connections).toBe(0);
    },
  );

  it('SCENARIO 46: http is refused when the function starts, and nothing is told to it', async () => {
    await expect(start({ settings: { ALLOW_PRIVATE_WEBHOOKS: 'false' } })).rejects.toThrow(/CRM_WEBHOOK_URL/);
    expect(endpoint.deliveries).toEqual([]);
  });
});

/** The letters in the queue of the dead, once there are so many. */
async function deadLetters(count = 1): Promise<Json[]> {
  const client = queueClient(bridge.stack.queuesUrl);
  const letters: Json[] = [];
  try {
    await eventually(
      async () => {
        const command = new ReceiveMessageCommand({
          QueueUrl: bridge.stack.deadLetterQueueUrl,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 0,
        });
        const { Messages: messages = [] } = await client.send(command);
        letters.push(...messages.map(({ Body }) => JSON.parse(Body ?? 'null')));
        return letters.length >= count;
      },
      { what: `${count} dead letters` },
    );
    return letters;
  } finally {
    client.destroy();
  }
}
