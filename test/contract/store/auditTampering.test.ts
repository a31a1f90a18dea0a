import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import { type SessionStore, StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  archive,
  auditOf,
  commit,
  DAY_MS,
  erase,
  HOUR_MS,
  newOperation,
  newSession,
  operate,
  START_MS,
  STORE_OPTIONS,
  settlementOf,
} from '../../fixtures/store/session.ts';
import { withOneByteChanged } from '../../fixtures/store/tamper.ts';
import type { StoredItem, TestTable } from '../../fixtures/store/testTable.ts';

const ARCHIVED = 5;
const IN_OUTBOX = 3;
/** Archived entries whose payloads lie out of line. */
const LARGE_SEQS = [1, 3];
const SEQS = Array.from({ length: ARCHIVED }, (_, index) => index + 1);
const KEYS = ['pk', 'sk'];
/** Covered by hashes, or by what follows from them. */
const ATTRIBUTES = [
  'seq',
  'operationId',
  'atMs',
  'keptUntilMs',
  'prevKeptUntilMs',
  'prevHash',
  'payloadDigest',
  'hash',
  'payload',
] as const;

describeOnDatabases('Tampering with the audit trail (SCENARIO 41)', ({ newTable }) => {
  let table: TestTable;
  let store: SessionStore;
  const [sessionId, otherId] = [newSession(), newSession()];
  beforeAll(async () => {
    table = await newTable();
    store = table.sessions();
    await makeTrail(sessionId);
    await makeTrail(otherId);
  });

  /** Five archived entries and three in the lane. */
  async function makeTrail(session: SessionId): Promise<void> {
    for (let seq = 1; seq <= ARCHIVED + IN_OUTBOX; seq += 1) {
      const { lane } = await commit(store, session, { operation: newOperation() });
      const changes = Array.from(
        { length: LARGE_SEQS.includes(seq) ? 1_000 : 1 },
        (_, n) => ({ path: `/k${n}`, scope: 'user', before: null, after: `${session}${seq}${n}` }) as const,
      );
      const audit = lane.journal.map((entry) => auditOf(entry, { changes }));
      // One minute later each, so that their times differ.
      await store.settle(lane, settlementOf(lane, { audit, nowMs: START_MS + seq * 60_000 }));
      if (seq === ARCHIVED) await archive(store, session, START_MS + seq * 60_000);
    }
  }

  async function verdict(session = sessionId, nowMs = START_MS + DAY_MS) {
    return (await store.readAudit({ sessionId: session }, { nowMs, limit: 100 }))?.chain;
  }

  async function archivedItem(seq: number, session = sessionId): Promise<StoredItem> {
    const item = (await table.itemsOf(session, 'AUDIT#'))[seq - 1];
    if (item === undefined) throw new Error(`no entry ${seq}`);
    return item;
  }

  /** What the trail says while `items` are written; afterwards everything is as before. */
  async function verdictWith(items: readonly StoredItem[], gone: readonly StoredItem[] = [], session = sessionId) {
    const before = await table.scan();
    for (const item of gone) await table.delete(item);
    for (const item of items) await table.put(item);
    try {
      return await verdict(session);
    } finally {
      const kept = new Map(before.map((item) => [item.pk + item.sk, item]));
      for (const item of items) await table.delete(item);
      for (const { pk, sk } of [...items, ...gone]) {
        const original = kept.get(pk + sk);
        if (original !== undefined) await table.put(original);
      }
    }
  }

  const brokenAt = (seq: number) => ({ valid: false, brokenAt: seq });

  it('is not seen where there is none', async () => {
    expect(await verdict()).toEqual({ valid: true, brokenAt: null });
    expect((await table.itemsOf(sessionId, 'AUDIT#')).map(({ sk }) => sk)).toHaveLength(ARCHIVED);
    expect(await table.itemsOf(sessionId, 'BLOB#')).toHaveLength(LARGE_SEQS.length);
  });

  describe('An archived entry', () => {
    it('has only attributes that are looked at here', async () => {
      const names = Object.keys(await archivedItem(1));
      expect(names.toSorted()).toEqual([...KEYS, ...ATTRIBUTES, 'format', 'ttl'].toSorted());
    });

    it.each([...ATTRIBUTES, 'ttl'])('is located by any one byte changed in its %s', async (name) => {
      for (const seq of SEQS) {
        const item = await archivedItem(seq);
        const changed = { ...item, [name]: withOneByteChanged(item[name]) };
        expect(await verdictWith([changed]), `entry ${seq}`).toEqual(brokenAt(seq));
      }
    });

    it('is located by one byte changed anywhere', async () => {
      const change = fc.record({
        seq: fc.constantFrom(...SEQS),
        name: fc.constantFrom(...ATTRIBUTES, 'ttl'),
        at: fc.double({ min: 0, max: 1, noNaN: true }),
      });
      await fc.assert(
        fc.asyncProperty(change, async ({ seq, name, at }) => {
          const item = await archivedItem(seq);
          const changed = { ...item, [name]: withOneByteChanged(item[name], at) };
          expect(await verdictWith([changed])).toEqual(brokenAt(seq));
        }),
        { numRuns: 60, seed: 41 },
      );
    });

    it('is located by an older format, and refused with a newer one', async () => {
      const item = await archivedItem(2);

      expect(await verdictWith([{ ...item, format: 0 }])).toEqual(brokenAt(2));
      await expect(verdictWith([{ ...item, format: 2 }])).rejects.toThrow(StoreError);
    });

    it.each([...ATTRIBUTES, 'format', 'ttl'])('is located when its %s is gone or of another type', async (name) => {
      const { [name]: value, ...rest } = await archivedItem(4);

      expect(await verdictWith([{ ...rest, pk: String(rest['pk']), sk: String(rest['sk']) }])).toEqual(brokenAt(4));
      expect(await verdictWith([{ ...rest, pk: String(rest['pk']), sk: String(rest['sk']), [name]: [value] }])).toEqual(
        brokenAt(4),
      );
    });

    it('is located by an attribute added to it', async () => {
      expect(await verdictWith([{ ...(await archivedItem(4)), note: 'x' }])).toEqual(brokenAt(4));
    });

    it.each(SEQS)('is missed: entry %i', async (seq) => {
      expect(await verdictWith([], [await archivedItem(seq)])).toEqual(brokenAt(seq));
    });

    it('is missed with all that came before it', async () => {
      expect(await verdictWith([], [await archivedItem(1), await archivedItem(2)])).toEqual(brokenAt(2));
    });

    it('is not missed when its time is over, but is a moment before (SCENARIO 25)', async () => {
      // Prepare
      const first = await archivedItem(1);
      const overMs = START_MS + 60_000 + STORE_OPTIONS.auditRetentionMs;
      await table.delete(first);

      // Act and assess
      expect(await verdict(sessionId, overMs - 1)).toEqual(brokenAt(1));
      expect(await verdict(sessionId, overMs)).toEqual({ valid: true, brokenAt: null });
      await table.put(first);
    });

    it.each(SEQS.flatMap((a) => SEQS.filter((b) => a < b).map((b) => [a, b] as const)))(
      'is located when its content is swapped with another one: %i and %i',
      async (a, b) => {
        const [first, second] = [await archivedItem(a), await archivedItem(b)];

        const swapped = [
          { ...first, sk: second.sk },
          { ...second, sk: first.sk },
        ];

        expect(await verdictWith(swapped)).toEqual(brokenAt(a));
      },
    );

    it.each(SEQS)('is located when it comes from another session, in any place: %i', async (seq) => {
      const { pk, sk } = await archivedItem(seq);
      for (const from of SEQS) {
        const foreign = { ...(await archivedItem(from, otherId)), pk, sk };
        expect(await verdictWith([foreign]), `from ${from}`).toEqual(brokenAt(seq));
      }
    });
  });

  describe('A forged entry', () => {
    it.each([
      ['behind the last one', '000000000009', 9],
      ['far behind it', '000000001000', 1_000],
      ['before the first one', '000000000000', 1],
      ['between two, under a key of its own', '000000000002x', 3],
      ['under a shorter key', '3', 6],
      ['under no number', 'x', 6],
    ])('is located %s', async (_, place, at) => {
      const forged = { ...(await archivedItem(3)), sk: `AUDIT#${place}` };

      expect(await verdictWith([forged])).toEqual(brokenAt(at));
    });
  });

  describe('A payload out of line', () => {
    async function largePayloads(): Promise<StoredItem[]> {
      const refs = await Promise.all(LARGE_SEQS.map(async (seq) => (await archivedItem(seq))['payload']));
      const blobs = await table.itemsOf(sessionId, 'BLOB#');
      return refs.flatMap((ref) => blobs.filter(({ sk }) => sk.startsWith(`BLOB#${ref}`)));
    }

    it('is located by one byte changed, and when it is gone', async () => {
      const [, large] = await largePayloads();
      if (large === undefined) throw new Error('the third payload is not out of line');

      expect(await verdictWith([{ ...large, body: withOneByteChanged(large['body'], 0.5) }])).toEqual(brokenAt(3));
      expect(await verdictWith([], [large])).toEqual(brokenAt(3));
    });

    it('is located when it is swapped with another one of the session', async () => {
      const [first, second] = await largePayloads();
      if (first === undefined || second === undefined) throw new Error('two payloads are out of line');

      const swapped = [
        { ...first, body: second['body'] },
        { ...second, body: first['body'] },
      ];

      expect(await verdictWith(swapped)).toEqual(brokenAt(1));
    });
  });

  describe('An entry that is still in the lane', () => {
    type Outbox = { readonly audit: readonly Record<string, unknown>[]; readonly answers: unknown };

    async function verdictWithOutbox(change: (audit: readonly Record<string, unknown>[]) => unknown[]) {
      const lane = await table.laneOf(sessionId);
      const outbox = lane['outbox'] as Outbox;
      return verdictWith([{ ...lane, outbox: { ...outbox, audit: change(outbox.audit) } }]);
    }

    it.each(ATTRIBUTES)('is located by any one byte changed in its %s', async (name) => {
      for (let index = 0; index < IN_OUTBOX; index += 1) {
        for (const at of [0, 0.5, 1]) {
          const result = await verdictWithOutbox((audit) =>
            audit.map((entry, n) => (n === index ? { ...entry, [name]: withOneByteChanged(entry[name], at) } : entry)),
          );
          expect(result, `entry ${index} at ${at}`).toEqual(brokenAt(ARCHIVED + 1 + index));
        }
      }
    });

    it.each([
      ['the first', 0, 6],
      ['one between', 1, 7],
      ['the last', 2, 8],
    ])('is missed: %s', async (_, index, seq) => {
      expect(await verdictWithOutbox((audit) => audit.filter((__, n) => n !== index))).toEqual(brokenAt(seq));
    });

    it('is located when it is swapped', async () => {
      expect(await verdictWithOutbox(([a, b, c]) => [a, c, b])).toEqual(brokenAt(7));
    });

    it('is located when it is forged: everything in the lane counts back from the head of the chain', async () => {
      expect(await verdictWithOutbox(([a, b, c]) => [a, b, b, c])).toEqual(brokenAt(ARCHIVED));
    });

    it('is located when it comes from another session', async () => {
      const foreign = (await table.laneOf(otherId))['outbox'] as Outbox;

      expect(await verdictWithOutbox(([a, , c]) => [a, foreign.audit[1], c])).toEqual(brokenAt(7));
    });

    it('is located in either place while it lies in both', async () => {
      // Prepare: archived, but the settle that drops it from the lane has not come yet.
      const lane = await store.readLane({ sessionId });
      if (lane === undefined) throw new Error('the session has no lane');
      await store.archive(lane);
      expect(await verdict()).toEqual({ valid: true, brokenAt: null });
      const archived = await archivedItem(7);

      // Act and assess
      expect(await verdictWith([{ ...archived, atMs: START_MS + 1 }])).toEqual(brokenAt(7));
      expect(
        await verdictWithOutbox((audit) =>
          audit.map((entry, n) => (n === 1 ? { ...entry, atMs: START_MS + 1 } : entry)),
        ),
      ).toEqual(brokenAt(7));
      for (const seq of [6, 7, 8]) await table.delete(await archivedItemByKey(seq));
    });

    async function archivedItemByKey(seq: number): Promise<StoredItem> {
      const item = (await table.itemsOf(sessionId, 'AUDIT#')).find(({ sk }) => sk.endsWith(`0${seq}`));
      if (item === undefined) throw new Error(`no entry ${seq}`);
      return item;
    }
  });

  describe('A trail that was erased (SCENARIO 43)', () => {
    const erasedId = newSession();
    let erasedSeqs: number[];
    beforeAll(async () => {
      await makeTrail(erasedId);
      await erase(store, erasedId, START_MS + HOUR_MS);
      await archive(store, erasedId, START_MS + HOUR_MS);
      await operate(store, erasedId, newOperation(), { nowMs: START_MS + 2 * HOUR_MS });
      await archive(store, erasedId, START_MS + 2 * HOUR_MS);
      erasedSeqs = Array.from({ length: ARCHIVED + IN_OUTBOX }, (_, index) => index + 1);
    });

    const all = Array.from({ length: ARCHIVED + IN_OUTBOX + 2 }, (_, index) => index + 1);
    const erasedItem = (seq: number) => archivedItem(seq, erasedId);

    it('is valid, and says nothing any more but that it was erased, and what came after', async () => {
      const page = await store.readAudit({ sessionId: erasedId }, { nowMs: START_MS + DAY_MS, limit: 100 });

      expect(page?.chain).toEqual({ valid: true, brokenAt: null });
      expect(page?.records.map(({ seq }) => seq).toReversed()).toEqual(all);
      const said = page?.records.map(({ payload }) => payload?.operation).toReversed();
      expect(said).toEqual([...erasedSeqs.map(() => undefined), 'erase', 'inject']);
      expect(await table.itemsOf(erasedId, 'BLOB#')).toEqual([]);
    });

    it.each([...ATTRIBUTES, 'ttl'])('is located by any one byte changed in the %s of an entry', async (name) => {
      for (const seq of all) {
        const item = await erasedItem(seq);
        const changed = { ...item, [name]: withOneByteChanged(item[name], 0.5) };
        expect(await verdictWith([changed], [], erasedId), `entry ${seq}`).toEqual(brokenAt(seq));
      }
    });

    it.each([...ATTRIBUTES, 'format', 'ttl'])('is located when the %s of an entry is gone', async (name) => {
      for (const seq of [2, ARCHIVED + IN_OUTBOX + 1]) {
        const { [name]: _gone, ...rest } = await erasedItem(seq);
        const changed = { ...rest, pk: String(rest['pk']), sk: String(rest['sk']) };
        expect(await verdictWith([changed], [], erasedId), `entry ${seq}`).toEqual(brokenAt(seq));
      }
    });

    it.each(all)('misses entry %i', async (seq) => {
      expect(await verdictWith([], [await erasedItem(seq)], erasedId)).toEqual(brokenAt(seq));
    });

    it('misses all that was erased', async () => {
      const gone = await Promise.all(erasedSeqs.map((seq) => erasedItem(seq)));

      expect(await verdictWith([], gone, erasedId)).toEqual(brokenAt(ARCHIVED + IN_OUTBOX));
    });

    it.each([
      ['two that were erased', 2, 4],
      ['two whose payloads were out of line', 1, 3],
      ['the last one that was erased, and the erasure', 8, 9],
      ['the erasure, and what came after it', 9, 10],
      ['one that was erased, and one that was not', 3, 10],
    ])('is located when entries are swapped: %s', async (_, a, b) => {
      const [first, second] = [await erasedItem(a), await erasedItem(b)];
      const swapped = [
        { ...first, sk: second.sk },
        { ...second, sk: first.sk },
      ];

      expect(await verdictWith(swapped, [], erasedId)).toEqual(brokenAt(a));
    });

    it.each([
      ['two that were erased', 2, 4],
      ['the erasure, and what came after it', 9, 10],
    ])('is located when no more than payloads are swapped: %s', async (_, a, b) => {
      const [first, second] = [await erasedItem(a), await erasedItem(b)];
      const swapped = [
        { ...first, payload: second['payload'] },
        { ...second, payload: first['payload'] },
      ];

      expect(await verdictWith(swapped, [], erasedId)).toEqual(brokenAt(a));
    });

    it('is located when it is longer than it was, and when it holds what another session says', async () => {
      const { pk, sk } = await erasedItem(9);
      const forged = { ...(await erasedItem(9)), sk: 'AUDIT#000000000011' };
      const foreign = { ...(await archivedItem(4)), pk, sk };

      expect(await verdictWith([forged], [], erasedId)).toEqual(brokenAt(11));
      expect(await verdictWith([foreign], [], erasedId)).toEqual(brokenAt(9));
    });

    it('is located while the erasure is still in the lane', async () => {
      // Prepare
      const session = newSession();
      await makeTrail(session);
      await erase(store, session, START_MS + HOUR_MS);
      const lane = await table.laneOf(session);
      const outbox = lane['outbox'] as { readonly audit: readonly Record<string, unknown>[] };

      // Act and assess
      expect(await verdict(session)).toEqual({ valid: true, brokenAt: null });
      for (const seq of [1, 5, 8]) {
        expect(await verdictWith([], [await archivedItem(seq, session)], session)).toEqual(brokenAt(seq));
      }
      for (const name of ATTRIBUTES) {
        const audit = outbox.audit.map((entry) => ({ ...entry, [name]: withOneByteChanged(entry[name], 0.5) }));
        const changed = { ...lane, outbox: { ...outbox, audit } };
        expect(await verdictWith([changed], [], session), name).toEqual(brokenAt(9));
      }
      const without = { ...lane, outbox: { ...outbox, audit: [] } };
      expect(await verdictWith([without], [], session)).toEqual(brokenAt(9));
    });
  });

  describe('A chain whose retention was shortened', () => {
    it('stays valid at any moment: no entry goes before the one it is linked to', async () => {
      // Prepare
      const session = newSession();
      await operate(store, session, newOperation(), { nowMs: START_MS });
      await archive(store, session, START_MS);
      const shorter = table.sessions({ ...STORE_OPTIONS, auditRetentionMs: DAY_MS });
      await operate(shorter, session, newOperation(), { nowMs: START_MS + 1 });
      await archive(shorter, session, START_MS + 1);

      // Act and assess
      for (const days of [0, 1, 2, 29, 30, 31]) {
        expect(await verdict(session, START_MS + days * DAY_MS), `after ${days} days`).toMatchObject({ valid: true });
      }
    });
  });
});
