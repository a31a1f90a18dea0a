import { createHash, timingSafeEqual } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import type { SignatureVerdict, Signed } from '../operations/ports/signatures.ts';

/** Accepted difference between the moment of signing and ours, either way (SPEC 8: 5 minutes), milliseconds. */
const TOLERANCE_MS = 300_000;
/** Whole epoch seconds, as a number prints. */
const SECONDS = /^(?:0|[1-9]\d{0,11})$/;
/** What a message may be called: visible ASCII, as a header's value that goes into a signed text. */
const MESSAGE_ID = /^[\x21-\x7e]{1,256}$/;

/**
 * Verifies a signature of Standard Webhooks on a body's raw bytes (https://www.standardwebhooks.com, "Verifying webhook
 * authenticity"). The library makes the signature that it should be; what time it is, and that comparing takes the same time
 * whatever is compared, is ours: it asks the system's clock, and takes `12x` for a moment.
 *
 * @param secrets - live secrets, `whsec_…`; during a rotation there are two
 */
export function verifyStandardWebhook(
  { headers, rawBody }: Signed,
  secrets: readonly string[],
  nowMs: number,
): SignatureVerdict {
  const id = headers.get('webhook-id');
  const timestamp = headers.get('webhook-timestamp');
  const given = headers.get('webhook-signature');
  if (id === undefined || timestamp === undefined || given === undefined) return { ok: false, reason: 'missing' };
  if (!MESSAGE_ID.test(id) || !SECONDS.test(timestamp)) return { ok: false, reason: 'malformed' };
  const signedAt = new Date(Number(timestamp) * 1_000);
  if (!(Math.abs(nowMs - signedAt.getTime()) <= TOLERANCE_MS)) return { ok: false, reason: 'stale' };
  const body = textOf(rawBody);
  if (body === undefined) return { ok: false, reason: 'mismatch' };

  const expected = secrets.map((secret) => digest(new Webhook(secret).sign(id, signedAt, body)));
  let isGenuine = false;
  // Several signatures come while the sender rotates its secret; of other versions than v1 nothing is known here.
  for (const signature of given.split(' ')) {
    for (const one of expected) {
      if (timingSafeEqual(one, digest(signature))) isGenuine = true;
    }
  }
  return isGenuine ? { ok: true } : { ok: false, reason: 'mismatch' };
}

/** Of equal length, whatever was given: the comparison neither throws nor tells anything. */
function digest(signature: string): Uint8Array {
  return createHash('sha256').update(signature, 'utf8').digest();
}

/** The library signs text. What is not UTF-8 was not signed as text. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
