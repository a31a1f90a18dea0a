import type { MeasuredFunction } from './rollups.ts';

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
  | 'RefusalNotAudited'
  | 'OperationNotCounted'
  | 'EventDelivered'
  | 'DeliveryFailed'
  | 'EventDeadLettered'
  | 'DestinationDisabled';

/** Fields of a log line: codes and numbers. Never a value, an id of a session or user, or a token (DESIGN I7). */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** How one operation was answered. A success was accepted: confirmed, or durable and pending. */
export interface OperationEnd {
  readonly name: MeasuredFunction;
  readonly isSuccess: boolean;
  /** How many ended so, where one invocation does several; 1 where absent. */
  readonly times?: number;
}

/** What a settle, which is on its way to the store, says about operations. */
export interface Settling {
  /** How many operations it confirms, whoever has asked for them. */
  readonly confirmed: ReadonlyMap<MeasuredFunction, number>;
  /** What its client is told who waits for this very push; absent where nobody does, or his operation is not in it. */
  readonly own?: OperationEnd;
}

/** What one invocation reports about itself. */
export interface Telemetry {
  count(metric: Exclude<MetricName, 'UpstreamLatency'>, value?: number): void;
  /** Milliseconds. */
  duration(metric: 'UpstreamLatency', ms: number): void;
  /** Counts operations for everybody (SPEC 2, metrics), while the settle that they are in is on its way. Never throws. */
  operationsSettling(settling: Settling): void;
  log(level: 'info' | 'warn' | 'error', message: string, fields?: LogFields, error?: unknown): void;
}
