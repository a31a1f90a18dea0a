import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, type JsonArray, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { jsonEquals } from '../../../lib/context/jsonEquals.ts';
import { mergePatch } from '../../../lib/context/mergePatch.ts';
import { pointerOf } from '../../../lib/context/pointer.ts';
import { type MergeSides, threeWayMerge } from '../../../lib/context/threeWayMerge.ts';

const ours = () => 'ours' as const;
const theirs = () => 'theirs' as const;
const neverAsked = () => expect.unreachable('there is no conflict to decide');

/** Objects over few names and scalars, so that sides often agree, nearly agree, and differ in kind. */
const objects = (scalars: readonly JsonValue[]) =>
  fc.letrec<{ value: JsonValue; array: JsonArray; object: JsonObject }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom(...scalars),
      tie('object'),
      tie('array'),
    ),
    array: fc.array(tie('value'), { maxLength: 2 }),
    object: fc
      .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', '1', 'x/y', '__proto__', 'toString'), tie('value')), {
        maxLength: 4,
        selector: ([name]) => name,
      })
      .map((members): JsonObject => Object.fromEntries(members)),
  })).object;

const object = objects([null, 0, 1, 'x']);
/** Where a merge patch has to say it: there, `null` is no value. */
const objectWithoutNulls = objects([0, 1, 'x']);

/** Sides that have nothing to do with each other, and sides that are changed copies of one base. */
const sidesOf = (any: fc.Arbitrary<JsonObject>): fc.Arbitrary<MergeSides> =>
  fc.oneof(
    fc.record({ base: any, ours: any, theirs: any }),
    fc
      .tuple(any, any, any)
      .map(([base, one, other]) => ({ base, ours: patched(base, one), theirs: patched(base, other) })),
    // Each side changes what the other does not: rarely a conflict.
    fc.tuple(any, any, any).map(([base, one, other]) => ({
      base: { ...base, mine: base, yours: base },
      ours: { ...base, mine: one, yours: base },
      theirs: { ...base, mine: base, yours: other },
    })),
  );
const sides = sidesOf(object);
/** A policy that decides by the place, so that both sides are chosen within one merge. */
const policy = fc.func(fc.constantFrom('ours', 'theirs'));

describe('What one side has changed', () => {
  it.each<[string, MergeSides, JsonObject]>([
    ['a value of ours', { base: { a: 1, b: 1 }, ours: { a: 2, b: 1 }, theirs: { a: 1, b: 1 } }, { a: 2, b: 1 }],
    ['a value of theirs', { base: { a: 1, b: 1 }, ours: { a: 1, b: 1 }, theirs: { a: 2, b: 1 } }, { a: 2, b: 1 }],
    ['each side another', { base: { a: 1, b: 1 }, ours: { a: 2, b: 1 }, theirs: { a: 1, b: 2 } }, { a: 2, b: 2 }],
    ['each side a new member', { base: {}, ours: { a: 1 }, theirs: { b: 2 } }, { a: 1, b: 2 }],
    ['deleted by us', { base: { a: { x: 1 } }, ours: {}, theirs: { a: { x: 1 } } }, {}],
    ['deleted by them', { base: { a: { x: 1 } }, ours: { a: { x: 1 } }, theirs: {} }, {}],
    [
      'deep in the same object',
      { base: { a: { x: 1, y: 1 } }, ours: { a: { x: 2, y: 1 } }, theirs: { a: { x: 1, z: 3 } } },
      { a: { x: 2, z: 3 } },
    ],
    ['set to null, which is not deleted', { base: { a: 1 }, ours: { a: null }, theirs: { a: 1 } }, { a: null }],
    ['a null, deleted', { base: { a: null }, ours: {}, theirs: { a: null } }, {}],
    ['an array, which is one value', { base: { a: [1] }, ours: { a: [1, 2] }, theirs: { a: [1] } }, { a: [1, 2] }],
    ['an object for a scalar', { base: { a: 1 }, ours: { a: { x: 1 } }, theirs: { a: 1 } }, { a: { x: 1 } }],
    ['a scalar for an object', { base: { a: { x: 1 } }, ours: { a: { x: 1 } }, theirs: { a: 1 } }, { a: 1 }],
    ['an array for an object', { base: { a: {} }, ours: { a: [] }, theirs: { a: {} } }, { a: [] }],
  ])('is taken from it: %s', (_, all, merged) => {
    expect(threeWayMerge(all, neverAsked)).toStrictEqual({ merged, conflicts: [] });
  });

  it('is not changed when only the order of its members or the sign of zero is another', () => {
    const base = { a: [{ x: 1, y: 2 }], b: 0 };
    const { merged } = threeWayMerge(
      { base, ours: { a: [{ y: 2, x: 1 }], b: -0 }, theirs: { a: 'new', b: 1 } },
      neverAsked,
    );
    expect(merged).toEqual({ a: 'new', b: 1 });
  });
});

describe('What both sides have changed alike', () => {
  it.each<[string, MergeSides, JsonObject]>([
    ['the same value', { base: { a: 1 }, ours: { a: [2] }, theirs: { a: [2] } }, { a: [2] }],
    ['both deleted', { base: { a: 1, b: { c: 1 } }, ours: {}, theirs: {} }, {}],
    ['both new', { base: {}, ours: { a: { x: 1 } }, theirs: { a: { x: 1 } } }, { a: { x: 1 } }],
    [
      'both made an object of it, each with members of its own',
      { base: { a: 5 }, ours: { a: { x: 1 } }, theirs: { a: { y: 2 } } },
      { a: { y: 2, x: 1 } },
    ],
    [
      'both emptied the object, each its half',
      { base: { a: { x: 1, y: 2 } }, ours: { a: { x: 1 } }, theirs: { a: { y: 2 } } },
      { a: {} },
    ],
  ])('needs no decision: %s', (_, all, merged) => {
    expect(threeWayMerge(all, neverAsked)).toStrictEqual({ merged, conflicts: [] });
  });
});

describe('What both sides have changed differently', () => {
  it.each<[string, MergeSides, string, JsonObject, JsonObject]>([
    ['two values', { base: { a: 1 }, ours: { a: 2 }, theirs: { a: 3 } }, '/a', { a: 2 }, { a: 3 }],
    ['two new values', { base: {}, ours: { a: 2 }, theirs: { a: 3 } }, '/a', { a: 2 }, { a: 3 }],
    ['two arrays', { base: { a: [] }, ours: { a: [1] }, theirs: { a: [2] } }, '/a', { a: [1] }, { a: [2] }],
    [
      'at the deepest place',
      { base: { a: { b: { x: 1, y: 1 } } }, ours: { a: { b: { x: 2, y: 1 } } }, theirs: { a: { b: { x: 3, y: 4 } } } },
      '/a/b/x',
      { a: { b: { x: 2, y: 4 } } },
      { a: { b: { x: 3, y: 4 } } },
    ],
    [
      'in objects that were none in the base',
      { base: { a: 'text' }, ours: { a: { x: 1, y: 1 } }, theirs: { a: { x: 2 } } },
      '/a/x',
      { a: { x: 1, y: 1 } },
      { a: { x: 2, y: 1 } },
    ],
    [
      'deleted by us, changed by them: the whole object',
      { base: { a: { x: 1 } }, ours: {}, theirs: { a: { x: 1, y: 2 } } },
      '/a',
      {},
      { a: { x: 1, y: 2 } },
    ],
    [
      'changed by us, deleted by them: the whole object',
      { base: { a: { x: { y: 1 } } }, ours: { a: { x: { y: 2 } } }, theirs: {} },
      '/a',
      { a: { x: { y: 2 } } },
      {},
    ],
    [
      'deleted by us, emptied by them: the empty object stays one',
      { base: { a: { x: 1 } }, ours: {}, theirs: { a: {} } },
      '/a',
      {},
      { a: {} },
    ],
    [
      'an object here, a scalar there',
      { base: { a: { x: 1 } }, ours: { a: { x: 2 } }, theirs: { a: 'text' } },
      '/a',
      { a: { x: 2 } },
      { a: 'text' },
    ],
    ['an object here, an array there', { base: {}, ours: { a: {} }, theirs: { a: [] } }, '/a', { a: {} }, { a: [] }],
    ['null here, deleted there', { base: { a: 1 }, ours: { a: null }, theirs: {} }, '/a', { a: null }, {}],
    [
      'under a name that has to be escaped (RFC 6901)',
      { base: {}, ours: { 'x/y': { '~': 1 } }, theirs: { 'x/y': { '~': 2 } } },
      '/x~1y/~0',
      { 'x/y': { '~': 1 } },
      { 'x/y': { '~': 2 } },
    ],
  ])('is decided and reported: %s', (_, all, path, withOurs, withTheirs) => {
    for (const [prefers, chosen, merged] of [
      [ours, 'ours', withOurs],
      [theirs, 'theirs', withTheirs],
    ] as const) {
      const result = threeWayMerge(all, prefers);
      expect(result.merged).toStrictEqual(merged);
      expect(result.conflicts).toMatchObject([{ path, chosen }]);
    }
  });

  it('is decided for the whole of an object that has replaced what was there on our side, and only for that', () => {
    const sides = {
      base: { a: { x: 1 }, b: {} },
      ours: { a: { y: 2 }, b: { y: 2 } },
      theirs: { a: { x: 3 }, b: { x: 3 } },
    };
    const said = { a: { y: 2 }, b: { y: 2 } };
    const anew = new Set(['/a']);
    const result = threeWayMerge({ ...sides, said, anew }, ours);
    expect(result.merged).toStrictEqual({ a: { y: 2 }, b: { x: 3, y: 2 } });
    expect(result.conflicts).toStrictEqual([
      { path: '/a', base: { x: 1 }, ours: { y: 2 }, theirs: { x: 3 }, chosen: 'ours' },
    ]);
    expect(threeWayMerge({ ...sides, said, anew }, theirs).merged['a']).toBe(sides.theirs.a);
    const unmoved = { ...sides, theirs: sides.base, said, anew };
    expect(threeWayMerge(unmoved, neverAsked).merged).toStrictEqual({ a: { y: 2 }, b: { y: 2 } });
  });

  it('is reported with what each side has; a side that has nothing is left out', () => {
    // Prepare
    const base = { a: { x: 1 }, b: 1, d: 1 };
    const changed = { a: { x: 1, y: 2 }, b: 2, c: null };
    // Act
    const { conflicts } = threeWayMerge({ base, ours: { b: 3, c: 4, d: 5 }, theirs: changed }, theirs);
    // Assess
    expect(conflicts).toStrictEqual([
      { path: '/a', base: { x: 1 }, theirs: { x: 1, y: 2 }, chosen: 'theirs' },
      { path: '/b', base: 1, ours: 3, theirs: 2, chosen: 'theirs' },
      { path: '/c', ours: 4, theirs: null, chosen: 'theirs' },
      { path: '/d', base: 1, ours: 5, chosen: 'theirs' },
    ]);
  });

  it('is decided once per place, by the policy of that place, also where it holds for a whole object', () => {
    // Prepare
    const asked: (readonly string[])[] = [];
    const base = { a: { x: { y: 1 }, z: 1 } };
    // Act
    threeWayMerge({ base, ours: { a: { z: 2 } }, theirs: { a: { x: { y: 2 }, z: 3 } } }, (path) => {
      asked.push(path);
      return 'ours';
    });
    // Assess: kept paths are not changed by what comes after them.
    expect(asked).toEqual([
      ['a', 'x'],
      ['a', 'z'],
    ]);
  });

  it('may be decided for us here and for them there', () => {
    const all = { base: {}, ours: { a: 1, b: { c: 1 } }, theirs: { a: 2, b: { c: 2 } } };
    expect(threeWayMerge(all, ([top]) => (top === 'b' ? 'ours' : 'theirs')).merged).toEqual({ a: 2, b: { c: 1 } });
  });
});

describe('The merged object', () => {
  it('keeps the order of theirs; new members of ours follow', () => {
    // Prepare
    const base = { a: 1, b: { d: 1, e: 1 }, c: 1 };
    const changedByUs = { new: 1, a: 2, b: { new: 2, e: 2, d: 1 }, c: 1 };
    const changedByThem = { c: 3, theirs: 0, b: { e: 1, d: 1 }, a: 1 };
    // Act
    const { merged } = threeWayMerge({ base, ours: changedByUs, theirs: changedByThem }, neverAsked);
    // Assess
    expect(JSON.stringify(merged)).toBe('{"c":3,"theirs":0,"b":{"e":2,"d":1,"new":2},"a":2,"new":1}');
  });

  it('is, where nothing of ours is new, made of their very objects', () => {
    const changedByThem = { b: { y: [1], x: 1 }, a: 2 };
    const equal = { a: 2, b: { x: 1, y: [1] } };
    expect(threeWayMerge({ base: {}, ours: equal, theirs: changedByThem }, neverAsked).merged).toBe(changedByThem);

    const { merged } = threeWayMerge({ base: {}, ours: { ...equal, c: 3 }, theirs: changedByThem }, neverAsked);
    expect(merged['b']).toBe(changedByThem.b);
  });

  it('is, where nothing of theirs is new, made of our very objects', () => {
    const base = { a: { x: 1 }, b: { y: 1 }, c: 1 };
    const changedByUs = { a: { x: 2, z: { deep: 1 } }, b: { y: 1 }, c: 1 };
    const changedByThem = { a: { x: 1 }, b: { y: 1 }, c: 2 };
    const { merged } = threeWayMerge({ base, ours: changedByUs, theirs: changedByThem }, neverAsked);
    expect(merged['a']).toBe(changedByUs.a);
    expect(merged['b']).toBe(changedByThem.b);
  });

  it('takes __proto__ for a name like any other', () => {
    const parse = (text: string): JsonObject => JSON.parse(text);
    const all = {
      base: parse('{"__proto__":{"a":1}}'),
      ours: parse('{"__proto__":{"a":2},"n":{"__proto__":1}}'),
      theirs: parse('{"__proto__":{"a":1,"b":2}}'),
    };
    const { merged } = threeWayMerge(all, neverAsked);
    expect(JSON.stringify(merged)).toBe('{"__proto__":{"a":2,"b":2},"n":{"__proto__":1}}');
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });

  it('does not take what every object inherits for a member of the base or of a side', () => {
    const all = { base: {}, ours: { toString: 1 }, theirs: JSON.parse('{"constructor":2,"__proto__":3}') };
    expect(JSON.stringify(threeWayMerge(all, neverAsked).merged)).toBe('{"constructor":2,"__proto__":3,"toString":1}');
  });
});

describe('threeWayMerge, property:', () => {
  it('a side that has changed nothing leaves the other as it is', () => {
    fc.assert(
      fc.property(object, object, (base, changed) => {
        const copy = structuredClone(base);
        expect(threeWayMerge({ base, ours: copy, theirs: changed }, neverAsked).merged).toBe(changed);
        expect(threeWayMerge({ base, ours: changed, theirs: copy }, neverAsked).merged).toStrictEqual(changed);
        expect(threeWayMerge({ base, ours: copy, theirs: base }, neverAsked).merged).toBe(base);
      }),
    );
  });

  it('both sides may be exchanged, with the policy', () => {
    fc.assert(
      fc.property(sides, policy, (all, prefers) => {
        const { merged, conflicts } = threeWayMerge(all, prefers);
        const exchanged = threeWayMerge({ base: all.base, ours: all.theirs, theirs: all.ours }, (path) =>
          prefers(path) === 'ours' ? 'theirs' : 'ours',
        );
        expect(jsonEquals(exchanged.merged, merged)).toBe(true);
        expect(exchanged.conflicts.map(({ path }) => path).sort()).toEqual(conflicts.map(({ path }) => path).sort());
      }),
    );
  });

  it('without a conflict it is their object with our changes as a merge patch (RFC 7396)', () => {
    let compared = 0;
    fc.assert(
      fc.property(sidesOf(objectWithoutNulls), (all) => {
        const { merged, conflicts } = threeWayMerge(all, ours);
        if (conflicts.length > 0) return;
        compared += 1;
        expect(merged).toStrictEqual(mergePatch(all.theirs, patchBetween(all.base, all.ours)));
      }),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(30);
  });

  it('synchronised again it is stable: the same change of ours says nothing new', () => {
    fc.assert(
      fc.property(sidesOf(objectWithoutNulls), (all) => {
        const { merged } = threeWayMerge(all, ours);
        const again = objectOf(mergePatch(merged, patchBetween(all.base, all.ours)));
        expect(threeWayMerge({ base: merged, ours: again, theirs: merged }, neverAsked).merged).toBe(merged);
      }),
    );
  });

  it('each conflict is where both sides differ from the base and from each other, and is decided as reported', () => {
    fc.assert(
      fc.property(sides, policy, (all, prefers) => {
        const { merged, conflicts } = threeWayMerge(all, prefers);
        for (const conflict of conflicts) {
          const [inBase, inOurs, inTheirs] = [all.base, all.ours, all.theirs].map((side) => at(side, conflict.path));
          expect([conflict.ours, conflict.theirs]).toEqual([inOurs, inTheirs]);
          expect(jsonEquals(inOurs, inTheirs) || jsonEquals(inOurs, inBase) || jsonEquals(inTheirs, inBase)).toBe(
            false,
          );
          expect(isJsonObject(inOurs) && isJsonObject(inTheirs)).toBe(false);
          expect(conflict.chosen).toBe(prefers(tokensOf(conflict.path)));
          expect(at(merged, conflict.path)).toEqual(conflict[conflict.chosen]);
        }
      }),
    );
  });

  it('on flat objects it does what a table of all cases says', () => {
    // What base, ours and theirs have (0 = nothing) and what comes of it, written out by hand; C is a conflict.
    const TABLE: Readonly<Record<string, number | 'C'>> = {
      '000': 0,
      '001': 1,
      '010': 1,
      '011': 1,
      '012': 'C',
      '100': 0,
      '101': 0,
      '102': 'C',
      '110': 0,
      '111': 1,
      '112': 2,
      '120': 'C',
      '121': 2,
      '122': 2,
      '123': 'C',
    };
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom(...Object.keys(TABLE))), fc.boolean(), (cases, preferOurs) => {
        const side = (index: number) =>
          Object.fromEntries(
            cases.filter((each) => each[index] !== '0').map((each) => [`k${each}`, Number(each[index])]),
          );
        const result = threeWayMerge({ base: side(0), ours: side(1), theirs: side(2) }, preferOurs ? ours : theirs);
        const expected = cases
          .map((each) => {
            const outcome = TABLE[each];
            return [`k${each}`, outcome === 'C' ? Number(each[preferOurs ? 1 : 2]) : outcome];
          })
          .filter(([, value]) => value !== 0);
        expect(result.merged).toEqual(Object.fromEntries(expected));
        expect(result.conflicts.map(({ path }) => path).sort()).toEqual(
          cases
            .filter((each) => TABLE[each] === 'C')
            .map((each) => `/k${each}`)
            .sort(),
        );
      }),
    );
  });

  it('nothing is invented: every leaf comes from the same place in ours or in theirs', () => {
    fc.assert(
      fc.property(sides, policy, (all, prefers) => {
        const known = new Set([...leavesOf(all.ours), ...leavesOf(all.theirs)]);
        expect(leavesOf(threeWayMerge(all, prefers).merged).filter((leaf) => !known.has(leaf))).toEqual([]);
      }),
    );
  });

  it('nothing is lost: what all three have is there', () => {
    fc.assert(
      fc.property(sides, policy, (all, prefers) => {
        const merged = new Set(leavesOf(threeWayMerge(all, prefers).merged));
        const [inOurs, inTheirs] = [new Set(leavesOf(all.ours)), new Set(leavesOf(all.theirs))];
        const inAll = leavesOf(all.base).filter((leaf) => inOurs.has(leaf) && inTheirs.has(leaf));
        expect(inAll.filter((leaf) => !merged.has(leaf))).toEqual([]);
      }),
    );
  });

  it('no side is touched', () => {
    fc.assert(
      fc.property(sides, policy, (all, prefers) => {
        const before = JSON.stringify(all);
        threeWayMerge({ base: frozen(all.base), ours: frozen(all.ours), theirs: frozen(all.theirs) }, prefers);
        expect(JSON.stringify(all)).toBe(before);
      }),
    );
  });
});

describe('A synchronisation that says again what the base says', () => {
  it('has changed nothing, so that what they have made of it stays', () => {
    const base = { tier: 'gold' };
    const said = objectOf(mergePatch(base, { tier: 'gold' }));
    expect(threeWayMerge({ base, ours: said, theirs: { tier: 'silver' } }, neverAsked).merged).toEqual({
      tier: 'silver',
    });
  });
});

describe('What has been said on our side', () => {
  const base = { o: { tier: 'gold', lang: 'de' } };
  const theirs = { o: { tier: 'silver', lang: 'fr' } };
  const merge = (said?: JsonObject) =>
    threeWayMerge({ base, ours: structuredClone(base), theirs, ...(said !== undefined && { said }) }, () => 'ours');

  it('counts as changed by us although it is what base has, however deep it lies; what lies beside it does not', () => {
    expect(merge({ o: { tier: 'gold' } })).toEqual({
      merged: { o: { tier: 'gold', lang: 'fr' } },
      conflicts: [{ path: '/o/tier', base: 'gold', ours: 'gold', theirs: 'silver', chosen: 'ours' }],
    });
  });

  it.each<[string, JsonObject | undefined]>([
    ['nothing', undefined],
    ['something elsewhere', { other: { tier: 'gold' } }],
    ['a value where there is an object now', { o: 'gold' }],
  ])('is %s: then what the bot has changed is changed', (_what, said) => {
    expect(merge(said)).toEqual({ merged: theirs, conflicts: [] });
  });
});

describe('Large contexts', () => {
  it('are not looked into where we have nothing new: the very object of the base, or of theirs', () => {
    const sealed = (): JsonObject =>
      Object.defineProperty({}, 'a', { enumerable: true, get: () => expect.unreachable('looked inside') });
    const [untouched, adopted] = [sealed(), sealed()];
    const changedByThem = { untouched: { b: 1 }, adopted };
    const all = { base: { untouched, adopted: {} }, ours: { untouched, adopted }, theirs: changedByThem };
    expect(threeWayMerge(all, neverAsked).merged).toBe(changedByThem);
  });

  // The test's own timeout catches anything quadratic, which takes minutes here.
  it('of many members are merged in line with their number', () => {
    const COUNT = 100_000;
    const all = (value: (index: number) => number) =>
      Object.fromEntries(Array.from({ length: COUNT }, (_, index) => [`k${index}`, value(index)]));
    const { merged, conflicts } = threeWayMerge(
      { base: all((index) => index), ours: all((index) => index + 1), theirs: all((index) => index - (index % 2)) },
      ours,
    );
    expect(merged).toEqual(all((index) => index + 1));
    expect(conflicts).toHaveLength(COUNT / 2);
  });

  it('of much depth do not cost more than their leaves', () => {
    // A comparison of whole objects at every level would look at each leaf a thousand times.
    const deep = (leaf: number): JsonObject => {
      let value: JsonObject = {};
      for (let level = 0; level < 1000; level += 1) {
        const leaves = Array.from({ length: 50 }, (_, index) => [`k${index}`, leaf]);
        value = { ...Object.fromEntries(leaves), next: value, level: leaf };
      }
      return value;
    };
    const { merged } = threeWayMerge({ base: deep(1), ours: deep(1), theirs: deep(2) }, neverAsked);
    expect(jsonEquals(merged, deep(2))).toBe(true);
  });
});

/** The least merge patch that makes `after` of `before`; `after` must hold no null. */
function patchBetween(before: JsonObject, after: JsonObject): JsonObject {
  const removed = Object.keys(before).filter((name) => !Object.hasOwn(after, name));
  const changed = Object.entries(after).flatMap(([name, value]): [string, JsonValue][] => {
    const old = Object.hasOwn(before, name) ? before[name] : undefined;
    if (jsonEquals(old, value)) return [];
    return [[name, isJsonObject(old) && isJsonObject(value) ? patchBetween(old, value) : value]];
  });
  return Object.fromEntries([...removed.map((name): [string, JsonValue] => [name, null]), ...changed]);
}

function patched(target: JsonObject, patch: JsonObject): JsonObject {
  return objectOf(mergePatch(target, patch));
}

function objectOf(value: JsonValue): JsonObject {
  return isJsonObject(value) ? value : expect.unreachable('is no object');
}

function tokensOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function at(object: JsonObject, pointer: string): JsonValue | undefined {
  return tokensOf(pointer).reduce<JsonValue | undefined>(
    (value, token) => (isJsonObject(value) && Object.hasOwn(value, token) ? value[token] : undefined),
    object,
  );
}

/** Every value that is no object, with its place. */
function leavesOf(value: JsonValue, path: readonly string[] = []): string[] {
  if (!isJsonObject(value)) return [`${pointerOf(path)} ${JSON.stringify(value)}`];
  return Object.entries(value).flatMap(([name, member]) => leavesOf(member, [...path, name]));
}

function frozen<Value extends JsonValue>(value: Value): Value {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}
