import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalServer, listenOnLoopback } from '../../infra/local/listen.ts';
import { startSecretsManager } from '../../infra/local/secretsManager.ts';
import type { Json } from '../fixtures/stack/http.ts';

const FUNCTIONS = ['inject', 'snapshot', 'sync'];

const COMPLETE = {
  TABLE_NAME: 'context-bridge',
  BRIDGE_SECRET_ID: 'context-bridge',
  COGNIGY_BASE_URL: 'https://cognigy.example.org',
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
};

/** Runs a script that has the built handler, in a process with exactly this environment. */
function run(name: string, env: Record<string, string>, script = ''): Promise<{ code: number; output: string }> {
  const file = pathToFileURL(fileURLToPath(new URL(`../../dist/${name}/index.mjs`, import.meta.url))).href;
  // Caught and told as Lambda's runtime does; Node itself would print the minified source as well.
  const source = `import { inspect } from 'node:util';
    try { const { handler } = await import(${JSON.stringify(file)});${script} }
    catch (error) { console.error(inspect(error)); process.exitCode = 1 }`;
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', source], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

describe('SCENARIOS 38, 46: an incomplete or contradictory configuration', () => {
  it.each(FUNCTIONS)('%s starts with a complete one', async (name) => {
    expect(await run(name, COMPLETE)).toEqual({ code: 0, output: '' });
  });

  it.each(FUNCTIONS)('%s names everything that is missing', async (name) => {
    const { code, output } = await run(name, {});
    expect(code).not.toBe(0);
    for (const variable of ['TABLE_NAME', 'BRIDGE_SECRET_ID', 'COGNIGY_BASE_URL']) {
      expect(output).toMatch(new RegExp(`${variable} is missing`));
    }
  });

  it.each([
    ['TABLE_NAME', ''],
    ['COGNIGY_BASE_URL', 'hunter2 is no url'],
    ['COGNIGY_BASE_URL', 'ftp://hunter2.example.org'],
    ['COGNIGY_BASE_URL', 'http://hunter2.example.org'],
    ['COGNIGY_BASE_URL', 'https://admin:hunter2@example.org'],
    ['COGNIGY_BASE_URL', 'https://example.org/?key=hunter2'],
    ['COGNIGY_DIALECT', 'hunter2'],
    ['UPSTREAM_RATE_PER_MINUTE', 'hunter2'],
    ['UPSTREAM_RATE_PER_MINUTE', '0'],
    ['UPSTREAM_RATE_PER_MINUTE', '1.5'],
    ['UPSTREAM_BURST', '100'],
    ['UPSTREAM_MAX_CONCURRENT', '0'],
    ['SESSION_TTL_SECONDS', '-1'],
    ['AUDIT_RETENTION_DAYS', '1e9'],
    ['AUDIT_VALUES', 'hunter2'],
    ['CONTEXT_MAX_BYTES', 'hunter2'],
    ['SYNC_DEFAULT_TTL_SECONDS', 'hunter2'],
    ['SYNC_DEFAULT_TTL_SECONDS', '-1'],
    ['SYNC_DEFAULT_TTL_SECONDS', '1795251600000'],
    ['DUE_SHARDS', '0'],
  ])('%s=%s stops the start, by its name and not its value', async (variable, value) => {
    const { code, output } = await run('inject', { ...COMPLETE, [variable]: value });
    expect(code).not.toBe(0);
    expect(output).toContain(variable);
    expect(output).not.toContain('hunter2');
  });

  it('names all of them at once', async () => {
    const { output } = await run('inject', { ...COMPLETE, TABLE_NAME: '', AUDIT_VALUES: 'maybe', DUE_SHARDS: 'x' });
    for (const variable of ['TABLE_NAME', 'AUDIT_VALUES', 'DUE_SHARDS']) expect(output).toContain(variable);
  });
});

describe('SCENARIO 38: an incomplete secret', () => {
  const client = { name: 'local', keyHash: '0'.repeat(64), operations: ['*'] };
  const complete = {
    clientId: 'hunter2-id',
    clientSecret: 'hunter2-secret',
    masterKey: randomBytes(32).toString('base64'),
    clients: [client],
  };
  const secrets = new Map<string, string>([
    ['no-master-key', JSON.stringify({ ...complete, masterKey: undefined })],
    ['short-master-key', JSON.stringify({ ...complete, masterKey: 'aHVudGVyMg==' })],
    ['no-client-secret', JSON.stringify({ ...complete, clientSecret: undefined })],
    ['no-clients', JSON.stringify({ ...complete, clients: [] })],
    ['plain-key', JSON.stringify({ ...complete, clients: [{ ...client, keyHash: 'hunter2' }] })],
    ['no-json', 'hunter2'],
  ]);
  let server: LocalServer;
  beforeAll(async () => {
    server = await startSecretsManager(secrets);
  });
  afterAll(() => server.close());

  const request = `
    const event = { routeKey: 'POST /v1/sessions/{sessionId}/variables', pathParameters: { sessionId: 'sess_1' },
      headers: { authorization: 'Bearer hunter2', 'content-type': 'application/json' }, body: '{}' };
    const result = await handler(event, { awsRequestId: 'a', functionName: 'inject', getRemainingTimeInMillis: () => 15000 });
    console.log('RESULT ' + JSON.stringify(result));`;

  async function answer(secretId: string, endpoint = server.url): Promise<{ result: Json; output: string }> {
    const env = {
      ...COMPLETE,
      BRIDGE_SECRET_ID: secretId,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: endpoint,
      AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:9',
      POWERTOOLS_METRICS_DISABLED: 'true',
    };
    const { output } = await run('inject', env, request);
    const line = /^RESULT (.*)$/m.exec(output)?.[1];
    if (line === undefined) throw new Error(`no result: ${output}`);
    return { result: JSON.parse(line), output };
  }

  it.each([
    ['no-master-key', 'masterKey'],
    ['short-master-key', 'masterKey'],
    ['no-client-secret', 'clientSecret'],
    ['no-clients', 'clients'],
    ['plain-key', 'keyHash'],
    ['no-json', 'not JSON'],
    ['not-there', 'BRIDGE_SECRET_ID'],
  ])('%s is 500 misconfigured; the log names %s and no value', async (secretId, named) => {
    const { result, output } = await answer(secretId);
    expect(result.statusCode).toBe(500);
    expect(JSON.parse(result.body)).toMatchObject({ code: 'misconfigured', retryable: false, status: 500 });
    expect(result.body).not.toContain(named);
    expect(output).toContain(named);
    expect(output).not.toContain('hunter2');
  });

  it('a Secrets Manager that does not answer lets nobody in', async () => {
    const broken = await listenOnLoopback(
      (await import('node:http')).createServer((_request, response) => response.writeHead(500).end()),
      0,
    );
    try {
      const { result } = await answer('no-matter', broken.url);
      expect(result.statusCode).toBe(500);
      expect(JSON.parse(result.body).code).toBe('misconfigured');
    } finally {
      await broken.close();
    }
  });
});
