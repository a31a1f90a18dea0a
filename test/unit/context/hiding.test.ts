import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { textOf } from '../../../lib/context/coercion.ts';
import { withoutExpired } from '../../../lib/context/hiding.ts';
import type { JsonValue } from '../../../lib/context/json.ts';
import type { LoadedVariable } from '../../../lib/context/mirror.ts';
import { leaf, mirror, NOW } from '../../fixtures/operations/planning.ts';

const over = { expiresAtMs: NOW } as const;
const put = (path: string, value: JsonValue, rest: Partial<LoadedVariable> = {}) =>
  leaf(path, value, { via: 'inject', ...rest });
const bot = (name: string, value: JsonValue, scope = 'session') => ({ name, scope, value });
const shown = (variable: ReturnType<typeof bot>, ...known: LoadedVariable[]) => {
  const [left] = withoutExpired([variable], mirror(...known), NOW);
  return left?.value;
};

describe('SCENARIO 25: what has expired and not left the bot', () => {
  it.each<[string, JsonValue, JsonValue]>([
    ['a text', '1234', '1234'],
    ['a number', '1234', 1234],
    ['a text that looks like a number', '007', '007'],
    ['a boolean', 'true', true],
    ['null', 'null', null],
    ['an array', '[1,2]', [1, 2]],
    ['an array in another writing', '[ 1, 2 ]', [1, 2]],
    ['an object', '{"b":2,"a":1}', { a: 1, b: 2 }],
    ['an empty object', '{}', {}],
    ['a typed value', 5, 5],
    ['a value of another type that reads the same', 5, '5'],
  ])('is not shown: %s', (_what, text, value) =>
    expect(shown(bot('otp', text), put('/otp', value, over))).toBeUndefined(),
  );

  it('is shown up to its last moment', () => {
    expect(shown(bot('otp', '1'), put('/otp', 1, { expiresAtMs: NOW + 1 }))).toBe('1');
    expect(shown(bot('otp', '1'), put('/otp', 1))).toBe('1');
  });

  it('is the bot’s when the bot has changed it', () => {
    expect(shown(bot('otp', '2'), put('/otp', 1, over))).toBe('2');
    expect(shown(bot('otp', '[1,3]'), put('/otp', [1, 2], over))).toBe('[1,3]');
  });

  it.each([5_000, 100_000])('SCENARIO 34: is not looked for in a text of %i levels, which nobody has put', (levels) => {
    const text = `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
    expect(shown(bot('otp', text), put('/otp', { a: 1 }, over))).toBe(text);
    expect(shown(bot('otp', text), leaf('/otp/a/a', 1, over))).toBe(text);
  });

  it('is looked for in its own scope', () => {
    expect(shown(bot('otp', '1', 'user'), put('/otp', 1, over))).toBe('1');
    expect(shown(bot('otp', '1', 'user'), put('/otp', 1, { ...over, scope: 'user' }))).toBeUndefined();
  });

  it('is looked for in every scope when it came by a sync, which says none', () => {
    expect(shown(bot('otp', '1', 'bot'), leaf('/otp', 1, over))).toBeUndefined();
    expect(shown(bot('otp', '1', 'user'), leaf('/otp', 1, over), put('/otp', 1, { scope: 'user' }))).toBe('1');
  });

  it('is taken out of the object that it is in, and the rest is as it was', () => {
    const known = [leaf('/order/id', 'A-1', over), leaf('/order/paid', true)];
    expect(shown(bot('order', '{"id":"A-1","paid":true}'), ...known)).toBe('{"paid":true}');
    expect(shown(bot('order', '{"id":"A-2","paid":true}'), ...known)).toBe('{"id":"A-2","paid":true}');
    expect(shown(bot('order', { id: 'A-1', paid: true }), ...known)).toEqual({ paid: true });
  });

  it('takes an object along that has nothing else in it', () => {
    expect(shown(bot('order', '{"a":{"b":{"c":1}}}'), leaf('/order/a/b/c', 1, over))).toBeUndefined();
    expect(shown(bot('order', '{"a":{"b":{"c":1}},"d":{}}'), leaf('/order/a/b/c', 1, over))).toBe('{"d":{}}');
  });

  it('was injected as one object: what of it the bot has changed stays', () => {
    expect(shown(bot('offer', '{"code":"X","percent":20}'), put('/offer', { code: 'X', percent: 10 }, over))).toBe(
      '{"percent":20}',
    );
  });

  it('takes along an object that cannot be printed again as it was', () => {
    expect(shown(bot('o', '{"a":1,"n":9007199254740993}'), leaf('/o/a', 1, over))).toBeUndefined();
    expect(shown(bot('o', '{"a":2,"n":9007199254740993}'), leaf('/o/a', 1, over))).toBe('{"a":2,"n":9007199254740993}');
    expect(shown(bot('o', '{oops'), leaf('/o/a', 1, over))).toBe('{oops');
  });

  it.each(['a/b', 'a~b', '__proto__', 'constructor', ''])('is found under any name: %j', (name) => {
    const path = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    expect(shown(bot(name, '1'), put(path, 1, over))).toBeUndefined();
    expect(shown(bot('o', `{${JSON.stringify(name)}:1,"x":2}`), leaf(`/o${path}`, 1, over))).toBe(
      name === '__proto__' || name === 'constructor' ? undefined : '{"x":2}',
    );
  });

  it('what nothing is taken out of is the very same', () => {
    const all = [bot('a', '1'), bot('b', '{"c":1}')];
    expect(withoutExpired(all, mirror(put('/z', 1)), NOW)).toBe(all);
    const left = withoutExpired(all, mirror(put('/z', 1, over)), NOW);
    expect(left).toBe(all);
    // Also where something was looked for in it, and the bot has changed that.
    expect(withoutExpired(all, mirror(put('/a', 2, over), leaf('/b/c', 2, over)), NOW)).toBe(all);
  });

  it('is no variable any more, not one without a value; what is beside it stays', () => {
    const all = [bot('a', '1'), bot('b', '{"c":1,"d":2}'), bot('e', '1')];
    expect(withoutExpired(all, mirror(put('/a', 1, over)), NOW)).toEqual([all[1], all[2]]);
    expect(withoutExpired(all, mirror(leaf('/b/c', 1, over)), NOW)).toEqual([all[0], bot('b', '{"d":2}'), all[2]]);
  });

  it('leaves a text as it is written where nothing is taken out of it', () => {
    const text = '{ "a": 1,  "b": 2 }';
    expect(shown(bot('k', text), leaf('/k/a', 2, over))).toBe(text);
    expect(shown(bot('k', text), leaf('/k/a', 1, over))).toBe('{"b":2}');
  });

  it('is any of the values that have expired there, whichever scope each was for', () => {
    const known = [leaf('/k/a', 1, over), leaf('/k/a', 2, { ...over, scope: 'user' })];
    for (const a of [1, 2]) expect(shown(bot('k', { a, b: 3 }, 'bot'), ...known)).toEqual({ b: 3 });
    expect(shown(bot('k', { a: 3, b: 3 }, 'bot'), ...known)).toEqual({ a: 3, b: 3 });
  });

  it('whatever it is, the text of it is not shown', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false, maxDepth: 4 }), (value) => {
        const known = JSON.parse(JSON.stringify(value)) as JsonValue;
        expect(shown(bot('k', textOf(known)), put('/k', known, over))).toBeUndefined();
      }),
      { numRuns: 300, seed: 25 },
    );
  });
});
