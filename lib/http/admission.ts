import { createHash, timingSafeEqual } from 'node:crypto';
import type { SignatureVerdict } from '../operations/ports/signatures.ts';
import type { ClientGrant } from '../platform/secrets.ts';
import { Problem } from './problem.ts';

/**
 * Finds the client whose key the request carries, as `Authorization: Bearer …` or `x-api-key`.
 * Compares hashes in constant time and looks at every client, so that the answer's time tells nothing.
 * @throws {Problem} `unauthenticated`
 */
export function authenticate(headers: ReadonlyMap<string, string>, clients: readonly ClientGrant[]): ClientGrant {
  const key = bearerOf(headers.get('authorization')) ?? headers.get('x-api-key');
  let found: ClientGrant | undefined;
  if (key !== undefined && key !== '') {
    const hash = createHash('sha256').update(key, 'utf8').digest();
    for (const client of clients) {
      if (timingSafeEqual(hash, Buffer.from(client.keyHash, 'hex'))) found = client;
    }
  }
  if (found === undefined) throw new Problem('unauthenticated', { headers: { 'www-authenticate': 'Bearer' } });
  return found;
}

function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header?.trim() ?? '')?.[1];
}

export function hasGrant({ operations }: ClientGrant, operation: string): boolean {
  return operations.includes(operation) || operations.includes('*');
}

/** @throws {Problem} `forbidden` when the client lacks the grant for `operation`. */
export function requireGrant(client: ClientGrant, operation: string): void {
  if (hasGrant(client, operation)) return;
  throw new Problem('forbidden', { detail: `The client has no grant for "${operation}".` });
}

const WHY_NOT_GENUINE = {
  missing: 'The headers lack what the source signs with.',
  malformed: 'The headers that the source signs with are not well formed.',
  stale: 'It was signed more than five minutes from now.',
  mismatch: 'The signature is not that of the request.',
  unconfigured: 'There is no secret for the signature.',
} as const;

/** In the words of Standard Webhooks. */
export const STANDARD_WEBHOOKS = {
  missing: 'webhook-id, webhook-timestamp and webhook-signature are needed.',
  malformed: 'webhook-id or webhook-timestamp is not well formed.',
  stale: 'webhook-timestamp is more than five minutes from now.',
} as const;

/**
 * @param words - where a scheme can say it better
 * @throws {Problem} `unauthenticated` where the signature is not right.
 */
export function requireGenuine(
  verdict: SignatureVerdict,
  words: Partial<typeof WHY_NOT_GENUINE | typeof STANDARD_WEBHOOKS> = {},
): void {
  if (!verdict.ok) throw new Problem('unauthenticated', { detail: { ...WHY_NOT_GENUINE, ...words }[verdict.reason] });
}

/**
 * @param keys - what the request would write, with the pointer to where it says so
 * @throws {Problem} `forbidden`, naming every key that lies outside the client's prefixes.
 */
export function requireKeyPrefixes(
  { keyPrefixes }: ClientGrant,
  keys: readonly { readonly key: string; readonly pointer: string }[],
): void {
  if (keyPrefixes === undefined) return;
  const errors = keys
    .filter(({ key }) => !keyPrefixes.some((prefix) => key.startsWith(prefix)))
    .map(({ pointer }) => ({ pointer, code: 'outside-grant', message: "is outside the client's key prefixes" }));
  if (errors.length > 0) throw new Problem('forbidden', { detail: 'The client may not write these keys.', errors });
}
