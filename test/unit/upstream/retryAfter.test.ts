import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { retryAfterMs } from '../../../lib/upstream/retryAfter.ts';

const NOW = Date.UTC(2026, 10, 21, 9, 0, 0);

describe('retryAfterMs', () => {
  it.each([
    ['seconds', '120', 120_000],
    ['zero', '0', 0],
    ['white space around', ' 5 ', 5_000],
    ['IMF-fixdate', 'Sat, 21 Nov 2026 09:02:00 GMT', 120_000],
    ['RFC 850', 'Saturday, 21-Nov-26 09:02:00 GMT', 120_000],
    ['asctime', 'Sat Nov 21 09:02:00 2026', 120_000],
    ['this very moment', 'Sat, 21 Nov 2026 09:00:00 GMT', 0],
  ])('reads %s', (_what, header, expectedMs) => {
    expect(retryAfterMs(header, NOW)).toBe(expectedMs);
  });

  it.each([
    ['nothing', null],
    ['an empty header', ''],
    ['a negative number', '-5'],
    ['a fraction', '1.5'],
    ['words', 'soon'],
    ['an absurd number', '99999999999999999999'],
    ['hexadecimal', '0x10'],
    ['an ISO date', '2026-11-21T09:02:00Z'],
    ['a date in the past', 'Sat, 21 Nov 2026 08:59:59 GMT'],
    ['a date that does not exist', 'Sat, 99 Nov 2026 09:02:00 GMT'],
    // JavaScript's own parser would read all of these.
    ['a date in another form', 'Nov 21 2026 09:02:00 GMT'],
    ['a date with a word before it', 'at Sat, 21 Nov 2026 09:02:00 GMT'],
    ['a date with a remark behind it', 'Sat Nov 21 09:02:00 2026 (or so)'],
  ])('ignores %s', (_what, header) => {
    expect(retryAfterMs(header, NOW)).toBeUndefined();
  });

  it('believes no more than the policy allows: 15 minutes, or what it is told', () => {
    expect(retryAfterMs('86400', NOW)).toBe(900_000);
    expect(retryAfterMs('Sun, 22 Nov 2026 09:00:00 GMT', NOW)).toBe(900_000);
    expect(retryAfterMs('86400', NOW, 1_000)).toBe(1_000);
  });

  it('never throws and never leaves its bounds, whatever the header', () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        const ms = retryAfterMs(header, NOW);
        expect(ms === undefined || (ms >= 0 && ms <= 900_000)).toBe(true);
      }),
    );
  });
});
