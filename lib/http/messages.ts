import type { SessionId } from '../context/sessionId.ts';
import type { Violation } from '../context/violation.ts';
import type { Telemetry } from '../operations/ports/telemetry.ts';
import type { ClientGrant } from '../platform/secrets.ts';

/** What API Gateway hands over (HTTP API, payload 2.0), as far as the bridge reads it. Anything may be missing. */
export interface HttpEvent {
  readonly routeKey?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly pathParameters?: Readonly<Record<string, string | undefined>>;
  readonly queryStringParameters?: Readonly<Record<string, string | undefined>>;
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
}

export interface HttpResult {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * A body that is JSON. Where it has `violations` it is not to be used: they are told together with what the route finds, all at
 * once (SCENARIOS 35). `parseBody` sees to both.
 */
export interface JsonBody {
  readonly value: unknown;
  readonly violations: readonly Violation[];
}

/** A request that has been let in: its session id is checked, its client known, its body parsed. */
export interface BridgeRequest {
  readonly sessionId: SessionId;
  readonly client: ClientGrant;
  readonly correlationId: string;
  /** Epoch milliseconds by which there must be an answer. */
  readonly deadlineMs: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly query: Readonly<Record<string, string | undefined>>;
  /** To be read with `parseBody`. */
  readonly body: JsonBody;
  readonly telemetry: Telemetry;
}

/** What a route answers. */
export interface Answer {
  readonly status: number;
  /** Absent where there is nothing to say (204). */
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}
