import type { UpstreamCall } from '../../../../lib/operations/ports/cognigy.ts';
import { gcraFor } from '../../../../lib/upstream/gcra.ts';
import { Governor } from '../../../../lib/upstream/governor.ts';
import type { SessionApiOptions, UpstreamObservation } from '../../../../lib/upstream/session-api/connection.ts';
import { createSessionApi, createSessionReads } from '../../../../lib/upstream/session-api/index.ts';
import { FakeClock } from '../../../fixtures/upstream/fakeClock.ts';
import { MemoryRateStore } from '../../../fixtures/upstream/memoryRateStore.ts';
import { MemoryTokenStore } from '../../../fixtures/upstream/memoryTokenStore.ts';
import { json, type Reply, ScriptedFetch } from '../../../fixtures/upstream/scriptedFetch.ts';
import { seededRandom } from '../../../fixtures/upstream/seededRandom.ts';

interface Script {
  /** What the token endpoints answer; a new token each time unless told otherwise. */
  readonly token?: Reply;
  readonly credentials?: () => Promise<never>;
  readonly maxConcurrent?: number;
}

/** The dialect on a network that answers from `api`, with time, chance and stores in the test's hand. */
export function startSessionApi(api: Reply, { token, credentials, maxConcurrent }: Script = {}) {
  const clock = new FakeClock();
  const startMs = clock.now();
  const rates = new MemoryRateStore();
  const tokenStore = new MemoryTokenStore();
  const random = seededRandom(3);
  const governor = new Governor({ store: rates, cell: 'tenant', ratePerMinute: 100, clock, random });
  const observations: UpstreamObservation[] = [];
  let issued = 0;
  const issue: Reply = () => {
    issued += 1;
    return json(200, { access_token: `tok-${issued}`, token_type: 'Bearer', expires_in: 3600 });
  };
  const network = new ScriptedFetch((request, signal) =>
    request.path.endsWith('/oauth/token') ? (token ?? issue)(request, signal) : api(request, signal),
  );
  const options: SessionApiOptions = {
    baseUrl: 'https://cognigy.test/',
    credentials: credentials ?? (async () => ({ clientId: 'client', clientSecret: 's3cret', tenantId: 'acme' })),
    tokenKey: (surface) => `key-${surface}`,
    fetch: network.fetch,
    clock,
    random,
    tokenStore,
    governor,
    ...(maxConcurrent !== undefined && { maxConcurrent }),
    onRequest: (observation) => observations.push(observation),
  };
  const port = createSessionApi(options);
  const reads = createSessionReads(options);
  const call = (overrides: Partial<UpstreamCall> = {}): UpstreamCall => ({
    deadlineMs: startMs + 20_000,
    correlationId: 'corr-1',
    ...overrides,
  });
  const permitsTaken = () => Math.round(rates.reservedMs / gcraFor(100).intervalMs);
  return { clock, startMs, rates, permitsTaken, tokenStore, governor, network, port, reads, call, observations };
}
