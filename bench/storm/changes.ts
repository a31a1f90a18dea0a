import type { JsonObject } from '../../lib/context/json.ts';

export interface StormTraffic {
  readonly changes: number;
  readonly sessions: number;
  readonly workers: number;
  /** All changes are sent within this, evenly, milliseconds. */
  readonly withinMs: number;
}

/** One change of one value in one session. No two have the same value. */
export interface Change {
  readonly sessionId: string;
  readonly key: string;
  readonly value: string;
  readonly worker: number;
  /** When it comes up, milliseconds from the first one. */
  readonly atMs: number;
}

/** Keys that are written in each session, over and over. */
const KEYS = 5;

/** The same for everybody who is to cope with it: every worker has a change every so often, of all sessions in turn. */
export function changesOf({ changes, sessions, workers, withinMs }: StormTraffic): Change[] {
  return Array.from({ length: changes }, (_, index) => ({
    sessionId: `injected-${index % sessions}`,
    key: `crm_field_${Math.floor(index / sessions) % KEYS}`,
    value: `value ${index}`,
    worker: index % workers,
    atMs: (index * withinMs) / changes,
  }));
}

/** The variables of an inject that makes this change. */
export function variablesOf({ key, value }: Change): JsonObject[] {
  return [{ key, value, scope: 'session' }];
}
