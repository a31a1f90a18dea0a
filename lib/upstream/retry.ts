import type { PermitAnswer, Priority, UnavailableReason } from '../operations/ports/cognigy.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { backoffMs } from './backoff.ts';
import type { Governor } from './governor.ts';
import {
  type HttpAnswer,
  type HttpClient,
  type HttpOutcome,
  type HttpRequest,
  isDeadSocket,
  latestSlotMs,
  latestStartMs,
} from './httpClient.ts';
import { retryAfterMs } from './retryAfter.ts';

/** Tries of one request (SPEC 3 "Retry"). */
export const MAX_TRIES = 3;
/** Pause for everybody after the last try was answered 429 and none said how long (milliseconds). */
const DEFAULT_PAUSE_MS = 10_000;

export interface RetryOptions {
  readonly client: Pick<HttpClient, 'send'>;
  readonly governor: Pick<Governor, 'acquire' | 'pause' | 'pausedUntilMs'>;
  readonly clock: Clock;
  readonly random: Random;
}

export interface RetryCall {
  readonly priority: Priority;
  /** Used for the first try, if it is still good by then. */
  readonly firstPermit?: Promise<PermitAnswer>;
  /** Called as a try leaves, with permit and place in hand. Must not throw. */
  readonly onLeaving?: () => void;
  /** False where sending again what may have been applied would do harm: then that is for the caller to find out. */
  readonly isRepeatable?: boolean;
}

export type RetryOutcome = {
  /** Requests that left. */
  readonly attempts: number;
  /** Tries that were answered 429. */
  readonly throttled: number;
  /** True when a try that got no proper answer may have been applied. */
  readonly maybeApplied: boolean;
} & (
  | { readonly kind: 'answer'; readonly answer: HttpAnswer }
  | {
      readonly kind: 'unavailable';
      readonly reason: UnavailableReason;
      readonly retryAtMs?: number;
      readonly status?: number;
      /** True when it was time that ran out, and not the tries. */
      readonly triesLeft: boolean;
    }
);

/**
 * Sends a request until it is answered: at most three tries inside the deadline, each with its own permit (SPEC 3 "Retry", "Rate").
 *
 * ```text
 *  permit ─► place ─► permit still good? ─► send ─► answer ───────────────────────► done
 *    ▲                                                └► 408, 429, 5xx, network, timeout
 *    └──────── full jitter, or Retry-After ◄── fits the deadline? ◄──┘    no: unavailable
 * ```
 *
 * A 429 pauses the governor, and with it every instance; sitting that out is the governor's business, which also spreads the
 * wake-up. Never rejects.
 */
export async function sendWithRetry(
  options: RetryOptions,
  request: HttpRequest,
  call: RetryCall,
): Promise<RetryOutcome> {
  const { clock, random, governor } = options;
  const sendByMs = latestStartMs(request);
  let last: Failure | undefined;
  let maybeApplied = false;
  let throttledTries = 0;
  for (let attempts = 1; ; attempts += 1) {
    const admission = new Admission(options, request, call);
    const outcome = await admission.send(request, attempts === 1 ? call.firstPermit : undefined);
    if (outcome.kind === 'not-sent') {
      const counts = { attempts: attempts - 1, maybeApplied, throttled: throttledTries };
      return { kind: 'unavailable', ...counts, triesLeft: true, ...admission.whyNot(last) };
    }
    const verdict = judge(outcome, clock.now());
    if (verdict.kind === 'answer') {
      return { kind: 'answer', answer: verdict, attempts, maybeApplied, throttled: throttledTries };
    }
    last = verdict;
    maybeApplied ||= verdict.maybeApplied;
    const throttled = verdict.reason === 'throttled';
    if (throttled) throttledTries += 1;
    if (throttled && verdict.retryAtMs !== undefined) await governor.pause(verdict.retryAtMs);
    const pauseMs = attempts === 1 && isDeadSocket(outcome) ? 0 : backoffMs(attempts - 1, random.next());
    const nowMs = clock.now();
    const nextAtMs = Math.max(nowMs + pauseMs, verdict.retryAtMs ?? 0);
    const mustNotRepeat = call.isRepeatable === false && (verdict.maybeApplied || isHardlyBegun(verdict));
    if (mustNotRepeat || attempts >= MAX_TRIES || nextAtMs >= sendByMs) {
      const counts = { attempts, maybeApplied, throttled: throttledTries };
      const triesLeft = !mustNotRepeat && attempts < MAX_TRIES;
      const ended = { ...verdict, kind: 'unavailable', ...counts, triesLeft } as const;
      if (!throttled || verdict.retryAtMs !== undefined) return ended;
      await governor.pause(nowMs + DEFAULT_PAUSE_MS);
      return { ...ended, retryAtMs: nowMs + DEFAULT_PAUSE_MS };
    }
    await clock.sleep(throttled ? pauseMs : nextAtMs - nowMs);
  }
}

/** A try that is worth another one. */
interface Failure {
  readonly kind: 'failure';
  readonly reason: UnavailableReason;
  readonly maybeApplied: boolean;
  readonly status?: number;
  /** Not before this moment (epoch milliseconds), where the upstream said so. */
  readonly retryAtMs?: number;
}

function judge(outcome: Exclude<HttpOutcome, { kind: 'not-sent' }>, nowMs: number): HttpAnswer | Failure {
  if (outcome.kind === 'timeout') return { kind: 'failure', reason: 'timeout', maybeApplied: true };
  if (outcome.kind === 'network-failure') return { kind: 'failure', reason: 'down', maybeApplied: outcome.maybeSent };
  const { status } = outcome;
  const askedForMs = retryAfterMs(outcome.headers.get('retry-after'), nowMs);
  if (status === 429) {
    const retryAt = askedForMs !== undefined && { retryAtMs: nowMs + askedForMs };
    return { kind: 'failure', reason: 'throttled', maybeApplied: false, status, ...retryAt };
  }
  if (status !== 408 && status < 500) return outcome;
  const retryAt = askedForMs !== undefined && { retryAtMs: nowMs + askedForMs };
  return { kind: 'failure', reason: 'down', maybeApplied: !isHardlyBegun({ status }), status, ...retryAt };
}

/** Who answers so was not able to handle the request (RFC 9110 sections 15.5.9, 15.6.4). Proxies say it, too, and not always rightly. */
export function isHardlyBegun({ status }: { readonly status?: number | undefined }): boolean {
  return status === 408 || status === 503;
}

/** One try's way through permit and place. */
class Admission {
  readonly #options: RetryOptions;
  readonly #deadlineMs: number;
  readonly #sendByMs: number;
  readonly #call: RetryCall;
  #permit: PermitAnswer | undefined;

  constructor(options: RetryOptions, request: HttpRequest, call: RetryCall) {
    this.#options = options;
    this.#deadlineMs = request.deadlineMs;
    this.#sendByMs = latestStartMs(request);
    this.#call = call;
  }

  async send(request: HttpRequest, permitAhead: Promise<PermitAnswer> | undefined): Promise<HttpOutcome> {
    this.#permit = await permitAhead?.catch(() => undefined);
    const hopeless = this.#permit?.granted === false && this.#permit.retryAtMs > this.#slotByMs;
    const mayLeave = !hopeless && (await this.#hasGoodPermit());
    // Asked again when a place is free: a permit that has aged in the queue would be used in another minute than it was counted in.
    const admit = async () => {
      const admitted = await this.#hasGoodPermit();
      if (admitted) this.#call.onLeaving?.();
      return admitted;
    };
    const outcome: HttpOutcome = mayLeave ? await this.#options.client.send(request, admit) : { kind: 'not-sent' };
    if (outcome.kind === 'not-sent' && this.#permit?.granted) await this.#permit.permit.release();
    return outcome;
  }

  whyNot(last: Failure | undefined): { reason: UnavailableReason; retryAtMs?: number; status?: number } {
    const { clock, governor } = this.#options;
    const nowMs = clock.now();
    const retryAtMs = this.#permit?.granted === false ? this.#permit.retryAtMs : 0;
    const when = retryAtMs > nowMs && { retryAtMs };
    const status = last?.status !== undefined && { status: last.status };
    if (nowMs < governor.pausedUntilMs) return { reason: 'throttled', ...when, ...status };
    if (nowMs >= this.#sendByMs) return { reason: last?.reason ?? 'deadline', ...when, ...status };
    return { reason: 'budget', ...when, ...status };
  }

  get #slotByMs(): number {
    return Math.min(this.#sendByMs, latestSlotMs(this.#deadlineMs, this.#options.clock.now()));
  }

  async #hasGoodPermit(): Promise<boolean> {
    const { clock, governor } = this.#options;
    if (clock.now() >= this.#sendByMs) return false;
    if (this.#permit?.granted) {
      const { usableUntilMs = Number.POSITIVE_INFINITY } = this.#permit.permit;
      if (clock.now() < usableUntilMs && clock.now() >= governor.pausedUntilMs) return true;
      await this.#permit.permit.release();
    }
    this.#permit = await governor.acquire({ deadlineMs: this.#slotByMs, priority: this.#call.priority });
    return this.#permit.granted;
  }
}
