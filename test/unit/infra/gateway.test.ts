import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createGateway } from '../../../infra/local/gateway.ts';
import { type LocalServer, listenOnLoopback } from '../../../infra/local/listen.ts';

let server: LocalServer | undefined;
afterEach(() => server?.close());

describe('the local gateway', () => {
  it('goes on when a client hangs up in the middle of its body', async () => {
    const gateway = createGateway();
    gateway.serve([{ routeKey: 'POST /a', invoke: async () => ({ statusCode: 204 }) }]);
    server = await listenOnLoopback(gateway.server, 0);
    const begun = once(gateway.server, 'request');
    const socket = connect(server.port, '127.0.0.1', () => {
      socket.write('POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nnot all of it');
    });
    const [request] = await begun;
    const closed = new Promise((resolve) => request.once('close', resolve));
    socket.destroy();
    await closed;
    expect((await fetch(`${server.url}/a`, { method: 'POST', body: 'all of it' })).status).toBe(204);
  });
});
