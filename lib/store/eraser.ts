import type { Erasure, Lane } from '../operations/ports/sessionStore.ts';
import {
  BLOB_PREFIX,
  BOUND_RECORD_PREFIX,
  EVENT_PREFIX,
  mirroredBinding,
  OUTCOME_PREFIX,
  SNAPSHOTS_SK,
  STATE_PREFIX,
} from './keys.ts';
import type { LaneReader } from './laneReader.ts';
import type { Lanes } from './lanes.ts';
import { collect, type Key, type Table } from './table.ts';

/** What lies beside the lane and its audit entries. */
const CONTENT_PREFIXES = [STATE_PREFIX, BLOB_PREFIX, OUTCOME_PREFIX, EVENT_PREFIX, SNAPSHOTS_SK];

/**
 * Erases a session (SPEC 2 "Erase"): first the lane forgets the salt of which the key to everything is made, then the items
 * go that were there before. What somebody who was fenced out still writes meanwhile opens for nobody, and goes by its TTL.
 */
export class Eraser {
  readonly #table: Table;
  readonly #lanes: Lanes;
  readonly #reader: LaneReader;

  constructor(table: Table, lanes: Lanes, reader: LaneReader) {
    this.#table = table;
    this.#lanes = lanes;
    this.#reader = reader;
  }

  /** False when the lane has changed since it was read. Again for what is erased already: finishes what was cut short. */
  async erase(lane: Lane, erasure: Erasure): Promise<boolean> {
    // Before the lane forgets: what comes afterwards is of a session that begins anew, and must stay.
    const keys = await this.#contentKeys(this.#reader.placeOf(lane).pk);
    const isForgotten = this.#lanes.isForgotten(lane)
      ? await this.#lanes.isStillForgotten(lane)
      : await this.#lanes.forget(lane, erasure);
    if (isForgotten) await this.#table.deleteMany(keys);
    return isForgotten;
  }

  /** What a session has that nobody has ever written to: it has been looked at (SPEC 2 "snapshot"). */
  async eraseWithoutLane(pk: string): Promise<void> {
    await this.#table.deleteMany(await this.#contentKeys(pk));
  }

  async #contentKeys(pk: string): Promise<Key[]> {
    const found = await Promise.all(CONTENT_PREFIXES.map((prefix) => collect(this.#table.queryKeys({ pk, prefix }))));
    const bindings = await collect(this.#table.queryKeys({ pk, prefix: BOUND_RECORD_PREFIX }));
    return [...found.flat(), ...bindings, ...bindings.map(mirroredBinding)];
  }
}
