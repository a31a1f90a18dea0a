import { afterEach, describe, expect, it } from 'vitest';
import type { NewFault } from '../../infra/local/tenant/faults.ts';
import { startTenantServer } from '../../infra/local/tenant/server.ts';
import { createTenant, type Tenant } from '../../infra/local/tenant/tenant.ts';
import type { JsonObject } from '../../lib/context/json.ts';
import { type Clock, systemClock } from '../../lib/platform/clock.ts';
import { createRandom } from '../../lib/platform/random.ts';
import { Governor } from '../../lib/upstream/governor.ts';
import type { Fetch } from '../../lib/upstream/httpClient.ts';
import { createNodeFetch } from '../../lib/upstream/nodeFetch.ts';
import { createSessionApi, createSessionReads } from '../../lib/upstream/session-api/index.ts';
import { MemoryRateStore } from '../fixtures/upstream/memoryRateStore.ts';
import { MemoryTokenStore } from '../fixtures/upstream/memoryTokenStore.ts';
import { seededRandom } from '../fixtures/upstream/seededRandom.ts';
import { Chance } from '../simulation/world/chance.ts';
import { simulatedNetwork } from '../simulation/world/network.ts';
import { Process } from '../simulation/world/process.ts';
import { Tally } from '../simulation/world/tally.ts';
import { Timeline } from '../simulation/world/timeline.ts';
import { FAIR } from '../simulation/world/weather.ts';

/** One way to the tenant. */
interface Way {
  readonly tenant: Tenant;
  readonly baseUrl: string;
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Lets time pass until something is done. */
  during<Result>(work: Promise<Result>): Promise<Result>;
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** The same tenant: over real sockets and real time, and as the simulation has it. */
const WAYS: readonly { readonly name: string; readonly open: () => Promise<Way> }[] = [
  {
    name: 'the wire',
    open: async () => {
      const server = await startTenantServer();
      closing.push(() => server.close());
      const { tenant, url: baseUrl } = server;
      return { tenant, baseUrl, fetch: createNodeFetch(), clock: systemClock, during: (work) => work };
    },
  },
  {
    name: 'the simulated network',
    open: async () => {
      const timeline = new Timeline();
      const tenant = createTenant({ now: () => Math.floor(timeline.exactMs), settings: { ratePerMinute: 0 } });
      const process = new Process('instance', timeline, 0);
      const watcher = { left() {}, arrived() {}, heard() {} };
      const simulated = simulatedNetwork({
        process,
        tenant,
        timeline,
        chance: new Chance('contract'),
        faults: new Tally(),
        weather: () => FAIR,
        isDown: () => false,
        watcher: () => watcher,
        order: new Map(),
      });
      const during = <Result>(work: Promise<Result>) => timeline.during(work);
      return { tenant, baseUrl: 'http://tenant.test', fetch: simulated, clock: process.clock, during };
    },
  },
];

const SESSION = 'sess:1';
const TIMEOUT_MS = 400;

describe.each(WAYS)('The upstream by $name', ({ open }) => {
  async function prepare() {
    const way = await open();
    way.tenant.settings.change({ ratePerMinute: 0 });
    const { baseUrl, clock } = way;
    const random = createRandom(seededRandom().next);
    const options = {
      baseUrl,
      credentials: async () => ({ clientId: 'client', clientSecret: 'secret' }),
      tokenKey: (surface: string) => surface,
      fetch: way.fetch,
      clock,
      random,
      tokenStore: new MemoryTokenStore(),
      governor: new Governor({
        store: new MemoryRateStore(),
        cell: 'tenant',
        ratePerMinute: 60_000,
        burst: 20,
        clock,
        random,
      }),
      requestTimeoutMs: TIMEOUT_MS,
    };
    const port = createSessionApi(options);
    const reads = createSessionReads(options);
    const call = () => ({ deadlineMs: clock.now() + 4_000, correlationId: 'corr' });
    const context = () => way.tenant.sessions.inspect(SESSION)?.context;
    const inject = (value = 'v', expiresAtMs?: number) =>
      way.during(
        port.inject(
          {
            sessionId: SESSION,
            variables: [{ key: 'k', value, scope: 'session', ...(expiresAtMs !== undefined && { expiresAtMs }) }],
          },
          call(),
        ),
      );
    return { ...way, port, reads, call, context, inject };
  }

  it('takes variables, and forgets them', async () => {
    const { inject, during, port, call, context } = await prepare();
    expect(await inject()).toMatchObject({ kind: 'confirmed', attempts: 1, upstreamStatus: 200 });
    expect(context()).toEqual({ k: 'v' });
    const expired = [{ key: 'k', scope: 'session' as const, expiresAtMs: 1 }];
    expect(await during(port.inject({ sessionId: SESSION, variables: [], expired }, call()))).toMatchObject({
      kind: 'confirmed',
    });
    expect(context()).toEqual({});
  });

  it('takes what derives from a message by a surface of its own', async () => {
    const { during, port, call, context } = await prepare();
    const variables = [{ key: 'last_user_message', value: 'hello', scope: 'session' as const }];
    const result = await during(port.inject({ sessionId: SESSION, variables, surface: 'webhook' }, call()));
    expect(result).toMatchObject({ kind: 'confirmed', attempts: 1 });
    expect(context()).toEqual({ last_user_message: 'hello' });
  });

  it('has a context replaced that is what was read, and read again where the bot has changed it', async () => {
    const { during, port, call, context, tenant } = await prepare();
    let asked = 0;
    const merge = async (theirs: JsonObject | undefined) => {
      asked += 1;
      if (asked === 1) tenant.sessions.changeAsBot(SESSION, { variables: [{ key: 'bot', value: 1 }] });
      return { kind: 'put' as const, context: { ...theirs, ours: asked } };
    };
    const result = await during(port.replaceContext({ sessionId: SESSION, merge }, call()));
    expect(result).toMatchObject({ kind: 'confirmed', attempts: 4 });
    expect(context()).toEqual({ bot: 1, ours: 2 });
  });

  it('moves a dialog on, once and to the version that it is at', async () => {
    const { during, port, call, tenant } = await prepare();
    const believed = async () => undefined;
    const change = { session: { step: 1 }, transition: { nextStep: 'next' } };
    const first = await during(port.updateDialog({ sessionId: SESSION, change, believed }, call()));
    expect(first).toMatchObject({ kind: 'confirmed', dialog: { etag: '"2"', version: 2 } });
    const stale = await during(port.updateDialog({ sessionId: SESSION, change, believed, ifMatch: '"1"' }, call()));
    expect(stale).toMatchObject({ kind: 'refused', code: 'version-mismatch', currentEtag: '"2"' });
    expect(tenant.sessions.inspect(SESSION)).toMatchObject({ version: 2, nextStep: 'next' });
  });

  it('shows variables page by page', async () => {
    const { during, reads, call, tenant } = await prepare();
    tenant.settings.change({ pageSize: 2 });
    const variables = ['a', 'b', 'c'].map((key) => ({ key, value: key }));
    tenant.sessions.create({ sessionId: SESSION, variables });
    const result = await during(reads.readVariables({ sessionId: SESSION }, call()));
    expect(result).toMatchObject({ kind: 'read', pages: 2, variables: variables.map(({ key }) => ({ name: key })) });
  });

  it.each<[string, NewFault['action'], object, boolean]>([
    [
      'busy for a second',
      { status: 429, headers: { 'retry-after': '1' } },
      { kind: 'confirmed', attempts: 2, throttled: 1 },
      true,
    ],
    ['out of order', { status: 503 }, { kind: 'confirmed', attempts: 2 }, true],
    ['out of order when it is done', { status: 500, applied: true }, { kind: 'confirmed', attempts: 2 }, true],
    ['of the opinion that the request is bad', { status: 400 }, { kind: 'refused', code: 'upstream-rejected' }, false],
    ['of the opinion that the token is bad', { status: 401 }, { kind: 'confirmed', attempts: 2 }, true],
    ['of the opinion that nobody may', { status: 403 }, { kind: 'refused', code: 'upstream-forbidden' }, false],
    ['cut off before', { reset: 'before' }, { kind: 'confirmed', attempts: 2 }, true],
    ['cut off after', { reset: 'after' }, { kind: 'confirmed', attempts: 2 }, true],
    ['too slow', { delayMs: 2 * TIMEOUT_MS }, { kind: 'confirmed', attempts: 2 }, true],
    ['a page for people', { malformed: 'html' }, { kind: 'refused', code: 'upstream-bad-response' }, true],
    ['half an answer', { malformed: 'truncated' }, { kind: 'refused', code: 'upstream-bad-response' }, true],
    ['something else', { malformed: 'wrong-shape' }, { kind: 'refused', code: 'upstream-bad-response' }, true],
    ['no answer at all', { malformed: 'empty' }, { kind: 'refused', code: 'upstream-bad-response' }, true],
    ['elsewhere', { redirectTo: 'http://127.0.0.1:1/' }, { kind: 'refused', code: 'upstream-bad-response' }, false],
  ])('that is %s ends the same', async (_, action, expected, isThere) => {
    const { inject, tenant, context } = await prepare();
    tenant.faults.add({ match: { surface: 'inject' }, action });
    expect(await inject()).toMatchObject(expected);
    expect(context() ?? {}).toEqual(isThere ? { k: 'v' } : {});
  });

  it('that has ended a session says so', async () => {
    const { inject, tenant } = await prepare();
    tenant.sessions.create({ sessionId: SESSION });
    tenant.sessions.end(SESSION);
    expect(await inject()).toMatchObject({ kind: 'refused', code: 'session-ended', upstreamStatus: 404 });
  });
});
