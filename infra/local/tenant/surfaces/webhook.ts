import * as z from 'zod';
import { anyJsonObject, parseBody } from '../bodies.ts';
import { etagOf, refuseStale } from '../etag.ts';
import { jsonAnswer } from '../messages.ts';
import type { StoredVariable } from '../variables.ts';
import type { SurfaceHandler } from './call.ts';

const webhookSchema = z.strictObject({ variables: anyJsonObject });

/** `POST /api/v1/sessions/{id}/context`: session variables by name, before the bot's NLU runs. */
export const webhook: SurfaceHandler = ({ request, session, settings, nowMs }) => {
  const parsed = parseBody(request, webhookSchema, settings.injectMaxBytes);
  if (!parsed.ok) return parsed.refusal;
  const stale = refuseStale(request.headers['if-match'], session.version, 412);
  if (stale !== undefined) return stale;
  const { variables } = parsed.body;
  const put = Object.entries(variables).map(
    ([key, value]): StoredVariable => ({ key, value, scope: 'session', expiresAt: null }),
  );
  session.change({ put }, nowMs);
  return jsonAnswer(
    200,
    { sessionId: session.sessionId, variables, updatedAt: new Date(nowMs).toISOString() },
    { etag: etagOf(session.version) },
  );
};
