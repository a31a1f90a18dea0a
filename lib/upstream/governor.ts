import type { PermitAnswer, Priority } from '../operations/ports/cognigy.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { type Gcra, gcraFor, WINDOW_MS } from './gcra.ts';
import type { RateCell, RateStore } from './ports.ts';

/** After a longer wait than this the cell is read again, in case somebody has paused it meanwhile (milliseconds). */
const LONG_WAIT_MS = 50;
/** A permit that took its time in the table is still good this long after it was handed out (milliseconds). */
const MIN_USABLE_MS = 50;
/** For so long what was seen of the cell is good enough to tell that there is nothing to be had (milliseconds). */
const FRESH_MS = 250;
/** Rounds of reserve and read before a cell that changes all the time counts as full. */
const MAX_ROUNDS = 6;
/** Blocks on their way to the table at a time; who asks meanwhile leaves with the next one. */
const MAX_BLOCKS = 2;
/** Share of the tolerance that scheduled work leaves to clients. */
const KEPT_FOR_CLIENTS = 0.5;
/** Everybody waits for the end of the same pause; they come back spread over this long at most (milliseconds). */
const MAX_SPREAD_MS = 1_000;

export interface PermitRequest {
  /** Epoch milliseconds: a slot later than this is of no use. */
  readonly deadlineMs: number;
  /** `interactive` unless told otherwise. */
  readonly priority?: Priority;
}

export interface GovernorOptions {
  readonly store: RateStore;
  /** Names the tenant's cell in the store. */
  readonly cell: string;
  /** The tenant's budget, `UPSTREAM_RATE_PER_MINUTE`. */
  readonly ratePerMinute: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Requests that may leave at once; 5 at a rate of 100. */
  readonly burst?: number;
  /** Requests a minute this instance allows itself while the store cannot be reached; a twentieth of the rate unless told otherwise. */
  readonly localShare?: number;
}

type Reservation =
  | { readonly kind: 'slot'; readonly slotMs: number; readonly giveBack: () => Promise<void> }
  | { readonly kind: 'full'; readonly retryAtMs: number }
  | { readonly kind: 'paused' };

/** Somebody who wants a slot, and waits to be told. */
interface Ask extends PermitRequest {
  readonly tell: (reservation: Reservation) => void;
}

/**
 * The tenant's upstream budget, shared by all instances through one GCRA cell (SPEC 3 "Rate", DESIGN 3).
 *
 * ```text
 *  acquire ──► reserve (idle or busy branch, one conditional update) ──► slot now ───────────────► permit
 *                 │ neither holds: read the cell                     └─► slot later: sleep, re-read ─► permit
 *                 ├─ paused: wait for its end if that fits, else "not granted, retry at its end"
 *                 └─ full up to the deadline: "not granted, retry at the next slot"
 * ```
 *
 * **Under load** slots are taken in blocks: who asks in the same moment, or while {@link MAX_BLOCKS} updates are on their way,
 * shares one update with all the others. A block is never larger than what is wanted: nothing is hoarded.
 *
 * **What is guaranteed.** In no sliding minute leave more than `ratePerMinute` requests, over all instances, as long as every
 * permit is used within {@link Gcra.latenessMs} of its slot (`usableUntilMs` says until when), and the instances' clocks and the
 * table's round trips keep within the same bound. Nobody is granted a permit inside a pause it could know of.
 * A slot goes back only when it was free at once and is fresh: a slot that was queued for, or has aged, would come back as a second
 * request in somebody else's minute, so it is left to lapse. The same holds for slots swallowed by a pause.
 */
export class Governor {
  readonly #options: GovernorOptions;
  readonly #gcra: Gcra;
  readonly #local: LocalShare;
  #pausedUntilMs = 0;
  /** The last of those who wait with scheduled work. */
  #scheduled: Promise<unknown> = Promise.resolve();
  /** What the cell looked like last: which branch to try first. */
  #lastTatMs = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  /** Who asks for a slot, and has not been sent to the table. */
  #asks: Ask[] = [];
  /** Blocks, and slots in them, that are on their way to the table. */
  #blocks = 0;
  #asking = 0;

  /** @throws RangeError when rate, burst or local share make no sense */
  constructor(options: GovernorOptions) {
    this.#options = options;
    this.#gcra = gcraFor(options.ratePerMinute, options.burst);
    this.#local = new LocalShare(options.localShare ?? Math.max(1, Math.floor(options.ratePerMinute / 20)));
  }

  /** The end of the pause as far as this instance knows (epoch milliseconds); 0 or past when there is none. */
  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  /** Waits for a permit for exactly one request, inside the deadline. Never rejects. */
  acquire(request: PermitRequest): Promise<PermitAnswer> {
    if (request.priority !== 'scheduled') return this.#acquire(request);
    // All of an instance's scheduled work waits for the same slot. One at a time: the losers would only cost writes.
    const turn = this.#scheduled.then(() => this.#acquire(request));
    this.#scheduled = turn;
    return turn;
  }

  async #acquire(request: PermitRequest): Promise<PermitAnswer> {
    const { clock } = this.#options;
    while (clock.now() <= request.deadlineMs) {
      if (!(await this.#sitOutPause(request.deadlineMs))) return { granted: false, retryAtMs: this.#pausedUntilMs };
      const hopelessUntilMs = this.#hopelessUntilMs(request);
      if (hopelessUntilMs !== undefined) return { granted: false, retryAtMs: hopelessUntilMs };
      const reservation = await this.#reserveSafely(request);
      if (reservation.kind === 'paused') continue;
      if (reservation.kind === 'full') {
        // Scheduled work never queues in front of a client: it comes back when the burst has recovered.
        const comesBack = request.priority === 'scheduled' && reservation.retryAtMs <= request.deadlineMs;
        if (!comesBack) return { granted: false, retryAtMs: reservation.retryAtMs };
        await this.#sleepUntil(reservation.retryAtMs, LONG_WAIT_MS);
        continue;
      }
      const waitMs = reservation.slotMs - clock.now();
      if (waitMs > 0) await clock.sleep(Math.ceil(waitMs));
      if (waitMs > LONG_WAIT_MS) await this.#look();
      if (clock.now() < this.#pausedUntilMs) continue; // the slot lapses with the pause that swallowed it
      return this.#granted(reservation, waitMs <= 0);
    }
    return { granted: false, retryAtMs: clock.now() };
  }

  /**
   * When a client may ask again who would ask for nothing now: in a crowd nearly everybody would, and most of the table's work would
   * be to say no. As many as the burst has slots are on their way there for one that must be free at once; or the cell was full
   * beyond the deadline a moment ago. (It only ever fills, but for a slot given back.)
   */
  #hopelessUntilMs({ deadlineMs, priority }: PermitRequest): number | undefined {
    if (priority === 'scheduled') return undefined;
    const nowMs = this.#options.clock.now();
    const { intervalMs, toleranceMs } = this.#gcra;
    const isFull = nowMs - this.#lookedAtMs < FRESH_MS && this.#lastTatMs > Math.max(deadlineMs, nowMs) + toleranceMs;
    if (isFull) return Math.ceil(this.#lastTatMs - toleranceMs);
    const isCrowded = deadlineMs <= nowMs && this.#asking + this.#asks.length > toleranceMs / intervalMs;
    return isCrowded ? nowMs : undefined;
  }

  /** Nobody calls before `untilMs` (epoch milliseconds), on any instance; a longer pause stays (SCENARIOS 16). Never rejects. */
  async pause(untilMs: number): Promise<void> {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs);
    // This instance keeps the pause in any case; the others will meet their own 429.
    await this.#options.store.pause(this.#options.cell, untilMs).catch(() => {});
  }

  /** False when the pause outlasts the deadline. */
  async #sitOutPause(deadlineMs: number): Promise<boolean> {
    while (this.#options.clock.now() < this.#pausedUntilMs) {
      if (this.#pausedUntilMs > deadlineMs) return false;
      await this.#sleepUntil(this.#pausedUntilMs, Math.min(this.#gcra.intervalMs, MAX_SPREAD_MS));
    }
    return true;
  }

  /** Sleeps until `atMs` and up to `spreadMs` longer, so that not everybody wakes at once (SCENARIOS 17). */
  async #sleepUntil(atMs: number, spreadMs: number): Promise<void> {
    const { clock, random } = this.#options;
    await clock.sleep(Math.ceil(atMs - clock.now() + random.next() * spreadMs));
  }

  #reserveSafely(request: PermitRequest): Promise<Reservation> {
    return new Promise((tell) => {
      this.#asks.push({ ...request, tell });
      // When everybody who asks now has asked.
      queueMicrotask(() => this.#sendBlock());
    });
  }

  #sendBlock(): void {
    if (this.#asks.length === 0 || this.#blocks === MAX_BLOCKS) return;
    const asks = this.#asks.sort((a, b) => a.deadlineMs - b.deadlineMs);
    this.#asks = [];
    this.#blocks += 1;
    this.#asking += asks.length;
    const { clock } = this.#options;
    void this.#reserve(asks)
      .catch(() => asks.map(({ deadlineMs }) => this.#local.reserve(clock.now(), deadlineMs)))
      .then((reservations) => {
        this.#blocks -= 1;
        this.#asking -= asks.length;
        for (const [index, { tell }] of asks.entries()) tell(reservations[index] as Reservation);
        this.#sendBlock();
      });
  }

  /** One reservation for each of `asks`, who are in the order of their deadlines. */
  async #reserve(asks: readonly Ask[]): Promise<readonly Reservation[]> {
    const { clock, cell, store } = this.#options;
    const { intervalMs, toleranceMs } = this.#gcra;
    let tatMs = 0;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const nowMs = clock.now();
      const { fitting, latestTatMs } = this.#fit(asks, Math.max(tatMs, nowMs), nowMs);
      const slots = fitting.size;
      if (slots === 0) return asks.map((ask) => this.#full(ask, Math.max(tatMs, nowMs)));
      const block = { nowMs, intervalMs: slots * intervalMs };
      const idle = () => store.reserveIdle(cell, block);
      const busy = () => store.reserveBusy(cell, { ...block, latestTatMs });
      const reserved =
        this.#lastTatMs <= nowMs ? ((await idle()) ?? (await busy())) : ((await busy()) ?? (await idle()));
      if (reserved !== undefined) {
        this.#learn(reserved);
        let slotMs = reserved.tatMs - block.intervalMs - toleranceMs - intervalMs;
        return asks.map((ask) => {
          if (!fitting.has(ask)) return this.#full(ask, reserved.tatMs);
          this.#local.charge(nowMs);
          slotMs += intervalMs;
          return {
            kind: 'slot',
            slotMs: Math.max(nowMs, slotMs),
            // Somebody may have paused it meanwhile: others of this instance may hold permits still.
            giveBack: () => store.release(cell, { intervalMs }).then((found) => this.#learn(found)),
          };
        });
      }
      const found = await store.read(cell);
      this.#learn(found);
      if (clock.now() < this.#pausedUntilMs) return asks.map(() => ({ kind: 'paused' }));
      // Where that still fits, somebody changed the cell between the two branches.
      tatMs = found?.tatMs ?? 0;
    }
    // Others were quicker every time: not at once again, or scheduled work would ask without a pause.
    return asks.map(() => ({ kind: 'full', retryAtMs: clock.now() + Math.ceil(intervalMs) }));
  }

  /** Who would get a slot that fits his deadline, were the cell at `tatMs`; and where it may be at most, for all of them to get one. */
  #fit(asks: readonly Ask[], tatMs: number, nowMs: number) {
    const { intervalMs } = this.#gcra;
    const fitting = new Set<Ask>();
    let latestTatMs = Number.POSITIVE_INFINITY;
    for (const ask of asks) {
      const latestMs = this.#latestTatMs(ask, nowMs) - fitting.size * intervalMs;
      if (tatMs > latestMs) continue;
      fitting.add(ask);
      latestTatMs = Math.min(latestTatMs, latestMs);
    }
    return { fitting, latestTatMs };
  }

  #full({ priority }: PermitRequest, tatMs: number): Reservation {
    const behindMs = priority === 'scheduled' ? this.#scheduledToleranceMs() : this.#gcra.toleranceMs;
    return { kind: 'full', retryAtMs: Math.ceil(tatMs - behindMs) };
  }

  /** Clients may queue up to their deadline; the schedule takes only what is free now, and never the last of the burst. */
  #latestTatMs(request: PermitRequest, nowMs: number): number {
    if (request.priority === 'scheduled') return nowMs + this.#scheduledToleranceMs();
    return request.deadlineMs + this.#gcra.toleranceMs;
  }

  #scheduledToleranceMs(): number {
    return this.#gcra.toleranceMs * (1 - KEPT_FOR_CLIENTS);
  }

  async #look(): Promise<void> {
    const { cell, store } = this.#options;
    this.#learn(await store.read(cell).catch(() => undefined));
  }

  #learn(cell: RateCell | undefined): void {
    if (cell === undefined) return;
    this.#lastTatMs = cell.tatMs;
    this.#lookedAtMs = this.#options.clock.now();
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, cell.pausedUntilMs);
  }

  #granted(slot: Extract<Reservation, { kind: 'slot' }>, atOnce: boolean): PermitAnswer {
    const { clock } = this.#options;
    const freshUntilMs = slot.slotMs + this.#gcra.latenessMs;
    let open = true;
    const release = async () => {
      const mayGoBack = open && atOnce && clock.now() < freshUntilMs;
      open = false;
      if (mayGoBack) await slot.giveBack().catch(() => {});
    };
    return {
      granted: true,
      permit: { release, usableUntilMs: Math.max(freshUntilMs, clock.now() + MIN_USABLE_MS) },
    };
  }
}

/**
 * What one instance allows itself while the table cannot be reached: a small share, never "unlimited" (DESIGN 3).
 * Permits taken from the table count against it, so that a table that comes and goes does not add the two up.
 */
class LocalShare {
  readonly #gcra: Gcra;
  #tatMs = 0;

  constructor(ratePerMinute: number) {
    this.#gcra = gcraFor(ratePerMinute);
  }

  charge(nowMs: number): void {
    this.#tatMs = Math.min(Math.max(this.#tatMs, nowMs) + this.#gcra.intervalMs, nowMs + WINDOW_MS);
  }

  reserve(nowMs: number, deadlineMs: number): Reservation {
    const slotMs = Math.max(nowMs, this.#tatMs - this.#gcra.toleranceMs);
    if (slotMs > deadlineMs) return { kind: 'full', retryAtMs: Math.ceil(slotMs) };
    this.#tatMs = Math.max(this.#tatMs, nowMs) + this.#gcra.intervalMs;
    return { kind: 'slot', slotMs, giveBack: async () => {} };
  }
}
