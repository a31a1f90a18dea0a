import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, end, nextMessage } from '../ask.ts';
import type { Invocation } from './protocol.ts';

export interface FunctionProcess {
  /** Peak resident set when it was loaded, before any invocation. */
  readonly loadedBytes: number;
  /** Invokes the function once. */
  invoke(event: object): Promise<Invocation>;
  close(): Promise<void>;
}

/** Starts a built function in a process of its own. What it logs goes nowhere. */
export async function startFunction(
  file: string,
  environment: Readonly<Record<string, string>>,
): Promise<FunctionProcess> {
  const child = fork(fileURLToPath(new URL('main.mjs', import.meta.url)), [file], {
    env: environment,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const { loadedBytes } = await nextMessage<{ readonly loadedBytes: number }>(child);
  return {
    loadedBytes,
    invoke: (event) => ask<Invocation>(child, { event: JSON.stringify(event) }),
    close: () => end(child),
  };
}
