import { createHmac, type KeyObject } from 'node:crypto';
import { canonicalJson } from './canonicalJson.ts';

/** Where a session's chain ends: what the next entry is linked to. */
export interface ChainHead {
  /** Sequence number of the last entry; 0 before the first. */
  readonly seq: number;
  readonly hash: string;
  /** Epoch milliseconds until which the last entry is kept; 0 before the first. */
  readonly keptUntilMs: number;
}

export const CHAIN_START: ChainHead = { seq: 0, hash: '', keptUntilMs: 0 };

/** What an entry is before it is linked. */
export interface UnlinkedEntry {
  readonly operationId: string;
  readonly atMs: number;
  readonly keptUntilMs: number;
  /** SHA-256 of the sealed payload as stored, so that the chain still verifies when the payload can no longer be read. */
  readonly payloadDigest: string;
}

export interface ChainEntry extends UnlinkedEntry {
  readonly seq: number;
  readonly prevHash: string;
  /** Until when the entry before this one is kept: after that, its absence is no gap. */
  readonly prevKeptUntilMs: number;
  readonly hash: string;
}

/**
 * Links entries to the head, in order. The hash is keyed (HMAC-SHA-256), so that someone who can write the table but does
 * not hold the key cannot forge a chain that verifies.
 */
export function linkEntries<Entry extends UnlinkedEntry>(
  key: Uint8Array | KeyObject,
  head: ChainHead,
  entries: readonly Entry[],
): { linked: (Entry & ChainEntry)[]; head: ChainHead } {
  let last = head;
  const linked = entries.map((entry) => {
    const unhashed = { ...entry, seq: last.seq + 1, prevHash: last.hash, prevKeptUntilMs: last.keptUntilMs };
    const hash = entryHash(key, unhashed);
    last = { seq: unhashed.seq, hash, keptUntilMs: entry.keptUntilMs };
    return { ...unhashed, hash };
  });
  return { linked, head: last };
}

export type ChainVerdict =
  | { readonly valid: true; readonly brokenAt: null }
  /** `brokenAt`: sequence number of the first entry that is missing, altered or out of place. */
  | { readonly valid: false; readonly brokenAt: number };

/**
 * Checks a session's whole chain, oldest first, against its head. The oldest entries may be gone only when their time to be
 * kept has passed at `nowMs`.
 */
export function verifyChain(
  key: Uint8Array | KeyObject,
  entries: readonly ChainEntry[],
  head: ChainHead,
  nowMs: number,
): ChainVerdict {
  const broken = (brokenAt: number): ChainVerdict => ({ valid: false, brokenAt });
  const first = entries[0];
  if (first === undefined) {
    return head.seq === 0 || head.keptUntilMs <= nowMs ? { valid: true, brokenAt: null } : broken(head.seq);
  }
  if (first.seq !== 1 && first.prevKeptUntilMs > nowMs) return broken(first.seq - 1);

  let expectedSeq = first.seq;
  let expectedPrev = first.seq === 1 ? '' : first.prevHash;
  for (const entry of entries) {
    if (entry.seq !== expectedSeq) return broken(expectedSeq);
    if (entry.prevHash !== expectedPrev || entryHash(key, entry) !== entry.hash) return broken(entry.seq);
    expectedSeq += 1;
    expectedPrev = entry.hash;
  }
  if (expectedSeq !== head.seq + 1) return broken(Math.min(expectedSeq, head.seq + 1));
  return expectedPrev === head.hash ? { valid: true, brokenAt: null } : broken(head.seq);
}

function entryHash(key: Uint8Array | KeyObject, entry: Omit<ChainEntry, 'hash'>): string {
  const { seq, prevHash, prevKeptUntilMs, operationId, atMs, keptUntilMs, payloadDigest } = entry;
  const text = canonicalJson({ seq, prevHash, prevKeptUntilMs, operationId, atMs, keptUntilMs, payloadDigest });
  return createHmac('sha256', key).update(text, 'utf8').digest('hex');
}
