import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer } from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { listenOnLoopback } from '../../../infra/local/listen.ts';
import { systemClock } from '../../../lib/platform/clock.ts';

/** Told by Node's `fetch` when a request's head is written to its connection. */
const HEAD_WRITTEN = 'undici:client:sendHeaders';

it('after a turn a request by fetch has left, also over a connection that was idle', async () => {
  const server = await listenOnLoopback(
    createServer((_request, response) => response.end('{}')),
    0,
  );
  onTestFinished(() => server.close());
  let written = 0;
  const count = () => (written += 1);
  subscribe(HEAD_WRITTEN, count);
  onTestFinished(() => void unsubscribe(HEAD_WRITTEN, count));
  // The first one opens the connection, the second one finds it idle.
  await (await fetch(server.url)).text();
  expect(written).toBe(1);
  await systemClock.turn();

  // Begun, and not made before its token or the like has been looked up.
  const answered = Promise.resolve().then(() => fetch(server.url));
  await systemClock.turn();
  expect(written).toBe(2);
  await (await answered).text();
});
