import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { verifyStandardWebhook } from '../events/standardWebhooks.ts';
import type { HttpHandlerOptions } from '../http/handler.ts';
import type { RollupReader } from '../operations/ports/rollups.ts';
import type { SessionStore } from '../operations/ports/sessionStore.ts';
import type { SignatureVerifier } from '../operations/ports/signatures.ts';
import type { LaneDeps } from '../operations/push.ts';
import type { SnapshotDeps } from '../operations/takeSnapshot.ts';
import { DynamoLaneStore } from '../store/dynamoLaneStore.ts';
import { DynamoSessionStore } from '../store/dynamoSessionStore.ts';
import { DynamoEventQueue } from '../store/eventQueue.ts';
import { DynamoRateStore } from '../store/rateStore.ts';
import { DynamoRollupReader } from '../store/rollupReader.ts';
import { DynamoRollupWriter } from '../store/rollupWriter.ts';
import { DynamoSnapshotStats } from '../store/snapshotStats.ts';
import { Table } from '../store/table.ts';
import { DynamoTokenStore } from '../store/tokenStore.ts';
import { Governor } from '../upstream/governor.ts';
import type { SessionApiOptions } from '../upstream/session-api/connection.ts';
import { createSessionApi, createSessionReads } from '../upstream/session-api/index.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Config, readConfig } from './config.ts';
import { createRandom, type Random } from './random.ts';
import { type BridgeSecrets, incomplete, SecretSource } from './secrets.ts';
import { TelemetryFactory } from './telemetry.ts';
import { tenantSchema } from './tenantSchema.ts';
import { Vault } from './vault.ts';

/** Answers quickly or fails quickly: a client waits behind every request to the table (SCENARIOS 45). */
export const STORE_CLIENT = {
  maxAttempts: 3,
  requestHandler: { connectionTimeout: 1_000, requestTimeout: 1_200, throwOnRequestTimeout: true },
} as const;

/** One process's bridge: configuration, clients and caches. No state of any one invocation. */
export interface Bridge<Services> {
  readonly config: Config;
  readonly clock: Clock;
  readonly telemetry: TelemetryFactory;
  /**
   * The services under the current secret.
   * @throws {SecretError} when the secret is missing or incomplete: nothing works then, by intention.
   */
  services(): Promise<Services>;
  /** What every HTTP function's chain is made of. */
  readonly http: Omit<HttpHandlerOptions, 'routes'>;
}

/** What a {@link Wire} can build on. */
export interface Parts {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly table: Table;
  readonly secrets: BridgeSecrets;
  readonly vault: Vault;
}

/** Builds a function's services; called once for each version of the secret. A function bundles only what its wire names. */
export type Wire<Services> = (parts: Parts) => Services;

/** What the stores of sessions are told. */
const storeOptions = ({ config: { dueShards, auditRetentionMs } }: Parts) => ({ dueShards, auditRetentionMs });

/** The way to the tenant, with its shared tokens and its shared budget. */
const wireTenant = ({ config, clock, random, table, secrets, vault }: Parts): SessionApiOptions => {
  const { clientId, clientSecret, tenantId } = secrets;
  const { ratePerMinute, burst, maxConcurrent, timeoutMs } = config.upstream;
  const tenant = `${config.cognigyBaseUrl}|${tenantId ?? ''}`;
  const governor = new Governor({
    store: new DynamoRateStore(table),
    cell: vault.hashId('tenant', tenant),
    ratePerMinute,
    clock,
    random,
    ...(burst !== undefined && { burst }),
  });
  return {
    baseUrl: config.cognigyBaseUrl,
    credentials: async () => ({ clientId, clientSecret, ...(tenantId !== undefined && { tenantId }) }),
    tokenKey: (surface) => vault.hashId('token', `${tenant}|${surface}|${clientId}`),
    fetch: globalThis.fetch,
    clock,
    random,
    tokenStore: new DynamoTokenStore(table, vault),
    governor,
    maxConcurrent,
    requestTimeoutMs: timeoutMs,
  };
};

/** Services of functions that look at sessions, here and at the tenant. */
export const wireSnapshots = (parts: Parts): SnapshotDeps & { readonly rollups: RollupReader } => {
  const { config, clock, random, table, vault } = parts;
  return {
    clock,
    random,
    store: new DynamoSessionStore(table, vault, storeOptions(parts)),
    cognigy: createSessionReads(wireTenant(parts)),
    events: new DynamoEventQueue(table, vault, { dueShards: config.dueShards }),
    stats: new DynamoSnapshotStats(table, vault),
    rollups: new DynamoRollupReader(table),
    precedence: config.scopePrecedence,
  };
};

/** Services of functions that change sessions. */
export const wireLane = (parts: Parts): LaneDeps & { readonly vault: Vault } => {
  const { config, clock, random, table, vault } = parts;
  return {
    clock,
    random,
    vault,
    store: new DynamoLaneStore(table, vault, storeOptions(parts)),
    context: { schema: tenantSchema, maxBytes: config.contextMaxBytes },
    sessionTtlMs: config.sessionTtlMs,
    auditValues: config.auditValues,
    cognigy: createSessionApi(wireTenant(parts)),
  };
};

/** Services of the function that also erases sessions. */
export const wireSync = (parts: Parts): ReturnType<typeof wireLane> & { readonly store: SessionStore } => ({
  ...wireLane(parts),
  store: new DynamoSessionStore(parts.table, parts.vault, storeOptions(parts)),
});

/**
 * Services of the function that takes messages on their way to the bot.
 * @throws {SecretError} where there is no secret for signatures, and nothing permits to do without (SCENARIOS 38).
 */
export const wireWebhook = (parts: Parts): ReturnType<typeof wireLane> & { readonly verify: SignatureVerifier } => {
  const { config, clock, secrets } = parts;
  const { webhookSecrets } = secrets;
  if (webhookSecrets === undefined && !config.allowUnsignedWebhooks) throw incomplete(['webhookSecrets: is missing']);
  return {
    ...wireLane(parts),
    verify: (signed) =>
      webhookSecrets === undefined ? { ok: true } : verifyStandardWebhook(signed, webhookSecrets, clock.now()),
  };
};

/**
 * The composition root: the real clock, randomness, network, table and secrets.
 * @throws {ConfigError} when the environment is incomplete.
 */
export function createBridge<Services>(functionName: string, wire: Wire<Services>): Bridge<Services> {
  const config = readConfig();
  const clock = systemClock;
  const random = createRandom();
  const { region, credentials } = config.aws;
  const source = new SecretSource(
    new SecretsManagerClient({ region, credentials, ...STORE_CLIENT }),
    config.secretId,
    clock,
  );
  const table = new Table({
    client: new DynamoDBClient({ region, credentials, ...STORE_CLIENT }),
    tableName: config.tableName,
    clock,
  });

  let wired: { readonly secrets: BridgeSecrets; readonly services: Services } | undefined;
  const services = async () => {
    const secrets = await source.get();
    if (wired?.secrets !== secrets) {
      const vault = new Vault(secrets.masterKey);
      wired = { secrets, services: wire({ config, clock, random, table, secrets, vault }) };
    }
    return wired.services;
  };
  // A cold start overlaps with the read; whoever needs it first is told if it failed.
  services().catch(() => undefined);

  const telemetry = new TelemetryFactory(functionName, { rollups: new DynamoRollupWriter(table, random), clock });
  return {
    config,
    clock,
    services,
    telemetry,
    http: {
      clock,
      telemetry,
      clients: async () => (await source.get()).clients,
      sessionIdPrefix: config.sessionIdPrefix,
      requestBudgetMs: config.requestBudgetMs,
    },
  };
}
