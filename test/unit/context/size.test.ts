import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../lib/context/json.ts';
import { pointerOf } from '../../../lib/context/pointer.ts';
import { jsonBytes, nestingOf } from '../../../lib/context/size.ts';

const json = fc.jsonValue({ stringUnit: 'binary' }).map((value): JsonValue => JSON.parse(JSON.stringify(value)));

function depthOf(value: JsonValue): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

describe('jsonBytes', () => {
  it.each<[JsonValue, number]>([
    ['', 2],
    ['a', 3],
    ['é', 4],
    ['€', 5],
    ['🚀', 6],
    ['"', 4],
    [{ é: [1, null] }, 15],
  ])('%j takes %i bytes', (value, bytes) => expect(jsonBytes(value)).toBe(bytes));

  it('property: is what the JSON takes on the wire', () => {
    fc.assert(
      fc.property(json, (value) => jsonBytes(value) === new TextEncoder().encode(JSON.stringify(value)).byteLength),
    );
  });
});

describe('nestingOf', () => {
  it.each<[unknown, number]>([
    [1, 0],
    [null, 0],
    [undefined, 0],
    ['[]', 0],
    [[], 1],
    [{}, 1],
    [[{}], 2],
    [{ a: 1, b: [[1], {}] }, 3],
  ])('of %j is %i', (value, nesting) => expect(nestingOf(value)).toBe(nesting));

  it('property: agrees with a recursive definition', () => {
    fc.assert(fc.property(json, (value) => nestingOf(value) === depthOf(value)));
  });

  it('of a hundred thousand levels overflows nothing', () => {
    let value: JsonValue = 0;
    for (let level = 0; level < 100_000; level += 1) value = [value];
    expect(nestingOf(value)).toBe(100_000);
  });
});

describe('pointerOf (RFC 6901)', () => {
  it.each<[(string | number)[], string]>([
    [[], ''],
    [[''], '/'],
    [['a', 0, 'b'], '/a/0/b'],
    [['a/b', 'm~n', '~1'], '/a~1b/m~0n/~01'],
  ])('%j is %j', (tokens, pointer) => expect(pointerOf(tokens)).toBe(pointer));

  it('property: tokens can be told apart again', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (tokens) => {
        const read = pointerOf(tokens)
          .split('/')
          .slice(1)
          .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
        expect(read).toEqual(tokens);
      }),
    );
  });
});
