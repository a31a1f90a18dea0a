import { randomUUID } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue } from '../../lib/context/json.ts';
import { leavesOf, treeOf } from '../../lib/context/leaves.ts';
import { tokensOf } from '../../lib/context/pointer.ts';
import { createRandom, type Random } from '../../lib/platform/random.ts';
import { anotherValue, contextOfLeaves } from '../contexts.ts';
import type { FunctionProcess } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { type SyncCall, syncEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';
import type { DatabaseRequest, UpstreamRequest } from '../world/protocol.ts';
import { type InTurn, inTurn, type RunOptions } from './inTurn.ts';

export interface SyncRunOptions extends RunOptions {
  /** Of each session's context. */
  readonly leaves?: number;
  /** How many sessions there are. */
  readonly among?: number;
}

/** Whether the bot has changed its context since the sync before. */
const KINDS = ['context as it was', 'context changed by the bot'] as const;

export type SyncKind = (typeof KINDS)[number];

export interface Sync {
  readonly kind: SyncKind;
  readonly invocation: Invocation;
  readonly database: readonly DatabaseRequest[];
  /** Requests for this session during this sync, in order. */
  readonly upstream: readonly UpstreamRequest[];
}

export interface SyncRun extends Omit<InTurn<Sync>, 'timed'> {
  readonly syncs: readonly Sync[];
}

/** By the warm-up each has had twenty syncs, where nothing else is asked for. */
const SESSIONS = 50;
/** About 20 kB, where nothing else is asked for. */
const LEAVES = 420;
/** What one sync says anew; beside these it puts one leaf and takes one away. */
const CHANGED_LEAVES = 4;

export async function runSyncs(
  world: World,
  sync: FunctionProcess,
  { leaves = LEAVES, among = SESSIONS, ...options }: SyncRunOptions,
): Promise<SyncRun> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const sessions = Array.from({ length: among }, () => new ChangingSession(leaves));
  for (const session of sessions) await invokeOnce(world, sync, 'context as it was', session.whole());
  let turn = 0;
  const next = async (kind: SyncKind) => {
    turn += 1;
    const session = sessions[turn % among];
    if (session === undefined) throw new RangeError('no such session');
    if (kind === 'context changed by the bot') await session.changeAsBot(world.upstreamUrl);
    return invokeOnce(world, sync, kind, session.next());
  };
  const { timed: syncs, ...rest } = await inTurn(world, KINDS, options, next);
  return { syncs, ...rest };
}

/** A session whose context keeps changing a little, on both sides, and keeps its size. */
class ChangingSession {
  readonly #sessionId = `synced-${randomUUID()}`;
  readonly #random: Random = createRandom();
  readonly #context: JsonObject;
  readonly #groups: readonly { readonly path: string }[];
  #turn = 0;

  constructor(leaves: number) {
    this.#context = contextOfLeaves(leaves, this.#random);
    this.#groups = leavesOf(this.#context).filter(({ path }) => path.startsWith('/crm_'));
  }

  whole(): SyncCall {
    return { sessionId: this.#sessionId, data: this.#context };
  }

  /** What the CRM has to say now: some leaves anew, one more, and the one more of last time is gone. */
  next(): SyncCall {
    this.#turn += 1;
    const changed = Array.from({ length: CHANGED_LEAVES }, () => this.#anyLeaf());
    const leaves = changed.map((path) => ({ path, value: anotherValue(tokensOf(path).at(-1) ?? '', this.#random) }));
    const notes = [
      { path: `/crm_notes/note_${this.#turn}`, value: `called at turn ${this.#turn}` },
      { path: `/crm_notes/note_${this.#turn - 1}`, value: null },
    ];
    return { sessionId: this.#sessionId, data: treeOf([...leaves, ...notes]) };
  }

  /** The bot goes on with its dialog and rewrites one member, in which a leaf differs then. */
  async changeAsBot(upstreamUrl: string): Promise<void> {
    const url = `${upstreamUrl}/__admin/sessions/${this.#sessionId}`;
    const { context } = await json(await fetch(url));
    if (!isJsonObject(context)) throw new TypeError('the tenant shows no context');
    const [area = '', group = '', name = ''] = tokensOf(this.#anyLeaf());
    const before = context[area];
    if (!isJsonObject(before) || !isJsonObject(before[group])) throw new TypeError('the tenant has another context');
    const after = { ...before, [group]: { ...before[group], [name]: anotherValue(name, this.#random) } };
    const turns = { turn_count: this.#turn, last_intent: `intent_${this.#turn % 7}`, confidence: this.#random.next() };
    const variables = [
      { key: area, value: after },
      { key: 'session_metadata', value: turns },
    ];
    await json(
      await fetch(`${url}/variables`, { method: 'PUT', headers: JSON_TYPE, body: JSON.stringify({ variables }) }),
    );
  }

  #anyLeaf(): string {
    const leaf = this.#groups[Math.floor(this.#random.next() * this.#groups.length)];
    if (leaf === undefined) throw new RangeError('a context without leaves');
    return leaf.path;
  }
}

const JSON_TYPE = { 'content-type': 'application/json' };

async function json(response: Response): Promise<Record<string, JsonValue>> {
  if (!response.ok) throw new Error(`the tenant answered ${response.status}`);
  return (await response.json()) as Record<string, JsonValue>;
}

async function invokeOnce(world: World, sync: FunctionProcess, kind: SyncKind, call: SyncCall): Promise<Sync> {
  await world.take();
  const invocation = await sync.invoke(syncEvent(call));
  if (invocation.status !== 200) throw new Error(`a sync was answered ${invocation.status}`);
  const { database, upstream } = await world.take();
  return { kind, invocation, database, upstream: upstream.filter(({ sessionId }) => sessionId === call.sessionId) };
}
