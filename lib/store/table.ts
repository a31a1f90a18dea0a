import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  type GetItemCommandInput,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  UpdateItemCommand,
  type UpdateItemCommandInput,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { StoreError } from '../operations/ports/sessionStore.ts';
import type { Clock } from '../platform/clock.ts';

/** A decoded item: attribute values as plain JavaScript values, binary as `Uint8Array`, sets as `Set`. */
export type Item = Readonly<Record<string, unknown>>;

export interface Key {
  readonly pk: string;
  readonly sk: string;
}

export interface Update {
  readonly key: Key;
  readonly expression: string;
  readonly condition?: string;
  readonly names?: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, unknown>>;
  /** `nothing` where the item as it is afterwards would only be thrown away. */
  readonly answer?: 'item' | 'nothing';
}

export type UpdateResult = { readonly kind: 'updated'; readonly item: Item } | { readonly kind: 'condition-failed' };

export interface TableOptions {
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly clock: Clock;
}

/** Requests of one batch that DynamoDB may leave undone before the store counts as unavailable. */
const BATCH_ROUNDS = 5;
const BATCH_GET_MAX = 100;
const BATCH_WRITE_MAX = 25;

const MARSHALL = { removeUndefinedValues: true } as const;

/**
 * The one table, speaking in decoded items. Turns the SDK's many failures into one: what is not a failed condition is a
 * {@link StoreError}.
 */
export class Table {
  readonly options: TableOptions;
  readonly #client: DynamoDBClient;
  readonly #name: string;
  readonly #clock: Clock;

  constructor(options: TableOptions) {
    this.options = options;
    this.#client = options.client;
    this.#name = options.tableName;
    this.#clock = options.clock;
  }

  /** Strongly consistent. */
  async get(key: Key): Promise<Item | undefined> {
    return this.#get({ Key: marshall(key), ConsistentRead: true });
  }

  /**
   * Some attributes of an item, perhaps a moment old. Costs half as many read units, and far less decoding than a large item
   * whole. Each of `paths` is an attribute's name, or a path of them with dots.
   */
  async glance(key: Key, paths: readonly string[]): Promise<Item | undefined> {
    // Every name by a placeholder: some are reserved words.
    const names = [...new Set(paths.flatMap((path) => path.split('.')))];
    return this.#get({
      Key: marshall(key),
      ProjectionExpression: paths.map((path) => path.replaceAll(/[^.]+/g, '#$&')).join(', '),
      ExpressionAttributeNames: Object.fromEntries(names.map((name) => [`#${name}`, name])),
    });
  }

  async #get(input: Omit<GetItemCommandInput, 'TableName'>): Promise<Item | undefined> {
    const command = new GetItemCommand({ TableName: this.#name, ...input });
    const { Item: item } = await asStoreError(this.#client.send(command));
    return item && unmarshall(item);
  }

  async put(item: Key & Item): Promise<void> {
    const command = new PutItemCommand({ TableName: this.#name, Item: marshall(item, MARSHALL) });
    await asStoreError(this.#client.send(command));
  }

  /** Conditional write that answers with the whole item as it is afterwards. */
  async update(update: Update): Promise<UpdateResult> {
    const input: UpdateItemCommandInput = {
      TableName: this.#name,
      Key: marshall(update.key),
      UpdateExpression: update.expression,
      ExpressionAttributeValues: marshall(update.values, MARSHALL),
      ReturnValues: update.answer === 'nothing' ? 'NONE' : 'ALL_NEW',
      ...(update.condition !== undefined && { ConditionExpression: update.condition }),
      ...(update.names !== undefined && { ExpressionAttributeNames: { ...update.names } }),
    };
    try {
      const { Attributes } = await this.#client.send(new UpdateItemCommand(input));
      return { kind: 'updated', item: unmarshall(Attributes ?? {}) };
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return { kind: 'condition-failed' };
      throw toStoreError(error);
    }
  }

  /** All items whose sort key begins with `prefix`, or the first `limit` of them. */
  async *query(query: {
    readonly pk: string;
    readonly prefix: string;
    readonly newestFirst?: boolean;
    readonly limit?: number;
  }): AsyncGenerator<Item> {
    yield* this.#pages(
      {
        TableName: this.#name,
        KeyConditionExpression: 'pk = :pk AND begins_with(sk, :prefix)',
        ExpressionAttributeValues: marshall({ ':pk': query.pk, ':prefix': query.prefix }),
        ScanIndexForward: query.newestFirst !== true,
        ConsistentRead: true,
      },
      query.limit,
    );
  }

  /**
   * The keys of all items whose sort key begins with `prefix`, with the operation that is to be committed with an item. Costs as
   * many read units as the items themselves would.
   */
  async *queryKeys(query: {
    readonly pk: string;
    readonly prefix: string;
  }): AsyncGenerator<{ readonly key: Key; readonly operationId: string | undefined }> {
    const items = this.#pages({
      TableName: this.#name,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :prefix)',
      ExpressionAttributeValues: marshall({ ':pk': query.pk, ':prefix': query.prefix }),
      ProjectionExpression: 'pk, sk, operationId',
      ConsistentRead: true,
    });
    for await (const { pk, sk, operationId } of items) {
      const isOperation = typeof operationId === 'string';
      yield { key: { pk: String(pk), sk: String(sk) }, operationId: isOperation ? operationId : undefined };
    }
  }

  /** Keys of the due index's partition `shard` up to and including `dueAt`, oldest first. Eventually consistent, as all GSIs. */
  async *queryDue(query: { readonly shard: string; readonly dueAt: number }): AsyncGenerator<Item> {
    yield* this.#pages({
      TableName: this.#name,
      IndexName: 'due',
      KeyConditionExpression: 'dueShard = :shard AND dueAt <= :dueAt',
      ExpressionAttributeValues: marshall({ ':shard': query.shard, ':dueAt': query.dueAt }),
    });
  }

  async *#pages(input: QueryCommandInput, limit = Number.POSITIVE_INFINITY): AsyncGenerator<Item> {
    let left = limit;
    let start: QueryCommandInput['ExclusiveStartKey'];
    do {
      const command = new QueryCommand({
        ...input,
        ...(Number.isFinite(left) && { Limit: left }),
        ...(start && { ExclusiveStartKey: start }),
      });
      const page = await asStoreError(this.#client.send(command));
      for (const item of page.Items ?? []) {
        yield unmarshall(item);
        left -= 1;
      }
      start = page.LastEvaluatedKey;
    } while (start !== undefined && left > 0);
  }

  /** Items by key, in no particular order; those that are not there are left out. Strongly consistent. */
  async getMany(keys: readonly Key[]): Promise<Item[]> {
    const items: Item[] = [];
    await this.#inBatches(
      keys.map((key) => marshall(key)),
      BATCH_GET_MAX,
      async (batch) => {
        const command = new BatchGetItemCommand({
          RequestItems: { [this.#name]: { Keys: batch, ConsistentRead: true } },
        });
        const { Responses, UnprocessedKeys } = await asStoreError(this.#client.send(command));
        for (const item of Responses?.[this.#name] ?? []) items.push(unmarshall(item));
        return UnprocessedKeys?.[this.#name]?.Keys ?? [];
      },
    );
    return items;
  }

  async putMany(items: readonly (Key & Item)[]): Promise<void> {
    const only = items[0];
    if (items.length === 1 && only !== undefined) return this.put(only);
    await this.#writeMany(items.map((item) => ({ PutRequest: { Item: marshall(item, MARSHALL) } })));
  }

  /** Deletes items; those that are not there are no matter. */
  async deleteMany(keys: readonly Key[]): Promise<void> {
    await this.#writeMany(keys.map((key) => ({ DeleteRequest: { Key: marshall(key) } })));
  }

  #writeMany(requests: readonly WriteRequest[]): Promise<void> {
    return this.#inBatches(requests, BATCH_WRITE_MAX, async (batch) => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#name]: batch } });
      const { UnprocessedItems } = await asStoreError(this.#client.send(command));
      return UnprocessedItems?.[this.#name] ?? [];
    });
  }

  /** DynamoDB may leave part of a batch undone when it throttles; that part is sent again, with pauses. */
  async #inBatches<Request>(
    requests: readonly Request[],
    size: number,
    send: (batch: Request[]) => Promise<Request[]>,
  ): Promise<void> {
    for (let at = 0; at < requests.length; at += size) {
      let batch = requests.slice(at, at + size);
      for (let round = 0; batch.length > 0; round += 1) {
        if (round === BATCH_ROUNDS) throw new StoreError('store-unavailable');
        if (round > 0) await this.#clock.sleep(25 * 2 ** round);
        batch = await send(batch);
      }
    }
  }
}

async function asStoreError<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    throw toStoreError(error);
  }
}

function toStoreError(error: unknown): StoreError {
  // The SDK gives this name to connections that were cut, too.
  const wasCut = error instanceof Error && 'code' in error && ['ECONNRESET', 'EPIPE'].includes(String(error.code));
  const isTimeout = error instanceof Error && error.name === 'TimeoutError' && !wasCut;
  return new StoreError(isTimeout ? 'store-timeout' : 'store-unavailable', error);
}

/** Epoch milliseconds as DynamoDB's TTL wants them: whole seconds, never before the moment itself. */
export function ttlSeconds(epochMs: number): number {
  return Math.ceil(epochMs / 1000);
}

/** Runs `of` to its end. */
export async function collect<Value>(of: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const value of of) values.push(value);
  return values;
}
