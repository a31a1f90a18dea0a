import { isJsonObject, type JsonObject, type JsonValue } from '../../context/json.ts';
import { nestingOf } from '../../context/size.ts';
import {
  type ReadResult,
  SNAPSHOT_SCOPES,
  type SnapshotScope,
  type UpstreamCall,
  type UpstreamVariable,
  type VariablesRequest,
} from '../../operations/ports/cognigy.ts';
import { AuthorizedCall } from '../authorizedCall.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
import { MAX_READ_NESTING } from './conflict.ts';
import type { SurfaceOptions } from './surfaces.ts';

/** Pages of one session that are read before the upstream counts as out of its mind. */
const MAX_PAGES = 1_000;

/** Characters of names and values that are gathered: a little more than an answer of the bridge can hold. */
const MAX_CHARACTERS = 6_000_000;

/** Where the next page is: by its number, or behind a cursor. */
type Next = readonly ['page' | 'cursor', string];

/**
 * Reads a session's variables, page by page (SPEC 3 "snapshot"). One request at a time: where a page is, only the one before it
 * says. Where another page is likely its permit is asked for while the one before is under way.
 *
 * `upstream-bad-response` for a 200 that is not what was promised, and for pages that lead back to one that was read.
 */
export async function readVariables(
  options: SurfaceOptions,
  request: VariablesRequest,
  upstreamCall: UpstreamCall,
): Promise<ReadResult> {
  const url = `${options.baseUrl}/api/v2/botsessions/${pathSegment(request.sessionId)}/variables`;
  const call = new AuthorizedCall(options, upstreamCall);
  const variables: UpstreamVariable[] = [];
  const seen = new Set<string>();
  let next: Next | undefined;
  let characters = 0;
  try {
    for (let pages = 1; pages <= MAX_PAGES; pages += 1) {
      const anotherFollows = pages > 1 || request.isLikelyPaged === true;
      const read = await call.send({ method: 'GET', url: url + queryOf(request, next) }, { anotherFollows });
      if (read.kind === 'ended') return read.ending;
      const page = pageOf(read.answer, request.sessionId);
      if (page === undefined) return call.refusedBy(read.answer);
      for (const variable of page.variables) {
        variables.push(variable);
        characters += variable.name.length + (typeof variable.value === 'string' ? variable.value.length : 0);
      }
      if (characters > MAX_CHARACTERS) return { kind: 'too-large', ...call.sent };
      next = page.next;
      if (next === undefined) return { kind: 'read', variables, pages, ...call.sent };
      const place = next.join(':');
      if (seen.has(place)) break;
      seen.add(place);
    }
    return call.refused('upstream-bad-response');
  } finally {
    call.close();
  }
}

function queryOf({ name, scope, includeSystem }: VariablesRequest, next: Next | undefined): string {
  const query = new URLSearchParams();
  if (name !== undefined) query.set('name', name);
  if (scope !== undefined) query.set('scope', scope);
  if (includeSystem === true) query.set('includeSystem', 'true');
  if (next !== undefined) query.set(...next);
  return query.size === 0 ? '' : `?${query}`;
}

interface Page {
  readonly variables: readonly UpstreamVariable[];
  readonly next: Next | undefined;
}

/** Undefined when this is no page: another status, HTML, cut off, another shape or session, too deep, or with rounded numbers (SCENARIOS 22). */
function pageOf({ status, body }: HttpAnswer, sessionId: string): Page | undefined {
  if (status !== 200 || typeof body === 'string' || !body.isExact || !isJsonObject(body.json)) return undefined;
  const { variables: listed, pagination, sessionId: about } = body.json;
  if (typeof about === 'string' && about !== sessionId) return undefined;
  if (!Array.isArray(listed) || nestingOf(body.json) > MAX_READ_NESTING) return undefined;
  const variables = listed.map(variableOf).filter((variable) => variable !== undefined);
  const next = nextOf(pagination);
  if (variables.length < listed.length || next === 'senseless') return undefined;
  return { variables, next };
}

function variableOf(entry: JsonValue): UpstreamVariable | undefined {
  if (!isJsonObject(entry)) return undefined;
  const { name, value, scope, type } = entry;
  if (typeof name !== 'string' || value === undefined || !isScope(scope)) return undefined;
  return { name, value, scope, ...(typeof type === 'string' && { type }) };
}

function isScope(scope: JsonValue | undefined): scope is SnapshotScope {
  return SNAPSHOT_SCOPES.some((known) => known === scope);
}

/** Absent, `null` and an empty cursor say that there is no more. */
function nextOf(pagination: JsonObject[string] | undefined): Next | undefined | 'senseless' {
  if (pagination === undefined || pagination === null) return undefined;
  if (!isJsonObject(pagination)) return 'senseless';
  const { nextCursor = null, nextPage = null } = pagination;
  if (nextCursor !== null && nextCursor !== '') {
    return typeof nextCursor === 'string' ? ['cursor', nextCursor] : 'senseless';
  }
  if (nextPage === null) return undefined;
  return typeof nextPage === 'number' && Number.isSafeInteger(nextPage) && nextPage > 0
    ? ['page', String(nextPage)]
    : 'senseless';
}
