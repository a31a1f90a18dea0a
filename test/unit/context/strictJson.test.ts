import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { holdsInexactNumber, parseStrictJson } from '../../../lib/context/strictJson.ts';

const parse = (text: string, maxDepth = 35) => parseStrictJson(text, { maxDepth });
/** What was found where, as `code pointer`. */
const found = (text: string, maxDepth?: number): string[] => {
  const parsed = parse(text, maxDepth);
  return 'violations' in parsed ? parsed.violations.map(({ code, pointer }) => `${code} ${pointer}`) : [parsed.kind];
};

const PROTOTYPE_NAMES = ['__proto__', 'constructor', 'prototype'];
const name = fc.string({ unit: 'grapheme', maxLength: 6 }).filter((text) => !PROTOTYPE_NAMES.includes(text));
const { value: harmless } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.string({ unit: 'grapheme' }),
    fc.double({ noDefaultInfinity: true, noNaN: true, min: -(2 ** 53), max: 2 ** 53 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

describe('parseStrictJson', () => {
  it('property: reads what JSON.parse reads, however it is laid out', () => {
    fc.assert(
      fc.property(harmless, fc.constantFrom('', ' ', '\n\t'), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        expect(parse(text)).toEqual({ kind: 'parsed', value: JSON.parse(text) });
      }),
    );
  });

  it('property: never throws, and calls malformed exactly what JSON.parse refuses', () => {
    const tokens = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"\\u0061"',
      '1',
      '-',
      'e',
      '.',
      'true',
      'nul',
      ' ',
      '\\',
      '"',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(tokens).map((all) => all.join('')),
        ),
        (text) => {
          let isJson = true;
          try {
            JSON.parse(text);
          } catch {
            isJson = false;
          }
          expect(parse(text).kind === 'malformed').toBe(!isJson);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    '',
    ' ',
    '{',
    '{"a":1,}',
    "{'a':1}",
    '01',
    '+1',
    '.5',
    'NaN',
    '[1 2]',
    '"\t"',
    '\uFEFF{}',
    '{"a":1}x',
    '// c\n1',
  ])('calls %j malformed', (text) => expect(parse(text)).toEqual({ kind: 'malformed' }));
});

describe('Duplicate names', () => {
  it.each([
    ['{"a":1,"a":1}', ['duplicate-name /a']],
    ['{"a":1,"\\u0061":2}', ['duplicate-name /a']],
    ['{"\\/":1,"/":2}', ['duplicate-name /~1']],
    ['{"":1,"":2}', ['duplicate-name /']],
    ['{"~":1,"~":2}', ['duplicate-name /~0']],
    ['{"a/b~":{"":[0,{"x":1,"x":2}]}}', ['duplicate-name /a~1b~0//1/x']],
    ['[[{"a":1}],{"a":1,"b":2,"a":3,"b":4}]', ['duplicate-name /1/a', 'duplicate-name /1/b']],
    ['{"a":{"a":1,"b":{"a":1}},"a":2}', ['duplicate-name /a']],
    ['{"a":1,"a":2,"a":3}', ['duplicate-name /a', 'duplicate-name /a']],
    ['{"\u{1F680}":1,"\\ud83d\\ude80":2}', ['duplicate-name /\u{1F680}']],
  ])('%j: %j', (text, expected) => expect(found(text)).toEqual(expected));

  it.each([
    '{"a":{"a":{"a":1}}}',
    '[{"a":1},{"a":1}]',
    '{"a":"a","b":"a"}',
    '{"a":["a","a"],"A":1}',
    '{"a":"\\"a\\":"}',
  ])('%j has none', (text) => expect(parse(text).kind).toBe('parsed'));

  it('come first: a body that says two things cannot be validated', () => {
    expect(parse('{"a":1e400,"a":1}').kind).toBe('duplicate-names');
  });

  it('property: found exactly where they were put', () => {
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 5 }), fc.nat(), (names, pick) => {
        const twice = names[pick % names.length] ?? '';
        const members = [...names, twice].map((each) => `${JSON.stringify(each)}:[{}]`);
        const pointer = `/x/0/${twice.replaceAll('~', '~0').replaceAll('/', '~1')}`;
        expect(found(`{"x":[{${members.join(',')}}]}`)).toEqual([`duplicate-name ${pointer}`]);
      }),
    );
  });
});

describe('Prototype names', () => {
  it.each([
    ['{"__proto__":1}', '/__proto__'],
    ['{"a":[{"constructor":{}}]}', '/a/0/constructor'],
    ['{"prototype":null}', '/prototype'],
    ['{"\\u005f_proto__":1}', '/__proto__'],
    ['{"c\\u006fnstructor":1}', '/constructor'],
  ])('%j is refused', (text, pointer) => {
    expect(found(text)).toEqual([`prototype-name ${pointer}`]);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });

  it('are fine as values, and in part', () => {
    expect(parse('{"a":"__proto__","proto":1,"__proto":1,"Constructor":1}').kind).toBe('parsed');
  });
});

describe('Numbers', () => {
  it.each([
    '9007199254740992',
    '-9007199254740992',
    '9007199254740991',
    '0',
    '-0',
    '0.1',
    '1e3',
    '1E-7',
    '1.5e+2',
    '123456.789',
    '5e-324',
    '9007199254740990.5',
  ])('%s is accepted', (text) => expect(parse(`[${text}]`)).toEqual({ kind: 'parsed', value: [Number(text)] }));

  it.each([
    '9007199254740993',
    '-9007199254740993',
    '9007199254740994',
    '9007199254740993.0',
    '1e20',
    '-1e20',
    '1e308',
    '123456789012345678901234567890',
  ])('%s would be rounded', (text) => expect(found(`{"n":[${text}]}`)).toEqual(['number-not-exact /n/0']));

  it.each(['1e400', '-1e400', `1${'0'.repeat(400)}`])('%s is not finite', (text) => {
    expect(found(`{"n":${text}}`)).toEqual(['number-not-finite /n']);
  });

  it('property: every safe integer passes, none beyond 2^53 does', () => {
    fc.assert(fc.property(fc.maxSafeInteger(), (number) => parse(String(number)).kind === 'parsed'));
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n + 1n, max: 2n ** 70n }), fc.boolean(), (number, negative) => {
        expect(found(String(negative ? -number : number))).toEqual(['number-not-exact ']);
      }),
    );
  });
});

describe('What is wrong', () => {
  it.each([
    ['{"a":1,"a":2}', '/a', 'duplicate-name', 'occurs more than once in its object'],
    ['[{"constructor":1}]', '/0/constructor', 'prototype-name', 'is a name that is never accepted'],
    ['["\\ud800"]', '/0', 'lone-surrogate', 'holds half a surrogate pair, which is no text'],
    ['[1e400]', '/0', 'number-not-finite', 'is too large to be a finite number'],
    [
      '[9007199254740993]',
      '/0',
      'number-not-exact',
      'is an integer beyond ±2^53, which would be rounded; send it as a string',
    ],
    ['[[[1]]]', '/0/0', 'too-deep', 'is nested deeper than 2 levels'],
  ])('in %s is said in a sentence', (text, pointer, code, message) => {
    const kind = code === 'duplicate-name' ? 'duplicate-names' : 'refused';
    expect(parseStrictJson(text, { maxDepth: 2 })).toEqual({ kind, violations: [{ pointer, code, message }] });
  });

  it('is looked for down to the deepest level, and no deeper: that is refused as a whole', () => {
    expect(found('[[1e400]]', 2)).toEqual(['number-not-finite /0/0']);
    expect(found('[["\\ud800"]]', 2)).toEqual(['lone-surrogate /0/0']);
    expect(found('[[{"a":1,"a":"\\ud800","b":1e400,"__proto__":[[1]]}]]', 2)).toEqual(['too-deep /0/0']);
  });
});

describe('Text', () => {
  it.each([
    ['{"a":"\\ud83d"}', 'lone-surrogate /a'],
    ['["\\ude80\\ud83d"]', 'lone-surrogate /0'],
  ])('%j holds half a pair', (text, expected) => expect(found(text)).toEqual([expected]));

  it('half a pair in a name is found too, and a whole pair is text', () => {
    expect(found('{"\\ud83d":1}')[0]).toMatch(/^lone-surrogate /);
    expect(parse('{"\\ud83d\\ude80":"\\ud83d\\ude80"}').kind).toBe('parsed');
  });
});

describe('Depth', () => {
  const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

  it('at the limit passes, one level more is refused where it begins', () => {
    expect(parse(nested(5), 5).kind).toBe('parsed');
    expect(found(nested(6), 5)).toEqual(['too-deep /0/0/0/0/0']);
    expect(found('{"a":{"b":{}}}', 2)).toEqual(['too-deep /a/b']);
  });

  it('each place that is too deep is named once', () => {
    expect(found('[[[1,[2]],[[3]]],[[]]]', 2)).toEqual(['too-deep /0/0', 'too-deep /0/1', 'too-deep /1/0']);
  });

  it('of a hundred thousand levels overflows nothing', () => {
    expect(found(nested(100_000))).toHaveLength(1);
    expect(found(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)).toHaveLength(1);
  });
});

describe('All violations', () => {
  it('are listed, in the order of the text', () => {
    const text = '{"a":1e400,"b":{"__proto__":1},"c":["\\ud800",9007199254740993]}';
    expect(found(text)).toEqual([
      'number-not-finite /a',
      'prototype-name /b/__proto__',
      'lone-surrogate /c/0',
      'number-not-exact /c/1',
    ]);
  });

  it('say nothing of the value (SCENARIO 44)', () => {
    const parsed = parse('{"secret":123456789012345678901}');
    expect(JSON.stringify('violations' in parsed && parsed.violations)).not.toContain('12345678901');
  });
});

describe('Hostile bodies of 2 MB', () => {
  const MB2 = 2 * 1024 * 1024;
  const bodies: Record<string, () => string> = {
    'one long string': () => `"${'a'.repeat(MB2)}"`,
    'backslashes only': () => `"${'\\\\'.repeat(MB2 / 2)}"`,
    'escaped quotes only': () => `"${'\\"'.repeat(MB2 / 2)}"`,
    'an unclosed string': () => `"${'\\\\'.repeat(MB2 / 2)}`,
    'many empty strings': () => `[${Array.from({ length: MB2 / 3 }, () => '""').join(',')}]`,
    'one number of a million digits': () => '9'.repeat(MB2 / 2),
    'many members': () => `{${Array.from({ length: 150_000 }, (_, index) => `"${index}":1`).join(',')}}`,
    'bad numbers far too deep': () => `${'[1e999,'.repeat(200_000)}1${']'.repeat(200_000)}`,
    'bad numbers under a long name': () =>
      `{"${'n'.repeat(MB2 / 2)}":[${Array.from({ length: 100_000 }, () => '1e999').join(',')}]}`,
    'duplicates under a long name': () =>
      `{"${'n'.repeat(MB2 / 2)}":{${Array.from({ length: 100_000 }, () => '"":0').join(',')}}}`,
  };

  it.each(Object.keys(bodies))('%s: is read in linear time and space', (which) => {
    const parsed = parse(bodies[which]?.() ?? '');
    // What it says must be fit for an answer. The test's own timeout catches anything quadratic, which takes minutes here.
    if ('violations' in parsed) expect(JSON.stringify(parsed.violations).length).toBeLessThan(8_000_000);
    expect(parsed.kind).toBeDefined();
  });
});

describe('holdsInexactNumber', () => {
  it.each(['9007199254740993', '-9007199254740993', '[1,{"a":12345678901234567890}]', '1e400', '[-1e999]'])(
    '%s would not come back as it was',
    (text) => {
      expect(holdsInexactNumber(text)).toBe(true);
    },
  );

  it.each([
    '9007199254740992',
    '9007199254740994',
    '1e21',
    '0.1234567890123456789',
    '"9007199254740993"',
    '{"1e400":1}',
  ])('%s does', (text) => {
    expect(holdsInexactNumber(text)).toBe(false);
  });

  it('property: what JavaScript has printed comes back', () => {
    fc.assert(fc.property(harmless, (value) => !holdsInexactNumber(JSON.stringify(value))));
  });
});
