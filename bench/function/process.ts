import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, end, nextMessage } from '../ask.ts';
import type { Invocation } from './protocol.ts';

export interface FunctionProcess {
  /** Peak resident set when it was loaded, before any invocation. */
  readonly loadedBytes: number;
  /** Invokes the function once. The answer's body is handed over on request only: that takes memory of its process. */
  invoke(event: object, options?: { readonly wantsBody: boolean }): Promise<Invocation>;
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
    invoke: (event, { wantsBody } = { wantsBody: false }) =>
      ask<Invocation>(child, { event: JSON.stringify(event), wantsBody }),
    close: () => end(child),
  };
}
