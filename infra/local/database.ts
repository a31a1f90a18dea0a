import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DescribeTableCommand,
  DynamoDBClient,
  ResourceNotFoundException,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import { parse } from 'yaml';
import { type LocalServer, listenOnLoopback } from './listen.ts';

/** Credentials that no AWS would accept, for servers that do not check them. */
export const LOCAL_CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' };
export const LOCAL_REGION = 'eu-central-1';

/**
 * dynalite, in memory or in `directory`. It has no TTL sweep: the bridge filters on read and does not notice. It is closed when
 * what has reached it is done: functions send some things that no client waits for, and dynalite dies of a write to a closed table.
 */
export async function startDatabase(directory?: string): Promise<LocalServer> {
  const options = { createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 };
  const server = dynalite(directory === undefined ? options : { ...options, path: directory });
  const underWay = new Set<ServerResponse>();
  let onIdle = () => {};
  server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
    underWay.add(response);
    response.once('close', () => {
      underWay.delete(response);
      if (underWay.size === 0) onIdle();
    });
  });
  const local = await listenOnLoopback(server, 0);
  return {
    ...local,
    close: async () => {
      if (underWay.size > 0) await new Promise<void>((resolve) => (onIdle = resolve));
      await local.close();
    },
  };
}

/** The table as `infra/table.yml` deploys it: keys, index and attributes have one definition. */
export function tableDefinition(tableName: string): CreateTableCommandInput {
  const file = new URL('../table.yml', import.meta.url);
  const template = parse(readFileSync(file, 'utf8'), { logLevel: 'silent' });
  const { AttributeDefinitions, KeySchema, GlobalSecondaryIndexes } = template.Resources.BridgeTable.Properties;
  return {
    TableName: tableName,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions,
    KeySchema,
    GlobalSecondaryIndexes,
  };
}

/** How soon, and how late, it is asked again whether a table is ready, seconds. */
const READY = { minDelay: 0.01, maxDelay: 0.2, maxWaitTime: 30 };

/** Creates the table where it does not exist yet, and waits until it can be used. */
export async function ensureTable(endpoint: string, tableName: string): Promise<'found' | 'created'> {
  const client = new DynamoDBClient({ endpoint, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
  try {
    const found = await createUnlessThere(client, tableName);
    await waitUntilTableExists({ client, ...READY }, { TableName: tableName });
    return found;
  } finally {
    client.destroy();
  }
}

async function createUnlessThere(client: DynamoDBClient, tableName: string): Promise<'found' | 'created'> {
  try {
    await client.send(new DescribeTableCommand({ TableName: tableName }));
    return 'found';
  } catch (error) {
    if (!(error instanceof ResourceNotFoundException)) throw error;
    await client.send(new CreateTableCommand(tableDefinition(tableName)));
    return 'created';
  }
}
