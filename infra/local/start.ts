// `npm start`: the whole bridge on one machine, with no account and no Docker.

import { bundleAll, readCrmSources, writeBundles } from '../../scripts/build.ts';
import { crmSecretsOf, webhookSecretsOf } from './crmSecrets.ts';
import type { BusEvent } from './eventBridge.ts';
import { eventLine } from './eventLine.ts';
import { type Stack, startStack } from './stack.ts';

const env = process.env;
const port = Number(env['PORT'] || 3000);
const eventsPort = Number(env['EVENTS_PORT'] || 0);
const sweepSeconds = Number(env['SWEEP_SECONDS'] || 60);
const bridgeApiKey = env['BRIDGE_API_KEY'] || 'local-dev-key';

main().catch((error: unknown) => {
  console.error(explain(error));
  process.exitCode = 1;
});

async function main(): Promise<void> {
  for (const [name, value] of Object.entries({ PORT: port, EVENTS_PORT: eventsPort })) {
    if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new Error(`${name} must be a port number.`);
  }
  if (!(sweepSeconds > 0)) throw new Error('SWEEP_SECONDS must be a number of seconds above 0.');
  const webhookSecrets = webhookSecretsOf('COGNIGY_WEBHOOK_SECRET', env['COGNIGY_WEBHOOK_SECRET']);
  const crmWebhookSecrets = webhookSecretsOf('CRM_WEBHOOK_SECRET', env['CRM_WEBHOOK_SECRET']);
  const crmSecrets = crmSecretsOf(env['CRM_SECRETS'], await readCrmSources());
  if (env['CRM_WEBHOOK_URL'] && !/^https?:$/.test(URL.parse(env['CRM_WEBHOOK_URL'])?.protocol ?? '')) {
    throw new Error('CRM_WEBHOOK_URL must be an http(s) URL.');
  }
  await writeBundles(await bundleAll());
  const stack = await startStack({
    port,
    eventsPort,
    bridgeApiKey,
    sweepMs: sweepSeconds * 1_000,
    credentials: {
      clientId: env['COGNIGY_CLIENT_ID'] || 'client',
      clientSecret: env['COGNIGY_CLIENT_SECRET'] || 'secret',
      apiKey: env['COGNIGY_API_KEY'] || 'api-key',
    },
    settings: {
      // The terminal is for people: say only what went wrong, unless asked for more.
      POWERTOOLS_LOG_LEVEL: env['LOG_LEVEL'] || 'WARN',
      POWERTOOLS_METRICS_DISABLED: env['POWERTOOLS_METRICS_DISABLED'] || 'true',
      // The receiver is on this machine.
      ALLOW_PRIVATE_WEBHOOKS: env['ALLOW_PRIVATE_WEBHOOKS'] || 'true',
    },
    onEvent: printEvent,
    ...(env['COGNIGY_BASE_URL'] && { cognigyBaseUrl: env['COGNIGY_BASE_URL'] }),
    ...(webhookSecrets !== undefined && { webhookSecrets }),
    ...(crmWebhookSecrets !== undefined && { crmWebhookSecrets }),
    ...(crmSecrets !== undefined && { crmSecrets }),
    ...(env['DATA_DIR'] && { dataDirectory: env['DATA_DIR'] }),
  });
  console.log(welcome(stack));

  let isEnding = false;
  const end = () => {
    if (isEnding) process.exit(1);
    isEnding = true;
    console.log('\nEnding …');
    stack.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
}

/** One line for each event that the bridge puts on its bus. */
function printEvent({ detail }: BusEvent): void {
  console.log(`${new Date().toTimeString().slice(0, 8)}  on the bus: ${eventLine(detail)}`);
}

function welcome({ url, tenant, databaseUrl, eventsUrl, queuesUrl }: Stack): string {
  const upstream = tenant === undefined ? env['COGNIGY_BASE_URL'] : `${tenant.url}  (simulated tenant)`;
  const look =
    tenant === undefined
      ? `curl -s ${url}/v1/sessions/sess_1 -H 'authorization: Bearer ${bridgeApiKey}'`
      : `curl -s ${tenant.url}/__admin/sessions/sess_1`;
  const webhooks = env['COGNIGY_WEBHOOK_SECRET']
    ? 'must be signed (COGNIGY_WEBHOOK_SECRET)'
    : 'unsigned payloads are accepted, because COGNIGY_WEBHOOK_SECRET is not set';
  const outcomes = env['CRM_WEBHOOK_URL']
    ? `are told to ${new URL(env['CRM_WEBHOOK_URL']).host} (CRM_WEBHOOK_URL)`
    : 'to see them: npm run receiver in a second terminal, and CRM_WEBHOOK_URL=http://127.0.0.1:4020 npm start';
  return `
Context Bridge is running.

  HTTP API   ${url}
  Upstream   ${upstream}
  Database   ${databaseUrl}  (${env['DATA_DIR'] ? `kept in ${env['DATA_DIR']}` : 'in memory'})
  Schedule   every ${sweepSeconds} s
  Events     ${eventsUrl}  (AWS_ENDPOINT_URL_EVENTBRIDGE)
  Queues     ${queuesUrl}  (AWS_ENDPOINT_URL_SQS)
  API key    ${bridgeApiKey}
  Webhooks   ${webhooks}
  Outcomes   ${outcomes}

Put a value into a live session:

  curl -s ${url}/v1/sessions/sess_1/variables \\
    -H 'authorization: Bearer ${bridgeApiKey}' -H 'content-type: application/json' -H 'idempotency-key: first-try' \\
    -d '{"variables":[{"key":"crm_tier","value":"gold","ttlSeconds":900}]}'

Merge a patch into the whole context:

  curl -s ${url}/v1/sessions/sess_1/sync \\
    -H 'authorization: Bearer ${bridgeApiKey}' -H 'content-type: application/json' \\
    -d '{"data":{"user_profile":{"name":"Ada"}},"ttl":{"/user_profile/name":900}}'

Look at it where the bot sees it:

  ${look}

Ctrl-C ends all of it.
`;
}

/** One clear line for what a person can mend; the whole error for what is a defect. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && error.code === 'EADDRINUSE' && 'port' in error) {
    const name = error.port === port ? 'PORT' : 'EVENTS_PORT';
    return `Port ${error.port} is taken. End what uses it, or choose another: ${name}=${Number(error.port) + 1} npm start`;
  }
  const isForPeople = error.name === 'ConfigError' || error.message.endsWith('.');
  return isForPeople ? error.message : (error.stack ?? error.message);
}
