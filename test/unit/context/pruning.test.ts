import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { pointerOf } from '../../../lib/context/pointer.ts';
import { type PruneResult, pruneContext } from '../../../lib/context/pruning.ts';
import { type PathRule, schemaRulesOf } from '../../../lib/context/schemaRules.ts';

const bytesOf = (value: JsonValue) => new TextEncoder().encode(JSON.stringify(value)).byteLength;
/** As JSON.parse makes it: a member `__proto__` is one like any other. */
const parsed = (text: string): JsonObject => JSON.parse(text);

interface Case {
  readonly schema?: JsonObject;
  readonly updatedAtMs?: (path: string) => number;
  readonly limitBytes: number;
}

const prune = (context: JsonObject, { schema = {}, updatedAtMs = () => 0, limitBytes }: Case) =>
  pruneContext(context, { limitBytes, updatedAtMs, ruleOf: schemaRulesOf(schema).ruleOf });

/** Prunes until nothing more can go; what is left then, and the order in which it went. */
function pruneAll(context: JsonObject, rest: Omit<Case, 'limitBytes'> = {}): { left: string; order: string[] } {
  const most = prune(context, { ...rest, limitBytes: 0 });
  if (most.kind === 'fits') throw new Error('no JSON takes no bytes');
  const { context: left, pruned } = fitting(prune(context, { ...rest, limitBytes: most.leastBytes }));
  return { left: JSON.stringify(left), order: pruned.map(({ path }) => path) };
}

function fitting(result: PruneResult): Extract<PruneResult, { kind: 'fits' }> {
  if (result.kind !== 'fits') throw new Error(`does not fit: ${JSON.stringify(result)}`);
  return result;
}

describe('A context at its limit', () => {
  const context = { a: 'é', b: { c: 1 } };
  const bytes = bytesOf(context);

  it.each([bytes, bytes + 1])('that fits stays the same object (limit %i)', (limitBytes) => {
    const result = fitting(prune(context, { limitBytes }));
    expect(result).toEqual({ kind: 'fits', context, bytes, pruned: [] });
    expect(result.context).toBe(context);
  });

  it('that is one byte over loses a leaf', () => {
    expect(prune(context, { limitBytes: bytes - 1 })).toEqual({
      kind: 'fits',
      context: { b: { c: 1 } },
      bytes: 13,
      pruned: [{ path: '/a', bytes: 9, reason: 'least-recently-updated' }],
    });
  });

  it('stops as soon as it fits, also exactly', () => {
    const three = { a: 1, b: 1, c: 1 };
    const paths = (limitBytes: number) => fitting(prune(three, { limitBytes })).pruned.map(({ path }) => path);
    expect([19, 18, 13, 12, 7, 6, 2].map(paths)).toEqual([
      [],
      ['/a'],
      ['/a'],
      ['/a', '/b'],
      ['/a', '/b'],
      ['/a', '/b', '/c'],
      ['/a', '/b', '/c'],
    ]);
  });

  it('that cannot fit says how small it could have become', () => {
    const schema = { properties: { p: { 'x-pinned': true } } };
    expect(prune({ p: 'stays', a: 1 }, { schema, limitBytes: 12 })).toEqual({
      kind: 'too-large',
      bytes: 19,
      leastBytes: 13,
    });
    expect(prune({}, { limitBytes: 1 })).toEqual({ kind: 'too-large', bytes: 2, leastBytes: 2 });
  });
});

describe('What goes first', () => {
  it('the lowest priority, where what has none counts as 5; then the least recently updated; then by path', () => {
    const schema = {
      properties: {
        p9: { 'x-priority': 9 },
        p6: { 'x-priority': 6 },
        p5: { 'x-priority': 5 },
        p0: { 'x-priority': 0 },
      },
    };
    const times = new Map([
      ['/p9', 0],
      ['/p0', 9],
      ['/p5', 2],
      ['/n1', 1],
      ['/n3', 3],
    ]);
    const context = { p9: 1, z: 1, n3: 1, p6: 1, Z: 1, n1: 1, p5: 1, p0: 1, 'z/a': 1 };
    const { order } = pruneAll(context, { schema, updatedAtMs: (path) => times.get(path) ?? 2 });
    expect(order).toEqual(['/p0', '/n1', '/Z', '/p5', '/z', '/z~1a', '/n3', '/p6', '/p9']);
  });

  it('names the priority as the reason where the schema gives one, and the age elsewhere', () => {
    const schema = { properties: { o: { 'x-priority': 5 } } };
    const { pruned } = fitting(prune({ o: { inherits: 1 }, x: 1 }, { schema, limitBytes: 2 }));
    expect(pruned.map(({ path, reason }) => [path, reason])).toEqual([
      ['/o/inherits', 'priority'],
      ['/x', 'least-recently-updated'],
    ]);
  });

  it('asks for the age of leaves: arrays as wholes, objects by their members, empty ones as they are', () => {
    const asked: string[] = [];
    const updatedAtMs = (path: string) => asked.push(path);
    prune({ list: [{ a: 1 }], o: { 'a/b': { '~': null } }, empty: {} }, { updatedAtMs, limitBytes: 0 });
    expect(asked).toEqual(['/list', '/o/a~1b/~0', '/empty']);
  });
});

describe('What stays', () => {
  it('what is pinned, with everything in it', () => {
    const schema = { properties: { o: { 'x-pinned': true }, p: { 'x-pinned': true, 'x-priority': 0 } } };
    expect(pruneAll({ o: { a: { b: 1 }, c: {} }, p: [1], q: 1 }, { schema }).left).toBe(
      '{"o":{"a":{"b":1},"c":{}},"p":[1]}',
    );
  });

  it('what is required and has no default', () => {
    const schema = { required: ['a', 'o'], properties: { o: { required: ['b'] } } };
    expect(pruneAll({ a: 1, o: { b: 1, c: 1 }, d: 1 }, { schema }).left).toBe('{"a":1,"o":{"b":1}}');
  });

  it('the default, where there is one: it would be filled in again', () => {
    const schema = {
      required: ['r'],
      properties: {
        r: { default: '' },
        s: { default: [] },
        t: { default: { x: 1 }, properties: { y: { default: 2 } } },
      },
    };
    expect(pruneAll({ r: 'long', s: ['long'], t: 'ill-typed and long' }, { schema }).left).toBe(
      '{"r":"","s":[],"t":{"x":1,"y":2}}',
    );
  });

  it.each(['guest', 'Guess', 'g'])('a value whose default would take as much room or more (%s)', (value) => {
    const schema = { properties: { name: { default: 'Guest', 'x-priority': 0 } } };
    expect(pruneAll({ name: value, x: 1 }, { schema })).toEqual({ left: `{"name":"${value}"}`, order: ['/x'] });
  });

  it('an object in which something stays', () => {
    expect(pruneAll({ o: { a: 1, b: 1 } }, { schema: { properties: { o: { required: ['b'] } } } }).left).toBe(
      '{"o":{"b":1}}',
    );
  });
});

describe('An object that loses its last leaf', () => {
  const chain = { a: { b: { c: { d: 1 } } } };

  it('goes with it, and so does the one around it', () => {
    expect(prune({ ...chain, z: 1 }, { limitBytes: 10 })).toMatchObject({
      context: { z: 1 },
      pruned: [{ path: '/a/b/c/d', bytes: 24 }],
    });
    expect(pruneAll(chain).left).toBe('{}');
  });

  it('stays, empty, where the object around it requires it', () => {
    const schema = { properties: { a: { properties: { b: { required: ['c'] } } } } };
    expect(pruneAll(chain, { schema }).left).toBe('{"a":{"b":{"c":{}}}}');
  });

  it('stays, empty, where it is pinned', () => {
    // A schema’s pin holds for the leaf as well; the rules as an interface do not say so.
    const rule: PathRule = { pinned: false, pii: false, conflict: 'ours', required: false };
    const ruleOf = (path: readonly string[]) => ({ ...rule, pinned: path.length === 2 });
    const { context } = fitting(pruneContext(chain, { limitBytes: 14, updatedAtMs: () => 0, ruleOf }));
    expect(context).toEqual({ a: { b: {} } });
  });

  it('stays, empty, where it has a default: that would come back with more in it', () => {
    const schema = { properties: { a: { default: { b: { c: { d: 'long' } } } } } };
    const { left } = pruneAll(chain, { schema });
    expect(left).toBe('{"a":{}}');
    expect(JSON.stringify(schemaRulesOf(schema).fillDefaults(parsed(left)))).toBe(left);
  });
});

describe('The context given', () => {
  it('is not changed, and shares with the new one what has not changed', () => {
    const kept = { list: [1, 2], o: { x: 1 } };
    const context = { kept, gone: { a: 'long' } };
    const copy = structuredClone(context);
    const schema = { properties: { kept: { 'x-priority': 6 } } };
    const result = fitting(prune(context, { schema, limitBytes: bytesOf({ kept }) }));
    expect(context).toEqual(copy);
    expect(result.context).toEqual({ kept });
    expect(result.context['kept']).toBe(kept);
  });

  it('gets copies of defaults, which nobody shares', () => {
    const schema = { properties: { a: { default: [[]] } } };
    const ruleOf = schemaRulesOf(schema).ruleOf;
    const left = () =>
      fitting(pruneContext({ a: 'long' }, { limitBytes: 11, updatedAtMs: () => 0, ruleOf })).context['a'];
    expect(left()).toEqual([[]]);
    expect(left()).not.toBe(left());
    expect(left()).not.toBe(ruleOf(['a']).default);
  });

  it('may have a member `__proto__`, which is one like any other', () => {
    const context = parsed('{"__proto__":{"x":1,"y":2},"a":{"__proto__":1,"b":1}}');
    const schema = parsed('{"properties":{"__proto__":{"required":["y"]},"a":{"required":["__proto__"]}}}');
    const { left, order } = pruneAll(context, { schema });
    expect(order).toEqual(['/__proto__/x', '/a/b']);
    expect(left).toBe('{"__proto__":{"y":2},"a":{"__proto__":1}}');
  });

  it('of ten thousand leaves makes no text for each of them', () => {
    const context = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, n) => [`member ${n}`, { value: `value ${n}` }]),
    );
    // A text for each leaf would take so long that the test's own timeout ends it.
    expect(prune(context, { limitBytes: 2 })).toMatchObject({ kind: 'fits', context: {} });
  });
});

const SCHEMA = {
  required: ['required', 'both', 'object'],
  properties: {
    pinned: { 'x-pinned': true },
    both: { default: 'default' },
    default: { default: [0] },
    object: { $ref: '#' },
    optional: { $ref: '#', 'x-priority': 6 },
    boxed: { default: { required: 1, both: '', default: null, object: 0, boxed: false }, allOf: [{ $ref: '#' }] },
    low: { 'x-priority': 0 },
    high: { 'x-priority': 9, 'x-pinned': false },
  },
};
const NAMES = [...Object.keys(SCHEMA.properties), 'required'];
const rules = schemaRulesOf(SCHEMA);

const { context: anyContext } = fc.letrec<{ context: JsonObject; value: JsonValue }>((tie) => ({
  context: fc.dictionary(
    fc.oneof(fc.constantFrom(...NAMES), fc.constantFrom('__proto__', '"\n', 'é~/🚀', '')),
    tie('value'),
    {
      maxKeys: 6,
    },
  ),
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, '\ud800', [], [{ low: 'é' }, 1], {}),
    { arbitrary: tie('context'), weight: 3 },
  ),
}));

const anyCase = fc.record({
  // With its defaults, as it always is by then.
  context: anyContext.map((context) => rules.fillDefaults(parsed(JSON.stringify(context)))),
  updatedAtMs: fc.func(fc.nat(2)).map((time) => (path: string) => time(path)),
  limit: fc.double({ min: 0, max: 1, noNaN: true }),
});

interface Leaf {
  readonly tokens: readonly string[];
  readonly path: string;
  readonly value: JsonValue;
  readonly rule: PathRule;
}

const isBranch = (value: JsonValue): value is JsonObject => isJsonObject(value) && Object.keys(value).length > 0;

function leavesOf(value: JsonObject, tokens: readonly string[] = []): Leaf[] {
  return Object.entries(value).flatMap(([name, member]) => {
    const inside = [...tokens, name];
    if (isBranch(member)) return leavesOf(member, inside);
    return [{ tokens: inside, path: pointerOf(inside), value: member, rule: rules.ruleOf(inside) }];
  });
}

/** What may go, in its order: the rules as they are written down, one after the other. */
function candidatesOf(context: JsonObject, updatedAtMs: (path: string) => number): Leaf[] {
  return leavesOf(context)
    .filter(({ rule }) => !rule.pinned && !(rule.required && rule.default === undefined))
    .filter(({ rule, value }) => rule.default === undefined || bytesOf(rule.default) < bytesOf(value))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .sort((a, b) => updatedAtMs(a.path) - updatedAtMs(b.path))
    .sort((a, b) => (a.rule.priority ?? 5) - (b.rule.priority ?? 5));
}

/** One leaf pruned, by making the whole context anew. */
function without(
  context: JsonObject,
  { tokens: [name = '', ...rest], rule }: Leaf,
  at: readonly string[] = [],
): JsonObject {
  const members = new Map(Object.entries(context));
  const member = members.get(name);
  const here = [...at, name];
  if (rest.length === 0) {
    if (rule.default === undefined) members.delete(name);
    else members.set(name, rule.default);
  } else if (isJsonObject(member)) {
    const inner = without(member, { tokens: rest, rule, path: '', value: null }, here);
    const { required, pinned, default: filling } = rules.ruleOf(here);
    if (isBranch(inner) || required || pinned || filling !== undefined) members.set(name, inner);
    else members.delete(name);
  }
  return Object.fromEntries(members);
}

describe('Pruning, whatever the context', () => {
  const run = (
    check: (
      input: { context: JsonObject; limitBytes: number; updatedAtMs: (path: string) => number },
      result: PruneResult,
    ) => void,
  ) =>
    fc.assert(
      fc.property(anyCase, ({ context, updatedAtMs, limit }) => {
        const limitBytes = Math.round(bytesOf(context) * limit);
        const input = { context, limitBytes, updatedAtMs };
        check(input, pruneContext(context, { ...input, ruleOf: rules.ruleOf }));
      }),
      { numRuns: 300 },
    );

  it('property: what fits is never above the limit, and its bytes are those of its JSON', () => {
    run(({ limitBytes }, result) => {
      if (result.kind !== 'fits') return;
      expect(bytesOf(result.context)).toBe(result.bytes);
      expect(result.bytes).toBeLessThanOrEqual(limitBytes);
    });
  });

  it('property: the bytes of what was pruned are the difference in size', () => {
    run(({ context }, result) => {
      if (result.kind !== 'fits') return;
      const sum = result.pruned.reduce((total, { bytes }) => total + bytes, 0);
      expect(sum).toBe(bytesOf(context) - result.bytes);
      expect(result.pruned.every(({ bytes }) => bytes > 0)).toBe(true);
    });
  });

  it('property: what is pinned, or required without a default, is left as it was', () => {
    run(({ context }, result) => {
      if (result.kind !== 'fits') return;
      const left = new Map(leavesOf(result.context).map((leaf) => [leaf.path, leaf.value]));
      for (const { path, value, rule } of leavesOf(context)) {
        if (rule.pinned || (rule.required && rule.default === undefined)) expect(left.get(path)).toEqual(value);
      }
    });
  });

  it('property: goes in the order of the rules, and not one leaf further than needed', () => {
    run(({ context, limitBytes, updatedAtMs }, result) => {
      const candidates = candidatesOf(context, updatedAtMs);
      let left = context;
      const steps: { path: string; bytes: number }[] = [];
      for (const leaf of candidates) {
        if (bytesOf(left) <= limitBytes) break;
        const next = without(left, leaf);
        steps.push({ path: leaf.path, bytes: bytesOf(left) - bytesOf(next) });
        left = next;
      }
      if (bytesOf(left) > limitBytes) {
        expect(result).toEqual({ kind: 'too-large', bytes: bytesOf(context), leastBytes: bytesOf(left) });
      } else {
        const { context: pruned, pruned: list } = fitting(result);
        expect(JSON.stringify(pruned)).toBe(JSON.stringify(left));
        expect(list.map(({ path, bytes }) => ({ path, bytes }))).toEqual(steps);
      }
    });
  });

  it('property: nothing that was pruned is filled in again', () => {
    run((_input, result) => {
      if (result.kind === 'fits') expect(rules.fillDefaults(result.context)).toBe(result.context);
    });
  });

  it('property: the context given is left as it was', () => {
    fc.assert(
      fc.property(anyCase, ({ context, updatedAtMs, limit }) => {
        const before = JSON.stringify(context);
        pruneContext(context, { limitBytes: Math.round(before.length * limit), updatedAtMs, ruleOf: rules.ruleOf });
        expect(JSON.stringify(context)).toBe(before);
      }),
    );
  });
});
