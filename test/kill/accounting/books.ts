import { canonicalJson } from '../../../lib/context/canonicalJson.ts';
import { isJsonObject, type JsonValue } from '../../../lib/context/json.ts';
import type { Evidence, TrailEntry } from '../evidence.ts';
import type { Exchange, Write } from '../exchange.ts';

/** How an operation has ended, and where. */
export interface End extends TrailEntry {
  readonly sessionId: string;
}

/** What has become of a request in one of its sessions. */
export type Fate =
  | 'confirmed'
  /** No effect. */
  | 'refused'
  /** A change of a dialog of which nobody could know whether it was made: the client was told so (SPEC 2 "Never twice"). */
  | 'in-dispute'
  /** There is no operation. */
  | 'none';

/** What clients were told, what the audit trails say, and what belongs to what. */
export class Books {
  readonly evidence: Evidence;
  readonly #gone: ReadonlySet<string>;
  readonly #ends = new Map<string, End[]>();
  readonly #byCorrelation = new Map<string, Exchange>();
  readonly #byValue = new Map<string, Exchange>();
  readonly #paths = new Map<string, Set<string>>();

  constructor(evidence: Evidence) {
    this.evidence = evidence;
    this.#gone = new Set(evidence.departures.map(({ sessionId }) => sessionId));
    for (const exchange of evidence.exchanges) {
      const { request, attempts } = exchange;
      for (const { correlationId } of attempts) this.#byCorrelation.set(correlationId, exchange);
      for (const session of request.sessions) {
        const paths = this.#paths.get(session) ?? new Set();
        this.#paths.set(session, paths);
        for (const { path, value } of request.writes) {
          this.#byValue.set(valueKey(session, path, value), exchange);
          paths.add(path);
        }
      }
    }
    for (const end of this.allEnds()) {
      const exchange = this.#byCorrelation.get(end.correlationId);
      if (exchange === undefined) continue;
      const key = sessionKey(exchange, end.sessionId);
      this.#ends.set(key, [...(this.#ends.get(key) ?? []), end]);
    }
  }

  /** Every operation's end, also of those that the bridge does by itself. */
  allEnds(): End[] {
    return this.evidence.sessions.flatMap(({ sessionId, trail }) =>
      trail
        .filter(({ outcome, versionAfter }) => outcome !== 'pending' && versionAfter !== undefined)
        .map((entry) => ({ ...entry, sessionId })),
    );
  }

  /** The ends of a request's operations in a session: one, if all is well. */
  endsOf(exchange: Exchange, sessionId: string): readonly End[] {
    return this.#ends.get(sessionKey(exchange, sessionId)) ?? [];
  }

  fateOf(exchange: Exchange, sessionId: string): Fate {
    const ends = this.endsOf(exchange, sessionId);
    if (ends.some(({ outcome }) => outcome === 'confirmed')) return 'confirmed';
    if (ends.some(({ operation, code }) => operation === 'dialog-state' && code === 'conflict')) return 'in-dispute';
    return ends.length > 0 ? 'refused' : 'none';
  }

  /** Whether it is the session of somebody who came once, and had it erased. */
  isGone(sessionId: string): boolean {
    return this.#gone.has(sessionId);
  }

  /** Whose request this is, by its correlation id. */
  requestOf(correlationId: string): Exchange | undefined {
    return this.#byCorrelation.get(correlationId);
  }

  /** Who has put this value there: values tell. */
  authorOf(sessionId: string, path: string, value: JsonValue): Exchange | undefined {
    return this.#byValue.get(valueKey(sessionId, path, value));
  }

  /** All places that anybody writes in a session. */
  pathsOf(sessionId: string): ReadonlySet<string> {
    return this.#paths.get(sessionId) ?? new Set();
  }
}

/** Epoch milliseconds before which a value cannot have expired; infinity where it has no end. */
export function expiryOf({ ttlSeconds }: Write, { attempts }: Exchange): number {
  const [first] = attempts;
  return ttlSeconds === undefined || first === undefined
    ? Number.POSITIVE_INFINITY
    : first.sentAtMs + ttlSeconds * 1_000;
}

/** Operations that a client was told of, in any of its answers. */
export function toldOperations({ attempts }: Exchange): ReadonlySet<string> {
  return new Set(attempts.flatMap(({ answer }) => operationsIn(answer?.body)));
}

function operationsIn(body: JsonValue | undefined): string[] {
  if (!isJsonObject(body)) return [];
  const { operationId, sessions } = body;
  const own = typeof operationId === 'string' ? [operationId] : [];
  return Array.isArray(sessions) ? [...own, ...sessions.flatMap(operationsIn)] : own;
}

/** True when some answer was 2xx: from then on the client relies on it. */
export function isAcknowledged({ attempts }: Pick<Exchange, 'attempts'>): boolean {
  return attempts.some(({ answer }) => answer !== undefined && answer.status >= 200 && answer.status < 300);
}

function sessionKey({ request }: Exchange, sessionId: string): string {
  return `${request.id} ${sessionId}`;
}

function valueKey(sessionId: string, path: string, value: JsonValue): string {
  return `${sessionId} ${path} ${canonicalJson(value)}`;
}
