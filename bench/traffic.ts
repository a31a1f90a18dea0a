import { randomUUID } from 'node:crypto';
import type { JsonObject } from '../lib/context/json.ts';

/** The one client's key. */
export const API_KEY = 'bench-key';

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

export function injectEvent({ sessionId, variables, idempotencyKey }: InjectCall): object {
  const body = { variables };
  return eventOf('POST', 'variables', { sessionId, body, ...(idempotencyKey !== undefined && { idempotencyKey }) });
}

export function syncEvent({ sessionId, data }: SyncCall): object {
  return eventOf('POST', 'sync', { sessionId, body: { data } });
}

/** The session as the mirror knows it. */
export function inspectEvent(sessionId: string): object {
  return eventOf('GET', undefined, { sessionId });
}

/** The event that API Gateway (HTTP API, payload format 2.0) makes of a call. */
function eventOf(
  method: 'GET' | 'POST',
  resource: string | undefined,
  call: { readonly sessionId: string; readonly body?: object; readonly idempotencyKey?: string },
): object {
  const { sessionId, body, idempotencyKey } = call;
  const tail = resource === undefined ? '' : `/${resource}`;
  const routeKey = `${method} /v1/sessions/{sessionId}${tail}`;
  const path = `/v1/sessions/${sessionId}${tail}`;
  const nowMs = Date.now();
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: '',
    headers: {
      authorization: `Bearer ${API_KEY}`,
      host: 'localhost',
      'x-correlation-id': randomUUID(),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    },
    pathParameters: { sessionId },
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
    ...(body !== undefined && { body: JSON.stringify(body) }),
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
