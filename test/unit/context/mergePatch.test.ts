import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, type JsonArray, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { mergePatch } from '../../../lib/context/mergePatch.ts';

const { value: json, object } = fc.letrec<{ value: JsonValue; array: JsonArray; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<JsonValue>(null, false, 0, 1, 'x'),
    tie('array'),
    tie('object'),
  ),
  array: fc.array(tie('value'), { maxLength: 2 }),
  object: fc
    .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', '1', '__proto__', 'toString'), tie('value')), {
      maxLength: 4,
      selector: ([name]) => name,
    })
    .map((members) => Object.fromEntries(members)),
}));

describe('mergePatch (RFC 7396, appendix A)', () => {
  it.each<[JsonValue, JsonValue, JsonValue]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j is %j', (target, patch, expected) => expect(mergePatch(target, patch)).toStrictEqual(expected));
});

describe('mergePatch', () => {
  it('builds on nothing where there is no target', () => {
    expect(mergePatch(undefined, { a: { b: 1, c: null } })).toStrictEqual({ a: { b: 1 } });
    expect(mergePatch(undefined, {})).toStrictEqual({});
  });

  it('keeps the nulls inside arrays: they are values', () => {
    expect(mergePatch({ a: 1 }, { a: [null, { b: null }] })).toStrictEqual({ a: [null, { b: null }] });
  });

  it('keeps the order of members; new ones follow', () => {
    const patched = mergePatch({ c: 1, b: 2, a: 3 }, { n: 5, a: 4, c: 6, b: null });
    expect(JSON.stringify(patched)).toBe('{"c":6,"a":4,"n":5}');
  });

  it('treats __proto__ as a name like any other', () => {
    // Prepare
    const target: JsonObject = JSON.parse('{"a":{"b":1}}');
    const patch: JsonObject = JSON.parse(
      '{"__proto__":{"polluted":1},"a":{"__proto__":[2]},"constructor":{"prototype":3}}',
    );
    // Act
    const patched = mergePatch(target, patch);
    // Assess
    expect(JSON.stringify(patched)).toBe(
      '{"a":{"b":1,"__proto__":[2]},"__proto__":{"polluted":1},"constructor":{"prototype":3}}',
    );
    expect(Object.getPrototypeOf(patched)).toBe(Object.prototype);
    expect('polluted' in {}).toBe(false);
    expect(
      mergePatch(patched, JSON.parse('{"__proto__":null,"a":{"__proto__":null},"constructor":null}')),
    ).toStrictEqual(target);
  });

  it('does not take what every object inherits for a member', () => {
    expect(mergePatch({}, { toString: { a: 1 } })).toStrictEqual({ toString: { a: 1 } });
    const target = { a: 1 };
    expect(mergePatch(target, { toString: null })).toBe(target);
  });

  it('property: does what the pseudo-code of RFC 7396 section 2 does, and touches neither target nor patch', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        expect(mergePatch(frozen(target), frozen(patch))).toStrictEqual(fromThePseudoCode(target, patch));
      }),
      { numRuns: 500 },
    );
  });

  it('property: applied again it changes nothing, and gives back the very same object', () => {
    fc.assert(
      fc.property(json, object, (target, patch) => {
        const once = mergePatch(target, patch);
        expect(mergePatch(once, patch)).toBe(once);
      }),
    );
  });

  it('property: what the patch does not name keeps its identity', () => {
    fc.assert(
      fc.property(object, object, (target, patch) => {
        const patched = mergePatch(target, patch);
        for (const [name, value] of Object.entries(target)) {
          if (!Object.hasOwn(patch, name)) expect(new Map(Object.entries(patched ?? {})).get(name)).toBe(value);
        }
      }),
    );
  });
});

/** RFC 7396 section 2 to the letter, on Maps, which have no prototype to stumble over. */
function fromThePseudoCode(target: JsonValue, patch: JsonValue): JsonValue {
  if (!isJsonObject(patch)) return patch;
  const members = new Map<string, JsonValue>(isJsonObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      if (members.has(name)) members.delete(name);
    } else {
      members.set(name, fromThePseudoCode(members.get(name) ?? null, value));
    }
  }
  return Object.fromEntries(members);
}

function frozen<Value extends JsonValue>(value: Value): Value {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}
