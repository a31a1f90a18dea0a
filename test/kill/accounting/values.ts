import { isDeepStrictEqual } from 'node:util';
import type { JsonValue } from '../../../lib/context/json.ts';
import { valueAt } from '../../../lib/context/leaves.ts';
import { tokensOf } from '../../../lib/context/pointer.ts';
import type { SessionEvidence } from '../evidence.ts';
import type { Exchange, Write } from '../exchange.ts';
import type { Books, End } from './books.ts';
import { DEFAULTS } from './effects.ts';
import type { Finding } from './finding.ts';

/** A value that an operation has put, or may have put, in one place. */
interface Candidate {
  readonly requestId: string;
  readonly write: Write;
  readonly order: number;
  /** Whether it was put: `maybe` where nobody could know, or where it was late and left out. */
  readonly isCertain: boolean;
  readonly hasExpired: boolean;
}

/** What the bot has in each place is what the last operation has put there, in commit order; what has expired is gone. */
export function accountForValues(books: Books): Finding[] {
  return books.evidence.sessions.flatMap((session) => {
    const places = Map.groupBy(candidatesIn(books, session), ({ write }) => `${write.scope} ${write.path}`);
    const wrong = [...places.values()].flatMap((candidates): Finding[] => {
      const [first] = candidates;
      if (first === undefined) return [];
      const { scope, path } = first.write;
      const actual = valueIn(session, first.write);
      const possible = possibleEnds(candidates);
      if (possible.some((value) => isDeepStrictEqual(value, actual))) return [];
      const author = actual === undefined ? undefined : books.authorOf(session.sessionId, path, actual)?.request.id;
      const found = actual === undefined ? 'nothing' : `what ${author ?? 'nobody'} has said`;
      const last = candidates.toSorted(byOrder).at(-1);
      const what = `${session.sessionId} has ${found} at ${path} (${scope}); the last to say something was ${last?.requestId}`;
      return [{ rule: 'wrong-value', what }];
    });
    return [...wrong, ...differences(books, session)];
  });
}

/** All that was confirmed, and what is in dispute, as values in their places. */
function candidatesIn(books: Books, { sessionId }: SessionEvidence): Candidate[] {
  const { takenAtMs } = books.evidence;
  return books.evidence.exchanges.flatMap((exchange) => {
    if (!exchange.request.sessions.includes(sessionId)) return [];
    const fate = books.fateOf(exchange, sessionId);
    if (fate === 'refused' || fate === 'none') return [];
    const ends = books.endsOf(exchange, sessionId);
    const end = ends.find(({ outcome }) => outcome === 'confirmed') ?? ends[0];
    if (end === undefined) return [];
    const { order, isKnown } = commitOrder(exchange, end);
    return exchange.request.writes.map((write): Candidate => {
      const isLeftOut = (end.expired ?? []).some(({ path, scope }) => path === write.path && scope === write.scope);
      return {
        requestId: exchange.request.id,
        write,
        order,
        isCertain: fate === 'confirmed' && isKnown && !isLeftOut,
        hasExpired: latestExpiryOf(write, exchange) <= takenAtMs,
      };
    });
  });
}

/**
 * The version that the operation was committed as: its answer says it. Where there was none the audit entry does, but for one that
 * left behind what was committed later; then all that is known is that it came before that.
 */
export function commitOrder(
  { attempts }: Exchange,
  { versionBefore = 0, versionAfter = 0 }: Pick<End, 'versionBefore' | 'versionAfter'>,
): { readonly order: number; readonly isKnown: boolean } {
  for (const { answer } of attempts) {
    const { body } = answer ?? {};
    const version = typeof body === 'object' && body !== null && 'version' in body ? body['version'] : undefined;
    if (typeof version === 'number') return { order: version, isKnown: true };
  }
  return { order: versionAfter, isKnown: versionAfter > versionBefore };
}

/** By then it has expired for certain: whoever took it, took it before the last answer or the end of the last attempt. */
function latestExpiryOf({ ttlSeconds }: Write, { attempts }: Exchange): number {
  const last = attempts.at(-1);
  return ttlSeconds === undefined || last === undefined ? Number.POSITIVE_INFINITY : last.sentAtMs + ttlSeconds * 1_000;
}

/** From the last one back to the first that is certain. */
function possibleEnds(candidates: readonly Candidate[]): (JsonValue | undefined)[] {
  const possible: (JsonValue | undefined)[] = [];
  for (const { write, isCertain, hasExpired } of candidates.toSorted(byOrder).toReversed()) {
    possible.push(hasExpired ? undefined : write.value);
    if (isCertain) return possible;
  }
  return [...possible, undefined];
}

/** Of the same order, what is certain first: what is not may have come after it. */
function byOrder(a: Candidate, b: Candidate): number {
  return a.order - b.order || Number(b.isCertain) - Number(a.isCertain);
}

function valueIn({ tenant }: SessionEvidence, { path, scope }: Write): JsonValue | undefined {
  const [key, ...rest] = tokensOf(path);
  const variable = tenant?.variables.find((each) => each.key === key && each.scope === scope);
  return valueAt(variable?.value, rest);
}

/** What is in dispute only the bot knows: the bridge learns it by the next sync. */
function differences(books: Books, { sessionId, context, tenant }: SessionEvidence): Finding[] {
  const disputed = books.evidence.exchanges
    .filter(({ request }) => request.sessions.includes(sessionId))
    .filter((exchange) => books.fateOf(exchange, sessionId) === 'in-dispute')
    .flatMap(({ request }) => request.writes.map(({ path }) => tokensOf(path)[0]));
  // Defaults may be left with the bot by a sync that was cut short, and refused in the end: the next one finds them there.
  const exempt = new Set([...DEFAULTS, ...disputed]);
  const names = new Set([...Object.keys(context), ...Object.keys(tenant?.context ?? {})]);
  const different = [...names]
    .filter((name) => !exempt.has(name))
    .filter((name) => !isDeepStrictEqual(context[name], tenant?.context[name]));
  if (different.length === 0) return [];
  return [{ rule: 'mirror-differs', what: `${sessionId}: ${different.join(', ')}` }];
}
