// npm run bench: builds dist, measures the built functions, prints a report. `--write` keeps it as docs/evidence/bench.md.
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleAll, writeBundles } from '../scripts/build.ts';
import { runDeliveries } from '../test/fixtures/events/runDeliveries.ts';
import { startFunction } from './function/process.ts';
import { type CrmRun, runCrmEvents } from './measures/crmEvents.ts';
import { measureHangingEndpoint } from './measures/hangingEndpoint.ts';
import { measureImports } from './measures/imports.ts';
import { type InjectionRun, runInjections } from './measures/injections.ts';
import { measureLargeContexts } from './measures/largeContexts.ts';
import { measureMemory } from './measures/memory.ts';
import { type PushRun, runDialogs, runWebhooks } from './measures/onePush.ts';
import { measureRules } from './measures/rules.ts';
import { runSnapshots, type SnapshotRun } from './measures/snapshots.ts';
import { runStorm } from './measures/storm.ts';
import { runSweep } from './measures/sweep.ts';
import { runSyncs, type SyncRun } from './measures/syncs.ts';
import { importSection, memorySection } from './report/bundleSections.ts';
import { crmEventSection } from './report/crmEventSection.ts';
import { deliverySection, hangingSection } from './report/deliverySections.ts';
import { latencySection, ownTimeSection, roundTripSection } from './report/injectionSections.ts';
import { largeContextSection } from './report/largeContextSection.ts';
import { toMarkdown } from './report/markdown.ts';
import { dialogSection, webhookSection } from './report/onePushSection.ts';
import { DELAYED } from './report/roundTrips.ts';
import { rulesSection } from './report/rulesSection.ts';
import { snapshotSection } from './report/snapshotSection.ts';
import { stormSection } from './report/stormSection.ts';
import { sweepSection } from './report/sweepSection.ts';
import { syncSection } from './report/syncSection.ts';
import { summary, toText } from './report/terminal.ts';
import { startWorld, type World } from './world/process.ts';

const bundleOf = (name: string) => fileURLToPath(new URL(`../dist/${name}/index.mjs`, import.meta.url));
const INJECT = bundleOf('inject');
const SYNC = bundleOf('sync');
const SNAPSHOT = bundleOf('snapshot');
const WEBHOOK = bundleOf('webhook');
const DIALOG_STATE = bundleOf('dialog-state');
const CRM = bundleOf('crm');
const EVIDENCE = new URL('../docs/evidence/', import.meta.url);

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

const { values: flags } = parseArgs({ options: { write: { type: 'boolean', default: false } } });

const bundles = await bundleAll();
await writeBundles(bundles);
console.log('Measuring; this takes about six minutes, and a machine that does nothing else …\n');
// Before there is a world, which keeps a processor busy.
const rules = await measureRules(RULES);
const storm = await runStorm(STORM);
const deliveries = await runDeliveries(DELIVERIES);
const world = await startWorld();
try {
  const imports = await measureImports(world, bundles, IMPORT_ROUNDS);
  const delayed = await measureInjections(world, DELAYED);
  const undelayed = await measureInjections(world, { databaseMs: 0, upstreamMs: 0 });
  const delayedSyncs = await measureSyncs(world, DELAYED);
  const undelayedSyncs = await measureSyncs(world, { databaseMs: 0, upstreamMs: 0 });
  const snapshots = await measureSnapshots(world, DELAYED);
  const webhooks = await measurePushes(world, WEBHOOK, runWebhooks, DELAYED);
  const undelayedWebhooks = await measurePushes(world, WEBHOOK, runWebhooks, { databaseMs: 0, upstreamMs: 0 });
  const dialogs = await measurePushes(world, DIALOG_STATE, runDialogs, DELAYED);
  const undelayedDialogs = await measurePushes(world, DIALOG_STATE, runDialogs, { databaseMs: 0, upstreamMs: 0 });
  const crmEvents = await measureCrmEvents(world, DELAYED);
  const undelayedCrmEvents = await measureCrmEvents(world, { databaseMs: 0, upstreamMs: 0 });
  const hanging = await measureHangingEndpoint(world, INJECT, { perKind: TOLD_INJECTIONS_PER_SIDE, ...DELAYED });
  const memory = await measureMemory(world, INJECT, LARGE_INJECTIONS);
  const large = await measureLargeContexts(world, { sync: SYNC, snapshot: SNAPSHOT }, LARGE_CONTEXT_ROUNDS);
  const sweep = await runSweep(world, SWEEP);
  const sections = [
    latencySection(delayed),
    roundTripSection(delayed, undelayed),
    ownTimeSection(undelayed),
    syncSection(delayedSyncs, undelayedSyncs),
    snapshotSection(snapshots),
    webhookSection(webhooks, undelayedWebhooks),
    dialogSection(dialogs, undelayedDialogs),
    crmEventSection(crmEvents, undelayedCrmEvents),
    hangingSection(hanging),
    deliverySection(DELIVERIES, deliveries),
    stormSection(storm),
    rulesSection(rules),
    sweepSection(sweep),
    importSection(imports),
    memorySection(memory),
    largeContextSection(large),
  ];
  console.log(`${toText(sections)}\n\n${summary(sections)}`);
  if (flags.write) {
    await mkdir(EVIDENCE, { recursive: true });
    await writeFile(new URL('bench.md', EVIDENCE), toMarkdown(sections, circumstances()));
  }
} finally {
  await world.close();
}

async function measureInjections(
  world: World,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<InjectionRun> {
  const inject = await startFunction(INJECT, world.environment);
  try {
    return await runInjections(world, inject, { perKind: INJECTIONS_PER_KIND, ...delays });
  } finally {
    await inject.close();
  }
}

async function measureSyncs(
  world: World,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<SyncRun> {
  const sync = await startFunction(SYNC, { ...world.environment, SYNC_DEFAULT_TTL_SECONDS: '0' });
  try {
    return await runSyncs(world, sync, { perKind: SYNCS_PER_KIND, ...delays });
  } finally {
    await sync.close();
  }
}

async function measureSnapshots(
  world: World,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<SnapshotRun> {
  const snapshot = await startFunction(SNAPSHOT, world.environment);
  try {
    return await runSnapshots(world, snapshot, { perKind: SNAPSHOTS_PER_KIND, ...delays });
  } finally {
    await snapshot.close();
  }
}

async function measurePushes(
  world: World,
  bundle: string,
  run: typeof runWebhooks,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<PushRun> {
  const started = await startFunction(bundle, world.environment);
  try {
    return await run(world, started, { perKind: PUSHES_PER_KIND, ...delays });
  } finally {
    await started.close();
  }
}

async function measureCrmEvents(
  world: World,
  delays: { readonly databaseMs: number; readonly upstreamMs: number },
): Promise<CrmRun> {
  const crm = await startFunction(CRM, world.environment);
  try {
    return await runCrmEvents(world, crm, { ...CRM_EVENTS, ...delays });
  } finally {
    await crm.close();
  }
}

function circumstances() {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    command: 'npm run bench -- --write',
  };
}
