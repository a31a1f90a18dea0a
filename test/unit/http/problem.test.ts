import { describe, expect, it } from 'vitest';
import { Problem, type ProblemCode } from '../../../lib/http/problem.ts';

/** SPEC 2, errors: what each code is answered with. */
const TABLE: Readonly<Record<ProblemCode, number>> = {
  'malformed-json': 400,
  'duplicate-json-key': 400,
  'invalid-session-id': 400,
  'invalid-idempotency-key': 400,
  'invalid-query': 400,
  'invalid-if-match': 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'unknown-session': 404,
  'unknown-version': 404,
  'unknown-source': 404,
  'invalid-record-id': 400,
  'session-ended': 410,
  'session-erased': 410,
  conflict: 409,
  'operation-in-progress': 409,
  'version-mismatch': 412,
  'payload-too-large': 413,
  'context-too-large': 413,
  'unsupported-media-type': 415,
  'validation-failed': 422,
  'reserved-key': 422,
  'idempotency-mismatch': 422,
  'expired-before-push': 422,
  'session-busy': 429,
  'internal-error': 500,
  misconfigured: 500,
  'upstream-unauthorized': 502,
  'upstream-forbidden': 502,
  'upstream-rejected': 502,
  'upstream-bad-response': 502,
  'store-unavailable': 503,
  'upstream-unavailable': 503,
  'upstream-timeout': 504,
  'store-timeout': 504,
  'out-of-time': 504,
};

describe('Problem', () => {
  it.each(Object.entries(TABLE))('%s is answered with %i, in the form of RFC 9457', (code, status) => {
    const problem = new Problem(code as ProblemCode);
    expect(problem.status).toBe(status);
    expect(problem.toBody('corr')).toEqual({
      type: `urn:context-bridge:problem:${code}`,
      title: expect.stringMatching(/^[A-Z]/),
      status,
      detail: expect.any(String),
      instance: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/),
      code,
      retryable: expect.any(Boolean),
      correlationId: 'corr',
    });
  });

  it('invites a repeat only where the same request may succeed', () => {
    for (const [code, status] of Object.entries(TABLE)) {
      const { retryable } = new Problem(code as ProblemCode).toBody('c');
      if (status === 429 || status === 503 || status === 504) expect(retryable, code).toBe(true);
      if ([400, 401, 403, 404, 410, 413, 415, 422].includes(status)) expect(retryable, code).toBe(false);
    }
  });

  it('shows neither its cause nor a stack', () => {
    const text = JSON.stringify(new Problem('internal-error', { cause: new Error('hunter2') }).toBody('c'));
    expect(text).not.toMatch(/hunter2|\bat /);
  });

  it('lists all errors, and a flood of them only as far as it can be sent, saying so', () => {
    const errors = Array.from({ length: 100 }, (_, index) => ({ pointer: `/${index}`, code: 'c', message: 'm' }));
    expect(new Problem('validation-failed', { errors }).toBody('c')['errors']).toEqual(errors);
    const flood = Array.from({ length: 300_000 }, (_, index) => ({
      pointer: `/${index}`,
      code: 'c',
      message: 'is wrong',
    }));
    const body = new Problem('validation-failed', { errors: flood }).toBody('c');
    expect(JSON.stringify(body).length).toBeLessThan(6_000_000);
    expect(body['detail']).toContain('300000');
  });
});
