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
  /** Puts `next` in the place of what was `seen`. Where somebody was quicker nothing happens: one sample is lost. */
  replace(
    sessionId: SessionId,
    change: { readonly seen: SnapshotStats | undefined; readonly next: SnapshotStats; readonly nowMs: number },
  ): Promise<void>;
}
