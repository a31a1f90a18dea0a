import { answerInstead, spoil } from './fault-answers.ts';
import type { Fault } from './faults.ts';
import type { JournalFacts } from './journal.ts';
import { type Answer, type Outcome, problem, type ReceivedRequest } from './messages.ts';
import type { TenantState } from './state.ts';
import { type Route, route, type SessionSurface, SURFACE_SCOPES, TOKEN_ENDPOINTS } from './surface-table.ts';
import type { SurfaceHandler } from './surfaces/call.ts';
import { dialogState } from './surfaces/dialog-state.ts';
import { inject } from './surfaces/inject.ts';
import { sessionCheck } from './surfaces/session-check.ts';
import { snapshot } from './surfaces/snapshot.ts';
import { sync } from './surfaces/sync.ts';
import { webhook } from './surfaces/webhook.ts';
import { answerTokenRequest } from './token-endpoint.ts';
import type { TokenCheck } from './tokens.ts';

const HANDLERS: Readonly<Record<SessionSurface, SurfaceHandler>> = {
  sync,
  inject,
  'session-check': sessionCheck,
  'dialog-state': dialogState,
  snapshot,
  webhook,
};

interface Served {
  readonly answer: Answer;
  /** True when a session was changed. */
  readonly applied: boolean;
}

/** An answer, `undefined` where the connection is cut instead, and the fault that had a hand in it. */
interface Handled {
  readonly answer: Answer | undefined;
  readonly applied: boolean;
  readonly fault?: Fault | undefined;
}

/** Serves one request to a surface or a token endpoint, and writes it into the journal. */
export function serve(request: ReceivedRequest, state: TenantState): Outcome {
  const at = state.now();
  const routed = route(request.method, request.segments);
  const { answer, applied, fault } = handle(request, routed, state);
  const name = fault === undefined ? {} : { fault: fault.name };
  state.journal.record(request, { at, ...subject(routed), status: answer?.status ?? null, applied, ...name });
  const delayMs = state.settings.current.latencyMs + (fault?.action.delayMs ?? 0);
  return answer === undefined ? { kind: 'reset', delayMs } : { kind: 'answer', delayMs, answer };
}

function subject(routed: Route): Pick<JournalFacts, 'surface' | 'sessionId'> {
  if (routed.kind === 'session') return { surface: routed.surface, sessionId: routed.sessionId };
  return { surface: routed.kind === 'token' ? 'token' : 'unknown' };
}

function handle(request: ReceivedRequest, routed: Route, state: TenantState): Handled {
  switch (routed.kind) {
    case 'not-found':
      return refuse(problem({ status: 404, code: 'not-found', detail: 'No surface has this path.' }));
    case 'malformed-id':
      return refuse(problem({ status: 400, code: 'malformed-id', detail: 'The id is not percent-encoded UTF-8.' }));
    case 'method-not-allowed': {
      const headers = { allow: routed.allow };
      return refuse(problem({ status: 405, code: 'method-not-allowed', detail: `Use ${routed.allow}.`, headers }));
    }
    case 'token':
      return withFault(state.faults.take({ surface: 'token', ...request }), () => token(request, routed, state));
    case 'session':
      return session(request, routed, state);
  }
}

function token(request: ReceivedRequest, { endpoint }: { endpoint: string }, state: TenantState): Served {
  const known = TOKEN_ENDPOINTS.get(endpoint) ?? new Set();
  return { answer: answerTokenRequest(request, known, state.settings.current, state.tokens), applied: false };
}

/** Rate, then token, then fault, then session: a fault is spent only on a request that would otherwise have been served. */
function session(
  request: ReceivedRequest,
  routed: { readonly surface: SessionSurface; readonly sessionId: string },
  state: TenantState,
): Handled {
  const { surface, sessionId } = routed;
  const turn = state.rate.admit(state.now(), state.settings.current.ratePerMinute);
  if (!turn.admitted) return refuse(rateLimited(turn.retryAfterSeconds));
  const scopes = SURFACE_SCOPES[surface];
  const check = state.tokens.check(request.headers['authorization'], scopes);
  if (check !== 'accepted') return refuse(unauthorized(check, scopes));
  const fault = state.faults.take({ surface, method: request.method, path: request.path, sessionId });
  return withFault(fault, () => atSession(request, routed, state));
}

function atSession(
  request: ReceivedRequest,
  { surface, sessionId }: { readonly surface: SessionSurface; readonly sessionId: string },
  state: TenantState,
): Served {
  const live = state.sessions.touch(sessionId);
  if (live === undefined) {
    return {
      answer: problem({ status: 404, code: 'unknown-session', detail: 'The session does not exist.' }),
      applied: false,
    };
  }
  const versionBefore = live.version;
  const answer = HANDLERS[surface]({
    request,
    session: live,
    settings: state.settings.current,
    nowMs: state.now(),
  });
  return { answer, applied: live.version !== versionBefore };
}

function withFault(fault: Fault | undefined, serveIt: () => Served): Handled {
  if (fault === undefined) return serveIt();
  const { action } = fault;
  if (action.reset === 'before') return { answer: undefined, applied: false, fault };
  const instead = answerInstead(action);
  if (instead !== undefined) return { answer: instead, applied: false, fault };
  const { answer, applied } = serveIt();
  return { answer: action.reset === 'after' ? undefined : spoil(action, answer), applied, fault };
}

function refuse(answer: Answer): Handled {
  return { answer, applied: false };
}

function rateLimited(retryAfterSeconds: number): Answer {
  return problem({
    status: 429,
    code: 'rate-limited',
    detail: `Too many requests. Try again in ${retryAfterSeconds} s.`,
    headers: { 'retry-after': String(retryAfterSeconds) },
  });
}

/** RFC 6750, 3 and 3.1. */
function unauthorized(check: Exclude<TokenCheck, 'accepted'>, scopes: readonly string[]): Answer {
  const scope = scopes.join(' ');
  switch (check) {
    case 'missing':
      return problem({
        status: 401,
        code: 'unauthenticated',
        detail: 'A bearer token is needed.',
        headers: { 'www-authenticate': 'Bearer realm="cognigy"' },
      });
    case 'invalid':
      return problem({
        status: 401,
        code: 'unauthenticated',
        detail: 'The token is unknown, revoked or expired.',
        headers: { 'www-authenticate': 'Bearer realm="cognigy", error="invalid_token"' },
      });
    case 'insufficient-scope':
      return problem({
        status: 403,
        code: 'insufficient-scope',
        detail: `This surface needs the scope: ${scope}.`,
        headers: { 'www-authenticate': `Bearer realm="cognigy", error="insufficient_scope", scope="${scope}"` },
      });
  }
}
