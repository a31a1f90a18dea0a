import type { Tenant } from '../../infra/local/tenant/tenant.ts';
import { parseSessionId, type SessionId } from '../../lib/context/sessionId.ts';
import { inject } from '../../lib/operations/inject.ts';
import { sync } from '../../lib/operations/sync.ts';
import { type WorkOffReport, workOffDue } from '../../lib/operations/workOffDue.ts';
import { dueShardOf, EVENT_PREFIX, sessionPk } from '../../lib/store/keys.ts';
import { collect } from '../../lib/store/table.ts';
import { MemoryTelemetry } from '../../test/fixtures/operations/memoryTelemetry.ts';
import { mostWithin } from '../statistics.ts';
import { startVirtualBridge, type TableLog, type VirtualBridge } from '../virtual/bridge.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest } from '../world/protocol.ts';

export interface SweepOptions {
  /** Sessions in the table. */
  readonly sessions: number;
  /** Those of them in which a value expires, all at the same moment. */
  readonly due: number;
  /** The tenant's budget, and what the tenant itself allows. */
  readonly ratePerMinute: number;
}

/** One run of the schedule. */
export interface Tick extends WorkOffReport {
  readonly database: readonly DatabaseRequest[];
  /** Queries of the due index, and the entries they found. */
  readonly queries: number;
  readonly found: number;
  /** Sessions of which anything was read, the items read of them, and what else was read by its key (the budget, tokens). */
  readonly sessionsRead: number;
  readonly sessionReads: number;
  readonly otherReads: number;
  readonly upstreamRequests: number;
  /** Time it took here, without waiting for the budget. */
  readonly tookMs: number;
  /** Expired values that the bot still has afterwards, and of these sessions those that the due index does not know. */
  readonly left: number;
  readonly lost: number;
}

export interface SweepRun extends SweepOptions {
  readonly shards: number;
  readonly filledInMs: number;
  /** A run in which every lane only has something to archive. */
  readonly archiving: Tick;
  /** A run with nothing due. */
  readonly quiet: Tick;
  /** Finding all that is due, and nothing else. */
  readonly finding: { readonly found: number; readonly database: readonly DatabaseRequest[]; readonly tookMs: number };
  /** The runs from the first after the values have expired to the one after which nothing is due. */
  readonly ticks: readonly Tick[];
  /** Most requests that the tenant has got in any sliding minute, those it refused among them. */
  readonly mostInAMinute: number;
  /** Requests that the tenant has refused. */
  readonly refused: number;
  /** Sessions that have lost a value that had not expired. */
  readonly damaged: number;
}

/** `DUE_SHARDS` unless told otherwise. */
const SHARDS = 16;
const MINUTE_MS = 60_000;
/** The schedule's function has 55 s, of which it leaves 2 for what is under way. */
const TICK_MS = 53_000;
const UPSTREAM_MS = 50;
const EXPIRES_IN_SECONDS = 600;
/** One in so many of the values that expire came by a sync, and leaves by a rewritten context: two requests instead of one. */
const SYNCED_EACH = 5;
const IN_FLIGHT = 32;
const MOST_TICKS = 40;
const UNLIMITED = 1_000_000;
const CLIENT_BUDGET_MS = 8_000;

/**
 * Lets values expire in some of many sessions, and the schedule run every minute until they have left the bot. The sessions
 * in which something expires are made by the bridge itself; the others are copies, item by item, of one that is.
 */
export async function runSweep(world: World, options: SweepOptions): Promise<SweepRun> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const { databaseUrl } = world;
  const bridge = await startVirtualBridge({ databaseUrl, tableName: `sweep-${options.sessions}`, dueShards: SHARDS });
  try {
    return await new Sweep(world, bridge, options).run();
  } finally {
    bridge.close();
  }
}

class Sweep {
  readonly #world: World;
  readonly #bridge: VirtualBridge;
  readonly #options: SweepOptions;
  readonly #expiring: readonly SessionId[];

  constructor(world: World, bridge: VirtualBridge, options: SweepOptions) {
    this.#world = world;
    this.#bridge = bridge;
    this.#options = options;
    this.#expiring = Array.from({ length: options.due }, (_, index) => sessionOf(`expiring-${index}`));
  }

  async run(): Promise<SweepRun> {
    const { clock, tenant } = this.#bridge;
    const startedMs = performance.now();
    const startMs = clock.now();
    await this.#fillExpiring();
    clock.advance(2 * MINUTE_MS);
    const archiving = await this.#tick();
    await this.#fillQuiet();
    const filledInMs = performance.now() - startedMs - archiving.tookMs;

    tenant.settings.change({ latencyMs: UPSTREAM_MS, ratePerMinute: this.#options.ratePerMinute });
    clock.advance(MINUTE_MS);
    const quiet = await this.#tick();
    clock.advance(startMs + (EXPIRES_IN_SECONDS + 1) * 1_000 - clock.now());
    const finding = await this.#find();
    tenant.journal.clear();
    const ticks: Tick[] = [];
    for (let tick: Tick | undefined; tick === undefined || tick.sessionsRead > 0; ) {
      if (ticks.length === MOST_TICKS) throw new Error('the schedule does not come to an end');
      const beganMs = clock.now();
      tick = await this.#tick();
      ticks.push(tick);
      clock.advance(Math.max(0, beganMs + MINUTE_MS - clock.now()));
    }
    return {
      ...this.#options,
      shards: SHARDS,
      filledInMs,
      archiving,
      quiet,
      finding,
      ticks,
      ...inTheJournal(tenant),
      damaged: this.#expiring.filter((sessionId) => this.#valueOf(sessionId, 'crm_account_id') === undefined).length,
    };
  }

  /** Sessions as clients make them, with one value that stays and one that expires soon. */
  async #fillExpiring(): Promise<void> {
    const deps = this.#bridge.instance(UNLIMITED);
    const expiresAtMs = this.#bridge.clock.now() + EXPIRES_IN_SECONDS * 1_000;
    await inParallel(this.#expiring, IN_FLIGHT, async (sessionId, index) => {
      const answer = await (index % SYNCED_EACH === 0
        ? this.#syncOne(deps, sessionId)
        : this.#injectOne(deps, sessionId, expiresAtMs));
      if (answer.kind !== 'settled' || answer.outcome.kind !== 'confirmed') throw new Error('a session was not made');
    });
  }

  /** Copies of a session in which nothing is to be done before tomorrow. */
  async #fillQuiet(): Promise<void> {
    const { table, vault, clock } = this.#bridge;
    const deps = this.#bridge.instance(UNLIMITED);
    const original = { sessionId: sessionOf('original') };
    await this.#injectOne(deps, original.sessionId, clock.now() + 24 * 60 * MINUTE_MS);
    clock.advance(2 * MINUTE_MS);
    await this.#tick();
    const all = await collect(table.query({ pk: sessionPk(vault, original), prefix: '' }));
    // Its event is due in an index partition of its own, and has been told long ago.
    const items = all.filter(({ sk }) => !String(sk).startsWith(EVENT_PREFIX));
    const count = this.#options.sessions - this.#options.due - 1;
    const copies = Array.from({ length: count }, (_, index) => {
      const sessionId = sessionOf(`quiet-${index}`);
      const pk = sessionPk(vault, { sessionId });
      const lane = { dueShard: dueShardOf(pk, SHARDS), sealedId: vault.seal(pk, Buffer.from(sessionId)) };
      return items.map(({ sk, ...item }) => ({ ...item, pk, sk: String(sk), ...('dueShard' in item && lane) }));
    });
    const batches = Array.from({ length: Math.ceil(count / 8) }, (_, index) => copies.slice(8 * index, 8 * index + 8));
    await inParallel(batches, IN_FLIGHT, (batch) => table.putMany(batch.flat()));
    await this.#world.take();
  }

  #injectOne(deps: ReturnType<VirtualBridge['instance']>, sessionId: SessionId, expiresAtMs: number) {
    const variables = [
      { key: 'crm_account_id', value: `ACC-${sessionId}`, scope: 'session' as const },
      { key: 'offer', value: { code: 'WELCOME', percent: 10 }, scope: 'session' as const, expiresAtMs },
    ];
    return inject(deps, {
      ...this.#command(sessionId),
      variables,
      requested: { variables: variables.map((each) => ({ ...each })), mergeStrategy: 'atomic_put', crm: null },
    });
  }

  #syncOne(deps: ReturnType<VirtualBridge['instance']>, sessionId: SessionId) {
    return sync(deps, {
      ...this.#command(sessionId),
      data: { crm_account_id: `ACC-${sessionId}`, offer: { code: 'WELCOME', percent: 10 } },
      ttlSeconds: { '/offer': EXPIRES_IN_SECONDS },
      defaultTtlSeconds: 0,
    });
  }

  #command(sessionId: SessionId) {
    const { clock } = this.#bridge;
    const deadlineMs = clock.now() + CLIENT_BUDGET_MS;
    return { sessionId, client: 'crm', correlationId: 'bench', deadlineMs, telemetry: new MemoryTelemetry() };
  }

  /** One run of the schedule, by a fresh instance. */
  async #tick(): Promise<Tick> {
    const { clock, tenant } = this.#bridge;
    const deps = this.#bridge.instance(this.#options.ratePerMinute);
    await this.#world.take();
    this.#bridge.takeLog();
    const requestsBefore = tenant.journal.entries().length;
    const startedMs = performance.now();
    const telemetry = new MemoryTelemetry();
    const report = await workOffDue(deps, {
      shards: SHARDS,
      deadlineMs: clock.now() + TICK_MS,
      correlationId: 'bench',
      telemetry,
    });
    const tookMs = performance.now() - startedMs;
    const failure = telemetry.lines.find(({ level }) => level === 'error');
    if (failure !== undefined) throw new Error(`the schedule has met with an error: ${failure.message}`);
    const { sessionsRead, ...log }: TableLog = this.#bridge.takeLog();
    const { database } = await this.#world.take();
    const left = this.#expiring.filter((sessionId) => this.#valueOf(sessionId, 'offer') !== undefined);
    return {
      ...report,
      ...log,
      database,
      sessionsRead: sessionsRead.size,
      upstreamRequests: tenant.journal.entries().length - requestsBefore,
      tookMs,
      left: left.length,
      lost: await this.#countLost(left),
    };
  }

  /** Of sessions with something to do, those that the schedule will not come to within an hour. */
  async #countLost(sessions: readonly SessionId[]): Promise<number> {
    const { clock, vault } = this.#bridge;
    const known = new Set(await this.#dueKeys(clock.now() + 60 * MINUTE_MS));
    return sessions.filter((sessionId) => !known.has(sessionPk(vault, { sessionId }))).length;
  }

  async #dueKeys(untilMs: number): Promise<string[]> {
    const { vault } = this.#bridge;
    const { store } = this.#bridge.instance(UNLIMITED);
    const keys: string[] = [];
    for (let shard = 0; shard < SHARDS; shard += 1) {
      for (const session of await collect(store.dueSessions(shard, untilMs))) keys.push(sessionPk(vault, session));
    }
    return keys;
  }

  async #find(): Promise<SweepRun['finding']> {
    await this.#world.take();
    const startedMs = performance.now();
    const found = await this.#dueKeys(this.#bridge.clock.now());
    const tookMs = performance.now() - startedMs;
    const { database } = await this.#world.take();
    return { found: found.length, database, tookMs };
  }

  #valueOf(sessionId: SessionId, key: string) {
    return this.#bridge.tenant.sessions.inspect(sessionId)?.context[key];
  }
}

function inTheJournal({ journal }: Tenant): Pick<SweepRun, 'mostInAMinute' | 'refused'> {
  const requests = journal.entries().filter(({ surface }) => surface !== 'token');
  const refused = requests.filter(({ status }) => status === null || status >= 400).length;
  const moments = requests.map(({ at }) => at);
  return { mostInAMinute: mostWithin(moments, MINUTE_MS), refused };
}

async function inParallel<Each>(
  all: readonly Each[],
  atATime: number,
  work: (each: Each, index: number) => Promise<void>,
): Promise<void> {
  const queue = all.entries();
  await Promise.all(
    Array.from({ length: atATime }, async () => {
      for (const [index, each] of queue) await work(each, index);
    }),
  );
}

function sessionOf(text: string): SessionId {
  const sessionId = parseSessionId(text);
  if (sessionId === undefined) throw new TypeError('no session id');
  return sessionId;
}
