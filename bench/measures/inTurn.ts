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

/** Operations, and how long single round trips took meanwhile. */
export interface Timings<Timed> {
  readonly timed: readonly Timed[];
  readonly bareDatabaseMs: readonly number[];
  readonly bareUpstreamMs: readonly number[];
}

export interface InTurn<Timed> extends Timings<Timed> {
  /** The same of the instance while it was young. Absent where the warm-up is too short for that. */
  readonly young?: Timings<Timed>;
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

/** One operation after the other, all kinds in turn, with a bare round trip of each sort in between for comparison. */
export async function inTurn<Kind, Timed>(
  world: World,
  kinds: readonly Kind[],
  { perKind, databaseMs, upstreamMs, warmUp = WARM_UP }: RunOptions,
  once: (kind: Kind) => Promise<Timed>,
): Promise<InTurn<Timed>> {
  const warm = async (operations: number): Promise<void> => {
    await world.delay({ databaseMs: 0, upstreamMs: 0 });
    for (let round = 0; round < operations / kinds.length; round += 1) for (const kind of kinds) await once(kind);
  };
  const time = async (rounds: number): Promise<Timings<Timed>> => {
    await world.delay({ databaseMs, upstreamMs });
    const bare = await bareRoundTrips(world);
    await bare.measure();
    const timed: Timed[] = [];
    const bareDatabaseMs: number[] = [];
    const bareUpstreamMs: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const kind of kinds) timed.push(await once(kind));
      const between = await bare.measure();
      bareDatabaseMs.push(between.databaseMs);
      bareUpstreamMs.push(between.upstreamMs);
    }
    return { timed, bareDatabaseMs, bareUpstreamMs };
  };

  if (warmUp < YOUNG_AFTER + YOUNG) {
    await warm(warmUp);
    return time(perKind);
  }
  await warm(YOUNG_AFTER);
  const young = await time(YOUNG / kinds.length);
  await warm(warmUp - YOUNG_AFTER - young.timed.length);
  return { ...(await time(perKind)), young };
}
