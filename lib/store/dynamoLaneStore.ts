import type { Mirror } from '../context/mirror.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Occurrence } from '../operations/ports/crm.ts';
import type {
  Lane,
  LaneStore,
  Lease,
  NewAuditEntry,
  NewOperation,
  SessionKey,
  Settlement,
  WriteMirrorOptions,
} from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { Answers } from './answers.ts';
import { LaneReader } from './laneReader.ts';
import { Lanes, type LanesOptions } from './lanes.ts';
import { Mirrors } from './mirrors.ts';
import { Payloads } from './payloads.ts';
import type { Table } from './table.ts';

/** {@link LaneStore} over one DynamoDB table: what functions carry that change sessions and do not look at their past. */
export class DynamoLaneStore implements LaneStore {
  protected readonly reader: LaneReader;
  protected readonly lanes: Lanes;
  protected readonly mirrors: Mirrors;
  protected readonly payloads: Payloads;
  readonly #answers: Answers;

  constructor(table: Table, vault: Vault, options: LanesOptions) {
    this.payloads = new Payloads(table, vault);
    this.reader = new LaneReader(table, this.payloads, vault);
    this.#answers = new Answers(table, this.reader, this.payloads, vault);
    const parts = { payloads: this.payloads, vault, reader: this.reader, answers: this.#answers };
    this.lanes = new Lanes(table, parts, options);
    this.mirrors = new Mirrors(table, this.payloads);
  }

  commit(command: { sessionId: SessionId; operation: NewOperation; lease: Lease; dueAtMs: number }) {
    const { sessionId, ...rest } = command;
    return this.lanes.commit({ session: { sessionId }, ...rest });
  }

  readLane(session: SessionKey) {
    return this.reader.read(session);
  }

  readProgress(session: SessionKey) {
    return this.reader.readProgress(session);
  }

  takeLease(session: SessionKey, lease: Lease, nowMs: number) {
    return this.lanes.takeLease(session, lease, nowMs);
  }

  settle(lane: Lane, settlement: Settlement) {
    return this.lanes.settle(lane, settlement);
  }

  archive(lane: Lane) {
    return this.lanes.archive(lane);
  }

  readOutbox(lane: Lane) {
    return this.lanes.readOutbox(lane);
  }

  noteOccurrence(lane: Lane, occurrence: Occurrence) {
    return this.lanes.noteOccurrence(lane, occurrence);
  }

  withdrawOccurrence(sessionId: SessionId, occurrence: Occurrence) {
    return this.lanes.withdrawOccurrence({ sessionId }, occurrence);
  }

  noteRefusal(sessionId: SessionId, refusal: NewAuditEntry, dueAtMs: number) {
    return this.lanes.noteRefusal({ sessionId }, refusal, dueAtMs);
  }

  findOutcome(session: SessionKey, outcomeId: string) {
    return this.#answers.find(session, outcomeId);
  }

  readMirror(lane: Lane, stateRef: string) {
    return this.mirrors.read(this.reader.placeOf(lane), stateRef);
  }

  writeMirror(lane: Lane, mirror: Mirror, options: WriteMirrorOptions) {
    // What an idle session had is no past of the one that starts anew.
    const previous = lane.idleUntilMs > options.atMs ? lane.stateRef : undefined;
    return this.mirrors.write(this.reader.placeOf(lane), mirror, { ...options, previous });
  }

  loadValues(lane: Lane, mirror: Mirror) {
    return this.mirrors.loadValues(this.reader.placeOf(lane), mirror);
  }

  dueSessions(shard: number, nowMs: number) {
    return this.reader.dueSessions(shard, nowMs);
  }
}
