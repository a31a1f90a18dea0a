import type { Arrival, Crossing } from '../world/network.ts';
import type { Process } from '../world/process.ts';

const WINDOW_MS = 60_000;

/** Whoever hears of a pause, and lives, has put it into the cell by then, and whoever takes a slot has seen it there. */
const TOLD_MS = 1_000;
/** What an instance had decided to send before it froze leaves by then, after it has come back. */
const THAWED_MS = 10;
/** By so much an instance may take a pause for over too early: its clock is ahead. */
const AHEAD_MS = 200;

interface Sent {
  readonly atMs: number;
}

/** I4: how many requests left, and whether anybody called who was told to wait. */
export class Budget {
  readonly #ratePerMinute: number;
  readonly #broken: (what: string) => void;
  readonly #sent: Sent[] = [];
  /** When an instance could not ask the table for a permit, epoch milliseconds. */
  readonly #alone: { readonly atMs: number; readonly process: Process }[] = [];
  /** Until when an instance knows that nobody may call (by its own clock), and since when (by the world's). */
  readonly #pauses = new Map<Process, { readonly untilMs: number; readonly sinceMs: number }>();
  /** Pauses that any instance was told of, by the world's clock. */
  readonly #told: { readonly process: Process; readonly sinceMs: number; readonly untilMs: number }[] = [];
  /** As many requests as left in the fullest minute. */
  fullest = 0;

  constructor(ratePerMinute: number, broken: (what: string) => void) {
    this.#ratePerMinute = ratePerMinute;
    this.#broken = broken;
  }

  get requests(): number {
    return this.#sent.length;
  }

  left({ process, path, leftMs }: Crossing): void {
    if (isForToken(path)) return;
    this.#sent.push({ atMs: leftMs });
    const pause = this.#pauses.get(process);
    if (pause !== undefined && leftMs > pause.sinceMs && process.clock.now() < pause.untilMs) {
      this.#broken(`I4 ${process.name} called ${Math.round(pause.untilMs - process.clock.now())} ms early`);
    }
    const hasJustThawed = leftMs - process.lastThawedMs < THAWED_MS;
    const isTold =
      !hasJustThawed &&
      this.#told.some(
        ({ process: hearer, sinceMs, untilMs }) =>
          !hearer.isDead &&
          hearer.lastFrozenMs < sinceMs &&
          leftMs > sinceMs + TOLD_MS &&
          leftMs < untilMs - AHEAD_MS &&
          !this.#alone.some(({ atMs }) => atMs > sinceMs - 1_000),
      );
    if (isTold) this.#broken(`I4 ${process.name} called in a pause that another was told of`);
  }

  /** The instance hears of a 429. */
  heard({ process, path, retryAfterSeconds }: Arrival, atMs: number): void {
    if (retryAfterSeconds === undefined || isForToken(path)) return;
    this.#told.push({ process, sinceMs: atMs, untilMs: atMs + retryAfterSeconds * 1_000 });
    this.knows(process, process.clock.now() + retryAfterSeconds * 1_000, atMs);
  }

  /** The instance has seen a pause in the shared cell, or was told of one. */
  knows(process: Process, untilMs: number, atMs: number): void {
    const known = this.#pauses.get(process);
    if (untilMs > (known?.untilMs ?? process.clock.now())) this.#pauses.set(process, { untilMs, sinceMs: atMs });
  }

  /** The instance has not reached the shared cell, and goes by its own small share. */
  isAlone(process: Process, atMs: number): void {
    this.#alone.push({ atMs, process });
  }

  /** Looks at every sliding minute. */
  check(): void {
    let first = 0;
    for (const [index, { atMs }] of this.#sent.entries()) {
      while ((this.#sent[first]?.atMs ?? atMs) <= atMs - WINDOW_MS) first += 1;
      const count = index - first + 1;
      this.fullest = Math.max(this.fullest, count);
      if (count > this.#ratePerMinute && count > this.#ratePerMinute + this.#shares(atMs)) {
        this.#broken(`I4 ${count} requests in a minute, and ${this.#ratePerMinute} are allowed`);
      }
    }
  }

  /** What instances without the table allow themselves: a twentieth each, and the one that is under way. */
  #shares(atMs: number): number {
    const alone = this.#alone.filter((each) => each.atMs <= atMs && each.atMs > atMs - 2 * WINDOW_MS);
    const share = Math.max(1, Math.floor(this.#ratePerMinute / 20)) + 1;
    return new Set(alone.map(({ process }) => process)).size * share;
  }
}

function isForToken(path: string): boolean {
  return path.endsWith('/token');
}
