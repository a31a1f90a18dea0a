import type { ChildProcess } from 'node:child_process';

/**
 * The next message of a forked process.
 * @throws {Error} when the process ends instead.
 */
export function nextMessage<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown) => {
      child.off('exit', onExit);
      resolve(message as Message);
    };
    const onExit = (code: number | null) => {
      child.off('message', onMessage);
      reject(new Error(`${child.spawnargs.at(-1)} ended with code ${code}`));
    };
    child.once('message', onMessage).once('exit', onExit);
  });
}

/**
 * Sends one question to a forked process and waits for its answer. One question at a time: the answer is the next message.
 * @throws {Error} when the process ends instead.
 */
export function ask<Answer>(child: ChildProcess, question: object): Promise<Answer> {
  const answer = nextMessage<Answer>(child);
  child.send(question);
  return answer;
}

/** Ends a forked process that was started here: it exits when it is let go. */
export function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.disconnect();
  });
}
