import { randomUUID } from 'node:crypto';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { crmVariables, type InjectCall, injectEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest } from '../world/protocol.ts';
import { bareRoundTrips } from './bareRoundTrips.ts';

/** How an injection finds its session, and whether it carries an idempotency key. */
const KINDS = [
  { session: 'new', hasKey: false },
  { session: 'new', hasKey: true },
  { session: 'existing', hasKey: false },
  { session: 'existing', hasKey: true },
] as const;

export type InjectionKind = (typeof KINDS)[number];

export interface Injection {
  readonly kind: InjectionKind;
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  /** Requests to the upstream for this session during this injection. */
  readonly upstreamRequests: number;
}

export interface InjectionRun {
  readonly injections: readonly Injection[];
  readonly bareDatabaseMs: readonly number[];
  readonly bareUpstreamMs: readonly number[];
}

export interface InjectionRunOptions {
  /** Injections of each kind that count. */
  readonly perKind: number;
  /** Added to every round trip to the database. */
  readonly databaseMs: number;
  /** What the upstream takes for every request. */
  readonly upstreamMs: number;
}

const WARM_UP_PER_KIND = 25;
/** Existing sessions have been injected into before, each at least once. */
const EXISTING_SESSIONS = 20;

/** Injects one after the other, all kinds in turn, with a bare round trip of each sort in between for comparison. */
export async function runInjections(
  world: World,
  inject: FunctionProcess,
  options: InjectionRunOptions,
): Promise<InjectionRun> {
  const { perKind, databaseMs, upstreamMs } = options;
  const traffic = new Traffic();
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  for (let turn = 0; turn < WARM_UP_PER_KIND; turn += 1) {
    for (const kind of KINDS) await invokeOnce(world, inject, kind, traffic.next(kind));
  }

  await world.delay({ databaseMs, upstreamMs });
  const bare = await bareRoundTrips(world);
  await bare.measure();
  const injections: Injection[] = [];
  const bareDatabaseMs: number[] = [];
  const bareUpstreamMs: number[] = [];
  for (let turn = 0; turn < perKind; turn += 1) {
    for (const kind of KINDS) injections.push(await invokeOnce(world, inject, kind, traffic.next(kind)));
    const between = await bare.measure();
    bareDatabaseMs.push(between.databaseMs);
    bareUpstreamMs.push(between.upstreamMs);
  }
  return { injections, bareDatabaseMs, bareUpstreamMs };
}

class Traffic {
  #turn = 0;

  next({ session, hasKey }: InjectionKind): InjectCall {
    this.#turn += 1;
    return {
      sessionId: session === 'new' ? `new-${randomUUID()}` : `existing-${this.#turn % EXISTING_SESSIONS}`,
      variables: crmVariables(this.#turn),
      ...(hasKey && { idempotencyKey: randomUUID() }),
    };
  }
}

async function invokeOnce(
  world: World,
  inject: FunctionProcess,
  kind: InjectionKind,
  call: InjectCall,
): Promise<Injection> {
  await world.take();
  const invocation = await inject.invoke(injectEvent(call));
  if (invocation.status !== 200) throw new Error(`an injection was answered ${invocation.status}`);
  const { database, upstream } = await world.take();
  const own = upstream.filter(({ surface, sessionId }) => surface === 'inject' && sessionId === call.sessionId);
  return { kind, invocation, database, upstreamRequests: own.length };
}
