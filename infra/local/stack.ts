import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOCAL_CRM_SECRETS, LOCAL_CRM_WEBHOOK_SECRET } from './crmSecrets.ts';
import { ensureTable, LOCAL_CREDENTIALS, LOCAL_REGION, startDatabase } from './database.ts';
import { mendIndexes } from './dueIndex.ts';
import { type BusEvent, type EventRule, startEventBridge } from './eventBridge.ts';
import { functionDefinitions, type Invoke, loadFunction } from './functions.ts';
import { createGateway, type GatewayRoute } from './gateway.ts';
import { listenOnLoopback } from './listen.ts';
import { queueClient, startQueues } from './queues.ts';
import { startSecretsManager } from './secretsManager.ts';
import { startPoller } from './sqsPoller.ts';
import { startTenantServer, type TenantServer } from './tenant/server.ts';

export interface StackOptions {
  /** Port of the HTTP API; 0 = any free one. */
  readonly port: number;
  /** Port of the EventBridge stand-in; any free one where absent or 0. */
  readonly eventsPort?: number;
  /** Keeps the database here; in memory where absent. */
  readonly dataDirectory?: string;
  /** Uses this upstream instead of starting the simulated tenant. */
  readonly cognigyBaseUrl?: string;
  readonly credentials: {
    readonly clientId: string;
    readonly clientSecret: string;
    readonly apiKey: string;
    readonly tenantId?: string;
  };
  /** The local client's key, with all grants. */
  readonly bridgeApiKey: string;
  /** Further clients, with their grants. */
  readonly clients?: readonly LocalClient[];
  /** Live secrets of the `webhook` route's signatures; unsigned payloads are accepted where there are none. */
  readonly webhookSecrets?: readonly string[];
  /** Live secrets that outbound events are signed with; the local one where absent. */
  readonly crmWebhookSecrets?: readonly string[];
  /** Live secrets of CRM sources, by name; the local ones where absent. */
  readonly crmSecrets?: Readonly<Record<string, readonly string[]>>;
  /** Hears of every event that the bridge puts on its bus. */
  readonly onEvent?: (event: BusEvent) => void;
  /** Pace of the schedule, milliseconds; 0 = only by {@link Stack.tick}. */
  readonly sweepMs: number;
  /** Settings of the functions, by the names they have in the cloud. */
  readonly settings: Readonly<Record<string, string | undefined>>;
  /** Where the built functions are, unless in `dist/`. */
  readonly dist?: string;
}

/** A client as the secret knows it, but with its key instead of the key's hash. */
export interface LocalClient {
  readonly name: string;
  readonly apiKey: string;
  readonly operations: readonly string[];
  readonly keyPrefixes?: readonly string[];
}

export interface Stack {
  readonly url: string;
  /** The simulated tenant, unless another upstream is used. */
  readonly tenant: TenantServer | undefined;
  readonly databaseUrl: string;
  readonly secretsUrl: string;
  /** Where events are put (`AWS_ENDPOINT_URL_EVENTBRIDGE` of whoever puts them). */
  readonly eventsUrl: string;
  /** Where the queues are (`AWS_ENDPOINT_URL_SQS` of whoever looks into them). */
  readonly queuesUrl: string;
  readonly notifyQueueUrl: string;
  readonly deadLetterQueueUrl: string;
  /** Runs the scheduled functions once, now. */
  tick(): Promise<unknown[]>;
  close(): Promise<void>;
}

const TABLE_NAME = 'context-bridge';
const SECRET_ID = 'context-bridge';
const EVENT_BUS_NAME = 'context-bridge';

/** Brings up everything on one machine: database, queues, secrets, upstream, events, the built functions behind a gateway, the schedule. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const opened: { close(): Promise<void> }[] = [];
  const open = async <Opened extends { close(): Promise<void> }>(opening: Promise<Opened>): Promise<Opened> => {
    const one = await opening;
    opened.unshift(one);
    return one;
  };
  const close = async () => {
    for (const one of opened.splice(0)) await one.close();
  };

  try {
    // The port first: when it is taken, nothing else has been started.
    const gateway = createGateway();
    const { url } = await open(listenOnLoopback(gateway.server, options.port));

    const { dataDirectory } = options;
    if (dataDirectory !== undefined) mkdirSync(dataDirectory, { recursive: true });
    const database = await open(startDatabase(dataDirectory && join(dataDirectory, 'dynamodb')));
    const table = await ensureTable(database.url, TABLE_NAME);
    // A new one has lost nothing, and is not quite there yet.
    if (table === 'found') await mendIndexes(database.url, TABLE_NAME);
    const queues = await open(startQueues());
    const secrets = await open(startSecretsManager(new Map([[SECRET_ID, secretFor(options)]])));
    const tenant = options.cognigyBaseUrl === undefined ? await open(startTenant(options)) : undefined;

    const rules: EventRule[] = [];
    const ownBus = { name: EVENT_BUS_NAME, onEvent: options.onEvent ?? (() => {}) };
    const events = await open(startEventBridge({ port: options.eventsPort ?? 0, rules, ownBus }));

    applyEnvironment({
      AWS_ACCESS_KEY_ID: LOCAL_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: LOCAL_CREDENTIALS.secretAccessKey,
      AWS_SESSION_TOKEN: undefined,
      AWS_REGION: LOCAL_REGION,
      AWS_ENDPOINT_URL_DYNAMODB: database.url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
      AWS_ENDPOINT_URL_SQS: queues.url,
      AWS_ENDPOINT_URL_EVENTBRIDGE: events.url,
      POWERTOOLS_SERVICE_NAME: 'context-bridge',
      POWERTOOLS_METRICS_NAMESPACE: 'ContextBridge',
      ALLOW_INSECURE_UPSTREAM: 'true',
      ALLOW_PRIVATE_WEBHOOKS: 'true',
      ALLOW_UNSIGNED_WEBHOOKS: options.webhookSecrets === undefined ? 'true' : undefined,
      ...options.settings,
      TABLE_NAME,
      BRIDGE_SECRET_ID: SECRET_ID,
      NOTIFY_QUEUE_URL: queues.notifyQueueUrl,
      DEAD_LETTER_QUEUE_URL: queues.deadLetterQueueUrl,
      EVENT_BUS_NAME,
      COGNIGY_BASE_URL: options.cognigyBaseUrl ?? tenant?.url,
    });
    const routes: GatewayRoute[] = [];
    const scheduled: Invoke[] = [];
    for (const definition of functionDefinitions()) {
      const invoke = await loadFunction(definition, options.dist);
      const { maximumRetryAttempts, batchSize } = definition;
      routes.push(...definition.routes.map((routeKey) => ({ routeKey, invoke })));
      rules.push(...definition.eventPatterns.map((pattern) => ({ pattern, invoke, maximumRetryAttempts })));
      if (definition.isScheduled) scheduled.push(invoke);
      if (batchSize !== undefined) {
        const { notifyQueueUrl: queueUrl } = queues;
        opened.unshift(startPoller({ client: queueClient(queues.url), queueUrl, batchSize, invoke }));
      }
    }
    gateway.serve(routes);

    const tick = () =>
      Promise.all(scheduled.map((invoke) => invoke({ source: 'aws.events', 'detail-type': 'Scheduled Event' })));
    if (options.sweepMs > 0) opened.unshift(startSchedule(tick, options.sweepMs));
    const { notifyQueueUrl, deadLetterQueueUrl } = queues;
    return {
      url,
      tenant,
      tick,
      close,
      databaseUrl: database.url,
      secretsUrl: secrets.url,
      eventsUrl: events.url,
      queuesUrl: queues.url,
      notifyQueueUrl,
      deadLetterQueueUrl,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function startTenant({ credentials }: StackOptions): Promise<TenantServer> {
  const { clientId, clientSecret } = credentials;
  return startTenantServer({ port: 0, settings: { clientId, clientSecret } });
}

/** The next tick begins when the last one is over, as often as `everyMs` allows. */
function startSchedule(tick: () => Promise<unknown>, everyMs: number): { close(): Promise<void> } {
  let running: Promise<unknown> = Promise.resolve();
  let isRunning = false;
  const timer = setInterval(() => {
    if (isRunning) return;
    isRunning = true;
    running = tick()
      .catch((error: unknown) => console.error(error instanceof Error ? error.message : error))
      .finally(() => {
        isRunning = false;
      });
  }, everyMs);
  return {
    close: async () => {
      clearInterval(timer);
      await running;
    },
  };
}

/** What Secrets Manager would hold. The master key stays with the data: without it nothing stored can be read again. */
function secretFor(options: StackOptions): string {
  const { credentials, bridgeApiKey, clients = [], dataDirectory, webhookSecrets } = options;
  const { crmWebhookSecrets = [LOCAL_CRM_WEBHOOK_SECRET], crmSecrets = LOCAL_CRM_SECRETS } = options;
  const local: LocalClient = { name: 'local', apiKey: bridgeApiKey, operations: ['*'] };
  return JSON.stringify({
    ...credentials,
    masterKey: masterKeyFor(dataDirectory),
    webhookSecrets,
    crmWebhookSecrets,
    crm: crmSecrets,
    clients: [local, ...clients].map(({ apiKey, ...grant }) => ({
      ...grant,
      keyHash: createHash('sha256').update(apiKey).digest('hex'),
    })),
  });
}

function masterKeyFor(dataDirectory: string | undefined): string {
  const fresh = () => randomBytes(32).toString('base64');
  if (dataDirectory === undefined) return fresh();
  const file = join(dataDirectory, 'master-key');
  if (!existsSync(file)) {
    // Whole or not at all: a file that a kill has cut short would make everything stored unreadable.
    writeFileSync(`${file}.new`, fresh(), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return readFileSync(file, 'utf8');
}

function applyEnvironment(settings: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}
