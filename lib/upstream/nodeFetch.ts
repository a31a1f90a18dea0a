import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { constants, createGunzip } from 'node:zlib';
import type { Fetch } from './httpClient.ts';

/** Connections without a request are closed after this (milliseconds), or earlier where the server says so. */
const IDLE_MS = 4_000;
/** Firewalls in front of a tenant may turn away who does not say what he is. */
const USER_AGENT = 'Context-Bridge/1';

/**
 * `fetch` by Node's own client for HTTP/1.1, which the AWS SDK uses as well: in Lambda, where a process sleeps between an
 * invocation's requests, the platform's `fetch` comes with code and streams of its own that nothing else has touched (ADR 0020).
 *
 * Follows no redirect, and fails with the system's codes. The body ends with an error where the connection is cut.
 */
export function createNodeFetch(): Fetch {
  const http = { send: httpRequest, agent: new HttpAgent({ keepAlive: true, timeout: IDLE_MS }) };
  const https = { send: httpsRequest, agent: new HttpsAgent({ keepAlive: true, timeout: IDLE_MS }) };
  return async (address, { method, headers, body, signal }) => {
    const url = new URL(address);
    const { send, agent } = url.protocol === 'https:' ? https : http;
    // That a connection has been closed meanwhile shows within one turn of the event loop: before anything is written to it.
    if (Object.keys(agent.freeSockets).length > 0) await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      let content: Readable | undefined;
      const sent = { ...headers, 'accept-encoding': 'gzip', 'user-agent': USER_AGENT };
      const request = send(url, { method, headers: sent, agent }, (incoming) => {
        // Whoever reads it is told of errors; that nobody reads it yet is none.
        content = decoded(incoming)
          .on('error', () => undefined)
          .on('close', forget);
        resolve({
          status: incoming.statusCode ?? 0,
          headers: { get: (name) => incoming.headers[name]?.toString() ?? null },
          body: content,
        });
      });
      // Of what has come already the rest would pass for its end: whoever reads it is to be told.
      const giveUp = () => (content ?? request).destroy(signal.reason);
      const forget = () => signal.removeEventListener('abort', giveUp);
      signal.addEventListener('abort', giveUp);
      request.on('error', reject).on('close', () => {
        if (content === undefined) forget();
        // Where it is something else than an answer, as after 101, nothing else says so.
        reject(new Error('closed without an answer'));
      });
      // As bytes: with text Node would write the headers in its encoding as well, and an ETag is to go back byte for byte.
      request.end(body === undefined ? undefined : Buffer.from(body));
    });
  };
}

/** What is asked for, by both of its names (RFC 9110 8.4.1.3). Any other coding is left to be no JSON. */
const GZIP = /^(?:x-)?gzip$/i;

function decoded(answer: IncomingMessage): Readable {
  if (!GZIP.test(answer.headers['content-encoding'] ?? '')) return answer;
  // An answer without a body is no archive, and none that was cut off either: whoever reads it sees whether it is whole.
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  return pipeline(answer, gunzip, () => undefined);
}
