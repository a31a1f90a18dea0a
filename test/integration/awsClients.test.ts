import { mkdtemp, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest, HttpResponse } from '@smithy/core/transport';
import { SignatureV4 } from '@smithy/signature-v4';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { bundleEntry } from '../../scripts/build.ts';
import * as asItIs from '../fixtures/store/awsClients.ts';

/** What the local databases do not look at: whether AWS would let the request in, and what becomes of an answer that is cut off. */
const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const REGION = 'eu-central-1';
/** Sent as the beginning of more. */
const CUT_OFF = '{"Attributes":';
/** Sent as the beginning of more that never comes. */
const STUCK = '{"Attributes":{';

interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** The stand-ins of a bundle are part of the way to AWS (ADR 0008). */
async function bundled(): Promise<typeof asItIs> {
  const { code } = await bundleEntry('awsClients', 'test/fixtures/store/awsClients.ts');
  const file = join(await mkdtemp(join(tmpdir(), 'aws-clients-')), 'index.mjs');
  await writeFile(file, code);
  return import(pathToFileURL(file).href);
}

describe.each([
  ['as it is here', async () => asItIs, { userAgent: /aws-sdk-js/, asksOnce: false }],
  ['as it is bundled', bundled, { userAgent: /^context-bridge$/, asksOnce: true }],
])('The client of DynamoDB, %s', (_how, load, { userAgent, asksOnce }) => {
  let aws: typeof asItIs;
  beforeAll(async () => {
    aws = await load();
  });

  let server: Server;
  let seen: Seen[];
  /** In turn, in place of `{}`. */
  let answers: string[];
  beforeEach(async () => {
    seen = [];
    answers = [];
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      seen.push({ headers: request.headers, body: Buffer.concat(chunks).toString('utf8') });
      response.setHeader('content-type', 'application/x-amz-json-1.0');
      const text = answers.shift() ?? '{}';
      if (text !== CUT_OFF && text !== STUCK) return response.end(text);
      response.setHeader('content-length', 1_000);
      response.write(text);
      return text === STUCK ? undefined : setImmediate(() => request.socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  function clientOf(credentials: typeof CREDENTIALS & { sessionToken?: string }): DynamoDBClient {
    const client = aws.createDynamoClient({ aws: { region: REGION, credentials }, storeTimeoutMs: 200 });
    const { port } = server.address() as AddressInfo;
    const endpoint = { protocol: 'http:', hostname: '127.0.0.1', port, path: '/' };
    client.config.endpoint = async () => endpoint;
    client.config.isCustomEndpoint = true;
    return client;
  }

  const update = (text: string) =>
    new aws.UpdateItemCommand({
      TableName: 't',
      Key: { pk: { S: 'S#1' }, sk: { S: 'LANE' } },
      UpdateExpression: 'SET a = :a',
      ExpressionAttributeValues: { ':a': { S: text } },
    });

  /** The same request signed by the SDK's own means. */
  async function signedAnew({ headers, body }: Seen, credentials: typeof CREDENTIALS): Promise<string | undefined> {
    const names = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '')?.[1]?.split(';') ?? [];
    const day = String(headers['x-amz-date']);
    const [, year, month, date, hour, minute, second] = /^(....)(..)(..)T(..)(..)(..)Z$/.exec(day) ?? [];
    const signer = new SignatureV4({ service: 'dynamodb', region: REGION, credentials, sha256: Sha256 });
    const unsigned = new HttpRequest({
      method: 'POST',
      protocol: 'http:',
      hostname: '127.0.0.1',
      path: '/',
      headers: Object.fromEntries(
        names.filter((name) => !name.startsWith('x-amz-')).map((name) => [name, String(headers[name])]),
      ),
      body,
    });
    for (const name of names) unsigned.headers[name] ??= String(headers[name]);
    const signingDate = new Date(`${year}-${month}-${date}T${hour}:${minute}:${second}Z`);
    const signed = await signer.sign(unsigned, { signingDate });
    return signed.headers['authorization'];
  }

  it.each([
    ['of a user', CREDENTIALS],
    ['of a role', { ...CREDENTIALS, sessionToken: 'a//token==' }],
  ])('signs its requests as the SDK would, with credentials %s', async (_whose, credentials) => {
    const client = clientOf(credentials);
    // More than one: what the signer remembers of the first must fit the others.
    for (const text of ['plain', 'Grüße, 世界', '']) await client.send(update(text));

    expect(seen).toHaveLength(3);
    for (const each of seen) {
      expect(each.headers.authorization).toMatch(/SignedHeaders=[^,]*host/);
      expect(each.headers['user-agent']).toMatch(userAgent);
      expect(each.headers['x-amz-security-token']).toBe('sessionToken' in credentials ? 'a//token==' : undefined);
      expect(each.headers.authorization).toBe(await signedAnew(each, credentials));
    }
    expect(new Set(seen.map(({ headers }) => headers.authorization)).size).toBe(3);
    client.destroy();
  });

  /** A client of AWS itself, whose requests end before they leave; `hosts` notes where they would have gone. */
  function clientInAws(region: string, hosts: string[] = []): DynamoDBClient {
    const client = aws.createDynamoClient({ aws: { region, credentials: CREDENTIALS }, storeTimeoutMs: 200 });
    client.config.requestHandler = {
      metadata: { handlerProtocol: 'http/1.1' },
      handle: async ({ protocol, hostname, path }: HttpRequest) => {
        hosts.push(`${protocol}//${hostname}${path}`);
        return { response: new HttpResponse({ statusCode: 200, body: Buffer.from('{}') }) };
      },
      updateHttpClientConfig: () => undefined,
      httpHandlerConfigs: () => ({}),
    };
    return client;
  }

  it('sends its requests to the endpoint of its own region', async () => {
    const hosts: string[] = [];
    const clients = [REGION, 'us-east-1', 'cn-north-1'].map((region) => clientInAws(region, hosts));

    for (const client of [...clients, ...clients]) await client.send(update('x'));

    const each = [
      'https://dynamodb.eu-central-1.amazonaws.com/',
      'https://dynamodb.us-east-1.amazonaws.com/',
      'https://dynamodb.cn-north-1.amazonaws.com.cn/',
    ];
    expect(hosts).toEqual([...each, ...each]);
  });

  it('works it out again where that has failed', async () => {
    const hosts: string[] = [];
    const client = clientInAws(REGION, hosts);
    vi.spyOn(client.config, 'useFipsEndpoint').mockRejectedValueOnce(new Error('not now'));

    await expect(client.send(update('first'))).rejects.toThrow('not now');
    await client.send(update('second'));

    expect(hosts).toEqual(['https://dynamodb.eu-central-1.amazonaws.com/']);
  });

  it.runIf(asksOnce)('refuses an endpoint that wants a signature of its own', async () => {
    // What is left out of the bundle would sign for another region there.
    await expect(clientInAws('local').send(update('x'))).rejects.toThrow('left out');
  });

  it(`works out where they go ${asksOnce ? 'once' : 'each time'}`, async () => {
    const client = clientOf(CREDENTIALS);
    const endpoint = vi.spyOn(client.config, 'endpoint');
    await client.send(update('first'));
    const asked = endpoint.mock.calls.length;

    await client.send(update('second'));
    await client.send(update('third'));

    expect(asked).toBeGreaterThan(0);
    expect(endpoint).toHaveBeenCalledTimes(asksOnce ? asked : 3 * asked);
    client.destroy();
  });

  it('waits for the rest of an answer no longer than for its beginning, and asks again', async () => {
    const client = clientOf(CREDENTIALS);
    answers = [STUCK, '{"Attributes":{"a":{"S":"whole"}}}'];

    expect(await client.send(update('x'))).toMatchObject({ Attributes: { a: { S: 'whole' } } });
    expect(seen).toHaveLength(2);
    client.destroy();
  });

  it('takes an answer that is cut off for none, and asks again', async () => {
    const client = clientOf(CREDENTIALS);
    answers = [CUT_OFF, '{"Attributes":{"a":{"S":"whole"}}}'];

    const { Attributes } = await client.send(update('x'));

    expect(Attributes).toEqual({ a: { S: 'whole' } });
    expect(seen).toHaveLength(2);
    client.destroy();
  });
});
