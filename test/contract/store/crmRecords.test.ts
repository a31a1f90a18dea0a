import { beforeEach, describe, expect, it } from 'vitest';
import { occurrenceStamp } from '../../../lib/context/crmEvents.ts';
import type { RecordRef } from '../../../lib/context/crmRecord.ts';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { CrmRecords, Occurrence, SeenEvent } from '../../../lib/operations/ports/crm.ts';
import { type SessionStore, StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  archive,
  commit,
  DAY_MS,
  erase,
  idleSettlementOf,
  keyHash,
  laneOf,
  newId,
  newLease,
  newOperation,
  newSession,
  operate,
  START_MS,
} from '../../fixtures/store/session.ts';
import type { StoredItem, TestTable } from '../../fixtures/store/testTable.ts';
import { textsOf } from '../../fixtures/store/texts.ts';

const TIER = 'user:crm_tier';
const NAME = 'user:crm_name';
const stampAt = (ms: number, eventId = 'evt') => occurrenceStamp({ occurredAtMs: START_MS + ms, eventId });
/** Five minutes after all that the tests are about. */
const HORIZON = stampAt(300_000, '');
/** As many as a source may have mappings. */
const MOST_PATHS = Array.from({ length: 32 }, (_each, index) => `user:crm_a_field_with_a_long_name_${index}`);
const refused = (promise: Promise<unknown>) => expect(promise).rejects.toThrow(StoreError);

describeOnDatabases('What is known of records in CRMs,', ({ newTable }) => {
  let table: TestTable;
  let records: CrmRecords;
  let record: RecordRef;
  beforeEach(async () => {
    table = await newTable();
    records = table.crmRecords();
    record = { source: 'generic', recordId: `ACC-${newId()}` };
  });

  const bound = async (of = record, nowMs = START_MS) =>
    (await records.boundSessions(of, nowMs)).map(({ sessionId }) => sessionId).toSorted();

  /** Items of this kind, as a newer bridge would leave them. */
  async function madeNewer(isMeant: (item: StoredItem) => boolean): Promise<StoredItem[]> {
    const items = (await table.scan()).filter(isMeant);
    expect(items).not.toEqual([]);
    const newer = items.map((item) => ({ ...item, format: 2, added: 'in the future' }));
    for (const item of newer) await table.put(item);
    return newer;
  }
  const asTheyAre = async (items: readonly StoredItem[]) => {
    const now = await table.scan();
    for (const item of items) expect(now).toContainEqual(item);
  };

  describe('Bindings', () => {
    it('are there from the moment on at which they were made, and under their record only', async () => {
      const [one, other] = [newSession(), newSession()];
      const sameName = { ...record, source: 'hubspot' };

      await records.bind(record, one, START_MS);
      await records.bind(sameName, other, START_MS + 1);

      expect(await records.boundSessions(record, START_MS)).toEqual([{ sessionId: one, boundAtMs: START_MS }]);
      expect(await records.boundSessions(sameName, START_MS)).toEqual([{ sessionId: other, boundAtMs: START_MS + 1 }]);
      expect(await bound({ ...record, recordId: `${record.recordId} ` })).toEqual([]);
    });

    it('that are made again are one, and from then on', async () => {
      const sessionId = newSession();
      await records.bind(record, sessionId, START_MS);
      await records.bind(record, sessionId, START_MS + 5_000);
      expect(await records.boundSessions(record, START_MS)).toEqual([{ sessionId, boundAtMs: START_MS + 5_000 }]);
    });

    it('may be many: all sessions of a record, all records of a session', async () => {
      const sessions = Array.from({ length: 60 }, () => newSession());
      const others = Array.from({ length: 5 }, () => ({ source: 'generic', recordId: newId() }));
      await Promise.all(sessions.map((sessionId) => records.bind(record, sessionId, START_MS)));
      const [first = newSession()] = sessions;
      await Promise.all(others.map((other) => records.bind(other, first, START_MS)));

      expect(await bound()).toEqual(sessions.toSorted());
      for (const other of others) expect(await bound(other)).toEqual([first]);
    });

    it.each(['a/b', 'a b', 'Zürich 東京 🚀', '#', 'SESSION#x', '🚀'.repeat(256)])(
      'are kept whatever the record is called: %s',
      async (recordId) => {
        const sessionId = newSession();
        await records.bind({ ...record, recordId }, sessionId, START_MS);
        expect(await bound({ ...record, recordId })).toEqual([sessionId]);
      },
    );

    it('end when they are taken back, one by one and on both sides; without one nothing happens', async () => {
      const [one, other] = [newSession(), newSession()];
      for (const sessionId of [one, other]) await records.bind(record, sessionId, START_MS);

      await records.unbind(record, one);
      await records.unbind(record, one);

      expect(await bound()).toEqual([other]);
      await records.unbind(record, other);
      await records.unbind({ ...record, recordId: 'unknown' }, other);
      expect(await table.scan()).toEqual([]);
    });

    it('SCENARIO 25: are over after seven days, although their items are still there', async () => {
      const sessionId = newSession();
      await records.bind(record, sessionId, START_MS);

      expect(await bound(record, START_MS + 7 * DAY_MS - 1_000)).toEqual([sessionId]);
      expect(await bound(record, START_MS + 7 * DAY_MS)).toEqual([]);

      expect(await table.scan()).toHaveLength(2);
      await records.bind(record, sessionId, START_MS + 7 * DAY_MS);
      expect(await bound(record, START_MS + 7 * DAY_MS)).toEqual([sessionId]);
    });

    it('SCENARIO 43: of a session that is erased go with it, and those of others stay', async () => {
      const store = table.sessions();
      const [gone, staying] = [newSession(), newSession()];
      for (const sessionId of [gone, staying]) await records.bind(record, sessionId, START_MS);
      await operate(store, gone);
      await erase(store, gone);
      expect(await bound()).toEqual([staying]);
      expect(await table.itemsOf(gone, 'BINDING')).toEqual([]);
    });
  });

  describe('What has been applied last', () => {
    const occurrenceOf = (stamp: string, paths: readonly string[] = [TIER], of = record): Occurrence => ({
      record: of,
      stamp,
      horizon: HORIZON,
      paths,
    });
    const note = (...of: Parameters<typeof occurrenceOf>) => records.noteApplied(occurrenceOf(...of), START_MS);
    const current = (...of: Parameters<typeof occurrenceOf>) => records.currentPaths(occurrenceOf(...of));

    it('is nothing at first, and nothing is noted by who only asks', async () => {
      expect(await current(stampAt(0), [TIER, NAME])).toEqual([TIER, NAME]);
      expect(await table.scan()).toEqual([]);
    });

    it('SCENARIO 6: leaves nothing to what occurred earlier', async () => {
      await note(stampAt(1));
      expect(await current(stampAt(0))).toEqual([]);
      expect(await current(stampAt(1))).toEqual([TIER]);
      expect(await current(stampAt(2))).toEqual([TIER]);
    });

    it('is not undone by what occurred earlier, and is noted later', async () => {
      await note(stampAt(2));
      await note(stampAt(1));
      expect(await current(stampAt(1))).toEqual([]);
      expect(await current(stampAt(2))).toEqual([TIER]);
    });

    it('is known path by path, scope by scope', async () => {
      await note(stampAt(10), [TIER]);
      await note(stampAt(5), [NAME]);
      expect(await current(stampAt(7), [TIER, NAME, 'session:crm_tier'])).toEqual([NAME, 'session:crm_tier']);
      // Of those it wants to note, one is behind already.
      await note(stampAt(7), [TIER, NAME, 'session:crm_tier']);
      expect(await current(stampAt(6), [TIER, NAME, 'session:crm_tier'])).toEqual([]);
      expect(await current(stampAt(9), [TIER, NAME, 'session:crm_tier'])).toEqual([NAME, 'session:crm_tier']);
      expect(await current(stampAt(11), [TIER, NAME])).toEqual([TIER, NAME]);
    });

    it.each([
      ['a', 'b'],
      ['B', 'a'],
      ['evt_1', 'evt_10'],
      ['z', 'ä'],
      ['\uffff', '🚀'],
    ])('at the same time is decided by the event id: %j before %j', async (less, greater) => {
      await note(stampAt(0, less));
      expect(await current(stampAt(0, greater))).toEqual([TIER]);
      await note(stampAt(0, greater));
      expect(await current(stampAt(0, less))).toEqual([]);
      // The same event, again.
      expect(await current(stampAt(0, greater))).toEqual([TIER]);
    });

    it('is that of one record of one source', async () => {
      await note(stampAt(10));
      expect(await current(stampAt(0), [TIER], { ...record, source: 'hubspot' })).toEqual([TIER]);
      expect(await current(stampAt(0), [TIER], { ...record, recordId: 'other' })).toEqual([TIER]);
    });

    it('by a clock that is far ahead does not stand in the way, and is replaced', async () => {
      await note(stampAt(DAY_MS));
      expect(await current(stampAt(0))).toEqual([TIER]);
      await note(stampAt(0));
      expect(await current(stampAt(-1))).toEqual([]);
    });

    it('of an event that sets nothing is nothing, and leaves nothing', async () => {
      await note(stampAt(0), []);
      expect(await current(stampAt(0), [])).toEqual([]);
      expect(await table.scan()).toEqual([]);
    });

    it('of many at once is the latest', async () => {
      // No more at a time than there are rounds for each.
      for (const order of [
        [3, 1, 4],
        [2, 9, 0],
        [6, 8, 5],
      ])
        await Promise.all(order.map((ms) => note(stampAt(ms), [TIER, NAME])));
      expect(await current(stampAt(8), [TIER, NAME])).toEqual([]);
      expect(await current(stampAt(9), [TIER, NAME])).toEqual([TIER, NAME]);
    });

    it('is not undone by who had looked before: what that one does not say is noted', async () => {
      const later = table.crmRecords();
      table.interruptNext('UpdateItemCommand', () => later.noteApplied(occurrenceOf(stampAt(2), [TIER]), START_MS));
      await note(stampAt(1), [TIER, NAME]);
      expect(await current(stampAt(1), [TIER, NAME])).toEqual([NAME]);
      expect(await current(stampAt(0), [TIER, NAME])).toEqual([]);
    });

    it('is noted also when the acknowledgement is lost', async () => {
      table.loseNextAcknowledgement();
      await note(stampAt(1));
      expect(await current(stampAt(0))).toEqual([]);
    });

    it('is known of as many paths as a source may map', async () => {
      await note(stampAt(1), MOST_PATHS);
      expect(await current(stampAt(1), MOST_PATHS)).toEqual(MOST_PATHS);
      expect(await current(stampAt(0), MOST_PATHS)).toEqual([]);
    });

    it('is remembered for thirty days', async () => {
      await note(stampAt(0));
      const [item] = await table.scan();
      expect(item?.['ttl']).toBe((START_MS + 30 * DAY_MS) / 1_000);
    });
  });

  describe('An event that has been seen', () => {
    const seen: SeenEvent = {
      outcome: 'applied',
      sessions: [
        { operationId: newId(), status: 'injected', visibility: 'confirmed' },
        { operationId: null, status: 'unchanged', visibility: 'confirmed' },
        { operationId: newId(), status: 'refused', visibility: 'none', code: 'session-ended' },
      ],
    };

    it('is known with what became of it, by its source and its id', async () => {
      expect(await records.seen('generic', 'evt_1', START_MS)).toBeUndefined();
      await records.noteSeen('generic', 'evt_1', seen, START_MS);
      expect(await records.seen('generic', 'evt_1', START_MS)).toEqual(seen);
      expect(await records.seen('hubspot', 'evt_1', START_MS)).toBeUndefined();
      expect(await records.seen('generic', 'evt_10', START_MS)).toBeUndefined();
    });

    it.each(['stale-ignored', 'no-live-session'] as const)('is known as %s', async (outcome) => {
      await records.noteSeen('generic', 'evt_1', { outcome, sessions: [] }, START_MS);
      expect(await records.seen('generic', 'evt_1', START_MS)).toEqual({ outcome, sessions: [] });
    });

    it('SCENARIO 25: is not known after seven days, although its item is still there', async () => {
      await records.noteSeen('generic', 'evt_1', seen, START_MS);
      expect(await records.seen('generic', 'evt_1', START_MS + 7 * DAY_MS - 1_000)).toEqual(seen);
      expect(await records.seen('generic', 'evt_1', START_MS + 7 * DAY_MS)).toBeUndefined();
      expect(await table.scan()).toHaveLength(1);
    });
  });

  describe('SCENARIO 48: items of a newer bridge', () => {
    it('that are bindings are refused when they are read, and not damaged', async () => {
      await records.bind(record, newSession(), START_MS);
      const newer = await madeNewer(({ sk }) => sk.startsWith('SESSION#'));
      await refused(records.boundSessions(record, START_MS));
      await asTheyAre(newer);
    });

    it('that are bindings are refused when they are made again, and not damaged', async () => {
      const sessionId = newSession();
      await records.bind(record, sessionId, START_MS);
      const newer = await madeNewer(() => true);
      await refused(records.bind(record, sessionId, START_MS + 1));
      await asTheyAre(newer);
    });

    it('that are seen events are refused when they are read, and not damaged', async () => {
      await records.noteSeen('generic', 'evt_1', { outcome: 'applied', sessions: [] }, START_MS);
      const newer = await madeNewer(({ sk }) => sk === 'SEEN');
      await refused(records.seen('generic', 'evt_1', START_MS));
      await asTheyAre(newer);
    });

    it('that are seen events are not damaged by who has seen them meanwhile', async () => {
      await records.noteSeen('generic', 'evt_1', { outcome: 'applied', sessions: [] }, START_MS);
      const newer = await madeNewer(({ sk }) => sk === 'SEEN');
      await records.noteSeen('generic', 'evt_1', { outcome: 'applied', sessions: [] }, START_MS).catch(() => undefined);
      await asTheyAre(newer);
    });

    it('that are records are refused when they are read or noted in, and not damaged', async () => {
      await records.noteApplied({ record, stamp: stampAt(0), horizon: HORIZON, paths: [TIER] }, START_MS);
      const newer = await madeNewer(({ sk }) => sk === 'RECORD');
      const later = { record, stamp: stampAt(1), horizon: HORIZON, paths: [TIER] };
      await refused(records.currentPaths(later));
      await refused(records.noteApplied(later, START_MS));
      await asTheyAre(newer);
    });

    it('carry their format: bindings, seen events and records', async () => {
      await records.bind(record, newSession(), START_MS);
      await records.noteApplied({ record, stamp: stampAt(0), horizon: HORIZON, paths: [TIER] }, START_MS);
      await records.noteSeen('generic', 'evt_1', { outcome: 'applied', sessions: [] }, START_MS);
      const formats = (await table.scan()).map(({ sk, format }) => [sk.split('#')[0], format]);
      expect(Object.fromEntries(formats)).toEqual({ BINDING: 1, SESSION: 1, SEEN: 1, RECORD: 1 });
    });

    it('and such that are damaged are refused', async () => {
      await records.bind(record, newSession(), START_MS);
      const [item] = (await table.scan()).filter(({ sk }) => sk.startsWith('SESSION#'));
      if (item === undefined) throw new Error('no binding');
      await table.put({ ...item, sealedId: 'nonsense' });
      await refused(records.boundSessions(record, START_MS));
    });
  });

  describe('When what a CRM says of a session occurred', () => {
    let store: SessionStore;
    let sessionId: SessionId;
    beforeEach(() => {
      store = table.sessions();
      sessionId = newSession();
    });
    const occurrence = (ms: number, paths: readonly string[] = [TIER], of = record): Occurrence => ({
      record: of,
      stamp: stampAt(ms),
      horizon: HORIZON,
      paths,
    });
    const commitAt = (ms: number, paths?: readonly string[], of?: RecordRef) =>
      store.commit({
        sessionId,
        operation: newOperation({ occurrence: occurrence(ms, paths, of) }),
        lease: newLease(),
        dueAtMs: START_MS,
      });

    it('is noted with the commit: what occurred before it is superseded, and changes nothing', async () => {
      expect(await commitAt(10)).toMatchObject({ kind: 'committed', version: 1 });
      const before = await table.laneOf(sessionId);

      expect(await commitAt(9)).toEqual({ kind: 'superseded', paths: [TIER] });

      expect(await table.laneOf(sessionId)).toEqual(before);
      expect(await commitAt(11)).toMatchObject({ kind: 'committed', version: 2 });
    });

    it('is noted path by path: those are named that something later is known of', async () => {
      await commitAt(10, [TIER]);
      await commitAt(5, [NAME]);
      expect(await commitAt(7, [TIER, NAME])).toEqual({ kind: 'superseded', paths: [TIER] });
      expect(await commitAt(7, [NAME])).toMatchObject({ kind: 'committed', version: 3 });
      expect(await commitAt(6, [TIER, NAME])).toEqual({ kind: 'superseded', paths: [TIER, NAME] });
    });

    it('is no obstacle where a clock was far ahead', async () => {
      await commitAt(DAY_MS);
      expect(await commitAt(0)).toMatchObject({ kind: 'committed', version: 2 });
      expect(await commitAt(-1)).toEqual({ kind: 'superseded', paths: [TIER] });
    });

    it('is noted of as many paths as a source may map', async () => {
      expect(await commitAt(1, MOST_PATHS)).toMatchObject({ kind: 'committed' });
      expect(await commitAt(0, MOST_PATHS)).toEqual({ kind: 'superseded', paths: MOST_PATHS });
    });

    it('of many records makes no lane larger and larger: what occurred first is forgotten first', async () => {
      const others = Array.from({ length: 5 }, (_each, index) => ({ source: 'generic', recordId: `other-${index}` }));
      for (const [index, other] of others.entries()) {
        const operation = newOperation({ occurrence: occurrence(10 + index, MOST_PATHS, other) });
        await operate(store, sessionId, operation);
      }
      const names = Object.keys(await table.laneOf(sessionId)).filter((name) => /^occurred:.*[^<]$/.test(name));
      expect(names).toHaveLength(128);
      const [first, ...later] = others;
      for (const other of later) {
        expect(await commitAt(1, MOST_PATHS, other)).toEqual({ kind: 'superseded', paths: MOST_PATHS });
      }
      expect(await commitAt(1, MOST_PATHS, first)).toMatchObject({ kind: 'committed' });
    });

    it('is no later than itself', async () => {
      await commitAt(10);
      expect(await commitAt(10)).toMatchObject({ kind: 'committed', version: 2 });
    });

    it('is noted for each record and each session by itself, and not in what is to be done', async () => {
      await commitAt(10);
      expect(await commitAt(9, [TIER], { ...record, source: 'hubspot' })).toMatchObject({ kind: 'committed' });
      expect(await commitAt(9, [TIER], { ...record, recordId: 'other' })).toMatchObject({ kind: 'committed' });
      const [entry] = (await laneOf(store, sessionId)).journal;
      expect(entry).not.toHaveProperty('occurrence');
      sessionId = newSession();
      expect(await commitAt(9)).toMatchObject({ kind: 'committed', version: 1 });
    });

    it('does not concern operations of anybody else', async () => {
      await commitAt(10);
      expect(await commit(store, sessionId)).toMatchObject({ version: 2 });
    });

    it('is remembered when the operation is settled and archived', async () => {
      await operate(store, sessionId, newOperation({ occurrence: occurrence(10) }));
      await archive(store, sessionId);
      expect(await commitAt(9)).toEqual({ kind: 'superseded', paths: [TIER] });
    });

    it('SCENARIO 12: matters less than that the operation has been there before', async () => {
      const repeated = (ms: number, key: string) =>
        store.commit({
          sessionId,
          operation: newOperation({ occurrence: occurrence(ms), idempotencyHash: keyHash(key) }),
          lease: newLease(),
          dueAtMs: START_MS,
        });
      await repeated(1, 'first');
      await repeated(2, 'second');
      expect(await repeated(1, 'first')).toEqual({ kind: 'repeated' });
      expect(await repeated(1, 'third')).toEqual({ kind: 'superseded', paths: [TIER] });
    });

    it('decides between commits at once: the latest is always taken, and nothing after it that is earlier', async () => {
      const order = [3, 1, 4, 0, 2];
      const results = await Promise.all(order.map((ms) => commitAt(ms)));
      const taken = results
        .flatMap((result, index) =>
          result.kind === 'committed' ? [{ ms: order[index] ?? -1, version: result.version }] : [],
        )
        .toSorted((a, b) => a.version - b.version)
        .map(({ ms }) => ms);
      expect(taken.at(-1)).toBe(4);
      expect(taken).toEqual(taken.toSorted((a, b) => a - b));
      expect((await laneOf(store, sessionId)).version).toBe(taken.length);
    });

    it('is committed also when the acknowledgement is lost', async () => {
      table.loseNextAcknowledgement();
      expect(await commitAt(10)).toMatchObject({ kind: 'committed', version: 1 });
    });

    it('is noted without a change, while nothing else has happened', async () => {
      await operate(store, sessionId, newOperation({ occurrence: occurrence(10) }));
      const lane = await laneOf(store, sessionId);

      expect(await store.noteOccurrence(lane, occurrence(20, [TIER, NAME]))).toBe(true);

      expect(await laneOf(store, sessionId)).toMatchObject({ version: 1, confirmedVersion: 1, journal: [] });
      expect(await commitAt(19, [TIER])).toEqual({ kind: 'superseded', paths: [TIER] });
      expect(await commitAt(19, [NAME])).toEqual({ kind: 'superseded', paths: [NAME] });
    });

    it('is not noted where the lane has moved on since it was read', async () => {
      await operate(store, sessionId);
      const lane = await laneOf(store, sessionId);
      await commit(store, sessionId);
      const before = await table.laneOf(sessionId);
      expect(await store.noteOccurrence(lane, occurrence(20))).toBe(false);
      expect(await table.laneOf(sessionId)).toEqual(before);
    });

    it('is not noted where something later is known, not even for the other paths', async () => {
      await operate(store, sessionId, newOperation({ occurrence: occurrence(10) }));
      const lane = await laneOf(store, sessionId);
      expect(await store.noteOccurrence(lane, occurrence(9, [TIER, NAME]))).toBe(false);
      expect(await commitAt(8, [NAME])).toMatchObject({ kind: 'committed' });
    });

    it('is to be tried again when what stood in its way has been taken back meanwhile', async () => {
      await commitAt(20);
      table.interruptNext('GetItemCommand', () => store.withdrawOccurrence(sessionId, occurrence(20)));
      expect(await commitAt(10)).toEqual({ kind: 'superseded', paths: [] });
      expect(await commitAt(10)).toMatchObject({ kind: 'committed' });
    });

    it('leaves what it took the place of, where it is taken back: what came before that is late', async () => {
      await commitAt(20);
      await commitAt(30);
      await store.withdrawOccurrence(sessionId, occurrence(30));
      expect(await commitAt(10)).toMatchObject({ kind: 'superseded' });
      expect(await commitAt(25)).toMatchObject({ kind: 'committed' });
    });

    it('is not taken back where something later has come since', async () => {
      await commitAt(20);
      await commitAt(30);
      await store.withdrawOccurrence(sessionId, occurrence(20));
      expect(await commitAt(25)).toMatchObject({ kind: 'superseded' });
    });

    it('SCENARIO 48: is not noted in a lane of a newer format, which is not damaged', async () => {
      await operate(store, sessionId);
      const lane = await laneOf(store, sessionId);
      const newer = { ...(await table.laneOf(sessionId)), format: 2 };
      await table.put(newer);
      expect(await store.noteOccurrence(lane, occurrence(20))).toBe(false);
      await refused(commitAt(20));
      expect(await table.laneOf(sessionId)).toEqual(newer);
    });

    it('SCENARIO 43: is not to be read in what is left of a session that has been erased', async () => {
      await operate(store, sessionId, newOperation({ occurrence: occurrence(10) }));
      await erase(store, sessionId);
      const texts = textsOf(await table.laneOf(sessionId)).join('\n');
      expect(texts).not.toContain('crm_tier');
      expect(texts).not.toContain(stampAt(10));
    });
  });

  describe('In the table', () => {
    const RECORD_ID = 'ACC-99821-marguerite';
    const sessionId = newSession('sess_marguerite.duras~7431');

    it.each([
      ['record id', RECORD_ID],
      ['session id', sessionId],
    ])('there is no %s that anybody could read (SPEC 8, DESIGN I7)', async (_what, secret) => {
      const store = table.sessions();
      const ref = { source: 'generic', recordId: RECORD_ID };
      const eventId = 'evt-of-marguerite-4711';
      const occurrence = { record: ref, stamp: stampAt(0, eventId), horizon: HORIZON, paths: [TIER] };
      await records.bind(ref, sessionId, START_MS);
      await records.noteApplied(occurrence, START_MS);
      await records.noteSeen('generic', eventId, { outcome: 'applied', sessions: [] }, START_MS);
      const crm = { ...ref, eventId };
      const payload = {
        kind: 'inject',
        variables: [{ key: 'crm_tier', value: 'gold', scope: 'user' }],
        crm,
      } as const;
      const { lane } = await commit(store, sessionId, { operation: newOperation({ occurrence, payload }) });
      await store.settle(lane, idleSettlementOf(lane));
      await store.noteOccurrence(await laneOf(store, sessionId), occurrence);

      const items = await table.scan();

      expect(new Set(items.map(({ sk }) => sk.split('#')[0]))).toEqual(
        new Set(['BINDING', 'LANE', 'RECORD', 'SEEN', 'SESSION']),
      );
      // Half of it would be a leak too, and so would its usual encodings.
      const half = secret.slice(0, Math.ceil(secret.length / 2));
      const forms = [
        half,
        Buffer.from(half).toString('base64').replace(/=+$/, '').slice(0, -1),
        Buffer.from(half).toString('hex'),
      ];
      for (const item of items) {
        for (const text of textsOf(item)) for (const form of forms) expect(text, item.sk).not.toContain(form);
      }
    });

    it('every item ends by itself', async () => {
      await records.bind(record, sessionId, START_MS);
      await records.noteApplied({ record, stamp: stampAt(0), horizon: HORIZON, paths: [TIER] }, START_MS);
      await records.noteSeen('generic', 'evt_1', { outcome: 'applied', sessions: [] }, START_MS);
      for (const { sk, ttl } of await table.scan()) {
        expect(Number.isInteger(ttl), sk).toBe(true);
        expect(ttl, sk).toBeGreaterThan(START_MS / 1_000);
        expect(ttl, sk).toBeLessThanOrEqual((START_MS + 30 * DAY_MS) / 1_000);
      }
    });
  });
});
