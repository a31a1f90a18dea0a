import { encodeTime } from 'ulid';
import type { Erasure, Lane } from '../operations/ports/sessionStore.ts';
import {
  BLOB_PREFIX,
  BOUND_RECORD_PREFIX,
  EVENT_PREFIX,
  laneKey,
  mirroredBinding,
  OUTCOME_PREFIX,
  SNAPSHOTS_SK,
  STATE_PREFIX,
} from './keys.ts';
import { asStored } from './laneReader.ts';
import { LATE_MS, type Lanes } from './lanes.ts';
import { collect, type Key, type Table } from './table.ts';

/** What lies beside the lane and its audit entries. */
const CONTENT_PREFIXES = [STATE_PREFIX, BLOB_PREFIX, OUTCOME_PREFIX, EVENT_PREFIX, SNAPSHOTS_SK, BOUND_RECORD_PREFIX];

/**
 * Erases a session (SPEC 2 "Erase"): first the lane forgets the salt of which the key to everything is made, then the items
 * go that were there before. What somebody who was fenced out still writes meanwhile opens for nobody, and goes by its TTL. What
 * somebody has put there for an operation that he is about to commit stays: it is of a session that begins anew.
 */
export class Eraser {
  readonly #table: Table;
  readonly #lanes: Lanes;

  constructor(table: Table, lanes: Lanes) {
    this.#table = table;
    this.#lanes = lanes;
  }

  /** False when the lane has changed since it was read. Again for what is erased already: finishes what was cut short. */
  async erase(lane: Lane, erasure: Erasure): Promise<boolean> {
    // Before the lane forgets: what comes afterwards is of a session that begins anew, and must stay.
    const { pk, openIds } = asStored(lane).item;
    const keys = await this.#contentKeys(pk, openIds);
    const isForgotten = this.#lanes.isForgotten(lane)
      ? await this.#lanes.isStillForgotten(lane)
      : await this.#lanes.forget(lane, erasure);
    if (isForgotten) await this.#table.deleteMany(keys);
    return isForgotten;
  }

  /**
   * What a session has that nobody has ever written to: it has been looked at (SPEC 2 "snapshot"). False when somebody has written
   * to it meanwhile.
   */
  async eraseWithoutLane(pk: string): Promise<boolean> {
    const keys = await this.#contentKeys(pk, new Set());
    // Where there is no lane by now, nothing that comes with one has been found.
    if ((await this.#table.get(laneKey(pk))) !== undefined) return false;
    await this.#table.deleteMany(keys);
    return true;
  }

  /** @param committed - the operations of the last minute that have been committed, whatever has become of them since */
  async #contentKeys(pk: string, committed: ReadonlySet<Uint8Array>): Promise<Key[]> {
    const known = new Set([...committed].map((id) => Buffer.from(id).toString()));
    const recent = encodeTime(this.#table.options.clock.now() - LATE_MS);
    const found = await Promise.all(CONTENT_PREFIXES.map((prefix) => collect(this.#table.queryKeys({ pk, prefix }))));
    const keys = found.flat().flatMap(({ key, operationId = '' }) => {
      const isUncommitted = operationId > recent && !known.has(operationId);
      return isUncommitted ? [] : [key];
    });
    const bindings = keys.filter(({ sk }) => sk.startsWith(BOUND_RECORD_PREFIX));
    return [...keys, ...bindings.map(mirroredBinding)];
  }
}
