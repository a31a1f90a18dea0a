import {
  type AttributeValue,
  type BatchGetItemCommandInput,
  type BatchGetItemCommandOutput,
  type BatchWriteItemCommandInput,
  type BatchWriteItemCommandOutput,
  ConditionalCheckFailedException,
  type DeleteItemCommandInput,
  type GetItemCommandInput,
  type PutItemCommandInput,
  type QueryCommandInput,
  type ScanCommandInput,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { bytesOfItem, membersOf, type StoredItem } from './attributes.ts';
import { DueIndex } from './dueIndex.ts';
import {
  type Bound,
  conditionOf,
  InvalidRequest,
  nameOf,
  type Parsed,
  type Path,
  projectionOf,
  updateOf,
  valueAt,
} from './expressions.ts';
import { updated } from './updating.ts';

/** Bytes of an item, and of a page that a query answers. */
const ITEM_MAX_BYTES = 409_600;
const PAGE_MAX_BYTES = 1_048_576;
const BATCH_GET_MAX = 100;
const BATCH_WRITE_MAX = 25;

export interface Change {
  readonly pk: string;
  readonly sk: string;
  readonly before: StoredItem | undefined;
  readonly after: StoredItem | undefined;
}

export interface SimulatedTableOptions {
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** How long after a write the index has it, milliseconds; drawn for each write. At once unless told otherwise. */
  readonly indexLagMs?: () => number;
  /** How old an eventually consistent read is, milliseconds; drawn for each read. As new as any unless told otherwise. */
  readonly readAgeMs?: () => number;
}

interface Key {
  readonly pk: string;
  readonly sk: string;
}

/** What was there until a moment (epoch milliseconds). */
interface Former {
  readonly item: StoredItem | undefined;
  readonly untilMs: number;
}

type Answer = Readonly<Record<string, unknown>>;

/**
 * One DynamoDB table in memory, without a network and without waiting: every request takes effect at once, as a whole, and in the
 * order of the calls. It speaks the SDK's commands, so that the bridge's whole store runs on it.
 */
export class SimulatedTable {
  readonly #options: SimulatedTableOptions;
  readonly #partitions = new Map<string, Map<string, StoredItem>>();
  readonly #former = new Map<string, Former>();
  readonly #index: DueIndex;
  readonly #watchers: ((change: Change) => void)[] = [];

  constructor(options: SimulatedTableOptions = { now: Date.now }) {
    this.#options = options;
    this.#index = new DueIndex(options);
  }

  /** Told of every write that has taken effect, in order. */
  watch(watcher: (change: Change) => void): void {
    this.#watchers.push(watcher);
  }

  /** Every item there is. */
  *items(): Generator<StoredItem> {
    for (const partition of this.#partitions.values()) yield* partition.values();
  }

  /** Puts an item around all clients: somebody tampers with the table. */
  tamper(item: StoredItem): void {
    this.#write(keyOf(item), item);
  }

  /** Deletes what has expired, as DynamoDB does some time after. */
  sweep(): void {
    const nowSeconds = this.#options.now() / 1_000;
    for (const item of [...this.items()]) {
      if (Number(item['ttl']?.N ?? Number.POSITIVE_INFINITY) < nowSeconds) this.#write(keyOf(item), undefined);
    }
  }

  getItem(input: GetItemCommandInput): Answer {
    const key = keyOf(input.Key);
    const found = input.ConsistentRead === true ? this.#read(key) : this.#readOld(key);
    return found === undefined ? {} : { Item: this.#projected(found, input) };
  }

  putItem(input: PutItemCommandInput): Answer {
    const item = validItem(input.Item);
    const key = keyOf(item);
    this.#check(input, this.#read(key));
    this.#write(key, item);
    return {};
  }

  deleteItem(input: DeleteItemCommandInput): Answer {
    const key = keyOf(input.Key);
    this.#check(input, this.#read(key));
    this.#write(key, undefined);
    return {};
  }

  updateItem(input: UpdateItemCommandInput): Answer {
    const key = keyOf(input.Key);
    const before = this.#read(key);
    const bound = boundOf(input);
    const actions = updateOf(input.UpdateExpression ?? '');
    const condition = input.ConditionExpression === undefined ? undefined : conditionOf(input.ConditionExpression);
    refuseUnused(bound, condition === undefined ? [actions] : [actions, condition]);
    refuseEmptySets(bound);
    if (condition !== undefined && !condition.meaning(before ?? {}, bound)) throw conditionFailed();
    const item = validItem(updated(before ?? { pk: { S: key.pk }, sk: { S: key.sk } }, actions.meaning, bound));
    if (item['pk']?.S !== key.pk || item['sk']?.S !== key.sk) throw new InvalidRequest('a key does not change');
    this.#write(key, item);
    switch (input.ReturnValues ?? 'NONE') {
      case 'NONE':
        return {};
      case 'ALL_NEW':
        return { Attributes: item };
      default:
        throw new InvalidRequest(`nobody has asked for ${input.ReturnValues} so far`);
    }
  }

  batchGetItem({ RequestItems = {} }: BatchGetItemCommandInput): Pick<BatchGetItemCommandOutput, 'Responses'> {
    const responses = Object.entries(RequestItems).map(([table, { Keys = [], ConsistentRead }]) => {
      if (Keys.length > BATCH_GET_MAX) throw new InvalidRequest('too many keys');
      const keys = new Map(Keys.map((key) => [nameOfKey(keyOf(key)), keyOf(key)]));
      if (keys.size < Keys.length) throw new InvalidRequest('a key is there twice');
      const read = (key: Key) => (ConsistentRead === true ? this.#read(key) : this.#readOld(key));
      const items = [...keys.values()].map(read).filter((item) => item !== undefined);
      return [table, items] as const;
    });
    return { Responses: Object.fromEntries(responses) };
  }

  batchWriteItem({
    RequestItems = {},
  }: BatchWriteItemCommandInput): Pick<BatchWriteItemCommandOutput, 'UnprocessedItems'> {
    for (const requests of Object.values(RequestItems)) {
      if (requests.length === 0 || requests.length > BATCH_WRITE_MAX)
        throw new InvalidRequest('too many requests, or none');
      const writes = requests.map(({ PutRequest, DeleteRequest }) =>
        PutRequest === undefined
          ? { key: keyOf(DeleteRequest?.Key), item: undefined }
          : { key: keyOf(PutRequest.Item), item: validItem(PutRequest.Item) },
      );
      if (new Set(writes.map(({ key }) => nameOfKey(key))).size < writes.length) {
        throw new InvalidRequest('two writes of one item in one batch');
      }
      for (const { key, item } of writes) this.#write(key, item);
    }
    return { UnprocessedItems: {} };
  }

  query(input: QueryCommandInput): Answer {
    const bound = boundOf(input);
    const condition = conditionOf(input.KeyConditionExpression ?? '');
    const projection = input.ProjectionExpression === undefined ? [] : [projectionOf(input.ProjectionExpression)];
    refuseUnused(bound, [condition, ...projection]);
    if (input.FilterExpression !== undefined) throw new InvalidRequest('nobody has filtered so far');
    if (input.IndexName !== undefined && input.ConsistentRead === true) {
      throw new InvalidRequest('an index is read eventually consistently');
    }
    const candidates = input.IndexName === undefined ? this.#partition(input, bound) : this.#index.entries();
    const matching = candidates.filter((item) => condition.meaning(item, bound));
    if (input.ScanIndexForward === false) matching.reverse();
    const start = input.ExclusiveStartKey && nameOfKey(keyOf(input.ExclusiveStartKey));
    const from = start === undefined ? 0 : matching.findIndex((item) => nameOfKey(keyOf(item)) === start) + 1;
    return this.#page(matching.slice(from), input);
  }

  scan(input: ScanCommandInput): Answer {
    return this.#page([...this.items()], input);
  }

  #page(items: readonly StoredItem[], input: QueryCommandInput | ScanCommandInput): Answer {
    const { Limit = Number.POSITIVE_INFINITY } = input;
    const page: StoredItem[] = [];
    let bytes = 0;
    for (const item of items) {
      if (page.length >= Limit || bytes > PAGE_MAX_BYTES) break;
      page.push(item);
      bytes += bytesOfItem(item);
    }
    const last = page.at(-1);
    // As DynamoDB does it: who stops because of a limit does not know that nothing follows.
    const isCut = page.length < items.length || page.length === Limit;
    const start = isCut && last !== undefined && { LastEvaluatedKey: startKey(last, 'IndexName' in input) };
    return {
      Items: page.map((item) => this.#projected(item, input)),
      Count: page.length,
      ScannedCount: page.length,
      ...start,
    };
  }

  /** The items of the one partition that a query can be about, in the order of their sort keys. */
  #partition(input: QueryCommandInput, { values }: Bound): StoredItem[] {
    const placeholder = /^\s*pk\s*=\s*(:\w+)/.exec(input.KeyConditionExpression ?? '')?.[1];
    const pk = placeholder === undefined ? undefined : values[placeholder]?.S;
    if (pk === undefined) throw new InvalidRequest('a query names its partition first');
    const partition = this.#partitions.get(pk) ?? new Map<string, StoredItem>();
    return [...partition].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
  }

  #projected(item: StoredItem, input: { ProjectionExpression?: string | undefined } & Placeholders): StoredItem {
    if (input.ProjectionExpression === undefined) return item;
    const bound = boundOf(input);
    let shown: StoredItem = {};
    for (const path of projectionOf(input.ProjectionExpression).meaning) {
      const value = valueAt(item, path, bound);
      if (value !== undefined) shown = withAt(shown, path, value, bound);
    }
    return shown;
  }

  #check(input: { ConditionExpression?: string | undefined } & Placeholders, before: StoredItem | undefined): void {
    if (input.ConditionExpression === undefined) return;
    const bound = boundOf(input);
    const condition = conditionOf(input.ConditionExpression);
    refuseUnused(bound, [condition]);
    if (!condition.meaning(before ?? {}, bound)) throw conditionFailed();
  }

  #read({ pk, sk }: Key): StoredItem | undefined {
    return this.#partitions.get(pk)?.get(sk);
  }

  /** An eventually consistent read: perhaps what was there a moment ago. */
  #readOld(key: Key): StoredItem | undefined {
    const former = this.#former.get(nameOfKey(key));
    const asOfMs = this.#options.now() - (this.#options.readAgeMs?.() ?? 0);
    return former !== undefined && former.untilMs > asOfMs ? former.item : this.#read(key);
  }

  #write(key: Key, after: StoredItem | undefined): void {
    const { pk, sk } = key;
    const before = this.#read(key);
    let partition = this.#partitions.get(pk);
    if (partition === undefined) {
      partition = new Map();
      this.#partitions.set(pk, partition);
    }
    if (after === undefined) partition.delete(sk);
    else partition.set(sk, after);
    if (partition.size === 0) this.#partitions.delete(pk);
    if (this.#options.readAgeMs !== undefined) {
      this.#former.set(nameOfKey(key), { item: before, untilMs: this.#options.now() });
    }
    this.#index.note(nameOfKey(key), before, after);
    for (const watcher of this.#watchers) watcher({ pk, sk, before, after });
  }
}

interface Placeholders {
  ExpressionAttributeNames?: Record<string, string> | undefined;
  ExpressionAttributeValues?: Record<string, AttributeValue> | undefined;
}

function boundOf({ ExpressionAttributeNames = {}, ExpressionAttributeValues = {} }: Placeholders): Bound {
  return { names: ExpressionAttributeNames, values: ExpressionAttributeValues };
}

/** DynamoDB refuses what names something for nothing. */
function refuseUnused({ names, values }: Bound, used: readonly Parsed<unknown>[]): void {
  for (const placeholder of [...Object.keys(names), ...Object.keys(values)]) {
    if (!used.some(({ placeholders }) => placeholders.has(placeholder))) {
      throw new InvalidRequest(`nobody uses ${placeholder}`);
    }
  }
}

function refuseEmptySets({ values }: Bound): void {
  for (const value of Object.values(values)) {
    if ((value.SS ?? value.NS ?? value.BS) !== undefined && membersOf(value).size === 0) {
      throw new InvalidRequest('a set is not empty');
    }
  }
}

function keyOf(item: Readonly<Record<string, AttributeValue>> | undefined): Key {
  const pk = item?.['pk']?.S;
  const sk = item?.['sk']?.S;
  if (pk === undefined || sk === undefined || pk === '' || sk === '') throw new InvalidRequest('a key is missing');
  return { pk, sk };
}

function nameOfKey({ pk, sk }: Key): string {
  return `${pk}\n${sk}`;
}

function startKey(item: StoredItem, isIndex: boolean): StoredItem {
  const names = isIndex ? ['pk', 'sk', 'dueShard', 'dueAt'] : ['pk', 'sk'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = item[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function validItem(item: StoredItem | undefined): StoredItem {
  if (item === undefined) throw new InvalidRequest('there is no item');
  keyOf(item);
  if (item['dueShard'] !== undefined && item['dueShard'].S === undefined)
    throw new InvalidRequest('dueShard is no text');
  if (item['dueAt'] !== undefined && item['dueAt'].N === undefined) throw new InvalidRequest('dueAt is no number');
  if (bytesOfItem(item) > ITEM_MAX_BYTES) throw new InvalidRequest('Item size has exceeded the maximum allowed size');
  return item;
}

function withAt(item: StoredItem, path: Path, value: AttributeValue, bound: Bound): StoredItem {
  const [first, ...rest] = path;
  if (typeof first !== 'string' || rest.some((step) => typeof step === 'number')) {
    throw new InvalidRequest('nobody has asked for a place in a list so far');
  }
  const name = nameOf(first, bound);
  const inner = rest.length === 0 ? value : { M: { ...withAt(item[name]?.M ?? {}, rest, value, bound) } };
  return { ...item, [name]: inner };
}

function conditionFailed(): ConditionalCheckFailedException {
  return new ConditionalCheckFailedException({ message: 'The conditional request failed', $metadata: {} });
}
