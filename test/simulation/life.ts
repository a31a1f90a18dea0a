import { parseSessionId, type SessionId } from '../../lib/context/sessionId.ts';
import { StoreError } from '../../lib/operations/ports/sessionStore.ts';
import { promptDue } from '../../lib/operations/promptDue.ts';
import { workOffDue } from '../../lib/operations/workOffDue.ts';
import { workOffPrompt } from '../../lib/operations/workOffPrompt.ts';
import { Clients } from './clients/clients.ts';
import type { Evidence } from './oracle/evidence.ts';
import { Oracle } from './oracle/oracle.ts';
import { tamperedPlace } from './oracle/tampering.ts';
import { Chance } from './world/chance.ts';
import { type Instance, type Sabotage, SHARDS } from './world/instance.ts';
import { Tally } from './world/tally.ts';
import { weatherOf } from './world/weather.ts';
import { World } from './world/world.ts';

export interface LifeOptions {
  readonly seed: number;
  /** Requests of clients, without their repeats. */
  readonly operations: number;
  readonly sabotage?: Sabotage;
  /** Shown what the verdict goes by, for somebody who wants to know more. */
  readonly explain?: (evidence: Evidence) => void;
}

/** What came of one seed. */
export interface Verdict {
  readonly seed: number;
  /** Which invariants were broken, and how. Empty when none was. */
  readonly violations: readonly string[];
  /** Of everything that has happened, in order: the same for the same seed. */
  readonly digest: string;
  readonly figures: Tally;
  readonly faults: Tally;
  readonly answers: Tally;
  /** Requests that left in the fullest minute, and how many may. */
  readonly budget: { readonly ratePerMinute: number; readonly fullest: number };
}

const MINUTE_MS = 60_000;
const SCHEDULE_BUDGET_MS = 50_000;
const PROMPT_BUDGET_MS = 55_000;
/** A message that could not be worked off comes again after this, so often. */
const PROMPT_AGAIN_MS = 60_000;
const PROMPT_TRIES = 4;
/** Rounds of the schedule in which everything must have come to its end. */
const ROUNDS_MAX = 400;
const LONG_LIFE_MS = 7 * 24 * 3_600_000;
const BUDGETS = [30, 100, 100, 600, 60_000] as const;

/** Lives through one seed: clients, instances, the schedule and everything that goes wrong; then looks at what is left. */
export async function live(options: LifeOptions): Promise<Verdict> {
  const life = new Life(options);
  return life.world.timeline.during(life.run());
}

class Life {
  readonly world: World;
  readonly #options: LifeOptions;
  readonly #chance: Chance;
  readonly #clients: Clients;
  readonly #oracle: Oracle;
  readonly #answers = new Tally();
  readonly #sessions: [SessionId, ...SessionId[]];
  #isOver = false;

  constructor(options: LifeOptions) {
    this.#options = options;
    const chance = new Chance(`seed ${options.seed}`);
    this.#chance = chance.of('life');
    const isIdleOften = chance.happens(0.1);
    this.world = new World({
      seed: `seed ${options.seed}`,
      weather: weatherOf(chance.of('weather')),
      instances: chance.whole(2, 4),
      ratePerMinute: chance.pick(BUDGETS),
      sessionTtlMs: isIdleOften ? chance.whole(1, 5) * MINUTE_MS : LONG_LIFE_MS,
      ...(options.sabotage !== undefined && { sabotage: options.sabotage }),
    });
    this.world.tenant.settings.change({ pageSize: chance.pick([3, 5, 50]) });
    const count = chance.whole(1, 4);
    const ids = Array.from({ length: count }, (_, index) => sessionId(`RAWSESSION${index + 1}`));
    this.#sessions = [ids[0] ?? sessionId('RAWSESSION0'), ...ids.slice(1)];
    this.#oracle = new Oracle(this.world, this.#sessions);
    this.#clients = new Clients({
      world: this.world,
      chance: chance.of('clients'),
      telemetry: this.#oracle.secrets.telemetry,
      sessions: this.#sessions,
      broken: this.#oracle.broken,
      answers: this.#answers,
    });
    this.world.prompted = (prompt) => void this.#workOffPrompt(prompt, 1);
  }

  async run(): Promise<Verdict> {
    const { timeline } = this.world;
    const startMs = timeline.exactMs;
    const beside = [this.#tick(), this.#outages('table'), this.#outages('upstream')];
    await this.#busyTime();
    this.#isOver = true;
    this.world.clearUp();
    await Promise.all(beside);
    await this.#comeToRest();
    const observer = this.world.start();
    const evidence = await this.#oracle.check(this.#clients, observer);
    this.#options.explain?.(evidence);
    const place = await tamperedPlace(this.world, observer, this.#chance.pick(this.#sessions), this.#chance);
    if (place !== undefined) this.#oracle.broken(place);
    const figures = new Tally();
    figures.add('operations', this.#clients.calls.length);
    figures.add('reads', this.#clients.reads.length);
    figures.add('upstream requests', this.#oracle.budget.requests);
    figures.add('log lines', this.#oracle.secrets.lines);
    figures.add('instances', this.world.started);
    figures.add('committed', this.#oracle.lanes.byOperation.size);
    figures.add('simulated minutes', Math.round((timeline.exactMs - startMs) / MINUTE_MS));
    return {
      seed: this.#options.seed,
      violations: this.#oracle.violations,
      digest: timeline.digest(),
      figures,
      faults: this.world.faults,
      answers: this.#answers,
      budget: { ratePerMinute: this.world.ratePerMinute, fullest: this.#oracle.budget.fullest },
    };
  }

  /** Clients come one by one and in crowds, as fast as the budget can bear or faster. */
  async #busyTime(): Promise<void> {
    const { timeline, ratePerMinute } = this.world;
    const chance = this.#chance.of('pace');
    const paceMs = (MINUTE_MS / Math.min(ratePerMinute, 300)) * chance.between(0.3, 2);
    const underWay: Promise<void>[] = [];
    let crowd = 0;
    for (let made = 0; made < this.#options.operations; made += 1) {
      if (crowd > 0) crowd -= 1;
      else if (chance.happens(0.05)) crowd = chance.whole(2, 12);
      await timeline.sleep(crowd > 0 ? chance.between(0, 20) : -Math.log(1 - chance.next()) * paceMs);
      this.#disturb();
      underWay.push(this.#clients.write());
      if (chance.happens(0.3)) underWay.push(this.#clients.read());
    }
    await Promise.all(underWay);
  }

  /** Something happens to an instance, or in the bot. */
  #disturb(): void {
    const { weather, faults, timeline } = this.world;
    const chance = this.#chance;
    const { process } = this.world.instance(chance);
    if (chance.happens(weather.deaths)) {
      const when = chance.happens(0.5) ? 'before' : 'after';
      faults.add(`instance: dies ${when} a request`);
      process.doom(chance.whole(1, 12), when);
    }
    if (chance.happens(weather.freezes)) {
      faults.add('instance: freezes and comes back');
      timeline.after(chance.between(0, 200), () => process.freeze());
      timeline.after(chance.between(200, 40_000), () => process.thaw());
    }
    if (chance.happens(weather.botChanges)) {
      faults.add('bot: changes its context');
      const key = chance.pick(['x0', 'b0', 'b1']);
      const isGone = chance.happens(0.3);
      const session = chance.pick(this.#sessions);
      this.#oracle.botChanged(session);
      this.world.tenant.sessions.changeAsBot(
        session,
        isGone ? { remove: [{ key }] } : { variables: [{ key, value: `RAWVALUE of the bot ${chance.next()}` }] },
      );
    }
    if (chance.happens(0.01)) {
      this.world.table.sweep();
      if (chance.happens(0.3)) {
        faults.add('upstream: tokens revoked');
        this.world.tenant.tokens.revokeAll();
      }
    }
  }

  /** Times in which nothing gets through. */
  async #outages(what: 'table' | 'upstream'): Promise<void> {
    const { timeline, faults } = this.world;
    const chance = this.#chance.of(`${what} outages`);
    while (!this.#isOver) {
      await timeline.sleep(chance.between(0, 2 * MINUTE_MS));
      const { tableOutages, upstreamOutages } = this.world.weather;
      if (this.#isOver || !chance.happens(what === 'table' ? tableOutages : upstreamOutages)) continue;
      faults.add(`${what}: out of order for a while`);
      this.#setDown(what, true);
      await timeline.sleep(chance.between(500, 30_000));
      this.#setDown(what, false);
    }
  }

  #setDown(what: 'table' | 'upstream', isDown: boolean): void {
    if (what === 'table') this.world.isTableDown = isDown && !this.#isOver;
    else this.world.isUpstreamDown = isDown && !this.#isOver;
  }

  async #tick(): Promise<void> {
    while (!this.#isOver) {
      await this.world.timeline.sleep(MINUTE_MS);
      await Promise.race([this.#schedule(), this.world.timeline.sleep(MINUTE_MS)]);
    }
  }

  /** One run of the schedule on some instance; with it or its death it is over. */
  async #schedule(): Promise<void> {
    const instance = this.world.instance(this.#chance);
    await Promise.race([this.#scheduleOn(instance), instance.process.died]);
  }

  async #scheduleOn({ deps, notify, process }: Instance): Promise<void> {
    const { telemetry } = this.#oracle.secrets;
    const deadlineMs = process.clock.now() + SCHEDULE_BUDGET_MS;
    const command = { shards: SHARDS, deadlineMs, correlationId: 'schedule', telemetry };
    await Promise.all([
      this.#unlessStoreFails(workOffDue(deps, command)),
      this.#unlessStoreFails(promptDue(notify, command)),
    ]);
  }

  async #unlessStoreFails(work: Promise<unknown>): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) this.#oracle.broken(`I1 the schedule failed: ${error}`);
      return false;
    }
  }

  async #workOffPrompt(prompt: Parameters<World['prompted']>[0], tries: number): Promise<void> {
    const { timeline } = this.world;
    const { notify, process } = this.world.instance(this.#chance);
    const { telemetry } = this.#oracle.secrets;
    const work = workOffPrompt(notify, prompt, { deadlineMs: process.clock.now() + PROMPT_BUDGET_MS, telemetry });
    const isDone = await Promise.race([
      work.then(
        () => true,
        () => false,
      ),
      process.died.then(() => false),
      timeline.sleep(PROMPT_BUDGET_MS).then(() => false),
    ]);
    if (isDone || tries === PROMPT_TRIES) return;
    timeline.after(PROMPT_AGAIN_MS, () => void this.#workOffPrompt(prompt, tries + 1));
  }

  /** The schedule goes on alone, until nothing is due and nothing waits. Hours in which there is nothing to do take no time. */
  async #comeToRest(): Promise<void> {
    const { timeline } = this.world;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const nextMs = this.#nextDueMs();
      if (nextMs === undefined) return;
      await timeline.sleep(Math.max(MINUTE_MS, nextMs - timeline.exactMs + 2_000));
      await this.#schedule();
      await timeline.sleep(3_000);
      this.#oracle.rested();
    }
    this.#oracle.broken('I1 the schedule does not come to rest');
  }

  /** When the table says that something is to be looked at next; `undefined` when nothing is. */
  #nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const item of this.world.table.items()) {
      const dueAt = item['dueAt']?.N;
      if (dueAt !== undefined) next = Math.min(next ?? Number.POSITIVE_INFINITY, Number(dueAt));
    }
    return next;
  }
}

function sessionId(text: string): SessionId {
  const parsed = parseSessionId(text);
  if (parsed === undefined) throw new TypeError(`no session id: ${text}`);
  return parsed;
}
