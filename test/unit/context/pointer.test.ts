import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPointer, memberPointer, outwards, pointerOf, tokensOf } from '../../../lib/context/pointer.ts';

const name = fc.oneof(
  fc.constantFrom('', '/', '~', '~0', '~1', '~01', 'a/b', 'a~b', '__proto__', '%2F'),
  fc.string({ unit: fc.constantFrom('/', '~', '0', '1', 'a', 'ü') }),
);
const names = fc.array(name, { maxLength: 5 });

describe('A JSON Pointer', () => {
  it.each([
    [[], ''],
    [[''], '/'],
    [['', ''], '//'],
    [['a', 'b'], '/a/b'],
    [['a/b'], '/a~1b'],
    [['m~n'], '/m~0n'],
    // RFC 6901 section 4: `~01` is `~1`, and no slash.
    [['~1'], '/~01'],
    [['list', 0], '/list/0'],
  ])('of %j is "%s"', (tokens, pointer) => {
    expect(pointerOf(tokens)).toBe(pointer);
    expect(tokensOf(pointer)).toEqual(tokens.map(String));
  });

  it('property: leads back to its tokens, whatever they are made of', () => {
    fc.assert(
      fc.property(names, (tokens) => {
        expect(tokensOf(pointerOf(tokens))).toEqual(tokens);
        expect(isPointer(pointerOf(tokens))).toBe(true);
      }),
    );
  });

  it('property: two places have two pointers', () => {
    fc.assert(
      fc.property(names, names, (one, other) => {
        const isSame = one.length === other.length && one.every((token, index) => token === other[index]);
        expect(pointerOf(one) === pointerOf(other)).toBe(isSame);
      }),
    );
  });

  it('property: is made member by member', () => {
    fc.assert(
      fc.property(names, (tokens) => {
        expect(tokens.reduce(memberPointer, '')).toBe(pointerOf(tokens));
      }),
    );
  });
});

describe('isPointer', () => {
  it.each(['a', 'a/b', '/~', '/~2', '/a~', '/~/a', '#/a'])('refuses %j', (text) => {
    expect(isPointer(text)).toBe(false);
  });
});

describe('outwards', () => {
  it('property: names the place and everything around it, from the inside out, without the whole', () => {
    fc.assert(
      fc.property(names, (tokens) => {
        const around = tokens.map((_, index) => pointerOf(tokens.slice(0, index + 1))).reverse();
        expect([...outwards(pointerOf(tokens))]).toEqual(around);
      }),
    );
  });
});
