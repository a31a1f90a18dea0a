import type { MeasuredFunction } from './ports/rollups.ts';
import type { Outcome } from './ports/sessionStore.ts';
import type { Settling } from './ports/telemetry.ts';
import type { Attempt } from './settlement.ts';

/**
 * What a settle is about to say, for those who count (SPEC 2, metrics). What is pending has been accepted, and is so answered. An
 * expiry is nobody's operation.
 */
export function settlingOf(
  attempts: readonly Attempt[],
  outcomes: ReadonlyMap<string, Outcome>,
  ownOperationId: string | undefined,
): Settling {
  const confirmed = new Map<MeasuredFunction, number>();
  let own: Settling['own'];
  for (const { operation } of attempts) {
    const { operationId, kind } = operation.entry;
    if (kind === 'expire') continue;
    const outcome = outcomes.get(operationId);
    if (outcome?.kind === 'confirmed') confirmed.set(kind, (confirmed.get(kind) ?? 0) + 1);
    if (operationId === ownOperationId) own = { name: kind, isSuccess: outcome?.kind !== 'refused' };
  }
  return { confirmed, ...(own !== undefined && { own }) };
}
