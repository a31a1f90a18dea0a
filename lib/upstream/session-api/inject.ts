import { isJsonObject, type JsonObject } from '../../context/json.ts';
import { jsonEquals } from '../../context/jsonEquals.ts';
import { pointerOf } from '../../context/pointer.ts';
import type { Variable } from '../../context/variables.ts';
import type { ExpiredVariable, InjectRequest, UpstreamCall, WriteResult } from '../../operations/ports/cognigy.ts';
import { type Answered, AuthorizedCall } from '../authorizedCall.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
import { MAX_ROUNDS, pauseAfterConflict } from './conflict.ts';
import type { SurfaceOptions } from './surfaces.ts';

/**
 * The body of an inject request, byte for byte (SPEC 3).
 *
 * This dialect has no request that removes a variable (`canUnset` is false). The bot forgets one that is `null` and whose expiry
 * has passed, so what has expired goes the same way, behind the variables; the rest of the session stays as it is.
 *
 * @example
 * injectBody([{ key: 'tier', value: 'gold', scope: 'user' }]);
 * // {"variables":[{"key":"tier","value":"gold","scope":"user","expiresAt":null}],"mergeStrategy":"atomic_put"}
 */
export function injectBody(variables: readonly Variable[], expired: readonly ExpiredVariable[] = []): string {
  return JSON.stringify({ variables: wireVariables(variables, expired), mergeStrategy: 'atomic_put' });
}

const EMPTY_BODY_BYTES = Buffer.byteLength(injectBody([]), 'utf8');

function wireVariables(variables: readonly Variable[], expired: readonly ExpiredVariable[]) {
  return [...variables, ...expired.map((variable) => ({ ...variable, value: null }))].map(wireVariable);
}

function wireVariable({ key, value, scope, expiresAtMs }: Variable) {
  return { key, value, scope, expiresAt: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString() };
}

/** UTF-8 bytes of {@link injectBody}, without making it: a body at the limit is a string of 256 KB that would only be counted. */
export function injectBytes(variables: readonly Variable[], expired: readonly ExpiredVariable[] = []): number {
  const each = wireVariables(variables, expired).map((variable) => Buffer.byteLength(JSON.stringify(variable), 'utf8'));
  const commas = Math.max(0, each.length - 1);
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
  options: SurfaceOptions,
  request: InjectRequest,
  upstreamCall: UpstreamCall,
): Promise<WriteResult> {
  const { variables, expired, sessionId } = request;
  const url = `${options.baseUrl}/api/v2/sessions/${pathSegment(sessionId)}/context`;
  const body = injectBody(variables, expired);
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
    await pauseAfterConflict(options, round);
  }
}

function confirm(call: AuthorizedCall, answer: HttpAnswer, sessionId: string): WriteResult {
  const { body } = answer;
  if (variablesOf(answer) === undefined || typeof body === 'string' || !isJsonObject(body.json)) {
    return call.refusedBy(answer);
  }
  // An answer about another session says nothing about this one (SCENARIOS 22).
  const about = body.json['sessionId'];
  if (typeof about === 'string' && about !== sessionId) return call.refused('upstream-bad-response');
  return { kind: 'confirmed', result: body.json, ...call.sent };
}

/** `variables` of a proper answer; undefined when this is none: another status, HTML, cut off, another shape (SCENARIOS 22). */
function variablesOf({ status, body }: HttpAnswer): JsonObject | undefined {
  if ((status !== 200 && status !== 201) || typeof body === 'string' || !isJsonObject(body.json)) return undefined;
  const { variables } = body.json;
  return isJsonObject(variables) ? variables : undefined;
}

/** JSON Pointers of our variables that the upstream holds otherwise; all of them when it claims to agree and refuses all the same. */
function pathsThatDiffer(variables: readonly Variable[], current: JsonObject): readonly string[] {
  const differing = variables.filter(
    ({ key, value }) => !jsonEquals(value, Object.hasOwn(current, key) ? current[key] : undefined),
  );
  const named = differing.length > 0 ? differing : variables;
  return [...new Set(named.map(({ key }) => pointerOf([key])))];
}
