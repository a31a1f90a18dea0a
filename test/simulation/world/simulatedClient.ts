import {
  BatchGetItemCommand,
  type BatchGetItemCommandInput,
  BatchWriteItemCommand,
  type BatchWriteItemCommandInput,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { InvalidRequest } from '../table/expressions.ts';
import type { SimulatedTable } from '../table/simulatedTable.ts';
import type { Chance } from './chance.ts';
import type { Process } from './process.ts';
import type { Tally } from './tally.ts';
import type { Timeline } from './timeline.ts';
import type { TableFault, Weather } from './weather.ts';

/** The SDK as `clientOptions` in `lib/platform/awsClients.ts` has it: so many tries of one request, each given up after so long. */
const MAX_TRIES = 3;
const TIMEOUT_MS = 1_200;
/**
 * The governor promises for round trips up to half an interval, but never for more than 250 ms, of which the clocks take their
 * share: a request to the budget's cell is not slowed down beyond this.
 */
const RATE_TRIP_MS = 60;

type Command =
  | GetItemCommand
  | PutItemCommand
  | UpdateItemCommand
  | QueryCommand
  | BatchGetItemCommand
  | BatchWriteItemCommand;

export interface SimulatedClientOptions {
  readonly process: Process;
  readonly table: SimulatedTable;
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly faults: Tally;
  /** What goes wrong just now. */
  readonly weather: () => Weather;
  /** Whether the table refuses everything just now. */
  readonly isDown: () => boolean;
  /** Told of every request that has come to nothing after all tries. */
  readonly onFailure: (pk: string) => void;
  /** Told of every answer that has arrived. */
  readonly onAnswer: (command: Command, answer: unknown) => void;
  /** Changes a command on its way: a table that is broken on purpose. */
  readonly alter?: (command: Command) => Command;
}

/** What an instance of the bridge has for a `DynamoDBClient`: the simulated table, behind a network that fails. */
export function simulatedClient(options: SimulatedClientOptions): DynamoDBClient {
  const client = new SimulatedClient(options);
  // All that the bridge uses of it.
  return { send: (command: Command) => client.send(command) } as unknown as DynamoDBClient;
}

class SimulatedClient {
  readonly #options: SimulatedClientOptions;

  constructor(options: SimulatedClientOptions) {
    this.#options = options;
  }

  async send(original: Command): Promise<unknown> {
    const { process, chance, onFailure, onAnswer, alter = (command) => command } = this.#options;
    const command = alter(original);
    for (let tries = 1; ; tries += 1) {
      try {
        const answer = await process.send(() => this.#attempt(command));
        onAnswer(command, answer);
        return answer;
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) throw error;
        if (error instanceof InvalidRequest || error instanceof SyntaxError || tries === MAX_TRIES) {
          onFailure(partitionOf(command));
          throw error;
        }
        await process.clock.sleep(chance.between(1, 100 * 2 ** tries));
      }
    }
  }

  #attempt(command: Command): Promise<unknown> {
    const { process, timeline, chance, weather, isDown } = this.#options;
    const fault = this.#faultOf(command, weather());
    const isRate = partitionOf(command).startsWith('RATE#');
    const slowMs = fault === 'slow' ? chance.between(20, isRate ? RATE_TRIP_MS : TIMEOUT_MS) : 0;
    const lateMs = fault === 'arrived after it was given up' ? TIMEOUT_MS + chance.between(0, 2_000) : 0;
    const wayThereMs = chance.between(0.5, 6) + slowMs / 2 + lateMs;
    const wayBackMs = chance.between(0.5, 6) + slowMs / 2;
    return new Promise((resolve, reject) => {
      const answered = timeline.after(TIMEOUT_MS, () =>
        process.deliver(() => reject(Object.assign(new Error('too late'), { name: 'TimeoutError' }))),
      );
      timeline.after(wayThereMs, () => {
        const outcome = isDown() ? failed('InternalServerError') : this.#carriedOut(command, fault);
        timeline.note(`${process.name} ${command.constructor.name} ${partitionOf(command)} ${outcome.kind}`);
        const arrive = () => (outcome.kind === 'answer' ? resolve(outcome.answer) : reject(outcome.error));
        timeline.after(wayBackMs, () => {
          answered();
          process.deliver(arrive);
        });
      });
    });
  }

  #faultOf(command: Command, { table }: Weather): TableFault | undefined {
    const { chance, faults } = this.#options;
    for (const [fault, probability] of Object.entries(table) as [TableFault, number][]) {
      if (probability === 0 || !chance.happens(probability)) continue;
      const isBatch = command instanceof BatchGetItemCommand || command instanceof BatchWriteItemCommand;
      if (fault === 'batch done in part' && !isBatch) continue;
      faults.add(`table: ${fault}`);
      return fault;
    }
    return undefined;
  }

  #carriedOut(command: Command, fault: TableFault | undefined): Outcome {
    if (fault === 'throttled') return failed('ProvisionedThroughputExceededException');
    if (fault === 'failed before it took effect') return failed('InternalServerError');
    if (fault === 'connection cut') return failed('TimeoutError', 'ECONNRESET');
    try {
      const answer = this.#execute(command, fault === 'batch done in part');
      return fault === 'acknowledgement lost' ? failed('TimeoutError', 'ECONNRESET') : { kind: 'answer', answer };
    } catch (error) {
      return { kind: 'error', error };
    }
  }

  #execute(command: Command, isInPart: boolean): unknown {
    const { table } = this.#options;
    if (command instanceof GetItemCommand) return table.getItem(command.input);
    if (command instanceof PutItemCommand) return table.putItem(command.input);
    if (command instanceof UpdateItemCommand) return table.updateItem(command.input);
    if (command instanceof QueryCommand) return table.query(command.input);
    if (command instanceof BatchGetItemCommand)
      return isInPart ? this.#getInPart(command.input) : table.batchGetItem(command.input);
    if (command instanceof BatchWriteItemCommand)
      return isInPart ? this.#writeInPart(command.input) : table.batchWriteItem(command.input);
    throw new TypeError('the bridge has not sent such a command so far');
  }

  #getInPart({ RequestItems = {} }: BatchGetItemCommandInput): unknown {
    const { table, chance } = this.#options;
    const [[name, { Keys = [], ...rest }] = ['', {}]] = Object.entries(RequestItems);
    const done = Keys.filter(() => chance.happens(0.5));
    const left = Keys.filter((key) => !done.includes(key));
    return {
      ...(done.length > 0 && table.batchGetItem({ RequestItems: { [name]: { ...rest, Keys: done } } })),
      ...(left.length > 0 && { UnprocessedKeys: { [name]: { ...rest, Keys: left } } }),
    };
  }

  #writeInPart({ RequestItems = {} }: BatchWriteItemCommandInput): unknown {
    const { table, chance } = this.#options;
    const [[name, requests] = ['', []]] = Object.entries(RequestItems);
    const done = requests.filter(() => chance.happens(0.5));
    const left = requests.filter((request) => !done.includes(request));
    if (done.length > 0) table.batchWriteItem({ RequestItems: { [name]: done } });
    return left.length > 0 ? { UnprocessedItems: { [name]: left } } : {};
  }
}

type Outcome =
  | { readonly kind: 'answer'; readonly answer: unknown }
  | { readonly kind: 'error'; readonly error: unknown };

function failed(name: string, code?: string): Outcome {
  const error = Object.assign(new Error('the table is simulated'), { name, ...(code !== undefined && { code }) });
  return { kind: 'error', error };
}

/** The partition that a command is about, or the first of them. */
export function partitionOf({ input }: Command): string {
  if ('Key' in input) return input.Key?.['pk']?.S ?? '';
  if ('Item' in input) return input.Item?.['pk']?.S ?? '';
  if ('KeyConditionExpression' in input) return input.ExpressionAttributeValues?.[':pk']?.S ?? '';
  const [first] = Object.values(('RequestItems' in input && input.RequestItems) || {});
  if (Array.isArray(first)) return (first[0]?.PutRequest?.Item ?? first[0]?.DeleteRequest?.Key)?.['pk']?.S ?? '';
  return first?.Keys?.[0]?.['pk']?.S ?? '';
}
