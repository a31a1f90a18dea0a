import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coerce, textOf } from '../../../lib/context/coercion.ts';
import type { JsonValue } from '../../../lib/context/json.ts';

const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

describe('SCENARIO 33, 34: a text without a type', () => {
  it.each<[string, JsonValue]>([
    ['true', true],
    ['TRUE', true],
    ['False', false],
    ['0', 0],
    ['42', 42],
    ['-1.5', -1.5],
    ['1e+21', 1e21],
    ['9007199254740992', 2 ** 53],
    ['{"a":[1,"1"]}', { a: [1, '1'] }],
    ['{}', {}],
    ['[]', []],
    ['[ 1, true ]', [1, true]],
    // Looks as if something would be rounded, and is not.
    ['[1e3]', [1000]],
    ['["9007199254740993","-0","1e999"]', ['9007199254740993', '-0', '1e999']],
    [deep(32), JSON.parse(deep(32))],
  ])('%s becomes what it says', (text, value) => expect(coerce(text).value).toEqual(value));

  it.each([
    '007',
    '+491701234567',
    '1_000',
    '1e3',
    'NaN',
    'Infinity',
    ' 5',
    '5 ',
    '-0',
    '1.0',
    '.5',
    '0x10',
    '9007199254740993',
    '0.1000000000000000055',
    '',
    ' true',
    'yes',
    'null',
    'undefined',
    '"a"',
    ' {}',
    '{}\n',
    ' []',
    '[]\n',
    '{',
    '{"a":1,"a":2}',
    '{"__proto__":1}',
    '[9007199254740993]',
    '[0.1000000000000000055]',
    '[-0]',
    '[1e999]',
    '[1e-400]',
    '["\\ud800"]',
    deep(33),
  ])('%j stays a text', (text) => expect(coerce(text)).toEqual({ value: text, type: 'string' }));
});

describe('a type that is given is obeyed, where that loses nothing', () => {
  it.each<[string, string, JsonValue]>([
    ['string', 'true', 'true'],
    ['string', '5', '5'],
    ['string', '{}', '{}'],
    ['number', '5', 5],
    ['number', '1e3', 1000],
    ['number', '1.50', 1.5],
    ['number', '100e-2', 1],
    ['number', '0.1', 0.1],
    ['number', '0.0', 0],
    ['number', '0.0000001', 1e-7],
    ['number', '10.10', 10.1],
    ['number', '1.010e3', 1010],
    ['number', '-1E+2', -100],
    ['number', '0e5', 0],
    ['number', '', ''],
    ['number', '00', '00'],
    ['number', '+0', '+0'],
    ['number', '007', '007'],
    ['number', '+49', '+49'],
    ['number', '1_000', '1_000'],
    ['number', ' 5', ' 5'],
    ['number', 'NaN', 'NaN'],
    ['number', '-0', '-0'],
    ['number', '1e999', '1e999'],
    ['number', '1e-999', '1e-999'],
    ['number', '9007199254740993', '9007199254740993'],
    ['number', '0.1000000000000000055', '0.1000000000000000055'],
    ['number', 'true', 'true'],
    ['boolean', 'TRUE', true],
    ['boolean', '1', '1'],
    ['object', '{"a":1}', { a: 1 }],
    ['object', '[1]', '[1]'],
    ['object', '{"a":1,"a":1}', '{"a":1,"a":1}'],
    ['array', '[1]', [1]],
    ['array', '{}', '{}'],
    ['null', 'null', null],
    ['null', '', ''],
    ['integer', '5', 5],
    ['', 'true', true],
    ['constructor', '5', 5],
  ])('%s of %j', (type, text, value) => expect(coerce(text, type).value).toEqual(value));

  it.each<[JsonValue, string]>([
    ['a', 'string'],
    [5, 'number'],
    [true, 'boolean'],
    [null, 'null'],
    [[], 'array'],
    [{}, 'object'],
  ])('what is %j already stays so, as a %s', (value, type) => {
    expect(coerce(value, 'string')).toEqual({ value, type });
  });
});

describe('Properties', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double({ noDefaultInfinity: false }).map(String),
    fc.bigInt().map(String),
    fc.integer().map((number) => `0${number}`),
    fc.constantFrom('true', 'FALSE', 'tRuE', '1e3', '1e21', '-0', '+5', '1.10'),
    fc.json(),
  );

  it('every scalar that has changed its type prints as the text that it was', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const { value } = coerce(text);
        if (typeof value === 'number') expect(String(value)).toBe(text);
        else if (typeof value === 'boolean') expect(String(value)).toBe(text.toLowerCase());
        else if (typeof value !== 'object') expect(value).toBe(text);
      }),
      { numRuns: 1_000, seed: 34 },
    );
  });

  it('a value printed by JavaScript comes back as it was', () => {
    const values = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.integer());
    fc.assert(
      fc.property(values, (value) => {
        const known = Object.is(value, -0) ? 0 : value;
        expect(coerce(textOf(known)).value).toBe(known);
        expect(coerce(textOf(known), typeof known).value).toBe(known);
      }),
      { numRuns: 1_000, seed: 34 },
    );
  });

  it('a decimal number that is given its type stays a text exactly where a double would round it', () => {
    // As fractions of whole numbers, of which nothing is rounded.
    const exactly = (text: string) => {
      const [, sign, whole = '', fraction = '', exponent = '0'] =
        /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(text) ?? [];
      const digits = BigInt(`${sign}${whole}${fraction}`);
      const power = Number(exponent) - fraction.length;
      return power >= 0 ? [digits * 10n ** BigInt(power), 1n] : [digits, 10n ** BigInt(-power)];
    };
    const isSame = ([a = 0n, b = 1n]: readonly bigint[], [c = 0n, d = 1n]: readonly bigint[]) => a * d === c * b;
    const numbers = fc
      .tuple(fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }), fc.integer({ min: -400, max: 300 }))
      .filter(([digits]) => digits !== 0n)
      .map(([digits, power]) => `${digits}e${power}`);
    fc.assert(
      fc.property(numbers, (text) => {
        const printed = String(Number(text));
        const isKept = Number(text) !== 0 && Number.isFinite(Number(text)) && isSame(exactly(printed), exactly(text));
        expect(coerce(text, 'number').value).toBe(isKept ? Number(text) : text);
      }),
      { numRuns: 1_000, seed: 34 },
    );
  });

  it('type and value agree', () => {
    fc.assert(
      fc.property(
        texts,
        fc.option(fc.constantFrom('number', 'boolean', 'object', 'array', 'null', 'string', 'x')),
        (text, type) => {
          const { value, type: said } = coerce(text, type ?? undefined);
          expect(said).toBe(value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
        },
      ),
      { numRuns: 500, seed: 34 },
    );
  });
});
