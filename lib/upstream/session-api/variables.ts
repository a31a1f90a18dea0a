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
import { AuthorizedCall, type Ending } from '../authorizedCall.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
import { MAX_READ_NESTING } from './conflict.ts';
import type { SurfaceOptions } from './surfaces.ts';

/** Pages of one session that are read before the upstream counts as out of its mind. */
const MAX_PAGES = 1_000;

/**
 * Pages that are asked for at a time, whatever an instance may have under way in all: a larger session is no reason to take the
 * whole budget at once. Those that are let go may still be under way beside the next one: one of the five is over by then.
 */
const MOST_TOGETHER = 5;
/** Characters of names and values that are gathered: a little more than an answer of the bridge can hold. */
const MAX_CHARACTERS = 6_000_000;

/** Where the next page is: by its number, or behind a cursor. */
type Next = readonly ['page' | 'cursor', string];

/**
 * Reads a session's variables, all pages of them (SPEC 3 "snapshot").
 *
 * ```text
 *   page 1 ─▶ is the next one page 2, and were there more the last time? ─ yes ─▶ pages 2 … n together ─┐
 *                                  └─ no ─▶ page by page, where each says that the next one is ◀────────┘ and what is behind them
 * ```
 *
 * Pages that were asked for together are taken in their order and only as far as each one says that the next one follows.
 * `upstream-bad-response` for a 200 that is not what was promised, and for pages that lead back to one that was read.
 */
export function readVariables(
  options: SurfaceOptions,
  request: VariablesRequest,
  upstreamCall: UpstreamCall,
): Promise<ReadResult> {
  return new PagedRead(options, request, upstreamCall).run();
}

class PagedRead {
  readonly #options: SurfaceOptions;
  readonly #request: VariablesRequest;
  readonly #upstreamCall: UpstreamCall;
  readonly #url: string;
  readonly #calls: AuthorizedCall[] = [];
  readonly #variables: UpstreamVariable[] = [];
  #pages = 0;
  #characters = 0;

  constructor(options: SurfaceOptions, request: VariablesRequest, upstreamCall: UpstreamCall) {
    this.#options = options;
    this.#request = request;
    this.#upstreamCall = upstreamCall;
    this.#url = `${options.baseUrl}/api/v2/botsessions/${pathSegment(request.sessionId)}/variables`;
  }

  async run(): Promise<ReadResult> {
    const call = this.#newCall(this.#upstreamCall);
    const seen = new Set<string>();
    let ahead: Promise<Fetched>[] = [];
    let next: Next | undefined;
    try {
      for (;;) {
        const isMoreLikely = this.#pages > 0;
        const fetched = await (ahead.shift() ?? this.#fetch(call, next, isMoreLikely));
        if ('ending' in fetched) return { ...fetched.ending, ...this.#sent };
        this.#take(fetched);
        next = fetched.next;
        if (this.#characters > MAX_CHARACTERS) return { kind: 'too-large', ...this.#sent };
        if (next === undefined) break;
        const place = next.join(':');
        if (seen.has(place) || this.#pages === MAX_PAGES) return this.#senseless();
        seen.add(place);
        // They were asked for by their numbers; this one says something else.
        if (ahead.length > 0 && !isPage(next, this.#pages + 1)) ahead = [];
        if (this.#pages === 1 && isPage(next, 2)) ahead = this.#fetchTogether((await this.#request.expectedPages) ?? 1);
      }
      return {
        kind: 'read',
        variables: this.#variables,
        pages: this.#pages,
        characters: this.#characters,
        ...this.#sent,
      };
    } finally {
      call.close();
    }
  }

  #newCall(upstreamCall: UpstreamCall): AuthorizedCall {
    const call = new AuthorizedCall(this.#options, upstreamCall);
    this.#calls.push(call);
    return call;
  }

  /** Pages from the second to the last one expected. Each is a call of its own: one that finds its token dead renews it. */
  #fetchTogether(expectedPages: number): Promise<Fetched>[] {
    if (expectedPages < 3) return [];
    const { firstPermit: _used, ...upstreamCall } = this.#upstreamCall;
    const last = Math.min(expectedPages, MOST_TOGETHER + 1);
    return Array.from({ length: last - 1 }, (_, index) =>
      this.#fetch(this.#newCall(upstreamCall), ['page', String(index + 2)], false),
    );
  }

  async #fetch(call: AuthorizedCall, next: Next | undefined, anotherFollows: boolean): Promise<Fetched> {
    const url = this.#url + queryOf(this.#request, next);
    const read = await call.send({ method: 'GET', url }, { anotherFollows });
    if (read.kind === 'ended') return { ending: read.ending };
    return pageOf(read.answer, this.#request.sessionId) ?? { ending: call.refusedBy(read.answer) };
  }

  #take({ variables }: Page): void {
    this.#pages += 1;
    for (const variable of variables) {
      this.#variables.push(variable);
      this.#characters += variable.name.length + (typeof variable.value === 'string' ? variable.value.length : 0);
    }
  }

  #senseless(): ReadResult {
    return { kind: 'refused', code: 'upstream-bad-response', ...this.#sent };
  }

  /** What all calls together have sent. */
  get #sent() {
    const sent = this.#calls.map((call) => call.sent);
    const sum = (of: (each: (typeof sent)[number]) => number) => sent.reduce((total, each) => total + of(each), 0);
    const throttled = sum((each) => each.throttled ?? 0);
    const upstreamStatus = sent.findLast((each) => each.upstreamStatus !== undefined)?.upstreamStatus;
    return {
      attempts: sum(({ attempts }) => attempts),
      ...(throttled > 0 && { throttled }),
      ...(upstreamStatus !== undefined && { upstreamStatus }),
    };
  }
}

function isPage([by, place]: Next, number: number): boolean {
  return by === 'page' && place === String(number);
}

function queryOf({ name, scope, includeSystem }: VariablesRequest, next: Next | undefined): string {
  const query = new URLSearchParams();
  if (name !== undefined) query.set('name', name);
  if (scope !== undefined) query.set('scope', scope);
  if (includeSystem === true) query.set('includeSystem', 'true');
  if (next !== undefined) query.set(...next);
  return query.size === 0 ? '' : `?${query}`;
}

/** A page, or what came instead of it. */
type Fetched = Page | { readonly ending: Ending };

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
