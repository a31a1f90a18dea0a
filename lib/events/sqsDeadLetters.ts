import type { DeadLetter, DeadLetters } from '../operations/ports/outbound.ts';
import type { SqsQueue } from './sqsQueue.ts';

/** {@link DeadLetters} in a queue of SQS, from which `npm run dlq:replay` takes them. */
export class SqsDeadLetters implements DeadLetters {
  readonly #queue: SqsQueue;

  constructor(queue: SqsQueue) {
    this.#queue = queue;
  }

  /** @throws {QueueError} when it was not taken. */
  async send({ session, eventId, reason, attempts, destination }: DeadLetter): Promise<void> {
    await this.#queue.send({ body: { kind: 'dead', session: session.key, eventId, reason, attempts, destination } });
  }
}
