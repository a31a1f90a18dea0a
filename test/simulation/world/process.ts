import type { Clock } from '../../../lib/platform/clock.ts';
import type { Timeline } from './timeline.ts';

const never = <Result>(): Promise<Result> => new Promise(() => {});

/**
 * One process of the bridge as the world sees it. Whatever comes to it, comes through {@link deliver}: a dead one hears nothing any
 * more, a frozen one hears everything late. What it has sent goes on without it.
 */
export class Process {
  readonly died: Promise<void>;
  /** How far its clock is ahead, milliseconds. */
  readonly skewMs: number;
  readonly name: string;
  readonly #timeline: Timeline;
  readonly #late: (() => void)[] = [];
  #die: () => void = () => {};
  #isDead = false;
  #isFrozen = false;
  #lastFrozenMs = Number.NEGATIVE_INFINITY;
  #lastThawedMs = Number.NEGATIVE_INFINITY;
  #doomedAt: { requests: number; readonly when: 'before' | 'after' } | undefined;

  constructor(name: string, timeline: Timeline, skewMs: number) {
    this.name = name;
    this.#timeline = timeline;
    this.skewMs = skewMs;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** When it froze last, epoch milliseconds. */
  get lastFrozenMs(): number {
    return this.#lastFrozenMs;
  }

  /** When it came back from that. */
  get lastThawedMs(): number {
    return this.#lastThawedMs;
  }

  /** It will die with its `requests`-th request from now on, before that leaves or right after. */
  doom(requests: number, when: 'before' | 'after'): void {
    this.#doomedAt = { requests, when };
  }

  kill(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#timeline.note(`${this.name} dies`);
    this.#die();
  }

  freeze(): void {
    this.#isFrozen = true;
    this.#lastFrozenMs = this.#timeline.exactMs;
    this.#timeline.note(`${this.name} freezes`);
  }

  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    this.#lastThawedMs = this.#timeline.exactMs;
    this.#timeline.note(`${this.name} thaws`);
    for (const arrive of this.#late.splice(0)) this.deliver(arrive);
  }

  /** Something arrives at the process: an answer, or the end of a sleep. */
  deliver(arrive: () => void): void {
    if (this.#isDead) return;
    if (this.#isFrozen) this.#late.push(arrive);
    else arrive();
  }

  /** Sends a request into the world, as long as the process is there to do so. */
  send<Answer>(request: () => Promise<Answer>): Promise<Answer> {
    if (this.#isDead) return never();
    const doom = this.#doomedAt;
    if (doom === undefined) return request();
    doom.requests -= 1;
    if (doom.requests > 0) return request();
    this.#doomedAt = undefined;
    if (doom.when === 'after') request().catch(() => undefined);
    this.kill();
    return never();
  }

  /** Its own view of time. */
  readonly clock: Clock = {
    now: () => Math.floor(this.#timeline.exactMs + this.skewMs),
    turn: () => new Promise((resolve) => this.#timeline.after(0, () => this.deliver(resolve))),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted || ms <= 0) return resolve();
        const callOff = this.#timeline.after(ms, () =>
          this.deliver(() => {
            signal?.removeEventListener('abort', leave);
            resolve();
          }),
        );
        const leave = () => {
          callOff();
          resolve();
        };
        signal?.addEventListener('abort', leave, { once: true });
      }),
  };
}
