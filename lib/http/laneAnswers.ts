import type { LaneAnswer, TooLarge } from '../operations/lane.ts';
import type { Outcome } from '../operations/ports/sessionStore.ts';
import { Problem } from './problem.ts';

type Confirmed = Extract<Outcome, { kind: 'confirmed' }>;

/** An operation of which a client can be told something good. */
export type Accepted =
  | { readonly kind: 'confirmed'; readonly outcome: Confirmed; readonly headers: Readonly<Record<string, string>> }
  | {
      readonly kind: 'pending';
      readonly operationId: string;
      readonly auditId: string;
      readonly version: number;
      readonly headers: Readonly<Record<string, string>>;
    };

/**
 * What a lane's answer means over HTTP, the same for every kind of operation.
 * @throws {Problem} for everything but a confirmed or pending operation.
 */
export function acceptedOf(sessionId: string, answer: LaneAnswer | TooLarge): Accepted {
  switch (answer.kind) {
    case 'too-large': {
      const detail = `The upstream takes ${answer.maxBytes} bytes; this request would send ${answer.bytes}. Nothing changed.`;
      throw new Problem('payload-too-large', { detail });
    }
    case 'busy':
      throw new Problem('session-busy', { headers: { 'retry-after': String(answer.retryAfterSeconds) } });
    case 'superseded':
      throw new Problem('conflict');
    case 'mismatch':
      throw new Problem('idempotency-mismatch');
    case 'in-progress':
      throw new Problem('operation-in-progress', { headers: { 'retry-after': '1' } });
    case 'erased':
      throw new Problem('session-erased', { isAudited: true });
    case 'pending': {
      const { operationId, auditId, version } = answer;
      const location = `/v1/sessions/${encodeURIComponent(sessionId)}/audit?operationId=${operationId}`;
      return { kind: 'pending', operationId, auditId, version, headers: { location, ...replayed(answer.replayed) } };
    }
    case 'settled': {
      const { outcome } = answer;
      const headers = replayed(answer.replayed);
      if (outcome.kind === 'refused') throw refusalOf(outcome, headers);
      return { kind: 'confirmed', outcome, headers };
    }
  }
}

function refusalOf(outcome: Extract<Outcome, { kind: 'refused' }>, headers: Readonly<Record<string, string>>): Problem {
  const { code, paths, violations, bytes, etag } = outcome;
  const errors = violations ?? paths?.map((pointer) => ({ pointer, code, message: 'is in dispute' }));
  return new Problem(code, {
    headers: { ...headers, ...(etag !== undefined && { etag }) },
    isAudited: true,
    ...(errors !== undefined && { errors }),
    ...(bytes !== undefined && { detail: `The context would have ${bytes} bytes, and nothing more may be pruned.` }),
  });
}

function replayed(isReplay: boolean): Record<string, string> {
  return isReplay ? { 'idempotency-replayed': 'true' } : {};
}
