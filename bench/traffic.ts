import { randomUUID } from 'node:crypto';

/** The one client's key. */
export const API_KEY = 'bench-key';

/** What is asked of `inject`. */
export interface InjectCall {
  readonly sessionId: string;
  readonly variables: readonly object[];
  readonly idempotencyKey?: string;
}

/** The event that API Gateway (HTTP API, payload format 2.0) makes of a call. */
export function injectEvent({ sessionId, variables, idempotencyKey }: InjectCall): object {
  const path = `/v1/sessions/${sessionId}/variables`;
  const nowMs = Date.now();
  return {
    version: '2.0',
    routeKey: 'POST /v1/sessions/{sessionId}/variables',
    rawPath: path,
    rawQueryString: '',
    headers: {
      authorization: `Bearer ${API_KEY}`,
      'content-type': 'application/json',
      host: 'localhost',
      'x-correlation-id': randomUUID(),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    },
    pathParameters: { sessionId },
    requestContext: {
      accountId: '000000000000',
      apiId: 'local',
      domainName: 'localhost',
      domainPrefix: 'local',
      http: { method: 'POST', path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'bench' },
      requestId: randomUUID(),
      routeKey: 'POST /v1/sessions/{sessionId}/variables',
      stage: '$default',
      time: new Date(nowMs).toISOString(),
      timeEpoch: nowMs,
    },
    body: JSON.stringify({ variables }),
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
