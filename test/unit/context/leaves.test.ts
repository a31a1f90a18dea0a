import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { isLeaf, leavesOf, treeOf, valueAt } from '../../../lib/context/leaves.ts';
import { tokensOf } from '../../../lib/context/pointer.ts';
import { anyContext } from '../../fixtures/operations/contexts.ts';

const own = (name: string, value: JsonValue): JsonObject => Object.fromEntries([[name, value]]);

describe('The leaves of a context', () => {
  it('property: put together again they are the context, with its members in their order', () => {
    fc.assert(
      fc.property(anyContext, (context) => {
        const again = treeOf(leavesOf(context));
        expect(again).toEqual(context);
        expect(JSON.stringify(again)).toBe(JSON.stringify(context));
      }),
    );
  });

  it('property: are what lies at their paths, each path once, and nothing that has members', () => {
    fc.assert(
      fc.property(anyContext, (context) => {
        const leaves = leavesOf(context);
        expect(new Set(leaves.map(({ path }) => path)).size).toBe(leaves.length);
        for (const { path, value } of leaves) {
          expect(valueAt(context, tokensOf(path))).toBe(value);
          expect(isLeaf(value)).toBe(Object.keys(context).length > 0 || path === '');
        }
      }),
    );
  });

  it('are arrays as a whole, `null`, and empty objects, but no object with members', () => {
    expect(leavesOf({ list: [{ a: 1 }, {}], none: null, empty: {}, full: { in: 0 } })).toEqual([
      { path: '/list', value: [{ a: 1 }, {}] },
      { path: '/none', value: null },
      { path: '/empty', value: {} },
      { path: '/full/in', value: 0 },
    ]);
  });

  it.each(['', '/', '~', '~1', 'x/y', '__proto__', 'constructor'])(
    'SCENARIO 31: a member called "%s" is one like any other, and pollutes nothing',
    (name) => {
      const context = own(name, own(name, 'inside'));
      const again = treeOf(leavesOf(context));
      expect(Object.entries(again)).toEqual(Object.entries(context));
      expect(Object.getPrototypeOf(again)).toBe(Object.prototype);
      expect(valueAt(again, [name, name])).toBe('inside');
      expect(Object.getPrototypeOf({})).not.toHaveProperty('inside');
    },
  );
});

describe('treeOf: where values lie in each other’s way', () => {
  it('an empty object gives way to what lies inside it, whichever comes first', () => {
    const empty = { path: '/a', value: {} };
    const inside = { path: '/a/b', value: 1 };
    expect(treeOf([empty, inside])).toEqual({ a: { b: 1 } });
    expect(treeOf([inside, empty])).toEqual({ a: { b: 1 } });
  });

  it('otherwise the later one counts', () => {
    const outer = { path: '/a', value: 'outer' };
    const inside = { path: '/a/b', value: 1 };
    expect(treeOf([outer, inside])).toEqual({ a: { b: 1 } });
    expect(treeOf([inside, outer])).toEqual({ a: 'outer' });
  });
});

describe('valueAt', () => {
  it.each([
    ['nothing inherited', {}, ['constructor']],
    ['nothing inherited from a prototype', { a: {} }, ['a', '__proto__']],
    ['nothing inside an array', { a: ['x'] }, ['a', '0']],
    ['nothing inside a text', { a: 'text' }, ['a', 'length']],
    ['nothing inside `null`', { a: null }, ['a', 'b']],
  ])('finds %s', (_, value, tokens) => {
    expect(valueAt(value, tokens)).toBeUndefined();
  });

  it('finds the whole at no tokens, and `null` where that is the value', () => {
    const context = { a: null };
    expect(valueAt(context, [])).toBe(context);
    expect(valueAt(context, ['a'])).toBeNull();
  });
});
