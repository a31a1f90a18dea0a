import { bucketOf } from '../context/latencyHistogram.ts';
import type { MeasuredFunction, RollupWriter, Tally } from '../operations/ports/rollups.ts';
import type { OperationEnd, Settling } from '../operations/ports/telemetry.ts';
import { waitAMoment } from './aMoment.ts';
import type { Clock } from './clock.ts';

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
    await waitAMoment(this.#clock, this.#writes);
  }

  #countOwn({ name, isSuccess, isOneOfMany = false }: OperationEnd, confirmed: number): void {
    if (this.#hasCountedOwn && !isOneOfMany) {
      this.#add(name, confirmation(confirmed));
      return;
    }
    this.#hasCountedOwn = true;
    const ms = Math.max(0, Math.round(this.#clock.now() - this.#startedAtMs));
    const latencies = new Map([[bucketOf(ms), 1]]);
    this.#add(name, { operations: 1, successes: isSuccess ? 1 : 0, confirmed, latencySumMs: ms, latencies });
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
