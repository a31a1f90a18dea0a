import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../lib/platform/clock.ts';
import { parseSecrets, SecretError, SecretSource } from '../../../lib/platform/secrets.ts';

const complete = {
  clientId: 'id',
  clientSecret: 'hunter2-secret',
  masterKey: Buffer.alloc(32, 7).toString('base64'),
  clients: [{ name: 'crm', keyHash: 'a'.repeat(64), operations: ['inject'] }],
};

const WEBHOOK = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;

const failure = (secret: unknown): SecretError => {
  try {
    parseSecrets(typeof secret === 'string' ? secret : JSON.stringify(secret));
  } catch (error) {
    if (error instanceof SecretError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

const whsec = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;

describe('parseSecrets', () => {
  it('reads the master key as bytes, and grants', () => {
    const secrets = parseSecrets(JSON.stringify({ ...complete, tenantId: 't' }));
    expect(secrets.masterKey).toEqual(new Uint8Array(32).fill(7));
    expect(secrets.clients[0]).toEqual(complete.clients[0]);
    expect(secrets.tenantId).toBe('t');
  });

  it('takes one or two secrets for webhooks, and does without', () => {
    for (const webhookSecrets of [[WEBHOOK], [WEBHOOK, WEBHOOK.slice('whsec_'.length)]]) {
      expect(parseSecrets(JSON.stringify({ ...complete, webhookSecrets })).webhookSecrets).toEqual(webhookSecrets);
    }
    expect(parseSecrets(JSON.stringify(complete))).not.toHaveProperty('webhookSecrets');
  });

  it('names everything that is missing', () => {
    const { message } = failure({});
    for (const member of ['clientId', 'clientSecret', 'masterKey', 'clients']) expect(message).toContain(member);
  });

  it.each([
    ['a short master key', { masterKey: Buffer.alloc(31).toString('base64') }, 'masterKey'],
    ['no clients', { clients: [] }, 'clients'],
    ['a key that is not hashed', { clients: [{ ...complete.clients[0], keyHash: 'plain-key' }] }, 'clients.0.keyHash'],
    ['a client without operations', { clients: [{ ...complete.clients[0], operations: [] }] }, 'clients.0.operations'],
    ['prefixes that allow nothing or all', { clients: [{ ...complete.clients[0], keyPrefixes: [''] }] }, 'keyPrefixes'],
    ['an empty tenant', { tenantId: '' }, 'tenantId'],
  ])('refuses %s', (_what, change, member) => expect(failure({ ...complete, ...change }).message).toContain(member));

  it('takes a secret for webhooks from 16 bytes on', () => {
    const webhookSecrets = [whsec(16), whsec(64)];
    expect(parseSecrets(JSON.stringify({ ...complete, webhookSecrets })).webhookSecrets).toEqual(webhookSecrets);
  });

  it.each([
    ['no list', whsec(24), 'webhookSecrets: '],
    ['one that is no text', [7], 'webhookSecrets.0: '],
    ['another prefix', [`whpk_${whsec(24).slice(6)}`], 'webhookSecrets.0: '],
    ['a prefix alone', ['whsec_'], 'webhookSecrets.0: '],
    ['what is not base64', [whsec(24), 'whsec_hunter2-hunter2-hunter2-hunter2'], 'webhookSecrets.1: '],
    ['a cut one', [whsec(24).slice(0, -1)], 'webhookSecrets.0: '],
    ['one of 15 bytes', [whsec(24), whsec(15)], 'webhookSecrets.1: '],
  ])('refuses secrets for webhooks, by their places and not their values: %s', (_what, webhookSecrets, member) => {
    const { message } = failure({ ...complete, webhookSecrets });
    expect(message).toContain(member);
    expect(message).not.toContain('hunter2');
    expect(message).not.toContain(whsec(24));
  });

  it.each([
    'not json hunter2-secret',
    '{"clientSecret":"hunter2-secret"',
    { ...complete, masterKey: 'hunter2-secret' },
  ])('never quotes the secret: %j', (secret) => {
    const error = failure(secret);
    expect(error.message).not.toContain('hunter2');
    expect(String(error.cause ?? '')).not.toContain('hunter2');
  });
});

describe('SecretSource', () => {
  const sourceOf = (answer: () => string) => {
    const client = new SecretsManagerClient({
      region: 'eu-central-1',
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    });
    client.middlewareStack.add(
      () => async () => ({ response: {}, output: { SecretString: answer(), $metadata: {} } }),
      { step: 'initialize' },
    );
    return new SecretSource(client, 'secret', systemClock);
  };

  it('hands out the same object until the secret changes', async () => {
    const source = sourceOf(() => JSON.stringify(complete));
    expect(await source.get()).toBe(await source.get());
  });

  it('fails closed with a name, not a value, when there is nothing to go on with (SCENARIO 38)', async () => {
    const source = sourceOf(() => {
      throw new Error('down');
    });
    await expect(source.get()).rejects.toThrow(/BRIDGE_SECRET_ID/);
  });
});
