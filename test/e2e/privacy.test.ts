import { createHmac } from 'node:crypto';
import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOCAL_CREDENTIALS, LOCAL_REGION } from '../../infra/local/database.ts';
import { type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import type { Json, Reply } from '../fixtures/stack/http.ts';
import { captureOutput } from '../fixtures/stack/output.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

const SESSION = 'sess_PrivateSessionId';
const VALUE = 'private-value-of-alice';
const CLIENT_SECRET = 'private-client-secret';
const CLIENT_ID = 'private-client-id';
const IDEMPOTENCY_KEY = 'private-idempotency-key';
const WEBHOOK_SECRET = `whsec_${Buffer.from('private-webhook-secret-1').toString('base64')}`;
const CLIENT = { name: 'crm', apiKey: 'private-key-of-the-crm', operations: ['inject'], keyPrefixes: ['crm_'] };

/** Everything that must never be in a log line, an error or a plain attribute (DESIGN I7). */
const SECRETS = {
  'a session id': /PrivateSessionId/,
  'a user id': /private-user/,
  'a webhook secret': /whsec_|cHJpdmF0ZS13ZWJob29r/,
  'a value': /private-value/,
  'a client secret': /private-client-secret/,
  'an API key': new RegExp(`${LOCAL_KEY}|private-key`),
  'an access token': /token-[0-9a-f]{8}-/,
  'an upstream body': /private-upstream-body|Please log in/,
  'a stack': /\.m?[jt]s:\d+:\d+\)?"\s*[,}]\s*"(?:message|title)/,
};

describe.each(['DEBUG', 'INFO'])('SCENARIO 44, I7: a mixed load with log level %s', (level) => {
  let bridge: Bridge;
  const errors: Reply[] = [];
  const output = { text: '', records: [] as Json[] };
  let table = '';

  beforeAll(async () => {
    const captured = captureOutput();
    try {
      bridge = await startBridge({
        clients: [CLIENT],
        webhookSecrets: [WEBHOOK_SECRET],
        credentials: { clientId: CLIENT_ID, clientSecret: CLIENT_SECRET },
        settings: { POWERTOOLS_LOG_LEVEL: level, POWERTOOLS_METRICS_DISABLED: undefined, REQUEST_BUDGET_MS: '2000' },
      });
      for (const reply of await load(bridge)) if (reply.status >= 400) errors.push(reply);
      output.text = captured.text;
      output.records = captured.records;
    } finally {
      captured.stop();
    }
    table = await dump(bridge.stack.databaseUrl);
  });
  afterAll(() => bridge.close());

  it('went through every kind of end', () => {
    expect([...new Set(errors.map(({ body }) => body.code))].sort()).toEqual([
      'conflict',
      'forbidden',
      'idempotency-mismatch',
      'invalid-session-id',
      'session-ended',
      'session-erased',
      'unauthenticated',
      'unknown-version',
      'upstream-bad-response',
      'upstream-forbidden',
      'upstream-rejected',
      'upstream-unavailable',
      'validation-failed',
    ]);
  });

  it.each(Object.entries(SECRETS))('%s is in no log line and no metric', (_name, pattern) => {
    expect(output.text).toContain('request answered');
    expect(output.text).not.toMatch(pattern);
    expect(output.text).not.toContain(CLIENT_ID);
    expect(output.text).not.toContain(IDEMPOTENCY_KEY);
  });

  it.each(Object.entries(SECRETS))('%s is in no error body', (_name, pattern) => {
    for (const { text, headers } of errors) expect(text + JSON.stringify(headers)).not.toMatch(pattern);
  });

  it.each(Object.entries(SECRETS))('%s is in no plain attribute of the table', (_name, pattern) => {
    expect(table.length).toBeGreaterThan(10_000);
    expect(table).not.toMatch(pattern);
  });

  it('metrics name what the alarms need, by function and service only', () => {
    const emf = output.records.filter((record) => record._aws !== undefined);
    const names = new Set<string>();
    for (const record of emf) {
      for (const directive of record._aws.CloudWatchMetrics) {
        expect(directive.Namespace).toBe('ContextBridge');
        for (const dimensions of directive.Dimensions) expect(dimensions.sort()).toEqual(['function', 'service']);
        for (const { Name, Unit } of directive.Metrics) {
          names.add(Name);
          for (const value of [record[Name]].flat()) expect(value).toEqual(expect.any(Number));
          expect(Unit).toBe(Name === 'UpstreamLatency' ? 'Milliseconds' : 'Count');
        }
      }
      expect(['inject', 'snapshot', 'sync', 'dialog-state', 'webhook', 'crm', 'notify']).toContain(record.function);
    }
    for (const name of [
      'OperationConfirmed',
      'OperationPending',
      'OperationRefused',
      'UpstreamLatency',
      'UpstreamRequests',
      'RateLimited',
      'ColdStart',
    ]) {
      expect(names, name).toContain(name);
    }
  });

  it('every log line carries its correlation id', () => {
    const lines = output.records.filter((record) => record.level !== undefined);
    expect(lines.length).toBeGreaterThan(10);
    for (const line of lines) expect(line.correlationId, line.message).toEqual(expect.any(String));
    expect(lines.some(({ correlationId }) => correlationId === 'corr-of-the-test')).toBe(true);
  });
});

/** One request of every kind of fate. */
async function load(bridge: Bridge): Promise<Reply[]> {
  const { tenant } = bridge;
  const key = { 'idempotency-key': IDEMPOTENCY_KEY, 'x-correlation-id': 'corr-of-the-test' };
  const replies: Reply[] = [];
  const put = async (session: string, body: Json, headers: Record<string, string> = {}) => {
    replies.push(await bridge.inject(session, body, headers));
  };
  const fault = (sessionId: string, action: Json, times = 0) =>
    tenant.faults.add({ match: { surface: 'inject', method: 'PUT', sessionId }, times, action });

  await loadSyncs(bridge, replies);
  await loadDialogsAndMessages(bridge, replies);

  const big = { text: `${VALUE} `.repeat(3_000) };
  await put(
    SESSION,
    {
      variables: [
        { key: 'a', value: VALUE },
        { key: 'big', value: big },
      ],
      crm: { of: VALUE },
    },
    key,
  );
  await put(SESSION, one('a', `${VALUE} 2`), key);
  await put(SESSION, { variables: [{ key: VALUE.repeat(5), value: VALUE, scope: VALUE, ttlSeconds: VALUE }] });
  await put(SESSION, one('other', VALUE), { authorization: `Bearer ${CLIENT.apiKey}` });
  await put(SESSION, one('crm_a', VALUE), { authorization: 'Bearer private-key-nobody-has' });
  await put(`${SESSION}/../admin`, one('a', VALUE));

  const body = { error: `private-upstream-body about ${SESSION}` };
  fault(`${SESSION}_403`, { status: 403, body });
  await put(`${SESSION}_403`, one('a', VALUE));
  fault(`${SESSION}_409`, { status: 409, body });
  await put(`${SESSION}_409`, one('a', VALUE));
  fault(`${SESSION}_html`, { malformed: 'html' });
  await put(`${SESSION}_html`, one('a', VALUE));
  tenant.sessions.create({ sessionId: `${SESSION}_ended` });
  tenant.sessions.end(`${SESSION}_ended`);
  await put(`${SESSION}_ended`, one('a', VALUE));
  fault(`${SESSION}_reset`, { reset: 'before' });
  await put(`${SESSION}_reset`, one('a', VALUE), key);
  fault(`${SESSION}_429`, { status: 429, headers: { 'retry-after': '30' }, body });
  await put(`${SESSION}_429`, one('a', VALUE));

  tenant.faults.clear();
  travel(5 * 60_000);
  await bridge.stack.tick();
  for (const path of ['', '?version=1', '?version=999', '/diff?from=0&to=1', '/audit']) {
    replies.push(await bridge.get(`/v1/sessions/${SESSION}${path}`));
  }

  tenant.tokens.revokeAll();
  travel(3_600_000);
  tenant.faults.add({ match: { surface: 'token' }, times: 0, action: { status: 503, body } });
  await put(`${SESSION}_token`, one('a', VALUE));
  return replies;
}

/** The same for syncs, events and erasures. */
async function loadSyncs(bridge: Bridge, replies: Reply[]): Promise<void> {
  const { tenant } = bridge;
  const key = { 'idempotency-key': IDEMPOTENCY_KEY, 'x-correlation-id': 'corr-of-the-test' };
  const sync = async (session: string, body: Json, headers: Record<string, string> = {}) => {
    replies.push(await bridge.sync(session, body, headers));
  };
  const text = `${VALUE} `.repeat(3_000);
  await sync(`${SESSION}_sync`, { data: { a: { [VALUE]: VALUE, text } }, ttl: { '/a': 60 } }, key);
  tenant.sessions.changeAsBot(`${SESSION}_sync`, { variables: [{ key: 'a', value: `${VALUE} of the bot` }] });
  await sync(`${SESSION}_sync`, { data: { a: { [VALUE]: `${VALUE} 2` } } });
  await sync(`${SESSION}_sync`, { data: { a: `${VALUE} 3` } }, key);
  await sync(`${SESSION}_sync`, { data: { user_profile: { name: [VALUE], age: VALUE } } });
  await sync(`${SESSION}_sync`, { data: VALUE, ttl: { '/a': VALUE } });
  await sync(`${SESSION}_sync`, { data: { other: VALUE } }, { authorization: `Bearer ${CLIENT.apiKey}` });
  tenant.faults.add({
    match: { surface: 'sync', sessionId: `${SESSION}_down` },
    times: 0,
    action: { status: 503, body: { error: `private-upstream-body about ${SESSION}` } },
  });
  await sync(`${SESSION}_down`, { data: { a: VALUE } });
  await sync(`${SESSION}_gone`, { data: { a: VALUE, text } }, key);
  replies.push(await bridge.erase(`${SESSION}_gone`));
  await sync(`${SESSION}_gone`, { data: { a: VALUE, text } }, key);
  await bridge.putEvent({ sessionId: `${SESSION}_event`, data: { a: VALUE } });
  await bridge.putEvent({ sessionId: `${SESSION}_refused`, data: VALUE, [VALUE]: VALUE });
  await bridge.putEvent({ sessionId: `../${SESSION}`, data: { a: VALUE } });
  for (const name of ['event', 'refused']) {
    await eventually(async () => (await bridge.get(`/v1/sessions/${SESSION}_${name}/audit`)).status === 200);
  }
}

/** The whole table as text; binary attributes byte for byte. */
async function dump(endpoint: string): Promise<string> {
  const client = new DynamoDBClient({ endpoint, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
  try {
    const texts: string[] = [];
    let start: Json;
    do {
      const page = await client.send(
        new ScanCommand({ TableName: 'context-bridge', ...(start !== undefined && { ExclusiveStartKey: start }) }),
      );
      texts.push(
        JSON.stringify(page.Items, (_name, value) => {
          if (value?.type === 'Buffer') return Buffer.from(value.data).toString('latin1');
          return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value;
        }),
      );
      start = page.LastEvaluatedKey;
    } while (start !== undefined);
    return texts.join('');
  } finally {
    client.destroy();
  }
}

/** Changes of dialogs, messages and live snapshots, of every kind of fate. */
async function loadDialogsAndMessages(bridge: Bridge, replies: Reply[]): Promise<void> {
  const session = `${SESSION}-dialog`;
  const change = { session: { a: VALUE }, user: { b: { c: VALUE } }, transition: { nextStep: 'next' } };
  const at = (surface: 'dialog-state' | 'webhook' | 'snapshot', action: Json, times = 1) =>
    bridge.tenant.faults.add({ match: { surface, sessionId: session }, times, action });
  const body = { error: 'private-upstream-body', value: VALUE };
  replies.push(await bridge.dialog(session, change));
  replies.push(
    await bridge.dialog(session, { session: { '_user x': VALUE }, user: VALUE, transition: { nextStep: [VALUE] } }),
  );
  bridge.tenant.sessions.changeAsBot(session, { variables: [{ key: 'a', value: `${VALUE} of the bot` }] });
  replies.push(await bridge.dialog(session, change));
  for (const action of [{ status: 400, body }, { status: 403, body }, { malformed: 'html' }, { status: 500, body }]) {
    at('dialog-state', action);
    replies.push(await bridge.dialog(session, change));
  }

  const send = (message: Json, secret = WEBHOOK_SECRET) => {
    const text = JSON.stringify(message);
    const seconds = Math.floor(Date.now() / 1_000);
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
    const signature = createHmac('sha256', key).update(`msg_1.${seconds}.${text}`).digest('base64');
    return bridge.webhook(text, {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(seconds),
      'webhook-signature': `v1,${signature}`,
    });
  };
  const message = { sessionId: session, userId: 'private-user', message: VALUE, channel: 'web', timestamp: 1 };
  replies.push(await send({ ...message, custom: { secret: VALUE } }));
  replies.push(await send({ ...message, timestamp: VALUE }));
  replies.push(await send(message, `whsec_${Buffer.from('private-webhook-secret-2').toString('base64')}`));
  for (const action of [{ status: 400, body }, { malformed: 'html' }, { status: 503, body }]) {
    at('webhook', action, 3);
    replies.push(await send({ ...message, timestamp: replies.length }));
    bridge.tenant.faults.clear();
  }

  replies.push(await bridge.get(`/v1/sessions/${session}/snapshot`));
  for (const action of [{ status: 500, body }, { malformed: 'html' }]) {
    at('snapshot', action, 0);
    replies.push(await bridge.get(`/v1/sessions/${session}/snapshot`));
    bridge.tenant.faults.clear();
  }
}
