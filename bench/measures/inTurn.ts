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
  /** Operations before those that count; 1,000 where nothing is said. */
  readonly warmUp?: number;
}

export interface InTurn<Timed> {
  readonly timed: readonly Timed[];
  /** Operations during the warm-up, timed as the others are; none where that is too short. */
  readonly young: readonly Timed[];
  readonly bareDatabaseMs: readonly number[];
  readonly bareUpstreamMs: readonly number[];
}

/**
 * V8 compiles with Maglev what has been called 400 times, and with TurboFan after 3,000 (its `--invocation-count-for-…`); most of a
 * function is called once or a few times an operation.
 */
export const WARM_UP = 1_000;
/** An instance is young when it has had so many operations: nothing is cold any more, and hardly anything compiled. */
export const YOUNG_AFTER = 100;
/** How many of its operations are timed. */
const YOUNG = 60;
const UNDELAYED = { databaseMs: 0, upstreamMs: 0 } as const;

/** One operation after the other, all kinds in turn, with a bare round trip of each sort in between for comparison. */
export async function inTurn<Kind, Timed>(
  world: World,
  kinds: readonly Kind[],
  { perKind, databaseMs, upstreamMs, warmUp = WARM_UP }: RunOptions,
  once: (kind: Kind) => Promise<Timed>,
): Promise<InTurn<Timed>> {
  const several = async (operations: number) => {
    const timed: Timed[] = [];
    for (let round = 0; round < operations / kinds.length; round += 1) {
      for (const kind of kinds) timed.push(await once(kind));
    }
    return timed;
  };
  const delays = { databaseMs, upstreamMs };
  await world.delay(UNDELAYED);
  await several(Math.min(warmUp, YOUNG_AFTER));
  await world.delay(delays);
  const young = await several(warmUp > YOUNG_AFTER ? YOUNG : 0);
  await world.delay(UNDELAYED);
  await several(warmUp - YOUNG_AFTER - young.length);

  await world.delay(delays);
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
  return { timed, young, bareDatabaseMs, bareUpstreamMs };
}
