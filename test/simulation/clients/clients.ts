import { isJsonObject, type JsonValue } from '../../../lib/context/json.ts';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import { inspect, inspectVersion } from '../../../lib/operations/inspect.ts';
import { StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import type { Telemetry } from '../../../lib/operations/ports/telemetry.ts';
import { takeSnapshot } from '../../../lib/operations/takeSnapshot.ts';
import type { Chance } from '../world/chance.ts';
import type { Instance } from '../world/instance.ts';
import type { Tally } from '../world/tally.ts';
import type { World } from '../world/world.ts';
import type { Call, Read, Said } from './calls.ts';
import { type ClientRequest, Requests } from './requests.ts';
import { slotsIn } from './slots.ts';

/** A client hears nothing for so long: then it takes the request for lost. Longer than any budget and its settle. */
const PATIENCE_MS = 14_000;
const TRIES_MAX = 4;

export interface ClientsOptions {
  readonly world: World;
  readonly chance: Chance;
  readonly telemetry: Telemetry;
  readonly sessions: readonly [SessionId, ...SessionId[]];
  readonly broken: (what: string) => void;
  readonly answers: Tally;
}

type Ended<Answer> = { readonly answer: Answer } | { readonly error: unknown } | undefined;

/** Clients: they ask, wait, lose patience, ask again, and note what they are told. */
export class Clients {
  readonly calls: Call[] = [];
  readonly reads: Read[] = [];
  readonly #options: ClientsOptions;
  readonly #requests: Requests;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#requests = new Requests(options.chance.of('requests'), () => Math.floor(options.world.timeline.exactMs));
  }

  /** One request of some client, and its repeats. */
  async write(): Promise<void> {
    const { chance, world, sessions } = this.#options;
    const request = this.#requests.some(sessions);
    for (let tries = 1; tries <= TRIES_MAX; tries += 1) {
      const call = await this.#ask(request);
      const isAnswered = call.said !== undefined && call.said.kind !== 'busy' && call.said.kind !== 'failed';
      const mayRepeat = request.key !== undefined || request.kind === 'erase';
      if (!mayRepeat || (isAnswered && !chance.happens(0.1))) break;
      await world.timeline.sleep(chance.between(0, 3_000));
    }
    const other = chance.happens(0.05) ? this.#requests.other(request) : undefined;
    if (other !== undefined) await this.#ask(other);
  }

  async #ask(request: ClientRequest): Promise<Call> {
    const { world, chance, telemetry, answers, broken } = this.#options;
    const instance = world.instance(chance);
    const { clock } = instance.process;
    const call: Call = {
      id: `call-${this.calls.length + 1}`,
      kind: request.kind,
      sessions: request.sessions,
      body: request.body,
      writes: request.writes,
      ...(request.key !== undefined && { key: request.key }),
      ...(request.nextStep !== undefined && { nextStep: request.nextStep }),
      ...(request.occurrence !== undefined && { occurrence: request.occurrence }),
      startMs: world.timeline.exactMs,
      askedAtMs: clock.now(),
    };
    this.calls.push(call);
    world.timeline.note(`${call.id} ${call.kind} by ${instance.process.name}`);
    const asked = { correlationId: call.id, deadlineMs: clock.now() + request.budgetMs, telemetry };
    const ended = await this.#patiently(instance, request.send(instance, asked));
    call.endMs = world.timeline.exactMs;
    if (ended === undefined) answers.add(`${call.kind}: nothing heard`);
    else if ('error' in ended) {
      call.error = ended.error;
      answers.add(`${call.kind}: 503`);
      if (!(ended.error instanceof StoreError))
        broken(`I1 ${call.id} (${call.kind}) failed: ${describeThrown(ended.error)}`);
    } else {
      call.said = ended.answer as Said;
      answers.add(`${call.kind}: ${call.said.outcome?.kind ?? call.said.kind}`);
      const context = call.said.context;
      const [session] = call.sessions;
      if (context !== undefined && session !== undefined) {
        const { startMs, endMs, askedAtMs } = call;
        this.reads.push({ session, kind: 'synced', startMs, endMs, askedAtMs, shown: slotsIn(context) });
      }
    }
    return call;
  }

  /** What comes of it, as long as there is anybody to say it, and the client has patience. */
  async #patiently<Answer>({ process }: Instance, work: Promise<Answer>): Promise<Ended<Answer>> {
    return Promise.race([
      work.then(
        (answer) => ({ answer }),
        (error: unknown) => ({ error }),
      ),
      process.died.then(() => undefined),
      this.#options.world.timeline.sleep(PATIENCE_MS).then(() => undefined),
    ]);
  }

  /** One look at some session. */
  async read(): Promise<void> {
    const { world, chance, sessions, answers } = this.#options;
    const session = chance.pick(sessions);
    const instance = world.instance(chance);
    const startMs = world.timeline.exactMs;
    const askedAtMs = instance.process.clock.now();
    const kind = chance.weighted({ inspect: 6, 'inspect version': 1, snapshot: 2, audit: 1 });
    const look = {
      inspect: () => this.#inspect(instance, session),
      'inspect version': () => this.#inspectVersion(instance, session),
      snapshot: () => this.#snapshot(instance, session),
      audit: () => this.#audit(instance, session),
    }[kind];
    const ended = await this.#patiently<Shown | undefined>(instance, look());
    if (ended === undefined) return answers.add(`read ${kind}: nothing heard`);
    if ('error' in ended) {
      if (!(ended.error instanceof StoreError)) {
        this.#options.broken(`I8 a reader (${kind}) failed: ${describeThrown(ended.error)}`);
      }
      return answers.add(`read ${kind}: 503`);
    }
    answers.add(`read ${kind}: ${ended.answer === undefined ? 'nothing' : 'shown'}`);
    if (ended.answer === undefined) return;
    this.reads.push({ session, startMs, endMs: world.timeline.exactMs, askedAtMs, ...ended.answer });
  }

  async #inspect({ deps, schema }: Instance, session: SessionId): Promise<Shown | undefined> {
    const found = await inspect({ ...deps, schema }, session);
    if (typeof found === 'string') return undefined;
    return { kind: 'inspect', shown: slotsIn(found.context), version: found.confirmedVersion };
  }

  async #inspectVersion({ deps, schema }: Instance, session: SessionId): Promise<Shown | undefined> {
    const version = this.#options.chance.whole(1, 40);
    const found = await inspectVersion({ ...deps, schema }, session, version);
    return typeof found === 'string'
      ? undefined
      : { kind: 'inspect version', shown: slotsIn(found.context), version: found.version };
  }

  async #snapshot({ snapshots, process }: Instance, session: SessionId): Promise<Shown | undefined> {
    const answer = await takeSnapshot(snapshots, {
      sessionId: session,
      filter: { includeSystem: false },
      coercion: 'auto',
      correlationId: 'snapshot',
      deadlineMs: process.clock.now() + 8_000,
      telemetry: this.#options.telemetry,
    });
    if (answer.kind !== 'taken') return undefined;
    const { variables, freshness } = answer.snapshot;
    const context = Object.fromEntries(Object.entries(variables).map(([name, { value }]) => [name, value]));
    return { kind: freshness === 'live' ? 'snapshot' : 'mirror snapshot', shown: withTexts(slotsIn(context)) };
  }

  /** The chain verifies at any moment. */
  async #audit({ deps, process }: Instance, session: SessionId): Promise<undefined> {
    const page = await deps.store.readAudit({ sessionId: session }, { nowMs: process.clock.now(), limit: 50 });
    if (page?.chain.valid === false)
      this.#options.broken(`I6 the chain of ${session} is broken at ${page.chain.brokenAt}`);
    return undefined;
  }
}

type Shown = Pick<Read, 'kind' | 'shown' | 'version'>;

/** The upstream tells values as untyped texts: what was a JSON text, too, comes as what it says. */
function withTexts(slots: Map<string, JsonValue>): Map<string, JsonValue> {
  const custom = slots.get('session:/custom_data');
  if (custom !== undefined && isJsonObject(custom)) slots.set('session:/custom_data', JSON.stringify(custom));
  return slots;
}

function describeThrown(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message} ${error.stack?.split('\n')[1] ?? ''}`
    : String(error);
}
