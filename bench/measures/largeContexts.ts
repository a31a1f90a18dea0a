import { randomBytes, randomUUID } from 'node:crypto';
import { canonicalJson } from '../../lib/context/canonicalJson.ts';
import { isJsonObject, type JsonObject } from '../../lib/context/json.ts';
import { jsonBytes } from '../../lib/context/size.ts';
import { createRandom } from '../../lib/platform/random.ts';
import { contextOfLeaves } from '../contexts.ts';
import { lambdaNodeOptions } from '../function/lambdaOptions.ts';
import { type FunctionProcess, startFunction } from '../function/process.ts';
import type { Invocation } from '../function/protocol.ts';
import { sum } from '../statistics.ts';
import { inspectEvent, syncEvent } from '../traffic.ts';
import type { World } from '../world/process.ts';

/** What a context of 1 MiB is made of. */
export interface LargeShape {
  readonly name: string;
  readonly contextOf: () => JsonObject;
}

/** Peak resident set of a function's process, bytes. */
export interface Peak {
  readonly loadedBytes: number;
  readonly firstBytes: number;
  readonly peakBytes: number;
}

export interface LargeContexts {
  readonly shape: string;
  readonly rounds: number;
  /** UTF-8 bytes of the contexts, on average. */
  readonly bytesEach: number;
  readonly sync: Peak;
  readonly get: Peak;
  readonly syncMs: readonly number[];
  readonly getMs: readonly number[];
  /** UTF-8 bytes of the largest answer to a GET, and of its members, largest first. */
  readonly answerBytes: number;
  readonly answerMembers: readonly (readonly [name: string, bytes: number])[];
  /** Contexts that came back by the sync's own answer, by GET and from the bot, and those of them that were what was sent. */
  readonly compared: number;
  readonly equal: number;
}

export interface LargeContextRun {
  /** How the processes were started. */
  readonly nodeOptions: string;
  readonly shapes: readonly LargeContexts[];
}

const LIMIT_BYTES = 1_048_576;
const NODE_OPTIONS = lambdaNodeOptions(256);
const SESSIONS = 3;
/** Room for what is put around the values. */
const MARGIN_BYTES = 2_000;

/** Thousands of small values, each a variable of its own; or a few texts that do not compress, each an item of its own. */
export const LARGE_SHAPES: readonly LargeShape[] = [
  { name: 'leaves of some 47 bytes', contextOf: () => filledUp(contextOfLeaves(22_000, createRandom())) },
  {
    name: 'texts of 16 KiB',
    contextOf: () => filledUp({ ...contextOfLeaves(26, createRandom()), crm_texts: textsOf(63, 16_384) }),
  },
];

/**
 * Syncs whole contexts of 1 MiB, all new each time, and reads them back, in functions that have done nothing else: for each
 * shape one that syncs and one that reads.
 */
export async function measureLargeContexts(
  world: World,
  files: { readonly sync: string; readonly snapshot: string },
  rounds: number,
): Promise<LargeContextRun> {
  await world.delay({ databaseMs: 0, upstreamMs: 0 });
  const environment = {
    ...world.environment,
    CONTEXT_MAX_BYTES: String(LIMIT_BYTES),
    SYNC_DEFAULT_TTL_SECONDS: '0',
    NODE_OPTIONS,
  };
  const shapes: LargeContexts[] = [];
  for (const shape of LARGE_SHAPES) {
    const sync = await startFunction(files.sync, environment);
    const snapshot = await startFunction(files.snapshot, environment);
    try {
      shapes.push(await measureShape(world, { sync, snapshot }, { shape, rounds }));
    } finally {
      await Promise.all([sync.close(), snapshot.close()]);
    }
  }
  return { nodeOptions: NODE_OPTIONS, shapes };
}

async function measureShape(
  world: World,
  { sync, snapshot }: { readonly sync: FunctionProcess; readonly snapshot: FunctionProcess },
  { shape, rounds }: { readonly shape: LargeShape; readonly rounds: number },
): Promise<LargeContexts> {
  const syncing = new Notes();
  const getting = new Notes();
  const prefix = `huge-${randomUUID()}`;
  const sizes: number[] = [];
  let compared = 0;
  let equal = 0;
  for (let round = 0; round < rounds; round += 1) {
    const sessionId = `${prefix}-${round % SESSIONS}`;
    const data = shape.contextOf();
    sizes.push(jsonBytes(data));
    const sent = canonicalJson(data);
    const answered = await invoke(sync, syncEvent({ sessionId, data }), syncing);
    const read = await invoke(snapshot, inspectEvent(sessionId), getting);
    const bots = (await (await fetch(`${world.upstreamUrl}/__admin/sessions/${sessionId}`)).json()) as JsonObject;
    await world.take();
    const back = [answered, read, bots].map(contextIn);
    compared += back.length;
    equal += back.filter((context) => canonicalJson(context) === sent).length;
  }
  return {
    shape: shape.name,
    rounds,
    bytesEach: Math.round(sum(sizes) / rounds),
    sync: peakOf(sync, syncing.peaks),
    get: peakOf(snapshot, getting.peaks),
    syncMs: syncing.tookMs,
    getMs: getting.tookMs,
    answerBytes: getting.largest.bytes,
    answerMembers: getting.largest.members,
    compared,
    equal,
  };
}

/** What is noted of the invocations of one function. */
class Notes {
  readonly peaks: number[] = [];
  readonly tookMs: number[] = [];
  largest: { readonly bytes: number; readonly members: [string, number][] } = { bytes: 0, members: [] };

  note({ maxRssBytes, startMs, endMs, body = '' }: Invocation): JsonObject {
    this.peaks.push(maxRssBytes);
    this.tookMs.push(endMs - startMs);
    const answer: JsonObject = JSON.parse(body);
    const bytes = Buffer.byteLength(body);
    if (bytes > this.largest.bytes) {
      const members = Object.entries(answer).map(([name, value]): [string, number] => [name, jsonBytes(value)]);
      this.largest = { bytes, members: members.sort(([, a], [, b]) => b - a) };
    }
    return answer;
  }
}

async function invoke(of: FunctionProcess, event: object, notes: Notes): Promise<JsonObject> {
  const invocation = await of.invoke(event, { wantsBody: true });
  const { status, body } = invocation;
  if (status !== 200) throw new Error(`a large context was answered ${status}: ${body?.slice(0, 200)}`);
  return notes.note(invocation);
}

function peakOf({ loadedBytes }: FunctionProcess, peaks: readonly number[]): Peak {
  const [firstBytes = Number.NaN] = peaks;
  return { loadedBytes, firstBytes, peakBytes: Math.max(...peaks) };
}

function contextIn({ context }: JsonObject): JsonObject {
  if (!isJsonObject(context)) throw new TypeError('an answer without a context');
  return context;
}

/** Text that does not compress: nothing is saved by sealing it. */
function textsOf(count: number, characters: number): JsonObject {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `text_${index}`,
      randomBytes(characters).toString('base64').slice(0, characters),
    ]),
  );
}

/** The context with as much more text as there is room for: always the same members, so that none is left of the one before. */
function filledUp(context: JsonObject): JsonObject {
  const left = LIMIT_BYTES - MARGIN_BYTES - jsonBytes(context);
  if (left < 0) throw new RangeError('a context that is too large already');
  return { ...context, crm_rest: textsOf(1, left) };
}
