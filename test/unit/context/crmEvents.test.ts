import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CrmEvent, MAX_CRM_EVENTS, occurrenceStamp, readCrmEvents } from '../../../lib/context/crmEvents.ts';
import type { CrmMapping, CrmSource } from '../../../lib/context/crmSource.ts';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { crmSources } from '../../../lib/platform/crmSources.ts';

const AT = '2026-11-01T10:00:00Z';
const AT_MS = Date.UTC(2026, 10, 1, 10);
const sourceWith = (...mapping: CrmMapping[]): CrmSource => ({
  name: 'mine',
  scheme: 'hmac-sha256',
  recordId: '/data/id',
  eventId: '/id',
  occurredAt: '/at',
  mapping,
});
const event = (data: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
  id: 'evt_1',
  at: AT,
  data: { id: 'ACC-1', ...data },
  ...more,
});

function eventsOf(source: CrmSource, body: JsonValue): readonly CrmEvent[] {
  return readCrmEvents(source, body).map((read) => {
    if (!read.ok) throw new Error(JSON.stringify(read.violations));
    return read.event;
  });
}
const variablesOf = (source: CrmSource, body: JsonValue) => eventsOf(source, body)[0]?.variables;

function problemsOf(source: CrmSource, body: JsonValue): string[] {
  const violations = readCrmEvents(source, body).flatMap((read) => (read.ok ? [] : read.violations));
  return violations.map(({ code, pointer }) => `${code} ${pointer}`);
}

describe('The identity of an event', () => {
  it('is its id', () => {
    expect(eventsOf(sourceWith(), event())).toMatchObject([{ eventId: 'evt_1', identity: 'evt_1' }]);
  });

  it('is more where ids alone do not tell events apart (HubSpot), and the same when it comes again', () => {
    const source = { ...sourceWith(), uniqueWith: ['/data/property', '/data/absent'] };
    const of = (data: JsonObject) => eventsOf(source, event(data))[0]?.identity;
    expect(of({ property: 'a' })).not.toBe(of({ property: 'b' }));
    expect(of({ property: 'a', attempt: 1 })).toBe(of({ property: 'a', attempt: 2 }));
    expect(of({ property: '1' })).not.toBe(of({ property: 1 }));
  });
});

describe('readCrmEvents', () => {
  it('reads which record changed, when, and what it says', () => {
    const source = sourceWith({ from: '/data/tier', key: 'crm_tier', scope: 'user', ttlSeconds: 60 });
    expect(eventsOf(source, event({ tier: 'gold' }))).toEqual([
      {
        eventId: 'evt_1',
        identity: 'evt_1',
        recordId: 'ACC-1',
        occurredAtMs: AT_MS,
        variables: [{ key: 'crm_tier', value: 'gold', scope: 'user', ttlSeconds: 60 }],
      },
    ]);
  });

  it('an event with nothing that is mapped is an event', () => {
    expect(eventsOf(sourceWith(), event())).toMatchObject([{ recordId: 'ACC-1', variables: [] }]);
  });

  it('lists everything that is wrong', () => {
    expect(problemsOf(sourceWith(), {})).toEqual(['missing /id', 'missing /data/id', 'missing /at']);
    expect(problemsOf(sourceWith(), { id: true, data: { id: '' }, at: 'now' })).toEqual([
      'invalid-id /id',
      'invalid-id /data/id',
      'invalid-time /at',
    ]);
  });

  it('says in a sentence what is wrong, as clients read it', () => {
    const sentences = (body: JsonValue) =>
      readCrmEvents(sourceWith({ from: '/data/v', key: 'k', scope: 'user' }), body).flatMap((read) =>
        read.ok ? [] : read.violations.map(({ message }) => message),
      );
    const id = 'must be text of 1 to 256 characters, none of them a control character, or a whole number';
    expect(sentences({})).toEqual(['is missing', 'is missing', 'is missing']);
    expect(sentences(event({ id: '' }, { id: '' }))).toEqual([id, id]);
    expect(sentences(event({}, { at: true }))).toEqual([
      'must be a date-time of RFC 3339, or a whole number of epoch seconds or milliseconds',
    ]);
    expect(sentences(event({}, { at: '2026-11-01T10:00:00' }))).toEqual([
      'has no zone; end it with Z or an offset such as +01:00',
    ]);
    expect(sentences(event({}, { at: -1 }))).toEqual(['must lie in the years 1970 to 9999']);
    expect(sentences(event({ v: JSON.parse('['.repeat(33) + ']'.repeat(33)) }))).toEqual([
      'is nested deeper than 32 levels',
    ]);
    expect(sentences(Array.from({ length: MAX_CRM_EVENTS + 1 }, () => event()))).toEqual(['has more than 500 events']);
  });

  it.each<JsonValue>([null, 1, 'text', true])('%j is no event', (body) => {
    expect(problemsOf(sourceWith(), body)).toEqual(['missing /id', 'missing /data/id', 'missing /at']);
  });

  it('says nothing of the values (SCENARIO 44)', () => {
    const read = readCrmEvents(sourceWith(), { id: 'secret\n', data: { id: ['secret'] }, at: 'secret' });
    expect(JSON.stringify(read)).not.toContain('secret');
  });
});

describe('Ids', () => {
  it.each<[JsonValue, string]>([
    ['x', 'x'],
    [' a/b#ü👋 ', ' a/b#ü👋 '],
    ['👋'.repeat(256), '👋'.repeat(256)],
    [0, '0'],
    [-1, '-1'],
    [4711, '4711'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
  ])('%j', (id, text) => {
    expect(eventsOf(sourceWith(), event({ id }, { id }))).toMatchObject([{ eventId: text, recordId: text }]);
  });

  it.each<JsonValue>([
    '',
    'x'.repeat(257),
    'a\nb',
    'a\u0000',
    '\u007f',
    '\u0085',
    '\ud800',
    1.5,
    2 ** 53,
    -(2 ** 60),
    null,
    true,
    [],
    {},
    ['a'],
  ])('%j is none', (id) => {
    expect(problemsOf(sourceWith(), event({ id }, { id }))).toEqual(['invalid-id /id', 'invalid-id /data/id']);
  });
});

describe('Times', () => {
  it.each<[JsonValue, number]>([
    ['2026-11-01T11:00:00.250+01:00', AT_MS + 250],
    ['2026-11-01T10:00:00.123456789Z', AT_MS + 123],
    ['1970-01-01T00:00:00Z', 0],
    [0, 0],
    [AT_MS, AT_MS],
    [AT_MS / 1_000, AT_MS],
    [99_999_999_999, 99_999_999_999_000],
    [100_000_000_000, 100_000_000_000],
    [253_402_300_799_999, 253_402_300_799_999],
  ])('%j', (at, ms) => expect(eventsOf(sourceWith(), event({}, { at }))).toMatchObject([{ occurredAtMs: ms }]));

  it.each<JsonValue>([
    '',
    'yesterday',
    '2026-11-01',
    '2026-11-01T10:00:00',
    '2026-02-30T10:00:00Z',
    '1969-12-31T23:59:59Z',
    String(AT_MS),
    -1,
    1.5,
    253_402_300_800_000,
    2 ** 60,
    null,
    false,
    [AT],
  ])('%j is none', (at) => expect(problemsOf(sourceWith(), event({}, { at }))).toEqual(['invalid-time /at']));
});

describe('The mapping', () => {
  const at = (from: string, more: Partial<CrmMapping> = {}): CrmMapping => ({ from, key: 'k', scope: 'user', ...more });
  const valueAt = (from: string, data: JsonObject) => variablesOf(sourceWith(at(from)), event(data))?.[0]?.value;

  it.each<JsonValue>([null, '', 0, false, 'text', [], {}, [1, { a: null }]])(
    '%j is a value like any other',
    (value) => {
      expect(variablesOf(sourceWith(at('/data/v')), event({ v: value }))).toEqual([{ key: 'k', scope: 'user', value }]);
    },
  );

  it('where a pointer leads to nothing, there is no variable', () => {
    const nowhere = ['/data/none', '/data/none/v', '/data/text/length', '/data/list/3', '/data/nothing/v', '/none'];
    const data = { text: 'abc', list: [1, 2, 3], nothing: null };
    expect(nowhere.map((from) => valueAt(from, data))).toEqual(nowhere.map(() => undefined));
  });

  it('nothing is inherited: only what the event itself has is found', () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__proto__/toString', 'list/length'];
    expect(names.map((name) => valueAt(`/data/${name}`, { list: [1] }))).toEqual(names.map(() => undefined));
    expect(valueAt('/data/__proto__/v', JSON.parse('{"__proto__":{"v":1}}'))).toBe(1);
  });

  it('a pointer may lead through arrays, and to names with / and ~ (RFC 6901)', () => {
    const data = { list: [{ v: 'first' }, { v: 'second' }], 'a/b': { '~1': 'escaped' }, '': 'empty' };
    expect(valueAt('/data/list/1/v', data)).toBe('second');
    expect(valueAt('/data/long/10', { long: Array.from({ length: 11 }, (_, index) => index) })).toBe(10);
    expect(valueAt('/data/a~1b/~01', data)).toBe('escaped');
    expect(valueAt('/data/', data)).toBe('empty');
    for (const no of ['01', '-', '-1', '+1', '1.0', '1e0', '', ' 1']) {
      expect(valueAt(`/data/list/${no}`, data)).toBeUndefined();
    }
  });

  it('applies only where the event has exactly the values it asks for', () => {
    const rule = at('/data/v', { when: { '/data/name': 'tier', '/data/n': 1, '/data/gone': null } });
    const isMapped = (data: JsonObject) => variablesOf(sourceWith(rule), event({ v: 'x', ...data }))?.length === 1;
    expect(isMapped({ name: 'tier', n: 1, gone: null })).toBe(true);
    expect(isMapped({ name: 'Tier', n: 1, gone: null })).toBe(false);
    expect(isMapped({ name: ['tier'], n: 1, gone: null })).toBe(false);
    expect(isMapped({ name: 'tier', n: '1', gone: null })).toBe(false);
    // Nothing is not null.
    expect(isMapped({ name: 'tier', n: 1 })).toBe(false);
  });

  it('of two mappings to one variable the first that finds something counts; scopes keep variables apart', () => {
    const source = sourceWith(at('/data/a'), at('/data/b'), at('/data/b', { scope: 'session', ttlSeconds: 1 }));
    expect(variablesOf(source, event({ a: 1, b: 2 }))).toEqual([
      { key: 'k', scope: 'user', value: 1 },
      { key: 'k', scope: 'session', value: 2, ttlSeconds: 1 },
    ]);
    expect(variablesOf(source, event({ b: 2 }))?.[0]).toEqual({ key: 'k', scope: 'user', value: 2 });
  });

  it('takes values of 32 levels, and refuses deeper ones where they lie', () => {
    const nested = (levels: number): JsonValue => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
    const source = sourceWith(at('/data/a'), at('/data/b', { key: 'other' }));
    expect(problemsOf(source, event({ a: nested(32) }))).toEqual([]);
    expect(problemsOf(source, [event({ a: nested(33), b: nested(40) })])).toEqual([
      'too-deep /0/data/a',
      'too-deep /0/data/b',
    ]);
    // What is not mapped is nobody's concern.
    expect(problemsOf(source, event({ c: nested(100) }))).toEqual([]);
  });
});

describe('A batch', () => {
  it('gives one event per element, in its order', () => {
    const batch = ['b', 'a', 'b'].map((id) => event({}, { id }));
    expect(eventsOf(sourceWith(), batch).map(({ eventId }) => eventId)).toEqual(['b', 'a', 'b']);
    expect(eventsOf(sourceWith(), [])).toEqual([]);
  });

  it('tells everything that is wrong in any element, by its index', () => {
    expect(problemsOf(sourceWith(), [event({ id: '' }), event(), 'x', event({}, { at: -1 }), [event()]])).toEqual([
      'invalid-id /0/data/id',
      'missing /2/id',
      'missing /2/data/id',
      'missing /2/at',
      'invalid-time /3/at',
      'missing /4/id',
      'missing /4/data/id',
      'missing /4/at',
    ]);
  });

  it(`has at most ${MAX_CRM_EVENTS} events`, () => {
    expect(
      eventsOf(
        sourceWith(),
        Array.from({ length: MAX_CRM_EVENTS }, () => event()),
      ),
    ).toHaveLength(MAX_CRM_EVENTS);
    expect(
      problemsOf(
        sourceWith(),
        Array.from({ length: MAX_CRM_EVENTS + 1 }, () => 'x'),
      ),
    ).toEqual(['too-many-events ']);
  });
});

describe('occurrenceStamp', () => {
  const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 });
  const occurrence = fc.record({
    occurredAtMs: fc.oneof(
      fc.nat(3),
      fc.constantFrom(9, 10, 253_402_300_799_999),
      fc.nat({ max: 253_402_300_799_999 }),
    ),
    eventId: fc.oneof(id, fc.constantFrom('a', 'a#', 'ab', '\uFFFD', '\uE000', '👋', '9', '10')),
  });
  const sign = (order: number) => Math.sign(order);

  it('property: sorts by time, then by the UTF-8 bytes of the event id, in DynamoDB as in JavaScript', () => {
    fc.assert(
      fc.property(occurrence, occurrence, (a, b) => {
        const [first, second] = [occurrenceStamp(a), occurrenceStamp(b)];
        const byId = Buffer.compare(Buffer.from(a.eventId), Buffer.from(b.eventId));
        const expected = sign(a.occurredAtMs - b.occurredAtMs || byId);
        expect(sign(Buffer.compare(Buffer.from(first), Buffer.from(second)))).toBe(expected);
        expect(first < second ? -1 : Number(first > second)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('The shipped sources', () => {
  const shipped = (name: string) => crmSources.get(name) ?? sourceWith();

  it('generic: the event of the product contract', () => {
    const body = { id: 'evt_1', timestamp: AT, data: { id: 'ACC-1', tier: 'gold' } };
    expect(eventsOf(shipped('generic'), body)).toEqual([
      {
        eventId: 'evt_1',
        identity: 'evt_1',
        recordId: 'ACC-1',
        occurredAtMs: AT_MS,
        variables: [{ key: 'crm_tier', value: 'gold', scope: 'user', ttlSeconds: 3_600 }],
      },
    ]);
  });

  it('hubspot: changes of properties come in batches, as name and value', () => {
    // https://developers.hubspot.com/docs/api/webhooks, "Webhook payloads"
    const change = {
      eventId: 1,
      subscriptionId: 12345,
      portalId: 62515,
      occurredAt: 1564113600000,
      subscriptionType: 'contact.propertyChange',
      attemptNumber: 0,
      objectId: 123,
      changeSource: 'CRM',
      propertyName: 'lifecyclestage',
      propertyValue: 'customer',
    };
    const company = { ...change, eventId: 2, subscriptionType: 'company.propertyChange' };
    expect(eventsOf(shipped('hubspot'), [change, company])).toMatchObject([
      {
        eventId: '1',
        recordId: '123',
        occurredAtMs: 1_564_113_600_000,
        variables: [{ key: 'crm_lifecycle_stage', value: 'customer', scope: 'user', ttlSeconds: 3_600 }],
      },
      // A company may have a contact's number.
      { eventId: '2', recordId: '123', occurredAtMs: 1_564_113_600_000, variables: [] },
    ]);
  });

  it('zendesk: an event of a user', () => {
    // https://developer.zendesk.com/api-reference/webhooks/event-types/webhook-event-types/, "Event schema"
    const body = {
      type: 'zen:event-type:user.name_changed',
      account_id: 12514403,
      id: '2b24ef10-19d4-4740-93cf-8f98ec4776c0',
      time: '2099-07-04T05:33:18Z',
      zendesk_event_version: '2022-06-20',
      subject: 'zen:user:6596848315901',
      detail: { id: '6596848315901', organization_id: '0', role: 'end-user' },
      event: { current: 'Ada', previous: 'Ida' },
    };
    expect(eventsOf(shipped('zendesk'), body)).toMatchObject([
      {
        eventId: '2b24ef10-19d4-4740-93cf-8f98ec4776c0',
        recordId: '6596848315901',
        variables: [
          { key: 'crm_name', value: 'Ada' },
          { key: 'crm_role', value: 'end-user' },
          { key: 'crm_organization_id', value: '0' },
        ],
      },
    ]);
    const renamed = { ...body, type: 'zen:event-type:user.alias_changed' };
    expect(variablesOf(shipped('zendesk'), renamed)?.map(({ key }) => key)).toEqual([
      'crm_role',
      'crm_organization_id',
    ]);
  });

  it('salesforce: what a flow sends', () => {
    const body = {
      eventId: 'e1',
      recordId: '001xx000003DGb1AAG',
      occurredAt: AT,
      fields: { Name: 'ACME', Tier__c: 'gold' },
    };
    expect(variablesOf(shipped('salesforce'), body)?.map(({ key }) => key)).toEqual(['crm_tier', 'crm_name']);
  });
});
