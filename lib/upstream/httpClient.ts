import type { JsonValue } from '../context/json.ts';
import { holdsInexactNumber } from '../context/strictJson.ts';
import type { Clock } from '../platform/clock.ts';
import type { Concurrency } from './concurrency.ts';

/** One request as it leaves. */
export interface FetchInit {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly redirect: 'manual';
  readonly signal: AbortSignal;
}

/** The part of a `Response` that is used. */
export interface Fetched {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Pick<Headers, 'get'>;
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** The part of the platform's `fetch` that is used; injected, so that a test or a simulation can be the network. */
export type Fetch = (url: string, init: FetchInit) => Promise<Fetched>;

const UTF_8 = new TextDecoder('utf-8', { fatal: true });

/** A body larger than this is not read to its end (bytes); the largest context is 1 MiB. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Longest one request may take, unless told otherwise (milliseconds). */
const DEFAULT_REQUEST_TIMEOUT_MS = 5_000;

/** Failures that happen before a connection stands: nothing can have reached the upstream. */
const BEFORE_SENDING: ReadonlySet<string> = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** What a kept-alive connection looks like that died while the Lambda was frozen. */
const DEAD_SOCKET: ReadonlySet<string> = new Set(['ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE']);

/** One JSON request. */
export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH';
  /** Absolute; ids in it are already encoded by {@link pathSegment}. */
  readonly url: string;
  readonly accessToken: string;
  readonly correlationId: string;
  /** The JSON text to send, byte for byte. */
  readonly body?: string;
  /** `If-Match`, byte for byte as an answer's `ETag` had it. */
  readonly ifMatch?: string;
  /** Epoch milliseconds at which the request is given up, answered or not. */
  readonly deadlineMs: number;
  /** Epoch milliseconds from which on the request must not leave any more. Absent = the deadline. */
  readonly sendByMs?: number;
}

/** The body as strict JSON, or the fact that there is none, or that it is none (HTML, cut off, not UTF-8, too large). */
export type Body =
  /** Not `exact` where the text holds a number that JavaScript cannot: it must not be written back. */
  { readonly json: JsonValue; readonly isExact: boolean } | 'empty' | 'unparsable';

export interface HttpAnswer {
  readonly kind: 'answer';
  /** 0 where the platform hides a redirect. */
  readonly status: number;
  readonly headers: Fetched['headers'];
  readonly body: Body;
}

export type HttpOutcome =
  | HttpAnswer
  | {
      readonly kind: 'network-failure';
      /** False only when the request certainly never left. */
      readonly maybeSent: boolean;
      readonly code: string;
    }
  /** No answer in time; the request may have been applied. */
  | { readonly kind: 'timeout' }
  /** No place among the concurrent requests came free in time, or the request was not admitted: nothing left. */
  | { readonly kind: 'not-sent' };

/** One request as it went, for metrics. Holds no id, token or body. */
export interface HttpObservation {
  readonly outcome: 'answer' | 'network-failure' | 'timeout';
  readonly status?: number;
  readonly latencyMs: number;
}

export interface HttpClientOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Shared by everything that talks to the upstream from this instance. */
  readonly concurrency: Concurrency;
  /** Per request, in milliseconds; 5,000 unless told otherwise. */
  readonly requestTimeoutMs?: number;
  /** Called once per request sent. Must not throw. */
  readonly onRequest?: (observation: HttpObservation) => void;
}

/** Sends one JSON request to the upstream and says what became of it, as a value. */
export class HttpClient {
  readonly #options: HttpClientOptions;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /**
   * One request, no retry, no redirect followed (SPEC 3 "Every request", SCENARIOS 23). Never rejects.
   *
   * @param admit - asked when a place is free, right before sending: a permit may have lapsed in the queue
   */
  async send(request: HttpRequest, admit: () => Promise<boolean> = async () => true): Promise<HttpOutcome> {
    const { clock, concurrency } = this.#options;
    const sendByMs = latestStartMs(request);
    const place = await concurrency.enter(sendByMs);
    if (place === undefined) return { kind: 'not-sent' };
    try {
      if (!(await admit()) || clock.now() >= sendByMs) return { kind: 'not-sent' };
      return await this.#exchange(request);
    } finally {
      place.leave();
    }
  }

  async #exchange(request: HttpRequest): Promise<HttpOutcome> {
    const { clock, fetch, onRequest, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = this.#options;
    const startedMs = clock.now();
    const timeoutMs = Math.min(requestTimeoutMs, request.deadlineMs - startedMs);
    const outcome = await withTimeout(clock, timeoutMs, async (signal) => {
      const response = await fetch(request.url, requestInit(request, signal));
      return {
        kind: 'answer' as const,
        status: response.status,
        headers: response.headers,
        body: parseJson(await readText(response)),
      };
    });
    onRequest?.({
      outcome: outcome.kind,
      latencyMs: clock.now() - startedMs,
      ...(outcome.kind === 'answer' && { status: outcome.status }),
    });
    return outcome;
  }
}

/** Epoch milliseconds from which on nothing of the request leaves any more. */
export function latestStartMs({ deadlineMs, sendByMs = deadlineMs }: HttpRequest): number {
  return Math.min(deadlineMs, sendByMs);
}

/** This long before a deadline a slot is of no use any more, or the last quarter of what time is left (milliseconds). */
const ANSWER_MS = 500;

/** Epoch milliseconds after which a request had better not wait for its slot: its answer would hardly come before the deadline. */
export function latestSlotMs(deadlineMs: number, nowMs: number): number {
  return deadlineMs - Math.min(ANSWER_MS, (deadlineMs - nowMs) / 4);
}

function requestInit(request: HttpRequest, signal: AbortSignal): FetchInit {
  const headers: Record<string, string> = {
    authorization: `Bearer ${request.accessToken}`,
    accept: 'application/json',
    'content-type': 'application/json',
    'x-correlation-id': request.correlationId,
    ...(request.ifMatch !== undefined && { 'if-match': request.ifMatch }),
  };
  const { method, body } = request;
  return { method, headers, redirect: 'manual', signal, ...(body !== undefined && { body }) };
}

export type NoAnswer = Extract<HttpOutcome, { kind: 'network-failure' | 'timeout' }>;

/**
 * Runs `exchange` for at most `timeoutMs`, and turns what it throws into a value.
 *
 * It does not rely on the transport's obeying the signal: when the time is up, the answer is `timeout`.
 */
export async function withTimeout<T>(
  clock: Clock,
  timeoutMs: number,
  exchange: (signal: AbortSignal) => Promise<T>,
): Promise<T | NoAnswer> {
  const abort = new AbortController();
  const settled = new AbortController();
  const timeUp = clock.sleep(timeoutMs, settled.signal).then((): NoAnswer => {
    if (!settled.signal.aborted) abort.abort();
    return { kind: 'timeout' };
  });
  const answered = exchange(abort.signal).catch((error: unknown): NoAnswer => {
    if (abort.signal.aborted) return { kind: 'timeout' };
    const code = failureCode(error);
    return { kind: 'network-failure', maybeSent: !BEFORE_SENDING.has(code), code };
  });
  const outcome = await Promise.race([answered, timeUp]);
  // With a reason: without one an exception would be made, and its stack be walked.
  settled.abort('answered');
  return outcome;
}

/** True for the failure that a connection frozen with its Lambda shows on its next use; worth one repeat at once. */
export function isDeadSocket(outcome: { readonly kind: string; readonly code?: string }): boolean {
  return outcome.kind === 'network-failure' && outcome.code !== undefined && DEAD_SOCKET.has(outcome.code);
}

/** `fetch` says "fetch failed" and hides the system's code in the chain of causes. */
function failureCode(error: unknown): string {
  let current = error;
  for (let depth = 0; depth < 4 && current instanceof Error; depth += 1) {
    if ('code' in current && typeof current.code === 'string') return current.code;
    current = current.cause;
  }
  return 'UNKNOWN';
}

/**
 * Reads a body as UTF-8, up to 4 MiB.
 *
 * @returns undefined when it is larger or not UTF-8
 */
export async function readText(response: Fetched): Promise<string | undefined> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) return undefined; // leaving the loop cancels the stream
    chunks.push(chunk);
  }
  try {
    return UTF_8.decode(Buffer.concat(chunks));
  } catch {
    return undefined;
  }
}

function parseJson(text: string | undefined): Body {
  if (text === undefined) return 'unparsable';
  if (text === '') return 'empty';
  try {
    const json: JsonValue = JSON.parse(text);
    return { json, isExact: !holdsInexactNumber(text) };
  } catch {
    return 'unparsable';
  }
}

/**
 * Encodes an id as one path segment, so that nothing in it can reach another path (SCENARIOS 39).
 *
 * @throws RangeError when the id is empty or a dot segment, which no encoding can protect; the message does not repeat the id
 */
export function pathSegment(id: string): string {
  if (id === '' || id === '.' || id === '..') throw new RangeError('an id must not be empty or a dot segment');
  return encodeURIComponent(id);
}
