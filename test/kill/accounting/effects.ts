import type { JournalEntry } from '../../../infra/local/tenant/journal.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { valueAt } from '../../../lib/context/leaves.ts';
import { pointerOf, tokensOf } from '../../../lib/context/pointer.ts';
import type { Exchange, RequestKind } from '../exchange.ts';
import { type Books, expiryOf } from './books.ts';
import type { Finding } from './finding.ts';

/** Variables that one request of the bridge has put, in one scope or, of a whole context, in whichever. */
interface Put {
  readonly scope?: string;
  readonly values: JsonObject;
}

/** What the schema fills in. */
export const DEFAULTS: ReadonlySet<string> = new Set(['user_profile', 'session_metadata']);

/** Which requests leave by which surface. */
const LEAVES_BY: Readonly<Record<string, ReadonlySet<RequestKind>>> = {
  inject: new Set<RequestKind>(['inject', 'crm', 'webhook']),
  webhook: new Set<RequestKind>(['webhook']),
  'dialog-state': new Set<RequestKind>(['dialog-state']),
  sync: new Set<RequestKind>(['sync']),
};

/**
 * What has reached the tenant was asked for and is recorded, and of each request all of it or nothing: also of those that nobody
 * has had an answer to.
 */
export function accountForEffects(books: Books): Finding[] {
  const { journal } = books.evidence;
  const findings: Finding[] = [];
  const seen = new Set<string>();
  for (const entry of journal.filter(({ applied }) => applied)) {
    const { sessionId = '' } = entry;
    if (books.isGone(sessionId)) continue;
    const puts = putsOf(entry);
    for (const author of authorsOf(books, sessionId, puts, findings)) {
      const key = `${author.request.id} ${sessionId}`;
      if (!LEAVES_BY[entry.surface]?.has(author.request.kind) || seen.has(key)) continue;
      // Later on some of it may be repeated without the rest: what has been overwritten for a time only is put back.
      seen.add(key);
      findings.push(...recorded(books, author, sessionId), ...whole(author, entry, puts));
    }
  }
  return distinct(findings);
}

function putsOf({ surface, method, body }: JournalEntry): Put[] {
  if (!isJsonObject(body) || method === 'GET') return [];
  const { variables, session, user } = body;
  if (surface === 'sync') return [{ values: body }];
  if (surface === 'webhook') return isJsonObject(variables) ? [{ scope: 'session', values: variables }] : [];
  if (surface === 'dialog-state') {
    return [
      ...(isJsonObject(session) ? [{ scope: 'session', values: session }] : []),
      ...(isJsonObject(user) ? [{ scope: 'user', values: user }] : []),
    ];
  }
  if (surface !== 'inject' || !Array.isArray(variables)) return [];
  return variables.flatMap((variable): Put[] => {
    if (!isJsonObject(variable) || typeof variable['key'] !== 'string' || typeof variable['scope'] !== 'string')
      return [];
    // That is how the bot is told to forget.
    if (variable['value'] === null || variable['value'] === undefined) return [];
    return [{ scope: variable['scope'], values: { [variable['key']]: variable['value'] } }];
  });
}

/** Whose values these are; values of nobody are told. */
function authorsOf(books: Books, sessionId: string, puts: readonly Put[], findings: Finding[]): Set<Exchange> {
  const authors = new Set<Exchange>();
  const paths = books.pathsOf(sessionId);
  for (const { values } of puts) {
    const tops = new Set([...paths].map((path) => tokensOf(path)[0] ?? ''));
    const unknown = Object.keys(values).filter((name) => !tops.has(name) && !DEFAULTS.has(name));
    for (const name of unknown) findings.push({ rule: 'stranger', what: `${pointerOf([name])} of ${sessionId}` });
    for (const path of paths) {
      const value = valueAt(values, tokensOf(path));
      if (value === undefined) continue;
      const author = books.authorOf(sessionId, path, value);
      if (author === undefined) findings.push({ rule: 'stranger', what: `a value at ${path} of ${sessionId}` });
      else authors.add(author);
    }
  }
  return authors;
}

/** What is in the bot the audit trail says, and nothing that was refused is there. */
function recorded(books: Books, author: Exchange, sessionId: string): Finding[] {
  const fate = books.fateOf(author, sessionId);
  if (fate === 'confirmed' || fate === 'in-dispute') return [];
  // It was sent in time, by somebody who died; whoever came after could only take it back.
  const wasLate = books.endsOf(author, sessionId).some(({ code }) => code === 'expired-before-push');
  if (wasLate) return [];
  return [
    { rule: 'unrecorded-effect', what: `${author.request.id} is in the bot of ${sessionId}, by its books: ${fate}` },
  ];
}

/** With one value of a request all others have come, or something in their place, unless they had expired. */
function whole(author: Exchange, { at, surface }: JournalEntry, puts: readonly Put[]): Finding[] {
  const { request } = author;
  const missing = request.writes.filter((write) => {
    const candidates = puts.filter(({ scope }) => scope === undefined || scope === write.scope);
    const isThere = candidates.some(({ values }) => valueAt(values as JsonValue, tokensOf(write.path)) !== undefined);
    return !isThere && expiryOf(write, author) > at;
  });
  return missing.map(({ path }): Finding => {
    return { rule: 'partial-effect', what: `${request.id} came by ${surface} without ${path}` };
  });
}

function distinct(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((each) => [`${each.rule} ${each.what}`, each])).values()];
}
