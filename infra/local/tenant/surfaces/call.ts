import type { Answer, ReceivedRequest } from '../messages.ts';
import type { Session } from '../session.ts';
import type { Settings } from '../settings.ts';

/** A request that has passed routing, rate, token and session: what is left is the surface's own business. */
interface SurfaceCall {
  readonly request: ReceivedRequest;
  readonly session: Session;
  readonly settings: Settings;
  readonly nowMs: number;
}

export type SurfaceHandler = (call: SurfaceCall) => Answer;
