import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, valueHash } from '../../../lib/context/canonicalJson.ts';
import { isJsonObject, type JsonValue } from '../../../lib/context/json.ts';

/** JSON values as they come out of a parser: well-formed text, no -0 (it prints as 0). */
const json = fc.jsonValue({ stringUnit: 'grapheme' }).map((value): JsonValue => JSON.parse(JSON.stringify(value)));

/** The same value with the members of every object in another order. */
function turned(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(turned);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, turned(member)]),
  );
}

describe('canonicalJson (RFC 8785)', () => {
  it.each<[JsonValue, string]>([
    [{ b: 1, a: [true, null], '': 'x' }, '{"":"x","a":[true,null],"b":1}'],
    [
      { '\u20ac': 1, '\r': 2, '1': 3, '\u{1F600}': 4, '\ufb33': 5 },
      '{"\\r":2,"1":3,"\u20ac":1,"\u{1F600}":4,"\ufb33":5}',
    ],
    ['\u20ac$\u000f\nA\'B"\\"/', '"\u20ac$\\u000f\\nA\'B\\"\\\\\\"/"'],
  ])('prints %j as %s', (value, text) => expect(canonicalJson(value)).toBe(text));

  // RFC 8785, appendix B.
  it.each<[number, string]>([
    [0, '0'],
    [-0, '0'],
    [5e-324, '5e-324'],
    [1.7976931348623157e308, '1.7976931348623157e+308'],
    [9007199254740992, '9007199254740992'],
    [295147905179352830000, '295147905179352830000'],
    [1e21, '1e+21'],
    [333333333.3333333, '333333333.3333333'],
    [1e-27, '1e-27'],
    [0.000001, '0.000001'],
    [4.5, '4.5'],
  ])('prints the number %d as %s', (value, text) => expect(canonicalJson(value)).toBe(text));

  it('property: the order of members is no difference, and the text says the same value', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJson(turned(value))).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(value);
      }),
    );
  });

  it('property: hashes are equal exactly where values are', () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        expect(valueHash(a) === valueHash(b)).toBe(isDeepStrictEqual(a, b));
        expect(valueHash(structuredClone(a))).toBe(valueHash(a));
      }),
    );
  });

  it.each([undefined, () => 1, Symbol('a')])('refuses what is no JSON value: %s', (value) => {
    expect(() => canonicalJson(value as never)).toThrow(new TypeError('canonicalJson: not a JSON value'));
  });

  it('tells values apart that print alike to the eye', () => {
    const values: JsonValue[] = [1, '1', [1], { 1: 1 }, null, 'null', '', [], {}, [[]], false, 'false'];
    expect(new Set(values.map(valueHash)).size).toBe(values.length);
    // SHA-256 of `{}`, so that nobody changes the form of what is stored.
    expect(valueHash({})).toBe('44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
  });
});
