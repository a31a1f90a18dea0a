/** Longest pause an upstream may ask for (milliseconds); what asks for more is answered with this. */
const DEFAULT_CAP_MS = 15 * 60_000;

/** More digits than any honest pause needs; a number this long is garbage. */
const DELAY_SECONDS = /^\d{1,9}$/;

/** The three forms of RFC 9110 5.6.7: IMF-fixdate, RFC 850 and asctime. */
const HTTP_DATE =
  /^(?:[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT|[A-Z][a-z]+day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4})$/;

/**
 * Reads `Retry-After` (RFC 9110 10.2.3): a number of seconds, or an HTTP date.
 *
 * Garbage, negative numbers and dates in the past are ignored, as a proxy's nonsense must not stop anybody (SPEC 3 "Retry").
 *
 * @param header - the header as received; `null` when there is none
 * @param nowMs - epoch milliseconds
 * @param capMs - policy: the longest pause believed, 15 minutes unless told otherwise
 * @returns milliseconds to wait from `nowMs`, or undefined when the header says nothing usable
 * @example
 * retryAfterMs('120', clock.now()); // 120000
 */
export function retryAfterMs(header: string | null, nowMs: number, capMs = DEFAULT_CAP_MS): number | undefined {
  const text = header?.trim() ?? '';
  if (DELAY_SECONDS.test(text)) return Math.min(Number(text) * 1000, capMs);
  if (!HTTP_DATE.test(text)) return undefined;
  // asctime carries no zone, yet means UTC; without one Date.parse would assume local time.
  const atMs = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  if (Number.isNaN(atMs) || atMs < nowMs) return undefined;
  return Math.min(atMs - nowMs, capMs);
}
