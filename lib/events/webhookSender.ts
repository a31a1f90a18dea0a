import { Webhook } from 'standardwebhooks';
import type { OutboundEvent } from '../operations/ports/eventQueue.ts';
import type { SendResult, WebhookSender } from '../operations/ports/outbound.ts';
import { eventBody } from './eventBody.ts';
import { type GuardOptions, guardedPost } from './guardedPost.ts';

/** Longest one delivery may take (Standard Webhooks recommends 15 to 30 s; nothing is gained by a slow endpoint), milliseconds. */
const TIMEOUT_MS = 10_000;

export interface WebhookSenderOptions extends GuardOptions {
  readonly url: string;
  /** Live secrets, `whsec_…`; two while they are rotated. */
  readonly secrets: readonly string[];
}

/** {@link WebhookSender} in the form of Standard Webhooks (https://www.standardwebhooks.com). */
export class StandardWebhookSender implements WebhookSender {
  readonly #options: WebhookSenderOptions;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
  }

  async send(eventId: string, event: OutboundEvent, deadlineMs: number): Promise<SendResult> {
    const { url, secrets, clock } = this.#options;
    const nowMs = clock.now();
    const body = JSON.stringify(eventBody(event));
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'Context-Bridge/1',
      ...signatureHeaders(eventId, body, secrets, nowMs),
    };
    const timeoutMs = Math.min(TIMEOUT_MS, deadlineMs - nowMs);
    const outcome = await guardedPost({ url, headers, body, timeoutMs }, this.#options);
    if (outcome.kind === 'refused') return { kind: 'failed', reason: outcome.reason };
    if (outcome.kind === 'failed') return { kind: 'failed', reason: outcome.code };
    const { status } = outcome;
    if (status === 410) return { kind: 'gone' };
    return status >= 200 && status < 300 ? { kind: 'delivered' } : { kind: 'failed', reason: 'status', status };
  }
}

/**
 * The headers that vouch for a body. With two secrets there are two signatures: the receiver rotates when it likes.
 *
 * @param nowMs - the moment of this try, epoch milliseconds: a receiver refuses what was signed long ago
 */
export function signatureHeaders(
  eventId: string,
  body: string,
  secrets: readonly string[],
  nowMs: number,
): Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>> {
  const seconds = Math.floor(nowMs / 1_000);
  const signedAt = new Date(seconds * 1_000);
  return {
    'webhook-id': eventId,
    'webhook-timestamp': String(seconds),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(eventId, signedAt, body)).join(' '),
  };
}
