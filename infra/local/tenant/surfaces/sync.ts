import { anyJsonObject, parseBody } from '../bodies.ts';
import { etagOf, refuseStale } from '../etag.ts';
import { type Answer, jsonAnswer } from '../messages.ts';
import type { Session } from '../session.ts';
import type { SurfaceHandler } from './call.ts';

/** `GET` and `PUT /api/v1/sessions/{id}/context`: the whole context object, both ways. */
export const sync: SurfaceHandler = ({ request, session, settings, nowMs }) => {
  if (request.method === 'GET') return wholeContext(session);
  const parsed = parseBody(request, anyJsonObject, settings.contextMaxBytes);
  if (!parsed.ok) return parsed.refusal;
  const stale = refuseStale(request.headers['if-match'], session.version, 412);
  if (stale !== undefined) return stale;
  session.replaceContext(parsed.body, nowMs);
  return wholeContext(session);
};

function wholeContext(session: Session): Answer {
  return jsonAnswer(200, session.context, { etag: etagOf(session.version) });
}
