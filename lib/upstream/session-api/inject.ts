import { canonicalJson } from '../../context/canonicalJson.ts';
import { isJsonObject, type JsonObject } from '../../context/json.ts';
import { pointerOf } from '../../context/pointer.ts';
import type { Variable } from '../../context/variables.ts';
import type { InjectRequest, InjectResult, UpstreamCall } from '../../operations/ports/cognigy.ts';
import { type Answered, AuthorizedCall, type AuthorizedCallOptions } from '../authorizedCall.ts';
import { backoffMs } from '../backoff.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';

/** How often a 409 is answered by reading and putting again (SPEC 3 "inject, after 409"). */
const MAX_ROUNDS = 3;

export interface InjectOptions extends AuthorizedCallOptions {
  /** Without a slash at its end. */
  readonly baseUrl: string;
}

/**
 * The body of an inject request, byte for byte (SPEC 3).
 *
 * @example
 * injectBody([{ key: 'tier', value: 'gold', scope: 'user' }]);
 * // {"variables":[{"key":"tier","value":"gold","scope":"user","expiresAt":null}],"mergeStrategy":"atomic_put"}
 */
export function injectBody(variables: readonly Variable[]): string {
  return JSON.stringify({ variables: variables.map(wireVariable), mergeStrategy: 'atomic_put' });
}

const EMPTY_BODY_BYTES = Buffer.byteLength(injectBody([]), 'utf8');

function wireVariable({ key, value, scope, expiresAtMs }: Variable) {
  return { key, value, scope, expiresAt: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString() };
}

/**
 * UTF-8 bytes of {@link injectBody}, without making it: a body at the limit is a string of 256 KB that would only be counted.
 */
export function injectBytes(variables: readonly Variable[]): number {
  const each = variables.map((variable) => Buffer.byteLength(JSON.stringify(wireVariable(variable)), 'utf8'));
  const commas = Math.max(0, variables.length - 1);
  return EMPTY_BODY_BYTES + commas + each.reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Puts variables into a live session (SPEC 3 "inject").
 *
 * ```text
 *  PUT ─► 200 ─► confirmed
 *   ▲  └► 409 ─► GET ─┐     at most three rounds, then `conflict` with the paths that differ
 *   └─────────────────┘
 * ```
 *
 * After a 409 exactly the same body goes out again. The upstream merges and we send absolute values, so the merge of what was read
 * with what we want *is* our variables on top of the others; sending the others back would strip them of their scopes and
 * expiries, which the read does not show, and could undo a change of the bot's own (SCENARIOS 21).
 */
export async function inject(
  options: InjectOptions,
  request: InjectRequest,
  upstreamCall: UpstreamCall,
): Promise<InjectResult> {
  const { variables, sessionId } = request;
  const url = `${options.baseUrl}/api/v2/sessions/${pathSegment(sessionId)}/context`;
  const body = injectBody(variables);
  const call = new AuthorizedCall(options, upstreamCall);
  let differing: readonly string[] = [];
  for (let round = 0; ; round += 1) {
    const put = await call.send({ method: 'PUT', url, body });
    if (put.kind === 'ended') return put.ending;
    if (put.answer.status !== 409) return confirm(call, put.answer, sessionId);
    if (round === MAX_ROUNDS) return call.refused('conflict', differing);

    const read: Answered = await call.send({ method: 'GET', url });
    if (read.kind === 'ended') return read.ending;
    const current = variablesOf(read.answer);
    if (current === undefined) return call.refusedBy(read.answer);
    differing = pathsThatDiffer(variables, current);
    // Two writers that conflict in step would go on doing so.
    if (round > 0) await options.clock.sleep(backoffMs(round - 1, options.random.next()));
  }
}

function confirm(call: AuthorizedCall, answer: HttpAnswer, sessionId: string): InjectResult {
  const { body } = answer;
  if (variablesOf(answer) === undefined || body === 'unparsable' || !isJsonObject(body.json)) {
    return call.refusedBy(answer);
  }
  // An answer about another session says nothing about this one (SCENARIOS 22).
  const about = body.json['sessionId'];
  if (typeof about === 'string' && about !== sessionId) return call.refused('upstream-bad-response');
  return { kind: 'confirmed', result: body.json, ...call.sent };
}

/** `variables` of a proper answer; undefined when this is none: another status, HTML, cut off, another shape (SCENARIOS 22). */
function variablesOf({ status, body }: HttpAnswer): JsonObject | undefined {
  if ((status !== 200 && status !== 201) || body === 'unparsable' || !isJsonObject(body.json)) return undefined;
  const { variables } = body.json;
  return isJsonObject(variables) ? variables : undefined;
}

/** JSON Pointers of our variables that the upstream holds otherwise; all of them when it claims to agree and refuses all the same. */
function pathsThatDiffer(variables: readonly Variable[], current: JsonObject): readonly string[] {
  const differing = variables.filter(({ key, value }) => {
    const theirs = Object.hasOwn(current, key) ? current[key] : undefined;
    return theirs === undefined || canonicalJson(theirs) !== canonicalJson(value);
  });
  const named = differing.length > 0 ? differing : variables;
  return [...new Set(named.map(({ key }) => pointerOf([key])))];
}
