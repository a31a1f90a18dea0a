import { parseSessionId, type SessionId } from '../../lib/context/sessionId.ts';
import { type InjectDeps, inject } from '../../lib/operations/inject.ts';
import { MemoryTelemetry } from '../../test/fixtures/operations/memoryTelemetry.ts';
import { startVirtualBridge, type VirtualBridge } from '../virtual/bridge.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest } from '../world/protocol.ts';

/** One inject that found so many operations waiting in the journal, and took them along. */
export interface JournalPush {
  readonly waiting: number;
  readonly database: readonly DatabaseRequest[];
  readonly upstream: readonly { readonly sentBytes: number }[];
  /** From its call to its answer, without waiting for anybody. */
  readonly tookMs: number;
}

/** With this budget there is one permit, and none for a minute. */
const HELD_BACK = 1;
const UNLIMITED = 1_000_000;
const HELD_BACK_MS = 1_000;
const CLIENT_BUDGET_MS = 8_000;
/** The first ones warm the code up. */
const WARM_UP = 20;

/** Lets operations wait in the journals of sessions, for want of budget, until one comes that has a permit. */
export async function measureJournals(
  world: World,
  waitings: readonly number[],
  rounds: number,
): Promise<readonly JournalPush[]> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const bridge = await startVirtualBridge({ databaseUrl: world.databaseUrl, tableName: 'journals', dueShards: 1 });
  try {
    const heldBack = bridge.instance(HELD_BACK);
    const free = bridge.instance(UNLIMITED);
    await confirmed(bridge, heldBack, sessionOf('the-one-permit'), 0);
    for (let turn = 0; turn < WARM_UP; turn += 1) await confirmed(bridge, free, sessionOf(`warm-${turn}`), turn);
    const pushes: JournalPush[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const waiting of waitings) {
        const sessionId = sessionOf(`journal-${waiting}-${round}`);
        for (let turn = 0; turn < waiting; turn += 1) await pending(bridge, heldBack, sessionId, turn);
        bridge.tenant.journal.clear();
        await world.take();
        const startedMs = performance.now();
        await confirmed(bridge, free, sessionId, waiting);
        const tookMs = performance.now() - startedMs;
        const { database } = await world.take();
        const upstream = bridge.tenant.journal
          .entries({ sessionId })
          .map(({ bodyBytes }) => ({ sentBytes: bodyBytes }));
        pushes.push({ waiting, database, upstream, tookMs });
      }
    }
    return pushes;
  } finally {
    bridge.close();
    await world.take();
  }
}

async function confirmed(bridge: VirtualBridge, deps: InjectDeps, sessionId: SessionId, turn: number): Promise<void> {
  const answer = await injectOne(bridge, deps, { sessionId, turn, budgetMs: CLIENT_BUDGET_MS });
  const isConfirmed = answer.kind === 'settled' && answer.outcome.kind === 'confirmed';
  if (!isConfirmed) throw new Error(`an injection that has a permit was ${answer.kind}`);
}

async function pending(bridge: VirtualBridge, deps: InjectDeps, sessionId: SessionId, turn: number): Promise<void> {
  const answer = await injectOne(bridge, deps, { sessionId, turn, budgetMs: HELD_BACK_MS });
  if (answer.kind !== 'pending') throw new Error(`an injection without a permit was ${answer.kind}`);
}

function injectOne(
  { clock }: VirtualBridge,
  deps: InjectDeps,
  { sessionId, turn, budgetMs }: { readonly sessionId: SessionId; readonly turn: number; readonly budgetMs: number },
) {
  const variables = [{ key: `crm_field_${turn % 10}`, value: `value ${turn}`, scope: 'session' as const }];
  return inject(deps, {
    sessionId,
    client: 'crm',
    correlationId: 'bench',
    deadlineMs: clock.now() + budgetMs,
    telemetry: new MemoryTelemetry(),
    variables,
    requested: { variables: variables.map((each) => ({ ...each })), mergeStrategy: 'atomic_put', crm: null },
  });
}

function sessionOf(text: string): SessionId {
  const sessionId = parseSessionId(text);
  if (sessionId === undefined) throw new TypeError('no session id');
  return sessionId;
}
