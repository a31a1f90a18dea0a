import type { CognigyPort } from '../../operations/ports/cognigy.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { Concurrency } from '../concurrency.ts';
import type { Governor } from '../governor.ts';
import { type Fetch, HttpClient, type HttpObservation } from '../httpClient.ts';
import { type ClientCredentials, requestToken, type TokenOutcome } from '../oauth.ts';
import type { TokenStore } from '../ports.ts';
import { TokenSource } from '../tokens.ts';
import { replaceContext } from './context.ts';
import { dialogBody, updateDialog } from './dialog.ts';
import { inject, injectBytes } from './inject.ts';
import { SURFACES, type SurfaceName, type SurfaceOptions } from './surfaces.ts';
import { readVariables } from './variables.ts';
import { enrich, webhookBody } from './webhook.ts';

/** Largest inject request (bytes, SPEC 4). */
const INJECT_MAX_BYTES = 262_144;
/** Largest change of a dialog (bytes, SPEC 4). */
const DIALOG_MAX_BYTES = 524_288;
/** `UPSTREAM_MAX_CONCURRENT` unless told otherwise (SPEC 3 "Rate"). */
const DEFAULT_MAX_CONCURRENT = 5;

/** One request as it went, for metrics. Holds no id, token, secret or body. */
export interface UpstreamObservation extends Omit<HttpObservation, 'outcome'> {
  readonly surface: SurfaceName;
  /** `token` for a request to the surface's token endpoint. */
  readonly target: 'api' | 'token';
  readonly outcome: HttpObservation['outcome'] | Exclude<TokenOutcome['kind'], 'token'>;
}

export interface SessionApiOptions {
  /** `COGNIGY_BASE_URL`; plain http is allowed, for the local stack. */
  readonly baseUrl: string;
  /** Read before every token request, so that a rotated secret is picked up. */
  readonly credentials: () => Promise<ClientCredentials>;
  /** Opaque name of a surface's shared token; differs by base URL, tenant and client id too, and holds none of them raw. */
  readonly tokenKey: (surface: SurfaceName) => string;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: Random;
  readonly tokenStore: TokenStore;
  readonly governor: Governor;
  /** Requests under way at a time from this instance; 5 unless told otherwise. */
  readonly maxConcurrent?: number;
  /** Per request, in milliseconds; 5,000 unless told otherwise. */
  readonly requestTimeoutMs?: number;
  /** Called once per request. Must not throw. */
  readonly onRequest?: (observation: UpstreamObservation) => void;
}

/**
 * The `session-api` dialect behind the port (SPEC 3).
 *
 * Create it once per process: tokens and the places for concurrent requests are shared by all its calls.
 */
export function createSessionApi(options: SessionApiOptions): CognigyPort {
  const { clock, random, governor, fetch, onRequest, maxConcurrent = DEFAULT_MAX_CONCURRENT } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  const timeout = options.requestTimeoutMs !== undefined && { requestTimeoutMs: options.requestTimeoutMs };
  const concurrency = new Concurrency(maxConcurrent, { clock });

  const askForToken = async (surface: SurfaceName, timeoutMs: number): Promise<TokenOutcome> => {
    const startedMs = clock.now();
    const credentials = await options.credentials().catch(() => undefined);
    if (credentials === undefined) return { kind: 'unavailable', deadSocket: false };
    const outcome = await requestToken(
      { baseUrl, surface: SURFACES[surface], credentials, timeoutMs },
      { fetch, clock },
    );
    onRequest?.({
      surface,
      target: 'token',
      outcome: outcome.kind === 'token' ? 'answer' : outcome.kind,
      latencyMs: clock.now() - startedMs,
      ...('status' in outcome && outcome.status !== undefined && { status: outcome.status }),
    });
    return outcome;
  };

  const optionsOf = (surface: SurfaceName): SurfaceOptions => ({
    baseUrl,
    governor,
    clock,
    random,
    client: new HttpClient({
      fetch,
      clock,
      concurrency,
      ...timeout,
      ...(onRequest && { onRequest: (observation) => onRequest({ ...observation, surface, target: 'api' }) }),
    }),
    tokens: new TokenSource({
      request: (timeoutMs) => askForToken(surface, timeoutMs),
      store: options.tokenStore,
      tokenKey: options.tokenKey(surface),
      clock,
      random,
      ...timeout,
    }),
  });
  const injecting = optionsOf('inject');
  const syncing = optionsOf('sync');
  const enriching = optionsOf('webhook');
  const moving = optionsOf('dialogState');
  const reading = optionsOf('snapshot');
  const surfaces = { inject: injecting, context: syncing, webhook: enriching, dialog: moving, variables: reading };

  return {
    capabilities: {
      canRead: true,
      // The sync surface has ETags; inject merges on its side and does without.
      hasVersion: true,
      mergesServerSide: true,
      canUnset: false,
      injectMaxBytes: INJECT_MAX_BYTES,
      dialogMaxBytes: DIALOG_MAX_BYTES,
    },
    injectBytes: ({ variables, expired, surface }) =>
      surface === 'webhook' ? Buffer.byteLength(webhookBody(variables), 'utf8') : injectBytes(variables, expired),
    inject: (request, call) =>
      request.surface === 'webhook' ? enrich(enriching, request, call) : inject(injecting, request, call),
    dialogBytes: (change) => Buffer.byteLength(dialogBody(change), 'utf8'),
    updateDialog: (request, call) => updateDialog(moving, request, call),
    readVariables: (request, call) => readVariables(reading, request, call),
    replaceContext: (request, call) => replaceContext(syncing, request, call),
    prepare: async ({ deadlineMs, mayWait, surface = 'inject', priority = 'interactive' }) => {
      // Not waited for: the token is there, or under way, when the request wants it; the permit must not age meanwhile.
      void surfaces[surface].tokens.get(deadlineMs);
      const latestMs = mayWait ? deadlineMs : Math.min(deadlineMs, clock.now());
      return governor.acquire({ deadlineMs: latestMs, priority });
    },
  };
}
