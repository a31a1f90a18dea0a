import type {
  AuditPage,
  AuditQuery,
  Erasure,
  Lane,
  SessionKey,
  SessionStore,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { AuditTrail } from './auditTrail.ts';
import { DynamoLaneStore } from './dynamoLaneStore.ts';
import { Eraser } from './eraser.ts';
import { sessionPk } from './keys.ts';
import type { LanesOptions } from './lanes.ts';
import type { Table } from './table.ts';

/** {@link SessionStore} over one DynamoDB table. */
export class DynamoSessionStore extends DynamoLaneStore implements SessionStore {
  readonly #vault: Vault;
  readonly #audit: AuditTrail;
  readonly #eraser: Eraser;

  constructor(table: Table, vault: Vault, options: LanesOptions) {
    super(table, vault, options);
    this.#vault = vault;
    this.#audit = new AuditTrail(table, this.reader, this.payloads, vault);
    this.#eraser = new Eraser(table, this.lanes);
  }

  async readHistory(lane: Lane, version: number) {
    if (lane.stateRef === undefined) return undefined;
    return this.mirrors.readHistory(this.reader.placeOf(lane), lane.stateRef, version);
  }

  erase(lane: Lane, erasure: Erasure) {
    return this.#eraser.erase(lane, erasure);
  }

  eraseWithoutLane(session: SessionKey) {
    return this.#eraser.eraseWithoutLane(sessionPk(this.#vault, session));
  }

  readAudit(session: SessionKey, query: AuditQuery): Promise<AuditPage | undefined> {
    return this.#audit.read(session, query);
  }

  readRecentAudit(lane: Lane, query: { nowMs: number; limit: number }) {
    return this.#audit.readRecent(lane, query);
  }
}
