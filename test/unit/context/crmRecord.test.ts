import { describe, expect, it } from 'vitest';
import { CRM_SOURCE_NAME, crmIdOf, recordIn } from '../../../lib/context/crmRecord.ts';
import type { JsonValue } from '../../../lib/context/json.ts';

describe('The name of a source', () => {
  it.each(['a', '0', 'salesforce-eu-2', 'x'.repeat(64)])('may be %s', (name) => expect(name).toMatch(CRM_SOURCE_NAME));

  it.each(['', '-a', 'A', 'a_b', 'a.b', ' a', 'a\n', 'x'.repeat(65)])('may not be %j', (name) =>
    expect(name).not.toMatch(CRM_SOURCE_NAME),
  );
});

describe('crmIdOf', () => {
  it.each<[JsonValue, string]>([
    ['003-A/ü 1', '003-A/ü 1'],
    ['007', '007'],
    ['x'.repeat(256), 'x'.repeat(256)],
    ['🙂'.repeat(256), '🙂'.repeat(256)],
    [0, '0'],
    [-5, '-5'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
  ])('takes %j', (given, id) => expect(crmIdOf(given)).toBe(id));

  it.each<[JsonValue | undefined]>([
    [''],
    ['x'.repeat(257)],
    ['a\u0000'],
    ['a\nb'],
    ['\ud800'],
    [1.5],
    [Number.MAX_SAFE_INTEGER + 1],
    [true],
    [null],
    [['a']],
    [{}],
    [undefined],
  ])('does not take %j', (given) => expect(crmIdOf(given)).toBeUndefined());
});

describe('The record that CRM data name', () => {
  it('is a source and an id, whatever else they hold', () => {
    expect(recordIn({ source: 'hubspot', recordId: 123, owner: 'Ada' })).toEqual({
      source: 'hubspot',
      recordId: '123',
    });
  });

  it.each([
    ['no data', undefined],
    ['empty data', {}],
    ['a source alone', { source: 'hubspot' }],
    ['an id alone', { recordId: '123' }],
    ['a source that is no name', { source: 'HubSpot', recordId: '123' }],
    ['a source that is no text', { source: ['hubspot'], recordId: '123' }],
    ['an id that is none', { source: 'hubspot', recordId: '' }],
  ])('is none in %s', (_what, crm) => expect(recordIn(crm)).toBeUndefined());
});
