import type { IncomingMessage, Server } from 'node:http';
import type {
  BatchGetItemCommandInput,
  BatchWriteItemCommandInput,
  DeleteItemCommandInput,
  GetItemCommandInput,
  PutItemCommandInput,
  QueryCommandInput,
  ScanCommandInput,
  UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { bodyOf, type LocalServer, listenOnLoopback, serverFor } from '../../../infra/local/listen.ts';
import { InvalidRequest } from './expressions.ts';
import { SimulatedTable } from './simulatedTable.ts';

/** Whatever a request says; which command it is for, its header says. */
type Input = GetItemCommandInput &
  PutItemCommandInput &
  DeleteItemCommandInput &
  UpdateItemCommandInput &
  QueryCommandInput &
  ScanCommandInput &
  BatchGetItemCommandInput &
  BatchWriteItemCommandInput;

/** The simulated table over DynamoDB's JSON protocol, so that the real SDK can put the contract of the stores to it. */
export function startSimulatedDatabase(): Promise<LocalServer> {
  return listenOnLoopback(createSimulatedDatabase(), 0);
}

/** As {@link startSimulatedDatabase}, not listening yet. */
export function createSimulatedDatabase(): Server {
  const tables = new Map<string, SimulatedTable>();
  return serverFor(async (request, response) => {
    const { status, body } = await answerTo(request, tables);
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
  });
}

async function answerTo(request: IncomingMessage, tables: Map<string, SimulatedTable>) {
  const operation = String(request.headers['x-amz-target']).split('.')[1] ?? '';
  try {
    const input: Input = JSON.parse(await bodyOf(request), decodeBinary);
    return { status: 200, body: withTextForBinary(execute(operation, input, tables)) };
  } catch (error) {
    return { status: 400, body: failureOf(error) };
  }
}

function execute(operation: string, input: Input, tables: Map<string, SimulatedTable>): unknown {
  const name = input.TableName ?? Object.keys(input.RequestItems ?? {})[0] ?? '';
  if (operation === 'CreateTable') {
    tables.set(name, new SimulatedTable());
    return { TableDescription: { TableName: name, TableStatus: 'ACTIVE' } };
  }
  const table = tables.get(name);
  if (table === undefined) throw Object.assign(new Error('no such table'), { name: 'ResourceNotFoundException' });
  switch (operation) {
    case 'DescribeTable':
      return { Table: { TableName: name, TableStatus: 'ACTIVE' } };
    case 'GetItem':
      return table.getItem(input);
    case 'PutItem':
      return table.putItem(input);
    case 'DeleteItem':
      return table.deleteItem(input);
    case 'UpdateItem':
      return table.updateItem(input);
    case 'Query':
      return table.query(input);
    case 'Scan':
      return table.scan(input);
    case 'BatchGetItem':
      return table.batchGetItem(input);
    case 'BatchWriteItem':
      return table.batchWriteItem(input);
    default:
      throw new InvalidRequest(`nobody has asked for ${operation} so far`);
  }
}

function failureOf(error: unknown): object {
  if (!(error instanceof Error)) throw error;
  const isInvalid = error instanceof InvalidRequest || error instanceof SyntaxError;
  return { __type: isInvalid ? 'com.amazon.coral.validate#ValidationException' : error.name, message: error.message };
}

/** Binary is Base64 on the wire, under the names of its types. An attribute of that name would be an object. */
function decodeBinary(name: string, value: unknown): unknown {
  if (name === 'B' && typeof value === 'string') return Buffer.from(value, 'base64');
  if (name === 'BS' && Array.isArray(value)) return value.map((text) => Buffer.from(String(text), 'base64'));
  return value;
}

function withTextForBinary(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(withTextForBinary);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withTextForBinary(member)]));
}
