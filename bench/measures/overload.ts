import { parseSessionId, type SessionId } from '../../lib/context/sessionId.ts';
import type { CognigyPort } from '../../lib/operations/ports/cognigy.ts';
import { mostWithin } from '../statistics.ts';
import { startVirtualBridge, type VirtualBridge } from '../virtual/bridge.ts';
import type { World } from '../world/process.ts';

export interface Budget {
  /** Also what the tenant itself allows. */
  readonly ratePerMinute: number;
  /** For how long, in simulated minutes. */
  readonly minutes: number;
}

export interface OverloadOptions {
  /** One after the other. */
  readonly budgets: readonly Budget[];
  /** Instances of the bridge, each with a governor of its own on the same table. */
  readonly instances: number;
  /** Who has a request to make, and the next one as soon as that is answered, at each instance. */
  readonly callers: number;
  /** What the upstream takes for every request, milliseconds. */
  readonly upstreamMs: number;
}

/** What became of one budget. */
export interface Overload extends Budget {
  /** Requests that arrived at the tenant within the simulated minutes, token requests aside. */
  readonly requests: number;
  /** Those of them whose answer came before the deadline. */
  readonly answered: number;
  readonly mostInAMinute: number;
  /** Requests that the tenant has answered 429. */
  readonly refused: number;
}

export interface OverloadRun extends OverloadOptions {
  readonly overloads: readonly Overload[];
}

const MINUTE_MS = 60_000;
const CALLER_BUDGET_MS = 8_000;

/**
 * More work than the budget has requests for, minute after minute: is all of the budget used, and never more? On the real table,
 * but on a clock that jumps when everybody waits.
 */
export async function runOverload(world: World, options: OverloadOptions): Promise<OverloadRun> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const overloads: Overload[] = [];
  for (const budget of options.budgets) {
    const { databaseUrl } = world;
    const tableName = `overload-${budget.ratePerMinute}`;
    const bridge = await startVirtualBridge({ databaseUrl, tableName, dueShards: 1 });
    try {
      overloads.push(await overload(bridge, budget, options));
    } finally {
      bridge.close();
      await world.take();
    }
  }
  return { ...options, overloads };
}

async function overload(
  bridge: VirtualBridge,
  { ratePerMinute, minutes }: Budget,
  { instances, callers, upstreamMs }: OverloadOptions,
): Promise<Overload> {
  const { clock, tenant } = bridge;
  tenant.settings.change({ ratePerMinute, latencyMs: upstreamMs });
  const endMs = clock.now() + minutes * MINUTE_MS;
  let answered = 0;
  const call = async (cognigy: CognigyPort, sessionId: SessionId) => {
    const deadlineMs = clock.now() + CALLER_BUDGET_MS;
    const permit = await cognigy.prepare({ deadlineMs, mayWait: true });
    if (!permit.granted) return clock.sleep(Math.max(1, permit.retryAtMs - clock.now()));
    const variables = [{ key: 'crm_account_id', value: clock.now(), scope: 'session' as const }];
    const result = await cognigy.inject(
      { sessionId, variables },
      { deadlineMs, correlationId: 'bench', firstPermit: Promise.resolve(permit) },
    );
    if (result.kind === 'confirmed') answered += 1;
  };
  const everybody = Array.from({ length: instances }, (_, instance) => {
    const { cognigy } = bridge.instance(ratePerMinute);
    return Array.from({ length: callers }, async (_each, caller) => {
      const sessionId = sessionOf(`overloaded-${instance}-${caller}`);
      while (clock.now() < endMs) await call(cognigy, sessionId);
    });
  });
  await Promise.all(everybody.flat());
  const arrived = tenant.journal.entries().filter(({ surface }) => surface !== 'token');
  const inTime = arrived.filter(({ at }) => at < endMs);
  return {
    ratePerMinute,
    minutes,
    requests: inTime.length,
    answered: answered - (arrived.length - inTime.length),
    mostInAMinute: mostWithin(
      arrived.map(({ at }) => at),
      MINUTE_MS,
    ),
    refused: arrived.filter(({ status }) => status === 429).length,
  };
}

function sessionOf(text: string): SessionId {
  const sessionId = parseSessionId(text);
  if (sessionId === undefined) throw new TypeError('no session id');
  return sessionId;
}
