import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import { type Difference, differencesOf } from '../../../lib/context/diff.ts';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { isLeaf, leavesOf, treeOf, valueAt } from '../../../lib/context/leaves.ts';
import { outwards, tokensOf } from '../../../lib/context/pointer.ts';
import { anyContext } from '../../fixtures/operations/contexts.ts';

const byPath = (value: JsonObject) => new Map(leavesOf(value).map((leaf) => [leaf.path, leaf.value]));

/** Leaf by leaf, as one would by hand: what is a leaf on one side and something else, or nothing, on the other. */
function naively(before: JsonObject, after: JsonObject): Map<string, Difference> {
  const [was, is] = [byPath(before), byPath(after)];
  const found = new Map<string, Difference>();
  for (const path of new Set([...was.keys(), ...is.keys()])) {
    if (path === '') continue;
    const [old, now] = [was.get(path), is.get(path)];
    if (old !== undefined && now !== undefined && valueHash(old) === valueHash(now)) continue;
    // An object that has got its first member, or lost its last one, is an object all the same.
    const other = valueAt(old === undefined ? before : after, tokensOf(path));
    const isOnlyEmpty = (value: JsonValue | undefined) => value !== undefined && valueHash(value) === valueHash({});
    if (isOnlyEmpty(old ?? now) && other !== undefined && !isLeaf(other)) continue;
    found.set(path, { path, ...(old !== undefined && { before: old }), ...(now !== undefined && { after: now }) });
  }
  return found;
}

describe('differencesOf', () => {
  it('property: finds what a leaf-by-leaf comparison finds, and each leaf once', () => {
    fc.assert(
      fc.property(anyContext, anyContext, (before, after) => {
        const found = differencesOf(before, after);
        expect(new Map(found.map((each) => [each.path, each]))).toEqual(naively(before, after));
        expect(new Set(found.map(({ path }) => path)).size).toBe(found.length);
      }),
    );
  });

  it('property: undone one by one they lead back', () => {
    fc.assert(
      fc.property(anyContext, anyContext, (before, after) => {
        const leaves = byPath(after);
        for (const difference of differencesOf(before, after)) {
          leaves.delete(difference.path);
          for (const outer of outwards(difference.path)) leaves.delete(outer);
        }
        for (const { path, before: old } of differencesOf(before, after)) {
          if (old !== undefined) leaves.set(path, old);
        }
        const isEmptied = ({ value }: { value: JsonValue }) => valueHash(value) === valueHash({});
        const full = (context: JsonObject) => treeOf(leavesOf(context).filter((leaf) => !isEmptied(leaf)));
        expect(full(treeOf(Array.from(leaves, ([path, value]) => ({ path, value }))))).toEqual(full(before));
      }),
    );
  });

  it('property: a context differs from a copy of itself in nothing, in whatever order its members are', () => {
    fc.assert(
      fc.property(anyContext, (context) => {
        const turned = Object.fromEntries(Object.entries(context).reverse());
        expect(differencesOf(context, structuredClone(turned))).toEqual([]);
      }),
    );
  });

  it.each<[string, JsonObject, JsonObject, Difference[]]>([
    ['a value', { a: { b: 1, c: 1 } }, { a: { b: 2, c: 1 } }, [{ path: '/a/b', before: 1, after: 2 }]],
    ['`null`, which is a value', { a: null }, { a: 0 }, [{ path: '/a', before: null, after: 0 }]],
    ['an array, as a whole', { a: [1, 2] }, { a: [1, 3] }, [{ path: '/a', before: [1, 2], after: [1, 3] }]],
    ['something new', {}, { 'x/y': { '': 1 } }, [{ path: '/x~1y/', after: 1 }]],
    ['an empty object that is gone', { a: {} }, {}, [{ path: '/a', before: {} }]],
    ['an empty object for a value', { a: 1 }, { a: {} }, [{ path: '/a', before: 1, after: {} }]],
    ['a value for an empty object', { a: {} }, { a: 1 }, [{ path: '/a', before: {}, after: 1 }]],
    [
      'a value for an object with members',
      { a: { b: 1 } },
      { a: 1 },
      [
        { path: '/a/b', before: 1 },
        { path: '/a', after: 1 },
      ],
    ],
  ])('names %s', (_, before, after, expected) => {
    expect(differencesOf(before, after)).toStrictEqual(expected);
  });
});
