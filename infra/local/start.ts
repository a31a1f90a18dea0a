// `npm start`: the whole bridge on one machine, with no account and no Docker.

import { webhookSecretProblem } from '../../lib/platform/secrets.ts';
import { bundleAll, writeBundles } from '../../scripts/build.ts';
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
  const webhookSecrets = webhookSecretsOf(env['COGNIGY_WEBHOOK_SECRET']);
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
    },
    ...(env['COGNIGY_BASE_URL'] && { cognigyBaseUrl: env['COGNIGY_BASE_URL'] }),
    ...(webhookSecrets !== undefined && { webhookSecrets }),
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

function welcome({ url, tenant, databaseUrl, eventsUrl }: Stack): string {
  const upstream = tenant === undefined ? env['COGNIGY_BASE_URL'] : `${tenant.url}  (simulated tenant)`;
  const look =
    tenant === undefined
      ? `curl -s ${url}/v1/sessions/sess_1 -H 'authorization: Bearer ${bridgeApiKey}'`
      : `curl -s ${tenant.url}/__admin/sessions/sess_1`;
  const webhooks = env['COGNIGY_WEBHOOK_SECRET']
    ? 'must be signed (COGNIGY_WEBHOOK_SECRET)'
    : 'unsigned payloads are accepted, because COGNIGY_WEBHOOK_SECRET is not set';
  return `
Context Bridge is running.

  HTTP API   ${url}
  Upstream   ${upstream}
  Database   ${databaseUrl}  (${env['DATA_DIR'] ? `kept in ${env['DATA_DIR']}` : 'in memory'})
  Schedule   every ${sweepSeconds} s
  Events     ${eventsUrl}  (AWS_ENDPOINT_URL_EVENTBRIDGE)
  API key    ${bridgeApiKey}
  Webhooks   ${webhooks}

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

/** One secret, or two while they are rotated, with a space or a comma between them. */
function webhookSecretsOf(given: string | undefined): readonly string[] | undefined {
  const secrets = given?.split(/[\s,]+/).filter((secret) => secret !== '') ?? [];
  if (secrets.length === 0) return undefined;
  const wrong = webhookSecretProblem(secrets);
  if (wrong !== undefined) throw new Error(`COGNIGY_WEBHOOK_SECRET ${wrong}.`);
  return secrets;
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
