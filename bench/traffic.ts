import { createHmac, randomUUID } from 'node:crypto';
import type { JsonObject } from '../lib/context/json.ts';

/** The one client's key. */
export const API_KEY = 'bench-key';

/** With which messages are signed. */
export const WEBHOOK_SECRET = `whsec_${Buffer.from('what signs messages of the bench').toString('base64')}`;

/** With which events of the CRM are signed, those that come in and those that go out. */
export const CRM_SECRET = `whsec_${Buffer.from('what signs events of the bench').toString('base64')}`;

/** The shipped source that signs by Standard Webhooks. */
export const CRM_SOURCE = 'generic';

/** What is asked of `inject`. */
export interface InjectCall {
  readonly sessionId: string;
  readonly variables: readonly object[];
  readonly idempotencyKey?: string;
}

/** What is asked of `sync`. */
export interface SyncCall {
  readonly sessionId: string;
  /** A JSON Merge Patch of the context. */
  readonly data: JsonObject;
}

/** What the web-messaging endpoint tells about one message. */
export interface MessageCall {
  readonly sessionId: string;
  readonly userId: string;
  readonly message: string;
  readonly channel: string;
  readonly timestamp: number;
  readonly custom: JsonObject;
}

/** What a CRM tells of one of its records. */
export interface CrmCall {
  readonly id: string;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly data: JsonObject & { readonly id: string };
}

/** What is asked of `dialog-state`. */
export interface DialogCall {
  readonly session: JsonObject;
  readonly user: JsonObject;
  readonly transition: { readonly nextStep: string };
}

export function injectEvent({ sessionId, variables, idempotencyKey }: InjectCall): object {
  const more = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
  return sessionEvent('POST', '/variables', { sessionId, body: { variables } }, more);
}

export function syncEvent({ sessionId, data }: SyncCall): object {
  return sessionEvent('POST', '/sync', { sessionId, body: { data } });
}

/** The session as the mirror knows it. */
export function inspectEvent(sessionId: string): object {
  return sessionEvent('GET', '', { sessionId });
}

/** What the bot has right now. */
export function snapshotEvent(sessionId: string): object {
  return sessionEvent('GET', '/snapshot', { sessionId });
}

export function dialogEvent(dialogId: string, change: DialogCall): object {
  return eventOf({
    routeKey: 'PATCH /v1/dialogs/{dialogId}/state',
    pathParameters: { dialogId },
    headers: AUTHORIZED,
    body: JSON.stringify(change),
  });
}

export function webhookEvent(message: MessageCall): object {
  const body = JSON.stringify(message);
  return eventOf({ routeKey: 'POST /v1/webhooks/cognigy', pathParameters: {}, headers: signatureOf(body), body });
}

/** Binds a session to a record of the CRM. */
export function bindingEvent(sessionId: string, recordId: string): object {
  return eventOf({
    routeKey: 'PUT /v1/sessions/{sessionId}/bindings/{source}/{recordId}',
    pathParameters: { sessionId, source: CRM_SOURCE, recordId },
    headers: AUTHORIZED,
  });
}

export function crmEvent(call: CrmCall): object {
  const body = JSON.stringify(call);
  return eventOf({
    routeKey: 'POST /v1/webhooks/crm/{source}',
    pathParameters: { source: CRM_SOURCE },
    headers: signatureOf(body, CRM_SECRET),
    body,
  });
}

/** Headers of Standard Webhooks. */
export function signatureOf(body: string, secret = WEBHOOK_SECRET): Readonly<Record<string, string>> {
  const id = `msg_${randomUUID()}`;
  const seconds = String(Math.floor(Date.now() / 1_000));
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': seconds, 'webhook-signature': `v1,${signature}` };
}

const AUTHORIZED = { authorization: `Bearer ${API_KEY}` };

function sessionEvent(
  method: 'GET' | 'POST',
  tail: string,
  { sessionId, body }: { readonly sessionId: string; readonly body?: object },
  headers: Readonly<Record<string, string>> = {},
): object {
  return eventOf({
    routeKey: `${method} /v1/sessions/{sessionId}${tail}`,
    pathParameters: { sessionId },
    headers: { ...AUTHORIZED, ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

/** The event that API Gateway (HTTP API, payload format 2.0) makes of a call. */
function eventOf(call: {
  readonly routeKey: string;
  readonly pathParameters: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}): object {
  const { routeKey, pathParameters, headers, body } = call;
  const [method, template = ''] = routeKey.split(' ');
  const path = template.replace(/\{(\w+)\}/g, (_, name: string) => pathParameters[name] ?? '');
  const nowMs = Date.now();
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: '',
    headers: {
      host: 'localhost',
      'x-correlation-id': randomUUID(),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    pathParameters,
    requestContext: {
      accountId: '000000000000',
      apiId: 'local',
      domainName: 'localhost',
      domainPrefix: 'local',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'bench' },
      requestId: randomUUID(),
      routeKey,
      stage: '$default',
      time: new Date(nowMs).toISOString(),
      timeEpoch: nowMs,
    },
    ...(body !== undefined && { body }),
    isBase64Encoded: false,
  };
}

/** What a CRM typically has to say about a caller; `turn` makes it new. */
export function crmVariables(turn: number): object[] {
  return [
    { key: 'crm_account_id', value: `ACC-${turn}`, scope: 'user', ttlSeconds: 86_400 },
    { key: 'priority_flag', value: turn % 2 === 0, ttlSeconds: 900 },
    {
      key: 'open_ticket',
      value: { id: `T-${turn}`, status: 'open', topics: ['billing', 'refund'], ageDays: turn % 30 },
      ttlSeconds: 3_600,
    },
  ];
}
