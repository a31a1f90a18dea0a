import type { Histogram } from '../../context/latencyHistogram.ts';

/** Functions whose operations are counted, by the kind of the operations that they take. */
export const MEASURED_FUNCTIONS = ['inject', 'sync', 'dialog-state', 'webhook'] as const;

export type MeasuredFunction = (typeof MEASURED_FUNCTIONS)[number];

/** What is counted of one function's operations. Two of them are merged by adding up every number. */
export interface Tally {
  /** Operations that were asked for by somebody who may. */
  readonly operations: number;
  /** Of these, those that were accepted: confirmed at once, or durable and pending. */
  readonly successes: number;
  /** Operations that the live session has got, at once or later. */
  readonly confirmed: number;
  /** Of all operations together, milliseconds. */
  readonly latencySumMs: number;
  readonly latencies: Histogram;
}

/** Hourly counts, shared by all instances of all functions and kept for 35 days (SPEC 2, metrics). */
export interface RollupWriter {
  /**
   * Adds to the hour of `nowMs` (epoch milliseconds).
   * @throws {StoreError} when nobody knows whether it was added.
   */
  add(nowMs: number, name: MeasuredFunction, tally: Tally): Promise<void>;
}

/** What has been counted in some part of one function's operations. */
export interface Counted {
  readonly name: MeasuredFunction;
  readonly tally: Tally;
}

export interface RollupReader {
  /**
   * Everything counted from the hour of `fromMs` to the hour of `toMs`, both included, epoch milliseconds; in any number of parts.
   * @throws {StoreError}
   */
  read(window: { readonly fromMs: number; readonly toMs: number }): Promise<readonly Counted[]>;
}
