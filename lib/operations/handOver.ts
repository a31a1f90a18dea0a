import type { SchemaRules } from '../context/schemaRules.ts';
import { outboundEventOf } from './outboundEvents.ts';
import type { DeliveryQueue, EventRef } from './ports/deliveryQueue.ts';
import type { Lane, LaneStore, SessionKey } from './ports/sessionStore.ts';

/** Where what lanes have to tell goes. */
export interface HandOverDeps {
  readonly store: Pick<LaneStore, 'readLane' | 'readOutbox'>;
  readonly events: Pick<DeliveryQueue, 'enqueueOnce'>;
  readonly context: { readonly schema: Pick<SchemaRules, 'ruleOf'> };
}

/** Until then somebody has been prompted; if not, the schedule comes. */
const DUE_AFTER_MS = 30_000;

/**
 * Queues an event for every operation that has ended and is in the lane's outbox still. Called before the lane drops it, and by
 * whoever is prompted to: in whatever order and however often, each event is queued once, under its operation's id.
 */
export async function queueEvents(deps: HandOverDeps, lane: Lane): Promise<EventRef[]> {
  const { store, events, context } = deps;
  if (!lane.hasOutbox) return [];
  const entries = await store.readOutbox(lane);
  const queued = entries.map((entry) => {
    const event = outboundEventOf(entry, { sessionId: lane.sessionId, schema: context.schema });
    const place = { eventId: entry.operationId, dueAtMs: entry.atMs + DUE_AFTER_MS, lane };
    return event === undefined ? undefined : events.enqueueOnce(event, place);
  });
  return (await Promise.all(queued)).filter((ref) => ref !== undefined);
}

/** What a session has to tell, queued. Nothing where it is not known (any more). */
export async function handOver(deps: HandOverDeps, session: SessionKey): Promise<EventRef[]> {
  const lane = await deps.store.readLane(session);
  return lane === undefined ? [] : queueEvents(deps, lane);
}
