import { DynamoDBClient, paginateScan, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { LOCAL_CREDENTIALS, LOCAL_REGION, tableDefinition } from './database.ts';

type Item = NonNullable<UpdateItemCommand['input']['Key']>;

/**
 * Puts back what the table's indexes have lost. dynalite writes an item and its places in the indexes one after the other: a kill in
 * between leaves an item that is due and that no query finds, for ever (DynamoDB brings its indexes up to date whatever happens).
 * Items stay as they are, so that a kill in the middle of this does no harm; places of the past are left, where nobody finds
 * anything to do. For a table that nobody writes to yet.
 *
 * @returns how many places were put back
 */
export async function mendIndexes(endpoint: string, tableName: string): Promise<number> {
  const { KeySchema, GlobalSecondaryIndexes = [] } = tableDefinition(tableName);
  const client = new DynamoDBClient({ endpoint, region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS });
  const scan = async (indexName?: string): Promise<Item[]> => {
    const items: Item[] = [];
    const input = { TableName: tableName, ...(indexName !== undefined && { IndexName: indexName }) };
    for await (const page of paginateScan({ client }, input)) items.push(...(page.Items ?? []));
    return items;
  };
  try {
    const items = await scan();
    let mended = 0;
    for (const { IndexName, KeySchema: indexSchema } of GlobalSecondaryIndexes) {
      const names = namesOf(indexSchema);
      const all = [...namesOf(KeySchema), ...names];
      const found = new Set((await scan(IndexName)).map((entry) => JSON.stringify(only(entry, all))));
      const lost = items.filter(
        (item) => names.every((name) => item[name] !== undefined) && !found.has(JSON.stringify(only(item, all))),
      );
      for (const item of lost) await touch(client, tableName, only(item, namesOf(KeySchema)), only(item, names));
      mended += lost.length;
    }
    return mended;
  } finally {
    client.destroy();
  }
}

/** Writes what is there already: dynalite puts the item into its indexes again. */
async function touch(client: DynamoDBClient, tableName: string, key: Item, values: Item): Promise<void> {
  const entries = Object.entries(values);
  await client.send(
    new UpdateItemCommand({
      TableName: tableName,
      Key: key,
      UpdateExpression: `SET ${entries.map((_, index) => `#n${index} = :v${index}`).join(', ')}`,
      ExpressionAttributeNames: Object.fromEntries(entries.map(([name], index) => [`#n${index}`, name])),
      ExpressionAttributeValues: Object.fromEntries(entries.map(([, value], index) => [`:v${index}`, value])),
    }),
  );
}

function namesOf(schema: readonly { readonly AttributeName?: string | undefined }[] = []): string[] {
  return schema.flatMap(({ AttributeName }) => AttributeName ?? []);
}

/** In the order of the names. */
function only(item: Item, names: readonly string[]): Item {
  return Object.fromEntries(names.flatMap((name) => (item[name] === undefined ? [] : [[name, item[name]]])));
}
