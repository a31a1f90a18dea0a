import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isExpired, parseExpiresAt } from '../../../lib/context/expiry.ts';

describe('isExpired', () => {
  it('what expires at this very moment is expired; what has no expiry never is', () => {
    expect(isExpired({ expiresAtMs: 1_000 }, 999)).toBe(false);
    expect(isExpired({ expiresAtMs: 1_000 }, 1_000)).toBe(true);
    expect(isExpired({ expiresAtMs: 1_000 }, 1_001)).toBe(true);
    expect(isExpired({}, Number.MAX_SAFE_INTEGER)).toBe(false);
  });
});

describe('parseExpiresAt', () => {
  it.each([
    ['2026-12-01T10:00:00Z', '2026-12-01T10:00:00.000Z'],
    ['2026-12-01t10:00:00z', '2026-12-01T10:00:00.000Z'],
    ['2026-12-01T10:00:00.5Z', '2026-12-01T10:00:00.500Z'],
    ['2026-12-01T10:00:00.123456789Z', '2026-12-01T10:00:00.123Z'],
    ['2026-12-01T10:00:00+01:00', '2026-12-01T09:00:00.000Z'],
    ['2026-12-01T00:30:00-05:30', '2026-12-01T06:00:00.000Z'],
    ['2028-02-29T23:59:59Z', '2028-02-29T23:59:59.000Z'],
    ['1996-12-19T16:39:57-08:00', '1996-12-20T00:39:57.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('reads %s', (text, expected) => {
    const parsed = parseExpiresAt(text);
    expect(parsed.ok && new Date(parsed.ms).toISOString()).toBe(expected);
  });

  it.each([
    ['2026-12-01T10:00:00', 'zone'],
    ['2026-12-01T10:00', 'zone'],
    ['2026-12-01T10:00:00.123', 'zone'],
    ['at 2026-12-01T10:00:00', 'is not a date-time'],
    ['1795251600000', 'epoch'],
    ['1795251600', 'epoch'],
    ['1795251600s', 'is not a date-time'],
    ['@1795251600', 'is not a date-time'],
    ['2026-12-01', 'RFC 3339'],
    ['2026-12-01 10:00:00Z', 'RFC 3339'],
    ['tomorrow', 'RFC 3339'],
    ['', 'RFC 3339'],
    ['2026-12-01T10:00:00Z\n', 'RFC 3339'],
    ['+002026-12-01T10:00:00Z', 'RFC 3339'],
    ['2026-1-1T10:00:00Z', 'RFC 3339'],
    ['2026-12-01T10:00:00+0100', 'RFC 3339'],
    ['2026-02-29T10:00:00Z', 'exists'],
    ['2026-02-30T10:00:00Z', 'exists'],
    ['2026-04-31T10:00:00Z', 'exists'],
    ['2026-13-01T10:00:00Z', 'exists'],
    ['2026-00-10T10:00:00Z', 'exists'],
    ['2026-12-00T10:00:00Z', 'exists'],
    ['2026-12-01T24:00:00Z', 'exists'],
    ['2026-12-01T10:60:00Z', 'exists'],
    ['2026-12-01T10:00:60Z', 'exists'],
    ['2026-12-01T10:00:00+25:00', 'exists'],
    // In UTC it lies in the year 10000.
    ['9999-12-31T23:30:00-01:00', 'exists'],
    ['2026-12-01T10:00:00+01:60', 'exists'],
  ])('refuses %j with a hint about %s', (text, about) => {
    const parsed = parseExpiresAt(text);
    expect(parsed.ok ? parsed : parsed.hint).toContain(about);
  });

  it('property: every moment that toISOString prints comes back', () => {
    fc.assert(
      fc.property(
        fc.date({
          min: new Date('0000-01-01T00:00:00Z'),
          max: new Date('9999-12-31T23:59:59.999Z'),
          noInvalidDate: true,
        }),
        (date) => {
          expect(parseExpiresAt(date.toISOString())).toEqual({ ok: true, ms: date.getTime() });
        },
      ),
    );
  });

  it('property: an offset moves the moment by exactly itself', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 59 }),
        fc.constantFrom('+', '-'),
        (hours, minutes, sign) => {
          const zone = `${sign}${String(hours).padStart(2, '0')}:${String(minutes).padStart(2, '0')}`;
          const offsetMs = (hours * 60 + minutes) * 60_000 * (sign === '+' ? 1 : -1);
          expect(parseExpiresAt(`2026-06-15T12:00:00${zone}`)).toEqual({
            ok: true,
            ms: Date.UTC(2026, 5, 15, 12) - offsetMs,
          });
        },
      ),
    );
  });

  it('property: never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof parseExpiresAt(text).ok === 'boolean'));
  });
});
