import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalEntry } from '../../infra/local/tenant/journal.ts';
import { isJsonObject, type JsonValue } from '../../lib/context/json.ts';
import { mostWithin } from '../statistics.ts';
import { type StackProcess, startStackProcess } from '../storm/process.ts';
import { StackClient } from '../storm/stackClient.ts';
import { type MessageCall, signatureOf } from '../traffic.ts';

export interface StormOptions {
  readonly sessions: number;
  /** Messages for each of them, all different. */
  readonly perSession: number;
  /** What the upstream takes for every request, milliseconds. */
  readonly upstreamMs: number;
}

/** What became of one message. */
export interface StormAnswer {
  readonly sessionId: string;
  /** Also what the message says its time is; no two messages have the same. */
  readonly timestamp: number;
  /** From sending it to the end of its answer. */
  readonly tookMs: number;
  /** 0 where there was no answer. */
  readonly status: number;
  /** Its place among what has been committed for its session; absent where nothing was. */
  readonly version?: number;
  readonly operationId?: string;
}

export interface StormRun extends StormOptions {
  readonly answers: readonly StormAnswer[];
  /** From the first message until the last answer, and until everything was with the bot, by so many runs of the schedule. */
  readonly answeredInMs: number;
  readonly settledInMs: number;
  readonly ticks: number;
  /** By the tenant's journal, that of the warm-up among them, token requests aside: all, up to the last answer, most in any sliding minute, refused. */
  readonly upstreamRequests: number;
  readonly upstreamBeforeAnswers: number;
  readonly mostInAMinute: number;
  readonly refused: number;
  /** Messages that the audit trail does not call confirmed in the end. */
  readonly lost: number;
  /** Requests to the upstream that took a session back to a message committed earlier, or to one that nobody was told of. */
  readonly outOfOrder: number;
  /** The same, but by what the messages say their time is: all of a session are sent at once, none has to come first. */
  readonly backwardsInTime: number;
  /** Sessions whose bot has the message that was committed last. */
  readonly endWithLast: number;
}

/** Storm and schedule together take no longer than this. */
const MOST_MS = 75_000;
const BETWEEN_TICKS_MS = 1_000;
/** One message so often before the storm: the code is warm then, and only one request has gone to the upstream. */
const WARM_UP = 100;
/** By then that one is no longer missing from the burst. */
const AFTER_WARM_UP_MS = 3_000;
const CALM = 'calm';
const MINUTE_MS = 60_000;

/** Messages for many sessions all at once, at the default budgets, in real time; then the schedule, until the bot has everything. */
export async function runStorm(options: StormOptions): Promise<StormRun> {
  const stack = await startStackProcess();
  try {
    await new StackClient(stack).delayUpstream(options.upstreamMs);
    return await new Storm(stack, options).run();
  } finally {
    await stack.close();
  }
}

class Storm {
  readonly #stack: StackProcess;
  readonly #client: StackClient;
  readonly #options: StormOptions;
  readonly #sessions: readonly string[];

  constructor(stack: StackProcess, options: StormOptions) {
    this.#stack = stack;
    this.#client = new StackClient(stack);
    this.#options = options;
    this.#sessions = Array.from({ length: options.sessions }, (_, index) => `stormy-${index}`);
  }

  async run(): Promise<StormRun> {
    await this.#warmUp();
    const startedMs = performance.now();
    const answers = await Promise.all(this.#messages().map((message) => this.#send(message)));
    const answeredInMs = performance.now() - startedMs;
    const upstreamBeforeAnswers = (await this.#client.journal()).length;
    const last = lastCommitted(answers);

    let ticks = 0;
    let confirmed = await this.#confirmed();
    const isLost = ({ operationId = '' }: StormAnswer) => !confirmed.has(operationId);
    const isOwed = (answer: StormAnswer) => answer.operationId !== undefined && isLost(answer);
    while (answers.some(isOwed) && performance.now() - startedMs < MOST_MS) {
      await sleep(BETWEEN_TICKS_MS);
      await this.#stack.tick();
      ticks += 1;
      confirmed = await this.#confirmed();
    }
    const settledInMs = performance.now() - startedMs;

    const journal = await this.#client.journal();
    const ofStorm = journal.filter(({ sessionId }) => sessionId !== CALM);
    const bots = await Promise.all(this.#sessions.map((sessionId) => this.#timestampAtBot(sessionId)));
    return {
      ...this.#options,
      answers,
      answeredInMs,
      settledInMs,
      ticks,
      upstreamRequests: journal.length,
      upstreamBeforeAnswers,
      mostInAMinute: mostWithin(
        journal.map(({ at }) => at),
        MINUTE_MS,
      ),
      refused: journal.filter(({ applied }) => !applied).length,
      lost: answers.filter(isLost).length,
      outOfOrder: stepsBack(ofStorm, new Map(answers.map(({ timestamp, version }) => [timestamp, version]))),
      backwardsInTime: stepsBack(ofStorm, new Map(answers.map(({ timestamp }) => [timestamp, timestamp]))),
      endWithLast: this.#sessions.filter((sessionId, index) => last.get(sessionId)?.timestamp === bots[index]).length,
    };
  }

  async #warmUp(): Promise<void> {
    const [message] = this.#messages();
    if (message === undefined) throw new RangeError('a storm without messages');
    for (let turn = 0; turn < WARM_UP; turn += 1) await this.#send({ ...message, sessionId: CALM });
    await sleep(AFTER_WARM_UP_MS);
  }

  /** The first of every session, then the second of every session, and so on. */
  #messages(): MessageCall[] {
    const { sessions, perSession } = this.#options;
    const startMs = Date.now();
    return Array.from({ length: sessions * perSession }, (_, index) => ({
      sessionId: this.#sessions[index % sessions] ?? '',
      userId: `user-${index % sessions}`,
      message: `message ${Math.floor(index / sessions) + 1}`,
      channel: 'webchat',
      timestamp: startMs + index,
      custom: { page: `/orders/${index}` },
    }));
  }

  async #send(message: MessageCall): Promise<StormAnswer> {
    const { sessionId, timestamp } = message;
    const body = JSON.stringify(message);
    const headers = { 'content-type': 'application/json', ...signatureOf(body) };
    const startedMs = performance.now();
    try {
      const response = await fetch(`${this.#stack.url}/v1/webhooks/cognigy`, { method: 'POST', headers, body });
      const answer = (await response.json()) as Pick<StormAnswer, 'version' | 'operationId'>;
      const { version, operationId } = answer;
      const tookMs = performance.now() - startedMs;
      const committed = version !== undefined && operationId !== undefined ? { version, operationId } : {};
      return { sessionId, timestamp, tookMs, status: response.status, ...committed };
    } catch {
      return { sessionId, timestamp, tookMs: performance.now() - startedMs, status: 0 };
    }
  }

  /** Ids of the operations that the audit trails call confirmed. */
  async #confirmed(): Promise<ReadonlySet<string>> {
    const confirmed = await this.#client.confirmed(this.#sessions);
    return new Set(confirmed.map(({ operationId }) => operationId));
  }

  async #timestampAtBot(sessionId: string): Promise<JsonValue | undefined> {
    return (await this.#client.contextAtBot(sessionId))['webhook_timestamp'];
  }
}

function lastCommitted(answers: readonly StormAnswer[]): Map<string, StormAnswer> {
  const last = new Map<string, StormAnswer>();
  for (const answer of answers) {
    const { version = 0 } = last.get(answer.sessionId) ?? {};
    if (answer.version !== undefined && answer.version > version) last.set(answer.sessionId, answer);
  }
  return last;
}

/** Requests after which a session had a message of a lower place than before, or one that has none. */
function stepsBack(journal: readonly JournalEntry[], places: ReadonlyMap<number, number | undefined>): number {
  const reached = new Map<string, number>();
  let back = 0;
  for (const { sessionId = '', body, applied } of journal) {
    if (!applied) continue;
    const place = places.get(timestampIn(body) ?? Number.NaN);
    if (place === undefined || place < (reached.get(sessionId) ?? 0)) back += 1;
    else reached.set(sessionId, place);
  }
  return back;
}

/** Of a request to the webhook surface, which has its variables by name, or to the inject surface, which lists them. */
function timestampIn(body: JsonValue): number | undefined {
  if (!isJsonObject(body)) return undefined;
  const { variables } = body;
  const listed = Array.isArray(variables) ? variables.filter(isJsonObject) : [];
  const value = isJsonObject(variables)
    ? variables['webhook_timestamp']
    : listed.find(({ key }) => key === 'webhook_timestamp')?.['value'];
  return typeof value === 'number' ? value : undefined;
}
