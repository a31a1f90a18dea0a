import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import type { JsonValue } from './json.ts';

/**
 * The one text form of a JSON value (RFC 8785): members sorted, numbers as JavaScript prints them, no white space.
 * Equal values have equal texts, so texts and their hashes can be compared.
 */
export function canonicalJson(value: JsonValue): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('canonicalJson: not a JSON value');
  return text;
}

/** SHA-256 of the canonical text, in hexadecimal (SPEC 6: value hashes of the audit trail). */
export function valueHash(value: JsonValue): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}
