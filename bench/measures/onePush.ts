import { randomUUID } from 'node:crypto';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { dialogEvent, webhookEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest, UpstreamRequest } from '../world/protocol.ts';
import { type InTurn, inTurn, type RunOptions } from './inTurn.ts';

/** Existing sessions have been written to by the same function before. */
const KINDS = ['new', 'existing'] as const;

type PushKind = (typeof KINDS)[number];

/** An operation that needs one request to the upstream. */
export interface TimedPush {
  readonly kind: PushKind;
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  /** Requests for this session during this operation. */
  readonly upstream: readonly UpstreamRequest[];
}

export type PushRun = InTurn<TimedPush>;

/**
 * As many as exist after half of the first hundred operations. For a minute a lane remembers what it has had: by the warm-up each has
 * had ten operations, which all that it is asked carries along.
 */
export const EXISTING_SESSIONS = 50;

/** Messages, each with another text. */
export function runWebhooks(world: World, webhook: FunctionProcess, options: RunOptions): Promise<PushRun> {
  return runPushes(world, webhook, options, (sessionId, turn) =>
    webhookEvent({
      sessionId,
      userId: `user-${sessionId}`,
      message: `Where is my order ${turn}?`,
      channel: 'webchat',
      timestamp: Date.now(),
      custom: { page: `/orders/${turn}`, locale: 'en-GB' },
    }),
  );
}

/** Changes of dialogs, each with other values and another step. */
export function runDialogs(world: World, dialogState: FunctionProcess, options: RunOptions): Promise<PushRun> {
  return runPushes(world, dialogState, options, (dialogId, turn) =>
    dialogEvent(dialogId, {
      session: { open_ticket: { id: `T-${turn}`, status: 'open' }, priority_flag: turn % 2 === 0 },
      user: { tier: turn % 3 === 0 ? 'gold' : 'silver' },
      transition: { nextStep: `step_${turn}` },
    }),
  );
}

function runPushes(
  world: World,
  pushing: FunctionProcess,
  options: RunOptions,
  eventFor: (sessionId: string, turn: number) => object,
): Promise<PushRun> {
  const run = randomUUID();
  let turn = 0;
  return inTurn(world, KINDS, options, async (kind): Promise<TimedPush> => {
    turn += 1;
    const existing = Math.floor(turn / KINDS.length) % EXISTING_SESSIONS;
    const sessionId = kind === 'new' ? `new-${randomUUID()}` : `existing-${run}-${existing}`;
    const event = eventFor(sessionId, turn);
    await world.take();
    const invocation = await pushing.invoke(event);
    if (invocation.status !== 200) throw new Error(`an operation was answered ${invocation.status}`);
    const { database, upstream } = await world.take();
    return { kind, invocation, database, upstream: upstream.filter((request) => request.sessionId === sessionId) };
  });
}
