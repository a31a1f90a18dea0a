import type { Mirror } from '../context/mirror.ts';
import type { SessionId } from '../context/sessionId.ts';
import type {
  AuditPage,
  AuditQuery,
  Lane,
  Lease,
  NewAuditEntry,
  NewOperation,
  SessionKey,
  SessionStore,
  Settlement,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { AuditTrail } from './auditTrail.ts';
import { Lanes, type LanesOptions } from './lanes.ts';
import { Mirrors } from './mirrors.ts';
import { Payloads } from './payloads.ts';
import type { Table } from './table.ts';

/** {@link SessionStore} over one DynamoDB table. */
export class DynamoSessionStore implements SessionStore {
  readonly #lanes: Lanes;
  readonly #mirrors: Mirrors;
  readonly #audit: AuditTrail;

  constructor(table: Table, vault: Vault, options: LanesOptions) {
    const payloads = new Payloads(table, vault);
    this.#lanes = new Lanes(table, payloads, vault, options);
    this.#mirrors = new Mirrors(table, payloads, vault);
    this.#audit = new AuditTrail(table, this.#lanes, payloads, vault);
  }

  commit(command: { sessionId: SessionId; operation: NewOperation; lease: Lease; dueAtMs: number }) {
    const { sessionId, ...rest } = command;
    return this.#lanes.commit({ session: { sessionId }, ...rest });
  }

  readLane(session: SessionKey) {
    return this.#lanes.read(session);
  }

  readProgress(session: SessionKey) {
    return this.#lanes.readProgress(session);
  }

  takeLease(session: SessionKey, lease: Lease, nowMs: number) {
    return this.#lanes.takeLease(session, lease, nowMs);
  }

  settle(lane: Lane, settlement: Settlement) {
    return this.#lanes.settle(lane, settlement);
  }

  archive(lane: Lane) {
    return this.#lanes.archive(lane);
  }

  noteRefusal(sessionId: SessionId, refusal: NewAuditEntry, dueAtMs: number) {
    return this.#lanes.noteRefusal({ sessionId }, refusal, dueAtMs);
  }

  findOutcome(session: SessionKey, outcomeId: string) {
    return this.#lanes.findOutcome(session, outcomeId);
  }

  readMirror(session: SessionKey, stateRef: string) {
    return this.#mirrors.read(session, stateRef);
  }

  writeMirror(session: SessionKey, mirror: Mirror, options: { fence: string; keepUntilMs: number }) {
    return this.#mirrors.write(session, mirror, options);
  }

  loadValues(session: SessionKey, mirror: Mirror) {
    return this.#mirrors.loadValues(session, mirror);
  }

  readAudit(session: SessionKey, query: AuditQuery): Promise<AuditPage | undefined> {
    return this.#audit.read(session, query);
  }

  dueSessions(shard: number, nowMs: number) {
    return this.#lanes.dueSessions(shard, nowMs);
  }
}
