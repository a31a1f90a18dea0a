/** Time from outside, so that a simulation can own it. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** Resolves after `ms` milliseconds, or at once when `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Resolves when what has been begun before had its turn on the event loop: requests already made are on the wire then. */
  turn(): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  // Two of the event loop's: the first one shows whether a connection that was idle still stands.
  turn: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted || ms <= 0) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener('abort', done, { once: true });
    }),
};
