/** What is known of a destination of outbound events. */
export interface DestinationState {
  /** Failures since the last success. */
  readonly failures: number;
  /** Until then nothing is sent there, epoch milliseconds; 0 = never closed to us. */
  readonly openUntilMs: number;
  /** It does not want to hear of anything any more. */
  readonly disabled?: { readonly atMs: number; readonly reason: string };
}

export const UNTRIED: DestinationState = { failures: 0, openUntilMs: 0 };

/** Failures in a row that open the breaker. */
const OPENS_AT = 5;
const OPEN_MS = 30_000;
const OPEN_MAX_MS = 15 * 60_000;
/** Longer than one request takes: who probes and dies holds the others up no longer than this. */
const PROBE_MS = 15_000;

export type Admission =
  | { readonly kind: 'closed' }
  /** One may try, when it has put `claimed` in the place of the state that was asked: others wait meanwhile. */
  | { readonly kind: 'probe'; readonly claimed: DestinationState }
  | { readonly kind: 'open'; readonly untilMs: number }
  | { readonly kind: 'disabled' };

/** Whether something may be sent to a destination now. */
export function admissionTo(state: DestinationState, nowMs: number): Admission {
  if (state.disabled !== undefined) return { kind: 'disabled' };
  if (state.openUntilMs > nowMs) return { kind: 'open', untilMs: state.openUntilMs };
  if (state.failures < OPENS_AT) return { kind: 'closed' };
  return { kind: 'probe', claimed: { ...state, openUntilMs: nowMs + PROBE_MS } };
}

/** The state after a success; the same object where it changes nothing. */
export function afterSuccess(state: DestinationState): DestinationState {
  return state.failures === 0 || state.disabled !== undefined ? state : UNTRIED;
}

/**
 * The state after a failure; the same object where it changes nothing. Only the probe counts while the breaker is open: what else
 * fails then was sent before, and says nothing new.
 */
export function afterFailure(state: DestinationState, nowMs: number, wasProbe: boolean): DestinationState {
  if (state.disabled !== undefined || (!wasProbe && state.openUntilMs > nowMs)) return state;
  const failures = state.failures + 1;
  const openMs = failures < OPENS_AT ? 0 : Math.min(OPEN_MAX_MS, OPEN_MS * 2 ** (failures - OPENS_AT));
  return { failures, openUntilMs: openMs === 0 ? state.openUntilMs : nowMs + openMs };
}

/** The state after a destination has said that it is gone; the same object where that was known. */
export function afterGone(state: DestinationState, atMs: number, reason: string): DestinationState {
  return state.disabled === undefined ? { ...state, disabled: { atMs, reason } } : state;
}
