import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../lib/context/json.ts';
import { pointerOf } from '../../../lib/context/pointer.ts';
import { SerializationError, serialize } from '../../../lib/context/serialize.ts';
import { nestingOf } from '../../../lib/context/size.ts';

function refusalOf(value: unknown): SerializationError {
  try {
    serialize(value);
  } catch (error) {
    if (error instanceof SerializationError) return error;
    throw error;
  }
  return expect.unreachable('was not refused');
}

/** Objects in objects, `levels` of them. */
function nested(levels: number): unknown {
  let value: unknown = {};
  for (let level = 1; level < levels; level += 1) value = { a: value };
  return value;
}

class Account {
  readonly tier = 'gold';
  readonly #secret = 'not a member';
  readonly manager = undefined;
  get secret() {
    return this.#secret;
  }
}

class Money {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  toJSON() {
    return { cents: this.#cents };
  }
}

describe('serialize', () => {
  it.each<[string, unknown, JsonValue]>([
    ['a date is its ISO string', new Date(0), '1970-01-01T00:00:00.000Z'],
    [
      'a Map is an object',
      new Map<string, unknown>([
        ['b', 1],
        ['a', new Map()],
      ]),
      { b: 1, a: {} },
    ],
    ['a Set is an array', new Set<unknown>([2, 'x', new Set([1])]), [2, 'x', [1]]],
    ['an instance is its own members', new Account(), { tier: 'gold' }],
    ['an object without a prototype is one', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ['toJSON is honoured', { price: new Money(995) }, { price: { cents: 995 } }],
    ['toJSON of a URL', new URL('https://example.com/'), 'https://example.com/'],
    [
      'what toJSON returns is serialized',
      { toJSON: () => new Map([['at', new Date(0)]]) },
      { at: '1970-01-01T00:00:00.000Z' },
    ],
    ['toJSON may return what has one', { toJSON: () => ({ toJSON: () => new Money(5) }) }, { cents: 5 }],
    ['a member that is only called toJSON is one', { toJSON: 1 }, { toJSON: 1 }],
    ['toJSON may return a date', { toJSON: () => new Date(0) }, '1970-01-01T00:00:00.000Z'],
    ['members that are undefined are left out', { a: undefined, b: new Map([['c', undefined]]) }, { b: {} }],
    ['items that are undefined are null', [undefined, 1, new Set([undefined])], [null, 1, [null]]],
    ['holes are null', Array(2), [null, null]],
    ['toJSON may leave out', { a: { toJSON: () => undefined }, b: [{ toJSON: () => undefined }] }, { b: [null] }],
    ['symbols as keys do not count', { [Symbol('a')]: 1, b: 2 }, { b: 2 }],
    ['-0 is 0', [-0], [0]],
  ])('%s', (_, value, expected) => {
    expect(serialize(value)).toStrictEqual(expected);
  });

  it('tells toJSON its name, as JSON.stringify does', () => {
    const named = { toJSON: (name: unknown) => [name] };
    const value = { a: named, b: [named] };
    expect(serialize(value)).toEqual(JSON.parse(JSON.stringify(value)));
    expect(serialize(named)).toEqual(['']);
  });

  it('keeps the order of members', () => {
    const value = new Map<string, unknown>([
      ['z', { y: 1, x: 2 }],
      ['a', 3],
    ]);
    expect(JSON.stringify(serialize(value))).toBe('{"z":{"y":1,"x":2},"a":3}');
  });

  it('shares nothing with the value: changing that later changes nothing', () => {
    const value = { a: { b: [1] } };
    const json = serialize(value);
    value.a.b.push(2);
    expect(json).toEqual({ a: { b: [1] } });
  });

  it('lets a value occur more than once, unless within itself', () => {
    const twice = { a: [1] };
    expect(serialize({ x: twice, y: [twice, twice.a], z: twice.a })).toEqual({
      x: { a: [1] },
      y: [{ a: [1] }, [1]],
      z: [1],
    });
  });

  it('lets toJSON return its own object', () => {
    const value = {
      a: 1,
      toJSON() {
        return Object.defineProperty(this, 'toJSON', { enumerable: false });
      },
    };
    expect(serialize(value)).toEqual({ a: 1 });
  });
});

describe('serialize refuses', () => {
  const lone = '\ud83d';
  const cyclic: { a: unknown[] } = { a: [] };
  cyclic.a.push(0, { b: cyclic });
  const itself = new Map<string, unknown>();
  itself.set('me', new Set([itself]));
  const ping = { toJSON: (): unknown => ({ toJSON: () => ping }) };
  const viaToJson = { toJSON: (): unknown => ({ me: viaToJson }) };

  it.each<[unknown, SerializationError['reason'], string]>([
    [undefined, 'undefined', ''],
    [{ toJSON: () => undefined }, 'undefined', ''],
    [() => 1, 'function', ''],
    [{ a: [1, { 'b/c': Account }] }, 'function', '/a/1/b~1c'],
    [{ a: Symbol('a') }, 'symbol', '/a'],
    [{ a: 1n }, 'bigint', '/a'],
    [{ a: [Number.NaN] }, 'not-finite', '/a/0'],
    [new Set([1, Number.POSITIVE_INFINITY]), 'not-finite', '/1'],
    [Number.NEGATIVE_INFINITY, 'not-finite', ''],
    [{ at: new Date(Number.NaN) }, 'invalid-date', '/at'],
    [{ toJSON: () => [Number.NaN] }, 'not-finite', '/0'],
    [cyclic, 'cycle', '/a/1/b'],
    [itself, 'cycle', '/me/0'],
    [viaToJson, 'cycle', '/me'],
    [ping, 'cycle', ''],
    [
      {
        a: new Map<unknown, unknown>([
          ['1', 1],
          [1, 2],
        ]),
      },
      'map-key',
      '/a',
    ],
    [new Map([[{}, 1]]), 'map-key', ''],
    [JSON.parse('{"a":{"__proto__":1}}'), 'prototype-name', '/a/__proto__'],
    [{ constructor: 1 }, 'prototype-name', '/constructor'],
    [new Map([['prototype', 1]]), 'prototype-name', '/prototype'],
    [{ a: [`x${lone}`] }, 'lone-surrogate', '/a/0'],
    [{ [lone]: 1 }, 'lone-surrogate', `/${lone}`],
  ])('%o: %s at %j', (value, reason, path) => {
    expect(refusalOf(value)).toMatchObject({ reason, path });
  });

  it.each<[string, () => object]>([
    ['a regular expression', () => /a/],
    ['an error', () => new Error('a')],
    ['an error of a subclass', () => new SerializationError('', 'cycle')],
    ['a promise', () => Promise.resolve(1)],
    ['a WeakMap', () => new WeakMap()],
    ['a WeakSet', () => new WeakSet()],
    ['a WeakRef', () => new WeakRef({})],
    ['bytes', () => new Uint8Array(1)],
    ['a buffer of bytes', () => new ArrayBuffer(1)],
    ['a boxed number', () => Object(1)],
    ['a boxed BigInt', () => Object(1n)],
    ['an iterator', () => [1].values()],
    ['headers', () => new Headers({ a: 'b' })],
    ['a query', () => new URLSearchParams('a=b')],
  ])('%s, of which JSON.stringify would make something else', (_, make) => {
    expect(refusalOf({ a: [make()] })).toMatchObject({ reason: 'not-plain', path: '/a/0' });
  });

  it('more than 32 levels, where the 33rd begins', () => {
    expect(nestingOf(serialize(nested(32)))).toBe(32);
    expect(refusalOf(nested(33))).toMatchObject({ reason: 'too-deep', path: '/a'.repeat(32) });
    expect(refusalOf([[nested(31)]])).toMatchObject({ reason: 'too-deep', path: `/0/0${'/a'.repeat(30)}` });
  });

  it('nothing that only looks like a level: a date or a toJSON', () => {
    let value: unknown = [new Date(0), { toJSON: () => 1 }];
    for (let level = 1; level < 32; level += 1) {
      const inner = value;
      value = { toJSON: () => [inner] };
    }
    expect(nestingOf(serialize({ toJSON: () => value }))).toBe(32);
  });

  it.each<[string, () => unknown]>([
    ['a hundred thousand levels', () => nested(100_000)],
    ['as many levels as one asks toJSON for', () => endless((next) => ({ next }))],
    ['a toJSON that answers with the next one', () => endless((next) => next)],
  ])('%s, without overflowing the stack', (_, make) => {
    expect(refusalOf(make()).reason).toBe('too-deep');
  });

  it('with a message that names the place and the rule, never the value (SCENARIOS 44)', () => {
    const refused: [unknown, RegExp][] = [
      [4929123456789012n, /^Cannot serialize \/card\/no: .*BigInt/],
      [Symbol('4929123456789012'), /^Cannot serialize \/card\/no: .*symbol/],
      [new Error('4929123456789012'), /^Cannot serialize \/card\/no: .*toJSON/],
      [new Map([[4929123456789012, 1]]), /^Cannot serialize \/card\/no: .*keys/],
      ['4929123456789012\ud83d', /^Cannot serialize \/card\/no: .*surrogate/],
    ];
    for (const [value, message] of refused) {
      const error = refusalOf({ card: { no: value } });
      expect(error.message).toMatch(message);
      expect(JSON.stringify({ ...error, message: error.message })).not.toContain('4929');
    }
    expect(refusalOf(1n).message).toMatch(/^Cannot serialize the value: /);
  });

  it.each<[SerializationError['reason'], unknown, string]>([
    ['undefined', undefined, 'undefined is no value'],
    ['function', () => 1, 'a function is no data'],
    ['symbol', Symbol('a'), 'a symbol is no data'],
    ['bigint', 1n, 'a BigInt has no JSON number; send it as a string'],
    ['cycle', ping, 'it contains itself'],
    ['not-finite', Number.NaN, 'NaN and the infinities are no JSON numbers'],
    ['invalid-date', new Date(Number.NaN), 'the date is invalid'],
    ['map-key', new Map([[1, 1]]), 'a Map needs strings as keys'],
    ['lone-surrogate', lone, 'half a surrogate pair is no text'],
    ['not-plain', /a/, 'what it holds is not in its members; give it a toJSON, or convert it'],
  ])('%s in these words', (reason, value, rule) => {
    expect(refusalOf(value)).toMatchObject({
      name: 'SerializationError',
      reason,
      message: `Cannot serialize the value: ${rule}`,
    });
  });

  it('what lies inside in these words', () => {
    expect(refusalOf({ constructor: 1 }).message).toBe('Cannot serialize /constructor: this name is never accepted');
    expect(refusalOf(nested(33)).message).toMatch(/^Cannot serialize .*: it is nested deeper than 32 levels$/);
  });

  it('but lets through what toJSON itself throws', () => {
    const failing = {
      toJSON() {
        throw new RangeError('of the caller');
      },
    };
    expect(() => serialize({ a: failing })).toThrow(new RangeError('of the caller'));
  });
});

describe('serialize, property:', () => {
  const PROTOTYPE_NAMES = ['__proto__', 'constructor', 'prototype'];
  const name = fc.string({ unit: 'grapheme', maxLength: 4 }).filter((text) => !PROTOTYPE_NAMES.includes(text));
  const containers = (leaf: fc.Arbitrary<unknown>) =>
    fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true, maxDepth: 8 },
        leaf,
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(name, tie('value'), { maxKeys: 4 }),
        // An array around it, because JSON.stringify does not ask what toJSON returns for its toJSON.
        tie('value').map((value) => ({ toJSON: () => [value] })),
      ),
    })).value;
  const scalar = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'grapheme' }),
    fc.date({ noInvalidDate: true }),
  );

  it('what it accepts is what JSON.stringify says', () => {
    const sayable = containers(fc.oneof(scalar, fc.constant(undefined)));
    fc.assert(
      fc.property(sayable, (value) => {
        const text = JSON.stringify({ value });
        expect(serialize({ value })).toStrictEqual(JSON.parse(text));
        expect(JSON.stringify(serialize({ value }))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it('a value that cannot be said is found exactly where it is', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('array' as const), before: fc.array(scalar, { maxLength: 2 }) }),
      fc.record({ kind: fc.constantFrom('object' as const, 'map' as const), name }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), fc.constantFrom(1n, Number.NaN, Symbol.iterator), (steps, bad) => {
        // Prepare
        const value = steps.reduceRight<unknown>((inner, each) => {
          if (each.kind === 'array') return [...each.before, inner];
          return each.kind === 'map' ? new Map([[each.name, inner]]) : { [each.name]: inner };
        }, bad);
        // Assess
        const path = pointerOf(steps.map((each) => (each.kind === 'array' ? each.before.length : each.name)));
        expect(refusalOf(value).path).toBe(path);
      }),
    );
  });
});

/** An object whose toJSON says the next such object, and so on without end. */
function endless(say: (next: object) => object): object {
  return { toJSON: () => say(endless(say)) };
}
