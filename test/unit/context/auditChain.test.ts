import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHAIN_START,
  type ChainEntry,
  linkEntries,
  type UnlinkedEntry,
  verifyChain,
} from '../../../lib/context/auditChain.ts';

const KEY = new Uint8Array(32).fill(1);
const NOW = 1_000;
const KEPT = 10_000;

const entry = (index: number, keptUntilMs = KEPT): UnlinkedEntry => ({
  operationId: `op${index}`,
  atMs: NOW + index,
  keptUntilMs,
  payloadDigest: `digest${index}`,
});

const chainOf = (length: number, keptUntilMs?: number) =>
  linkEntries(
    KEY,
    CHAIN_START,
    Array.from({ length }, (_, index) => entry(index, keptUntilMs)),
  );
const atIndex = (entries: readonly ChainEntry[], index: number): ChainEntry => {
  const found = entries[index];
  if (found === undefined) throw new RangeError('no such entry');
  return found;
};

const length = fc.integer({ min: 2, max: 12 });

describe('A chain', () => {
  it('property: verifies however it was cut into batches', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 4 }), { maxLength: 6 }), (sizes) => {
        let head = CHAIN_START;
        const entries: ChainEntry[] = [];
        for (const size of sizes) {
          const batch = Array.from({ length: size }, (_, index) => entry(entries.length + index));
          const next = linkEntries(KEY, head, batch);
          entries.push(...next.linked);
          head = next.head;
        }
        expect(head.seq).toBe(entries.length);
        expect(verifyChain(KEY, entries, head, NOW)).toEqual({ valid: true, brokenAt: null });
        expect(entries).toEqual(chainOf(entries.length).linked);
      }),
    );
  });

  it('property: an edit of any field of any entry is located', () => {
    const fields = [
      'operationId',
      'atMs',
      'keptUntilMs',
      'payloadDigest',
      'prevHash',
      'prevKeptUntilMs',
      'hash',
    ] as const;
    fc.assert(
      fc.property(length, fc.nat(), fc.constantFrom(...fields), (size, pick, field) => {
        const { linked, head } = chainOf(size);
        const at = pick % size;
        const original = atIndex(linked, at);
        const value = original[field];
        const edited = { ...original, [field]: typeof value === 'number' ? value + 1 : `${value}0` };
        const verdict = verifyChain(KEY, linked.with(at, edited), head, NOW);
        expect(verdict).toEqual({ valid: false, brokenAt: at + 1 });
      }),
    );
  });

  it('property: a removal is located, at the beginning, in the middle and at the end', () => {
    fc.assert(
      fc.property(length, fc.nat(), (size, pick) => {
        const { linked, head } = chainOf(size);
        const at = pick % size;
        expect(verifyChain(KEY, linked.toSpliced(at, 1), head, NOW)).toEqual({ valid: false, brokenAt: at + 1 });
      }),
    );
  });

  it('property: an insertion is located', () => {
    fc.assert(
      fc.property(length, fc.nat(), fc.nat(), (size, pick, copied) => {
        const { linked, head } = chainOf(size);
        const at = pick % (size + 1);
        const forged = { ...atIndex(linked, copied % size), operationId: 'forged' };
        const verdict = verifyChain(KEY, linked.toSpliced(at, 0, forged), head, NOW);
        expect(verdict.valid).toBe(false);
        expect(verdict.brokenAt).toBeGreaterThan(0);
        expect(verdict.brokenAt).toBeLessThanOrEqual(size + 1);
      }),
    );
  });

  it('property: a swap is located', () => {
    fc.assert(
      fc.property(length, fc.nat(), fc.nat(), (size, a, b) => {
        const [first, second] = [a % size, b % size].sort((x, y) => x - y) as [number, number];
        fc.pre(first !== second);
        const { linked, head } = chainOf(size);
        const swapped = linked.with(first, atIndex(linked, second)).with(second, atIndex(linked, first));
        const verdict = verifyChain(KEY, swapped, head, NOW);
        expect(verdict).toEqual({ valid: false, brokenAt: first === 0 ? second : first + 1 });
      }),
    );
  });

  it('an entry of another branch, hashed with the right key, is located', () => {
    const { linked, head } = chainOf(3);
    const branch = linkEntries(KEY, CHAIN_START, [entry(7), entry(8)]).linked;
    expect(verifyChain(KEY, linked.with(1, atIndex(branch, 1)), head, NOW)).toEqual({ valid: false, brokenAt: 2 });
    expect(verifyChain(KEY, [...branch, atIndex(linked, 2)], head, NOW)).toEqual({ valid: false, brokenAt: 3 });
  });

  it('begins with nothing before it: a first entry that is linked to something is located', () => {
    const { linked, head } = linkEntries(KEY, { ...CHAIN_START, hash: 'earlier' }, [entry(0), entry(1)]);
    expect(atIndex(linked, 0)).toMatchObject({ seq: 1, prevHash: 'earlier' });
    expect(verifyChain(KEY, linked, head, NOW)).toEqual({ valid: false, brokenAt: 1 });
  });

  it('made with another key does not verify: who can write the table cannot forge', () => {
    const { linked, head } = chainOf(3);
    expect(verifyChain(new Uint8Array(32).fill(2), linked, head, NOW)).toEqual({ valid: false, brokenAt: 1 });
  });

  it('that was cut off and given a head of its own does verify: so the head must be kept elsewhere', () => {
    const { linked, head } = chainOf(3);
    expect(verifyChain(KEY, linked.slice(0, 2), head, NOW)).toEqual({ valid: false, brokenAt: 3 });
    expect(verifyChain(KEY, linked, { ...head, hash: 'other' }, NOW)).toEqual({ valid: false, brokenAt: 3 });
    expect(verifyChain(KEY, linked, chainOf(2).head, NOW)).toEqual({ valid: false, brokenAt: 3 });
  });
});

describe('Retention', () => {
  const { linked, head } = linkEntries(KEY, CHAIN_START, [entry(0, 2_000), entry(1, 3_000), entry(2, 4_000)]);

  it('the oldest may be gone once their time has passed, and not before', () => {
    expect(verifyChain(KEY, linked.slice(1), head, 2_000).valid).toBe(true);
    expect(verifyChain(KEY, linked.slice(1), head, 1_999)).toEqual({ valid: false, brokenAt: 1 });
    expect(verifyChain(KEY, linked.slice(2), head, 3_000).valid).toBe(true);
    expect(verifyChain(KEY, linked.slice(2), head, 2_999)).toEqual({ valid: false, brokenAt: 2 });
  });

  it('the first one that is left must still be what it was', () => {
    const edited = { ...atIndex(linked, 1), payloadDigest: 'edited' };
    expect(verifyChain(KEY, [edited, atIndex(linked, 2)], head, 2_500)).toEqual({ valid: false, brokenAt: 2 });
  });

  it('none may be left only when the last one’s time has passed', () => {
    expect(verifyChain(KEY, [], head, 3_999)).toEqual({ valid: false, brokenAt: 3 });
    expect(verifyChain(KEY, [], head, 4_000).valid).toBe(true);
    expect(verifyChain(KEY, [], CHAIN_START, 0).valid).toBe(true);
  });
});
