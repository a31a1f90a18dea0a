import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSessionId } from '../../../lib/context/sessionId.ts';

describe('parseSessionId', () => {
  it.each(['a', '0', 'sess_1', 'A.b_c:d@e~f-g', 'x'.repeat(256)])('takes %s', (text) =>
    expect(parseSessionId(text)).toBe(text),
  );

  it.each([
    '',
    'x'.repeat(257),
    'x'.repeat(10_000),
    '.',
    '..',
    '../../admin',
    '%2e%2e%2f',
    '_a',
    '-a',
    '~a',
    'a b',
    'a/b',
    'a\\b',
    'a\r\nb',
    'a\n',
    '\na',
    'a\u0000',
    'ä',
    'a\u202e',
    'a?b',
    'a#b',
    'a%41',
    'a;b',
  ])('refuses %j (SCENARIO 39)', (text) => expect(parseSessionId(text)).toBeUndefined());

  it('holds a tenant to its prefix', () => {
    expect(parseSessionId('sess_1', 'sess_')).toBe('sess_1');
    expect(parseSessionId('other_1', 'sess_')).toBeUndefined();
    expect(parseSessionId('sess_', 'sess_')).toBe('sess_');
  });

  it('property: what it takes is safe in a path segment and a log line', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), (text) => {
        const id = parseSessionId(text);
        if (id === undefined) return;
        expect(decodeURIComponent(new URL(`http://host/a/${id}/b`).pathname)).toBe(`/a/${id}/b`);
        expect(id).toMatch(/^[\x21-\x7e]+$/);
      }),
    );
  });
});
