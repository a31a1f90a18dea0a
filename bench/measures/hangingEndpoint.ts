import { randomUUID } from 'node:crypto';
import { startWayOut, type WayOut } from '../deliveries/process.ts';
import type { WayOutReport } from '../deliveries/protocol.ts';
import { type FunctionProcess, startFunction } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { crmVariables, injectEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { RunOptions } from './inTurn.ts';

/** Who wants to hear of what becomes of injections, beside the bus. */
export type Listener = 'hanging endpoint' | 'nobody';

/** An injection by a function whose outcomes are told to such a listener. */
export interface ToldInjection {
  readonly listener: Listener;
  readonly invocation: Invocation;
  /** Whether a request to the endpoint hung at some time while this was under way. */
  readonly isBesideHanging: boolean;
}

export interface HangingRun {
  readonly injections: readonly ToldInjection[];
  /** Events that each side's bus has got, by those of all injections, which are as many on each side. */
  readonly onBus: Readonly<Record<Listener, number>>;
  readonly perSide: number;
  /** Requests that the endpoint has got since it hangs, and those of them that it has answered. */
  readonly hung: number;
  readonly answered: number;
}

interface Side {
  readonly listener: Listener;
  readonly inject: FunctionProcess;
  readonly prefix: string;
}

const WARM_UP = 50;
/** Existing sessions of each side, fewer than half of the warm-up. */
const EXISTING_SESSIONS = 20;

/**
 * Injections by two functions of the same bundle in turn, to new and existing sessions: what becomes of the one's is told to an
 * endpoint that does not answer while they go on, of the other's to nobody but the bus.
 */
export async function measureHangingEndpoint(world: World, file: string, options: RunOptions): Promise<HangingRun> {
  const [toEndpoint, toNobody] = await Promise.all([
    startWayOut(world, { hasEndpoint: true }),
    startWayOut(world, { hasEndpoint: false }),
  ]);
  const sides: Side[] = [];
  try {
    sides.push(await startSide(world, file, 'hanging endpoint', toEndpoint));
    sides.push(await startSide(world, file, 'nobody', toNobody));
    const { timed, hungFromMs } = await injectInTurn(world, sides, toEndpoint, options);
    const [endpoint, nobody] = [await toEndpoint.tell(), await toNobody.tell()];
    const hanging = endpoint.toEndpoint.filter(({ fromMs }) => fromMs >= hungFromMs);
    return {
      injections: timed.map(({ listener, invocation, fromMs, untilMs }) => {
        const isBesideHanging = hanging.some((request) => request.fromMs < untilMs && request.untilMs > fromMs);
        return { listener, invocation, isBesideHanging };
      }),
      onBus: { 'hanging endpoint': endpoint.onBus, nobody: nobody.onBus },
      perSide: WARM_UP + options.perKind,
      hung: hanging.length,
      answered: answeredOf(hanging),
    };
  } finally {
    await Promise.all([...sides.map(({ inject }) => inject.close()), toEndpoint.close(), toNobody.close()]);
    await world.take();
  }
}

async function startSide(world: World, file: string, listener: Listener, { environment }: WayOut): Promise<Side> {
  const inject = await startFunction(file, { ...world.environment, ...environment });
  return { listener, inject, prefix: `told-${randomUUID()}` };
}

/** Neither side always comes first: what goes on after one's answer meets both alike. */
async function injectInTurn(
  world: World,
  sides: readonly Side[],
  endpoint: WayOut,
  { perKind, databaseMs, upstreamMs }: RunOptions,
) {
  const round = async (turn: number) => {
    const order = turn % 2 === 0 ? sides : sides.toReversed();
    const timed = [];
    for (const side of order) timed.push(await injectOnce(side, turn));
    return timed;
  };
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  for (let turn = 0; turn < WARM_UP; turn += 1) await round(turn);
  await world.delay({ databaseMs, upstreamMs });
  await endpoint.hang();
  const hungFromMs = Date.now();
  const timed = [];
  for (let turn = 0; turn < perKind; turn += 1) timed.push(...(await round(turn)));
  return { timed, hungFromMs };
}

/** New and existing sessions by pairs of rounds, so that each side has both in either order. */
async function injectOnce({ listener, inject, prefix }: Side, turn: number) {
  const pair = Math.floor(turn / 2);
  const sessionId = `${prefix}-${pair % 2 === 0 ? pair % EXISTING_SESSIONS : randomUUID()}`;
  const fromMs = Date.now();
  const invocation = await inject.invoke(injectEvent({ sessionId, variables: crmVariables(turn) }));
  const untilMs = Date.now();
  if (invocation.status !== 200) throw new Error(`an injection was answered ${invocation.status}`);
  return { listener, invocation, fromMs, untilMs };
}

function answeredOf(requests: WayOutReport['toEndpoint']): number {
  return requests.filter(({ status }) => status !== undefined).length;
}
