import type { InjectResult, RefusalCode, UpstreamCall } from '../operations/ports/cognigy.ts';
import type { HttpAnswer, HttpRequest } from './httpClient.ts';
import { type RetryOptions, type RetryOutcome, sendWithRetry } from './retry.ts';
import type { TokenAnswer, TokenSource } from './tokens.ts';

/** How a call ends without the answer it wanted. */
export type Ending = Exclude<InjectResult, { kind: 'confirmed' }>;

export type Answered =
  | { readonly kind: 'answer'; readonly answer: HttpAnswer }
  | { readonly kind: 'ended'; readonly ending: Ending };

export interface AuthorizedCallOptions extends RetryOptions {
  readonly tokens: Pick<TokenSource, 'get' | 'invalidate'>;
}

/** One request of a call; who is asked, and what is sent. */
export type CallRequest = Pick<HttpRequest, 'method' | 'url' | 'body'>;

/**
 * One call of a use case: its requests, with token and retries, under one deadline, and what they add up to.
 *
 * A 401 drops that token, fetches one new token and repeats once; a second 401 in the same call is `upstream-unauthorized`
 * (SPEC 3 "OAuth", SCENARIOS 18).
 */
export class AuthorizedCall {
  readonly #options: AuthorizedCallOptions;
  readonly #call: UpstreamCall;
  #firstPermit: UpstreamCall['firstPermit'];
  #tokenRenewed = false;
  #attempts = 0;
  #throttled = 0;
  #upstreamStatus: number | undefined;
  #outcomeUnknown = false;

  constructor(options: AuthorizedCallOptions, call: UpstreamCall) {
    this.#options = options;
    this.#call = call;
    this.#firstPermit = call.firstPermit;
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

  /** Sends one request and hands back whatever the surface answered, except what any surface would treat alike. Never rejects. */
  async send(request: CallRequest): Promise<Answered> {
    const { deadlineMs, correlationId, priority = 'interactive', sendByMs = deadlineMs } = this.#call;
    for (;;) {
      if (this.#options.clock.now() >= Math.min(deadlineMs, sendByMs))
        return this.#ended(this.#unavailable('deadline'));
      const token = await this.#options.tokens.get(deadlineMs);
      if (token.kind !== 'token') return this.#ended(this.#withoutToken(token));
      const { accessToken } = token;
      const firstPermit = this.#firstPermit;
      this.#firstPermit = undefined;
      const outcome = await sendWithRetry(
        this.#options,
        { ...request, accessToken, correlationId, deadlineMs },
        { priority, sendByMs, ...(firstPermit !== undefined && { firstPermit }) },
      );
      this.#note(request, outcome);
      if (outcome.kind === 'unavailable') return this.#ended(this.#unavailable(outcome.reason, outcome.retryAtMs));
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
    return { kind: 'refused', code, ...this.sent, ...(paths !== undefined && { paths }) };
  }

  /** Gives back what was obtained ahead and not used. Does not wait: the permit may still be in the queue. */
  close(): void {
    const unused = this.#firstPermit;
    this.#firstPermit = undefined;
    unused?.then((answer) => (answer.granted ? answer.permit.release() : undefined)).catch(() => {});
  }

  #ended(ending: Ending): Answered {
    this.close();
    return { kind: 'ended', ending };
  }

  #note(request: CallRequest, outcome: RetryOutcome): void {
    this.#attempts += outcome.attempts;
    this.#throttled += outcome.throttled;
    this.#upstreamStatus = (outcome.kind === 'answer' ? outcome.answer.status : outcome.status) ?? this.#upstreamStatus;
    this.#outcomeUnknown ||= outcome.maybeApplied && request.method !== 'GET';
  }

  #unavailable(reason: Extract<Ending, { kind: 'unavailable' }>['reason'], retryAtMs?: number): Ending {
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
