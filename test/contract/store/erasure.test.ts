import { ulid } from 'ulid';
import { beforeEach, describe, expect, it } from 'vitest';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { NewOperation, SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { readableOf } from '../../fixtures/store/readable.ts';
import {
  answerOf,
  archive,
  auditOf,
  auditPayload,
  commit,
  DAY_MS,
  erase,
  HOUR_MS,
  incompressible,
  keyHash,
  laneOf,
  mirrorOf,
  newErasure,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  newVariable,
  operate,
  operateWithMirror,
  outcomeOf,
  START_MS,
  STORE_OPTIONS,
  settlementOf,
  storedMirror,
  valuesOf,
  writing,
} from '../../fixtures/store/session.ts';
import type { TestTable } from '../../fixtures/store/testTable.ts';

const VALID = { valid: true, brokenAt: null };
/** Is in everything that a session of these tests holds. */
const SECRET = 'confidential-90210';

describeOnDatabases('What an erased session leaves in the table (SCENARIO 43)', ({ newTable }) => {
  let table: TestTable;
  let store: SessionStore;
  let sessionId: SessionId;
  beforeEach(async () => {
    table = await newTable();
    store = table.sessions();
    sessionId = newSession();
  });

  /** Small or large, as an item takes it in place or not. */
  const text = (isLarge: boolean) => SECRET + (isLarge ? incompressible(60_000) : '');
  const changesOf = (isLarge: boolean) =>
    [{ path: '/a', scope: 'session', before: null, after: 'h', value: text(isLarge) }] as const;

  function secretOperation(isLarge: boolean, over: Partial<NewOperation> = {}): NewOperation {
    const variables = [{ key: 'a', value: text(isLarge), scope: 'session' }] as const;
    return newOperation({ payload: { kind: 'inject', variables }, ...over });
  }

  /** One operation from commit to settle, with mirror, audit entry and answer. */
  async function operateInSecret(isLarge: boolean, key?: string): Promise<void> {
    const operation = secretOperation(isLarge, key === undefined ? {} : { idempotencyHash: keyHash(key) });
    const { lane, version } = await commit(store, sessionId, { operation });
    const mirror = mirrorOf(version, newVariable('a', text(isLarge)));
    const stateRef = await store.writeMirror(lane, mirror, writing({ since: version }));
    const idleUntilMs = START_MS + DAY_MS;
    const answers = lane.journal.map((entry) =>
      answerOf(entry, { ...outcomeOf(entry), result: { text: text(isLarge) } }),
    );
    const audit = lane.journal.map((entry) => auditOf(entry, { changes: changesOf(isLarge) }));
    await store.settle(lane, settlementOf(lane, { stateRef, idleUntilMs, answers, audit }));
  }

  /** Archived, in the outbox, in the journal and noted as refused: each of it in place and out of line. */
  async function fillSession(): Promise<void> {
    for (const isLarge of [false, true]) await operateInSecret(isLarge, `archived ${isLarge}`);
    await archive(store, sessionId);
    for (const isLarge of [false, true]) await operateInSecret(isLarge);
    for (const isLarge of [false, true]) await commit(store, sessionId, { operation: secretOperation(isLarge) });
    for (const isLarge of [false, true]) {
      const payload = auditPayload({ outcome: 'refused', changes: changesOf(isLarge) });
      await store.noteRefusal(sessionId, newRefusal({ payload }), START_MS);
    }
  }

  async function kindsOf(): Promise<string[]> {
    const kinds = (await table.itemsOf(sessionId, '')).map(({ sk }) => sk.split('#')[0] ?? '');
    return [...new Set(kinds)].toSorted();
  }

  async function verdict() {
    return (await store.readAudit({ sessionId }, { nowMs: START_MS, limit: 1 }))?.chain;
  }

  it('is the lane and its audit entries, of which the last one alone can be read', async () => {
    // Prepare
    await fillSession();
    expect(await kindsOf()).toEqual(['AUDIT', 'BLOB', 'LANE', 'OUTCOME', 'STATE']);
    const before = await readableOf(table, sessionId);
    for (const kind of ['AUDIT', 'BLOB', 'LANE', 'OUTCOME', 'STATE']) {
      const plains = before.filter((each) => each.kind === kind).map(({ plain }) => plain);
      expect(plains.join(), kind).toContain(SECRET);
    }
    expect(before.map(({ plain }) => plain)).toContain(sessionId);

    // Act
    const { payload } = await erase(store, sessionId);

    // Assess
    expect(await kindsOf()).toEqual(['AUDIT', 'LANE']);
    const after = await readableOf(table, sessionId);
    expect(after.map(({ plain }) => JSON.parse(plain))).toEqual([payload]);
    expect(await verdict()).toEqual(VALID);
  });

  it('is also the payload of an operation that is just about to be committed: it begins the session anew', async () => {
    await operateInSecret(true);
    const operation = secretOperation(true, { operationId: ulid() });
    table.interruptNext('UpdateItemCommand', () => erase(store, sessionId));

    const { lane } = await commit(store, sessionId, { operation });

    expect(await lane.journal[0]?.payload()).toEqual(operation.payload);
    expect((await table.itemsOf(sessionId, 'BLOB')).map(({ operationId }) => operationId)).toEqual([
      operation.operationId,
    ]);
  });

  it('is nothing of what has been put for an operation that nobody has committed for a minute', async () => {
    const operation = secretOperation(true, { operationId: ulid(Date.now() - 61_000) });
    await operate(store, sessionId);
    table.interruptNext('UpdateItemCommand', () => Promise.reject(new Error('died')));
    await expect(commit(store, sessionId, { operation })).rejects.toThrow();
    expect(await kindsOf()).toContain('BLOB');

    await erase(store, sessionId);

    expect(await kindsOf()).toEqual(['AUDIT', 'LANE']);
  });

  it('is a session that somebody begins while nobody knew of one', async () => {
    table.interruptNext('QueryCommand', () => operateInSecret(true));

    expect(await store.eraseWithoutLane({ sessionId })).toBe(false);

    const lane = await laneOf(store, sessionId);
    const { mirror } = await storedMirror(store, lane, lane.stateRef ?? '');
    expect(valuesOf(await store.loadValues(lane, mirror))).toEqual({ a: expect.stringContaining(SECRET) });
  });

  it('is a lane without the sealed id, the journal, and whatever else tells of it', async () => {
    await fillSession();
    const { salt, version } = await table.laneOf(sessionId);

    await erase(store, sessionId);

    const { salt: newSalt, outbox, journal, ...lane } = await table.laneOf(sessionId);
    expect(newSalt).toBeInstanceOf(Uint8Array);
    expect(newSalt).not.toEqual(salt);
    expect(journal).toEqual([]);
    expect(outbox).toMatchObject({ audit: [{ seq: 5 }], answers: [] });
    const names = Object.keys(lane).filter((name) => !/^idem\d+$/.test(name));
    expect(names.toSorted()).toEqual(
      [
        ...[
          'pk',
          'sk',
          'format',
          'ttl',
          'version',
          'confirmedVersion',
          'endedVersions',
          'deferredVersion',
          'deferrals',
        ],
        ...['idleUntilMs', 'hasEnded', 'settledFence', 'chain', 'erasedVersion', 'erasedSeq', 'openIds', 'lease'],
      ].toSorted(),
    );
    expect(lane).toMatchObject({ version, erasedVersion: version, erasedSeq: 4, chain: { seq: 5 } });
  });

  it('outlives the audit trail, and goes some day', async () => {
    await fillSession();
    const erasedMs = START_MS + 3 * DAY_MS;

    await erase(store, sessionId, erasedMs);

    const { ttl } = await table.laneOf(sessionId);
    expect(ttl).toBeGreaterThan((erasedMs + STORE_OPTIONS.auditRetentionMs) / 1_000);
    expect(ttl).toBeLessThan((erasedMs + STORE_OPTIONS.auditRetentionMs + 3 * DAY_MS) / 1_000);
  });

  it('is as little where there are more items than one batch of requests takes', async () => {
    const values = Array.from({ length: 120 }, (_, n) => newVariable(`v${n}`, incompressible(1_100)));
    await operateWithMirror(store, sessionId, values);
    for (let count = 0; count < 30; count += 1) await operate(store, sessionId);
    await archive(store, sessionId);
    expect(await table.itemsOf(sessionId, 'OUTCOME#')).toHaveLength(31);

    await erase(store, sessionId);

    expect(await kindsOf()).toEqual(['AUDIT', 'LANE']);
    expect(await table.itemsOf(sessionId, 'AUDIT#')).toHaveLength(31);
    expect(await verdict()).toEqual(VALID);
  });

  it('lets nobody read what was kept from it: every item that was there before, put back', async () => {
    // Prepare: a backup, as it were.
    await fillSession();
    const backup = (await table.itemsOf(sessionId, '')).filter(({ sk }) => sk !== 'LANE');
    await erase(store, sessionId);
    const erased = await readableOf(table, sessionId);

    // Act
    for (const item of backup) await table.put(item);

    // Assess: what was queued is not among it: that was sealed before anybody knew the salt.
    const readable = (await readableOf(table, sessionId)).filter(({ underMaster }) => !underMaster);
    expect(readable).toEqual(erased);
    expect(await verdict()).toEqual(VALID);
    expect(await store.findOutcome({ sessionId }, keyHash('archived true'))).toEqual({ kind: 'erased' });
    expect(await store.findOutcome({ sessionId }, keyHash('archived false'))).toEqual({ kind: 'erased' });
  });

  it('is nothing that opens when a holder who was fenced out goes on writing', async () => {
    // Prepare
    await fillSession();
    const lane = await laneOf(store, sessionId);
    await erase(store, sessionId);
    const erased = await readableOf(table, sessionId);

    // Act
    const mirror = mirrorOf(lane.version, newVariable('a', text(false)), newVariable('b', text(true)));
    await store.writeMirror(lane, mirror, writing({ since: lane.version }));
    await store.archive(lane);
    const answers = lane.journal.map((entry) => answerOf(entry, { ...outcomeOf(entry), result: { text: text(true) } }));
    const audit = lane.journal.map((entry) => auditOf(entry, { changes: changesOf(true) }));
    expect(await store.settle(lane, settlementOf(lane, { answers, audit }))).toBe('fenced');

    // Assess
    expect(await kindsOf()).toEqual(['AUDIT', 'BLOB', 'LANE', 'OUTCOME', 'STATE']);
    expect(await readableOf(table, sessionId)).toEqual(erased);
    for (const { sk, ttl } of await table.itemsOf(sessionId, '')) expect(ttl, sk).toBeTypeOf('number');
  });

  it.each([
    ['small', false],
    ['large', true],
  ])('does not become more by a late repeat of a %s request', async (_, isLarge) => {
    await operateInSecret(isLarge, 'k');
    await erase(store, sessionId);
    const before = await table.itemsOf(sessionId, '');

    const operation = secretOperation(isLarge, { idempotencyHash: keyHash('k') });
    const again = await store.commit({ sessionId, operation, lease: newLease(), dueAtMs: START_MS });

    expect(again).toEqual({ kind: 'repeated' });
    expect(await table.itemsOf(sessionId, '')).toEqual(before);
  });

  it('is a new salt with every life of the session', async () => {
    const salts = new Set<string>();
    for (let life = 0; life < 3; life += 1) {
      await operateInSecret(true);
      const { salt, sealedId } = await table.laneOf(sessionId);
      salts.add(Buffer.from(salt as Uint8Array).toString('hex'));
      expect(sealedId).toBeInstanceOf(Uint8Array);
      expect((await readableOf(table, sessionId)).map(({ plain }) => plain).join()).toContain(SECRET);
      await erase(store, sessionId);
      expect((await readableOf(table, sessionId)).map(({ plain }) => plain).join()).not.toContain(SECRET);
    }

    expect(salts.size).toBe(3);
    expect(await verdict()).toEqual(VALID);
  });

  it('has no sealed id any more when it was only refused something since, and is erased again', async () => {
    await operateInSecret(false);
    await erase(store, sessionId);
    const payload = auditPayload({ outcome: 'refused', changes: changesOf(true) });
    await store.noteRefusal(sessionId, newRefusal({ payload }), START_MS);
    await archive(store, sessionId);

    const { payload: told } = await erase(store, sessionId);

    const readable = await readableOf(table, sessionId);
    expect(readable.map(({ plain }) => JSON.parse(plain))).toEqual([told]);
    expect(await table.laneOf(sessionId)).not.toHaveProperty('sealedId');
  });

  it('has been under its salt all along, but for the id and what was queued', async () => {
    await fillSession();

    const readable = await readableOf(table, sessionId);

    const underMaster = readable.filter((each) => each.underMaster).map(({ plain }) => plain);
    expect(underMaster.filter((plain) => plain === sessionId)).toHaveLength(1);
    const queued = underMaster.filter((plain) => plain !== sessionId).map((plain) => JSON.parse(plain));
    // Three large operations, two of them settled, a small one that waits, and two refusals.
    expect(queued.map(({ kind, outcome }) => kind ?? outcome).toSorted()).toEqual([
      ...Array(3 + 1).fill('inject'),
      ...Array(2).fill('refused'),
    ]);
    const kinds = readable.filter((each) => !each.underMaster).map(({ kind }) => kind);
    expect(new Set(kinds)).toEqual(new Set(['AUDIT', 'BLOB', 'LANE', 'OUTCOME', 'STATE']));
  });

  describe('An erasure that is cut short', () => {
    it('is finished by the next one, with one entry in the trail', async () => {
      // Prepare: the lane has forgotten, and nothing was deleted.
      await fillSession();
      table.interruptNext('BatchWriteItemCommand', async () => {
        table.interruptNext('BatchWriteItemCommand', async () => {
          throw new Error('killed');
        });
      });
      await expect(store.erase(await laneOf(store, sessionId), newErasure())).rejects.toThrow();
      expect(await kindsOf()).toEqual(['AUDIT', 'BLOB', 'LANE', 'OUTCOME', 'STATE']);
      expect(await table.laneOf(sessionId)).toHaveProperty('erasedVersion', 6);

      // Act
      const again = await store.erase(await laneOf(store, sessionId), newErasure());

      // Assess
      expect(again).toBe(true);
      expect(await kindsOf()).toEqual(['AUDIT', 'LANE']);
      const page = await store.readAudit({ sessionId }, { nowMs: START_MS, limit: 10 });
      expect(page?.records.map(({ seq }) => seq)).toEqual([5, 4, 3, 2, 1]);
      expect(page?.chain).toEqual(VALID);
    });

    it('by a lost acknowledgement is finished by the next one, too', async () => {
      await fillSession();
      const lane = await laneOf(store, sessionId);
      table.loseNextAcknowledgement();
      const first = await store.erase(lane, newErasure());

      const again = first || (await store.erase(await laneOf(store, sessionId), newErasure()));

      expect(again).toBe(true);
      expect(await kindsOf()).toEqual(['AUDIT', 'LANE']);
      const page = await store.readAudit({ sessionId }, { nowMs: START_MS, limit: 10 });
      expect(page?.records).toHaveLength(5);
      expect(page?.chain).toEqual(VALID);
    });
  });

  describe('A session that begins anew while its erasure is under way', () => {
    it.each([
      ['for the first time', false],
      ['for the second time, as the first was cut short', true],
    ])('keeps all that it has been given: erased %s', async (_, isRepeated) => {
      // Prepare
      await fillSession();
      if (isRepeated) {
        const left = (await table.itemsOf(sessionId, '')).filter(({ sk }) => /^(?:STATE|BLOB|OUTCOME)#/.test(sk));
        await erase(store, sessionId);
        for (const item of left) await table.put(item);
      }
      const lane = await laneOf(store, sessionId);
      const given = [newVariable('a', 'small'), newVariable('b', incompressible(2_000))];
      const pending = secretOperation(true);
      const beginAnew = async () => {
        await operateWithMirror(store, sessionId, given);
        await archive(store, sessionId);
        await commit(store, sessionId, { operation: pending });
      };

      // Act: as soon as the lane has forgotten, before the first item is deleted.
      const audited = isRepeated ? 0 : 1;
      let batches = 0;
      const interrupt = () =>
        table.interruptNext('BatchWriteItemCommand', async () => {
          batches += 1;
          if (batches <= audited) interrupt();
          else await beginAnew();
        });
      interrupt();
      const wasErased = await store.erase(lane, newErasure());

      // Assess
      expect(wasErased).toBe(true);
      const anew = await laneOf(store, sessionId);
      const stored = await storedMirror(store, anew, anew.stateRef ?? '');
      expect(valuesOf(await store.loadValues(anew, stored.mirror))).toEqual(valuesOf(mirrorOf(1, ...given)));
      expect(await anew.journal[0]?.payload()).toEqual(pending.payload);
      expect(await table.itemsOf(sessionId, 'OUTCOME#')).toHaveLength(1);
      expect(await verdict()).toEqual(VALID);
    });

    it('before the items of the last time are looked for is not erased with them', async () => {
      // Prepare
      await fillSession();
      await erase(store, sessionId);
      const lane = await laneOf(store, sessionId);
      const given = [newVariable('b', incompressible(2_000))];

      // Act
      table.interruptNext('QueryCommand', () => operateWithMirror(store, sessionId, given));
      const wasErased = await store.erase(lane, newErasure());

      // Assess
      expect(wasErased).toBe(false);
      const anew = await laneOf(store, sessionId);
      const stored = await storedMirror(store, anew, anew.stateRef ?? '');
      expect(valuesOf(await store.loadValues(anew, stored.mirror))).toEqual(valuesOf(mirrorOf(1, ...given)));
    });
  });

  it('is told as what it is to whoever reads the trail while it is erased', async () => {
    // Prepare: entries whose payloads lie out of line, so that they go.
    for (let count = 0; count < 2; count += 1) await operateInSecret(true);
    await archive(store, sessionId);

    // Act: between the reader's look at the lane and its look at the entries.
    table.interruptNext('QueryCommand', () => erase(store, sessionId));
    const page = await store.readAudit({ sessionId }, { nowMs: START_MS + HOUR_MS, limit: 10 });

    // Assess
    expect(page?.chain).toEqual(VALID);
    expect(page?.records.map(({ payload }) => payload)).toEqual([undefined, undefined]);
  });

  describe('Another session', () => {
    it('opens nothing of it, though it were copied there', async () => {
      // Prepare
      const stateRef = await operateWithMirror(store, sessionId, [newVariable('a', SECRET)]);
      const otherId = newSession();
      const { lane: other } = await commit(store, otherId);
      const { pk, salt } = await table.laneOf(otherId);

      // Act
      for (const item of await table.itemsOf(sessionId, 'STATE#')) await table.put({ ...item, pk });
      await expect(store.readMirror(other, stateRef)).rejects.toThrow();

      // Assess: not even where it has the same salt.
      const { salt: sameSalt } = await table.laneOf(sessionId);
      expect(sameSalt).not.toEqual(salt);
      await table.put({ ...(await table.laneOf(otherId)), salt: sameSalt });
      await expect(store.readMirror(await laneOf(store, otherId), stateRef)).rejects.toThrow();
    });
  });
});
