import { anyJsonObject, parseBody } from '../bodies.ts';
import { etagHeader, refuseStale } from '../etag.ts';
import { type Answer, jsonAnswer } from '../messages.ts';
import type { Session } from '../session.ts';
import type { Settings } from '../settings.ts';
import type { SurfaceHandler } from './call.ts';

/** `GET` and `PUT /api/v1/sessions/{id}/context`: the whole context object, both ways. */
export const sync: SurfaceHandler = ({ request, session, settings, nowMs }) => {
  if (request.method === 'GET') return wholeContext(session, settings);
  const parsed = parseBody(request, anyJsonObject, settings.contextMaxBytes);
  if (!parsed.ok) return parsed.refusal;
  const stale = refuseStale(request.headers['if-match'], session.version, 412, settings.syncEtags);
  if (stale !== undefined) return stale;
  session.replaceContext(parsed.body, nowMs);
  return wholeContext(session, settings);
};

function wholeContext(session: Session, { syncEtags }: Settings): Answer {
  return jsonAnswer(200, session.context, etagHeader(session.version, syncEtags));
}
