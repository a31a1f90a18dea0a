import { createHmac } from 'node:crypto';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../lib/platform/config.ts';
import { wireWebhook } from '../../../lib/platform/deps.ts';
import { createRandom } from '../../../lib/platform/random.ts';
import { parseSecrets, SecretError } from '../../../lib/platform/secrets.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { Table } from '../../../lib/store/table.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';

const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const RAW_BODY = Buffer.from('{}');

/** Nothing of it calls anywhere. */
function wire({ webhookSecrets, ...env }: { webhookSecrets?: readonly string[]; ALLOW_UNSIGNED_WEBHOOKS?: string }) {
  const credentials = { accessKeyId: 'id', secretAccessKey: 'access' };
  const config = readConfig({
    TABLE_NAME: 'table',
    BRIDGE_SECRET_ID: 'secret-id',
    COGNIGY_BASE_URL: 'https://cognigy.example',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    ...env,
  });
  const secrets = parseSecrets(
    JSON.stringify({
      clientId: 'id',
      clientSecret: 'secret',
      masterKey: Buffer.alloc(32, 7).toString('base64'),
      clients: [{ name: 'crm', keyHash: 'a'.repeat(64), operations: ['inject'] }],
      webhookSecrets,
    }),
  );
  const clock = new FakeClock();
  const client = new DynamoDBClient({ region: 'eu-central-1', credentials });
  const table = new Table({ client, tableName: 'table', clock });
  const services = wireWebhook({
    config,
    clock,
    random: createRandom(),
    table,
    secrets,
    vault: new Vault(secrets.masterKey),
  });
  return { services, clock };
}

function signed(atMs: number): Map<string, string> {
  const seconds = String(Math.floor(atMs / 1_000));
  const key = Buffer.alloc(24, 7);
  const signature = createHmac('sha256', key).update(`msg.${seconds}.`).update(RAW_BODY).digest('base64');
  return new Map([
    ['webhook-id', 'msg'],
    ['webhook-timestamp', seconds],
    ['webhook-signature', `v1,${signature}`],
  ]);
}

describe('wireWebhook', () => {
  it.each([{}, { ALLOW_UNSIGNED_WEBHOOKS: 'false' }, { ALLOW_UNSIGNED_WEBHOOKS: '' }])(
    'SCENARIO 38: fails closed with the name of what is missing: %j',
    (env) => {
      expect(() => wire(env)).toThrow(SecretError);
      expect(() => wire(env)).toThrow(/BRIDGE_SECRET_ID.*webhookSecrets: is missing/);
    },
  );

  it('takes what nobody has signed only where there is no secret, and that is permitted', () => {
    const unsigned = { headers: new Map<string, string>(), rawBody: RAW_BODY };
    expect(wire({ ALLOW_UNSIGNED_WEBHOOKS: 'true' }).services.verify(unsigned)).toEqual({ ok: true });
    const { services } = wire({ ALLOW_UNSIGNED_WEBHOOKS: 'true', webhookSecrets: [SECRET] });
    expect(services.verify(unsigned)).toEqual({ ok: false, reason: 'missing' });
  });

  it('SCENARIO 37: verifies by the clock it is given', () => {
    const { services, clock } = wire({ webhookSecrets: [SECRET] });
    const headers = signed(clock.now());
    expect(services.verify({ headers, rawBody: RAW_BODY })).toEqual({ ok: true });
    expect(services.verify({ headers, rawBody: Buffer.from('[]') })).toEqual({ ok: false, reason: 'mismatch' });
    clock.advance(360_000);
    expect(services.verify({ headers, rawBody: RAW_BODY })).toEqual({ ok: false, reason: 'stale' });
  });
});
