import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { listenOnLoopback } from '../../../infra/local/listen.ts';
import { guardedPost, type Resolve } from '../../../lib/events/guardedPost.ts';
import { type Clock, systemClock } from '../../../lib/platform/clock.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function serve(listener: RequestListener): Promise<URL> {
  const server = await listenOnLoopback(createServer(listener), 0);
  opened.push(server);
  return new URL(server.url);
}

const REQUEST = {
  headers: { 'content-type': 'application/json', 'webhook-id': 'msg' },
  body: '{"ä":1}',
  timeoutMs: 5_000,
};
const answering =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

const post = (
  url: string | URL,
  {
    resolve,
    allowPrivate = true,
    clock = systemClock,
  }: { resolve?: Resolve; allowPrivate?: boolean; clock?: Clock } = {},
) => guardedPost({ ...REQUEST, url: String(url) }, { allowPrivate, clock, ...(resolve && { resolve }) });

/** Its time is up as soon as anybody waits for it. */
const impatient = (until: Promise<unknown>): Clock => ({ ...systemClock, sleep: () => until.then(() => undefined) });

describe('guardedPost', () => {
  it('posts the body with its headers to the address that was resolved, under the name it was given', async () => {
    const got: unknown[] = [];
    const { port } = await serve((request, answer) => {
      const chunks: Uint8Array[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        got.push({
          method: request.method,
          url: request.url,
          headers: request.headers,
          body: String(Buffer.concat(chunks)),
        });
        answer.writeHead(204).end();
      });
    });
    const resolved: string[] = [];
    const resolve: Resolve = async (hostname) => {
      resolved.push(hostname);
      return [{ address: '127.0.0.1', family: 4 }];
    };
    expect(await post(`http://crm.example:${port}/hook?a=1`, { resolve })).toEqual({ kind: 'answer', status: 204 });
    expect(resolved).toEqual(['crm.example']);
    expect(got).toEqual([
      {
        method: 'POST',
        url: '/hook?a=1',
        body: REQUEST.body,
        headers: {
          ...REQUEST.headers,
          'content-length': '8',
          host: `crm.example:${port}`,
          connection: 'close',
        },
      },
    ]);
  });

  it.each([
    ['a private address', ['10.0.0.1']],
    ['a public and a private one', ['93.184.216.34', '127.0.0.1']],
    ['a private one behind IPv6', ['2606:4700:4700::1111', '::ffff:10.0.0.1']],
    ['the metadata service', ['169.254.169.254']],
  ])('SCENARIO 40: refuses a name that resolves to %s', async (_what, addresses) => {
    const outcome = await post('https://crm.example/', { allowPrivate: false, resolve: answering(...addresses) });
    expect(outcome).toEqual({ kind: 'refused', reason: 'private-address' });
  });

  it.each([
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://017700000001/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[fd00:ec2::254]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://0/',
  ])('SCENARIO 40: refuses an address in the URL, however it is written: %s', async (url) => {
    const resolve: Resolve = () => Promise.reject(new Error('nothing to resolve'));
    expect(await post(url, { allowPrivate: false, resolve })).toEqual({ kind: 'refused', reason: 'private-address' });
  });

  it('SCENARIO 40: refuses localhost by the system resolver', async () => {
    expect(await post('https://localhost/', { allowPrivate: false })).toEqual({
      kind: 'refused',
      reason: 'private-address',
    });
  });

  it('SCENARIO 40: asks the resolver once: an answer that changes afterwards changes nothing', async () => {
    const { port } = await serve((_request, answer) => void answer.end());
    let asked = 0;
    const resolve: Resolve = async () => {
      asked += 1;
      return [{ address: asked === 1 ? '127.0.0.1' : '192.0.2.1', family: 4 }];
    };
    expect(await post(`http://crm.example:${port}/`, { resolve })).toEqual({ kind: 'answer', status: 200 });
    expect(asked).toBe(1);
  });

  it('SCENARIO 23, 40: does not follow a redirect', async () => {
    let calls = 0;
    const url = await serve((_request, answer) => {
      calls += 1;
      answer.writeHead(307, { location: '/elsewhere' }).end();
    });
    expect(await post(url)).toEqual({ kind: 'answer', status: 307 });
    expect(calls).toBe(1);
  });

  it.each([
    ['http, although private destinations are not permitted', 'http://crm.example/', 'not-https'],
    ['another protocol', 'ftp://crm.example/', 'not-https'],
    ['credentials', 'https://user:secret@crm.example/', 'credentials'],
    ['what is no URL', 'crm.example', 'not-a-url'],
  ])('refuses %s', async (_what, url, reason) => {
    const outcome = await post(url, { allowPrivate: false, resolve: answering('93.184.216.34') });
    expect(outcome).toEqual({ kind: 'refused', reason });
  });

  it('opens a connection for each request', async () => {
    const ports = new Set<number | undefined>();
    const url = await serve((request, answer) => {
      ports.add(request.socket.remotePort);
      answer.end();
    });
    await post(url);
    await post(url);
    expect(ports.size).toBe(2);
  });

  it('reads no more of an answer than 64 KiB, and believes its status', async () => {
    let written = 0;
    const url = await serve((_request, answer) => {
      answer.writeHead(200);
      const chunk = Buffer.alloc(16 * 1_024);
      const more = () => {
        while (!answer.destroyed) {
          written += chunk.byteLength;
          if (!answer.write(chunk)) return void answer.once('drain', more);
        }
      };
      more();
    });
    expect(await post(url)).toEqual({ kind: 'answer', status: 200 });
    expect(written).toBeLessThan(16 * 1_024 * 1_024);
  });

  it('gives up when its time is over, before and after the headers of the answer', async () => {
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const silent = await serve(() => arrived());
    expect(await post(silent, { clock: impatient(arrival) })).toEqual({ kind: 'failed', code: 'TIMEOUT' });
    const never: Resolve = () => new Promise(() => {});
    expect(await post('http://crm.example/', { resolve: never, clock: impatient(Promise.resolve()) })).toEqual({
      kind: 'failed',
      code: 'TIMEOUT',
    });
  });

  it('has its answer with the status, although the body never ends', async () => {
    let answered = () => {};
    const began = new Promise<void>((resolve) => {
      answered = resolve;
    });
    const endless = await serve((_request, answer) => {
      answer.writeHead(200).write('and so on', answered);
    });
    // Another exchange from end to end: what was on its way before has arrived then.
    const other = await serve((_request, answer) => answer.end());
    const later = began.then(() => post(other));
    const clock = impatient(later);
    expect(await post(endless, { clock })).toEqual({ kind: 'answer', status: 200 });
  });

  it('fails by a code: no such host, nobody there, a connection that is cut, no HTTP', async () => {
    const lost: Resolve = () => Promise.reject(Object.assign(new Error('secret.example'), { code: 'ENOTFOUND' }));
    expect(await post('http://crm.example/', { resolve: lost })).toEqual({ kind: 'failed', code: 'ENOTFOUND' });
    expect(await post('http://crm.example/', { resolve: answering() })).toEqual({ kind: 'failed', code: 'ENOTFOUND' });
    const cut = await serve((request) => request.socket.destroy());
    expect(await post(cut)).toEqual({ kind: 'failed', code: 'ECONNRESET' });
    const babble = await serve((request) => void request.socket.end('hello\r\n\r\n'));
    expect(await post(babble)).toMatchObject({ kind: 'failed', code: expect.stringMatching(/^HPE_/) });
  });

  it('tells a TLS server whose certificate it wants: that of the name, not of the address', async () => {
    const hello = await new Promise<string>((resolve) => {
      const server = createTcpServer((socket) => {
        socket.once('data', (bytes) => {
          resolve(bytes.toString('latin1'));
          socket.destroy();
          server.close();
        });
      });
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as AddressInfo;
        void post(`https://crm.example:${port}/`, { resolve: answering('127.0.0.1') });
      });
    });
    expect(hello).toContain('crm.example');
  });
});
