import * as z from 'zod';
import type { JsonObject } from '../../../../lib/context/json.ts';
import { anyJsonObject, parseBody } from '../bodies.ts';
import { etagOf, refuseStale } from '../etag.ts';
import { type Answer, jsonAnswer } from '../messages.ts';
import type { Session } from '../session.ts';
import type { Scope, StoredVariable } from '../variables.ts';
import type { SurfaceHandler } from './call.ts';

const dialogStateSchema = z
  .strictObject({
    session: z.exactOptional(anyJsonObject),
    user: z.exactOptional(anyJsonObject),
    transition: z.exactOptional(z.strictObject({ nextStep: z.string().min(1) })),
  })
  .refine((body) => Object.keys(body).length > 0, 'session, user or transition must be there');

/** `GET` and `PATCH /runtime/v2/dialogs/{id}/state`: optimistic concurrency by `If-Match`. */
export const dialogState: SurfaceHandler = ({ request, session, settings, nowMs }) => {
  if (request.method === 'GET') return state(session);
  const parsed = parseBody(request, dialogStateSchema, settings.dialogMaxBytes);
  if (!parsed.ok) return parsed.refusal;
  const stale = refuseStale(request.headers['if-match'], session.version, settings.dialogMismatchStatus);
  if (stale !== undefined) return stale;
  const { session: sessionValues = {}, user = {}, transition } = parsed.body;
  session.change(
    {
      put: [...variablesOf(sessionValues, 'session'), ...variablesOf(user, 'user')],
      ...transition,
    },
    nowMs,
  );
  return state(session);
};

function state(session: Session): Answer {
  return jsonAnswer(
    200,
    { session: session.inScope('session'), user: session.inScope('user'), version: session.version },
    { etag: etagOf(session.version) },
  );
}

function variablesOf(values: JsonObject, scope: Scope): StoredVariable[] {
  return Object.entries(values).map(([key, value]) => ({ key, value, scope, expiresAt: null }));
}
