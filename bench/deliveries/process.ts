import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ask, end, nextMessage } from '../ask.ts';
import type { World } from '../world/process.ts';
import type { WayOutAddress, WayOutQuestion, WayOutReport } from './protocol.ts';

export interface WayOut extends WayOutAddress {
  /** From now on the endpoint hangs. */
  hang(): Promise<void>;
  /** What has become of the events up to now. */
  tell(): Promise<WayOutReport>;
  close(): Promise<void>;
}

/** Starts a queue of prompts and who works it off, with an endpoint that wants to hear of events or without. What it logs goes nowhere but for errors. */
export async function startWayOut(
  { environment }: World,
  { hasEndpoint }: { readonly hasEndpoint: boolean },
): Promise<WayOut> {
  const child = fork(fileURLToPath(new URL('main.ts', import.meta.url)), hasEndpoint ? ['--endpoint'] : [], {
    // Deliveries are meant to fail here: nothing to warn of.
    env: { ...environment, POWERTOOLS_LOG_LEVEL: 'ERROR' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const address = await nextMessage<WayOutAddress>(child);
  return {
    ...address,
    hang: async () => {
      await ask(child, { kind: 'hang' } satisfies WayOutQuestion);
    },
    tell: () => ask<WayOutReport>(child, { kind: 'tell' } satisfies WayOutQuestion),
    close: () => end(child),
  };
}
