import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Fetch, type Fetched, readText } from '../../lib/upstream/httpClient.ts';
import { createNodeFetch } from '../../lib/upstream/nodeFetch.ts';
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY } from '../fixtures/upstream/localhostCertificate.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => unknown;

/** Whom the servers below are to be taken for is trusted in this process alone. */
beforeAll(() => setDefaultCACertificates([...getCACertificates('default'), LOCALHOST_CERTIFICATE]));

/** What is used of `fetch` is the same of ours and of the platform's. */
describe.each<[name: string, scheme: 'http' | 'https', create: () => Fetch]>([
  ["Node's client for HTTP as a fetch", 'http', createNodeFetch],
  ["Node's client for HTTP as a fetch", 'https', createNodeFetch],
  ["the platform's fetch", 'http', () => globalThis.fetch],
  ["the platform's fetch", 'https', () => globalThis.fetch],
])('%s, %s', (name, scheme, create) => {
  const isOurs = name !== "the platform's fetch";
  let server: Server;
  let handler: Handler;
  let url: string;
  let sockets: Set<Socket>;
  const fetch = create();
  beforeEach(async () => {
    sockets = new Set();
    const answer = async (request: IncomingMessage, response: ServerResponse) => {
      sockets.add(request.socket);
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      handler(request, response, Buffer.concat(chunks).toString('utf8'));
    };
    const identity = { key: LOCALHOST_KEY, cert: LOCALHOST_CERTIFICATE };
    server = scheme === 'https' ? createTlsServer(identity, answer) : createServer(answer);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `${scheme}://localhost:${(server.address() as AddressInfo).port}/a%20b?x=%2F`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const ask = (init: Partial<Parameters<Fetch>[1]> = {}): Promise<Fetched> =>
    fetch(url, { method: 'GET', headers: {}, redirect: 'manual', signal: new AbortController().signal, ...init });

  it('sends method, path, headers and body as they are', async () => {
    const seen: unknown[] = [];
    handler = ({ method, url: path, headers }, response, body) => {
      const { 'if-match': ifMatch, 'content-type': type, 'content-length': length, host } = headers;
      seen.push([method, path, ifMatch, type, length, host, body]);
      response.end();
    };
    const body = '{"a":"ü 世界"}';

    await ask({ method: 'PUT', headers: { 'if-match': 'W/"\u00e9, 7"', 'content-type': 'application/json' }, body });
    await ask();

    const { host } = new URL(url);
    const bytes = String(Buffer.byteLength(body));
    expect(seen).toEqual([
      ['PUT', '/a%20b?x=%2F', 'W/"\u00e9, 7"', 'application/json', bytes, host, body],
      ['GET', '/a%20b?x=%2F', undefined, undefined, undefined, host, ''],
    ]);
  });

  it('tells status, headers by their names in lower case, and the body', async () => {
    handler = (_request, response) =>
      response.writeHead(409, { ETag: 'W/"\u00e9"', 'Retry-After': '3' }).end('{"b":"ü"}');

    const answer = await ask();

    expect(answer.status).toBe(409);
    expect(['etag', 'retry-after', 'x-other'].map((each) => answer.headers.get(each))).toEqual([
      'W/"\u00e9"',
      '3',
      null,
    ]);
    expect(await readText(answer)).toBe('{"b":"ü"}');
  });

  it.each([204, 200, 304])('knows an answer without a body: %i', async (status) => {
    handler = (_request, response) => response.writeHead(status).end();
    const answer = await ask();
    expect([answer.status, await readText(answer)]).toEqual([status, '']);
  });

  it('reads what comes in pieces, however they are cut', async () => {
    handler = async (_request, response) => {
      for (const byte of Buffer.from('"ü世"')) {
        response.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    };
    expect(await readText(await ask())).toBe('"ü世"');
  });

  it('says who asks', async () => {
    const seen: unknown[] = [];
    handler = ({ headers }, response) => {
      seen.push(headers['user-agent']);
      response.end();
    };
    await readText(await ask());
    expect(seen).toEqual([expect.stringMatching(isOurs ? /^Context-Bridge\/1$/ : /./)]);
  });

  it.each(['gzip', 'GZIP', 'x-gzip'])('takes a body that is compressed: %s', async (coding) => {
    const accepted: unknown[] = [];
    handler = ({ headers }, response) => {
      accepted.push(headers['accept-encoding']);
      response.writeHead(200, { 'content-encoding': coding }).end(gzipSync('{"c":"ü"}'));
    };
    expect(await readText(await ask())).toBe('{"c":"ü"}');
    expect(accepted).toEqual([expect.stringContaining('gzip')]);
  });

  it('does not read on where what comes unpacked is too large', async () => {
    handler = (_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(64 * 1024 * 1024)));
    expect(await readText(await ask())).toBeUndefined();
  });

  it('takes an answer for empty that says it is compressed and has no body', async () => {
    handler = (_request, response) => response.writeHead(204, { 'content-encoding': 'gzip' }).end();
    expect(await readText(await ask())).toBe('');
  });

  it('follows no redirect', async () => {
    const asked: unknown[] = [];
    handler = ({ url: path }, response) => {
      asked.push(path);
      response.writeHead(307, { location: '/elsewhere' }).end();
    };
    expect((await ask()).status).toBe(307);
    expect(asked).toHaveLength(1);
  });

  it('uses a connection again', async () => {
    handler = (_request, response) => response.end('{}');
    for (let times = 0; times < 3; times += 1) {
      await readText(await ask());
      // Where the body has ended the connection is free, a moment later.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sockets.size).toBe(1);
  });

  it('uses none that was closed meanwhile, although nobody has heard of that yet', async () => {
    handler = (_request, response) => response.end('{}');
    await readText(await ask());
    await new Promise((resolve) => setImmediate(resolve));
    for (const socket of sockets) socket.destroy();

    expect(await readText(await ask())).toBe('{}');
    expect(sockets.size).toBe(2);
  });

  it('fails where a connection becomes another protocol', async () => {
    handler = ({ socket }) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n');
    await expect(ask()).rejects.toThrow();
  });

  it('fails with the code of a connection that was cut, before an answer or in the middle of it', async () => {
    handler = ({ socket }) => socket.destroy();
    expect(['ECONNRESET', 'UND_ERR_SOCKET']).toContain(await codeOf(ask()));

    handler = ({ socket }, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{"a":');
      setImmediate(() => socket.destroy());
    };
    const answer = await ask();
    expect(['ECONNRESET', 'UND_ERR_SOCKET']).toContain(await codeOf(readText(answer)));
  });

  it('fails where a compressed body is cut off, or is none', async () => {
    handler = ({ socket }, response) => {
      response
        .writeHead(200, { 'content-encoding': 'gzip', 'content-length': '100' })
        .write(gzipSync('{}').subarray(0, 12));
      setImmediate(() => socket.destroy());
    };
    await expect(readText(await ask())).rejects.toThrow();

    handler = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('plain');
    await expect(readText(await ask())).rejects.toThrow();
  });

  it('fails where nobody listens', async () => {
    await new Promise((resolve) => server.close(resolve));
    expect(await codeOf(ask())).toBe('ECONNREFUSED');
  });

  it('gives up when it is told to: before it has begun, while it waits, and in the middle of a body', async () => {
    const cut = new Set<Socket>();
    const begun = Promise.withResolvers<void>();
    handler = ({ socket }, _response) => {
      socket.on('close', () => cut.add(socket));
      begun.resolve();
    };
    await expect(ask({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    expect(sockets.size).toBe(0);

    const waiting = new AbortController();
    const asked = ask({ signal: waiting.signal });
    await begun.promise;
    waiting.abort();
    await expect(asked).rejects.toThrow(/abort/i);

    handler = ({ socket }, response) => {
      socket.on('close', () => cut.add(socket));
      response.write('{');
    };
    const reading = new AbortController();
    const text = readText(await ask({ signal: reading.signal }));
    text.catch(() => undefined);
    reading.abort();
    await expect(text).rejects.toThrow(/abort/i);
    await expect.poll(() => cut.size).toBe(2);
  });

  it.each([
    ['', (text: string) => Buffer.from(text)],
    ['gzip', (text: string) => gzipSync(text)],
  ])(
    'takes nothing for the end of a body where it was told to give up, although all of it has come: "%s"',
    async (coding, pack) => {
      const text = JSON.stringify({ long: randomBytes(25_000).toString('hex') });
      const sent = Promise.withResolvers<void>();
      handler = (_request, response) =>
        response.writeHead(200, { 'content-encoding': coding }).end(pack(text), () => sent.resolve());
      const reading = new AbortController();

      const answer = await ask({ signal: reading.signal });
      await sent.promise;
      for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
      reading.abort();

      await expect(readText(answer)).rejects.toThrow();
    },
  );

  it('takes schemes as they come', async () => {
    handler = (_request, response) => response.end('{}');
    url = url.replace(scheme, scheme.toUpperCase());
    expect(await readText(await ask())).toBe('{}');
  });

  it.runIf(scheme === 'https')('fails where it is somebody else who answers', async () => {
    handler = (_request, response) => response.end('{}');
    url = url.replace('localhost', '127.0.0.1');
    expect(await codeOf(ask())).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it.runIf(isOurs)('refuses what is no address, and no header, without an exception of its own', async () => {
    await expect(
      fetch('nowhere', { method: 'GET', headers: {}, redirect: 'manual', signal: AbortSignal.timeout(1_000) }),
    ).rejects.toThrow(TypeError);
    await expect(ask({ headers: { authorization: 'a\nb' } })).rejects.toThrow(TypeError);
  });
});

async function codeOf(failing: Promise<unknown>): Promise<unknown> {
  const error: unknown = await failing.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  for (let each = error; each instanceof Error; each = each.cause) if ('code' in each) return each.code;
  return error;
}
