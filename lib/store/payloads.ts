import { createHash, type KeyObject } from 'node:crypto';
import type { Vault } from '../platform/vault.ts';
import { BLOB_PREFIX } from './keys.ts';
import { type Key, type Table, ttlSeconds } from './table.ts';

/** Bytes of one part of an out-of-line payload: with keys and overhead well below the 400 KB of an item. */
const PART_BYTES = 380_000;

/** A sealed payload: in its item, or a reference to items of its own. */
export type StoredPayload = Uint8Array | string;

/**
 * Payloads of any size under one session. Small ones are sealed in place; large ones go to immutable items of their own,
 * cut into parts below DynamoDB's 400 KB. Their name is the digest of what was sealed. So each writing has a name of its own
 * (two writers of the same content seal it differently, and a mixture of their parts would open for nobody), and whoever
 * vouches for a name vouches for every byte.
 */
export class Payloads {
  readonly #table: Table;
  readonly #vault: Vault;

  constructor(table: Table, vault: Vault) {
    this.#table = table;
    this.#vault = vault;
  }

  /** Seals in place when that takes at most `inlineBytes`, else writes items that live until `keepUntilMs`. */
  async store(
    pk: string,
    plain: Uint8Array,
    options: {
      readonly inlineBytes: number;
      readonly keepUntilMs: number;
      readonly key?: KeyObject;
      /** The operation that is to be committed with it. */
      readonly operationId?: string;
    },
  ): Promise<StoredPayload> {
    const sealed = this.#vault.seal(pk, plain, options.key);
    if (sealed.byteLength <= options.inlineBytes) return sealed;
    const { ref, items } = this.#placeOf(pk, sealed, options.keepUntilMs);
    const { operationId } = options;
    await this.#table.putMany(items.map((item) => ({ ...item, ...(operationId !== undefined && { operationId }) })));
    return ref;
  }

  /**
   * Writes payloads out of line, whatever their sizes, and returns their references in the order given. All at once and in
   * batches: one request for each of many values would open a connection for each.
   */
  async storeOutOfLine(
    pk: string,
    plains: readonly Uint8Array[],
    { keepUntilMs, key }: { readonly keepUntilMs: number; readonly key?: KeyObject },
  ): Promise<string[]> {
    const placed = plains.map((plain) => this.#placeOf(pk, this.#vault.seal(pk, plain, key), keepUntilMs));
    await this.#table.putMany(placed.flatMap(({ items }) => items));
    return placed.map(({ ref }) => ref);
  }

  /** The reference of a sealed payload, and the items that it is under that name. */
  #placeOf(pk: string, sealed: Uint8Array, keepUntilMs: number) {
    const parts = Math.ceil(sealed.byteLength / PART_BYTES);
    const ref = `${nameOf(sealed)}.${parts}`;
    const items = partKeys(pk, ref).map((key, index) => ({
      ...key,
      body: sealed.subarray(index * PART_BYTES, (index + 1) * PART_BYTES),
      ttl: ttlSeconds(keepUntilMs),
    }));
    return { ref, items };
  }

  /** Keeps what `refs` name until `keepUntilMs`. Items that TTL has already taken are not brought back. */
  async keep(pk: string, refs: readonly string[], keepUntilMs: number): Promise<void> {
    await Promise.all(
      refs
        .flatMap((ref) => partKeys(pk, ref))
        .map((key) =>
          this.#table.update({
            key,
            expression: 'SET #ttl = :ttl',
            condition: 'attribute_exists(pk) AND #ttl < :ttl',
            names: { '#ttl': 'ttl' },
            values: { ':ttl': ttlSeconds(keepUntilMs) },
          }),
        ),
    );
  }

  /** Deletes what has been stored, where nothing was made to point to it after all. */
  async drop(pk: string, stored: StoredPayload): Promise<void> {
    if (typeof stored === 'string') await this.#table.deleteMany(partKeys(pk, stored));
  }

  /**
   * Opens a payload.
   * @throws {MissingPayloadError} when its items are gone or others'; {SealError} when it cannot be opened.
   */
  async open(pk: string, stored: StoredPayload, key?: KeyObject): Promise<Uint8Array> {
    if (typeof stored !== 'string') return this.#vault.open(pk, stored, key);
    const [plain] = await this.openMany(pk, [stored], key);
    if (plain === undefined) throw new MissingPayloadError();
    return plain;
  }

  /** Opens out-of-line payloads in the order given, in as few round trips as DynamoDB allows. */
  async openMany(pk: string, refs: readonly string[], key?: KeyObject): Promise<Uint8Array[]> {
    const items = await this.#table.getMany([...new Set(refs)].flatMap((ref) => partKeys(pk, ref)));
    const bodyBySk = new Map(items.map((item) => [item['sk'], item['body']]));
    return refs.map((ref) => {
      const parts = partKeys(pk, ref).map(({ sk }) => bodyBySk.get(sk));
      if (!parts.every((part) => part instanceof Uint8Array)) throw new MissingPayloadError();
      const sealed = Buffer.concat(parts);
      if (nameOf(sealed) !== ref.slice(0, ref.lastIndexOf('.'))) throw new MissingPayloadError();
      return this.#vault.open(pk, sealed, key);
    });
  }
}

/** An out-of-line payload is not there any more, or something else lies in its place. */
export class MissingPayloadError extends Error {
  constructor() {
    super('an out-of-line payload is missing');
    this.name = 'MissingPayloadError';
  }
}

function nameOf(sealed: Uint8Array): string {
  return createHash('sha256').update(sealed).digest('base64url');
}

function partKeys(pk: string, ref: string): Key[] {
  const parts = Number(ref.slice(ref.lastIndexOf('.') + 1));
  return Array.from({ length: parts }, (_, index) => ({ pk, sk: `${BLOB_PREFIX}${ref}#${index}` }));
}

/** True when a payload is not there any more, or was sealed under another key. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof Error && (error.name === 'SealError' || error.name === 'MissingPayloadError');
}

/** SHA-256 over what the table holds for a payload: its sealed bytes, or their name, which is a digest of them itself. */
export function digestOf(stored: Uint8Array | string): string {
  return createHash('sha256').update(stored).digest('hex');
}
