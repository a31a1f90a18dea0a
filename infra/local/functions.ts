import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
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
}

/** A function that can be invoked. Rejects when the handler throws or does not answer in its time. */
export type Invoke = (event: unknown) => Promise<unknown>;

interface ServerlessFunction {
  readonly timeout: number;
  readonly events?: readonly { readonly httpApi?: string; readonly schedule?: string }[];
}

/** What is deployed is what runs here: functions, routes and timeouts come from `serverless.yml`. */
export function functionDefinitions(): FunctionDefinition[] {
  const file = new URL('../../serverless.yml', import.meta.url);
  const { functions } = parse(readFileSync(file, 'utf8'), { logLevel: 'silent' }) as {
    functions: Record<string, ServerlessFunction>;
  };
  return Object.entries(functions).map(([name, { timeout, events = [] }]) => ({
    name,
    timeoutMs: timeout * 1_000,
    routes: events.flatMap(({ httpApi }) => (httpApi === undefined ? [] : [httpApi])),
    isScheduled: events.some(({ schedule }) => schedule !== undefined),
  }));
}

let loads = 0;

/**
 * Loads a built function as a fresh instance, as a cold start would: it reads the environment now.
 * Several invocations share the instance, as on Lambda Managed Instances.
 */
export async function loadFunction({
  name,
  timeoutMs,
}: Pick<FunctionDefinition, 'name' | 'timeoutMs'>): Promise<Invoke> {
  loads += 1;
  const file = fileURLToPath(new URL(`../../dist/${name}/index.mjs`, import.meta.url));
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
