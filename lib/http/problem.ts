import type { Violation } from '../context/violation.ts';

/** Status and title of every problem code (SPEC 2, errors). `retryable`: the same request may succeed later. */
const PROBLEMS = {
  'malformed-json': { status: 400, title: 'The body is not JSON', retryable: false },
  'duplicate-json-key': { status: 400, title: 'The body names a member twice', retryable: false },
  'invalid-session-id': { status: 400, title: 'The session id is not valid', retryable: false },
  'invalid-idempotency-key': { status: 400, title: 'The Idempotency-Key is not valid', retryable: false },
  'invalid-query': { status: 400, title: 'The query is not valid', retryable: false },
  unauthenticated: { status: 401, title: 'The request is not authenticated', retryable: false },
  forbidden: { status: 403, title: 'The client may not do this', retryable: false },
  'not-found': { status: 404, title: 'There is no such route', retryable: false },
  'unknown-session': { status: 404, title: 'The session is not known', retryable: false },
  'session-ended': { status: 410, title: 'The session does not exist upstream any more', retryable: false },
  'unknown-source': { status: 404, title: 'There is no such CRM source', retryable: false },
  'invalid-record-id': { status: 400, title: 'The record id is not valid', retryable: false },
  'unknown-version': { status: 404, title: 'That version is not known, or not any more', retryable: false },
  'session-erased': { status: 410, title: 'The session has been erased', retryable: false },
  conflict: { status: 409, title: 'The session changed at the same time', retryable: true },
  'operation-in-progress': { status: 409, title: 'The first request with this key is still running', retryable: true },
  'invalid-if-match': { status: 400, title: 'The If-Match header is not valid', retryable: false },
  'version-mismatch': { status: 412, title: 'The dialog is at another version', retryable: false },
  'reserved-key': { status: 422, title: 'A name is reserved', retryable: false },
  'payload-too-large': { status: 413, title: 'The request is too large', retryable: false },
  'context-too-large': { status: 413, title: 'The context would be too large', retryable: false },
  'unsupported-media-type': { status: 415, title: 'The body must be application/json', retryable: false },
  'validation-failed': { status: 422, title: 'The request is not valid', retryable: false },
  'idempotency-mismatch': { status: 422, title: 'The Idempotency-Key was used for another request', retryable: false },
  'expired-before-push': { status: 422, title: 'Every value expired before it could be pushed', retryable: false },
  'session-busy': { status: 429, title: 'The session has too many changes waiting', retryable: true },
  'internal-error': { status: 500, title: 'Something went wrong in the bridge', retryable: true },
  misconfigured: { status: 500, title: 'The bridge is not configured', retryable: false },
  'upstream-unauthorized': { status: 502, title: 'The upstream refused our credentials', retryable: false },
  'upstream-forbidden': { status: 502, title: 'The upstream denied access', retryable: false },
  'upstream-rejected': { status: 502, title: 'The upstream rejected the change', retryable: false },
  'upstream-bad-response': { status: 502, title: 'The upstream gave an answer that makes no sense', retryable: true },
  'store-unavailable': { status: 503, title: 'The store cannot be reached', retryable: true },
  'upstream-unavailable': { status: 503, title: 'The upstream cannot be reached', retryable: true },
  'store-timeout': { status: 504, title: 'The store did not answer in time', retryable: true },
  'upstream-timeout': { status: 504, title: 'The upstream did not answer in time', retryable: true },
  'out-of-time': { status: 504, title: 'The request took too long', retryable: true },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

export interface ProblemOptions {
  /** One sentence about this occurrence. Names places and rules, never values or ids. */
  readonly detail?: string;
  readonly errors?: readonly Violation[];
  /** True for the outcome of an operation, which is in its session's audit trail already. */
  readonly isAudited?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A function may answer 6 MB. A body of 2 MiB can hold violations for ten times that. */
const ERRORS_MAX_CHARACTERS = 1_000_000;

/** As many as can be told: all of them, but for a flood. */
function tellable(errors: readonly Violation[]): readonly Violation[] {
  let characters = 0;
  const end = errors.findIndex(({ pointer, message }) => {
    characters += pointer.length + message.length;
    return characters > ERRORS_MAX_CHARACTERS;
  });
  return end < 0 ? errors : errors.slice(0, end);
}

/** A request that is answered with `application/problem+json` (RFC 9457). */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly status: number;
  readonly options: ProblemOptions;

  constructor(code: ProblemCode, options: ProblemOptions = {}) {
    super(code, { cause: options.cause });
    this.name = 'Problem';
    this.code = code;
    this.status = PROBLEMS[code].status;
    this.options = options;
  }

  /** The body; `instance` names this occurrence and nothing else. */
  toBody(correlationId: string): Record<string, unknown> {
    const { status, title, retryable } = PROBLEMS[this.code];
    const { errors: all } = this.options;
    const errors = all && tellable(all);
    const cut =
      all !== undefined && errors !== all
        ? ` Only the first ${errors?.length} of ${all.length} errors are listed.`
        : '';
    const detail = `${this.options.detail ?? `${title}.`}${cut}`;
    return {
      type: `urn:context-bridge:problem:${this.code}`,
      title,
      status,
      detail,
      instance: `urn:uuid:${crypto.randomUUID()}`,
      code: this.code,
      retryable,
      correlationId,
      ...(errors !== undefined && { errors }),
    };
  }
}
