import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Clock } from '../platform/clock.ts';
import { isPublicAddress } from './publicAddress.ts';

/** All addresses of a host. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface GuardOptions {
  /** Permits addresses that are not public, and http. */
  readonly allowPrivate: boolean;
  readonly clock: Clock;
  /** The system's resolver where absent. */
  readonly resolve?: Resolve;
}

export interface PostRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** For everything: resolving, connecting, sending, and the answer. */
  readonly timeoutMs: number;
}

export type PostOutcome =
  | { readonly kind: 'answer'; readonly status: number }
  /** Nothing was sent: it is not a destination that we may send to. */
  | { readonly kind: 'refused'; readonly reason: 'not-a-url' | 'not-https' | 'credentials' | 'private-address' }
  /** No answer; it may have arrived. A code of the system, or `TIMEOUT`. */
  | { readonly kind: 'failed'; readonly code: string };

/** Of an answer's body so much is waited for, and thrown away. */
const ANSWER_MAX_BYTES = 64 * 1_024;

const resolveBySystem: Resolve = (hostname) => lookup(hostname, { all: true });

/**
 * One POST to where somebody else has told us to post, which must not become a way into our own network (SPEC 7, SCENARIOS 40).
 *
 * ```text
 *   name ──resolve, once──▶ addresses ──every one public?──▶ connect to these ──▶ answer, whatever it redirects to
 * ```
 *
 * What is connected to is what was checked: the name is not looked up again. A connection of its own for each request; no
 * redirect is followed. Never rejects.
 */
export async function guardedPost(request: PostRequest, options: GuardOptions): Promise<PostOutcome> {
  const target = targetOf(request.url, options.allowPrivate);
  if ('kind' in target) return target;
  const { clock } = options;
  const timeIsUp = new AbortController();
  const settled = new AbortController();
  // The status is the answer, whether or not its body ever ends.
  let status: number | undefined;
  const timeout = clock.sleep(request.timeoutMs, settled.signal).then((): PostOutcome => {
    timeIsUp.abort('timeout');
    return status === undefined ? { kind: 'failed', code: 'TIMEOUT' } : { kind: 'answer', status };
  });
  const onStatus = (answered: number) => {
    status = answered;
  };
  // Neither the resolver nor the transport is relied on to obey the signal.
  const outcome = await Promise.race([
    exchange(target, request, options, { signal: timeIsUp.signal, onStatus }),
    timeout,
  ]);
  settled.abort('answered');
  return outcome;
}

function targetOf(text: string, allowPrivate: boolean): URL | Extract<PostOutcome, { kind: 'refused' }> {
  const url = URL.parse(text);
  if (url === null) return { kind: 'refused', reason: 'not-a-url' };
  if (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:')) {
    return { kind: 'refused', reason: 'not-https' };
  }
  if (url.username !== '' || url.password !== '') return { kind: 'refused', reason: 'credentials' };
  return url;
}

async function exchange(
  url: URL,
  { headers, body }: PostRequest,
  { allowPrivate, resolve = resolveBySystem }: GuardOptions,
  { signal, onStatus }: { readonly signal: AbortSignal; readonly onStatus: (status: number) => void },
): Promise<PostOutcome> {
  try {
    const hostname = url.hostname.replace(/^\[|\]$/g, '');
    // An address is connected to without a lookup, so that it has to be checked like one that was looked up.
    const family = isIP(hostname);
    const addresses = family === 0 ? await resolve(hostname) : [{ address: hostname, family }];
    if (addresses.length === 0) return { kind: 'failed', code: 'ENOTFOUND' };
    if (!allowPrivate && !addresses.every(({ address }) => isPublicAddress(address))) {
      return { kind: 'refused', reason: 'private-address' };
    }
    if (signal.aborted) return { kind: 'failed', code: 'TIMEOUT' };
    const status = await post(url, body, onStatus, {
      method: 'POST',
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body, 'utf8')) },
      // A connection that is kept would outlive what was checked.
      agent: false,
      signal,
      lookup: checkedLookup(addresses),
    });
    return { kind: 'answer', status };
  } catch (error) {
    return { kind: 'failed', code: codeOf(error) };
  }
}

/** Answers with what was checked, whatever is asked. */
function checkedLookup(addresses: readonly LookupAddress[]): NonNullable<RequestOptions['lookup']> {
  return (_hostname, { all }, callback) => {
    const [first] = addresses;
    if (all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family);
  };
}

/** The status of the answer, once its body has been thrown away. */
function post(url: URL, body: string, onStatus: (status: number) => void, options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(url, options, (answer) => {
      // A body that is cut off does not change it.
      const { statusCode = 0 } = answer;
      onStatus(statusCode);
      const answered = () => resolve(statusCode);
      answer.on('error', answered).on('close', answered);
      discard(answer);
    });
    request.on('error', reject);
    request.end(body);
  });
}

function discard(answer: IncomingMessage): void {
  let bytes = 0;
  answer.on('data', (chunk: Uint8Array) => {
    bytes += chunk.byteLength;
    if (bytes > ANSWER_MAX_BYTES) answer.destroy();
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'UNKNOWN';
}
