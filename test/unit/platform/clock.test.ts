import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type ClientRequest, createServer } from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { listenOnLoopback } from '../../../infra/local/listen.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import { readText } from '../../../lib/upstream/httpClient.ts';
import { createNodeFetch } from '../../../lib/upstream/nodeFetch.ts';

/** Told by Node's client when a request is made; what has been written of it, its connection knows. */
const CREATED = 'http.client.request.created';

it('after a turn a request to the upstream has left, also over a connection that was idle', async () => {
  const server = await listenOnLoopback(
    createServer((_request, response) => response.end('{}')),
    0,
  );
  onTestFinished(() => server.close());
  const requests: ClientRequest[] = [];
  const note = (message: unknown) => requests.push((message as { request: ClientRequest }).request);
  subscribe(CREATED, note);
  onTestFinished(() => void unsubscribe(CREATED, note));
  const bytesWritten = () => requests.at(-1)?.socket?.bytesWritten ?? 0;
  const fetch = createNodeFetch();
  const ask = () =>
    fetch(server.url, { method: 'GET', headers: {}, redirect: 'manual', signal: new AbortController().signal });
  // The first one opens the connection, the second one finds it idle.
  await readText(await ask());
  const before = bytesWritten();
  expect(before).toBeGreaterThan(0);
  await systemClock.turn();

  // Begun, and not made before its token or the like has been looked up.
  const answered = Promise.resolve().then(ask);
  await systemClock.turn();
  expect(requests).toHaveLength(2);
  expect(requests[1]?.reusedSocket).toBe(true);
  expect(bytesWritten()).toBe(2 * before);
  await readText(await answered);
});
