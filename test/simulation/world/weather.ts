import type { Chance } from './chance.ts';

/** What goes wrong in one simulation, and how often. Probabilities are per request unless said otherwise. */
export interface Weather {
  readonly table: Readonly<Record<TableFault, number>>;
  readonly upstream: Readonly<Record<UpstreamFault, number>>;
  /** A table that refuses everything for a while, and an upstream; per minute. */
  readonly tableOutages: number;
  readonly upstreamOutages: number;
  /** Deaths and freezes of instances, per operation of a client. */
  readonly deaths: number;
  readonly freezes: number;
  /** What the bot changes by itself, per operation of a client. */
  readonly botChanges: number;
  /** Of a prompt: lost on the way, and delivered twice. */
  readonly lostPrompts: number;
  readonly doublePrompts: number;
  /** The bus and the endpoint refuse an event. */
  readonly lostEvents: number;
  /** How far an instance's clock is off at most, milliseconds: with {@link RATE_TRIP_MS} within what the governor promises for. */
  readonly skewMs: number;
  /** How long after a write the index has it, and how old an eventually consistent read is; at most, milliseconds. */
  readonly indexLagMs: number;
  readonly readAgeMs: number;
}

export type TableFault =
  | 'throttled'
  | 'failed before it took effect'
  | 'acknowledgement lost'
  | 'connection cut'
  | 'slow'
  | 'arrived after it was given up'
  | 'batch done in part';

export type UpstreamFault =
  | '429 with Retry-After'
  | '429 without'
  | '400'
  | '401'
  | '403'
  | '409'
  | '412'
  | '500 not applied'
  | '500 applied'
  | '503'
  | 'connection refused'
  | 'reset before it took effect'
  | 'reset after it took effect'
  | 'no answer, not applied'
  | 'no answer, applied'
  | 'slow'
  | '200 as HTML'
  | '200 cut off'
  | '200 of another shape'
  | '200 and empty';

const NO_TABLE_FAULTS: Weather['table'] = {
  throttled: 0,
  'failed before it took effect': 0,
  'acknowledgement lost': 0,
  'connection cut': 0,
  slow: 0,
  'arrived after it was given up': 0,
  'batch done in part': 0,
};

const NO_UPSTREAM_FAULTS: Weather['upstream'] = {
  '429 with Retry-After': 0,
  '429 without': 0,
  '400': 0,
  '401': 0,
  '403': 0,
  '409': 0,
  '412': 0,
  '500 not applied': 0,
  '500 applied': 0,
  '503': 0,
  'connection refused': 0,
  'reset before it took effect': 0,
  'reset after it took effect': 0,
  'no answer, not applied': 0,
  'no answer, applied': 0,
  slow: 0,
  '200 as HTML': 0,
  '200 cut off': 0,
  '200 of another shape': 0,
  '200 and empty': 0,
};

export const FAIR: Weather = {
  table: NO_TABLE_FAULTS,
  upstream: NO_UPSTREAM_FAULTS,
  tableOutages: 0,
  upstreamOutages: 0,
  deaths: 0,
  freezes: 0,
  botChanges: 0,
  lostPrompts: 0,
  doublePrompts: 0,
  lostEvents: 0,
  skewMs: 0,
  indexLagMs: 0,
  readAgeMs: 0,
};

/** Each kind of fault about as often as `probability`, some more and some less. */
function somewhere<Name extends string>(names: Record<Name, number>, probability: number, chance: Chance) {
  const all = Object.keys(names).map((name) => [name, chance.happens(0.7) ? probability * chance.between(0, 2) : 0]);
  return Object.fromEntries(all) as Record<Name, number>;
}

/** The weather of one seed: some things go wrong hardly ever, some all the time, and not the same with each. */
export function weatherOf(chance: Chance): Weather {
  const often = (probability: number) => (chance.happens(0.7) ? probability * chance.between(0.1, 2) : 0);
  return {
    table: somewhere(NO_TABLE_FAULTS, often(0.006), chance),
    upstream: somewhere(NO_UPSTREAM_FAULTS, often(0.01), chance),
    tableOutages: often(0.1),
    upstreamOutages: often(0.1),
    deaths: often(0.06),
    freezes: often(0.03),
    botChanges: often(0.1),
    lostPrompts: often(0.1),
    doublePrompts: often(0.1),
    lostEvents: often(0.1),
    skewMs: often(25),
    indexLagMs: often(500),
    readAgeMs: often(500),
  };
}
