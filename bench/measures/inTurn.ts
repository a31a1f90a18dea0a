import type { World } from '../world/process.ts';
import { bareRoundTrips } from './bareRoundTrips.ts';

/** How much there is to be measured, and how long round trips take meanwhile. */
export interface RunOptions {
  /** Operations of each kind that count. */
  readonly perKind: number;
  /** Added to every round trip to the database. */
  readonly databaseMs: number;
  /** What the upstream takes for every request. */
  readonly upstreamMs: number;
  /** Operations before those that count; 100 where nothing is said. */
  readonly warmUp?: number;
}

export interface InTurn<Timed> {
  readonly timed: readonly Timed[];
  readonly bareDatabaseMs: readonly number[];
  readonly bareUpstreamMs: readonly number[];
}

const WARM_UP = 100;

/** One operation after the other, all kinds in turn, with a bare round trip of each sort in between for comparison. */
export async function inTurn<Kind, Timed>(
  world: World,
  kinds: readonly Kind[],
  { perKind, databaseMs, upstreamMs, warmUp = WARM_UP }: RunOptions,
  once: (kind: Kind) => Promise<Timed>,
): Promise<InTurn<Timed>> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  for (let round = 0; round < warmUp / kinds.length; round += 1) for (const kind of kinds) await once(kind);

  await world.delay({ databaseMs, upstreamMs });
  const bare = await bareRoundTrips(world);
  await bare.measure();
  const timed: Timed[] = [];
  const bareDatabaseMs: number[] = [];
  const bareUpstreamMs: number[] = [];
  for (let round = 0; round < perKind; round += 1) {
    for (const kind of kinds) timed.push(await once(kind));
    const between = await bare.measure();
    bareDatabaseMs.push(between.databaseMs);
    bareUpstreamMs.push(between.upstreamMs);
  }
  return { timed, bareDatabaseMs, bareUpstreamMs };
}
