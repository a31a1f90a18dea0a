import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../lib/platform/random.ts';
import { makeClone } from '../fixtures/stack/clone.ts';
import { send } from '../fixtures/stack/send.ts';
import { seededRandom } from '../fixtures/upstream/seededRandom.ts';
import { account } from './accounting/account.ts';
import type { Finding } from './accounting/finding.ts';
import type { Evidence } from './evidence.ts';
import { gather, type Witnesses } from './gather.ts';
import { LoadClient } from './load/client.ts';
import { type Customer, RequestMaker } from './load/requests.ts';
import { type Kill, killPlan } from './plan.ts';
import { runScript } from './processes.ts';
import { comeToRest } from './rest.ts';
import { API_KEY, type RunOptions, STACK_ENV, TENANT_LATENCY_MS } from './settings.ts';
import { KillableStack } from './stack.ts';

/** A kill that has happened. */
export interface Done extends Kill {
  /** Requests that had no answer when it came. */
  readonly inFlight: number;
}

export interface RunReport {
  readonly options: RunOptions;
  readonly kills: readonly Done[];
  readonly evidence: Evidence;
  readonly findings: readonly Finding[];
  /** From the first request to the last kill's restart, milliseconds. */
  readonly loadMs: number;
  /** From the end of the load until everything had come to rest, milliseconds. */
  readonly restMs: number;
}

/** The system gives these to nobody who does not ask for them: nobody takes one while the stack is down. */
const FIRST_PORT = 20_000;
const PORTS = 10_000;
/** Of load after the last restart. */
const LAST_STRETCH_MS = 2_000;

/**
 * Kills the running stack at random moments under load, starts it again on the same `DATA_DIR`, and accounts for everything that
 * was asked of it. Tenant and receiver are processes of their own and live on, as the real ones would.
 *
 * ```text
 *   clients ──▶ npm start (killed, started, killed, …) ──▶ npm run tenant    (journal of every request)
 *      │                     └─────────────────────────▶ npm run receiver  (line for every delivery)
 *      └── what was asked and answered ──▶ account ◀── audit trails, contexts, journal, lines
 * ```
 *
 * @param say - hears what is going on, a line at a time
 * @throws Error when the stack ends by itself, or does not come up
 */
export async function runRestarts(options: RunOptions, say: (line: string) => void): Promise<RunReport> {
  const { seed, restarts, ratePerMinute } = options;
  const random = seededRandom(seed);
  const clone = makeClone();
  const tenant = runScript('tenant', clone.directory, { TENANT_PORT: '0' });
  const receiver = runScript('receiver', clone.directory, { RECEIVER_PORT: '0' });
  let stack: KillableStack | undefined;
  try {
    const [, tenantUrl = ''] = await tenant.match(/tenant on (\S+)/);
    const [, receiverUrl = ''] = await receiver.match(/deliveries at (\S+)\. /);
    await setTenant(tenantUrl, { ratePerMinute, latencyMs: TENANT_LATENCY_MS });
    stack = new KillableStack(clone.directory, {
      ...STACK_ENV,
      PORT: String(await freePort(random)),
      DATA_DIR: join(clone.directory, 'data'),
      COGNIGY_BASE_URL: tenantUrl,
      CRM_WEBHOOK_URL: receiverUrl,
      UPSTREAM_RATE_PER_MINUTE: String(ratePerMinute),
    });
    const customers = customersOf(options);
    await orDies(stack, stack.launch());
    await bindAll(stack, customers);

    const clients = clientsOf(options, stack, customers);
    const startedAtMs = Date.now();
    const running = clients.map((client) => client.run());
    const kills = await killAll(stack, killPlan(seed, restarts), clients, say);
    const loadMs = Date.now() - startedAtMs;
    await sleep(LAST_STRETCH_MS);
    for (const client of clients) client.stop();
    await orDies(stack, Promise.all(running));

    const sessions = customers.flatMap((customer) => customer.sessions);
    const departures = clients.flatMap((client) => client.departures);
    const witnesses: Witnesses = {
      bridgeUrl: stack.url,
      tenantUrl,
      receiverLines: receiver.lines,
      sessions,
      departures,
    };
    const given = {
      ratePerMinute,
      exchanges: clients.flatMap((client) => client.exchanges),
      areDeliveriesComplete: options.awaitDeliveries,
    };
    say('load is over; the schedule works off what is left …');
    const stoppedAtMs = Date.now();
    await orDies(stack, comeToRest(witnesses, given, options.restMs));
    const restMs = Date.now() - stoppedAtMs;
    const evidence = await gather(witnesses, { ...given, followsAnswers: true });
    return { options, kills, evidence, findings: account(evidence), loadMs, restMs };
  } finally {
    await Promise.all([stack?.kill(), tenant.kill(), receiver.kill()]);
    clone.remove();
  }
}

async function killAll(
  stack: KillableStack,
  plan: readonly Kill[],
  clients: readonly LoadClient[],
  say: (line: string) => void,
): Promise<Done[]> {
  const done: Done[] = [];
  let up: Promise<void> = stack.whenUp();
  for (const kill of plan) {
    if (kill.from === 'under-load') await orDies(stack, up);
    await sleep(kill.afterMs);
    const inFlight = clients.reduce((sum, client) => sum + client.inFlight, 0);
    await stack.kill();
    done.push({ ...kill, inFlight });
    say(
      `kill ${done.length} of ${plan.length}: ${kill.from}, after ${kill.afterMs} ms, ${inFlight} requests in flight`,
    );
    up = stack.launch();
  }
  await orDies(stack, up);
  return done;
}

/** Who waits for a stack that has died by itself waits for ever. */
async function orDies<Result>(stack: KillableStack, waiting: Promise<Result>): Promise<Result> {
  return Promise.race([waiting, stack.died]);
}

function customersOf({ customers }: RunOptions): Customer[] {
  return Array.from({ length: customers }, (_, index) => ({
    recordId: `ACC-${index + 1}`,
    sessions: [`sess_${2 * index + 1}`, `sess_${2 * index + 2}`],
  }));
}

function clientsOf({ clients, seed, thinkMs }: RunOptions, target: KillableStack, customers: readonly Customer[]) {
  return Array.from({ length: clients }, (_, index) => {
    // Each has a sequence of its own: how they interleave does not change what they ask for.
    const random = seededRandom(seed * 1_000 + index + 1);
    const maker = new RequestMaker(random, index + 1, customers);
    return new LoadClient({ target, maker, thinkMs, random: seededRandom(seed * 1_000 + index + 501) });
  });
}

async function bindAll({ url }: KillableStack, customers: readonly Customer[]): Promise<void> {
  for (const { recordId, sessions } of customers) {
    for (const session of sessions) {
      const path = `/v1/sessions/${session}/bindings/generic/${recordId}`;
      const { status } = await send(url, path, { method: 'PUT', headers: { authorization: `Bearer ${API_KEY}` } });
      if (status !== 200) throw new Error(`${session} could not be bound: ${status}`);
    }
  }
}

async function setTenant(tenantUrl: string, settings: object): Promise<void> {
  const { status } = await send(tenantUrl, '/__admin/settings', {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(settings),
  });
  if (status !== 200) throw new Error(`the tenant does not take its settings: ${status}`);
}

/** A port that nobody has, below those that the system hands out. */
async function freePort(random: Random): Promise<number> {
  const port = FIRST_PORT + Math.floor(random.next() * PORTS);
  const isFree = await new Promise<boolean>((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
  return isFree ? port : freePort(random);
}
