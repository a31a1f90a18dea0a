import type * as z from 'zod';
import { invalid, parseBody } from './bodies.ts';
import { faultSchema } from './faults.ts';
import { journalFilterSchema } from './journal.ts';
import { type Answer, emptyAnswer, jsonAnswer, problem, type ReceivedRequest } from './messages.ts';
import { botChangeSchema, newSessionSchema } from './sessions.ts';
import type { Settings } from './settings.ts';
import { settingsPatchSchema } from './settings.ts';
import { resetState, type TenantState } from './state.ts';
import { decode } from './surface-table.ts';

const MAX_BODY_BYTES = 4_194_304;

/** `sessionId` is empty on routes without one. */
type AdminHandler = (request: ReceivedRequest, state: TenantState, sessionId: string) => Answer;

const ROUTES: ReadonlyMap<string, AdminHandler> = new Map<string, AdminHandler>([
  ['GET faults', (_, { faults }) => jsonAnswer(200, { faults: faults.list() })],
  [
    'POST faults',
    (request, { faults }) => withBody(request, faultSchema, (fault) => jsonAnswer(201, faults.add(fault))),
  ],
  ['DELETE faults', (_, { faults }) => done(() => faults.clear())],
  ['GET journal', readJournal],
  ['DELETE journal', (_, { journal }) => done(() => journal.clear())],
  ['GET sessions', (_, { sessions }) => jsonAnswer(200, { sessions: sessions.list() })],
  [
    'POST sessions',
    (request, { sessions }) =>
      withBody(request, newSessionSchema, (session) => jsonAnswer(201, sessions.create(session))),
  ],
  ['GET sessions/{id}', (_, { sessions }, id) => found(sessions.inspect(id))],
  ['DELETE sessions/{id}', (_, { sessions }, id) => (sessions.end(id) ? emptyAnswer(204) : found(undefined))],
  [
    'PUT sessions/{id}/variables',
    (request, { sessions }, id) =>
      withBody(request, botChangeSchema, (change) => found(sessions.changeAsBot(id, change))),
  ],
  ['GET settings', (_, { settings }) => shown(settings.current)],
  [
    'PATCH settings',
    (request, { settings }) =>
      withBody(request, settingsPatchSchema, (patch) => {
        settings.change(patch);
        return shown(settings.current);
      }),
  ],
  ['POST tokens/revoke', (_, { tokens }) => jsonAnswer(200, { revoked: tokens.revokeAll() })],
  ['POST reset', (_, state) => done(() => resetState(state))],
]);

/** Answers `/__admin/…`: how tests, people and benchmarks script the tenant and look into it. Not counted, not in the journal. */
export function answerAdmin(request: ReceivedRequest, state: TenantState): Answer {
  const [, resource = '', id, ...rest] = request.segments;
  const isSession = resource === 'sessions' && id !== undefined;
  const path = (isSession ? [resource, '{id}', ...rest] : request.segments.slice(1)).join('/');
  const handler = ROUTES.get(`${request.method} ${path}`);
  const sessionId = isSession ? decode(id) : '';
  if (handler === undefined || sessionId === undefined) {
    return problem({ status: 404, code: 'not-found', detail: `There is no admin route ${request.method} ${path}.` });
  }
  return handler(request, state, sessionId);
}

function readJournal(request: ReceivedRequest, { journal }: TenantState): Answer {
  const filter = journalFilterSchema.safeParse(Object.fromEntries(request.query));
  return filter.success ? jsonAnswer(200, { entries: journal.entries(filter.data) }) : invalid(filter.error);
}

function withBody<Body>(request: ReceivedRequest, schema: z.ZodType<Body>, use: (body: Body) => Answer): Answer {
  const parsed = parseBody(request, schema, MAX_BODY_BYTES);
  return parsed.ok ? use(parsed.body) : parsed.refusal;
}

function done(act: () => void): Answer {
  act();
  return emptyAnswer(204);
}

function found(view: object | undefined): Answer {
  if (view !== undefined) return jsonAnswer(200, view);
  return problem({ status: 404, code: 'unknown-session', detail: 'The tenant has no such session.' });
}

function shown(settings: Settings): Answer {
  return jsonAnswer(200, { ...settings, clientSecret: '***' });
}
