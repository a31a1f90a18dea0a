import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  admissionTo,
  afterFailure,
  afterGone,
  afterSuccess,
  type DestinationState,
  UNTRIED,
} from '../../../lib/context/circuitBreaker.ts';

const NOW_MS = 1_000_000;

const failed = (times: number, state: DestinationState = UNTRIED) =>
  Array.from({ length: times }).reduce<DestinationState>((each) => afterFailure(each, NOW_MS, false), state);

describe('The circuit breaker', () => {
  it('stays closed for four failures in a row, and opens for 30 s at the fifth', () => {
    expect(admissionTo(failed(4), NOW_MS)).toEqual({ kind: 'closed' });
    expect(admissionTo(failed(5), NOW_MS)).toEqual({ kind: 'open', untilMs: NOW_MS + 30_000 });
  });

  it('counts anew after a success', () => {
    expect(admissionTo(failed(4, afterSuccess(failed(4))), NOW_MS)).toEqual({ kind: 'closed' });
  });

  it('admits one probe when its time is over, and whoever comes meanwhile waits', () => {
    const laterMs = NOW_MS + 30_000;
    const admission = admissionTo(failed(5), laterMs);
    expect(admission).toEqual({ kind: 'probe', claimed: { failures: 5, openUntilMs: laterMs + 15_000 } });
    if (admission.kind !== 'probe') return;
    expect(admissionTo(admission.claimed, laterMs)).toEqual({ kind: 'open', untilMs: laterMs + 15_000 });
    expect(admissionTo(admission.claimed, laterMs + 15_000).kind).toBe('probe');
  });

  it('is closed by a probe that succeeds, and opened for twice as long by one that fails, up to 15 min', () => {
    let state = failed(5);
    const openS: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const nowMs = state.openUntilMs;
      const admission = admissionTo(state, nowMs);
      if (admission.kind !== 'probe') throw new Error(admission.kind);
      expect(afterSuccess(admission.claimed)).toEqual(UNTRIED);
      state = afterFailure(admission.claimed, nowMs, true);
      openS.push((state.openUntilMs - nowMs) / 1_000);
    }
    expect(openS).toEqual([60, 120, 240, 480, 900, 900, 900]);
  });

  it('has no moment to wait for before it has opened', () => {
    expect(failed(4)).toEqual({ failures: 4, openUntilMs: 0 });
  });

  it('counts again what fails from the moment on at which a probe may leave', () => {
    expect(afterFailure(failed(5), NOW_MS + 30_000, false)).toMatchObject({ failures: 6 });
  });

  it('does not count what was sent before it opened', () => {
    const open = failed(5);
    expect(afterFailure(open, NOW_MS + 1, false)).toBe(open);
  });

  it('says when nothing has changed', () => {
    const healthy = { ...UNTRIED };
    expect(afterSuccess(healthy)).toBe(healthy);
    const gone = afterGone(failed(3), NOW_MS, 'gone');
    for (const same of [afterGone(gone, NOW_MS + 1, 'gone'), afterSuccess(gone), afterFailure(gone, NOW_MS, true)]) {
      expect(same).toBe(gone);
    }
  });

  it('admits nothing to a destination that is disabled, ever', () => {
    const disabled = afterGone(failed(5), NOW_MS, 'gone');
    expect(disabled.disabled).toEqual({ atMs: NOW_MS, reason: 'gone' });
    expect(admissionTo(disabled, NOW_MS * 1_000)).toEqual({ kind: 'disabled' });
  });

  it('is never open for longer than 15 min, whatever happens', () => {
    const step = fc.record({ afterMs: fc.nat(1_000_000), succeeds: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let state = UNTRIED;
        let nowMs = NOW_MS;
        for (const { afterMs, succeeds } of steps) {
          nowMs += afterMs;
          const admission = admissionTo(state, nowMs);
          expect(state.openUntilMs - nowMs).toBeLessThanOrEqual(900_000);
          if (admission.kind === 'open') continue;
          const seen = admission.kind === 'probe' ? admission.claimed : state;
          state = succeeds ? afterSuccess(seen) : afterFailure(seen, nowMs, admission.kind === 'probe');
        }
      }),
    );
  });
});
