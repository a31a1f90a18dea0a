import * as z from 'zod/mini';
import { strictBodyOf } from '../../lib/http/body.ts';
import { parseBody, sessionId } from '../../lib/http/fields.ts';
import { isAboutAccess } from '../../lib/operations/settlement.ts';
import type { SyncAnswer, SyncCommand } from '../../lib/operations/sync.ts';
import { syncBody } from './request.ts';

/** The detail type of EventBridge events that ask for a sync: `{ sessionId, data, ttl }`. */
export const SYNC_REQUESTED = 'context.sync.requested';

const text = z.string('is missing or not a string');

/** What EventBridge adds to the detail; of it only this is read. */
const envelope = z.object(
  {
    id: text.check(z.regex(/^[\x21-\x7e]{1,255}$/, 'must have 1 to 255 visible ASCII characters')),
    source: text.check(z.regex(/^[\w./-]{1,128}$/, 'must have 1 to 128 characters of A–Z a–z 0–9 _ . / -')),
    detail: z.nonoptional(z.unknown(), 'is missing'),
  },
  'must be an object',
);

/** The answer could not be given now; the same event later may have more luck. */
export class EventNotTakenError extends Error {
  /** What was in the way. */
  readonly code: string;

  constructor(code: string) {
    super(`the sync was not taken: ${code}`);
    this.name = 'EventNotTakenError';
    this.code = code;
  }
}

export function isSyncRequested(event: unknown): boolean {
  return typeof event === 'object' && event !== null && Reflect.get(event, 'detail-type') === SYNC_REQUESTED;
}

/**
 * The event as a command. EventBridge delivers at least once: the event's id is the idempotency key, its source the client.
 * @throws {Problem} `validation-failed` with every violation.
 */
export function readSyncEvent(
  event: unknown,
  options: { readonly sessionIdPrefix: string; readonly defaultTtlSeconds: number },
): Pick<SyncCommand, 'sessionId' | 'client' | 'data' | 'ttlSeconds' | 'defaultTtlSeconds' | 'idempotencyKey'> {
  const parsed = parseBody(envelope, { value: event, violations: [] });
  const body = z.extend(syncBody, { sessionId: sessionId(options.sessionIdPrefix) });
  const { sessionId: session, data, ttl } = parseBody(body, strictBodyOf(parsed.detail));
  const { defaultTtlSeconds } = options;
  return {
    sessionId: session,
    client: clientOf(parsed),
    idempotencyKey: parsed.id,
    data,
    ttlSeconds: ttl,
    defaultTtlSeconds,
  };
}

/** Whose event it is, and which session's, where it says that much: for the audit trail of what is refused. */
export function addresseeOf(
  event: unknown,
  { sessionIdPrefix }: { readonly sessionIdPrefix: string },
): Pick<SyncCommand, 'sessionId' | 'client'> | undefined {
  const addressed = z.object({ ...envelope.shape, detail: z.object({ sessionId: sessionId(sessionIdPrefix) }) });
  const parsed = addressed.safeParse(event);
  return parsed.success ? { sessionId: parsed.data.detail.sessionId, client: clientOf(parsed.data) } : undefined;
}

function clientOf({ source }: z.infer<typeof envelope>): string {
  return `event:${source}`;
}

/**
 * What is to become of the event.
 * @returns a line for the log
 * @throws {EventNotTakenError} when it is to be delivered again.
 */
export function endOfEvent(answer: SyncAnswer): { readonly ended: string; readonly code?: string } {
  if (answer.kind === 'busy' || answer.kind === 'in-progress') throw new EventNotTakenError(answer.kind);
  if (answer.kind !== 'settled') return { ended: answer.kind };
  const { outcome } = answer;
  if (outcome.kind !== 'refused') return { ended: outcome.kind };
  // It says nothing about the sync, whose key is free again.
  if (isAboutAccess(outcome.code)) throw new EventNotTakenError(outcome.code);
  return { ended: 'refused', code: outcome.code };
}
