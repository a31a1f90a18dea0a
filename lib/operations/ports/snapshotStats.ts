import type { SessionId } from '../../context/sessionId.ts';

/** What is remembered of a session's live reads. */
export interface SnapshotStats {
  /** The last ones, oldest first, milliseconds; each of a whole read, all pages of it. */
  readonly latenciesMs: readonly number[];
  /** Variables that have been read in all. */
  readonly totalRetrieved: number;
  /** Pages of the last read. */
  readonly pages: number;
  /** Reads in all; tells one state from the next. */
  readonly reads: number;
}

/** Every method may throw a `StoreError`. */
export interface SnapshotStatsStore {
  /** `undefined` before the first read. */
  read(sessionId: SessionId): Promise<SnapshotStats | undefined>;
  /** Counts one more read. Of two at the same time both are counted, but only one of them is among the last. */
  add(
    sessionId: SessionId,
    read: { readonly seen: SnapshotStats | undefined; readonly next: SnapshotStats; readonly nowMs: number },
  ): Promise<void>;
}
