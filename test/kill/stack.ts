import { type RunningScript, runScript } from './processes.ts';

/** `npm start`, again and again, on the same port and the same `DATA_DIR`. Its clients wait for it to be up. */
export class KillableStack {
  readonly #directory: string;
  readonly #env: Readonly<Record<string, string>>;
  #script: RunningScript | undefined;
  #up = Promise.withResolvers<void>();
  #isUp = false;
  #isBeingKilled = false;
  readonly #died = Promise.withResolvers<never>();

  /**
   * @param directory - of the project, or of a clone of it
   * @param env - what it is started with, `PORT` and `DATA_DIR` among it
   */
  constructor(directory: string, env: Readonly<Record<string, string>>) {
    this.#directory = directory;
    this.#env = env;
    // Whoever wants to know asks; nobody has to.
    this.#died.promise.catch(() => undefined);
  }

  get url(): string {
    return `http://localhost:${this.#env['PORT']}`;
  }

  /** Rejects when it has ended without having been killed: a defect. */
  get died(): Promise<never> {
    return this.#died.promise;
  }

  /** Resolves as soon as it takes requests: at once when it is up. */
  whenUp(): Promise<void> {
    return this.#up.promise;
  }

  /** Launches it; resolves when it is up, or has ended before: {@link died} tells whether it was killed. */
  async launch(): Promise<void> {
    const script = runScript('start', this.#directory, this.#env);
    this.#script = script;
    this.#isBeingKilled = false;
    void script.ended.then(() => {
      if (this.#isBeingKilled) return;
      this.#died.reject(new Error(`the stack has ended by itself: ${script.errors.trim()}`));
    });
    const isUp = await script.match(/Ctrl-C ends all of it/).then(
      () => true,
      () => false,
    );
    if (!isUp || this.#isBeingKilled) return;
    this.#isUp = true;
    this.#up.resolve();
  }

  /** `SIGKILL` to all of it. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#isBeingKilled = true;
    if (this.#isUp) this.#up = Promise.withResolvers<void>();
    this.#isUp = false;
    await this.#script?.kill();
  }
}
