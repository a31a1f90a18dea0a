import type { Books } from './books.ts';
import type { Finding } from './finding.ts';
import { commitOrder } from './values.ts';

/** Every chain verifies, and of a CRM's events none was applied after one that had occurred later. */
export function accountForTrails(books: Books): Finding[] {
  const { sessions } = books.evidence;
  const broken = sessions
    .filter(({ chain }) => !chain.valid)
    .map(({ sessionId, chain }): Finding => ({ rule: 'chain-broken', what: `${sessionId}, at ${chain.brokenAt}` }));
  return [...broken, ...sessions.flatMap(({ sessionId }) => lateEvents(books, sessionId))];
}

function lateEvents(books: Books, sessionId: string): Finding[] {
  const applied = books.evidence.exchanges
    .filter(({ request }) => request.kind === 'crm' && request.sessions.includes(sessionId))
    .flatMap((exchange) => {
      const end = books.endsOf(exchange, sessionId).find(({ outcome }) => outcome === 'confirmed');
      return end === undefined ? [] : [{ request: exchange.request, order: commitOrder(exchange, end).order }];
    })
    .sort((a, b) => a.order - b.order);
  return applied.flatMap(({ request }, index): Finding[] => {
    const before = applied[index - 1]?.request.occurredAtMs ?? 0;
    const isLate = (request.occurredAtMs ?? 0) < before;
    return isLate ? [{ rule: 'late-event', what: `${request.id} in ${sessionId}` }] : [];
  });
}
