import type { DestinationState } from '../../context/circuitBreaker.ts';

/** A destination's state as it was read, and which writing of it that was. */
export interface StoredDestination {
  readonly state: DestinationState;
  /** 0 where nothing was ever written. */
  readonly revision: number;
}

/** What all instances know of the destinations of outbound events. Every method may throw a `StoreError`. */
export interface DestinationStates {
  /** @param destination - a keyed hash of its URL */
  read(destination: string): Promise<StoredDestination>;
  /** False when somebody has written since `seen` was read; nothing happens then. */
  replace(destination: string, seen: StoredDestination, next: DestinationState, nowMs: number): Promise<boolean>;
}
