import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { ensureTable, LOCAL_CREDENTIALS, LOCAL_REGION } from '../../infra/local/database.ts';
import { createTenant, type Tenant } from '../../infra/local/tenant/tenant.ts';
import type { InjectDeps } from '../../lib/operations/inject.ts';
import { tenantSchema } from '../../lib/platform/tenantSchema.ts';
import { Vault } from '../../lib/platform/vault.ts';
import { DynamoBindings } from '../../lib/store/bindings.ts';
import { DynamoDeliveryQueue } from '../../lib/store/deliveryQueue.ts';
import { DynamoSessionStore } from '../../lib/store/dynamoSessionStore.ts';
import { laneOccurrences } from '../../lib/store/occurrences.ts';
import { DynamoRateStore } from '../../lib/store/rateStore.ts';
import { Table } from '../../lib/store/table.ts';
import { DynamoTokenStore } from '../../lib/store/tokenStore.ts';
import { Governor } from '../../lib/upstream/governor.ts';
import { createSessionApi } from '../../lib/upstream/session-api/index.ts';
import { IoClock } from '../../test/fixtures/operations/ioClock.ts';
import { tenantNetwork } from '../../test/fixtures/operations/tenantNetwork.ts';
import { seededRandom } from '../../test/fixtures/upstream/seededRandom.ts';

/** What the bridge has asked the table for. */
export interface TableLog {
  /** Partition keys of the sessions of which an item was read by its key. */
  readonly sessionsRead: Set<string>;
  /** Items that were read by their keys: those of sessions, and others (the budget, tokens). */
  sessionReads: number;
  otherReads: number;
  /** Queries, and the items they found. */
  queries: number;
  found: number;
}

/**
 * The bridge's services on the real store and the real dialect, but on a clock that stands still while anybody works and jumps
 * when everybody sleeps: ten minutes of waiting for the budget take no time. The tenant lives on the same clock.
 */
export interface VirtualBridge {
  readonly clock: IoClock;
  readonly tenant: Tenant;
  readonly table: Table;
  readonly vault: Vault;
  /** One instance of the bridge, with a budget of so many requests a minute. */
  instance(ratePerMinute: number): InjectDeps;
  /** What has been asked for since the last call. */
  takeLog(): TableLog;
  close(): void;
}

export interface VirtualBridgeOptions {
  readonly databaseUrl: string;
  readonly tableName: string;
  readonly dueShards: number;
}

const AUDIT_KEPT_MS = 90 * 86_400_000;
const SESSION_TTL_MS = 3_600_000;

export async function startVirtualBridge(options: VirtualBridgeOptions): Promise<VirtualBridge> {
  const { databaseUrl, tableName, dueShards } = options;
  await ensureTable(databaseUrl, tableName);
  const clock = new IoClock();
  const tenant = createTenant({ now: () => clock.now(), settings: { ratePerMinute: 0 } });
  const random = seededRandom();
  const vault = new Vault(new Uint8Array(32).fill(7));
  const client = new DynamoDBClient({ endpoint: databaseUrl, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
  let log = emptyLog();
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const answer = await clock.track(next(args));
        note(log, String(commandName), args.input, answer.output);
        return answer;
      },
    { step: 'initialize', name: 'log' },
  );
  const table = new Table({ client, tableName, clock });
  return {
    clock,
    tenant,
    table,
    vault,
    instance: (ratePerMinute) => {
      const cell = `tenant-${ratePerMinute}`;
      return {
        bindings: new DynamoBindings(table, vault),
        events: new DynamoDeliveryQueue(table, vault, { dueShards }),
        store: new DynamoSessionStore(table, vault, {
          dueShards,
          auditRetentionMs: AUDIT_KEPT_MS,
          occurrences: laneOccurrences,
        }),
        cognigy: createSessionApi({
          baseUrl: 'http://tenant.test',
          credentials: async () => ({ clientId: 'client', clientSecret: 'secret' }),
          tokenKey: (surface) => surface,
          fetch: tenantNetwork(tenant, clock),
          clock,
          random,
          tokenStore: new DynamoTokenStore(table, vault),
          governor: new Governor({ store: new DynamoRateStore(table), cell, ratePerMinute, clock, random }),
        }),
        clock,
        random,
        vault,
        context: { schema: tenantSchema, maxBytes: 95_000 },
        sessionTtlMs: SESSION_TTL_MS,
        auditValues: false,
      };
    },
    takeLog: () => {
      const taken = log;
      log = emptyLog();
      return taken;
    },
    close: () => client.destroy(),
  };
}

function emptyLog(): TableLog {
  return { sessionsRead: new Set(), sessionReads: 0, otherReads: 0, queries: 0, found: 0 };
}

function note(log: TableLog, command: string, input: object, output: object): void {
  if (command === 'GetItemCommand' && 'Key' in input) {
    const { pk } = input.Key as { readonly pk: { readonly S: string } };
    if (pk.S.startsWith('SESSION#')) {
      log.sessionsRead.add(pk.S);
      log.sessionReads += 1;
    } else {
      log.otherReads += 1;
    }
  }
  if (command === 'QueryCommand') {
    log.queries += 1;
    log.found += 'Count' in output ? Number(output.Count) : 0;
  }
}
