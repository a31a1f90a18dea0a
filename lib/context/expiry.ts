/** Longest life of a variable in seconds: a year (SPEC 2). */
export const MAX_TTL_SECONDS = 31_536_000;

/** The last moment that RFC 3339 can name in UTC: its years have four digits. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** An expired value is invisible at once; what expires at this very moment is expired (SPEC 6). */
export function isExpired(item: { readonly expiresAtMs?: number | undefined }, nowMs: number): boolean {
  return item.expiresAtMs !== undefined && item.expiresAtMs <= nowMs;
}

export type ParsedTime = { readonly ok: true; readonly ms: number } | { readonly ok: false; readonly hint: string };

// RFC 3339 section 5.6: date-time with a mandatory zone.
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

/**
 * Reads an expiry as RFC 3339 with a zone into epoch milliseconds. `Date.parse` alone is too kind: it takes local times,
 * bare dates and the 30th of February.
 */
export function parseExpiresAt(text: string): ParsedTime {
  const match = RFC_3339.exec(text);
  if (match === null) {
    if (/^\d{9,}$/.test(text))
      return { ok: false, hint: 'is an epoch number; send RFC 3339, as in 2026-12-01T10:00:00Z' };
    if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$/i.test(text)) {
      return { ok: false, hint: 'has no zone; end it with Z or an offset such as +01:00' };
    }
    return { ok: false, hint: 'is not a date-time of RFC 3339, as in 2026-12-01T10:00:00Z' };
  }
  const [, year, month, day, hour] = match.map(Number);
  const ms = Date.parse(text.toUpperCase());
  const calendar = new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day));
  // Minutes, seconds and offsets beyond their own `Date.parse` refuses; an hour 24 it takes.
  const isReal = calendar.getUTCMonth() === (month ?? 0) - 1 && (hour ?? 24) < 24;
  if (!isReal || Number.isNaN(ms) || ms > LATEST_MS) return { ok: false, hint: 'is not a date that exists' };
  return { ok: true, ms };
}
