import * as oauth from 'oauth4webapi';
import { isJsonObject } from '../context/json.ts';
import type { Clock } from '../platform/clock.ts';
import { type Fetch, type Fetched, isDeadSocket, type NoAnswer, readText, withTimeout } from './httpClient.ts';
import type { SharedToken } from './ports.ts';
import { retryAfterMs } from './retryAfter.ts';

/** Life of a token whose answer does not say (seconds, SPEC 3 "OAuth"). */
const DEFAULT_LIFE_SECONDS = 300;
/** Tokens are refreshed this long before they expire, or a tenth of their life if that is less (milliseconds). */
const MAX_REFRESH_AHEAD_MS = 60_000;
/** No token is believed to live longer than this (seconds): a day. */
const MAX_LIFE_SECONDS = 86_400;
/** A bearer token must fit into a header: RFC 6750 2.1, and what servers use beyond it. */
const TOKEN_TEXT = /^[\x21-\x7e]+$/;

/** What a surface's token is asked for with. */
export interface TokenSurface {
  /** Relative to the base URL. */
  readonly tokenPath: string;
  readonly clientAuthentication: 'client_secret_post' | 'client_secret_basic';
  /** Space-separated. */
  readonly scopes: string;
}

export interface ClientCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly tenantId?: string;
}

/** What the token endpoint made of a request. Holds no evidence: an OAuth error may repeat the client's id. */
export type TokenOutcome =
  | { readonly kind: 'token'; readonly token: SharedToken }
  /** 400, 401 or 403: asking again with the same credentials is pointless. */
  | { readonly kind: 'rejected'; readonly status: number }
  /** An answer that is not a token answer. */
  | { readonly kind: 'bad-response'; readonly status: number }
  | {
      readonly kind: 'unavailable';
      readonly status?: number;
      /** What the endpoint asked to wait, in milliseconds. */
      readonly retryAfterMs?: number;
      /** A kept-alive connection was dead: worth one more try at once. */
      readonly deadSocket: boolean;
    };

export interface TokenRequest {
  readonly baseUrl: string;
  readonly surface: TokenSurface;
  readonly credentials: ClientCredentials;
  /** Longest the request may take, in milliseconds. */
  readonly timeoutMs: number;
}

/** Asks for a token by client credentials (RFC 6749 4.4). One request, never rejects. */
export async function requestToken(
  request: TokenRequest,
  platform: { readonly fetch: Fetch; readonly clock: Clock },
): Promise<TokenOutcome> {
  const requestedAtMs = platform.clock.now();
  const answer = await withTimeout(platform.clock, request.timeoutMs, (signal) =>
    sendTokenRequest(request, platform.fetch, signal),
  );
  if (!(answer instanceof Response)) return failed(answer);
  return interpretTokenResponse(answer, requestedAtMs, platform.clock.now());
}

/** I/O only: sends the request and reads the answer to its end. */
async function sendTokenRequest(request: TokenRequest, fetch: Fetch, signal: AbortSignal): Promise<Response> {
  const { baseUrl, surface, credentials } = request;
  const authenticate =
    surface.clientAuthentication === 'client_secret_basic' ? oauth.ClientSecretBasic : oauth.ClientSecretPost;
  return oauth.clientCredentialsGrantRequest(
    { ...AUTHORIZATION_SERVER, token_endpoint: `${baseUrl}${surface.tokenPath}` },
    { client_id: credentials.clientId },
    authenticate(credentials.clientSecret),
    { scope: surface.scopes },
    {
      signal,
      headers: credentials.tenantId === undefined ? {} : { 'x-tenant-id': credentials.tenantId },
      [oauth.customFetch]: async (url, { headers, method, body }) =>
        asResponse(await fetch(url, { headers, method, body: String(body), redirect: 'manual', signal })),
      // The base URL is configuration, and configuration allows plain http only for the local stack.
      [oauth.allowInsecureRequests]: baseUrl.startsWith('http:'),
    },
  );
}

/** What of an answer is interpreted, read to its end. */
async function asResponse(fetched: Fetched): Promise<Response> {
  const { status, headers } = fetched;
  const retryAfter = headers.get('retry-after');
  // To its end, whatever it says: until then the connection is not free.
  const text = await readText(fetched);
  return new Response(NO_BODY.has(status) ? null : text, {
    status: status === 0 ? 302 : status,
    headers: retryAfter === null ? {} : { 'retry-after': retryAfter },
  });
}

/** No metadata document is fetched: the endpoints are part of the dialect. oauth4webapi wants an issuer all the same. */
const AUTHORIZATION_SERVER: oauth.AuthorizationServer = { issuer: 'https://upstream.invalid' };

/** Statuses a `Response` must not carry a body with. */
const NO_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** Interpretation only: what an answer of the token endpoint means (RFC 6749 5.1 and 5.2). */
export async function interpretTokenResponse(
  response: Response,
  requestedAtMs: number,
  nowMs: number,
): Promise<TokenOutcome> {
  const { status } = response;
  if (status === 400 || status === 401 || status === 403) return { kind: 'rejected', status };
  if (status === 408 || status === 429 || status >= 500) {
    const waitMs = retryAfterMs(response.headers.get('retry-after'), nowMs);
    return { kind: 'unavailable', status, deadSocket: false, ...(waitMs !== undefined && { retryAfterMs: waitMs }) };
  }
  try {
    const answer = await oauth.processClientCredentialsResponse(
      AUTHORIZATION_SERVER,
      { client_id: 'unused' },
      await withTokenType(response),
    );
    if (!TOKEN_TEXT.test(answer.access_token)) return { kind: 'bad-response', status };
    return {
      kind: 'token',
      token: tokenFrom(answer.access_token, answer.expires_in ?? DEFAULT_LIFE_SECONDS, requestedAtMs),
    };
  } catch {
    return { kind: 'bad-response', status };
  }
}

/** Tenants have been seen to leave out `token_type` and to send `"expires_in": null`; neither makes a token unusable. */
async function withTokenType(response: Response): Promise<Response> {
  const body: unknown = await response.json();
  if (!isJsonObject(body)) throw new TypeError('a token answer is an object');
  const { expires_in: life, ...others } = body;
  const normal = { token_type: 'Bearer', ...others, ...(life !== null && life !== undefined && { expires_in: life }) };
  return new Response(JSON.stringify(normal), { status: response.status });
}

/** Counted from the request, not from the answer: rather a second early than a 401. */
function tokenFrom(accessToken: string, lifeSeconds: number, requestedAtMs: number): SharedToken {
  const lifeMs = Math.min(lifeSeconds, MAX_LIFE_SECONDS) * 1000;
  const expiresAtMs = requestedAtMs + lifeMs;
  return { accessToken, expiresAtMs, refreshAtMs: expiresAtMs - Math.min(MAX_REFRESH_AHEAD_MS, lifeMs / 10) };
}

function failed(outcome: NoAnswer): TokenOutcome {
  return { kind: 'unavailable', deadSocket: isDeadSocket(outcome) };
}
