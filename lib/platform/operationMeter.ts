import { bucketOf } from '../context/latencyHistogram.ts';
import type { MeasuredFunction, RollupWriter, Tally } from '../operations/ports/rollups.ts';
import type { OperationEnd, Settling } from '../operations/ports/telemetry.ts';
import type { Clock } from './clock.ts';

/** An answer is not kept back longer than this by its own count. */
const PATIENCE_MS = 200;

/** Where operations are counted, and by which clock. */
export interface MeterOptions {
  readonly rollups: RollupWriter;
  readonly clock: Clock;
}

/** Counts what one invocation does to operations: its own, once, and those of others that it gets confirmed. */
export class OperationMeter {
  readonly #rollups: RollupWriter;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  readonly #onLost: (error: unknown) => void;
  readonly #writes: Promise<void>[] = [];
  #hasCountedOwn = false;

  /** `onLost` is told about every count that could not be written. */
  constructor({ rollups, clock }: MeterOptions, onLost: (error: unknown) => void) {
    this.#rollups = rollups;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    this.#onLost = onLost;
  }

  /** Begins to write what a settle says, beside that settle. */
  settling({ confirmed, own }: Settling): void {
    if (own !== undefined) this.#countOwn(own, confirmed.get(own.name) ?? 0);
    for (const [name, count] of confirmed) {
      if (name !== own?.name) this.#add(name, confirmation(count));
    }
  }

  /** How the invocation's own operation has been answered, where no settle has said so already. */
  answered(own: OperationEnd): void {
    this.#countOwn(own, 0);
  }

  /**
   * Waits a moment for what is still being written. What left beside a settle has left a round trip to the database ago, so
   * usually there is nothing to wait for. It is waited for all the same: in a process that is frozen with a request open, the
   * request counts as timed out when the process goes on, and is sent, and counted, again.
   */
  async end(): Promise<void> {
    if (this.#writes.length === 0) return;
    const over = new AbortController();
    await Promise.race([Promise.all(this.#writes), this.#clock.sleep(PATIENCE_MS, over.signal)]);
    over.abort('counted');
  }

  #countOwn({ name, isSuccess, times }: OperationEnd, confirmed: number): void {
    if (this.#hasCountedOwn && times === undefined) {
      this.#add(name, confirmation(confirmed));
      return;
    }
    this.#hasCountedOwn = true;
    const ms = Math.max(0, Math.round(this.#clock.now() - this.#startedAtMs));
    const operations = times ?? 1;
    const latencies = new Map([[bucketOf(ms), operations]]);
    const successes = isSuccess ? operations : 0;
    this.#add(name, { operations, successes, confirmed, latencySumMs: ms * operations, latencies });
  }

  #add(name: MeasuredFunction, tally: Tally): void {
    if (tally.operations === 0 && tally.confirmed === 0) return;
    this.#writes.push(this.#write(this.#clock.now(), name, tally).catch(this.#onLost));
  }

  /** A turn of the event loop later: the settle, for which a client waits, is to be prepared and to leave first. */
  async #write(nowMs: number, name: MeasuredFunction, tally: Tally): Promise<void> {
    await this.#clock.turn();
    await this.#rollups.add(nowMs, name, tally);
  }
}

function confirmation(confirmed: number): Tally {
  return { operations: 0, successes: 0, confirmed, latencySumMs: 0, latencies: new Map() };
}
