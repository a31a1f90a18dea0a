import { createServer, IncomingMessage, type ServerResponse } from 'node:http';
import dynalite from 'dynalite';
import { type LocalServer, listenOnLoopback } from '../../infra/local/listen.ts';
import { createSimulatedDatabase } from '../../test/simulation/table/server.ts';
import { delay } from './delay.ts';
import type { DatabaseEngine, DatabaseRequest } from './protocol.ts';

export interface DelayingDatabase extends LocalServer {
  /** Which table answers. */
  engine: DatabaseEngine;
  /** Added to every round trip, milliseconds. */
  delayMs: number;
  /** Whether each request also tells its cost. The database takes time to work that out, which does not belong in latencies. */
  countsCosts: boolean;
  /** Requests since the last call. */
  take(): DatabaseRequest[];
}

/**
 * A table on this machine behind a door of our own: every request waits there for as long as the network would take, and what it
 * costs is written down. In the database's own process, so that there is no second hop that would cost time of its own.
 */
export async function startDelayingDatabase(): Promise<DelayingDatabase> {
  const engines = {
    dynalite: dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 }),
    simulated: createSimulatedDatabase(),
  };
  let recorded: DatabaseRequest[] = [];
  const server = createServer(async (request, response) => {
    const body = await readBody(request);
    if (door.delayMs > 0) await delay(door.delayMs);
    const startedMs = performance.now();
    watchEnd(response, (answer) => {
      const servedMs = performance.now() - startedMs;
      recorded.push({ ...describe(request, body, response, answer), servedMs });
    });
    engines[door.engine].emit('request', asking(request, body, door.countsCosts), response);
  });
  const door: DelayingDatabase = {
    ...(await listenOnLoopback(server, 0)),
    engine: 'dynalite',
    delayMs: 0,
    countsCosts: true,
    take: () => {
      const taken = recorded;
      recorded = [];
      return taken;
    },
  };
  return door;
}

/** By events: an iterator would take time of its own. */
function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    request.on('error', reject);
  });
}

/** The same request, which also asks what it costs (the bridge itself does not ask). */
function asking(request: IncomingMessage, body: string, countsCosts: boolean): IncomingMessage {
  const copy = new IncomingMessage(request.socket);
  copy.method = request.method ?? 'POST';
  copy.url = request.url ?? '/';
  copy.headers = request.headers;
  const asksForCost = countsCosts && isCounted(operationOf(request));
  copy.push(asksForCost ? body.replace('{', '{"ReturnConsumedCapacity":"TOTAL",') : body);
  copy.push(null);
  copy.complete = true;
  return copy;
}

function watchEnd(response: ServerResponse, onEnd: (answer: string) => void): void {
  const { end } = response;
  response.end = ((answer: string) => {
    const ended = end.call(response, answer, 'utf8');
    onEnd(answer);
    return ended;
  }) as typeof end;
}

function describe(request: IncomingMessage, body: string, response: ServerResponse, answer: string) {
  const operation = operationOf(request);
  return {
    operation,
    status: response.statusCode,
    requestBytes: Buffer.byteLength(body),
    responseBytes: Buffer.byteLength(answer),
    units: isCounted(operation) ? unitsOf(answer) : 0,
    movesDueEntry: operation === 'UpdateItem' && /\bdueAt\b/.test(body),
  };
}

function operationOf(request: IncomingMessage): string {
  return String(request.headers['x-amz-target']).split('.')[1] ?? '';
}

function isCounted(operation: string): boolean {
  return /Item$|^Query$/.test(operation);
}

/** `ConsumedCapacity` of an answer: one, or a list of them for a batch. */
function unitsOf(answer: string): number {
  const { ConsumedCapacity: consumed = [] } = JSON.parse(answer);
  return [consumed].flat().reduce((units: number, { CapacityUnits }) => units + CapacityUnits, 0);
}
