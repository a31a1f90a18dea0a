import type { FaultAction } from '../../../infra/local/tenant/faults.ts';
import type { Tenant } from '../../../infra/local/tenant/tenant.ts';
import type { Fetch } from '../../../lib/upstream/httpClient.ts';
import type { Chance } from './chance.ts';
import type { Process } from './process.ts';
import type { Tally } from './tally.ts';
import type { Timeline } from './timeline.ts';
import type { UpstreamFault, Weather } from './weather.ts';

/** One request to the tenant. */
export interface Crossing {
  readonly process: Process;
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** Epoch milliseconds at which it left, with fractions. */
  readonly leftMs: number;
}

/** What the tenant made of a request. */
export interface Arrival extends Crossing {
  /** The request that has arrived. */
  readonly of: Crossing;
  /** Epoch milliseconds, with fractions. */
  readonly atMs: number;
  /** Absent where no answer was given. */
  readonly status: number | undefined;
  /** Whether a session was changed. */
  readonly applied: boolean;
  readonly retryAfterSeconds: number | undefined;
}

export interface NetworkOptions {
  readonly process: Process;
  readonly tenant: Tenant;
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly faults: Tally;
  readonly weather: () => Weather;
  readonly isDown: () => boolean;
  /** Who looks on, just now. */
  readonly watcher: () => NetworkWatcher;
  /** When the last request to each session arrives; shared by all instances. */
  readonly order: Map<string, number>;
}

export interface NetworkWatcher {
  left(crossing: Crossing): void;
  arrived(arrival: Arrival): void;
  /** The instance has heard of it, and it still wanted to. */
  heard(arrival: Arrival): void;
}

/** Longer than any request of the bridge waits. */
const NEVER_MS = 60_000;

/**
 * The way from one instance to the tenant, which fails.
 *
 * One thing it does not do: requests to one session arrive in the order in which they left. The upstream takes absolute values
 * without a version (SPEC 3 "inject"), so nobody could tell that one which was overtaken on its way is an old one.
 */
export function simulatedNetwork(options: NetworkOptions): Fetch {
  return (url, init) => options.process.send(() => cross(options, url, init));
}

function cross(options: NetworkOptions, url: string, init: RequestInit): Promise<Response> {
  const { process, timeline, chance, faults, weather, isDown, watcher, order } = options;
  const { pathname, search } = new URL(url);
  const crossing: Crossing = {
    process,
    method: init.method ?? 'GET',
    path: pathname + search,
    body: init.body === undefined || init.body === null ? '' : String(init.body),
    leftMs: timeline.exactMs,
  };
  watcher().left(crossing);
  const fault = isDown() ? 'connection refused' : faultOf(chance, weather());
  if (fault !== undefined) faults.add(`upstream: ${fault}`);
  const session = sessionOf(pathname) ?? pathname;
  const arrivesMs = Math.max(timeline.exactMs + chance.between(1, 15), order.get(session) ?? 0);
  order.set(session, arrivesMs);
  const wayBackMs = chance.between(1, 15) + (fault === 'slow' ? chance.between(100, 6_000) : 0);
  return new Promise((resolve, reject) => {
    const end = (afterMs: number, finish: () => void) => timeline.after(afterMs, () => process.deliver(finish));
    const never = isNever(fault);
    if (fault === 'connection refused') {
      end(wayBackMs, () => reject(cut('ECONNREFUSED')));
      return;
    }
    if (fault === 'reset before it took effect') {
      end(wayBackMs, () => reject(cut('ECONNRESET')));
      return;
    }
    if (fault === 'no answer, not applied') {
      end(NEVER_MS, () => reject(cut('ETIMEDOUT')));
      return;
    }
    timeline.after(arrivesMs - timeline.exactMs, () => {
      const { arrival, response, delayMs } = arrive(options, crossing, init, fault);
      timeline.note(`${process.name} ${crossing.method} ${crossing.path} ${arrival.status}`);
      watcher().arrived(arrival);
      end(never ? NEVER_MS : wayBackMs + delayMs, () => {
        // Unless it has given the request up: a process that was frozen wakes up to both, the answer and the end of its time.
        timeline.after(0, () => {
          if (init.signal?.aborted !== true) watcher().heard(arrival);
        });
        if (response === undefined || never) reject(cut('ECONNRESET'));
        else resolve(response);
      });
    });
  });
}

/** The session that a request is about; `undefined` for one to a token endpoint. */
export function sessionOf(path: string): string | undefined {
  return /\/(?:sessions|botsessions|dialogs)\/([^/]+)/.exec(path)?.[1];
}

function faultOf(chance: Chance, { upstream }: Weather): UpstreamFault | undefined {
  for (const [fault, probability] of Object.entries(upstream) as [UpstreamFault, number][]) {
    if (probability > 0 && chance.happens(probability)) return fault;
  }
  return undefined;
}

function isNever(fault: UpstreamFault | undefined): boolean {
  return fault === 'no answer, applied';
}

function cut(code: string): TypeError {
  return new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) });
}

/** What the tenant is told to do with the very next request. */
function actionOf(fault: UpstreamFault | undefined, chance: Chance): FaultAction | undefined {
  switch (fault) {
    case '429 with Retry-After':
      return { status: 429, headers: { 'retry-after': String(chance.whole(1, 20)) } };
    case '429 without':
      return { status: 429 };
    case '400':
    case '401':
    case '403':
    case '409':
    case '412':
    case '503':
      return { status: Number(fault) };
    case '500 not applied':
      return { status: 500 };
    case '500 applied':
      return { status: 500, applied: true };
    case 'reset after it took effect':
      return { reset: 'after' };
    case '200 as HTML':
      return { malformed: 'html' };
    case '200 cut off':
      return { malformed: 'truncated' };
    case '200 of another shape':
      return { malformed: 'wrong-shape' };
    case '200 and empty':
      return { malformed: 'empty' };
    default:
      return undefined;
  }
}

function arrive(
  { tenant, timeline, chance }: NetworkOptions,
  crossing: Crossing,
  init: RequestInit,
  fault: UpstreamFault | undefined,
): { readonly arrival: Arrival; readonly response: Response | undefined; readonly delayMs: number } {
  const action = actionOf(fault, chance);
  if (action !== undefined) tenant.faults.add({ action });
  const outcome = tenant.handle({
    method: crossing.method,
    path: crossing.path,
    headers: Object.fromEntries(new Headers(init.headers)),
    ...(crossing.body !== '' && { body: crossing.body }),
  });
  if (action !== undefined) tenant.faults.clear();
  const applied = tenant.journal.entries().at(-1)?.applied ?? false;
  tenant.journal.clear();
  const answer = outcome.kind === 'answer' ? outcome.answer : undefined;
  const retryAfter = answer?.status === 429 ? answer.headers['retry-after'] : undefined;
  return {
    arrival: {
      ...crossing,
      of: crossing,
      atMs: timeline.exactMs,
      status: answer?.status,
      applied,
      retryAfterSeconds: retryAfter === undefined ? undefined : Number(retryAfter),
    },
    response: answer && responseOf(answer),
    delayMs: outcome.delayMs,
  };
}

/** Its body is a text that is there already: to read it takes promises, and nothing else. */
function responseOf({
  status,
  headers,
  body,
}: {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}) {
  return new Response(status === 204 ? null : body, { status, headers });
}
