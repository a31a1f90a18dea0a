/** One HTTP request as the tenant sees it, free of sockets. */
export interface TenantRequest {
  readonly method: string;
  /** Path and query exactly as on the request line, still percent-encoded. */
  readonly path: string;
  /** Header names in lower case. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string | Uint8Array;
}

/** One complete HTTP answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What the server does with a request: answer it, or cut the connection. Either way after `delayMs`. */
export type Outcome =
  | { readonly kind: 'answer'; readonly delayMs: number; readonly answer: Answer }
  | { readonly kind: 'reset'; readonly delayMs: number };

/** A request taken apart once, so that every rule reads the same thing. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  /** Path segments, still percent-encoded. Not parsed as a URL: that would resolve `..` and `%2e%2e` before anyone sees them. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  readonly bodyBytes: number;
}

/** Takes a request apart. Bytes that are not UTF-8 become replacement characters, which no surface accepts as JSON structure. */
export function receive(request: TenantRequest): ReceivedRequest {
  const bytes = Buffer.from(request.body ?? '');
  const queryStart = request.path.indexOf('?');
  const pathname = queryStart < 0 ? request.path : request.path.slice(0, queryStart);
  return {
    method: request.method.toUpperCase(),
    path: request.path,
    segments: pathname.split('/').slice(1),
    query: new URLSearchParams(queryStart < 0 ? '' : request.path.slice(queryStart + 1)),
    headers: request.headers ?? {},
    text: bytes.toString('utf8'),
    bodyBytes: bytes.byteLength,
  };
}

/** The media type of a request without its parameters, in lower case; empty when there is none. */
export function mediaType(request: Pick<ReceivedRequest, 'headers'>): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

export function jsonAnswer(status: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) };
}

export function emptyAnswer(status: number): Answer {
  return { status, headers: {}, body: '' };
}

/** One thing wrong with a body, in the form of SPEC 2, Errors. */
interface BodyError {
  readonly pointer: string;
  readonly message: string;
}

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly BodyError[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** An error answer in the manner of RFC 9457. */
export function problem({ status, code, detail, errors, headers }: Problem): Answer {
  const body = { type: 'about:blank', title: code.replaceAll('-', ' '), status, code, detail };
  return jsonAnswer(status, errors === undefined ? body : { ...body, errors }, {
    'content-type': 'application/problem+json',
    ...headers,
  });
}
