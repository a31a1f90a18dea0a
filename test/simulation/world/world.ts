import { createTenant, type Tenant } from '../../../infra/local/tenant/tenant.ts';
import type { Prompt } from '../../../lib/operations/ports/prompts.ts';
import { SimulatedTable } from '../table/simulatedTable.ts';
import { Chance } from './chance.ts';
import { seedCryptography } from './cryptography.ts';
import { type Instance, type Sabotage, startInstance } from './instance.ts';
import type { NetworkWatcher } from './network.ts';
import type { Told } from './outside.ts';
import type { Process } from './process.ts';
import { Tally } from './tally.ts';
import { Timeline } from './timeline.ts';
import { FAIR, type Weather } from './weather.ts';

/** Who looks at everything that crosses between the instances and the world. */
export interface WorldWatchers extends NetworkWatcher {
  /** A request to the table has come to nothing after all tries. */
  tableFailed(process: Process, pk: string): void;
  tableAnswered(process: Process, command: object, answer: unknown): void;
}

export interface WorldOptions {
  readonly seed: string;
  readonly weather: Weather;
  readonly instances: number;
  readonly ratePerMinute: number;
  readonly sessionTtlMs: number;
  readonly sabotage?: Sabotage;
}

/** One table, one tenant, several instances of the bridge, and everything that goes wrong between them. */
export class World {
  readonly timeline = new Timeline();
  readonly faults = new Tally();
  readonly told: Told = { bus: new Map(), endpoint: new Map(), letters: [] };
  readonly order = new Map<string, number>();
  readonly clientSecret = 'RAWSECRET';
  readonly chance: Chance;
  readonly table: SimulatedTable;
  readonly tenant: Tenant;
  readonly ratePerMinute: number;
  readonly sessionTtlMs: number;
  readonly sabotage: Sabotage;
  weather: Weather;
  isTableDown = false;
  isUpstreamDown = false;
  watchers: WorldWatchers = { left() {}, arrived() {}, heard() {}, tableFailed() {}, tableAnswered() {} };
  /** What is done with a prompt that arrives. */
  prompted: (prompt: Prompt) => void = () => {};
  readonly #instances: Instance[] = [];
  #started = 0;

  constructor(options: WorldOptions) {
    this.chance = new Chance(options.seed);
    this.weather = options.weather;
    this.ratePerMinute = options.ratePerMinute;
    this.sessionTtlMs = options.sessionTtlMs;
    this.sabotage = options.sabotage ?? {};
    seedCryptography(this.chance.of('cryptography').next);
    const now = () => Math.floor(this.timeline.exactMs);
    const age = this.chance.of('table');
    this.table = new SimulatedTable({
      now,
      indexLagMs: () => age.between(0, this.weather.indexLagMs),
      readAgeMs: () => age.between(0, this.weather.readAgeMs),
    });
    let ids = 0;
    this.tenant = createTenant({
      now,
      newId: () => `RAWTOKEN${++ids}`,
      settings: { ratePerMinute: 0, clientSecret: this.clientSecret },
    });
    for (let count = 0; count < options.instances; count += 1) this.start();
  }

  /** A fresh instance: cold, with a clock of its own. */
  start(): Instance {
    this.#started += 1;
    const instance = startInstance(this, this.tenant, `instance ${this.#started}`);
    this.#instances.push(instance);
    // Whoever dies is replaced.
    instance.process.died.then(() => {
      this.#instances.splice(this.#instances.indexOf(instance), 1);
      this.start();
    });
    return instance;
  }

  /** One of those that are there; one that is frozen takes no new work. */
  instance(chance: Chance): Instance {
    const awake = this.#instances.filter(({ process }) => !process.isFrozen);
    const [first, ...others] = awake;
    return first === undefined ? this.start() : chance.pick([first, ...others]);
  }

  get instances(): readonly Instance[] {
    return this.#instances;
  }

  get started(): number {
    return this.#started;
  }

  /** Nothing goes wrong any more; who was frozen comes back. */
  clearUp(): void {
    this.weather = { ...FAIR, skewMs: this.weather.skewMs };
    this.isTableDown = false;
    this.isUpstreamDown = false;
    for (const { process } of this.#instances) process.thaw();
  }
}
