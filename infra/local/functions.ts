import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Context } from 'aws-lambda';
import { parse } from 'yaml';

/** One function of `serverless.yml`. */
export interface FunctionDefinition {
  readonly name: string;
  readonly timeoutMs: number;
  /** As in `GET /v1/sessions/{sessionId}`. */
  readonly routes: readonly string[];
  readonly isScheduled: boolean;
  /** Patterns of the events that it is for. */
  readonly eventPatterns: readonly EventPattern[];
  /** How often an event comes again when the function throws. */
  readonly maximumRetryAttempts: number;
  /** How many messages of the notify queue it takes at a time; absent where it takes none. */
  readonly batchSize?: number;
}

/** Values of which an event must have one, by the name of the member: `source`, `detail-type`. */
export type EventPattern = Readonly<Record<string, readonly string[]>>;

/** A function that can be invoked. Rejects when the handler throws or does not answer in its time. */
export type Invoke = (event: unknown) => Promise<unknown>;

interface ServerlessFunction {
  readonly timeout: number;
  readonly maximumRetryAttempts?: number;
  readonly events?: readonly {
    readonly httpApi?: string;
    readonly schedule?: string;
    readonly eventBridge?: { readonly pattern: EventPattern };
    readonly sqs?: { readonly batchSize: number };
  }[];
}

/** Lambda's own, where nothing is said. */
const DEFAULT_RETRY_ATTEMPTS = 2;

/** What is deployed is what runs here: functions, routes and timeouts come from `serverless.yml`. What has no handler is left out. */
export function functionDefinitions(): FunctionDefinition[] {
  const file = new URL('../../serverless.yml', import.meta.url);
  const hasHandler = (name: string) => existsSync(new URL(`../../functions/${name}/handler.ts`, import.meta.url));
  const { functions } = parse(readFileSync(file, 'utf8'), { logLevel: 'silent' }) as {
    functions: Record<string, ServerlessFunction>;
  };
  const existing = Object.entries(functions).filter(([name]) => hasHandler(name));
  return existing.map(([name, { timeout, maximumRetryAttempts, events = [] }]) => {
    const batchSize = events.find(({ sqs }) => sqs !== undefined)?.sqs?.batchSize;
    return {
      name,
      timeoutMs: timeout * 1_000,
      routes: events.flatMap(({ httpApi }) => (httpApi === undefined ? [] : [httpApi])),
      isScheduled: events.some(({ schedule }) => schedule !== undefined),
      eventPatterns: events.flatMap(({ eventBridge }) => (eventBridge === undefined ? [] : [eventBridge.pattern])),
      maximumRetryAttempts: maximumRetryAttempts ?? DEFAULT_RETRY_ATTEMPTS,
      ...(batchSize !== undefined && { batchSize }),
    };
  });
}

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));

let loads = 0;

/**
 * Loads a built function as a fresh instance, as a cold start would: it reads the environment now.
 * Several invocations share the instance, as on Lambda Managed Instances.
 */
export async function loadFunction(
  { name, timeoutMs }: Pick<FunctionDefinition, 'name' | 'timeoutMs'>,
  dist = DIST,
): Promise<Invoke> {
  loads += 1;
  const file = join(dist, name, 'index.mjs');
  const { handler } = await import(`${pathToFileURL(file).href}?instance=${loads}`);
  return async (event) => {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${name} timed out after ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      return await Promise.race([handler(event, contextFor(name, timeoutMs)), timeout]);
    } finally {
      clearTimeout(timer);
    }
  };
}

function contextFor(name: string, timeoutMs: number): Context {
  const endsAtMs = Date.now() + timeoutMs;
  return {
    awsRequestId: randomUUID(),
    callbackWaitsForEmptyEventLoop: false,
    functionName: name,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${name}`,
    logGroupName: `/aws/lambda/${name}`,
    logStreamName: 'local',
    memoryLimitInMB: '512',
    getRemainingTimeInMillis: () => Math.max(0, endsAtMs - Date.now()),
    done: () => undefined,
    fail: () => undefined,
    succeed: () => undefined,
  };
}
