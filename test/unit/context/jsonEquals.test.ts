import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../lib/context/canonicalJson.ts';
import { isJsonObject, type JsonArray, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { jsonEquals } from '../../../lib/context/jsonEquals.ts';

/** Few names and few scalars, so that two values are often nearly the same. `__proto__` and others exist in every object. */
const { value: json } = fc.letrec<{ value: JsonValue; array: JsonArray; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<JsonValue>(null, false, 0, -0, 1, '', '0'),
    tie('array'),
    tie('object'),
  ),
  array: fc.array(tie('value'), { maxLength: 2 }),
  object: fc
    .uniqueArray(fc.tuple(fc.constantFrom('a', '0', '__proto__', 'constructor'), tie('value')), {
      maxLength: 3,
      selector: ([name]) => name,
    })
    .map((members) => Object.fromEntries(members)),
}));

describe('jsonEquals', () => {
  it.each<[JsonValue, JsonValue]>([
    [
      { a: 1, b: { c: [null], d: 2 } },
      { b: { d: 2, c: [null] }, a: 1 },
    ],
    [0, -0],
    [[-0], [0]],
    [[], []],
    [{}, {}],
  ])('%j equals %j', (a, b) => expect(jsonEquals(a, b)).toBe(true));

  it.each<[JsonValue | undefined, JsonValue | undefined]>([
    [undefined, null],
    [undefined, false],
    [undefined, {}],
    [null, {}],
    [null, 0],
    [1, '1'],
    ['', false],
    [[], {}],
    [[], { length: 0 }],
    [['a'], { 0: 'a', length: 1 }],
    [['a'], 'a'],
    [
      [1, 2],
      [2, 1],
    ],
    [[1], [1, null]],
    [[1, null], [1]],
    [{ a: 1 }, { b: 1 }],
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: { b: [{ c: 1 }] } }, { a: { b: [{ c: 2 }] } }],
  ])('%j does not equal %j, nor the other way round', (a, b) => {
    expect(jsonEquals(a, b)).toBe(false);
    expect(jsonEquals(b, a)).toBe(false);
  });

  it('absent equals absent', () => expect(jsonEquals(undefined, undefined)).toBe(true));

  it('does not take what every object inherits for a member', () => {
    const inherited: JsonObject = JSON.parse('{"__proto__":{}}');
    expect(jsonEquals(inherited, { toString: {} })).toBe(false);
    expect(jsonEquals({ toString: {} }, inherited)).toBe(false);
    expect(jsonEquals(inherited, JSON.parse('{"__proto__":{}}'))).toBe(true);
  });

  it('property: holds exactly where the canonical texts are the same', () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        expect(jsonEquals(a, b)).toBe(canonicalJson(a) === canonicalJson(b));
      }),
      { numRuns: 1000 },
    );
  });

  it('property: holds between a value and its copy with all members turned round, until one leaf differs', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(jsonEquals(value, turned(value))).toBe(true);
        expect(jsonEquals([value, { deep: 1 }], [turned(value), { deep: 2 }])).toBe(false);
      }),
    );
  });

  it('takes time in line with the number of leaves', () => {
    // The test's own timeout catches anything quadratic, which takes minutes here.
    const wide = (): JsonObject =>
      Object.fromEntries(Array.from({ length: 200_000 }, (_, index) => [`k${index}`, index]));
    expect(jsonEquals(wide(), turned(wide()))).toBe(true);
  });

  it('does not look into what is the very same object', () => {
    const shared: JsonObject = Object.defineProperty({}, 'a', {
      enumerable: true,
      get: () => expect.unreachable('looked inside'),
    });
    expect(jsonEquals({ shared, b: 1 }, { shared, b: 1 })).toBe(true);
  });
});

/** The same value with the members of every object in another order. */
function turned(value: JsonValue): JsonValue {
  if (isJsonObject(value)) {
    const members = Object.entries(value).map(([name, member]): [string, JsonValue] => [name, turned(member)]);
    return Object.fromEntries(members.reverse());
  }
  return typeof value === 'object' && value !== null ? value.map(turned) : value;
}
