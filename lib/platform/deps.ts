import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { CrmSource } from '../context/crmSource.ts';
import { verifyCrmSignature } from '../events/crmSignatures.ts';
import { EventBridgeBus } from '../events/eventBridgeBus.ts';
import { SqsDeadLetters } from '../events/sqsDeadLetters.ts';
import { SqsPrompts } from '../events/sqsPrompts.ts';
import { SqsQueue } from '../events/sqsQueue.ts';
import { verifyStandardWebhook } from '../events/standardWebhooks.ts';
import { StandardWebhookSender } from '../events/webhookSender.ts';
import type { HttpHandlerOptions } from '../http/handler.ts';
import { handOver } from '../operations/handOver.ts';
import type { InjectDeps } from '../operations/inject.ts';
import type { CrmRecords } from '../operations/ports/crm.ts';
import type { DeliveryQueue } from '../operations/ports/deliveryQueue.ts';
import type { RollupReader } from '../operations/ports/rollups.ts';
import type { SessionStore } from '../operations/ports/sessionStore.ts';
import type { SignatureVerdict, SignatureVerifier, SignedCall } from '../operations/ports/signatures.ts';
import type { LaneDeps } from '../operations/push.ts';
import type { SnapshotDeps } from '../operations/takeSnapshot.ts';
import type { NotifyDeps } from '../operations/workOffPrompt.ts';
import { DynamoBindings } from '../store/bindings.ts';
import { DynamoCrmRecords } from '../store/crmRecords.ts';
import { DynamoDeliveryQueue } from '../store/deliveryQueue.ts';
import { DynamoDestinationStates } from '../store/destinationStates.ts';
import { DynamoLaneStore } from '../store/dynamoLaneStore.ts';
import { DynamoSessionStore } from '../store/dynamoSessionStore.ts';
import { DynamoEventQueue } from '../store/eventQueue.ts';
import { DynamoEventWriter } from '../store/eventWriter.ts';
import { GatheringTable } from '../store/gatheringTable.ts';
import { laneOccurrences } from '../store/occurrences.ts';
import { DynamoRateStore } from '../store/rateStore.ts';
import { DynamoRollupReader } from '../store/rollupReader.ts';
import { DynamoRollupWriter } from '../store/rollupWriter.ts';
import { DynamoSnapshotStats } from '../store/snapshotStats.ts';
import { Table } from '../store/table.ts';
import { DynamoTokenStore } from '../store/tokenStore.ts';
import { Governor } from '../upstream/governor.ts';
import { createNodeFetch } from '../upstream/nodeFetch.ts';
import type { SessionApiOptions } from '../upstream/session-api/connection.ts';
import { createSessionApi, createSessionReads } from '../upstream/session-api/index.ts';
import { clientOptions, createDynamoClient } from './awsClients.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Config, type MoreSettings, readConfig } from './config.ts';
import { crmSources } from './crmSources.ts';
import type { DeliveryConfig } from './deliveryConfig.ts';
import { createRandom, type Random } from './random.ts';
import { type BridgeSecrets, incomplete, SecretSource, webhookSecretProblem } from './secrets.ts';
import { TelemetryFactory } from './telemetry.ts';
import { tenantSchema } from './tenantSchema.ts';
import { Vault } from './vault.ts';

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
export interface Parts<Settings extends Config = Config> {
  readonly config: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly table: Table;
  readonly secrets: BridgeSecrets;
  readonly vault: Vault;
}

/** Builds a function's services; called once for each version of the secret. A function bundles only what its wire names. */
export type Wire<Services, Settings extends Config = Config> = (parts: Parts<Settings>) => Services;

type NotifyConfig = Config & { readonly delivery: DeliveryConfig };

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
    fetch: createNodeFetch(),
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
    stats: new DynamoSnapshotStats(table, vault, random),
    rollups: new DynamoRollupReader(table),
    schema: tenantSchema,
    precedence: config.scopePrecedence,
  };
};

/** The way to whoever tells outcomes, where there is one. */
const wirePrompts = (parts: Parts): Pick<LaneDeps, 'prompts'> => {
  const { notifyQueueUrl } = parts.config;
  return notifyQueueUrl === undefined ? {} : { prompts: new SqsPrompts(wireQueue(parts, notifyQueueUrl)) };
};

const wireQueue = ({ config, clock }: Parts, queueUrl: string): SqsQueue => {
  const { sqsEndpoint: endpoint, ...credentials } = config.aws;
  const place = { queueUrl, ...(endpoint !== undefined && { endpoint }) };
  return new SqsQueue({ ...place, ...credentials, fetch: globalThis.fetch, clock });
};

/** Services of functions that change sessions. */
export const wireLane = (parts: Parts): InjectDeps => {
  const { config, clock, random, table, vault } = parts;
  return {
    clock,
    random,
    vault,
    store: new DynamoLaneStore(table, vault, storeOptions(parts)),
    events: new DynamoEventWriter(table, vault, { dueShards: config.dueShards }),
    ...wirePrompts(parts),
    bindings: new DynamoBindings(table, vault),
    context: { schema: tenantSchema, maxBytes: config.contextMaxBytes },
    sessionTtlMs: config.sessionTtlMs,
    auditValues: config.auditValues,
    cognigy: createSessionApi(wireTenant(parts)),
  };
};

/** Services of the function that also erases sessions, and sees to what is due. */
export const wireSync = (
  parts: Parts,
): ReturnType<typeof wireLane> & { readonly store: SessionStore; readonly queue: DeliveryQueue } => {
  const { table, vault, config } = parts;
  return {
    ...wireLane(parts),
    store: new DynamoSessionStore(table, vault, storeOptions(parts)),
    queue: new DynamoDeliveryQueue(table, vault, { dueShards: config.dueShards }),
  };
};

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
 * Services of the function that tells outcomes.
 * @throws {SecretError} where there is a destination, but no secret to sign with.
 */
export const wireNotify: Wire<NotifyDeps, NotifyConfig> = (parts) => {
  const { config, clock, random, table, vault } = parts;
  const { delivery, dueShards } = config;
  const { notifyQueueUrl, deadLetterQueueUrl, eventBusName } = delivery;
  const queue = new DynamoDeliveryQueue(table, vault, { dueShards });
  const store = new DynamoLaneStore(table, vault, storeOptions(parts));
  const lanes = { store, events: queue, context: { schema: tenantSchema } };
  return {
    clock,
    random,
    queue,
    handOver: (session) => handOver(lanes, session),
    states: new DynamoDestinationStates(table),
    bus: new EventBridgeBus(new EventBridgeClient(clientOptions(config)), eventBusName),
    prompts: new SqsPrompts(wireQueue(parts, notifyQueueUrl)),
    deadLetters: new SqsDeadLetters(wireQueue(parts, deadLetterQueueUrl)),
    destination: destinationOf(parts, delivery),
  };
};

function destinationOf(
  { clock, secrets, vault }: Parts,
  { destination, allowPrivate }: DeliveryConfig,
): NotifyDeps['destination'] {
  if (destination === undefined) return undefined;
  const { crmWebhookSecrets } = secrets;
  if (crmWebhookSecrets === undefined) throw incomplete(['crmWebhookSecrets: is missing, and CRM_WEBHOOK_URL is set']);
  const { url, ...filter } = destination;
  const sender = new StandardWebhookSender({ url, secrets: crmWebhookSecrets, allowPrivate, clock });
  return { ...filter, id: vault.fingerprint(url), sender };
}

/**
 * Services of the function that takes what CRMs tell. A source without a secret is there, and can prove nothing: whatever comes in
 * its name is refused.
 */
export const wireCrm = (
  given: Parts,
): ReturnType<typeof wireLane> & {
  readonly records: CrmRecords;
  readonly sources: ReadonlyMap<string, CrmSource>;
  readonly verify: (source: string, call: SignedCall) => SignatureVerdict;
} => {
  // An event is for many sessions at a time.
  const parts = { ...given, table: new GatheringTable(given.table.options) };
  const { clock, secrets, table, vault } = parts;
  const liveOf = (name: string) =>
    secrets.crm !== undefined && Object.hasOwn(secrets.crm, name) ? secrets.crm[name] : undefined;
  const problems = [...crmSources.values()].flatMap(({ name, scheme }) => {
    const live = liveOf(name);
    const problem = scheme === 'standard-webhooks' && live !== undefined ? webhookSecretProblem(live) : undefined;
    return problem === undefined ? [] : [`crm.${name}: ${problem}`];
  });
  if (problems.length > 0) throw incomplete(problems);
  return {
    ...wireLane(parts),
    store: new DynamoLaneStore(table, vault, { ...storeOptions(parts), occurrences: laneOccurrences }),
    records: new DynamoCrmRecords(table, vault),
    sources: crmSources,
    verify: (name, call) => {
      const source = crmSources.get(name);
      const live = liveOf(name);
      // Who nobody knows cannot prove who he is either.
      if (source === undefined || live === undefined) return { ok: false, reason: 'unconfigured' };
      return verifyCrmSignature(source, call, live, clock.now());
    },
  };
};

/**
 * The composition root: the real clock, randomness, network, table and secrets.
 * @throws {ConfigError} when the environment is incomplete.
 */
export function createBridge<Services, More extends object = object>(
  functionName: string,
  wire: Wire<Services, Config & More>,
  moreSettings?: MoreSettings<More>,
): Bridge<Services> {
  const config = readConfig<More>(undefined, moreSettings);
  const clock = systemClock;
  const random = createRandom();
  const source = new SecretSource(new SecretsManagerClient(clientOptions(config)), config.secretId, clock);
  const table = new Table({
    client: createDynamoClient(config),
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
