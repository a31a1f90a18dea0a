import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { Vault } from '../platform/vault.ts';
import type { NewOperation } from './ports/sessionStore.ts';

/** An operation that is accepted now. */
export function newOperation(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  said: Omit<NewOperation, 'operationId' | 'auditId' | 'acceptedAtMs'>,
): NewOperation {
  const acceptedAtMs = clock.now();
  return { operationId: random.ulid(acceptedAtMs), auditId: random.ulid(acceptedAtMs), acceptedAtMs, ...said };
}

/** The keyed hash under which an idempotency key is kept. It is bound to its client: others may use the same key. */
export function idempotencyOf(
  vault: Vault,
  { client, idempotencyKey }: { readonly client: string; readonly idempotencyKey?: string },
): { idempotencyHash?: string } {
  return idempotencyKey === undefined ? {} : { idempotencyHash: vault.fingerprint(['key', client, idempotencyKey]) };
}
