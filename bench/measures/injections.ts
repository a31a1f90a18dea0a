import { randomUUID } from 'node:crypto';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { crmVariables, type InjectCall, injectEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest, UpstreamRequest } from '../world/protocol.ts';
import { type InTurn, inTurn, type RunOptions } from './inTurn.ts';

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
  readonly upstream: readonly UpstreamRequest[];
}

export interface InjectionRun extends Omit<InTurn<Injection>, 'timed'> {
  readonly injections: readonly Injection[];
}

/** Every other of these has been injected into after the first hundred operations, and ten times by the warm-up. */
const EXISTING_SESSIONS = 100;

export async function runInjections(world: World, inject: FunctionProcess, options: RunOptions): Promise<InjectionRun> {
  const traffic = new Traffic();
  const { timed: injections, ...rest } = await inTurn(world, KINDS, options, (kind) =>
    invokeOnce(world, inject, kind, traffic.next(kind)),
  );
  return { injections, ...rest };
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
  return { kind, invocation, database, upstream: own };
}
