import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { isInternalPath, withoutInternal } from '../../../lib/context/internalKeys.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { leavesOf, valueAt } from '../../../lib/context/leaves.ts';
import {
  EMPTY_MIRROR,
  type LoadedMirror,
  type LoadedVariable,
  mirrorOf,
  putVariables,
} from '../../../lib/context/mirror.ts';
import { tokensOf } from '../../../lib/context/pointer.ts';
import { contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';
import { SCOPES } from '../../../lib/context/variables.ts';
import { type ContextPlan, planContext } from '../../../lib/operations/contextPlan.ts';
import { loaded } from '../../../lib/operations/loaded.ts';
import type { LoadedOperation } from '../../../lib/operations/plan.ts';
import type { OperationPayload } from '../../../lib/operations/ports/sessionStore.ts';
import { tenantSchema } from '../../../lib/platform/tenantSchema.ts';

const DOCUMENT = new URL('../../../docs/merging.md', import.meta.url);
/** Sections of the document without a rule of their own. */
const WITHOUT_EXAMPLES = new Set(['How a sync decides', 'Reading the examples']);
const NOW = Date.UTC(2026, 10, 21, 12);
const MIRROR_VERSION = 1;
const CLIENT = 'crm';

const json = z.custom<JsonValue>((value) => value !== undefined);
const jsonObject = z.custom<JsonObject>((value) => isJsonObject(value as JsonValue));
const seconds = z.int();

const sync = {
  patch: jsonObject,
  ttl: z.record(z.string(), seconds).optional(),
  acceptedAgo: seconds.optional(),
};

const known = z.strictObject({
  scope: z.enum(SCOPES).optional(),
  via: z.enum(['inject', 'sync']).optional(),
  expiresIn: seconds.nullable().optional(),
  updatedAgo: seconds.optional(),
});

/** The one form of all examples. Whatever has another name is a mistake in the document. */
const example = z
  .strictObject({
    schema: z.union([z.literal('shipped'), jsonObject]).default({}),
    limitBytes: seconds.default(95_000),
    defaultTtl: seconds.default(0),
    base: jsonObject.default({}),
    known: z.record(z.string(), known).default({}),
    injected: z
      .array(z.strictObject({ key: z.string(), value: json, scope: z.enum(SCOPES).default('session') }))
      .default([]),
    theirs: jsonObject.optional(),
    ...sync,
    patch: jsonObject.optional(),
    syncs: z.array(z.strictObject(sync)).optional(),
    expire: z.boolean().default(false),

    merged: jsonObject,
    sent: z.boolean().optional(),
    conflicts: z.array(jsonObject).default([]),
    refused: z
      .array(
        z.strictObject({
          sync: z.int(),
          code: z.string(),
          pointers: z.array(z.string()).optional(),
          bytes: z.int().optional(),
        }),
      )
      .default([]),
    pruned: z.array(jsonObject).default([]),
    expired: z.array(z.string()).default([]),
    warnings: z.array(jsonObject).default([]),
    mirror: z
      .record(
        z.string(),
        known.omit({ updatedAgo: true }).extend({ value: json.optional(), source: z.string().optional() }),
      )
      .default({}),
  })
  .refine(({ patch, syncs, expire }) => patch !== undefined || syncs !== undefined || expire, 'does nothing')
  .refine(({ patch, syncs }) => patch === undefined || syncs === undefined, 'has both a patch and syncs');

type Example = z.output<typeof example>;

interface Section {
  readonly title: string;
  readonly blocks: { readonly line: number; readonly text: string }[];
}

/** The document's sections with their fenced JSON. */
function sectionsOf(markdown: string): Section[] {
  const sections: Section[] = [];
  let fence: { readonly isJson: boolean; readonly line: number; readonly lines: string[] } | undefined;
  for (const [index, text] of markdown.split('\n').entries()) {
    if (text.startsWith('```')) {
      if (fence?.isJson) sections.at(-1)?.blocks.push({ line: fence.line, text: fence.lines.join('\n') });
      fence = fence === undefined ? { isJson: text === '```json', line: index + 1, lines: [] } : undefined;
    } else if (fence !== undefined) {
      fence.lines.push(text);
    } else if (/^#+ /.test(text)) {
      sections.push({ title: text.replace(/^#+ /, ''), blocks: [] });
    }
  }
  return sections;
}

function baseOf({ base, known: facts }: Example): LoadedMirror {
  const leaves = leavesOf(base);
  // An injected object is one variable, whatever is in it.
  const tops = Object.keys(facts).filter((path) => facts[path]?.via === 'inject');
  const single = leaves.filter(({ path }) => !tops.some((top) => path.startsWith(`${top}/`)));
  const whole = tops.flatMap((path) => {
    const value = valueAt(base, tokensOf(path));
    return value === undefined ? [] : [{ path, value }];
  });
  const named = new Map([...single, ...whole].map(({ path, value }) => [path, value]));
  for (const path of Object.keys(facts)) {
    if (!named.has(path)) throw new Error(`known: nothing is kept at ${path}`);
  }
  const variables = [...named].map(([path, value]): LoadedVariable => {
    const { scope = 'session', via = 'sync', expiresIn, updatedAgo = 60 } = facts[path] ?? {};
    return {
      path,
      value,
      scope,
      via,
      updatedAtMs: NOW - updatedAgo * 1_000,
      source: CLIENT,
      version: MIRROR_VERSION,
      ...(typeof expiresIn === 'number' && { expiresAtMs: NOW + expiresIn * 1_000 }),
    };
  });
  return variables.length === 0 ? EMPTY_MIRROR : mirrorOf(MIRROR_VERSION, variables);
}

function operationOf(version: number, payload: OperationPayload, acceptedAtMs: number): LoadedOperation {
  const entry = {
    operationId: idOf(version),
    auditId: `audit ${version}`,
    kind: payload.kind,
    acceptedAtMs,
    client: CLIENT,
    correlationId: 'merging.md',
    fingerprint: '',
    version,
    payload: async () => payload,
  };
  return { entry, payload };
}

const idOf = (version: number) => `operation ${version}`;
/** Versions: the mirror's, the injection's, then one for each sync, then the expiry's. */
const versionOfSync = (number: number) => MIRROR_VERSION + 1 + number;

function syncsOf({ patch, ttl, acceptedAgo, syncs }: Example): z.output<z.ZodObject<typeof sync>>[] {
  if (syncs !== undefined) return syncs;
  return patch === undefined ? [] : [{ patch, ttl, acceptedAgo }];
}

function operationsOf(given: Example): LoadedOperation[] {
  const operations = syncsOf(given).map(({ patch, ttl = {}, acceptedAgo = 0 }, index) => {
    const acceptedAtMs = NOW - acceptedAgo * 1_000;
    const expiries = Object.entries(ttl).map(([pointer, life]) => [pointer, acceptedAtMs + life * 1_000]);
    const payload = {
      kind: 'sync',
      data: patch,
      expiries: Object.fromEntries(expiries),
      ...(given.defaultTtl > 0 && { defaultExpiresAtMs: acceptedAtMs + given.defaultTtl * 1_000 }),
    } as const;
    return operationOf(versionOfSync(index + 1), payload, acceptedAtMs);
  });
  if (!given.expire) return operations;
  return [...operations, operationOf(versionOfSync(operations.length + 1), { kind: 'expire' }, NOW)];
}

function planOf(given: Example): ContextPlan {
  const { schema, injected, limitBytes } = given;
  const base = baseOf(given);
  const origin = { version: MIRROR_VERSION + 1, atMs: NOW, source: CLIENT };
  const mirror = injected.length === 0 ? base : loaded(putVariables(base, injected, origin).mirror);
  return planContext({
    schema: schema === 'shipped' ? tenantSchema : contextSchemaOf(compileSchema(schema).validate, schema),
    maxBytes: limitBytes,
    mirror,
    operations: operationsOf(given),
    theirs: given.theirs ?? withoutInternal(given.base),
    nowMs: NOW,
  });
}

/** What the plan says, in the words of the examples. */
function outcomeOf(plan: ContextPlan, given: Example) {
  const reports = [...plan.reports.values()];
  const changes = [...plan.applied.changes.values()].flat();
  const left = changes.flatMap(({ path, cause }) => (cause === 'expired' ? [path] : []));
  return {
    merged: plan.context,
    conflicts: once(reports.flatMap(({ conflicts }) => conflicts)),
    refused: syncsOf(given).flatMap((_, index) => {
      const refusal = plan.refusals.get(idOf(versionOfSync(index + 1)));
      if (refusal === undefined) return [];
      return {
        sync: index + 1,
        code: refusal.code,
        ...('violations' in refusal && { pointers: refusal.violations.map(({ pointer }) => pointer) }),
        ...('bytes' in refusal && { bytes: refusal.bytes }),
      };
    }),
    pruned: reports[0]?.pruned ?? [],
    expired: [...new Set([...left, ...reports.flatMap(({ expired }) => expired)])],
    warnings: (reports[0]?.warnings ?? []).map(({ message: _message, ...warning }) => warning),
  };
}

function once<Value>(values: readonly Value[]): Value[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}

function knownAfter(plan: ContextPlan, path: string) {
  const { variables } = plan.applied.mirror;
  const found = [...variables.values()].filter((variable) => variable.path === path);
  expect(found, `what the mirror has at ${path}`).toHaveLength(1);
  const [{ expiresAtMs, ...variable } = {} as LoadedVariable] = found;
  return { ...variable, expiresIn: expiresAtMs === undefined ? null : (expiresAtMs - NOW) / 1_000 };
}

function check(text: string): void {
  const given = example.parse(JSON.parse(text));
  const plan = planOf(given);
  const { merged, conflicts, refused, pruned, expired, warnings, mirror, sent, theirs } = given;
  expect(outcomeOf(plan, given)).toEqual({ merged, conflicts, refused, pruned, expired, warnings });
  if (sent !== undefined) expect(plan.decision.kind).toBe(sent ? 'put' : 'leave');
  for (const [path, facts] of Object.entries(mirror)) expect(knownAfter(plan, path)).toMatchObject(facts);

  // Whatever the story: the bot gets what was decided, nothing internal, and gets it only where it has not got it.
  const { decision } = plan;
  if (decision.kind === 'put') {
    expect(decision.context).toEqual(merged);
    expect(theirs).not.toEqual(merged);
  }
  expect(leavesOf(plan.context).filter(({ path }) => isInternalPath(tokensOf(path)))).toEqual([]);
}

describe('docs/merging.md', () => {
  const sections = sectionsOf(readFileSync(DOCUMENT, 'utf8'));

  it('has an example of every rule', () => {
    const rules = sections.filter(({ title }) => !WITHOUT_EXAMPLES.has(title));
    expect(rules.length).toBeGreaterThan(0);
    expect(rules.filter(({ blocks }) => blocks.length === 0).map(({ title }) => title)).toEqual([]);
  });

  for (const { title, blocks } of sections) {
    for (const { line, text } of blocks) it(`${title} (line ${line})`, () => check(text));
  }

  describe('an example is refused', () => {
    it.each([
      ['asserts nothing', { base: { tier: 'silver' }, patch: { tier: 'gold' } }],
      ['does nothing', { base: { tier: 'silver' }, merged: { tier: 'silver' } }],
      ['names something else', { patch: { tier: 'gold' }, merged: { tier: 'gold' }, conflict: [] }],
      ['is not what the bridge does', { patch: { tier: 'gold' }, merged: { tier: 'silver' } }],
      ['leaves a conflict out', { theirs: { tier: 'silver' }, patch: { tier: 'gold' }, merged: { tier: 'gold' } }],
      ['knows something of nothing', { known: { '/tier': {} }, patch: { a: 1 }, merged: { a: 1 } }],
    ])('that %s', (_, wrong) => {
      expect(() => check(JSON.stringify(wrong))).toThrow();
    });
  });
});
