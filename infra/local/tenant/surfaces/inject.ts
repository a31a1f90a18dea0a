import * as z from 'zod';
import { anyJson, parseBody } from '../bodies.ts';
import { etagOf, refuseStale } from '../etag.ts';
import { jsonAnswer } from '../messages.ts';
import { CLIENT_SCOPES, isRemoval, resolve, toObject } from '../variables.ts';
import type { SurfaceHandler } from './call.ts';

const injectSchema = z.strictObject({
  variables: z
    .array(
      z.strictObject({
        key: z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be 1 to 128 of A-Z a-z 0-9 _ -'),
        value: anyJson,
        scope: z.enum(CLIENT_SCOPES),
        expiresAt: z.iso.datetime('must be RFC 3339 in UTC').nullable(),
      }),
    )
    .min(1)
    .refine(
      (variables) => new Set(variables.map(({ key, scope }) => `${scope}:${key}`)).size === variables.length,
      'a key may occur once per scope',
    ),
  mergeStrategy: z.literal('atomic_put'),
});

/** `GET` and `PUT /api/v2/sessions/{id}/context`: a write touches only the variables it names, all of them or none. */
export const inject: SurfaceHandler = ({ request, session, settings, nowMs }) => {
  if (request.method === 'GET') {
    return jsonAnswer(200, { variables: session.context }, { etag: etagOf(session.version) });
  }
  const parsed = parseBody(request, injectSchema, settings.injectMaxBytes);
  if (!parsed.ok) return parsed.refusal;
  const stale = refuseStale(request.headers['if-match'], session.version, 409);
  if (stale !== undefined) return stale;
  const { variables } = parsed.body;
  session.change(
    {
      put: variables.filter((variable) => !isRemoval(variable, nowMs)),
      remove: variables.filter((variable) => isRemoval(variable, nowMs)),
    },
    nowMs,
  );
  return jsonAnswer(
    200,
    {
      sessionId: session.sessionId,
      variables: toObject(resolve(variables).values()),
      updatedAt: new Date(nowMs).toISOString(),
    },
    { etag: etagOf(session.version) },
  );
};
