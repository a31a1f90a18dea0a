import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, end, nextMessage } from '../ask.ts';
import type { StackAddress } from './protocol.ts';

export interface StackProcess extends StackAddress {
  /** Runs the scheduled functions once, now. */
  tick(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the local stack, from what is in `dist`. What it logs goes nowhere but for errors. */
export async function startStackProcess(): Promise<StackProcess> {
  const child = fork(fileURLToPath(new URL('main.ts', import.meta.url)), {
    // None of the settings that somebody may have made here.
    env: {},
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const address = await nextMessage<StackAddress>(child);
  return {
    ...address,
    tick: async () => {
      await ask(child, { kind: 'tick' });
    },
    close: () => end(child),
  };
}
