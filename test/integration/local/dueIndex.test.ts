import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, GetItemCommand, PutItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ensureTable, LOCAL_CREDENTIALS, LOCAL_REGION, startDatabase } from '../../../infra/local/database.ts';
import { mendIndexes } from '../../../infra/local/dueIndex.ts';

const TABLE = 'mended';
const KEY = { pk: { S: 'SESSION#1' }, sk: { S: 'LANE' } };
const ITEM = { ...KEY, dueShard: { S: 'DUE#0' }, dueAt: { N: '17' }, version: { N: '3' } };
const OTHER = { pk: { S: 'SESSION#2' }, sk: { S: 'LANE' }, dueShard: { S: 'DUE#0' }, dueAt: { N: '18' } };
/** Not due: it has only one of the index's keys. */
const BURIED = { pk: { S: 'SESSION#3' }, sk: { S: 'EVENT#1' }, dueShard: { S: 'OUT#0' } };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'context-bridge-index-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** With the database open, as a process of its own would have it. */
async function inDatabase<Result>(work: (client: DynamoDBClient, url: string) => Promise<Result>): Promise<Result> {
  const database = await startDatabase(directory);
  await ensureTable(database.url, TABLE);
  const client = new DynamoDBClient({ endpoint: database.url, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
  try {
    return await work(client, database.url);
  } finally {
    client.destroy();
    await database.close();
  }
}

async function due(client: DynamoDBClient) {
  const { Items: items = [] } = await client.send(
    new QueryCommand({
      TableName: TABLE,
      IndexName: 'due',
      KeyConditionExpression: 'dueShard = :shard',
      ExpressionAttributeValues: { ':shard': { S: 'DUE#0' } },
    }),
  );
  return items.map(({ pk }) => pk?.S);
}

/** dynalite's own files, with nobody else at them. */
interface Files {
  getIndexDb(type: 'Global', table: string, index: string): { del(key: string, done: (error?: Error) => void): void };
  readonly db: { close(): Promise<void> };
}
const { create, createIndexKey } = createRequire(import.meta.url)('dynalite/db') as {
  create(options: { path: string }): Files;
  createIndexKey(item: object, table: object, schema: object): string;
};

/** What a kill leaves that came when the old place had been deleted and the item not been written yet. */
async function loseFromIndex(item: typeof ITEM): Promise<void> {
  const schema = (hash: string, range: string) => [
    { AttributeName: hash, KeyType: 'HASH' },
    { AttributeName: range, KeyType: 'RANGE' },
  ];
  const types = { pk: 'S', sk: 'S', dueShard: 'S', dueAt: 'N' };
  const table = {
    KeySchema: schema('pk', 'sk'),
    AttributeDefinitions: Object.entries(types).map(([AttributeName, AttributeType]) => ({
      AttributeName,
      AttributeType,
    })),
  };
  const files = create({ path: join(directory) });
  const index = files.getIndexDb('Global', TABLE, 'due');
  const key = createIndexKey(item, table, schema('dueShard', 'dueAt'));
  await new Promise<void>((resolve, reject) => index.del(key, (error) => (error ? reject(error) : resolve())));
  await files.db.close();
}

it('SCENARIO 15: what a kill has taken out of the due index is found again, and nothing else is touched', async () => {
  await inDatabase(async (client) => {
    for (const Item of [ITEM, OTHER, BURIED]) await client.send(new PutItemCommand({ TableName: TABLE, Item }));
    expect(await due(client)).toEqual(['SESSION#1', 'SESSION#2']);
  });
  await loseFromIndex(ITEM);

  await inDatabase(async (client, url) => {
    expect(await due(client)).toEqual(['SESSION#2']);
    expect(await mendIndexes(url, TABLE)).toBe(1);
    expect(await due(client)).toEqual(['SESSION#1', 'SESSION#2']);
    const { Item } = await client.send(new GetItemCommand({ TableName: TABLE, Key: KEY }));
    expect(Item).toEqual(ITEM);
    expect(await mendIndexes(url, TABLE)).toBe(0);
  });
});
