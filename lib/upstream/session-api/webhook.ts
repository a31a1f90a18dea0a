import { isJsonObject } from '../../context/json.ts';
import { pointerOf } from '../../context/pointer.ts';
import type { Variable } from '../../context/variables.ts';
import type { InjectRequest, UpstreamCall, WriteResult } from '../../operations/ports/cognigy.ts';
import { AuthorizedCall } from '../authorizedCall.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
import { MAX_ROUNDS, pauseAfterConflict } from './conflict.ts';
import type { SurfaceOptions } from './surfaces.ts';

/**
 * The body of a request to the webhook surface, byte for byte (SPEC 3). It knows neither scopes nor expiries.
 *
 * @example
 * webhookBody([{ key: 'channel_type', value: 'web', scope: 'session' }]); // {"variables":{"channel_type":"web"}}
 */
export function webhookBody(variables: readonly Variable[]): string {
  return JSON.stringify({ variables: Object.fromEntries(variables.map(({ key, value }) => [key, value])) });
}

/**
 * Puts what derives from a message into the session, before the bot understands the message (SPEC 3 "webhook").
 *
 * A 409 is answered with the same body again, a bounded number of times: these are absolute values, and the upstream merges.
 */
export async function enrich(
  options: SurfaceOptions,
  { variables, sessionId }: InjectRequest,
  upstreamCall: UpstreamCall,
): Promise<WriteResult> {
  const url = `${options.baseUrl}/api/v1/sessions/${pathSegment(sessionId)}/context`;
  const body = webhookBody(variables);
  const call = new AuthorizedCall(options, upstreamCall);
  for (let round = 0; ; round += 1) {
    const post = await call.send({ method: 'POST', url, body });
    if (post.kind === 'ended') return post.ending;
    const { answer } = post;
    if (answer.status !== 409) return confirm(call, answer, sessionId);
    if (round === MAX_ROUNDS) {
      return call.refused(
        'conflict',
        variables.map(({ key }) => pointerOf([key])),
      );
    }
    await pauseAfterConflict(options, round);
  }
}

/** What the answer says is not promised (SPEC 3), only that it is JSON where it says anything (SCENARIOS 22). */
function confirm(call: AuthorizedCall, answer: HttpAnswer, sessionId: string): WriteResult {
  const { status, body } = answer;
  const isDone = status === 200 || status === 201 || status === 204;
  if (!isDone || body === 'unparsable') return call.refusedBy(answer);
  if (body === 'empty') return { kind: 'confirmed', result: {}, ...call.sent };
  if (!isJsonObject(body.json)) return call.refusedBy(answer);
  const about = body.json['sessionId'];
  if (typeof about === 'string' && about !== sessionId) return call.refused('upstream-bad-response');
  return { kind: 'confirmed', result: body.json, ...call.sent };
}
