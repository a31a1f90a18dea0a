import { randomUUID } from 'node:crypto';
import type { JournalEntry } from '../../infra/local/tenant/journal.ts';
import { isJsonObject, type JsonValue } from '../../lib/context/json.ts';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { bindingEvent, crmEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest } from '../world/protocol.ts';
import { type InTurn, inTurn, type RunOptions } from './inTurn.ts';

export interface CrmRunOptions extends RunOptions {
  /** Sessions that are bound to the record. */
  readonly sessions: number;
}

/** One event of a record, and what came of it. */
export interface TimedCrmEvent {
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  /** Requests to the upstream during this event, whatever they were about. */
  readonly upstream: readonly { readonly sentBytes: number }[];
  /** Bound sessions whose bot has been given the event's own value, by the tenant's journal. */
  readonly reached: number;
}

export interface CrmRun extends InTurn<TimedCrmEvent> {
  readonly sessions: number;
}

/** What the source's mapping makes of `/data/tier`. */
const KEY = 'crm_tier';

/** Events of one record that several sessions are bound to, each with another value, and of a later time than the one before. */
export async function runCrmEvents(world: World, crm: FunctionProcess, options: CrmRunOptions): Promise<CrmRun> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const recordId = `record-${randomUUID()}`;
  const bound = new Set(Array.from({ length: options.sessions }, () => `bound-${randomUUID()}`));
  for (const sessionId of bound) {
    const { status } = await crm.invoke(bindingEvent(sessionId, recordId));
    if (status !== 200) throw new Error(`a binding was answered ${status}`);
  }
  const startMs = Date.now();
  let turn = 0;
  const run = await inTurn(world, ['event'], options, async (): Promise<TimedCrmEvent> => {
    turn += 1;
    const tier = `tier-${turn}`;
    const timestamp = new Date(startMs + turn).toISOString();
    const event = crmEvent({ id: `evt_${randomUUID()}`, timestamp, data: { id: recordId, tier, name: 'A. Customer' } });
    await world.take();
    const invocation = await crm.invoke(event);
    if (invocation.status !== 200) throw new Error(`an event was answered ${invocation.status}`);
    const journal = await journalOf(world);
    const { database } = await world.take();
    const given = journal.filter(({ applied, body }) => applied && valueIn(body) === tier);
    const reached = bound.intersection(new Set(given.map(({ sessionId = '' }) => sessionId))).size;
    const upstream = journal.map(({ bodyBytes }) => ({ sentBytes: bodyBytes }));
    return { invocation, database, upstream, reached };
  });
  return { sessions: options.sessions, ...run };
}

/** Requests since the last {@link World.take}, with their bodies, which nobody else has to know. */
async function journalOf({ upstreamUrl }: World): Promise<JournalEntry[]> {
  const response = await fetch(`${upstreamUrl}/__admin/journal`);
  const { entries } = (await response.json()) as { readonly entries: readonly JournalEntry[] };
  return entries.filter(({ surface }) => surface !== 'token');
}

function valueIn(body: JsonValue): JsonValue | undefined {
  const variables = isJsonObject(body) ? body['variables'] : undefined;
  if (!Array.isArray(variables)) return undefined;
  return variables.filter(isJsonObject).find(({ key }) => key === KEY)?.['value'];
}
