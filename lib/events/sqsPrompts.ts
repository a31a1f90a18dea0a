import type { Prompt, Prompts } from '../operations/ports/prompts.ts';
import type { SqsQueue } from './sqsQueue.ts';

/** {@link Prompts} by SQS. */
export class SqsPrompts implements Prompts {
  readonly #queue: SqsQueue;

  constructor(queue: SqsQueue) {
    this.#queue = queue;
  }

  /** @throws {QueueError} when any was not taken. */
  async send(prompts: readonly Prompt[], delaySeconds = 0): Promise<void> {
    await this.#queue.sendAll(prompts.map((body) => ({ body, delaySeconds })));
  }
}
