import { isJsonObject, type JsonObject } from '../../../lib/context/json.ts';
import type { Exchange } from '../exchange.ts';
import { type Books, isAcknowledged, toldOperations } from './books.ts';
import type { Finding } from './finding.ts';

/** Every operation that was answered 2xx has ended, as its client was told; every request has one operation at most. */
export function accountForOperations(books: Books): Finding[] {
  const { exchanges, sessions } = books.evidence;
  const strangers = books
    .allEnds()
    .filter(({ client, correlationId }) => client !== 'bridge' && books.requestOf(correlationId) === undefined)
    .map(({ operationId, sessionId }): Finding => {
      return { rule: 'stranger', what: `operation ${operationId} of ${sessionId} belongs to no request` };
    });
  const pending = sessions
    .filter(({ pendingOperations }) => pendingOperations > 0)
    .map(({ sessionId, pendingOperations }): Finding => {
      return { rule: 'still-pending', what: `${pendingOperations} operations of ${sessionId}` };
    });
  const unfollowed = books.evidence.followed
    .filter(({ outcomes }) => !outcomes.some((outcome) => outcome !== 'pending'))
    .map(({ location }): Finding => ({ rule: 'lost', what: `${location} does not tell how it has ended` }));
  return [
    ...exchanges.flatMap((exchange) => [...doubles(books, exchange), ...promises(books, exchange)]),
    ...strangers,
    ...pending,
    ...unfollowed,
  ];
}

/** Twice: two operations for one key, or two ends of one operation. */
function doubles(books: Books, exchange: Exchange): Finding[] {
  const { request } = exchange;
  const told = toldOperations(exchange);
  const findings = request.sessions.flatMap((session): Finding[] => {
    const ends = books.endsOf(exchange, session);
    return ends.length > 1
      ? [{ rule: 'double-effect', what: `${request.id} has ended ${ends.length} times in ${session}` }]
      : [];
  });
  if (told.size > request.sessions.length) {
    findings.push({ rule: 'double-effect', what: `${request.id} was told of ${told.size} operations` });
  }
  return findings;
}

/** What the client was told is what the audit trail has. */
function promises(books: Books, exchange: Exchange): Finding[] {
  const { request, attempts } = exchange;
  const ends = request.sessions.flatMap((session) => books.endsOf(exchange, session));
  const ended = new Map(ends.map((end) => [end.operationId, end]));
  const findings: Finding[] = [];
  for (const operationId of toldOperations(exchange)) {
    if (!ended.has(operationId)) findings.push({ rule: 'lost', what: `${request.id}: operation ${operationId}` });
  }
  const reached = request.sessions.filter((session) => books.endsOf(exchange, session).length > 0).length;
  if (isAcknowledged(exchange) && reached + passedOver(exchange) < request.sessions.length) {
    findings.push({ rule: 'lost', what: `${request.id} was acknowledged and has no operation` });
  }
  for (const { answer } of attempts) {
    for (const told of confirmedIn(answer?.body)) {
      const outcome = ended.get(told)?.outcome;
      if (outcome === undefined || outcome === 'confirmed') continue;
      findings.push({ rule: 'contradiction', what: `${request.id} was told that it is confirmed, and is ${outcome}` });
    }
    const isRefused = answer !== undefined && answer.status >= 400 && answer.status < 500;
    if (isRefused && isFinal(answer.body) && ends.some(({ outcome }) => outcome === 'confirmed')) {
      findings.push({
        rule: 'contradiction',
        what: `${request.id} was refused with ${answer.status}, and is confirmed`,
      });
    }
  }
  return findings;
}

/** Sessions in which a CRM's event had nothing to do, or came too late: the answer says how many. */
function passedOver({ attempts }: Exchange): number {
  const counts = attempts.map(
    ({ answer }) => sessionsIn(answer?.body).filter(({ operationId }) => operationId === null).length,
  );
  return Math.max(0, ...counts);
}

function confirmedIn(body: unknown): string[] {
  if (!isJsonObject(body)) return [];
  const { visibility, operationId } = body;
  const own = visibility === 'confirmed' && typeof operationId === 'string' ? [operationId] : [];
  return [...own, ...sessionsIn(body).flatMap(confirmedIn)];
}

function sessionsIn(body: unknown): JsonObject[] {
  const sessions = isJsonObject(body) ? body['sessions'] : undefined;
  return Array.isArray(sessions) ? sessions.filter((each) => isJsonObject(each)) : [];
}

/** Not one of those that say "again". */
function isFinal(body: unknown): boolean {
  const code = isJsonObject(body) ? body['code'] : undefined;
  return code !== 'operation-in-progress' && code !== 'session-busy';
}
