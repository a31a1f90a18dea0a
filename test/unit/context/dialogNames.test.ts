import { describe, expect, it } from 'vitest';
import { dialogViolations, RESERVED_KEY } from '../../../lib/context/dialogNames.ts';

/** Codes by pointer. */
const wrongIn = (body: unknown) => dialogViolations(body).map(({ pointer, code }) => [pointer, code]);

describe('Names of a dialog’s variables', () => {
  it.each(['a', '_', '_a1', 'A_Z09', 'x'.repeat(128), 'cognigy', 'my_cognigy_', 'user', 'session'])(
    'may be %s',
    (name) => expect(wrongIn({ session: { [name]: 1 }, user: { [name]: 1 } })).toEqual([]),
  );

  it.each(['', '1a', 'x'.repeat(129), 'a-b', 'a b', 'ä', ' a', 'a\n', 'a.b', 'a$'])('may not be %j', (name) => {
    expect(dialogViolations({ user: { [name]: 1 } })).toEqual([
      {
        pointer: `/user/${name}`,
        code: 'invalid-key',
        message: 'must have 1 to 128 characters of A–Z a–z 0–9 _ and not begin with a digit',
      },
    ]);
  });

  it.each([
    ['_cognigy', '_cognigy'],
    ['_cognigyX', '_cognigy'],
    ['_session_id', '_session'],
    ['_user', '_user'],
    ['cognigy_x', 'cognigy_'],
  ])('that begin as %s are reserved', (name, prefix) => {
    expect(dialogViolations({ session: { [name]: 1 } })).toEqual([
      { pointer: `/session/${name}`, code: RESERVED_KEY, message: `begins with ${prefix}, which is reserved` },
    ]);
  });

  it('are told by their own code when they are reserved', () => expect(RESERVED_KEY).toBe('reserved-key'));

  it('SCENARIO 31: what the strict parser names itself is not named again', () => {
    expect(wrongIn(JSON.parse('{"session":{"__proto__":1,"constructor":1}}'))).toEqual([]);
  });
});

describe('Values of a dialog’s variables', () => {
  it('SCENARIO 28: may have three objects and arrays around the innermost, and not four', () => {
    expect(wrongIn({ session: { a: [{ b: [1] }] } })).toEqual([]);
    expect(dialogViolations({ session: { a: [{ b: [[]] }] } })).toEqual([
      { pointer: '/session/a', code: 'too-deep', message: 'is nested deeper than 3 levels' },
    ]);
  });

  it('SCENARIO 28: may have 1 MiB as JSON in UTF-8, and not a byte more', () => {
    const sized = (bytes: number) => `ä${'x'.repeat(bytes - 4)}`;
    expect(wrongIn({ user: { a: sized(1_048_576) } })).toEqual([]);
    expect(dialogViolations({ user: { a: sized(1_048_577) } })).toEqual([
      { pointer: '/user/a', code: 'too-large', message: 'has more than 1048576 bytes' },
    ]);
  });
});

describe('A change of a dialog', () => {
  it('SCENARIO 35: is told all that is wrong, with pointers, session first', () => {
    const body = { user: { '1': [[[[]]]], ok: 1 }, session: { _user: 1, 'a/b': 1 } };
    expect(wrongIn(body)).toEqual([
      ['/session/_user', 'reserved-key'],
      ['/session/a~1b', 'invalid-key'],
      ['/user/1', 'invalid-key'],
      ['/user/1', 'too-deep'],
    ]);
  });

  it.each<[string, unknown]>([
    ['no object', 'text'],
    ['an array', [{ session: { '1': 1 } }]],
    ['nothing', undefined],
    ['without variables', {}],
    ['with variables that are no object', { session: 'text', user: [1], other: { '1': 1 } }],
    ['with variables that it only inherits', Object.create({ session: { '1': 1 } })],
  ])('%s has no names that could be wrong: that is for the schema to say', (_what, body) => {
    expect(dialogViolations(body)).toEqual([]);
  });
});
