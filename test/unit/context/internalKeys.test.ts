import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isInternalName, isInternalPath, withoutInternal } from '../../../lib/context/internalKeys.ts';
import { isJsonObject, type JsonArray, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';

const contextOf = (name: fc.Arbitrary<string>) =>
  fc.letrec<{ value: JsonValue; array: JsonArray; object: JsonObject }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom<JsonValue>(null, 1, '__a'),
      tie('array'),
      tie('object'),
    ),
    array: fc.array(tie('value'), { maxLength: 2 }),
    object: fc
      .uniqueArray(fc.tuple(name, tie('value')), { maxLength: 3, selector: ([each]) => each })
      .map((members) => Object.fromEntries(members)),
  })).object;

const PUBLIC_NAMES = ['a', 'b', '_c', 'd__', ''];
const publicContext = contextOf(fc.constantFrom(...PUBLIC_NAMES));
const anyContext = contextOf(fc.constantFrom(...PUBLIC_NAMES, '__a', '__', '__proto__'));

describe('isInternalName', () => {
  it.each(['__', '__a', '___', '__proto__'])('%j is', (name) => expect(isInternalName(name)).toBe(true));
  it.each(['', '_', '_a', 'a__', 'a__b', ' __a'])('%j is not', (name) => expect(isInternalName(name)).toBe(false));
});

describe('isInternalPath', () => {
  it.each([[['__a']], [['__a', 'b']], [['a', '0', '__b']]])('%j is', (path) => expect(isInternalPath(path)).toBe(true));
  it.each([[[]], [['a']], [['a', '_b', 'c__d']]])('%j is not', (path) => expect(isInternalPath(path)).toBe(false));
});

describe('withoutInternal', () => {
  it('takes internal members out at every depth, also in objects within arrays', () => {
    const context = {
      a: 1,
      __b: { c: 2 },
      d: { __e: 3, f: { __g: 4 } },
      h: [{ __i: 5, j: 6 }, [[{ __k: 7 }]], '__l', null],
    };
    expect(withoutInternal(context)).toStrictEqual({
      a: 1,
      d: { f: {} },
      h: [{ j: 6 }, [[{}]], '__l', null],
    });
  });

  it('takes out an own __proto__ and leaves every prototype alone', () => {
    const stripped = withoutInternal(JSON.parse('{"__proto__":{"a":1},"b":{"__proto__":2,"c":3}}'));
    expect(stripped).toStrictEqual({ b: { c: 3 } });
    expect('a' in stripped).toBe(false);
  });

  it('shares what holds none', () => {
    const context = { a: { b: [1, { c: 2 }] }, d: [{ e: 3 }, { __f: 4, g: 5 }] };
    const stripped = withoutInternal(context);
    expect(stripped['a']).toBe(context.a);
    expect(stripped['d']).toStrictEqual([{ e: 3 }, { g: 5 }]);
    expect(Object.values(stripped['d'] ?? [])[0]).toBe(context.d[0]);
  });

  it('property: gives back the very same object when there is nothing to take out', () => {
    fc.assert(
      fc.property(publicContext, (context) => {
        expect(withoutInternal(context)).toBe(context);
      }),
    );
  });

  it('property: leaves no internal name, keeps all the rest, in order, and does not touch its input', () => {
    fc.assert(
      fc.property(anyContext, (context) => {
        const before = JSON.stringify(context);
        const stripped = withoutInternal(context);
        expect(publicPlaces(stripped)).toEqual(publicPlaces(context));
        expect(allNames(stripped).filter((name) => name.startsWith('__'))).toEqual([]);
        expect(JSON.stringify(context)).toBe(before);
      }),
    );
  });
});

/** Every place that no internal name leads to, with what is there. */
function publicPlaces(value: JsonValue, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [`${path} ${JSON.stringify(value)}`];
  const inside = Object.entries(value).filter(([name]) => Array.isArray(value) || !name.startsWith('__'));
  const kind = Array.isArray(value) ? '[]' : '{}';
  return [`${path} ${kind}`, ...inside.flatMap(([name, member]) => publicPlaces(member, `${path}/${name}`))];
}

function allNames(value: JsonValue): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return [...(isJsonObject(value) ? Object.keys(value) : []), ...Object.values(value).flatMap(allNames)];
}
