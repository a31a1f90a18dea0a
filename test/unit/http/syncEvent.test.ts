import { describe, expect, it } from 'vitest';
import {
  addresseeOf,
  EventNotTakenError,
  endOfEvent,
  isSyncRequested,
  readSyncEvent,
  SYNC_REQUESTED,
} from '../../../functions/sync/event.ts';
import type { JsonValue } from '../../../lib/context/json.ts';
import type { SyncAnswer } from '../../../lib/operations/sync.ts';
import { problemOf } from './problemOf.ts';

const ID = '6f87d04b-9f74-4f04-a780-7acf4b0a9b38';
const DETAIL = { sessionId: 'sess_1', data: { a: { b: 1, c: null } }, ttl: { '/a/b': 60 } };
const eventWith = (detail: unknown, more: object = {}) => ({
  version: '0',
  id: ID,
  'detail-type': SYNC_REQUESTED,
  source: 'com.example.crm',
  account: '1',
  time: '2026-11-21T04:05:17Z',
  region: 'eu-central-1',
  resources: [],
  detail,
  ...more,
});
const read = (event: unknown, sessionIdPrefix = '') =>
  readSyncEvent(event, { sessionIdPrefix, defaultTtlSeconds: 300 });
const placesOf = (event: unknown, sessionIdPrefix?: string) =>
  problemOf(() => read(event, sessionIdPrefix)).options.errors?.map(({ pointer }) => pointer);
const nested = (levels: number): JsonValue => (levels === 0 ? 0 : { a: nested(levels - 1) });

describe('isSyncRequested', () => {
  it.each([
    [eventWith(DETAIL), true],
    [{ 'detail-type': SYNC_REQUESTED }, true],
    [{ 'detail-type': 'Scheduled Event', source: 'aws.events' }, false],
    [{ 'detail-type': [SYNC_REQUESTED] }, false],
    [{}, false],
    [null, false],
    [undefined, false],
    [SYNC_REQUESTED, false],
  ])('%j: %j', (event, expected) => expect(isSyncRequested(event)).toBe(expected));
});

describe('readSyncEvent', () => {
  it('makes a command of it: the id is the idempotency key, the source the client', () => {
    expect(read(eventWith(DETAIL))).toEqual({
      sessionId: 'sess_1',
      client: 'event:com.example.crm',
      idempotencyKey: ID,
      data: { a: { b: 1, c: null } },
      ttlSeconds: { '/a/b': 60 },
      defaultTtlSeconds: 300,
    });
  });

  it('a ttl may be absent', () => {
    expect(read(eventWith({ sessionId: 'sess_1', data: {} })).ttlSeconds).toEqual({});
  });

  it.each([
    ['no detail', undefined, ['/detail']],
    ['a detail that is no object', [], ['']],
    ['nothing in it', {}, ['/data', '/sessionId']],
    ['unknown members', { ...DETAIL, when: 1, 'x/y': 2 }, ['/when', '/x~1y']],
    ['data that are a list', { ...DETAIL, data: [] }, ['/data']],
    ['no session id', { ...DETAIL, sessionId: '../admin' }, ['/sessionId']],
    ['a ttl of zero, and one that is no pointer', { ...DETAIL, ttl: { '/a': 0, b: 1 } }, ['/ttl/b', '/ttl/~1a']],
    ['data nested too deep', { ...DETAIL, data: nested(33) }, ['/data']],
    ['a prototype name', { ...DETAIL, data: JSON.parse('{"a":{"__proto__":1}}') }, ['/data/a/__proto__']],
    ['half a surrogate pair', { ...DETAIL, data: { a: '\ud800' } }, ['/data/a']],
    ['an integer that would be rounded', { ...DETAIL, data: { a: 2 ** 53 + 2 } }, ['/data/a']],
  ])('refuses %s, naming every place', (_what, detail, places) => {
    expect(placesOf(eventWith(detail))?.sort()).toEqual(places);
  });

  it.each([
    ['id', { id: '' }],
    ['id', { id: 'a b' }],
    ['id', { id: 1 }],
    ['source', { source: undefined }],
    ['source', { source: 'a b' }],
  ])('refuses an event whose %s is not EventBridge’s: %j', (member, change) => {
    expect(placesOf(eventWith(DETAIL, change))).toEqual([`/${member}`]);
  });

  it('refuses another tenant’s session ids', () => {
    expect(placesOf(eventWith(DETAIL), 'acme_')).toEqual(['/sessionId']);
    expect(read(eventWith({ ...DETAIL, sessionId: 'acme_1' }), 'acme_').sessionId).toBe('acme_1');
  });

  it('SCENARIO 34: refuses thousands of levels without a stack overflow', () => {
    const data = JSON.parse(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`);
    expect([400, 422]).toContain(problemOf(() => read(eventWith({ ...DETAIL, data }))).status);
  });

  it('SCENARIO 33: strings that look like numbers stay strings', () => {
    const data = { a: '007', b: '+491701234567', c: '1_000', d: 'NaN' };
    expect(read(eventWith({ ...DETAIL, data })).data).toEqual(data);
  });
});

describe('addresseeOf', () => {
  const of = (event: unknown, sessionIdPrefix = '') => addresseeOf(event, { sessionIdPrefix });

  it('knows session and client of an event that says nothing else right', () => {
    expect(of(eventWith({ sessionId: 'sess_1', data: 1, more: 2 }))).toEqual({
      sessionId: 'sess_1',
      client: 'event:com.example.crm',
    });
  });

  it.each([
    eventWith({ ...DETAIL, sessionId: 'a/b' }),
    eventWith({ ...DETAIL, sessionId: 1 }),
    eventWith(null),
    eventWith(DETAIL, { source: '' }),
    null,
    'x',
  ])('knows nobody in %j', (event) => expect(of(event)).toBeUndefined());

  it('knows no session of another tenant', () => expect(of(eventWith(DETAIL), 'acme_')).toBeUndefined());
});

describe('endOfEvent', () => {
  const settled = (outcome: object) => ({ kind: 'settled', replayed: false, context: {}, outcome }) as SyncAnswer;

  it.each<[SyncAnswer, object]>([
    [settled({ kind: 'confirmed' }), { ended: 'confirmed' }],
    [settled({ kind: 'refused', code: 'session-ended' }), { ended: 'refused', code: 'session-ended' }],
    [settled({ kind: 'refused', code: 'validation-failed' }), { ended: 'refused', code: 'validation-failed' }],
    [settled({ kind: 'refused', code: 'conflict' }), { ended: 'refused', code: 'conflict' }],
    [{ kind: 'pending', operationId: 'o', auditId: 'a', version: 1, replayed: false }, { ended: 'pending' }],
    [{ kind: 'mismatch' }, { ended: 'mismatch' }],
    [{ kind: 'erased' }, { ended: 'erased' }],
  ])('%j is the end: %j', (answer, end) => expect(endOfEvent(answer)).toEqual(end));

  it.each<[SyncAnswer, string]>([
    [{ kind: 'busy', retryAfterSeconds: 1 }, 'busy'],
    [{ kind: 'in-progress' }, 'in-progress'],
    [settled({ kind: 'refused', code: 'upstream-unauthorized' }), 'upstream-unauthorized'],
    [settled({ kind: 'refused', code: 'upstream-forbidden' }), 'upstream-forbidden'],
    [settled({ kind: 'refused', code: 'upstream-unavailable' }), 'upstream-unavailable'],
    [settled({ kind: 'refused', code: 'upstream-bad-response' }), 'upstream-bad-response'],
  ])('%j comes again', (answer, code) => {
    expect(() => endOfEvent(answer)).toThrow(EventNotTakenError);
    expect(() => endOfEvent(answer)).toThrow(expect.objectContaining({ code }));
  });
});
