import type { SessionId } from '../context/sessionId.ts';
import type { Violation } from '../context/violation.ts';
import type { Telemetry } from '../operations/ports/telemetry.ts';
import type { ClientGrant } from '../platform/secrets.ts';

/** What API Gateway hands over (HTTP API, payload 2.0), as far as the bridge reads it. Anything may be missing. */
export interface HttpEvent {
  readonly routeKey?: string;
  readonly rawPath?: string;
  readonly rawQueryString?: string;
  readonly requestContext?: { readonly domainName?: string; readonly http?: { readonly method?: string } };
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

/** What every request brings along, whoever sends it. */
export interface AnyRequest {
  readonly correlationId: string;
  /** Epoch milliseconds by which there must be an answer. */
  readonly deadlineMs: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly telemetry: Telemetry;
}

/** A request of a client that is known and has the route's grant. */
export interface ClientRequest extends AnyRequest {
  readonly client: ClientGrant;
}

/** A client's request about one session: its id is checked, its body parsed. */
export interface BridgeRequest extends ClientRequest {
  readonly sessionId: SessionId;
  /** Path parameters, decoded once. */
  readonly path: Readonly<Record<string, string | undefined>>;
  /** To be read with `parseBody`. */
  readonly body: JsonBody;
}

/** A request of somebody who is no client, but signs what he sends. */
export interface SignedRequest extends AnyRequest {
  readonly method: string;
  /** As the sender has called it, with its query, nothing decoded: some signatures are about that, too. */
  readonly url: string;
  /** The body's bytes as they arrived: what the signature is about. */
  readonly rawBody: Uint8Array;
  /** Path parameters, decoded once. */
  readonly path: Readonly<Record<string, string | undefined>>;
  /**
   * The body, to be read with `parseBody`. Not before the signature has been verified.
   * @throws {Problem} 415 or 400.
   */
  readonly body: () => JsonBody;
}

/** What a route answers. */
export interface Answer {
  readonly status: number;
  /** Absent where there is nothing to say (204). */
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}
