import type { RecordRef } from '../context/crmRecord.ts';
import type { SessionKey } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import type { Key } from './table.ts';

/** The only place that knows how keys of the table look. No key holds a raw id (SPEC 8). */
const SESSION = 'SESSION#';

export function sessionPk(vault: Vault, session: SessionKey): string {
  return storedPk({ key: 'key' in session ? session.key : vault.hashId('session', session.sessionId) });
}

/** {@link sessionPk} where only the stored key is known. */
export function storedPk({ key }: { readonly key: string }): string {
  return SESSION + key;
}

export function laneKey(pk: string): Key {
  return { pk, sk: 'LANE' };
}

/** Inverse of {@link sessionPk} for keys that come out of the due index. */
export function sessionKeyOf(pk: string): { readonly key: string } {
  return { key: pk.slice(SESSION.length) };
}

export const STATE_PREFIX = 'STATE#';
export const AUDIT_PREFIX = 'AUDIT#';
export const BLOB_PREFIX = 'BLOB#';
export const OUTCOME_PREFIX = 'OUTCOME#';
export const EVENT_PREFIX = 'EVENT#';
export const SNAPSHOTS_SK = 'SNAPSHOTS';

/** Twelve digits sort as numbers up to a million operations a second for eleven days. */
function sortable(number: number): string {
  return String(number).padStart(12, '0');
}

/** One attempt's mirror of one version: the fence keeps a holder that was taken over from overwriting its successor's. */
export function stateRefOf(version: number, fence: string): string {
  return `${sortable(version)}#${fence}`;
}

export function stateKey(pk: string, stateRef: string): Key {
  return { pk, sk: STATE_PREFIX + stateRef };
}

export function auditKey(pk: string, seq: number): Key {
  return { pk, sk: AUDIT_PREFIX + sortable(seq) };
}

/** Inverse of {@link auditKey}; `undefined` for a sort key that the bridge does not write. */
export function auditSeqOf(sk: unknown): number | undefined {
  if (typeof sk !== 'string') return undefined;
  const seq = Number(sk.slice(AUDIT_PREFIX.length));
  return seq >= 1 && sk === AUDIT_PREFIX + sortable(seq) ? seq : undefined;
}

export function outcomeKey(pk: string, outcomeId: string): Key {
  return { pk, sk: OUTCOME_PREFIX + outcomeId };
}

/** An event that waits for its delivery. */
export function eventKey(pk: string, eventId: string): Key {
  return { pk, sk: EVENT_PREFIX + eventId };
}

/** Inverse of {@link eventKey} for keys that come out of the due index. */
export function eventIdOf({ sk }: Key): string {
  return sk.slice(EVENT_PREFIX.length);
}

/** What is remembered of a session's live reads. */
export function snapshotsKey(pk: string): Key {
  return { pk, sk: SNAPSHOTS_SK };
}

const BINDING = 'BINDING#';

/** The partition of a record in a CRM: what is known of it, and the sessions that are bound to it. */
export function recordPk(vault: Vault, { source, recordId }: RecordRef): string {
  return BINDING + vault.hashId('record', `${source}:${recordId}`);
}

/** What is known of a record itself. */
export function recordKey(pk: string): Key {
  return { pk, sk: 'RECORD' };
}

/** Sessions under their record, and the other way round: so that a session knows what it is bound to when it goes. */
export const BOUND_SESSION_PREFIX = SESSION;
export const BOUND_RECORD_PREFIX = BINDING;

export function boundSessionKey(record: string, session: string): Key {
  return { pk: record, sk: session };
}

/** The other of the two keys of a binding. */
export function mirroredBinding({ pk, sk }: Key): Key {
  return { pk: sk, sk: pk };
}

/** An event of a CRM that has been seen. */
export function seenKey(vault: Vault, source: string, eventId: string): Key {
  return { pk: `SEEN#${vault.hashId('event', `${source}:${eventId}`)}`, sk: 'SEEN' };
}

/** What is known of a destination of outbound events. */
export function destinationKey(destination: string): Key {
  return { pk: `DEST#${destination}`, sk: 'DEST' };
}

export function tokenKeyOf(tokenKey: string): Key {
  return { pk: `TOKEN#${tokenKey}`, sk: 'TOKEN' };
}

export function rateKeyOf(cell: string): Key {
  return { pk: `RATE#${cell}`, sk: 'RATE' };
}

/** Counts of one hour and function are spread over so many items: one item takes 1,000 writes a second. */
export const ROLLUP_SHARDS = 8;

/** The hour of a moment (epoch milliseconds), counted from the epoch. */
export function rollupHour(epochMs: number): number {
  return Math.floor(epochMs / 3_600_000);
}

/** Counts of one function's operations in one hour, or what one of the shards has of them. */
export function rollupKey(hour: number, shard: number, functionName: string): Key {
  return { pk: `METRIC#${hour}#${shard}`, sk: functionName };
}

/** Which of `shards` partitions of the due index a session belongs to: spread evenly, always the same. */
export function dueShardOf(pk: string, shards: number): string {
  return dueShardName(shardOf(pk, shards));
}

function shardOf(pk: string, shards: number): number {
  // The key's own characters are a keyed hash, so that any four of them are uniform.
  return Buffer.from(pk.slice(SESSION.length), 'base64url').readUInt32BE(0) % shards;
}

export function dueShardName(shard: number): string {
  return `DUE#${shard}`;
}

/** Which partition of the due index a session's events wait in: who looks for lanes does not see them. */
export function outShardOf(pk: string, shards: number): string {
  return outShardName(shardOf(pk, shards));
}

export function outShardName(shard: number): string {
  return `OUT#${shard}`;
}
