import { parseSessionId, type SessionId } from '../context/sessionId.ts';
import type { Bindings, BoundSession, RecordRef } from '../operations/ports/crm.ts';
import { StoreError } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { boundSessionKey, mirroredBinding, recordPk, sessionPk } from './keys.ts';
import { type Item, type Table, ttlSeconds } from './table.ts';

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
    const common = { format: BINDING_FORMAT, ttl: ttlSeconds(nowMs + KEPT_MS) };
    const sealedId = this.vault.seal(key.pk, Buffer.from(sessionId, 'utf8'));
    await this.table.putMany([
      { ...mirroredBinding(key), ...common },
      { ...key, ...common, sealedId, boundAtMs: nowMs },
    ]);
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
    throw new StoreError('store-unavailable', new Error('a binding is damaged, or of a format that is not known'));
  }
}
