import { TOLD_AS } from '../../fixtures/toldAs.ts';
import type { Delivery } from '../evidence.ts';
import type { Books, End } from './books.ts';
import type { Finding } from './finding.ts';

/** Every end of an operation was told, signed, and always in the same words under the same id (SPEC 7 "Out"). */
export function accountForDeliveries(books: Books): Finding[] {
  const { deliveries, areDeliveriesComplete } = books.evidence;
  const ends = new Map(books.allEnds().map((end) => [end.operationId, end]));
  // Of somebody who has gone nothing is known any more but that it was signed.
  const told = Map.groupBy(
    deliveries.filter(({ sessionId, verified }) => !(verified && books.isGone(sessionId))),
    ({ id }) => id,
  );
  const missing = areDeliveriesComplete ? [...ends.values()].filter(({ operationId }) => !told.has(operationId)) : [];
  return [
    ...missing.map(({ operationId, operation, sessionId }): Finding => {
      return { rule: 'event-missing', what: `${operation} ${operationId} of ${sessionId}` };
    }),
    ...[...told].flatMap(([id, each]) => judge(id, each, ends.get(id))),
  ];
}

function judge(id: string, deliveries: readonly Delivery[], end: End | undefined): Finding[] {
  const [first] = deliveries;
  if (first === undefined) return [];
  if (deliveries.some(({ verified }) => !verified)) return [{ rule: 'event-wrong', what: `${id} is not signed` }];
  if (end === undefined) return [{ rule: 'event-wrong', what: `${id}: no operation of that id has ended` }];
  const type = end.outcome === 'confirmed' ? TOLD_AS[end.operation] : 'context.failed';
  if (first.type !== type || first.sessionId !== end.sessionId) {
    return [{ rule: 'event-wrong', what: `${id} is told as ${first.type} of ${first.sessionId}` }];
  }
  const isSame = (each: Delivery) =>
    each.type === first.type && each.sessionId === first.sessionId && each.rest === first.rest;
  return deliveries.every(isSame) ? [] : [{ rule: 'event-differs', what: id }];
}
