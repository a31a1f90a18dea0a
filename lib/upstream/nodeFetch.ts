import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream';
import { constants, createGunzip } from 'node:zlib';
import type { Fetch } from './httpClient.ts';

/** Connections are kept this long without a request (milliseconds); as the platform's `fetch` does, unless the server says less. */
const IDLE_MS = 4_000;

/**
 * `fetch` by Node's own client for HTTP/1.1, which the AWS SDK uses as well: in Lambda, where a process sleeps between an
 * invocation's requests, the platform's `fetch` comes with code and streams of its own that nothing else has touched (ADR 0020).
 *
 * Follows no redirect, and refuses with the system's codes. The body ends with an error where the connection is cut.
 */
export function createNodeFetch(): Fetch {
  const http = new HttpAgent({ keepAlive: true, timeout: IDLE_MS });
  const https = new HttpsAgent({ keepAlive: true, timeout: IDLE_MS });
  return (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const isTls = url.startsWith('https:');
      const send = isTls ? httpsRequest : httpRequest;
      const agent = isTls ? https : http;
      const options = { method, headers: { ...headers, 'accept-encoding': 'gzip' }, agent };
      const onAnswer = (answer: IncomingMessage) =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: { get: (name) => answer.headers[name]?.toString() ?? null },
          body: decoded(answer),
        });
      signal.throwIfAborted();
      const request = send(url, options, onAnswer);
      const giveUp = () => request.destroy(signal.reason);
      signal.addEventListener('abort', giveUp);
      request.on('error', reject).on('close', () => signal.removeEventListener('abort', giveUp));
      // As bytes: with text Node would write the headers in its encoding as well, and an ETag is to go back byte for byte.
      request.end(body === undefined ? undefined : Buffer.from(body));
    });
}

function decoded(answer: IncomingMessage): AsyncIterable<Uint8Array> {
  if (answer.headers['content-encoding'] !== 'gzip') return answer;
  // An answer without a body is no archive, and none that was cut off either: whoever reads it sees whether it is whole.
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  return pipeline(answer, gunzip, () => undefined);
}
