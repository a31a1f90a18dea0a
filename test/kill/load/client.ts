import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonValue } from '../../../lib/context/json.ts';
import type { Random } from '../../../lib/platform/random.ts';
import { GENERIC } from '../../fixtures/stack/crmSenders.ts';
import { send } from '../../fixtures/stack/send.ts';
import type { Attempt, Departure, Exchange, HttpAnswer } from '../exchange.ts';
import { API_KEY, WEBHOOK_SECRETS } from '../settings.ts';
import type { Prepared, PreparedDeparture, RequestMaker } from './requests.ts';

/** What is asked for, and when it can be asked. */
export interface Target {
  readonly url: string;
  whenUp(): Promise<void>;
}

export interface ClientOptions {
  readonly target: Target;
  readonly maker: RequestMaker;
  readonly random: Random;
  /** Between two requests, on average. */
  readonly thinkMs: number;
}

/** So many answers that say "again" a client takes before it gives up. */
const TRIES_MAX = 40;
/** What says "again": busy, or in trouble. */
const AGAIN = new Set([429, 500, 502, 503, 504]);
const AGAIN_AFTER_MS = 500;
/** One in so many answered requests is sent once more, as by who has lost the answer himself. */
const REPEATED_SHARE = 0.08;

/** Whatever can be sent. */
type Sendable = Prepared | PreparedDeparture['erase'];

/** One client: a request after the other, each repeated until it is answered, or not, as its kind is. */
export class LoadClient {
  readonly #options: ClientOptions;
  readonly #exchanges: { request: Exchange['request']; attempts: Attempt[] }[] = [];
  readonly #departures: Departure[] = [];
  #isStopping = false;
  #inFlight = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get exchanges(): readonly Exchange[] {
    return this.#exchanges;
  }

  get departures(): readonly Departure[] {
    return this.#departures;
  }

  /** Requests that have been sent and not been answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Goes on until {@link stop}, and then until what has been begun is answered. */
  async run(): Promise<void> {
    const { target, maker, random, thinkMs } = this.#options;
    while (!this.#isStopping) {
      await target.whenUp();
      if (this.#isStopping) return;
      const departure = maker.nextDeparture();
      if (departure !== undefined) {
        await this.#depart(departure);
        continue;
      }
      const prepared = maker.next(Date.now());
      const attempts: Attempt[] = [];
      this.#exchanges.push({ request: prepared.request, attempts });
      await this.#carryOut(prepared, attempts);
      if (random.next() < REPEATED_SHARE) await this.#carryOut(prepared, attempts);
      await sleep(random.next() * 2 * thinkMs);
    }
  }

  async #depart({ sessionId, put, erase }: PreparedDeparture): Promise<void> {
    const attempts = { put: [] as Attempt[], erase: [] as Attempt[] };
    await this.#carryOut(put, attempts.put);
    await this.#carryOut(erase, attempts.erase);
    this.#departures.push({ sessionId, ...attempts, endedAtMs: Date.now() });
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #carryOut(prepared: Sendable, attempts: Attempt[]): Promise<void> {
    for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
      await this.#options.target.whenUp();
      const answer = await this.#attempt(prepared, attempts);
      const isFinal = answer !== undefined && !isAgain(answer);
      if (isFinal || !prepared.isPatient) return;
      if (answer !== undefined) await sleep(AGAIN_AFTER_MS);
    }
  }

  async #attempt(prepared: Sendable, attempts: Attempt[]): Promise<HttpAnswer | undefined> {
    const { request, method, path } = prepared;
    const correlationId = `${request.id}.${attempts.length + 1}`;
    const sentAtMs = Date.now();
    const body = prepared.body === undefined ? '' : JSON.stringify(prepared.body);
    const headers = {
      'content-type': 'application/json',
      'x-correlation-id': correlationId,
      ...credentialsOf(prepared, `${this.#options.target.url}${path}`, body),
    };
    this.#inFlight += 1;
    const answer = await send(this.#options.target.url, path, { method, headers, ...(body !== '' && { body }) }).then(
      ({ status, body: json, headers: { location } }): HttpAnswer => {
        return { status, body: json as JsonValue | undefined, ...(location !== undefined && { location }) };
      },
      () => undefined,
    );
    this.#inFlight -= 1;
    attempts.push({ correlationId, sentAtMs, ...(answer !== undefined && { answer }) });
    return answer;
  }
}

function isAgain({ status, body }: HttpAnswer): boolean {
  const code = typeof body === 'object' && body !== null && 'code' in body ? body['code'] : undefined;
  return AGAIN.has(status) || code === 'operation-in-progress';
}

function credentialsOf({ by }: Sendable, url: string, body: string): Record<string, string> {
  if ('idempotencyKey' in by) {
    return { authorization: `Bearer ${API_KEY}`, 'idempotency-key': by.idempotencyKey };
  }
  return GENERIC.sign({ url, body, secret: WEBHOOK_SECRETS[by.signature] });
}
