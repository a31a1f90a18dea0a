import { readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { valueHash } from '../../lib/context/canonicalJson.ts';
import type { JsonObject, JsonValue } from '../../lib/context/json.ts';
import { leavesOf, treeOf } from '../../lib/context/leaves.ts';
import { type LoadedMirror, type LoadedVariable, mirrorOf } from '../../lib/context/mirror.ts';
import { tokensOf } from '../../lib/context/pointer.ts';
import { type ContextSchema, contextSchemaOf } from '../../lib/context/schema.ts';
import { compileSchema } from '../../lib/context/schemaCompiler.ts';
import { jsonBytes } from '../../lib/context/size.ts';
import { type ContextPlan, planContext } from '../../lib/operations/contextPlan.ts';
import type { LoadedOperation } from '../../lib/operations/plan.ts';
import type { SyncPayload } from '../../lib/operations/ports/sessionStore.ts';
import type { Random } from '../../lib/platform/random.ts';
import { seededRandom } from '../../test/fixtures/upstream/seededRandom.ts';
import { anotherValue, contextOfLeaves } from '../contexts.ts';
import type { RulesTiming } from '../measures/rules.ts';
import { sum } from '../statistics.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 9, 0, 0);
const MINUTE_MS = 60_000;
const WARM_UP_ROUNDS = 8;
/** Small contexts run more than once in a round, up to so many leaves together. */
const LEAVES_PER_ROUND = 2_000;
/** Of the merged context's bytes; the rest has to be pruned. */
const LIMIT = 0.97;

/** Which leaves are which, as parts of all of them in an order drawn by lot. */
const PATCHED = { from: 0, to: 0.2 };
const EXPIRING = { from: 0.15, to: 0.25 };
const EXPIRED = { from: 0.225, to: 0.25 };
const CHANGED_BY_BOT = { from: 0.5, to: 0.56 };
/** Patched, and changed by the bot as well. */
const IN_CONFLICT_SHARE = 1 / 400;
const IN_CONFLICT_LEAST = 3;

/** Times the rules alone on contexts of all sizes in turn, so that a busy moment of the machine meets them alike. */
export async function timeRules(sizes: readonly number[], rounds: number): Promise<RulesTiming[]> {
  const schema = annotatedSchema();
  const collections = watchCollections();
  const cases = sizes.map((leaves) => ({ ...caseOf(leaves, schema), runs: [] as Interval[] }));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round += 1) {
    for (const { leaves, inputOf, runs } of cases) {
      for (let run = 0; run < Math.max(1, LEAVES_PER_ROUND / leaves); run += 1) {
        const input = inputOf();
        const startedMs = performance.now();
        const { context } = planContext(input);
        valueHash(context);
        if (round >= 0) runs.push({ startedMs, tookMs: performance.now() - startedMs });
      }
    }
  }
  const collected = await collections();
  return cases.map(({ inputOf: _inputOf, runs, ...timing }) => ({
    ...timing,
    timesMs: runs.map(({ tookMs }) => tookMs),
    collectingMs: runs.map((run) => sum(collected.filter((each) => isWithin(run, each)).map(({ tookMs }) => tookMs))),
  }));
}

interface Interval {
  readonly startedMs: number;
  readonly tookMs: number;
}

function isWithin({ startedMs, tookMs }: Interval, inner: Interval): boolean {
  return inner.startedMs >= startedMs && inner.startedMs < startedMs + tookMs;
}

/** The pauses that V8 makes for its garbage collector from now on. */
function watchCollections(): () => Promise<Interval[]> {
  const collected: Interval[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) collected.push({ startedMs: startTime, tookMs: duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  return async () => {
    // They are told a turn of the event loop later.
    await new Promise((resolve) => setTimeout(resolve, 50));
    observer.disconnect();
    return collected;
  };
}

/** The shipped schema with every annotation that the rules go by. */
function annotatedSchema(): ContextSchema {
  const file = new URL('../../infra/config/context.schema.json', import.meta.url);
  const shipped: JsonObject = JSON.parse(readFileSync(file, 'utf8'));
  const schema: JsonObject = {
    ...shipped,
    patternProperties: {
      '^crm_': {
        type: 'object',
        'x-priority': 4,
        additionalProperties: {
          type: 'object',
          properties: {
            record_id: { type: 'string', 'x-pinned': true, 'x-pii': true },
            status: { type: 'string', 'x-priority': 8, 'x-conflict': 'theirs' },
            amount: { type: 'number', minimum: 0 },
            currency: { enum: ['EUR', 'CHF', 'USD'] },
            opened_at: { type: 'string', format: 'date-time', 'x-priority': 2 },
            topics: { type: 'array', items: { type: 'string' }, default: [] },
            last_message: { type: 'string', maxLength: 2_000, 'x-priority': 1, 'x-ttlSeconds': 1_800 },
            is_verified: { type: 'boolean', default: false },
          },
        },
      },
    },
  };
  return contextSchemaOf(compileSchema(schema).validate, schema);
}

/** One sync of a context of so many leaves, and a maker of its input: what the network and the store give is new every time. */
function caseOf(leaves: number, schema: ContextSchema) {
  const random = seededRandom(leaves);
  const known = leavesOf(contextOfLeaves(leaves, random));
  const lots = lotsOf(leaves, random);
  const isIn =
    ({ from, to }: typeof PATCHED) =>
    (index: number) =>
      (lots[index] ?? 0) >= from && (lots[index] ?? 0) < to;
  const isInConflict = isIn({ from: 0, to: Math.max(IN_CONFLICT_SHARE, IN_CONFLICT_LEAST / leaves) });

  const stored = known.map(({ path, value }, index) => ({
    path,
    value,
    version: 1 + (index % 10),
    updatedAtMs: NOW_MS - (1 + (index % 10)) * MINUTE_MS,
    ...(isIn(EXPIRING)(index) && { expiresAtMs: isIn(EXPIRED)(index) ? NOW_MS - 1 : NOW_MS + 30 * MINUTE_MS }),
  }));
  const patched = known.map(({ path, value }, index) => {
    return { path, value: isIn(PATCHED)(index) ? changed(path, [value], random) : value };
  });
  const patch = treeOf(patched.filter((_leaf, index) => isIn(PATCHED)(index)));
  const theirs = treeOf(
    known.map(({ path, value }, index) => {
      const isChanged = isInConflict(index) || isIn(CHANGED_BY_BOT)(index);
      return { path, value: isChanged ? changed(path, [value, patched[index]?.value ?? null], random) : value };
    }),
  );
  const texts = { stored: JSON.stringify(stored), theirs: JSON.stringify(theirs), patch: JSON.stringify(patch) };
  const inputWith = (maxBytes: number) => () => {
    const mirror = mirrorFrom(texts.stored);
    const operations = [syncOf(JSON.parse(texts.patch))];
    return { schema, maxBytes, mirror, operations, theirs: JSON.parse(texts.theirs), nowMs: NOW_MS };
  };
  const unlimited = planContext(inputWith(Number.POSITIVE_INFINITY)());
  const inputOf = inputWith(Math.floor(LIMIT * jsonBytes(unlimited.context)));
  return { leaves, bytes: jsonBytes(theirs), ...workIn(planContext(inputOf())), inputOf };
}

/** How much of everything there is in a plan; a case without any of it would measure something else. */
function workIn({ refusals, decision, reports }: ContextPlan) {
  const [report] = reports.values();
  if (refusals.size > 0 || decision.kind !== 'put' || report === undefined) throw new Error('the sync was not taken');
  const counts = {
    conflicts: report.conflicts.length,
    expired: report.expired.length,
    pruned: report.pruned.length,
  };
  if (Object.values(counts).includes(0)) throw new Error('a rule has nothing to do');
  return counts;
}

function mirrorFrom(text: string): LoadedMirror {
  const variables: Pick<LoadedVariable, 'path' | 'value' | 'version' | 'updatedAtMs'>[] = JSON.parse(text);
  return mirrorOf(
    10,
    variables.map((variable): LoadedVariable => ({ ...variable, scope: 'session', via: 'sync', source: 'crm' })),
  );
}

function syncOf(data: JsonObject): LoadedOperation<SyncPayload> {
  const payload: SyncPayload = { kind: 'sync', data, expiries: {}, defaultExpiresAtMs: NOW_MS + 5 * MINUTE_MS };
  return {
    entry: {
      operationId: 'operation',
      auditId: 'audit',
      kind: 'sync',
      acceptedAtMs: NOW_MS,
      client: 'crm',
      correlationId: 'bench',
      fingerprint: '',
      version: 11,
      payload: async () => payload,
    },
    payload,
  };
}

/** A place between 0 and 1 for every leaf, in an order drawn by lot. */
function lotsOf(leaves: number, random: Random): number[] {
  const order = Array.from({ length: leaves }, (_, index) => ({ index, draw: random.next() }));
  order.sort((a, b) => a.draw - b.draw);
  const lots: number[] = [];
  order.forEach(({ index }, place) => {
    lots[index] = place / leaves;
  });
  return lots;
}

/** A value of the same kind that is none of these, where there is one. */
function changed(path: string, before: readonly JsonValue[], random: Random): JsonValue {
  const [first = null] = before;
  if (typeof first === 'boolean') return !first;
  if (typeof first === 'number') return Number.isInteger(first) ? first + before.length : first / (1 + before.length);
  if (Array.isArray(first)) return [anotherValue('', random), ...first.slice(1)];
  const known = new Set(before.map((value) => JSON.stringify(value)));
  for (;;) {
    const value = anotherValue(tokensOf(path).at(-1) ?? '', random);
    if (!known.has(JSON.stringify(value))) return value;
  }
}
