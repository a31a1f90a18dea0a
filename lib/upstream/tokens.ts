import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { backoffMs } from './backoff.ts';
import type { TokenOutcome } from './oauth.ts';
import type { SharedToken, TokenStore } from './ports.ts';

/** Longest a token request may take, unless told otherwise (milliseconds). */
const DEFAULT_REQUEST_TIMEOUT_MS = 5_000;
/** A refresher's claim outlives its request by this, so that the token can still be written (milliseconds). */
const CLAIM_MARGIN_MS = 1_000;
/** How often those without any token look whether the refresher is done (milliseconds, on average). */
const POLL_MS = 100;
/** While somebody else refreshes and the old token is valid, the store is left alone this long (milliseconds). */
const LOOK_AGAIN_MS = 1_000;
/** After a failed refresh nobody asks again for this long; doubles up to the cap (milliseconds). */
const HOLD_OFF_MS = 2_000;
const HOLD_OFF_CAP_MS = 30_000;
/** Token requests per refresh when nothing valid is held; one is enough while there is (SPEC 3 "Retry"). */
const MAX_TRIES = 3;

/** What a caller that wants to send something is told. */
export type TokenAnswer =
  | { readonly kind: 'token'; readonly accessToken: string }
  /** The credentials are refused. */
  | { readonly kind: 'rejected'; readonly status: number }
  | { readonly kind: 'bad-response'; readonly status: number }
  /** The endpoint is down and no valid token is held; nobody asks before `retryAtMs` (epoch milliseconds). */
  | { readonly kind: 'unavailable'; readonly retryAtMs: number }
  /** The caller's deadline came first. */
  | { readonly kind: 'late' };

export interface TokenSourceOptions {
  /** Asks the token endpoint once; see `requestToken`. Must not reject. */
  readonly request: (timeoutMs: number) => Promise<TokenOutcome>;
  readonly store: TokenStore;
  /** Opaque; differs by base URL, tenant, surface and client id. */
  readonly tokenKey: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Per token request, in milliseconds; 5,000 unless told otherwise. */
  readonly requestTimeoutMs?: number;
}

/**
 * The access token of one surface: from memory, else from the table, else from the endpoint, by one refresher across all instances
 * (SPEC 3 "OAuth").
 *
 * ```text
 *  life of a token    |––––––––– use –––––––––|–– use, and one refreshes ––|  gone
 *                     issued                  refreshAt                    expiresAt
 *
 *  instance A   claim ✓ ─► endpoint ─► write (releases the claim)
 *  instance B   claim ✗ ─► old token still valid? use it : poll the table until A has written or its claim has lapsed
 * ```
 *
 * A store that fails costs sharing, never a token: memory goes on, and the endpoint is asked without a claim.
 */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  #held: SharedToken | undefined;
  /** The last token an upstream refused: never used again, wherever it turns up. */
  #dropped: string | undefined;
  #flight: Promise<TokenAnswer> | undefined;
  #quietUntilMs = 0;
  #failure: { readonly answer: TokenAnswer; readonly untilMs: number } | undefined;
  #failures = 0;

  constructor(options: TokenSourceOptions) {
    this.#options = options;
  }

  /** A valid token before `deadlineMs` (epoch milliseconds), or why there is none. Concurrent callers share one refresh. Never rejects. */
  async get(deadlineMs: number): Promise<TokenAnswer> {
    const { clock } = this.#options;
    for (;;) {
      const nowMs = clock.now();
      const held = this.#valid(nowMs);
      const mayWait = this.#flight !== undefined || nowMs < this.#quietUntilMs;
      if (held !== undefined && (nowMs < held.refreshAtMs || mayWait)) return tokenAnswer(held);
      if (nowMs >= deadlineMs) return held === undefined ? { kind: 'late' } : tokenAnswer(held);
      this.#flight ??= this.#refresh(deadlineMs).finally(() => {
        this.#flight = undefined;
      });
      const answer = await this.#before(deadlineMs, this.#flight);
      const stale = answer.kind === 'token' && answer.accessToken === this.#dropped;
      // `late` from a flight that somebody with less time started, or a token that was refused meanwhile: another round, if time is left.
      if (answer.kind !== 'late' && !stale) return answer;
    }
  }

  /** Drops exactly this token after a 401; a newer one that somebody has fetched meanwhile stays (SCENARIOS 18). Never rejects. */
  async invalidate(accessToken: string): Promise<void> {
    this.#dropped = accessToken;
    if (this.#held?.accessToken === accessToken) this.#held = undefined;
    await this.#options.store.drop(this.#options.tokenKey, accessToken).catch(() => {});
  }

  #valid(nowMs: number): SharedToken | undefined {
    return this.#held !== undefined && nowMs < this.#held.expiresAtMs ? this.#held : undefined;
  }

  async #before(deadlineMs: number, flight: Promise<TokenAnswer>): Promise<TokenAnswer> {
    const { clock } = this.#options;
    const settled = new AbortController();
    const timeUp = clock.sleep(deadlineMs - clock.now(), settled.signal).then((): TokenAnswer => ({ kind: 'late' }));
    const answer = await Promise.race([flight, timeUp]);
    settled.abort();
    return answer;
  }

  async #refresh(deadlineMs: number): Promise<TokenAnswer> {
    const { clock, random } = this.#options;
    while (clock.now() < deadlineMs) {
      await this.#takeFromStore();
      const nowMs = clock.now();
      const held = this.#valid(nowMs);
      if (held !== undefined && nowMs < held.refreshAtMs) return tokenAnswer(held);
      if (this.#failure !== undefined && nowMs < this.#failure.untilMs) {
        return held === undefined ? this.#failure.answer : this.#stayQuiet(held, this.#failure.untilMs);
      }
      const claimedUntilMs = await this.#claim();
      if (claimedUntilMs !== undefined) return this.#fetch(claimedUntilMs, held);
      if (held !== undefined) return this.#stayQuiet(held, nowMs + LOOK_AGAIN_MS);
      await clock.sleep(Math.ceil(POLL_MS * (0.5 + random.next())));
    }
    return { kind: 'late' };
  }

  #stayQuiet(held: SharedToken, untilMs: number): TokenAnswer {
    this.#quietUntilMs = untilMs;
    return tokenAnswer(held);
  }

  async #takeFromStore(): Promise<void> {
    const { store, tokenKey } = this.#options;
    const stored = await store.read(tokenKey).catch(() => undefined);
    if (stored === undefined || stored.accessToken === this.#dropped) return;
    if (this.#held === undefined || stored.expiresAtMs > this.#held.expiresAtMs) this.#held = stored;
  }

  /** Until when this instance is the refresher (epoch milliseconds); undefined when another one is. */
  async #claim(): Promise<number | undefined> {
    const { clock, store, tokenKey, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = this.#options;
    const nowMs = clock.now();
    const untilMs = nowMs + requestTimeoutMs + CLAIM_MARGIN_MS;
    const claim = { owner: this.#owner(), nowMs, untilMs };
    const claimed = await store.claimRefresh(tokenKey, claim).catch(() => true);
    return claimed ? untilMs : undefined;
  }

  async #fetch(claimedUntilMs: number, held: SharedToken | undefined): Promise<TokenAnswer> {
    const { clock, store, tokenKey } = this.#options;
    const outcome = await this.#ask(claimedUntilMs, held === undefined ? MAX_TRIES : 1);
    if (outcome.kind === 'token') {
      this.#failures = 0;
      this.#failure = undefined;
      this.#held = outcome.token;
      this.#dropped = undefined; // an endpoint that hands the same token out again means it
      await store.write(tokenKey, this.#owner(), outcome.token).catch(() => {});
      return tokenAnswer(outcome.token);
    }
    this.#failures += 1;
    const holdOffMs = Math.min(HOLD_OFF_CAP_MS, HOLD_OFF_MS * 2 ** (this.#failures - 1));
    const askedForMs = outcome.kind === 'unavailable' ? (outcome.retryAfterMs ?? 0) : 0;
    const untilMs = clock.now() + Math.max(holdOffMs, askedForMs);
    const answer: TokenAnswer = outcome.kind === 'unavailable' ? { kind: 'unavailable', retryAtMs: untilMs } : outcome;
    this.#failure = { answer, untilMs };
    // Read again: the old token may have run out, or been refused, while the endpoint was asked.
    const still = this.#valid(clock.now());
    return still === undefined ? answer : this.#stayQuiet(still, untilMs);
  }

  async #ask(claimedUntilMs: number, tries: number): Promise<TokenOutcome> {
    const { clock, random, request, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = this.#options;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await request(Math.min(requestTimeoutMs, claimedUntilMs - clock.now()));
      if (outcome.kind !== 'unavailable' || attempt + 1 >= tries) return outcome;
      const atOnce = outcome.deadSocket && attempt === 0;
      const waitMs = Math.max(outcome.retryAfterMs ?? 0, atOnce ? 0 : backoffMs(attempt, random.next()));
      if (clock.now() + waitMs >= claimedUntilMs) return outcome;
      await clock.sleep(waitMs);
    }
  }

  /** One name per source and process; the claim tells instances apart by it. */
  #owner(): string {
    this.#ownerName ??= this.#options.random.ulid(this.#options.clock.now());
    return this.#ownerName;
  }

  #ownerName: string | undefined;
}

function tokenAnswer(token: SharedToken): TokenAnswer {
  return { kind: 'token', accessToken: token.accessToken };
}
