import { recordIn } from '../context/crmRecord.ts';
import type { JsonObject } from '../context/json.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Clock } from '../platform/clock.ts';
import type { Bindings } from './ports/crm.ts';

/**
 * Does `work` for a session, and binds the session to the record that goes with it, if one does. Both at once: the upstream takes
 * longer than the binding. The work comes to its end either way.
 * @throws {StoreError} when the session could not be bound: whatever has been done, the request is to come again.
 */
export async function bindingBeside<Answer>(
  { bindings, clock }: { readonly bindings: Bindings; readonly clock: Clock },
  { sessionId, crm }: { readonly sessionId: SessionId; readonly crm?: JsonObject | undefined },
  work: () => Promise<Answer>,
): Promise<Answer> {
  const record = recordIn(crm);
  if (record === undefined) return work();
  const bound = bindings.bind(record, sessionId, clock.now());
  bound.catch(() => undefined);
  const answer = await work();
  await bound;
  return answer;
}
