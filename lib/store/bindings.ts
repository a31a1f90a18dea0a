import type { RecordRef } from '../context/crmRecord.ts';
import { parseSessionId, type SessionId } from '../context/sessionId.ts';
import type { Bindings, BoundSession } from '../operations/ports/crm.ts';
import { StoreError } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { boundSessionKey, mirroredBinding, recordPk, sessionPk } from './keys.ts';
import { type Item, type Key, type Table, ttlSeconds } from './table.ts';

const BINDING_FORMAT = 1;
/** As long as a session lives upstream, at the longest. */
const KEPT_MS = 7 * 24 * 3_600_000;

/** {@link Bindings} in the table: each is two items, one under the record and one under the session. */
export class DynamoBindings implements Bindings {
  protected readonly table: Table;
  protected readonly vault: Vault;

  constructor(table: Table, vault: Vault) {
    this.table = table;
    this.vault = vault;
  }

  async bind(record: RecordRef, sessionId: SessionId, nowMs: number): Promise<void> {
    const key = this.#keyOf(record, sessionId);
    const ttl = ttlSeconds(nowMs + KEPT_MS);
    const sealedId = this.vault.seal(key.pk, Buffer.from(sessionId, 'utf8'));
    // The session's side first: an erase in between finds both.
    await this.#put(mirroredBinding(key), { ttl });
    await this.#put(key, { ttl, sealedId, boundAtMs: nowMs });
  }

  async #put(key: Key, attributes: Readonly<Record<string, unknown>>): Promise<void> {
    const all = Object.entries({ format: BINDING_FORMAT, ...attributes });
    const result = await this.table.update({
      answer: 'nothing',
      key,
      expression: `SET ${all.map(([name]) => `#${name} = :${name}`).join(', ')}`,
      condition: 'NOT #format > :format',
      names: Object.fromEntries(all.map(([name]) => [`#${name}`, name])),
      values: Object.fromEntries(all.map(([name, value]) => [`:${name}`, value])),
    });
    if (result.kind === 'condition-failed') throw unknownFormat();
  }

  async unbind(record: RecordRef, sessionId: SessionId): Promise<void> {
    const key = this.#keyOf(record, sessionId);
    await this.table.deleteMany([key, mirroredBinding(key)]);
  }

  #keyOf(record: RecordRef, sessionId: SessionId) {
    return boundSessionKey(recordPk(this.vault, record), sessionPk(this.vault, { sessionId }));
  }

  /** @throws {StoreError} for what is damaged, or what a newer bridge has written (SCENARIOS 48). */
  protected decode({ pk, format, sealedId, boundAtMs }: Item): BoundSession {
    if (format === BINDING_FORMAT && sealedId instanceof Uint8Array && typeof boundAtMs === 'number') {
      const sessionId = parseSessionId(Buffer.from(this.vault.open(String(pk), sealedId)).toString('utf8'));
      if (sessionId !== undefined) return { sessionId, boundAtMs };
    }
    throw unknownFormat();
  }
}

/** For what is damaged, or what a newer bridge has written: better no answer than damage (SCENARIOS 48). */
export function unknownFormat(): StoreError {
  return new StoreError(
    'store-unavailable',
    new Error('an item of a CRM is damaged, or of a format that is not known'),
  );
}
