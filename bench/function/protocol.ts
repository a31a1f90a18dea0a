/** One round trip as the function's own process saw it: from sending to the head of the answer. Milliseconds since its start. */
export interface RoundTrip {
  readonly to: 'database' | 'upstream' | 'elsewhere';
  readonly startMs: number;
  readonly endMs: number;
}

/** One invocation as the function's own process saw it. */
export interface Invocation {
  readonly status: number;
  readonly startMs: number;
  readonly endMs: number;
  /** User and system time of the whole process meanwhile, milliseconds. */
  readonly cpuMs: number;
  /** Peak of the process up to now, bytes. */
  readonly maxRssBytes: number;
  readonly roundTrips: readonly RoundTrip[];
  /** What was answered, where it was asked for. */
  readonly body?: string;
}
