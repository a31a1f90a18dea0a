/** Where the function finds the world, first message of the world's process. */
export interface WorldAddress {
  readonly databaseUrl: string;
  readonly upstreamUrl: string;
  /** The environment under which a function runs in this world. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * What stands for the table. dynalite counts costs as DynamoDB does, and takes a millisecond or more of its own for each request;
 * the simulated table takes a tenth of that, and so leaves the delay that is added to be nearly all there is.
 */
export type DatabaseEngine = 'dynalite' | 'simulated';

export type WorldQuestion =
  /** Another table from now on, with what it had. */
  | { readonly kind: 'use'; readonly engine: DatabaseEngine }
  /** Round trips take this much longer from now on. */
  | { readonly kind: 'delay'; readonly databaseMs: number; readonly upstreamMs: number }
  /** What has been recorded since the last time. */
  | { readonly kind: 'take' };

export interface Recorded {
  readonly database: readonly DatabaseRequest[];
  readonly upstream: readonly UpstreamRequest[];
}

/** One request to a surface of the tenant, from its journal. Token requests are not among them. */
export interface UpstreamRequest {
  /** As in `inject`. */
  readonly surface: string;
  readonly method: string;
  readonly sessionId: string;
  /** Bytes of its body. */
  readonly sentBytes: number;
  /** Whether it goes by a known version. */
  readonly hasIfMatch: boolean;
}

/** One request as the database's side saw it. */
export interface DatabaseRequest {
  /** As in `UpdateItem`. */
  readonly operation: string;
  readonly status: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Capacity units of the table itself, without its index, as the database counts them. 0 for what it refused. */
  readonly units: number;
  /** Whether it moves an entry of the due index, which DynamoDB bills apart and the local database does not count. */
  readonly movesDueEntry: boolean;
  /** Time spent by the database itself, without the delay that is added. */
  readonly servedMs: number;
}
