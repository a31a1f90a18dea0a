import { describe, expect, it } from 'vitest';
import { readJsonBody } from '../../../lib/http/body.ts';
import { problemOf } from './problemOf.ts';

const LIMIT = 2 * 1024 * 1024;
const JSON_TYPE = 'application/json';
const read = (body: string | null, type: string | undefined = JSON_TYPE, isBase64Encoded = false) =>
  readJsonBody({ body, isBase64Encoded }, new Map(type === undefined ? [] : [['content-type', type]]));
const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('base64');

describe('readJsonBody', () => {
  it('reads plain and base64', () => {
    expect(read('{"a":"é"}')).toEqual({ value: { a: 'é' }, violations: [] });
    expect(read(base64('{"a":"é"}'), JSON_TYPE, true)).toEqual({ value: { a: 'é' }, violations: [] });
  });

  it.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'application/merge-patch+json',
    'application/json; odd=1',
  ])('takes %s', (type) => expect(read('{}', type).value).toEqual({}));

  it.each([
    '',
    'text/plain',
    'application/jsonp',
    'application/json; charset=latin1',
    'application/x-www-form-urlencoded',
    'text/json',
  ])('refuses %j with 415', (type) => expect(problemOf(() => read('{}', type)).code).toBe('unsupported-media-type'));

  it('refuses a body without a type with 415', () => {
    expect(problemOf(() => readJsonBody({ body: '{}' }, new Map())).status).toBe(415);
  });

  it.each([
    [null, 'malformed-json'],
    ['', 'malformed-json'],
    ['{', 'malformed-json'],
    ['{"a":1,"\\u0061":2}', 'duplicate-json-key'],
  ])('answers %j with %s', (body, code) => expect(problemOf(() => read(body)).code).toBe(code));

  it('what is refused in it is told with its places, and left to be told with the rest', () => {
    expect(read('{"a":1e400,"b":{"__proto__":1}}').violations.map(({ pointer }) => pointer)).toEqual([
      '/a',
      '/b/__proto__',
    ]);
  });

  it('bytes that are no UTF-8 are not repaired', () => {
    expect(problemOf(() => read(base64(Uint8Array.of(0x22, 0xff, 0x22)), JSON_TYPE, true)).code).toBe('malformed-json');
  });

  it('exactly 2 MiB is read, one byte more is 413, counted in UTF-8 (SCENARIO 28)', () => {
    const exact = `"${'é'.repeat((LIMIT - 2) / 2)}"`;
    expect(read(exact).violations).toEqual([]);
    expect(read(base64(exact), JSON_TYPE, true).violations).toEqual([]);
    expect(problemOf(() => read(`${exact} `)).code).toBe('payload-too-large');
    expect(problemOf(() => read(base64(`${exact} `), JSON_TYPE, true)).code).toBe('payload-too-large');
  });
});
