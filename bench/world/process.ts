import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, end, nextMessage } from '../ask.ts';
import type { DatabaseEngine, Recorded, WorldAddress, WorldQuestion } from './protocol.ts';

export interface World extends WorldAddress {
  /** Lets round trips take this much longer from now on. */
  delay(delays: { readonly databaseMs: number; readonly upstreamMs: number }): Promise<void>;
  /** Has this table stand for DynamoDB from now on; dynalite until then. */
  use(engine: DatabaseEngine): Promise<void>;
  /** What has been recorded since the last time. */
  take(): Promise<Recorded>;
  close(): Promise<void>;
}

/** Starts database, upstream and secrets in a process of their own, so that they take neither time nor memory from a function. */
export async function startWorld(): Promise<World> {
  const child = fork(fileURLToPath(new URL('main.ts', import.meta.url)));
  const address = await nextMessage<WorldAddress>(child);
  return {
    ...address,
    delay: async (delays) => {
      await ask(child, { kind: 'delay', ...delays } satisfies WorldQuestion);
    },
    use: async (engine) => {
      await ask(child, { kind: 'use', engine } satisfies WorldQuestion);
    },
    take: () => ask<Recorded>(child, { kind: 'take' } satisfies WorldQuestion),
    close: () => end(child),
  };
}
