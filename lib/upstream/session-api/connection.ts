import type { PermitAnswer, Priority } from '../../operations/ports/cognigy.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { Concurrency } from '../concurrency.ts';
import type { Governor } from '../governor.ts';
import { type Fetch, HttpClient, type HttpObservation, latestSlotMs } from '../httpClient.ts';
import { type ClientCredentials, requestToken, type TokenOutcome } from '../oauth.ts';
import type { TokenStore } from '../ports.ts';
import { TokenSource } from '../tokens.ts';
import { SURFACES, type SurfaceName, type SurfaceOptions } from './surfaces.ts';

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

/** A tenant as its surfaces see it: each with its own token, all with the same places for concurrent requests. */
export interface Connection {
  surface(name: SurfaceName): SurfaceOptions;
  /** A permit, and a token of `surface` on its way. */
  permit(
    surface: SurfaceOptions,
    call: { readonly deadlineMs: number; readonly mayWait: boolean; readonly priority?: Priority | undefined },
  ): Promise<PermitAnswer>;
}

/** Create it once per process. */
export function connect(options: SessionApiOptions): Connection {
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
  return {
    surface: optionsOf,
    permit: async ({ tokens }, { deadlineMs, mayWait, priority = 'interactive' }) => {
      // Not waited for: the token is there, or under way, when the request wants it; the permit must not age meanwhile.
      void tokens.get(deadlineMs);
      const nowMs = clock.now();
      const latestMs = mayWait ? latestSlotMs(deadlineMs, nowMs) : Math.min(deadlineMs, nowMs);
      return governor.acquire({ deadlineMs: latestMs, priority });
    },
  };
}
