import { fileURLToPath } from 'node:url';
import type { FunctionBundle } from '../scripts/build.ts';
import { runDeliveries } from '../test/fixtures/events/runDeliveries.ts';
import { type FunctionProcess, startFunction } from './function/process.ts';
import { runCrmEvents } from './measures/crmEvents.ts';
import { measureHangingEndpoint } from './measures/hangingEndpoint.ts';
import { measureImports } from './measures/imports.ts';
import { runInjections } from './measures/injections.ts';
import { measureLargeContexts } from './measures/largeContexts.ts';
import { measureMemory } from './measures/memory.ts';
import { runDialogs, runWebhooks } from './measures/onePush.ts';
import { measureRules } from './measures/rules.ts';
import { runSnapshots } from './measures/snapshots.ts';
import { runStorm } from './measures/storm.ts';
import { runSweep } from './measures/sweep.ts';
import { runSyncs } from './measures/syncs.ts';
import { importSection, memorySection } from './report/bundleSections.ts';
import { crmEventSection } from './report/crmEventSection.ts';
import { deliverySection, hangingSection } from './report/deliverySections.ts';
import type { Section } from './report/figures.ts';
import { latencySection, ownTimeSection, roundTripSection } from './report/injectionSections.ts';
import { largeContextSection } from './report/largeContextSection.ts';
import { dialogSection, webhookSection } from './report/onePushSection.ts';
import { DELAYED } from './report/roundTrips.ts';
import { rulesSection } from './report/rulesSection.ts';
import { snapshotSection } from './report/snapshotSection.ts';
import { stormSection } from './report/stormSection.ts';
import { sweepSection } from './report/sweepSection.ts';
import { syncSection } from './report/syncSection.ts';
import type { World } from './world/process.ts';

/** What can be measured by itself, in the order of the report. */
export type Measure = {
  /** As in `--only storm`. */
  readonly name: string;
} & (
  | {
      /** These come first: a world keeps a processor busy. */
      readonly needsWorld: false;
      readonly run: () => Promise<readonly Section[]>;
    }
  | {
      readonly needsWorld: true;
      readonly run: (world: World, bundles: readonly FunctionBundle[]) => Promise<readonly Section[]>;
    }
);

const UNDELAYED = { databaseMs: 0, upstreamMs: 0 } as const;
const INJECTIONS_PER_KIND = 100;
const IMPORT_ROUNDS = 21;
const LARGE_INJECTIONS = 200;
const SYNCS_PER_KIND = 100;
const SNAPSHOTS_PER_KIND = 50;
const PUSHES_PER_KIND = 100;
const CRM_EVENTS = { sessions: 10, perKind: 50, warmUp: 50 };
const TOLD_INJECTIONS_PER_SIDE = 100;
const DELIVERIES = { deliveries: 10_000, failureRate: 0.3, crashes: 200, seed: 1 };
const STORM = { sessions: 50, perSession: 4, upstreamMs: 50 };
const RULES = { sizes: [100, 1_000, 2_000, 5_000, 10_000], rounds: 30, variables: 10_000 };
const LARGE_CONTEXT_ROUNDS = 8;
const SWEEP = { sessions: 10_000, due: 500, ratePerMinute: 100 };

export const MEASURES: readonly Measure[] = [
  {
    name: 'inject',
    needsWorld: true,
    run: async (world) => {
      const measured = { perKind: INJECTIONS_PER_KIND };
      const [delayed, undelayed] = await withAndWithoutDelays((delays) =>
        inFunction(world, 'inject', {}, (inject) => runInjections(world, inject, { ...measured, ...delays })),
      );
      return [latencySection(delayed), roundTripSection(delayed, undelayed), ownTimeSection(undelayed)];
    },
  },
  {
    name: 'sync',
    needsWorld: true,
    run: async (world) => {
      const settings = { SYNC_DEFAULT_TTL_SECONDS: '0' };
      const [delayed, undelayed] = await withAndWithoutDelays((delays) =>
        inFunction(world, 'sync', settings, (sync) => runSyncs(world, sync, { perKind: SYNCS_PER_KIND, ...delays })),
      );
      return [syncSection(delayed, undelayed)];
    },
  },
  {
    name: 'snapshot',
    needsWorld: true,
    run: async (world) => {
      const options = { perKind: SNAPSHOTS_PER_KIND, ...DELAYED };
      return [snapshotSection(await inFunction(world, 'snapshot', {}, (each) => runSnapshots(world, each, options)))];
    },
  },
  {
    name: 'webhook',
    needsWorld: true,
    run: async (world) => {
      const [delayed, undelayed] = await withAndWithoutDelays((delays) =>
        inFunction(world, 'webhook', {}, (each) => runWebhooks(world, each, { perKind: PUSHES_PER_KIND, ...delays })),
      );
      return [webhookSection(delayed, undelayed)];
    },
  },
  {
    name: 'dialog-state',
    needsWorld: true,
    run: async (world) => {
      const [delayed, undelayed] = await withAndWithoutDelays((delays) =>
        inFunction(world, 'dialog-state', {}, (each) =>
          runDialogs(world, each, { perKind: PUSHES_PER_KIND, ...delays }),
        ),
      );
      return [dialogSection(delayed, undelayed)];
    },
  },
  {
    name: 'crm',
    needsWorld: true,
    run: async (world) => {
      const [delayed, undelayed] = await withAndWithoutDelays((delays) =>
        inFunction(world, 'crm', {}, (crm) => runCrmEvents(world, crm, { ...CRM_EVENTS, ...delays })),
      );
      return [crmEventSection(delayed, undelayed)];
    },
  },
  {
    name: 'hanging',
    needsWorld: true,
    run: async (world) => {
      const options = { perKind: TOLD_INJECTIONS_PER_SIDE, ...DELAYED };
      return [hangingSection(await measureHangingEndpoint(world, bundleOf('inject'), options))];
    },
  },
  {
    name: 'deliveries',
    needsWorld: false,
    run: async () => [deliverySection(DELIVERIES, await runDeliveries(DELIVERIES))],
  },
  { name: 'storm', needsWorld: false, run: async () => [stormSection(await runStorm(STORM))] },
  { name: 'rules', needsWorld: false, run: async () => [rulesSection(await measureRules(RULES))] },
  { name: 'schedule', needsWorld: true, run: async (world) => [sweepSection(await runSweep(world, SWEEP))] },
  {
    name: 'imports',
    needsWorld: true,
    run: async (world, bundles) => [importSection(await measureImports(world, bundles, IMPORT_ROUNDS))],
  },
  {
    name: 'memory',
    needsWorld: true,
    run: async (world) => [memorySection(await measureMemory(world, bundleOf('inject'), LARGE_INJECTIONS))],
  },
  {
    name: 'large-contexts',
    needsWorld: true,
    run: async (world) => {
      const files = { sync: bundleOf('sync'), snapshot: bundleOf('snapshot') };
      return [largeContextSection(await measureLargeContexts(world, files, LARGE_CONTEXT_ROUNDS))];
    },
  },
];

function bundleOf(name: string): string {
  return fileURLToPath(new URL(`../dist/${name}/index.mjs`, import.meta.url));
}

type Delays = { readonly databaseMs: number; readonly upstreamMs: number };

async function withAndWithoutDelays<Run>(
  run: (delays: Delays) => Promise<Run>,
): Promise<[delayed: Run, undelayed: Run]> {
  return [await run(DELAYED), await run(UNDELAYED)];
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
