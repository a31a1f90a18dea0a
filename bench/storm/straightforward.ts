import { createTenant, type Tenant } from '../../infra/local/tenant/tenant.ts';
import type { Clock } from '../../lib/platform/clock.ts';
import { tenantNetwork } from '../../test/fixtures/operations/tenantNetwork.ts';
import { FakeClock } from '../../test/fixtures/upstream/fakeClock.ts';
import { mostWithin } from '../statistics.ts';
import { type Change, variablesOf } from './changes.ts';

/** `as they come`: each change is sent when it comes up. `in turn`: each worker sends one when it is done with the one before. */
export type Pace = 'as they come' | 'in turn';

/** All times are milliseconds from the first change. */
export interface StraightforwardRun {
  readonly pace: Pace;
  readonly confirmedAtMs: readonly number[];
  readonly givenUp: number;
  readonly requestsAtMs: readonly number[];
  /** Requests that the tenant has answered 429. */
  readonly refused: number;
  readonly mostInAMinute: number;
  readonly keys: number;
  /** Keys whose bot has, in the end, the value that came up last. */
  readonly keysWithLast: number;
}

export interface StraightforwardOptions {
  readonly ratePerMinute: number;
  /** What the upstream takes for every request, milliseconds. */
  readonly upstreamMs: number;
}

const RETRIES_AFTER_MS = [1_000, 2_000, 4_000];
const MINUTE_MS = 60_000;
const BASE_URL = 'http://tenant.test';

/**
 * What one would write without thinking twice: one token, one request for each change, three retries after 1, 2 and 4 s or after
 * what `Retry-After` says where that is longer. With a tenant of its own, of the same kind as the bridge's, both on a clock that
 * jumps when everybody waits: its minutes take no time, and it is as quick as the upstream lets it be.
 */
export async function runStraightforward(
  changes: readonly Change[],
  pace: Pace,
  { ratePerMinute, upstreamMs }: StraightforwardOptions,
): Promise<StraightforwardRun> {
  const clock = new FakeClock();
  const tenant = createTenant({ now: () => clock.now(), settings: { ratePerMinute, latencyMs: upstreamMs } });
  const client = new StraightforwardClient(tenantNetwork(tenant, clock), clock);
  await client.logIn();
  const startMs = clock.now();
  const send = async (change: Change) => {
    await clock.sleep(startMs + change.atMs - clock.now());
    return (await client.put(change)) ? clock.now() - startMs : undefined;
  };
  const ends = await (pace === 'as they come' ? Promise.all(changes.map(send)) : inTurn(changes, send));

  const journal = tenant.journal.entries({ surface: 'inject' });
  const confirmedAtMs = ends.filter((end) => end !== undefined).sort((a, b) => a - b);
  return {
    pace,
    confirmedAtMs,
    givenUp: changes.length - confirmedAtMs.length,
    requestsAtMs: journal.map(({ at }) => at - startMs),
    refused: journal.filter(({ status }) => status === 429).length,
    mostInAMinute: mostWithin(
      journal.map(({ at }) => at),
      MINUTE_MS,
    ),
    ...lastOnes(changes, tenant),
  };
}

/** All workers at the same time, each with one change at a time. */
async function inTurn<End>(changes: readonly Change[], send: (change: Change) => Promise<End>): Promise<End[]> {
  const byWorker = [...Map.groupBy(changes, ({ worker }) => worker).values()];
  const ends = await Promise.all(
    byWorker.map(async (own) => {
      const done: End[] = [];
      for (const change of own) done.push(await send(change));
      return done;
    }),
  );
  return ends.flat();
}

function lastOnes(changes: readonly Change[], tenant: Tenant): Pick<StraightforwardRun, 'keys' | 'keysWithLast'> {
  const last = new Map(changes.map((change) => [`${change.sessionId} ${change.key}`, change]));
  const isThere = ({ sessionId, key, value }: Change) => tenant.sessions.inspect(sessionId)?.context[key] === value;
  return { keys: last.size, keysWithLast: [...last.values()].filter(isThere).length };
}

/** It knows the platform's `fetch`, and nothing of ours. */
type Fetch = (url: string, init: RequestInit) => Promise<Response>;

class StraightforwardClient {
  readonly #fetch: Fetch;
  readonly #clock: Clock;
  #accessToken = '';

  constructor(fetch: Fetch, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  async logIn(): Promise<void> {
    const form = { grant_type: 'client_credentials', client_id: 'client', client_secret: 'secret' };
    const response = await this.#fetch(`${BASE_URL}/api/v2/oauth/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ ...form, scope: 'sessions:read_write' }),
    });
    if (!response.ok) throw new Error(`the token endpoint answered ${response.status}`);
    this.#accessToken = ((await response.json()) as { readonly access_token: string }).access_token;
  }

  /** False when it has given up. */
  async put(change: Change): Promise<boolean> {
    for (const retryAfterMs of [...RETRIES_AFTER_MS, undefined]) {
      const response = await this.#fetch(`${BASE_URL}/api/v2/sessions/${change.sessionId}/context`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${this.#accessToken}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          variables: variablesOf(change).map((variable) => ({ ...variable, expiresAt: null })),
          mergeStrategy: 'atomic_put',
        }),
      });
      if (response.ok) return true;
      if (response.status !== 429) throw new Error(`the tenant answered ${response.status}`);
      if (retryAfterMs === undefined) break;
      await this.#clock.sleep(Math.max(retryAfterMs, 1_000 * Number(response.headers.get('retry-after') ?? 0)));
    }
    return false;
  }
}
