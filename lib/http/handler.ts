import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { parseSessionId, type SessionId } from '../context/sessionId.ts';
import type { MeasuredFunction } from '../operations/ports/rollups.ts';
import { StoreError } from '../operations/ports/sessionStore.ts';
import type { Clock } from '../platform/clock.ts';
import { reclaimMemory } from '../platform/memory.ts';
import type { ClientGrant } from '../platform/secrets.ts';
import { SecretError } from '../platform/secrets.ts';
import type { InvocationTelemetry, TelemetryFactory } from '../platform/telemetry.ts';
import { authenticate, requireGrant } from './admission.ts';
import { NO_BODY, readJsonBody, readRawBody } from './body.ts';
import type {
  Answer,
  AnyRequest,
  BridgeRequest,
  ClientRequest,
  HttpEvent,
  HttpResult,
  SignedRequest,
} from './messages.ts';
import { Problem } from './problem.ts';

/** One route of a function. Whatever is not named here is not reachable. */
export type Route = SessionRoute | ServiceRoute | SignedRoute;

/** A client's business with one session. */
export interface SessionRoute {
  readonly subject?: 'session';
  /** The path's parameter that is the session's id; `sessionId` unless told otherwise. */
  readonly parameter?: string;
  /** The grant a client needs. */
  readonly operation: string;
  /** Its requests are operations, counted under this name (SPEC 2, metrics). */
  readonly measured?: MeasuredFunction;
  readonly body: 'json' | 'none';
  readonly handle: (request: BridgeRequest) => Promise<Answer>;
  /** Told about a request that a known client was refused (403, 413, 422), before it is answered. */
  readonly onRefused?: (refusal: Refusal) => Promise<void>;
}

/** A client's question about the bridge itself. */
export interface ServiceRoute {
  readonly subject: 'service';
  /** The grant a client needs. */
  readonly operation: string;
  readonly handle: (request: ClientRequest) => Promise<Answer>;
}

/** Something sent by who is no client, but signs it. */
export interface SignedRoute {
  readonly subject: 'signed';
  /** Its requests are operations, counted under this name (SPEC 2, metrics). */
  readonly measured?: MeasuredFunction;
  /**
   * Verifies the signature, on the raw bytes, before anything is parsed.
   * @throws {Problem} `unauthenticated`
   */
  readonly admit: (request: SignedRequest) => Promise<void>;
  readonly handle: (request: SignedRequest) => Promise<Answer>;
}

export interface Refusal {
  readonly sessionId: SessionId;
  readonly client: ClientGrant;
  readonly correlationId: string;
  readonly problem: Problem;
  readonly telemetry: InvocationTelemetry;
}

export interface HttpHandlerOptions {
  /** By API Gateway's route key, as in `GET /v1/sessions/{sessionId}`. */
  readonly routes: Readonly<Record<string, Route>>;
  readonly clients: () => Promise<readonly ClientGrant[]>;
  readonly sessionIdPrefix: string;
  readonly telemetry: TelemetryFactory;
  readonly clock: Clock;
  /** Longest time a client is kept waiting, milliseconds. */
  readonly requestBudgetMs: number;
}

/** What one invocation knows about itself; middlewares fill it in, in order. */
interface Invocation {
  readonly correlationId: string;
  readonly telemetry: InvocationTelemetry;
  readonly startedAtMs: number;
  routeKey: string;
  /** Under which name the request is counted; there is one as soon as it has been let in. */
  measured?: MeasuredFunction | undefined;
  /** Tells the route of a refusal; there is one as soon as the client is known. */
  onRefused?: (problem: Problem) => Promise<void>;
}

/** Left of the Lambda's own time, for settling, logging and answering. */
const LAMBDA_MARGIN_MS = 1_500;
/** When a request has eaten even that, it is answered all the same. */
const LAST_CALL_MS = 300;
/** A refused client waits no longer than this for its refusal to be recorded. */
const REFUSAL_BUDGET_MS = 1_000;
/** Characters of a request's or an answer's body from which on its leavings are worth collecting. */
const LARGE_BODY = 131_072;
const REPLAYED = 'idempotency-replayed';
const CORRELATION_ID = /^[A-Za-z0-9._:@~-]{1,128}$/;

/**
 * The chain that all HTTP functions share. Outermost first: observe (correlation id, log, metrics), answer failures as
 * problem+json, then check the session id, the client and its grant (or the signature), and parse the body — in this order, so
 * that nothing is done for a request that is not let in.
 */
export function createHttpHandler(options: HttpHandlerOptions) {
  const invocations = new WeakMap<object, Invocation>();
  const of = (context: object): Invocation => {
    const invocation = invocations.get(context);
    if (invocation === undefined) throw new TypeError('the chain has not begun');
    return invocation;
  };

  return middy<HttpEvent, HttpResult, Error, Context>({
    timeoutEarlyInMillis: LAST_CALL_MS,
    timeoutEarlyResponse: () => {
      throw new Problem('out-of-time');
    },
  })
    .use({
      before: ({ event, context }) => {
        const given = headersOf(event).get('x-correlation-id');
        const correlationId = given !== undefined && CORRELATION_ID.test(given) ? given : crypto.randomUUID();
        invocations.set(context, {
          correlationId,
          telemetry: options.telemetry.forInvocation(correlationId),
          startedAtMs: options.clock.now(),
          routeKey: 'none',
        });
      },
      after: ({ event, context, response }) => observe(of(context), event, response, options.clock),
      onError: ({ event, context, response }) => observe(of(context), event, response, options.clock),
    })
    .use({
      onError: async (request) => {
        const invocation = of(request.context);
        const problem = toProblem(request.error);
        const { correlationId, telemetry, onRefused } = invocation;
        if (problem.status >= 500) telemetry.log('error', 'request failed', { code: problem.code }, request.error);
        const isRefusal = [403, 413, 422].includes(problem.status) && problem.options.isAudited !== true;
        if (onRefused !== undefined && isRefusal) {
          try {
            await within(REFUSAL_BUDGET_MS, onRefused(problem), options.clock);
          } catch (error) {
            // The client's answer does not depend on it.
            telemetry.count('RefusalNotAudited');
            telemetry.log('error', 'a refusal could not be audited', {}, error);
          }
        }
        request.response = {
          statusCode: problem.status,
          headers: {
            ...problem.options.headers,
            ...COMMON_HEADERS,
            'content-type': 'application/problem+json',
            'x-correlation-id': correlationId,
          },
          body: JSON.stringify(problem.toBody(correlationId)),
        };
      },
    })
    .handler(async (event, context) => {
      const invocation = of(context);
      const { correlationId, telemetry, startedAtMs } = invocation;
      const routeKey = typeof event?.routeKey === 'string' ? event.routeKey : '';
      const route = Object.hasOwn(options.routes, routeKey) ? options.routes[routeKey] : undefined;
      if (route === undefined) throw new Problem('not-found');
      invocation.routeKey = routeKey;

      const remainingMs = context.getRemainingTimeInMillis?.() ?? options.requestBudgetMs + LAMBDA_MARGIN_MS;
      const answer = await answerOf(route, event, options, invocation, {
        correlationId,
        headers: headersOf(event),
        telemetry,
        query: Object.fromEntries(stringsOf(event.queryStringParameters)),
        deadlineMs: startedAtMs + Math.min(options.requestBudgetMs, Math.max(0, remainingMs - LAMBDA_MARGIN_MS)),
      });
      return {
        statusCode: answer.status,
        headers: {
          ...COMMON_HEADERS,
          ...(answer.body !== undefined && { 'content-type': 'application/json' }),
          ...answer.headers,
          'x-correlation-id': correlationId,
        },
        ...(answer.body !== undefined && { body: JSON.stringify(answer.body) }),
      };
    });
}

/** Lets the request in, as its route says, and has it answered. */
async function answerOf(
  route: Route,
  event: HttpEvent,
  options: HttpHandlerOptions,
  invocation: Invocation,
  request: AnyRequest,
): Promise<Answer> {
  const { headers, correlationId } = request;
  const path = Object.fromEntries(stringsOf(event.pathParameters));
  if (route.subject === 'signed') {
    const signed = {
      ...request,
      ...callOf(event, headers),
      path,
      rawBody: readRawBody(event),
      body: () => readJsonBody(event, headers),
    };
    await route.admit(signed);
    invocation.measured = route.measured;
    return route.handle(signed);
  }
  if (route.subject === 'service') {
    const client = authenticate(headers, await options.clients());
    requireGrant(client, route.operation);
    return route.handle({ ...request, client });
  }
  // The id first, before any other work.
  const sessionId = parseSessionId(path[route.parameter ?? 'sessionId'] ?? '', options.sessionIdPrefix);
  if (sessionId === undefined) throw new Problem('invalid-session-id');
  const client = authenticate(headers, await options.clients());
  const { telemetry } = invocation;
  invocation.onRefused = async (problem) => route.onRefused?.({ sessionId, client, correlationId, problem, telemetry });
  requireGrant(client, route.operation);
  invocation.measured = route.measured;
  const body = route.body === 'json' ? readJsonBody(event, headers) : NO_BODY;
  return route.handle({ ...request, sessionId, path, client, body });
}

/** What was called, as the caller called it. */
function callOf(event: HttpEvent, headers: AnyRequest['headers']) {
  const { rawPath = '', rawQueryString = '' } = Object.fromEntries(stringsOf({ ...event }));
  const { domainName = '' } = Object.fromEntries(stringsOf({ ...event.requestContext }));
  const { method = '' } = Object.fromEntries(stringsOf({ ...event.requestContext?.http }));
  const query = rawQueryString === '' ? '' : `?${rawQueryString}`;
  const protocol = headers.get('x-forwarded-proto') ?? 'https';
  return { method, url: `${protocol}://${domainName}${rawPath}${query}` };
}

/** Answers hold a customer's data: nobody on the way keeps or sniffs them. */
const COMMON_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

async function observe(
  invocation: Invocation,
  event: HttpEvent | null | undefined,
  response: HttpResult | null | undefined,
  clock: Clock,
): Promise<void> {
  const { telemetry, routeKey, startedAtMs, measured } = invocation;
  telemetry.log('info', 'request answered', {
    routeKey,
    status: response?.statusCode,
    durationMs: Math.round(clock.now() - startedAtMs),
  });
  // A replayed answer was counted when it was given first.
  if (measured !== undefined && response?.headers[REPLAYED] === undefined) {
    const { statusCode = 500 } = response ?? {};
    telemetry.operationAnswered({ name: measured, isSuccess: statusCode >= 200 && statusCode < 300 });
  }
  await telemetry.flush();
  // Once the answer is on its way.
  const largest = Math.max(event?.body?.length ?? 0, response?.body?.length ?? 0);
  if (largest > LARGE_BODY) setImmediate(reclaimMemory);
}

/** @throws when `work` has failed, or has not ended after `ms` milliseconds; it is not stopped then. */
async function within(ms: number, work: Promise<void>, clock: Clock): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).then(() => {
    throw new Error(`not done within ${ms} ms`);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    late.catch(() => undefined);
    over.abort('over');
  }
}

function headersOf(event: HttpEvent | null | undefined): ReadonlyMap<string, string> {
  return new Map([...stringsOf(event?.headers)].map(([name, value]) => [name.toLowerCase(), value]));
}

/** The members that are strings, as API Gateway's all are. Whoever else invokes the function is not believed. */
function stringsOf(members: Readonly<Record<string, unknown>> | null | undefined): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(members ?? {}).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
}

/** Own failures keep their code; of others nothing is told to the outside. */
function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreError) return new Problem(error.code, { headers: { 'retry-after': '1' }, cause: error });
  if (error instanceof SecretError) return new Problem('misconfigured', { cause: error });
  return new Problem('internal-error', { cause: error });
}
