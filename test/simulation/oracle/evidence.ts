import type { JsonValue } from '../../../lib/context/json.ts';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { AuditPage } from '../../../lib/operations/ports/sessionStore.ts';
import type { Call, Read } from '../clients/calls.ts';
import type { Told } from '../world/outside.ts';
import type { Effects, Ending } from './effects.ts';
import type { LaneHistory } from './lanes.ts';
import type { Sighting, Transition } from './sightings.ts';

/** Everything that was seen of one simulation, when it is over and nothing is left to do. */
export interface Evidence {
  readonly calls: readonly Call[];
  /** By correlation id. */
  readonly callsById: ReadonlyMap<string, Call>;
  readonly reads: readonly Read[];
  readonly sightings: readonly Sighting[];
  readonly transitions: readonly Transition[];
  readonly told: Told;
  readonly sessions: readonly SessionEvidence[];
  /** Of sessions that wait for nothing but the next expiry. */
  readonly rests: readonly Rest[];
  /** Whether sessions were idle for too long in between: then mirrors begin anew, and what the bot has stays. */
  readonly mayIdle: boolean;
  /** Epoch milliseconds. */
  readonly endMs: number;
}

/** One session at the end. */
export interface SessionEvidence {
  readonly session: SessionId;
  readonly lane: LaneHistory;
  readonly effects: Effects;
  /** By operation id. */
  readonly endings: ReadonlyMap<string, Ending>;
  readonly audit: AuditPage | undefined;
  /** What the bot has, by slot. */
  readonly bot: ReadonlyMap<string, JsonValue>;
  /** When the bot has changed its own context, epoch milliseconds. */
  readonly botChangesMs: readonly number[];
}

/** What the bot has where the schedule has come round and nothing goes wrong any more. */
export interface Rest {
  readonly session: SessionId;
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly bot: ReadonlyMap<string, JsonValue>;
}

/** Says what is wrong; it begins with the invariant's name. */
export type Broken = (what: string) => void;
