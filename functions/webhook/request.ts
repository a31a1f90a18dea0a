import * as z from 'zod/mini';
import { jsonObject, parseBody, sessionId } from '../../lib/http/fields.ts';
import { acceptedOf } from '../../lib/http/laneAnswers.ts';
import type { Answer, JsonBody } from '../../lib/http/messages.ts';
import type { WebhookAnswer, WebMessage } from '../../lib/operations/receiveWebhook.ts';

const text = z.string('is missing or not a string');
const label = text.check(
  z.regex(/^[^\p{Cc}]{1,256}$/u, 'must have 1 to 256 characters, none of them a control character'),
);

const webMessage = (sessionIdPrefix: string) =>
  z.strictObject(
    {
      sessionId: sessionId(sessionIdPrefix),
      userId: label,
      message: text,
      channel: label,
      timestamp: z.int('is missing or not a whole number of milliseconds').check(z.minimum(0, 'must not be negative')),
      custom: z.exactOptional(jsonObject),
    },
    'must be an object',
  );

/**
 * The body as a message.
 * @throws {Problem} `validation-failed` with every violation.
 */
export function readMessage(body: JsonBody, sessionIdPrefix: string): WebMessage {
  return parseBody(webMessage(sessionIdPrefix), body);
}

/** Whose session a body that is refused is about, where it says that much: for the audit trail. */
export function addresseeOf({ value }: JsonBody, sessionIdPrefix: string): WebMessage['sessionId'] | undefined {
  const parsed = z.object({ sessionId: sessionId(sessionIdPrefix) }).safeParse(value);
  return parsed.success ? parsed.data.sessionId : undefined;
}

/**
 * The answer to a message. The endpoint looks at the status: it repeats what was answered 5xx.
 * @throws {Problem} for everything but a confirmed or pending operation.
 */
export function answerMessage({ sessionId: session }: WebMessage, answer: WebhookAnswer): Answer {
  const accepted = acceptedOf(session, answer);
  const { headers } = accepted;
  const { operationId, auditId, version } = accepted.kind === 'pending' ? accepted : accepted.outcome;
  const isDone = accepted.kind === 'confirmed';
  const body = { status: isDone ? 'processed' : 'accepted', sessionId: session, version };
  const visibility = isDone ? 'confirmed' : 'queued';
  return { status: isDone ? 200 : 202, headers, body: { ...body, visibility, operationId, auditId } };
}
