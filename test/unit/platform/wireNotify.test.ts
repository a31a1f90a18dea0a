import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../../../lib/platform/config.ts';
import { deliverySettings } from '../../../lib/platform/deliveryConfig.ts';
import { wireNotify } from '../../../lib/platform/deps.ts';
import { parseSecrets, SecretError } from '../../../lib/platform/secrets.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { Table } from '../../../lib/store/table.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const delivering = {
  NOTIFY_QUEUE_URL: 'https://sqs.example/1/notify',
  DEAD_LETTER_QUEUE_URL: 'https://sqs.example/1/dead',
  EVENT_BUS_NAME: 'outcomes',
};

/** Nothing of it calls anywhere. */
function wire(env: Record<string, string>, crmWebhookSecrets?: readonly string[]) {
  const config = readConfig(
    {
      TABLE_NAME: 'table',
      BRIDGE_SECRET_ID: 'secret-id',
      COGNIGY_BASE_URL: 'https://cognigy.example',
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'access',
      ...env,
    },
    deliverySettings,
  );
  const secrets = parseSecrets(
    JSON.stringify({
      clientId: 'id',
      clientSecret: 'secret',
      masterKey: Buffer.alloc(32, 7).toString('base64'),
      clients: [{ name: 'crm', keyHash: 'a'.repeat(64), operations: ['inject'] }],
      crmWebhookSecrets,
    }),
  );
  const clock = new FakeClock();
  const table = new Table({ client: new DynamoDBClient(config.aws), tableName: 'table', clock });
  return wireNotify({ config, clock, random: seededRandom(), table, secrets, vault: new Vault(secrets.masterKey) });
}

describe('wireNotify', () => {
  it('tells the bus alone where there is no destination', () => {
    expect(wire(delivering).destination).toBeUndefined();
    expect(wire(delivering, [SECRET]).destination).toBeUndefined();
  });

  it('tells one destination apart from another, and does not know it by its URL', () => {
    const idOf = (url: string) => wire({ ...delivering, CRM_WEBHOOK_URL: url }, [SECRET]).destination?.id;
    expect(idOf('https://crm.example/a')).toBe(idOf('https://crm.example/a'));
    expect(idOf('https://crm.example/a')).not.toBe(idOf('https://crm.example/b'));
    expect(idOf('https://crm.example/a')).toMatch(/^[\w-]{43}$/);
  });

  it('SCENARIO 38, 46: fails closed with the name of what is missing', () => {
    const env = { ...delivering, CRM_WEBHOOK_URL: 'https://crm.example/hunter2' };
    expect(() => wire(env)).toThrow(SecretError);
    expect(() => wire(env)).toThrow(/crmWebhookSecrets: is missing/);
    expect(() => wire(env)).not.toThrow(/hunter2/);
    expect(() => wire({})).toThrow(ConfigError);
  });
});
