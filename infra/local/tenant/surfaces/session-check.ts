import { etagOf } from '../etag.ts';
import { jsonAnswer } from '../messages.ts';
import type { SurfaceHandler } from './call.ts';

/** `GET /api/v2/sessions/{id}`: whoever gets here has a session; the 404 was given before. */
export const sessionCheck: SurfaceHandler = ({ session }) =>
  jsonAnswer(
    200,
    {
      sessionId: session.sessionId,
      version: session.version,
      createdAt: new Date(session.createdAtMs).toISOString(),
      updatedAt: new Date(session.updatedAtMs).toISOString(),
    },
    { etag: etagOf(session.version) },
  );
