import type { World } from '../world/process.ts';

/** What single round trips cost a client that does nothing else, measured in between. */
export interface BareRoundTrips {
  /** One more of each; returns their times in milliseconds. */
  measure(): Promise<{ readonly databaseMs: number; readonly upstreamMs: number }>;
}

/** A client of the same two servers without a bridge: `GetItem` and the inject surface's PUT, by plain `fetch`. */
export async function bareRoundTrips(world: World): Promise<BareRoundTrips> {
  const accessToken = await fetchToken(world.upstreamUrl);
  return {
    measure: async () => ({
      databaseMs: await timed(() => getItem(world)),
      upstreamMs: await timed(() => putContext(world.upstreamUrl, accessToken)),
    }),
  };
}

async function fetchToken(upstreamUrl: string): Promise<string> {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: 'client',
    client_secret: 'secret',
    scope: 'sessions:read_write',
  });
  const response = await fetch(`${upstreamUrl}/api/v2/oauth/token`, { method: 'POST', body: form });
  const { access_token: accessToken } = (await response.json()) as { access_token: string };
  return accessToken;
}

function getItem({ databaseUrl, environment }: World): Promise<Response> {
  const key = { pk: { S: 'BARE' }, sk: { S: 'BARE' } };
  return fetch(databaseUrl, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': 'DynamoDB_20120810.GetItem',
      'x-amz-date': '20260101T000000Z',
      authorization:
        'AWS4-HMAC-SHA256 Credential=local/20260101/local/dynamodb/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: JSON.stringify({ TableName: environment['TABLE_NAME'], Key: key }),
  });
}

function putContext(upstreamUrl: string, accessToken: string): Promise<Response> {
  return fetch(`${upstreamUrl}/api/v2/sessions/bare/context`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      variables: [{ key: 'priority_flag', value: true, scope: 'session', expiresAt: null }],
      mergeStrategy: 'atomic_put',
    }),
  });
}

async function timed(request: () => Promise<Response>): Promise<number> {
  const startedMs = performance.now();
  const response = await request();
  await response.arrayBuffer();
  const tookMs = performance.now() - startedMs;
  if (!response.ok) throw new Error(`a bare round trip was answered ${response.status}`);
  return tookMs;
}
