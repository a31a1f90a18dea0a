import { setTimeout as sleep } from 'node:timers/promises';
import { mostWithin } from '../statistics.ts';
import { type Change, changesOf, type StormTraffic, variablesOf } from '../storm/changes.ts';
import { type StackProcess, startStackProcess } from '../storm/process.ts';
import { StackClient } from '../storm/stackClient.ts';
import { API_KEY } from '../traffic.ts';

export interface InjectStormOptions extends StormTraffic {
  /** What the upstream takes for every request, milliseconds. */
  readonly upstreamMs: number;
  /** When the schedule runs, milliseconds from the first inject; then every minute. */
  readonly scheduleAtMs: number;
}

/** What became of one inject. */
interface InjectAnswer {
  readonly change: Change;
  /** When it was sent, milliseconds from the first one. */
  readonly sentAtMs: number;
  /** From sending it to the end of its answer. */
  readonly tookMs: number;
  /** 0 where there was no answer. */
  readonly status: number;
  /** Its place among what has been committed for its session; absent where nothing was. */
  readonly version?: number;
  readonly operationId?: string;
}

/** All times are milliseconds from the first inject. */
export interface InjectStormRun {
  readonly options: InjectStormOptions;
  readonly answers: readonly InjectAnswer[];
  /** Most injects that waited for their answers at the same time. */
  readonly mostAtOnce: number;
  /** When the changes were confirmed, by the audit trails, in order of time. */
  readonly confirmedAtMs: readonly number[];
  /** Requests of the storm to the upstream, by the tenant's journal, in order of time. */
  readonly requestsAtMs: readonly number[];
  /** Requests that the tenant has answered 429. */
  readonly refused: number;
  /** Most requests in any sliding minute, that of the warm-up among them. */
  readonly mostInAMinute: number;
  /** Changes that the audit trails do not call confirmed in the end. */
  readonly lost: number;
  readonly keys: number;
  /** Keys whose bot has the value that was committed last, when the tenant was read the last time, and when that was. */
  readonly keysWithLast: number;
  readonly seenAtMs: number;
}

/** One inject so often before the storm: the code is warm then, and only one request has gone to the upstream. */
const WARM_UP = 100;
/** By then that one is no longer missing from the burst. */
const AFTER_WARM_UP_MS = 3_000;
/** Whatever has not come by then does not come in the first minute. */
const MOST_MS = 75_000;
const BETWEEN_LOOKS_MS = 250;
const MINUTE_MS = 60_000;
const CALM: Change = { sessionId: 'calm', key: 'crm_field_0', value: 'calm', worker: 0, atMs: 0 };

/**
 * Injects through the local HTTP stack in real time, at the default budgets, sent when they come up, whatever has been answered by
 * then. The schedule runs once a minute, as it does when deployed; it is the caller who says when in the minute.
 */
export async function runInjectStorm(options: InjectStormOptions): Promise<InjectStormRun> {
  const stack = await startStackProcess();
  try {
    await new StackClient(stack).delayUpstream(options.upstreamMs);
    return await new InjectStorm(stack, options).run();
  } finally {
    await stack.close();
  }
}

class InjectStorm {
  readonly #stack: StackProcess;
  readonly #client: StackClient;
  readonly #options: InjectStormOptions;
  readonly #changes: readonly Change[];
  #startedAtMs = 0;
  #underWay = 0;
  #mostAtOnce = 0;
  #isOver = false;

  constructor(stack: StackProcess, options: InjectStormOptions) {
    this.#stack = stack;
    this.#client = new StackClient(stack);
    this.#options = options;
    this.#changes = changesOf(options);
  }

  async run(): Promise<InjectStormRun> {
    for (let turn = 0; turn < WARM_UP; turn += 1) await this.#send(CALM, { 'idempotency-key': 'warm-up' });
    await sleep(AFTER_WARM_UP_MS);
    this.#mostAtOnce = 0;
    this.#startedAtMs = Date.now();
    const scheduled = this.#schedule();
    const answers = await Promise.all(
      this.#changes.map(async (change) => {
        await this.#until(change.atMs);
        return this.#send(change);
      }),
    );
    const last = await this.#awaitLast(lastValues(answers));
    this.#isOver = true;
    // The bot has what a run of the schedule has sent before that run has noted it.
    await scheduled;

    const confirmed = await this.#client.confirmed([...new Set(this.#changes.map(({ sessionId }) => sessionId))]);
    const ids = new Set(confirmed.map(({ operationId }) => operationId));
    const journal = await this.#client.journal();
    const ofStorm = journal.filter(({ sessionId }) => sessionId !== CALM.sessionId);
    return {
      options: this.#options,
      answers,
      mostAtOnce: this.#mostAtOnce,
      confirmedAtMs: confirmed.map(({ at }) => Date.parse(at) - this.#startedAtMs).sort((a, b) => a - b),
      requestsAtMs: ofStorm.map(({ at }) => at - this.#startedAtMs),
      refused: journal.filter(({ status }) => status === 429).length,
      mostInAMinute: mostWithin(
        journal.map(({ at }) => at),
        MINUTE_MS,
      ),
      lost: answers.filter(({ operationId = '' }) => !ids.has(operationId)).length,
      ...last,
    };
  }

  get #nowMs(): number {
    return Date.now() - this.#startedAtMs;
  }

  async #until(atMs: number): Promise<void> {
    await sleep(Math.max(0, atMs - this.#nowMs));
  }

  async #schedule(): Promise<void> {
    for (let atMs = this.#options.scheduleAtMs; atMs < MOST_MS; atMs += MINUTE_MS) {
      await this.#until(atMs);
      if (this.#isOver) return;
      await this.#stack.tick();
    }
  }

  async #send(change: Change, headers: Readonly<Record<string, string>> = {}): Promise<InjectAnswer> {
    const sentAtMs = this.#nowMs;
    const startedMs = performance.now();
    this.#underWay += 1;
    this.#mostAtOnce = Math.max(this.#mostAtOnce, this.#underWay);
    try {
      const response = await fetch(`${this.#stack.url}/v1/sessions/${change.sessionId}/variables`, {
        method: 'POST',
        headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ variables: variablesOf(change) }),
      });
      const { version, operationId } = (await response.json()) as Pick<InjectAnswer, 'version' | 'operationId'>;
      const tookMs = performance.now() - startedMs;
      const committed = version !== undefined && operationId !== undefined ? { version, operationId } : {};
      return { change, sentAtMs, tookMs, status: response.status, ...committed };
    } catch {
      return { change, sentAtMs, tookMs: performance.now() - startedMs, status: 0 };
    } finally {
      this.#underWay -= 1;
    }
  }

  /** Reads the tenant until every key has its last value there, or it is too late. */
  async #awaitLast(values: LastValues): Promise<Pick<InjectStormRun, 'keys' | 'keysWithLast' | 'seenAtMs'>> {
    const keys = [...values.values()].reduce((total, ofSession) => total + ofSession.size, 0);
    for (;;) {
      const seenAtMs = this.#nowMs;
      let keysWithLast = 0;
      for (const [sessionId, ofSession] of values) {
        const context = await this.#client.contextAtBot(sessionId);
        keysWithLast += [...ofSession].filter(([key, { change }]) => context[key] === change.value).length;
      }
      if (keysWithLast === keys || seenAtMs > MOST_MS) return { keys, keysWithLast, seenAtMs };
      await sleep(BETWEEN_LOOKS_MS);
    }
  }
}

/** Sessions, and in each the answer whose change of a key was committed last. */
type LastValues = ReadonlyMap<string, ReadonlyMap<string, InjectAnswer>>;

function lastValues(answers: readonly InjectAnswer[]): LastValues {
  const bySession = new Map<string, Map<string, InjectAnswer>>();
  for (const answer of answers) {
    const { sessionId, key } = answer.change;
    const ofSession = bySession.get(sessionId) ?? new Map<string, InjectAnswer>();
    bySession.set(sessionId, ofSession);
    if ((answer.version ?? 0) > (ofSession.get(key)?.version ?? 0)) ofSession.set(key, answer);
  }
  return bySession;
}
