import { isJsonObject, type JsonObject } from '../../context/json.ts';
import { jsonEquals } from '../../context/jsonEquals.ts';
import { pointerOf } from '../../context/pointer.ts';
import { nestingOf } from '../../context/size.ts';
import type { ContextRequest, UpstreamCall, WriteResult } from '../../operations/ports/cognigy.ts';
import { AuthorizedCall } from '../authorizedCall.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
import { MAX_READ_NESTING, MAX_ROUNDS, pauseAfterConflict } from './conflict.ts';
import type { SurfaceOptions } from './surfaces.ts';

/**
 * Replaces a live session's whole context by what `merge` makes of it (SPEC 3 "sync").
 *
 * ```text
 *  GET ─► merge ─► leave ─► confirmed
 *   ▲       └────► PUT, If-Match ─► 200, 201, 204 ─► confirmed
 *   │                ├► 409, 412: changed meanwhile ───────────┐   at most three times again,
 *   └────────────────┴► its time is over, the call's is not ◄──┘   then `conflict`, or `unavailable`
 * ```
 *
 * `If-Match` is the ETag exactly as it was read, a weak one too. RFC 9110 13.1.1 wants strong comparison there, which a weak one
 * never passes; but servers such as these compare the text, and without it we would overwrite what the bot has changed since. A
 * server that does go by the RFC answers 412 each time, which ends in `conflict` and loses nothing. Where a read has no ETag,
 * what the bot changes between GET and PUT is lost: nobody could tell.
 *
 * A PUT whose outcome is unknown is sent again as it is. Where the first one has taken effect the second one meets a 412; what is
 * read then is our own, `merge` has nothing to send any more, and that is `confirmed`.
 */
export async function replaceContext(
  options: SurfaceOptions,
  request: ContextRequest,
  upstreamCall: UpstreamCall,
): Promise<WriteResult> {
  const { clock } = options;
  const url = `${options.baseUrl}/api/v1/sessions/${pathSegment(request.sessionId)}/context`;
  const call = new AuthorizedCall(options, upstreamCall);
  try {
    for (let round = 0; ; round += 1) {
      const read = await call.send({ method: 'GET', url }, { anotherFollows: true });
      if (read.kind === 'ended') return read.ending;
      const theirs = contextOf(read.answer);
      if (theirs === undefined) return call.refusedBy(read.answer);

      const decision = await request.merge(theirs);
      if (decision.kind === 'leave') return confirmed(call);

      const { context: ours, sendByMs } = decision;
      const ifMatch = read.answer.headers.get('etag') ?? '';
      const put = await call.send({
        method: 'PUT',
        url,
        body: JSON.stringify(ours),
        ...(ifMatch !== '' && { ifMatch }),
        ...(sendByMs !== undefined && { sendByMs }),
      });
      if (put.kind === 'answer') {
        if (!isConflict(put.answer)) return isConfirmation(put.answer) ? confirmed(call) : call.refusedBy(put.answer);
        if (round === MAX_ROUNDS) return call.refused('conflict', pathsThatDiffer(ours, theirs));
        await pauseAfterConflict(options, round);
      } else {
        if (put.remakeAtMs === undefined || round === MAX_ROUNDS) return put.ending;
        await clock.sleep(put.remakeAtMs - clock.now());
      }
    }
  } finally {
    call.close();
  }
}

/** The answer of this surface is the whole context: nothing in it is for the client. */
function confirmed(call: AuthorizedCall): WriteResult {
  return { kind: 'confirmed', result: {}, ...call.sent };
}

/**
 * Undefined when this is no context, or none that can be merged and written back: another status, HTML, cut off, a list, too
 * deep (SCENARIOS 22), or with numbers that would come back rounded.
 */
function contextOf({ status, body }: HttpAnswer): JsonObject | undefined {
  if (status !== 200 || typeof body === 'string' || !body.isExact || !isJsonObject(body.json)) return undefined;
  return nestingOf(body.json) <= MAX_READ_NESTING ? body.json : undefined;
}

function isConflict({ status }: HttpAnswer): boolean {
  return status === 409 || status === 412;
}

/** Some servers answer a PUT with the context, some with nothing. What the context says is not compared: the bot may be at work again. */
function isConfirmation({ status, body }: HttpAnswer): boolean {
  if (status === 204) return true;
  if (status !== 200 && status !== 201) return false;
  return body === 'empty' || (body !== 'unparsable' && isJsonObject(body.json));
}

/** JSON Pointers of the members that `ours` would change; all of ours when it would change none and is refused all the same. */
function pathsThatDiffer(ours: JsonObject, theirs: JsonObject): readonly string[] {
  const member = (context: JsonObject, name: string) => (Object.hasOwn(context, name) ? context[name] : undefined);
  const names = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
  const differing = [...names].filter((name) => !jsonEquals(member(ours, name), member(theirs, name)));
  return (differing.length > 0 ? differing : Object.keys(ours)).map((name) => pointerOf([name]));
}
