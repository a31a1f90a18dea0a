import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest } from '@smithy/core/transport';
import { SignatureV4 } from '@smithy/signature-v4';
import type { Clock } from '../platform/clock.ts';

export interface SqsQueueOptions {
  /** As AWS says it; requests go to its origin, unless there is an `endpoint`. */
  readonly queueUrl: string;
  readonly endpoint?: string;
  readonly region: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly clock: Clock;
}

/** One message; SQS takes up to 256 KiB, and holds it back for up to 900 seconds. */
export interface QueueMessage {
  readonly body: object;
  readonly delaySeconds?: number;
}

/** SQS could not be reached, or did not take what it was sent. */
export class QueueError extends Error {
  constructor(reason: string, cause?: unknown) {
    super(`the queue did not take a message: ${reason}`, { cause });
    this.name = 'QueueError';
  }
}

const TIMEOUT_MS = 2_000;
const BATCH_MAX = 10;

/**
 * Sends messages to one SQS queue, by the AWS JSON 1.0 protocol and the SDK's own signer. The SDK's client for SQS would do as much,
 * and cost 24 KiB of every function's bundle for this one call (ADR 0018).
 */
export class SqsQueue {
  readonly #options: SqsQueueOptions;
  readonly #signer: SignatureV4;
  readonly #endpoint: URL;

  constructor(options: SqsQueueOptions) {
    const { region, credentials, endpoint, queueUrl } = options;
    this.#options = options;
    this.#endpoint = new URL(endpoint ?? new URL(queueUrl).origin);
    this.#signer = new SignatureV4({ service: 'sqs', region, credentials, sha256: Sha256 });
  }

  /** @throws {QueueError} */
  async send({ body, delaySeconds }: QueueMessage): Promise<void> {
    await this.#call('SendMessage', { ...entryOf(body, delaySeconds) });
  }

  /**
   * Any number of messages, ten in a request.
   * @throws {QueueError} when one of them was not taken.
   */
  async sendAll(messages: readonly QueueMessage[]): Promise<void> {
    for (let at = 0; at < messages.length; at += BATCH_MAX) {
      const batch = messages.slice(at, at + BATCH_MAX);
      const entries = batch.map(({ body, delaySeconds }, index) => ({
        Id: `m${index}`,
        ...entryOf(body, delaySeconds),
      }));
      const { Failed: failed = [] } = await this.#call('SendMessageBatch', { Entries: entries });
      if (Array.isArray(failed) && failed.length > 0)
        throw new QueueError(`${failed.length} of ${batch.length} refused`);
    }
  }

  async #call(operation: string, input: object): Promise<Readonly<Record<string, unknown>>> {
    const { fetch, clock, queueUrl } = this.#options;
    const { protocol, hostname, host, port } = this.#endpoint;
    const unsigned = new HttpRequest({
      method: 'POST',
      protocol,
      hostname,
      ...(port !== '' && { port: Number(port) }),
      path: '/',
      headers: { host, 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${operation}` },
      body: JSON.stringify({ QueueUrl: queueUrl, ...input }),
    });
    const { headers, body } = await this.#signer.sign(unsigned, { signingDate: new Date(clock.now()) });
    const { host: _host, ...sent } = headers;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const init = { method: 'POST', headers: sent, body, redirect: 'manual', signal } as const;
      const response = await fetch(this.#endpoint.href, init);
      const text = await response.text();
      if (response.ok) return JSON.parse(text);
      throw new QueueError(`status ${response.status}`);
    } catch (error) {
      throw error instanceof QueueError ? error : new QueueError('no answer', error);
    }
  }
}

function entryOf(body: object, delaySeconds: number | undefined): object {
  return { MessageBody: JSON.stringify(body), ...(delaySeconds !== undefined && { DelaySeconds: delaySeconds }) };
}
