import { randomUUID } from 'node:crypto';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { snapshotEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest, UpstreamRequest } from '../world/protocol.ts';
import { type InTurn, inTurn, type RunOptions } from './inTurn.ts';

export interface TimedSnapshot {
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  readonly upstream: readonly UpstreamRequest[];
}

export interface SnapshotRunOptions extends RunOptions {
  /** In so many the upstream shows the variables. */
  readonly pages: number;
}

export interface SnapshotRun extends InTurn<TimedSnapshot> {
  readonly pages: number;
}

const VARIABLES = 500;

/** Snapshots of 500 variables, one after the other. */
export async function runSnapshots(
  world: World,
  snapshot: FunctionProcess,
  { pages, ...options }: SnapshotRunOptions,
): Promise<SnapshotRun> {
  const sessionId = `looked-at-${randomUUID()}`;
  const variables = Array.from({ length: VARIABLES }, (_, index) => ({ key: `crm_${index}`, value: `value ${index}` }));
  const admin = `${world.upstreamUrl}/__admin`;
  await send(`${admin}/sessions`, 'POST', { sessionId });
  await send(`${admin}/sessions/${sessionId}/variables`, 'PUT', { variables });
  await send(`${admin}/settings`, 'PATCH', { pageSize: VARIABLES / pages });
  try {
    return { pages, ...(await inTurn(world, ['snapshot'], options, () => once(world, snapshot, sessionId))) };
  } finally {
    await send(`${admin}/settings`, 'PATCH', { pageSize: 100 });
  }
}

async function once(world: World, snapshot: FunctionProcess, sessionId: string): Promise<TimedSnapshot> {
  await world.take();
  const invocation = await snapshot.invoke(snapshotEvent(sessionId));
  if (invocation.status !== 200) throw new Error(`a snapshot was answered ${invocation.status}`);
  const { database, upstream } = await world.take();
  return { invocation, database, upstream: upstream.filter((request) => request.sessionId === sessionId) };
}

async function send(url: string, method: string, body: object): Promise<void> {
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`the tenant answered ${response.status}`);
}
