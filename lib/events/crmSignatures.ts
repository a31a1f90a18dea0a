import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import type { CrmSource } from '../context/crmSource.ts';
import type { SignatureVerdict, SignedCall } from '../operations/ports/signatures.ts';
import { type HmacScheme, hmacSchemeOf, type UnsignedCall } from './hmacSchemes.ts';
import { verifyStandardWebhook } from './standardWebhooks.ts';

/** Accepted difference between the moment of signing and ours, either way (SPEC 8: 5 minutes), milliseconds. */
const TOLERANCE_MS = 300_000;

/**
 * Verifies that a call comes from a source, on the bytes that arrived. What does not sign a time (`hmac-sha256` without a header
 * for it) can be repeated.
 *
 * @param secrets - live secrets of the source; during a rotation there are two
 */
export function verifyCrmSignature(
  source: CrmSource,
  call: SignedCall,
  secrets: readonly string[],
  nowMs: number,
): SignatureVerdict {
  // Everybody has the empty secret.
  const live = secrets.filter((secret) => secret !== '');
  if (live.length === 0) return { ok: false, reason: 'unconfigured' };
  const scheme = hmacSchemeOf(source);
  return scheme === undefined ? verifyStandardWebhook(call, live, nowMs) : verifyHmac(scheme, call, live, nowMs);
}

/**
 * Signs a call as a source would: the headers it sends along, with lower-case names.
 *
 * @param messageId - what Standard Webhooks call the message; other schemes have no such thing
 */
export function signCrmCall(
  source: CrmSource,
  call: UnsignedCall,
  secret: string,
  { nowMs, messageId }: { readonly nowMs: number; readonly messageId: string },
): Readonly<Record<string, string>> {
  const scheme = hmacSchemeOf(source);
  if (scheme === undefined) {
    const now = new Date(nowMs);
    return {
      'webhook-id': messageId,
      'webhook-timestamp': String(Math.floor(nowMs / 1_000)),
      'webhook-signature': new Webhook(secret).sign(messageId, now, new TextDecoder().decode(call.rawBody)),
    };
  }
  const { header, prefix, timestamp } = scheme;
  const at = timestamp?.write(nowMs) ?? '';
  return {
    ...(timestamp !== undefined && { [timestamp.header]: at }),
    [header]: prefix + hmacOf(scheme, call, at, secret),
  };
}

function verifyHmac(scheme: HmacScheme, call: SignedCall, secrets: readonly string[], nowMs: number): SignatureVerdict {
  const { header, encoding, prefix, timestamp } = scheme;
  const given = call.headers.get(header);
  const at = timestamp === undefined ? '' : call.headers.get(timestamp.header);
  if (given === undefined || at === undefined) return { ok: false, reason: 'missing' };
  if (timestamp !== undefined) {
    const signedAtMs = timestamp.read(at);
    if (Number.isNaN(signedAtMs)) return { ok: false, reason: 'malformed' };
    if (!(Math.abs(nowMs - signedAtMs) <= TOLERANCE_MS)) return { ok: false, reason: 'stale' };
  }
  if (!given.startsWith(prefix)) return { ok: false, reason: 'mismatch' };
  const signature = given.slice(prefix.length);
  // Hexadecimal digits may be capitals. Base64 is compared as text: decoding would overlook what does not belong to it.
  const found = digest(encoding === 'hex' ? signature.toLowerCase() : signature);
  let isGenuine = false;
  for (const secret of secrets) {
    if (timingSafeEqual(digest(hmacOf(scheme, call, at, secret)), found)) isGenuine = true;
  }
  return isGenuine ? { ok: true } : { ok: false, reason: 'mismatch' };
}

function hmacOf({ encoding, signedParts }: HmacScheme, call: UnsignedCall, timestamp: string, secret: string): string {
  const hmac = createHmac('sha256', secret);
  for (const part of signedParts(call, timestamp)) hmac.update(part);
  return hmac.digest(encoding);
}

/** Of equal length, whatever was given: the comparison neither throws nor tells anything. */
function digest(text: string): Uint8Array {
  return createHash('sha256').update(text, 'utf8').digest();
}
