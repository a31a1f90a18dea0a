import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server on this machine only. */
export interface LocalServer {
  readonly url: string;
  readonly port: number;
  /** Ends it, with every connection it has. */
  close(): Promise<void>;
}

/** An HTTP server. Who hangs up in the middle of a request has no answer, and nobody else notices. */
export function serverFor(handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Server {
  return createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (!request.socket.destroyed) console.error(error);
      response.destroy();
    });
  });
}

/** Everything that comes with a request. Rejects when it is cut off. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Listens on 127.0.0.1 and, where the machine has it, on ::1, so that `localhost` works however it resolves.
 * @throws the system's error (`EADDRINUSE`, `EACCES`) when the port cannot be had.
 */
export async function listenOnLoopback(server: Server, port: number): Promise<LocalServer> {
  await listen(server, port, '127.0.0.1');
  const taken = (server.address() as AddressInfo).port;
  const twin = createServer((request, response) => server.emit('request', request, response));
  const servers = await listen(twin, taken, '::1').then(
    () => [server, twin],
    (error: NodeJS.ErrnoException) => {
      // Somebody else's on the port that was asked for: `localhost` would lead there. Otherwise the machine has no IPv6.
      if (error.code !== 'EADDRINUSE' || port === 0) return [server];
      server.close();
      throw error;
    },
  );
  return {
    url: `http://localhost:${taken}`,
    port: taken,
    close: async () => {
      await Promise.all(
        servers.map(
          (each) =>
            new Promise<void>((resolve) => {
              each.close(() => resolve());
              each.closeAllConnections();
            }),
        ),
      );
    },
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
