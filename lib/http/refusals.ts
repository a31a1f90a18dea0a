import type { AuditPayload } from '../operations/ports/sessionStore.ts';
import type { LaneDeps } from '../operations/push.ts';
import { type RefusalCommand, recordRefusal } from '../operations/recordRefusal.ts';
import type { Refusal } from './handler.ts';
import type { Problem } from './problem.ts';

/** For a route's `onRefused`: writes refused requests into their session's audit trail (SPEC 6). */
export function auditRefusals(
  services: () => Promise<LaneDeps>,
  operation: AuditPayload['operation'],
): (refusal: Refusal) => Promise<void> {
  return ({ client, ...refusal }) => auditRefusal(services, { ...refusal, operation, client: client.name });
}

/** Writes one refused request into its session's audit trail. */
export async function auditRefusal(
  services: () => Promise<LaneDeps>,
  { problem, ...refusal }: Omit<RefusalCommand, 'code' | 'pointers'> & { readonly problem: Problem },
): Promise<void> {
  const pointers = problem.options.errors?.map(({ pointer }) => pointer) ?? [];
  await recordRefusal(await services(), { ...refusal, code: problem.code, pointers });
}
