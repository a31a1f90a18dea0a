import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Invoke } from './functions.ts';
import { serverFor } from './listen.ts';

/** API Gateway's own limit. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

export interface GatewayRoute {
  /** As in `GET /v1/sessions/{sessionId}`. */
  readonly routeKey: string;
  readonly invoke: Invoke;
}

export interface Gateway {
  readonly server: Server;
  /** Serves these routes from now on; before, there are none. */
  serve(routes: readonly GatewayRoute[]): void;
}

interface LambdaResult {
  readonly statusCode?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly isBase64Encoded?: boolean;
}

/**
 * An HTTP API of API Gateway in one process: payload format 2.0, path parameters decoded once, bodies that are no text as
 * base64, and its own short answers for what never reaches a function.
 */
export function createGateway(): Gateway {
  let table: readonly (GatewayRoute & { readonly method: string; readonly segments: readonly string[] })[] = [];
  const server = serverFor(async (request, response) => {
    const { method = 'GET', url = '/' } = request;
    const [rawPath = '/', ...query] = url.split('?');
    const segments = rawPath.split('/');
    const route = table.find((candidate) => candidate.method === method && matches(candidate.segments, segments));
    if (route === undefined) return answer(response, 404, 'Not Found');
    const body = await readBody(request);
    if (body === undefined) return answer(response, 413, 'Request Too Long');
    try {
      const event = toEvent(request, route, rawPath, segments, query.join('?'), body);
      send(response, (await route.invoke(event)) as LambdaResult);
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
      answer(response, 500, 'Internal Server Error');
    }
  });
  return {
    server,
    serve: (routes) => {
      table = routes.map(({ routeKey, invoke }) => {
        const [method = '', template = ''] = routeKey.split(' ');
        return { method, segments: template.split('/'), routeKey, invoke };
      });
    },
  };
}

function matches(template: readonly string[], segments: readonly string[]): boolean {
  return (
    template.length === segments.length &&
    template.every((part, index) => (part.startsWith('{') ? segments[index] !== '' : part === segments[index]))
  );
}

/** The whole body, or `undefined` when it is larger than API Gateway takes. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return bytes > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks);
}

function toEvent(
  request: IncomingMessage,
  route: { readonly routeKey: string; readonly segments: readonly string[] },
  rawPath: string,
  segments: readonly string[],
  rawQueryString: string,
  body: Buffer,
) {
  const { method = 'GET' } = request;
  // API Gateway says how it was called, too; some signatures are about the whole URL.
  const headers = Object.fromEntries(
    Object.entries({ 'x-forwarded-proto': 'http', ...request.headers }).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(',') : (value ?? ''),
    ]),
  );
  const query: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(rawQueryString)) {
    query[name] = query[name] === undefined ? value : `${query[name]},${value}`;
  }
  const pathParameters = Object.fromEntries(
    route.segments.flatMap((part, index) =>
      part.startsWith('{') ? [[part.slice(1, -1), decodeOnce(segments[index] ?? '')]] : [],
    ),
  );
  const isText = isTextual(headers['content-type'] ?? '') && body.equals(Buffer.from(body.toString('utf8'), 'utf8'));
  const now = new Date();
  return {
    version: '2.0',
    routeKey: route.routeKey,
    rawPath,
    rawQueryString,
    headers,
    pathParameters,
    ...(rawQueryString !== '' && { queryStringParameters: query }),
    requestContext: {
      accountId: '000000000000',
      apiId: 'local',
      domainName: headers['host'] ?? 'localhost',
      domainPrefix: 'local',
      http: {
        method,
        path: rawPath,
        protocol: 'HTTP/1.1',
        sourceIp: request.socket.remoteAddress ?? '',
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: randomUUID(),
      routeKey: route.routeKey,
      stage: '$default',
      time: now.toISOString(),
      timeEpoch: now.getTime(),
    },
    ...(body.length > 0 && { body: isText ? body.toString('utf8') : body.toString('base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

function isTextual(contentType: string): boolean {
  return /^(?:text\/|application\/(?:[^;]*\+)?(?:json|xml|javascript))/i.test(contentType);
}

function decodeOnce(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function answer(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ message }));
}

function send(response: ServerResponse, result: LambdaResult): void {
  const { statusCode = 200, headers = {}, body = '', isBase64Encoded = false } = result;
  response.writeHead(statusCode, headers).end(isBase64Encoded ? Buffer.from(body, 'base64') : body);
}
