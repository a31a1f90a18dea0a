import type {
  PermitAnswer,
  RefusalCode,
  UnavailableReason,
  UpstreamCall,
  WriteResult,
} from '../operations/ports/cognigy.ts';
import type { HttpAnswer, HttpRequest } from './httpClient.ts';
import { type RetryCall, type RetryOptions, type RetryOutcome, sendWithRetry } from './retry.ts';
import type { TokenAnswer, TokenSource } from './tokens.ts';

/** How a call ends without the answer it wanted. */
export type Ending = Exclude<WriteResult, { kind: 'confirmed' }>;

export type Answered =
  | { readonly kind: 'answer'; readonly answer: HttpAnswer }
  | {
      readonly kind: 'ended';
      readonly ending: Ending;
      /**
       * Only the request's own time was over (`sendByMs`), not the call's: from this moment (epoch milliseconds) another one, which
       * says something that still holds, may take its place.
       */
      readonly remakeAtMs?: number;
    };

export interface AuthorizedCallOptions extends RetryOptions {
  readonly tokens: Pick<TokenSource, 'get' | 'invalidate'>;
}

/** One request of a call: who is asked, what is sent, and until when, where that is earlier than the call's own time. */
export type CallRequest = Pick<HttpRequest, 'method' | 'url' | 'body' | 'ifMatch' | 'sendByMs'> &
  Pick<RetryCall, 'isRepeatable'>;

/**
 * One call of a use case: its requests, with token and retries, under one deadline, and what they add up to.
 *
 * A 401 drops that token, fetches one new token and repeats once; a second 401 in the same call is `upstream-unauthorized`
 * (SPEC 3 "OAuth", SCENARIOS 18).
 */
export class AuthorizedCall {
  readonly #options: AuthorizedCallOptions;
  readonly #call: UpstreamCall;
  /** Epoch milliseconds after which nothing of the call is sent any more. */
  readonly #sendByMs: number;
  /** Asked for ahead, for the request that comes next. */
  #permitAhead: Promise<PermitAnswer> | undefined;
  #tokenRenewed = false;
  #attempts = 0;
  #throttled = 0;
  #upstreamStatus: number | undefined;
  #outcomeUnknown = false;

  constructor(options: AuthorizedCallOptions, call: UpstreamCall) {
    this.#options = options;
    this.#call = call;
    this.#sendByMs = Math.min(call.deadlineMs, call.sendByMs ?? call.deadlineMs);
    this.#permitAhead = call.firstPermit;
  }

  /** Requests that left, and the status of the last answer. */
  get sent(): { attempts: number; throttled?: number; upstreamStatus?: number } {
    const status = this.#upstreamStatus;
    return {
      attempts: this.#attempts,
      ...(this.#throttled > 0 && { throttled: this.#throttled }),
      ...(status !== undefined && { upstreamStatus: status }),
    };
  }

  /**
   * Sends one request and hands back whatever the surface answered, except what any surface would treat alike. Never rejects.
   *
   * @param anotherFollows - another request is likely to follow: its permit is asked for while this one is under way, and not
   * before, lest anybody queue behind what may not be needed. {@link close} the call when none follows.
   */
  async send(request: CallRequest, { anotherFollows = false } = {}): Promise<Answered> {
    const { deadlineMs, correlationId, priority = 'interactive' } = this.#call;
    const sendByMs = Math.min(this.#sendByMs, request.sendByMs ?? this.#sendByMs);
    for (;;) {
      if (this.#options.clock.now() >= sendByMs) return this.#outOfTime(request, 'deadline');
      const token = await this.#options.tokens.get(deadlineMs);
      if (token.kind !== 'token') return this.#ended(this.#withoutToken(token));
      const { accessToken } = token;
      const firstPermit = this.#permitAhead;
      this.#permitAhead = undefined;
      const outcome = await sendWithRetry(
        this.#options,
        { ...request, accessToken, correlationId, deadlineMs, sendByMs },
        {
          priority,
          ...(firstPermit !== undefined && { firstPermit }),
          ...(anotherFollows && { onLeaving: () => this.#askAhead() }),
          ...(request.isRepeatable !== undefined && { isRepeatable: request.isRepeatable }),
        },
      );
      this.#note(request, outcome);
      if (outcome.kind === 'unavailable') {
        const { reason, retryAtMs, triesLeft } = outcome;
        return triesLeft
          ? this.#outOfTime(request, reason, retryAtMs)
          : this.#ended(this.#unavailable(reason, retryAtMs));
      }
      if (outcome.answer.status !== 401) return { kind: 'answer', answer: outcome.answer };
      if (this.#tokenRenewed) return this.#ended(this.refused('upstream-unauthorized'));
      this.#tokenRenewed = true;
      await this.#options.tokens.invalidate(accessToken);
    }
  }

  /** The refusal of an answer that is not the promised one, by its status alone (SPEC 2 "Errors"). */
  refusedBy(answer: HttpAnswer): Ending {
    return this.refused(refusalCode(answer.status));
  }

  refused(code: RefusalCode, paths?: readonly string[]): Ending {
    const unknown = this.#outcomeUnknown && { outcomeUnknown: true };
    return { kind: 'refused', code, ...this.sent, ...unknown, ...(paths !== undefined && { paths }) };
  }

  /** Gives back what was obtained ahead and not used. Does not wait: the permit may still be in the queue. */
  close(): void {
    const unused = this.#permitAhead;
    this.#permitAhead = undefined;
    unused?.then((answer) => (answer.granted ? answer.permit.release() : undefined)).catch(() => {});
  }

  /** When this request is on the wire, and only a permit that is free right now: nobody knows yet whether another one will be needed. */
  #askAhead(): void {
    const { governor, clock } = this.#options;
    const { priority = 'interactive' } = this.#call;
    this.#permitAhead ??= clock.turn().then(() => governor.acquire({ deadlineMs: clock.now(), priority }));
  }

  #ended(ending: Ending): Extract<Answered, { kind: 'ended' }> {
    this.close();
    return { kind: 'ended', ending };
  }

  #outOfTime({ sendByMs = this.#sendByMs }: CallRequest, reason: UnavailableReason, retryAtMs?: number): Answered {
    const ended = this.#ended(this.#unavailable(reason, retryAtMs));
    const overMs = Math.max(this.#options.clock.now(), sendByMs);
    const notBeforeMs = Math.max(overMs, retryAtMs ?? 0);
    if (notBeforeMs >= this.#sendByMs) return ended;
    // Budget and pauses are sat out in the governor, which keeps the queue and spreads the wake-up.
    return { ...ended, remakeAtMs: reason === 'down' ? notBeforeMs : overMs };
  }

  #note(request: CallRequest, outcome: RetryOutcome): void {
    this.#attempts += outcome.attempts;
    this.#throttled += outcome.throttled;
    this.#upstreamStatus = (outcome.kind === 'answer' ? outcome.answer.status : outcome.status) ?? this.#upstreamStatus;
    this.#outcomeUnknown ||= outcome.maybeApplied && request.method !== 'GET';
  }

  #unavailable(reason: UnavailableReason, retryAtMs?: number): Ending {
    const outcomeUnknown = this.#outcomeUnknown;
    return { kind: 'unavailable', reason, outcomeUnknown, ...this.sent, ...(retryAtMs !== undefined && { retryAtMs }) };
  }

  #withoutToken(token: Exclude<TokenAnswer, { kind: 'token' }>): Ending {
    if (token.kind === 'rejected') return this.refused('upstream-unauthorized');
    if (token.kind === 'bad-response') return this.refused('upstream-bad-response');
    if (token.kind === 'late') return this.#unavailable('deadline');
    // Something has left already: what became of it must not be forgotten, so the operation stays pending.
    if (this.#attempts > 0) return this.#unavailable('down', token.retryAtMs);
    return this.refused('upstream-unavailable');
  }
}

function refusalCode(status: number): RefusalCode {
  if (status === 403) return 'upstream-forbidden';
  if (status === 404 || status === 410) return 'session-ended';
  return status >= 400 ? 'upstream-rejected' : 'upstream-bad-response';
}
