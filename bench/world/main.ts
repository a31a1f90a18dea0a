// The world around a function: database, upstream and secrets, in a process of their own.
import { createHash, randomBytes } from 'node:crypto';
import { ensureTable, LOCAL_CREDENTIALS, LOCAL_REGION } from '../../infra/local/database.ts';
import { startSecretsManager } from '../../infra/local/secretsManager.ts';
import { startTenantServer } from '../../infra/local/tenant/server.ts';
import { API_KEY, CRM_SECRET, CRM_SOURCE, WEBHOOK_SECRET } from '../traffic.ts';
import { startDelayingDatabase } from './delayingDatabase.ts';
import type { Recorded, WorldAddress, WorldQuestion } from './protocol.ts';

const TABLE_NAME = 'bench';
const SECRET_ID = 'bench';

const database = await startDelayingDatabase();
for (const engine of ['simulated', 'dynalite'] as const) {
  database.engine = engine;
  await ensureTable(database.url, TABLE_NAME);
}
const { url: upstreamUrl, tenant } = await startTenantServer({ settings: { ratePerMinute: 0 } });
const secret = {
  clientId: tenant.settings.current.clientId,
  clientSecret: tenant.settings.current.clientSecret,
  masterKey: randomBytes(32).toString('base64'),
  clients: [{ name: 'bench', keyHash: createHash('sha256').update(API_KEY).digest('hex'), operations: ['*'] }],
  webhookSecrets: [WEBHOOK_SECRET],
  crm: { [CRM_SOURCE]: [CRM_SECRET] },
  crmWebhookSecrets: [CRM_SECRET],
};
const secrets = await startSecretsManager(new Map([[SECRET_ID, JSON.stringify(secret)]]));

const address: WorldAddress = {
  databaseUrl: database.url,
  upstreamUrl,
  environment: {
    AWS_ACCESS_KEY_ID: LOCAL_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: LOCAL_CREDENTIALS.secretAccessKey,
    AWS_REGION: LOCAL_REGION,
    AWS_ENDPOINT_URL_DYNAMODB: database.url,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
    TABLE_NAME,
    BRIDGE_SECRET_ID: SECRET_ID,
    COGNIGY_BASE_URL: upstreamUrl,
    ALLOW_INSECURE_UPSTREAM: 'true',
    AUDIT_VALUES: 'false',
    // Its own pace is what is measured, not the tenant's budget.
    UPSTREAM_RATE_PER_MINUTE: '1000000',
    POWERTOOLS_SERVICE_NAME: 'context-bridge',
    POWERTOOLS_METRICS_NAMESPACE: 'ContextBridge',
  },
};
stayAwake();
process.on('message', (question: WorldQuestion) => process.send?.(answer(question)));
process.on('disconnect', () => process.exit());
process.send?.(address);

/**
 * Keeps this process from falling asleep between requests: a machine behind a network is awake, whereas waking up an idle process
 * for every request would take its time out of the figures.
 */
function stayAwake(): void {
  setImmediate(stayAwake);
}

function answer(question: WorldQuestion): Recorded | 'done' {
  if (question.kind === 'use') {
    database.engine = question.engine;
    return 'done';
  }
  if (question.kind === 'delay') {
    database.delayMs = question.databaseMs;
    database.countsCosts = question.databaseMs === 0 && database.engine === 'dynalite';
    tenant.settings.change({ latencyMs: question.upstreamMs });
    return 'done';
  }
  const upstream = tenant.journal
    .entries()
    .filter(({ surface }) => surface !== 'token')
    .map(({ surface, method, sessionId = '', bodyBytes, headers }) => ({
      surface,
      method,
      sessionId,
      sentBytes: bodyBytes,
      hasIfMatch: headers['if-match'] !== undefined,
    }));
  tenant.journal.clear();
  return { database: database.take(), upstream };
}
