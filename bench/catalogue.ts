import { fileURLToPath } from 'node:url';
import type { FunctionBundle } from '../scripts/build.ts';
import { runDeliveries } from '../test/fixtures/events/runDeliveries.ts';
import { type FunctionProcess, startFunction } from './function/process.ts';
import { type CrmRun, runCrmEvents } from './measures/crmEvents.ts';
import { measureHangingEndpoint } from './measures/hangingEndpoint.ts';
import { measureImports } from './measures/imports.ts';
import { type InjectionRun, runInjections } from './measures/injections.ts';
import { runInjectStorm } from './measures/injectStorm.ts';
import { measureJournals } from './measures/journals.ts';
import { measureLargeContexts } from './measures/largeContexts.ts';
import { measureMemory } from './measures/memory.ts';
import { runNotifications } from './measures/notifications.ts';
import { type PushRun, runDialogs, runWebhooks } from './measures/onePush.ts';
import { runOverload } from './measures/overload.ts';
import { measureRules } from './measures/rules.ts';
import { runSnapshots, type SnapshotRun } from './measures/snapshots.ts';
import { runStorm } from './measures/storm.ts';
import { runSweep, type SweepRun } from './measures/sweep.ts';
import { runSyncs, type SyncRun } from './measures/syncs.ts';
import { importSection, memorySection } from './report/bundleSections.ts';
import { crmEventSection } from './report/crmEventSection.ts';
import { deliverySection, hangingSection } from './report/deliverySections.ts';
import type { Section } from './report/figures.ts';
import { growthSection } from './report/growthSection.ts';
import { latencySection, ownTimeSection, roundTripSection } from './report/injectionSections.ts';
import { injectStormChart, injectStormSection, RATE_PER_MINUTE } from './report/injectStormSection.ts';
import { largeContextSection } from './report/largeContextSection.ts';
import { notificationSection } from './report/notificationSection.ts';
import { dialogSection, webhookSection } from './report/onePushSection.ts';
import { type OperationCosts, operationCosts } from './report/operations.ts';
import { overloadSection } from './report/overloadSection.ts';
import { DELAYED } from './report/roundTrips.ts';
import { rulesSection } from './report/rulesSection.ts';
import { snapshotSection } from './report/snapshotSection.ts';
import { stormSection } from './report/stormSection.ts';
import { sweepSection } from './report/sweepSection.ts';
import { syncSection } from './report/syncSection.ts';
import { changesOf } from './storm/changes.ts';
import { runStraightforward } from './storm/straightforward.ts';
import type { World } from './world/process.ts';

/** What can be measured by itself, in the order of the report. */
export type Measure = {
  /** As in `--only storm`. */
  readonly name: string;
} & (
  | {
      /** These come first: a world keeps a processor busy. */
      readonly needsWorld: false;
      readonly run: () => Promise<Measured>;
    }
  | {
      readonly needsWorld: true;
      readonly run: (world: World, bundles: readonly FunctionBundle[]) => Promise<Measured>;
    }
);

export interface Measured {
  readonly sections: readonly Section[];
  /** What the functions that were measured cost. */
  readonly operations?: readonly OperationCosts[];
  /** SVG by the name of its file. */
  readonly charts?: Readonly<Record<string, string>>;
}

const UNDELAYED = { databaseMs: 0, upstreamMs: 0 } as const;
const INJECTIONS_PER_KIND = 100;
const IMPORT_ROUNDS = 21;
const LARGE_INJECTIONS = 200;
const SYNCS_PER_KIND = 100;
const SNAPSHOTS_PER_KIND = 50;
const PUSHES_PER_KIND = 100;
/** An event pushes to each of its sessions: by the warm-up there have been 500 pushes. */
const CRM_EVENTS = { sessions: 10, perKind: 50, warmUp: 50 };
/** Sessions that an event is injected into at a time. */
const CRM_AT_A_TIME = 5;
const NOTIFICATIONS = 50;
const TOLD_INJECTIONS_PER_SIDE = 100;
const DELIVERIES = { deliveries: 10_000, failureRate: 0.3, crashes: 200, seed: 1 };
const STORM = { sessions: 50, perSession: 4, upstreamMs: 50 };
const INJECT_STORM = {
  changes: 1_000,
  sessions: 20,
  workers: 50,
  withinMs: 10_000,
  upstreamMs: 60,
  scheduleAtMs: 30_000,
};
const OVERLOAD = {
  budgets: [
    { ratePerMinute: 60, minutes: 30 },
    { ratePerMinute: 100, minutes: 30 },
    { ratePerMinute: 600, minutes: 10 },
  ],
  instances: 5,
  callers: 6,
  upstreamMs: 60,
};
const RULES = { sizes: [100, 1_000, 2_000, 5_000, 10_000], rounds: 30, variables: 10_000 };
const LARGE_CONTEXT_ROUNDS = 8;
const SWEEP = { sessions: 10_000, due: 500, ratePerMinute: 100 };
const GROWTH = {
  leaves: [100, 420, 1_000, 2_000],
  waiting: [0, 9, 49, 99],
  bindings: [1, 10, 50, 100],
  sessions: [500, 2_000, 8_000],
  sweep: { due: 50, ratePerMinute: 1_000 },
  perKind: 10,
  warmUp: 60,
  among: 10,
};

export const MEASURES: readonly Measure[] = [
  {
    name: 'inject',
    needsWorld: true,
    run: async (world) => {
      const measured = { perKind: INJECTIONS_PER_KIND };
      const [delayed, undelayed] = await withAndWithoutDelays(world, (delays) =>
        inFunction(world, 'inject', {}, (inject) => runInjections(world, inject, { ...measured, ...delays })),
      );
      const { injections } = undelayed;
      return {
        sections: [latencySection(delayed), roundTripSection(delayed, undelayed), ownTimeSection(undelayed)],
        operations: (['new', 'existing'] as const).map((session) => {
          const of = (all: InjectionRun['injections']) => all.filter(({ kind }) => kind.session === session);
          const timed = { group: of(delayed.injections), nominalMs: DELAYED.upstreamMs };
          return operationCosts(`inject, ${session} session`, of(injections), timed);
        }),
      };
    },
  },
  {
    name: 'sync',
    needsWorld: true,
    run: async (world) => {
      const settings = { SYNC_DEFAULT_TTL_SECONDS: '0' };
      const [delayed, undelayed] = await withAndWithoutDelays(world, (delays) =>
        inFunction(world, 'sync', settings, (sync) => runSyncs(world, sync, { perKind: SYNCS_PER_KIND, ...delays })),
      );
      const timed = { group: delayed.syncs, nominalMs: 2 * DELAYED.upstreamMs };
      return {
        sections: [syncSection(delayed, undelayed)],
        operations: [operationCosts('sync, 20 kB', undelayed.syncs, timed)],
      };
    },
  },
  {
    name: 'snapshot',
    needsWorld: true,
    run: async (world) => {
      const runs: SnapshotRun[] = [];
      const operations: OperationCosts[] = [];
      for (const pages of [1, 5]) {
        const [delayed, undelayed] = await withAndWithoutDelays(world, (delays) =>
          inFunction(world, 'snapshot', {}, (each) =>
            runSnapshots(world, each, { pages, perKind: SNAPSHOTS_PER_KIND, ...delays }),
          ),
        );
        runs.push(delayed);
        // Pages can be asked for together.
        const timed = { group: delayed.timed, nominalMs: DELAYED.upstreamMs };
        operations.push(
          operationCosts(`snapshot, ${pages === 1 ? 'one page' : `${pages} pages`}`, undelayed.timed, timed),
        );
      }
      return { sections: [snapshotSection(runs)], operations };
    },
  },
  {
    name: 'webhook',
    needsWorld: true,
    run: async (world) => {
      const [delayed, undelayed] = await withAndWithoutDelays(world, (delays) =>
        inFunction(world, 'webhook', {}, (each) => runWebhooks(world, each, { perKind: PUSHES_PER_KIND, ...delays })),
      );
      return { sections: [webhookSection(delayed, undelayed)], operations: pushCosts('webhook', delayed, undelayed) };
    },
  },
  {
    name: 'dialog-state',
    needsWorld: true,
    run: async (world) => {
      const [delayed, undelayed] = await withAndWithoutDelays(world, (delays) =>
        inFunction(world, 'dialog-state', {}, (each) =>
          runDialogs(world, each, { perKind: PUSHES_PER_KIND, ...delays }),
        ),
      );
      const operations = pushCosts('dialog-state', delayed, undelayed);
      return { sections: [dialogSection(delayed, undelayed)], operations };
    },
  },
  {
    name: 'crm',
    needsWorld: true,
    run: async (world) => {
      const [delayed, undelayed] = await withAndWithoutDelays(world, (delays) =>
        inFunction(world, 'crm', {}, (crm) => runCrmEvents(world, crm, { ...CRM_EVENTS, ...delays })),
      );
      const { sessions } = CRM_EVENTS;
      const nominalMs = Math.ceil(sessions / CRM_AT_A_TIME) * DELAYED.upstreamMs;
      return {
        sections: [crmEventSection(delayed, undelayed)],
        operations: [operationCosts(`crm, ${sessions} sessions`, undelayed.timed, { group: delayed.timed, nominalMs })],
      };
    },
  },
  {
    name: 'notify',
    needsWorld: true,
    run: async (world) => {
      const files = { inject: bundleOf('inject'), notify: bundleOf('notify') };
      const told = await runNotifications(world, files, NOTIFICATIONS);
      return { sections: [notificationSection(told)], operations: [operationCosts('notify, one outcome', told)] };
    },
  },
  {
    name: 'hanging',
    needsWorld: true,
    run: async (world) => {
      const options = { perKind: TOLD_INJECTIONS_PER_SIDE, ...DELAYED };
      return { sections: [hangingSection(await measureHangingEndpoint(world, bundleOf('inject'), options))] };
    },
  },
  {
    name: 'deliveries',
    needsWorld: false,
    run: async () => ({ sections: [deliverySection(DELIVERIES, await runDeliveries(DELIVERIES))] }),
  },
  { name: 'storm', needsWorld: false, run: async () => ({ sections: [stormSection(await runStorm(STORM))] }) },
  {
    name: 'inject-storm',
    needsWorld: false,
    run: async () => {
      const tenant = { ratePerMinute: RATE_PER_MINUTE, upstreamMs: INJECT_STORM.upstreamMs };
      const changes = changesOf(INJECT_STORM);
      const straightforward = [
        await runStraightforward(changes, 'as they come', tenant),
        await runStraightforward(changes, 'in turn', tenant),
      ];
      const run = await runInjectStorm(INJECT_STORM);
      return {
        sections: [injectStormSection(run, straightforward)],
        charts: { 'storm.svg': injectStormChart(run, straightforward) },
      };
    },
  },
  {
    name: 'overload',
    needsWorld: true,
    run: async (world) => ({ sections: [overloadSection(await runOverload(world, OVERLOAD))] }),
  },
  { name: 'rules', needsWorld: false, run: async () => ({ sections: [rulesSection(await measureRules(RULES))] }) },
  {
    name: 'schedule',
    needsWorld: true,
    run: async (world) => ({ sections: [sweepSection(await runSweep(world, SWEEP))] }),
  },
  {
    name: 'growth',
    needsWorld: true,
    run: async (world) => {
      const settings = { SYNC_DEFAULT_TTL_SECONDS: '0' };
      const bySize: { leaves: number; run: SyncRun }[] = [];
      for (const leaves of GROWTH.leaves) {
        const { perKind, warmUp, among } = GROWTH;
        const options = { perKind, warmUp, among, leaves, ...UNDELAYED };
        bySize.push({
          leaves,
          run: await inFunction(world, 'sync', settings, (sync) => runSyncs(world, sync, options)),
        });
      }
      const journals = await measureJournals(world, GROWTH.waiting, GROWTH.perKind / 2);
      const byBindings: CrmRun[] = [];
      for (const sessions of GROWTH.bindings) {
        const options = { sessions, perKind: GROWTH.perKind, warmUp: GROWTH.perKind, ...UNDELAYED };
        byBindings.push(await inFunction(world, 'crm', {}, (crm) => runCrmEvents(world, crm, options)));
      }
      const bySessions: SweepRun[] = [];
      for (const sessions of GROWTH.sessions) bySessions.push(await runSweep(world, { ...GROWTH.sweep, sessions }));
      return { sections: [growthSection({ bySize, journals, byBindings, bySessions })] };
    },
  },
  {
    name: 'imports',
    needsWorld: true,
    run: async (world, bundles) => ({ sections: [importSection(await measureImports(world, bundles, IMPORT_ROUNDS))] }),
  },
  {
    name: 'memory',
    needsWorld: true,
    run: async (world) => ({
      sections: [memorySection(await measureMemory(world, bundleOf('inject'), LARGE_INJECTIONS))],
    }),
  },
  {
    name: 'large-contexts',
    needsWorld: true,
    run: async (world) => {
      const files = { sync: bundleOf('sync'), snapshot: bundleOf('snapshot') };
      return { sections: [largeContextSection(await measureLargeContexts(world, files, LARGE_CONTEXT_ROUNDS))] };
    },
  },
];

function pushCosts(name: string, delayed: PushRun, undelayed: PushRun): OperationCosts[] {
  return (['new', 'existing'] as const).map((kind) => {
    const of = (run: PushRun) => run.timed.filter((each) => each.kind === kind);
    const timed = { group: of(delayed), nominalMs: DELAYED.upstreamMs };
    return operationCosts(`${name}, ${kind} session`, of(undelayed), timed);
  });
}

function bundleOf(name: string): string {
  return fileURLToPath(new URL(`../dist/${name}/index.mjs`, import.meta.url));
}

type Delays = { readonly databaseMs: number; readonly upstreamMs: number };

/** Latencies by the table that takes no time of its own, costs by the one that counts them. */
async function withAndWithoutDelays<Run>(
  world: World,
  run: (delays: Delays) => Promise<Run>,
): Promise<[delayed: Run, undelayed: Run]> {
  await world.use('simulated');
  const delayed = await run(DELAYED);
  await world.use('dynalite');
  return [delayed, await run(UNDELAYED)];
}

/** Measures one function, started for this, in a process of its own. */
async function inFunction<Run>(
  world: World,
  name: string,
  settings: Readonly<Record<string, string>>,
  run: (started: FunctionProcess) => Promise<Run>,
): Promise<Run> {
  const started = await startFunction(bundleOf(name), { ...world.environment, ...settings });
  try {
    return await run(started);
  } finally {
    await started.close();
  }
}
