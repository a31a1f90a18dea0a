import type { Mirror } from '../context/mirror.ts';
import type { SessionId } from '../context/sessionId.ts';
import type {
  AuditPage,
  AuditQuery,
  Erasure,
  Lane,
  Lease,
  NewAuditEntry,
  NewOperation,
  SessionKey,
  SessionStore,
  Settlement,
  WriteMirrorOptions,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { Answers } from './answers.ts';
import { AuditTrail } from './auditTrail.ts';
import { Eraser } from './eraser.ts';
import { sessionPk } from './keys.ts';
import { LaneReader } from './laneReader.ts';
import { Lanes, type LanesOptions } from './lanes.ts';
import { Mirrors } from './mirrors.ts';
import { Payloads } from './payloads.ts';
import type { Table } from './table.ts';

/** {@link SessionStore} over one DynamoDB table. */
export class DynamoSessionStore implements SessionStore {
  readonly #vault: Vault;
  readonly #reader: LaneReader;
  readonly #answers: Answers;
  readonly #lanes: Lanes;
  readonly #mirrors: Mirrors;
  readonly #audit: AuditTrail;
  readonly #eraser: Eraser;

  constructor(table: Table, vault: Vault, options: LanesOptions) {
    const payloads = new Payloads(table, vault);
    this.#vault = vault;
    this.#reader = new LaneReader(table, payloads, vault);
    this.#answers = new Answers(table, this.#reader, payloads, vault);
    this.#lanes = new Lanes(table, { payloads, vault, reader: this.#reader, answers: this.#answers }, options);
    this.#mirrors = new Mirrors(table, payloads);
    this.#audit = new AuditTrail(table, this.#reader, payloads, vault);
    this.#eraser = new Eraser(table, this.#lanes, this.#reader);
  }

  commit(command: { sessionId: SessionId; operation: NewOperation; lease: Lease; dueAtMs: number }) {
    const { sessionId, ...rest } = command;
    return this.#lanes.commit({ session: { sessionId }, ...rest });
  }

  readLane(session: SessionKey) {
    return this.#reader.read(session);
  }

  readProgress(session: SessionKey) {
    return this.#reader.readProgress(session);
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
    return this.#answers.find(session, outcomeId);
  }

  readMirror(lane: Lane, stateRef: string) {
    return this.#mirrors.read(this.#reader.placeOf(lane), stateRef);
  }

  writeMirror(lane: Lane, mirror: Mirror, options: WriteMirrorOptions) {
    // What an idle session had is no past of the one that starts anew.
    const previous = lane.idleUntilMs > options.atMs ? lane.stateRef : undefined;
    return this.#mirrors.write(this.#reader.placeOf(lane), mirror, { ...options, previous });
  }

  loadValues(lane: Lane, mirror: Mirror) {
    return this.#mirrors.loadValues(this.#reader.placeOf(lane), mirror);
  }

  async readHistory(lane: Lane, version: number) {
    if (lane.stateRef === undefined) return undefined;
    return this.#mirrors.readHistory(this.#reader.placeOf(lane), lane.stateRef, version);
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

  dueSessions(shard: number, nowMs: number) {
    return this.#reader.dueSessions(shard, nowMs);
  }
}
