import type { KeyObject } from 'node:crypto';
import type { OutboundEvent } from '../operations/ports/eventQueue.ts';
import type { Lane } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { laneKey } from './keys.ts';
import { asStored } from './laneReader.ts';
import { isUnreadable } from './payloads.ts';
import type { Item, Table } from './table.ts';

export const EVENT_FORMAT = 1;
/** An event that nobody has looked at for so long after it was due is dropped. */
export const EVENT_KEPT_MS = 7 * 24 * 3_600_000;

/** Events as they lie in the table: sealed with their session's salt where it has one, so that an erase takes them along. */
export class SealedEvents {
  readonly #table: Table;
  readonly #vault: Vault;

  constructor(table: Table, vault: Vault) {
    this.#table = table;
    this.#vault = vault;
  }

  seal(pk: string, event: OutboundEvent, lane: Lane | undefined): { body: Uint8Array; isSalted: boolean } {
    const plain = Buffer.from(JSON.stringify(event), 'utf8');
    const key = lane && this.#vault.contentKey(asStored(lane).item.salt);
    return { body: this.#vault.seal(pk, plain, key), isSalted: lane !== undefined };
  }

  /** Undefined for what opens no more, and for what a newer bridge has written, which is its to deliver. */
  async open(pk: string, { format, body, isSalted }: Item): Promise<OutboundEvent | undefined> {
    if (typeof format !== 'number' || format > EVENT_FORMAT || !(body instanceof Uint8Array)) return undefined;
    try {
      const key = isSalted === true ? await this.#keyOf(pk) : undefined;
      // What the bridge sealed itself needs no second check of its shape: AES-GCM vouches for every byte.
      return JSON.parse(Buffer.from(this.#vault.open(pk, body, key)).toString('utf8'));
    } catch (error) {
      if (isUnreadable(error)) return undefined;
      throw error;
    }
  }

  async #keyOf(pk: string): Promise<KeyObject | undefined> {
    // Consistently: an event that opens with an old salt only would be taken for erased.
    const salt = (await this.#table.get(laneKey(pk)))?.['salt'];
    return salt instanceof Uint8Array ? this.#vault.contentKey(salt) : undefined;
  }
}
