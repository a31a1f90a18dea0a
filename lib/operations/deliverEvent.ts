import {
  type Admission,
  admissionTo,
  afterFailure,
  afterGone,
  afterSuccess,
  type DestinationState,
} from '../context/circuitBreaker.ts';
import { type EventFilter, isWanted } from '../context/eventFilter.ts';
import { retryPauseMs } from '../context/retryLadder.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { DeliveryQueue, EventClaim, EventRef } from './ports/deliveryQueue.ts';
import type { DestinationStates, StoredDestination } from './ports/destinationStates.ts';
import type { DeadLetters, DeathReason, EventBus, WebhookSender } from './ports/outbound.ts';
import { type Prompts, promptOf } from './ports/prompts.ts';
import type { Telemetry } from './ports/telemetry.ts';

/** An HTTP endpoint that wants to hear of events. */
export interface Destination extends EventFilter {
  /** A keyed hash of its URL: another URL is another destination. */
  readonly id: string;
  readonly sender: WebhookSender;
}

export interface DeliveryDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly queue: DeliveryQueue;
  readonly states: DestinationStates;
  readonly bus: EventBus;
  readonly prompts: Prompts;
  readonly deadLetters: DeadLetters;
  /** Without one, events go to the bus alone. */
  readonly destination?: Destination | undefined;
}

export interface DeliveryCommand {
  /** Epoch milliseconds: no request goes on after that. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export type DeliveryEnd = 'delivered' | 'postponed' | 'given-up' | 'nothing-to-do';

/** What became of an event on its way to one receiver. */
type Outcome =
  | { readonly kind: 'done' }
  /** Uses up a rung of the ladder. */
  | { readonly kind: 'failed' }
  /** Was not tried, and uses up nothing. */
  | { readonly kind: 'put-off'; readonly untilMs: number }
  | { readonly kind: 'hopeless' };

interface Receiver {
  readonly name: string;
  readonly deliver: () => Promise<Outcome>;
}

/** The bus among those who are told, in {@link EventClaim.deliveredTo}. */
const BUS = 'bus';
/** Longer than a request and its noting take: who dies in between holds the event up no longer. */
const CLAIM_MS = 30_000;
/** Events that wait for a destination come back over at least this, and at most that. */
const SPREAD_MIN_MS = 3_000;
const SPREAD_MAX_MS = 900_000;
/** The longest delay of SQS; beyond it the schedule keeps the time. */
const PROMPT_MAX_MS = 900_000;
/** The prompt comes first; the schedule sees to what is still there then. */
const PROMPT_GRACE_MS = 60_000;
/** A destination that is down for so long loses an event to the dead letters, although it never had a try. */
const WAIT_MAX_MS = 7 * 24 * 3_600_000;
/** How long an event that was given up may be wanted after all. */
const BURIED_MS = 14 * 24 * 3_600_000;
/** Others may write a destination's state at the same time. */
const STATE_ROUNDS = 5;

/**
 * Delivers one event to all that have not got it yet: at least once, always under the same id (SPEC 7 "Out", SCENARIOS 14).
 *
 * ```text
 *   claim ─▶ bus and endpoint, at the same time ─┬─ all have it ───────────────────▶ finish
 *                                                ├─ one failed, or is to be spared ─▶ postpone, prompt
 *                                                └─ no rung left, or disabled ──────▶ dead letter, bury
 * ```
 *
 * @throws {StoreError} when the table cannot be reached: the event is still due then, at the latest when the claim ends.
 */
export async function deliverEvent(deps: DeliveryDeps, ref: EventRef, command: DeliveryCommand): Promise<DeliveryEnd> {
  const nowMs = deps.clock.now();
  const result = await deps.queue.claim(ref, { nowMs, untilMs: nowMs + CLAIM_MS });
  if (result.kind === 'claimed') return new Delivery(deps, result.claim, command).run();
  if (result.kind === 'unreadable') {
    command.telemetry.log('warn', 'an event opens no more', { eventId: ref.eventId });
    await deps.queue.finish(ref, nowMs);
  }
  return 'nothing-to-do';
}

class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #claim: EventClaim;
  readonly #command: DeliveryCommand;

  constructor(deps: DeliveryDeps, claim: EventClaim, command: DeliveryCommand) {
    this.#deps = deps;
    this.#claim = claim;
    this.#command = command;
  }

  async run(): Promise<DeliveryEnd> {
    const waiting = this.#receivers().filter(({ name }) => !this.#claim.deliveredTo.includes(name));
    const ends = await Promise.all(waiting.map(async ({ name, deliver }) => ({ name, outcome: await deliver() })));
    const outcomes = ends.map(({ outcome }) => outcome);
    if (outcomes.every(({ kind }) => kind === 'done')) {
      await this.#deps.queue.finish(this.#claim.ref, this.#deps.clock.now());
      this.#command.telemetry.count('EventDelivered');
      return 'delivered';
    }
    const done = ends.filter(({ outcome }) => outcome.kind === 'done').map(({ name }) => name);
    return this.#tryAgain(outcomes, [...this.#claim.deliveredTo, ...done]);
  }

  #receivers(): Receiver[] {
    const { destination } = this.#deps;
    const bus = { name: BUS, deliver: () => this.#toBus() };
    if (destination === undefined || !isWanted(destination, this.#claim.event)) return [bus];
    return [bus, { name: destination.id, deliver: () => this.#toDestination(destination) }];
  }

  async #toBus(): Promise<Outcome> {
    const { ref, event } = this.#claim;
    try {
      await this.#deps.bus.put(ref.eventId, event);
      return { kind: 'done' };
    } catch (error) {
      return this.#failed(BUS, {}, error);
    }
  }

  async #toDestination(destination: Destination): Promise<Outcome> {
    const { clock } = this.#deps;
    const { ref, event } = this.#claim;
    const { admission, seen } = await this.#admission(destination.id);
    if (admission.kind === 'disabled') return { kind: 'hopeless' };
    if (admission.kind === 'open') return { kind: 'put-off', untilMs: this.#afterOpen(admission.untilMs) };
    const { deadlineMs } = this.#command;
    const result = await destination.sender.send(ref.eventId, event, deadlineMs);
    if (result.kind === 'delivered') {
      await this.#note(destination.id, seen, afterSuccess);
      return { kind: 'done' };
    }
    if (result.kind === 'gone') {
      await this.#disable(destination.id, seen);
      return { kind: 'hopeless' };
    }
    const wasProbe = admission.kind === 'probe';
    await this.#note(destination.id, seen, (state) => afterFailure(state, clock.now(), wasProbe));
    return this.#failed('webhook', { reason: result.reason, status: result.status });
  }

  /**
   * When an event comes back that waits for a destination: over as long as it has been waiting. All at once would be too much for
   * one that has just recovered, and each time the same would have thousands ask again and again.
   */
  #afterOpen(untilMs: number): number {
    const { clock, random } = this.#deps;
    const nowMs = clock.now();
    const waitedMs = nowMs - (this.#claim.waitingSinceMs ?? nowMs);
    const spreadMs = Math.min(SPREAD_MAX_MS, Math.max(SPREAD_MIN_MS, waitedMs));
    return Math.ceil(untilMs + spreadMs * random.next());
  }

  /** Whether the destination may be sent to, and what is known of it. Of several who would probe it, one does. */
  async #admission(id: string): Promise<{ readonly admission: Admission; readonly seen: StoredDestination }> {
    const { states, clock } = this.#deps;
    for (let round = 1; ; round += 1) {
      const nowMs = clock.now();
      const seen = await states.read(id);
      const admission = admissionTo(seen.state, nowMs);
      if (admission.kind !== 'probe') return { admission, seen };
      const { claimed } = admission;
      if (await states.replace(id, seen, claimed, nowMs)) {
        return { admission, seen: { state: claimed, revision: seen.revision + 1 } };
      }
      // Somebody else was quicker, round after round: one of them is probing.
      if (round === STATE_ROUNDS) return { admission: { kind: 'open', untilMs: claimed.openUntilMs }, seen };
    }
  }

  /**
   * Changes what is known of a destination; true when it was this that changed it. What cannot be noted must not repeat what was
   * delivered: it is logged, and that is all.
   */
  async #note(
    id: string,
    firstSeen: StoredDestination,
    next: (state: DestinationState) => DestinationState,
  ): Promise<boolean> {
    const { states, clock } = this.#deps;
    try {
      let seen = firstSeen;
      for (let round = 1; round <= STATE_ROUNDS; round += 1) {
        const state = next(seen.state);
        if (state === seen.state) return false;
        if (await states.replace(id, seen, state, clock.now())) return true;
        seen = await states.read(id);
      }
    } catch (error) {
      this.#command.telemetry.log('warn', "a destination's state was not noted", { destination: id }, error);
    }
    return false;
  }

  /** 410: for good, until somebody enables it again. It is said once, by whoever has noted it. */
  async #disable(id: string, seen: StoredDestination): Promise<void> {
    const { clock, random, bus } = this.#deps;
    const { telemetry } = this.#command;
    const atMs = clock.now();
    const reason = 'gone';
    if (!(await this.#note(id, seen, (state) => afterGone(state, atMs, reason)))) return;
    telemetry.count('DestinationDisabled');
    telemetry.log('error', 'a destination is disabled', { destination: id, reason });
    const timestamp = new Date(atMs).toISOString();
    const data = { destination: id, reason };
    try {
      await bus.put(random.ulid(atMs), { type: 'destination.disabled', timestamp, data });
    } catch (error) {
      telemetry.log('error', 'the bus was not told of a disabled destination', { destination: id }, error);
    }
  }

  #failed(receiver: string, fields: { reason?: string; status?: number | undefined }, error?: unknown): Outcome {
    const { telemetry } = this.#command;
    const { ref, failures } = this.#claim;
    telemetry.count('DeliveryFailed');
    telemetry.log('warn', 'a delivery failed', { receiver, eventId: ref.eventId, failures, ...fields }, error);
    return { kind: 'failed' };
  }

  async #tryAgain(outcomes: readonly Outcome[], deliveredTo: readonly string[]): Promise<DeliveryEnd> {
    const { clock, random, queue } = this.#deps;
    const nowMs = clock.now();
    const { waitingSinceMs = nowMs } = this.#claim;
    const hasFailed = outcomes.some(({ kind }) => kind === 'failed');
    const failures = this.#claim.failures + (hasFailed ? 1 : 0);
    const putOffUntil = outcomes.flatMap((outcome) => (outcome.kind === 'put-off' ? [outcome.untilMs] : []));
    if (!hasFailed && putOffUntil.length === 0) return this.#giveUp('destination-disabled', failures, deliveredTo);
    if (nowMs - waitingSinceMs >= WAIT_MAX_MS) return this.#giveUp('waited-too-long', failures, deliveredTo);
    const pauseMs = hasFailed ? retryPauseMs(failures, random.next()) : undefined;
    if (hasFailed && pauseMs === undefined) return this.#giveUp('retries-exhausted', failures, deliveredTo);

    const readyAtMs = Math.min(...putOffUntil, ...(pauseMs === undefined ? [] : [nowMs + pauseMs]));
    const isPrompted = readyAtMs - nowMs <= PROMPT_MAX_MS;
    const dueAtMs = readyAtMs + (isPrompted ? PROMPT_GRACE_MS : 0);
    await queue.postpone(this.#claim, { readyAtMs, dueAtMs, failures, deliveredTo, waitingSinceMs });
    if (isPrompted) await this.#prompt(Math.ceil((readyAtMs - nowMs) / 1_000));
    return 'postponed';
  }

  /** Who is not prompted is found by the schedule. */
  async #prompt(delaySeconds: number): Promise<void> {
    try {
      await this.#deps.prompts.send([promptOf(this.#claim.ref)], delaySeconds);
    } catch (error) {
      this.#command.telemetry.log('warn', 'a prompt was not sent', {}, error);
    }
  }

  /** The letter first: twice told of is better than forgotten. */
  async #giveUp(reason: DeathReason, attempts: number, deliveredTo: readonly string[]): Promise<DeliveryEnd> {
    const { queue, deadLetters, destination, clock } = this.#deps;
    const { telemetry } = this.#command;
    const { ref } = this.#claim;
    const missed = destination !== undefined && !deliveredTo.includes(destination.id);
    await deadLetters.send({ ...ref, reason, attempts, ...(missed && { destination: destination.id }) });
    await queue.bury(this.#claim, { keepUntilMs: clock.now() + BURIED_MS, deliveredTo });
    telemetry.count('EventDeadLettered');
    telemetry.log('error', 'an event was given up', { eventId: ref.eventId, reason, attempts });
    return 'given-up';
  }
}
