/** Counters and durations that the alarms and the dashboard are built on. */
export type MetricName =
  | 'OperationConfirmed'
  | 'OperationPending'
  | 'OperationRefused'
  | 'UpstreamLatency'
  | 'UpstreamRequests'
  | 'RateLimited'
  | 'UpstreamAccessDenied'
  | 'LanesWorkedOff'
  | 'RefusalNotAudited';

/** Fields of a log line: codes and numbers. Never a value, an id of a session or user, or a token (DESIGN I7). */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** What one invocation reports about itself. */
export interface Telemetry {
  count(metric: Exclude<MetricName, 'UpstreamLatency'>, value?: number): void;
  /** Milliseconds. */
  duration(metric: 'UpstreamLatency', ms: number): void;
  log(level: 'info' | 'warn' | 'error', message: string, fields?: LogFields, error?: unknown): void;
}
