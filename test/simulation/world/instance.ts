import type { Tenant } from '../../../infra/local/tenant/tenant.ts';
import { contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';
import type { CrmDeps } from '../../../lib/operations/applyCrmEvent.ts';
import { handOver } from '../../../lib/operations/handOver.ts';
import type { InjectDeps } from '../../../lib/operations/inject.ts';
import { SNAPSHOT_SCOPES } from '../../../lib/operations/ports/cognigy.ts';
import type { SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import type { SnapshotDeps } from '../../../lib/operations/takeSnapshot.ts';
import type { NotifyDeps } from '../../../lib/operations/workOffPrompt.ts';
import { createRandom } from '../../../lib/platform/random.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { DynamoCrmRecords } from '../../../lib/store/crmRecords.ts';
import { DynamoDeliveryQueue } from '../../../lib/store/deliveryQueue.ts';
import { DynamoDestinationStates } from '../../../lib/store/destinationStates.ts';
import { DynamoSessionStore } from '../../../lib/store/dynamoSessionStore.ts';
import { DynamoEventQueue } from '../../../lib/store/eventQueue.ts';
import { laneOccurrences } from '../../../lib/store/occurrences.ts';
import { DynamoRateStore } from '../../../lib/store/rateStore.ts';
import { DynamoSnapshotStats } from '../../../lib/store/snapshotStats.ts';
import { Table } from '../../../lib/store/table.ts';
import { DynamoTokenStore } from '../../../lib/store/tokenStore.ts';
import { Governor } from '../../../lib/upstream/governor.ts';
import { createSessionApi, createSessionReads } from '../../../lib/upstream/session-api/index.ts';
import { simulatedNetwork } from './network.ts';
import { Outside } from './outside.ts';
import { Process } from './process.ts';
import { simulatedClient } from './simulatedClient.ts';
import type { World } from './world.ts';

export const SHARDS = 2;
export const MASTER_KEY = new Uint8Array(32).fill(7);
const AUDIT_KEPT_MS = 90 * 24 * 3_600_000;
/** One of the tenant's; what it says is not what the simulation is about. */
const ANYTHING_GOES = contextSchemaOf(compileSchema({}).validate, {});

/** One process of the bridge with all of its functions. */
export interface Instance {
  readonly process: Process;
  readonly deps: InjectDeps & CrmDeps & { readonly store: SessionStore };
  readonly snapshots: SnapshotDeps;
  readonly notify: NotifyDeps;
  readonly schema: typeof ANYTHING_GOES;
}

/** Parts of an instance that a test breaks on purpose, to see it noticed. */
export interface Sabotage {
  /** Replaces the store. */
  readonly store?: (store: SessionStore) => SessionStore;
  /** Multiplies what the governor takes for the budget. */
  readonly rate?: number;
  /** Changes the types of events on their way out. */
  readonly said?: (type: string) => string;
  /** Replaces what seals. */
  readonly vault?: Vault;
  /** Changes requests on their way to the table. */
  readonly alter?: Parameters<typeof simulatedClient>[0]['alter'];
}

/** Wires an instance as `lib/platform/deps.ts` does, on the simulated world. */
export function startInstance(world: World, tenant: Tenant, name: string): Instance {
  const { timeline, faults, table, sabotage } = world;
  const chance = world.chance.of(name);
  const process = new Process(name, timeline, chance.between(-world.weather.skewMs, world.weather.skewMs));
  const { clock } = process;
  const random = createRandom(chance.of('random').next);
  const weather = () => world.weather;
  const client = simulatedClient({
    process,
    table,
    timeline,
    chance: chance.of('table'),
    faults,
    weather,
    isDown: () => world.isTableDown,
    onFailure: (pk) => world.watchers.tableFailed(process, pk),
    onAnswer: (command, answer) => world.watchers.tableAnswered(process, command, answer),
    ...(sabotage.alter !== undefined && { alter: sabotage.alter }),
  });
  const vault = sabotage.vault ?? new Vault(MASTER_KEY);
  const store = new Table({ client, tableName: 'bridge', clock });
  const options = { dueShards: SHARDS, auditRetentionMs: AUDIT_KEPT_MS, occurrences: laneOccurrences };
  const sessions = (sabotage.store ?? ((each) => each))(new DynamoSessionStore(store, vault, options));
  const queue = new DynamoDeliveryQueue(store, vault, options);
  const outside = new Outside({
    process,
    timeline,
    chance: chance.of('outside'),
    faults,
    weather,
    told: world.told,
    prompted: (prompt) => world.prompted(prompt),
    ...(sabotage.said !== undefined && { said: sabotage.said }),
  });
  const governor = new Governor({
    store: new DynamoRateStore(store),
    cell: 'tenant',
    ratePerMinute: world.ratePerMinute * (sabotage.rate ?? 1),
    clock,
    random,
  });
  const upstream = {
    baseUrl: 'http://tenant.test',
    credentials: async () => ({ clientId: 'client', clientSecret: world.clientSecret }),
    tokenKey: (surface: string) => surface,
    fetch: simulatedNetwork({
      process,
      tenant,
      timeline,
      chance: chance.of('network'),
      faults,
      weather,
      isDown: () => world.isUpstreamDown,
      watcher: () => world.watchers,
      order: world.order,
    }),
    clock,
    random,
    tokenStore: new DynamoTokenStore(store, vault),
    governor,
    requestTimeoutMs: 4_000,
  };
  const records = new DynamoCrmRecords(store, vault);
  const deps = {
    store: sessions,
    cognigy: createSessionApi(upstream),
    events: queue,
    prompts: outside.prompts,
    bindings: records,
    records,
    clock,
    random,
    vault,
    context: { schema: ANYTHING_GOES, maxBytes: 95_000 },
    sessionTtlMs: world.sessionTtlMs,
    auditValues: false,
  };
  return {
    process,
    schema: ANYTHING_GOES,
    deps,
    snapshots: {
      store: sessions,
      cognigy: createSessionReads(upstream),
      events: new DynamoEventQueue(store, vault, options),
      stats: new DynamoSnapshotStats(store, vault, random),
      clock,
      random,
      schema: ANYTHING_GOES,
      precedence: SNAPSHOT_SCOPES,
    },
    notify: {
      clock,
      random,
      queue,
      handOver: (session) => handOver({ store: sessions, events: queue, context: deps.context }, session),
      states: new DynamoDestinationStates(store),
      bus: outside.bus,
      prompts: outside.prompts,
      deadLetters: outside.deadLetters,
      destination: { id: 'endpoint', sender: outside.sender },
    },
  };
}
