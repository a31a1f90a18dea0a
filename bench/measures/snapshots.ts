import { randomUUID } from 'node:crypto';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { snapshotEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest, UpstreamRequest } from '../world/protocol.ts';
import { bareRoundTrips } from './bareRoundTrips.ts';

export interface TimedSnapshot {
  readonly pages: number;
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  readonly upstream: readonly UpstreamRequest[];
}

export interface SnapshotRun {
  readonly snapshots: readonly TimedSnapshot[];
  readonly bareUpstreamMs: readonly number[];
}

export interface SnapshotRunOptions {
  /** Snapshots of each number of pages that count. */
  readonly perKind: number;
  /** Added to every round trip to the database. */
  readonly databaseMs: number;
  /** What the upstream takes for every request. */
  readonly upstreamMs: number;
}

const VARIABLES = 500;
const PAGES = [1, 5] as const;
const WARM_UP = 50;

/** Snapshots of 500 variables one after the other, in one page and in five. */
export async function runSnapshots(
  world: World,
  snapshot: FunctionProcess,
  { perKind, databaseMs, upstreamMs }: SnapshotRunOptions,
): Promise<SnapshotRun> {
  const sessionId = `looked-at-${randomUUID()}`;
  const variables = Array.from({ length: VARIABLES }, (_, index) => ({ key: `crm_${index}`, value: `value ${index}` }));
  const admin = `${world.upstreamUrl}/__admin`;
  await send(`${admin}/sessions`, 'POST', { sessionId });
  await send(`${admin}/sessions/${sessionId}/variables`, 'PUT', { variables });
  const snapshots: TimedSnapshot[] = [];
  const bareUpstreamMs: number[] = [];
  try {
    for (const pages of PAGES) {
      await world.delay({ databaseMs: 0, upstreamMs: 0 });
      await send(`${admin}/settings`, 'PATCH', { pageSize: VARIABLES / pages });
      for (let round = 0; round < WARM_UP; round += 1) await once(world, snapshot, sessionId, pages);
      await world.delay({ databaseMs, upstreamMs });
      const bare = await bareRoundTrips(world);
      await bare.measure();
      for (let round = 0; round < perKind; round += 1) {
        snapshots.push(await once(world, snapshot, sessionId, pages));
        bareUpstreamMs.push((await bare.measure()).upstreamMs);
      }
    }
  } finally {
    await send(`${admin}/settings`, 'PATCH', { pageSize: 100 });
  }
  return { snapshots, bareUpstreamMs };
}

async function once(world: World, snapshot: FunctionProcess, sessionId: string, pages: number): Promise<TimedSnapshot> {
  await world.take();
  const invocation = await snapshot.invoke(snapshotEvent(sessionId));
  if (invocation.status !== 200) throw new Error(`a snapshot was answered ${invocation.status}`);
  const { database, upstream } = await world.take();
  return { pages, invocation, database, upstream: upstream.filter((request) => request.sessionId === sessionId) };
}

async function send(url: string, method: string, body: object): Promise<void> {
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`the tenant answered ${response.status}`);
}
