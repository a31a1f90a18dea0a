import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { jsonEquals } from '../../../lib/context/jsonEquals.ts';
import { leavesOf } from '../../../lib/context/leaves.ts';
import { nextExpiryMs } from '../../../lib/context/leaving.ts';
import {
  BOT,
  contextOf,
  EMPTY_MIRROR,
  expiredVariables,
  hashOf,
  type LoadedVariable,
  type Mirror,
  type MirrorVariable,
  mirrorId,
  mirrorOf,
  putVariables,
  reconcile,
  topOf,
  visibleVariables,
} from '../../../lib/context/mirror.ts';
import { pointerOf } from '../../../lib/context/pointer.ts';
import { SCOPES, type Variable } from '../../../lib/context/variables.ts';
import { context } from '../../fixtures/operations/contexts.ts';

const NOW = 1_000_000;
const origin = { version: 1, atMs: NOW, source: 'client' };
const one = (value: Variable['value'], rest: Partial<Variable> = {}): Variable => ({
  key: 'k',
  value,
  scope: 'session',
  ...rest,
});

const variable = fc.record(
  {
    key: fc.constantFrom('a', 'b', 'c', '__proto'),
    value: fc.oneof(fc.integer(), fc.string(), fc.constant(null)),
    scope: fc.constantFrom(...SCOPES),
    expiresAtMs: fc.integer({ min: NOW - 2, max: NOW + 2 }),
  },
  { requiredKeys: ['key', 'value', 'scope'] },
);
const variables = fc.array(variable, { maxLength: 6 });

/** A variable of the mirror, as an injection long ago would have left it. */
const known = (path: string, value: JsonValue, rest: Partial<LoadedVariable> = {}): LoadedVariable => ({
  path,
  scope: 'session',
  via: 'inject',
  value,
  updatedAtMs: 5,
  source: 'crm',
  version: 3,
  ...rest,
});

/** One of which only the store has the value. */
const stored = (path: string): MirrorVariable => {
  const { value: _value, ...away } = known(path, null);
  return { ...away, stored: { ref: 'blob.1', keptUntilMs: NOW, hash: valueHash(2) } };
};

describe('putVariables', () => {
  it('property: batches one after the other are all of them at once, the later winning', () => {
    fc.assert(
      fc.property(variables, variables, variables, (a, b, c) => {
        const put = (mirror: Mirror, batch: readonly Variable[]) => putVariables(mirror, batch, origin).mirror;
        const stepByStep = put(put(put(EMPTY_MIRROR, a), b), c);
        expect(stepByStep).toEqual(put(EMPTY_MIRROR, [...a, ...b, ...c]));
        for (const each of c.filter(
          ({ key, scope }, index) => c.findLastIndex((o) => o.key === key && o.scope === scope) === index,
        )) {
          const stored = stepByStep.variables.get(mirrorId({ scope: each.scope, path: pointerOf([each.key]) }));
          expect(stored).toMatchObject({
            value: each.value,
            via: 'inject',
            ...('expiresAtMs' in each && { expiresAtMs: each.expiresAtMs }),
          });
          expect(stored && hashOf(stored)).toBe(valueHash(each.value));
          if (!('expiresAtMs' in each)) expect(stored).not.toHaveProperty('expiresAtMs');
        }
      }),
    );
  });

  it('property: leaves the mirror it was given alone', () => {
    fc.assert(
      fc.property(variables, variables, (a, b) => {
        const before = putVariables(EMPTY_MIRROR, a, origin).mirror;
        const copy = structuredClone(before);
        putVariables(before, b, { ...origin, version: 2 });
        expect(before).toEqual(copy);
        expect(EMPTY_MIRROR.variables.size).toBe(0);
      }),
    );
  });

  it('says what changed: hashes before and after, in the order given', () => {
    const { mirror } = putVariables(EMPTY_MIRROR, [one('old')], origin);
    const { changes } = putVariables(mirror, [one('new'), one('x', { scope: 'user' }), one('newest')], origin);
    expect(changes).toEqual([
      { path: '/k', scope: 'session', before: valueHash('old'), after: valueHash('new') },
      { path: '/k', scope: 'user', before: null, after: valueHash('x') },
      { path: '/k', scope: 'session', before: valueHash('new'), after: valueHash('newest') },
    ]);
  });

  it.each([
    [NOW - 1, null],
    [NOW, null],
    [NOW + 1, valueHash('old')],
  ])('what expired by then counts as absent before (expiry %i)', (expiresAtMs, before) => {
    const { mirror } = putVariables(EMPTY_MIRROR, [one('old', { expiresAtMs })], { ...origin, atMs: 0 });
    expect(putVariables(mirror, [one('new')], origin).changes[0]?.before).toBe(before);
  });

  it('a value without expiry takes the old one’s expiry away', () => {
    const { mirror } = putVariables(EMPTY_MIRROR, [one('v', { expiresAtMs: NOW + 5 })], origin);
    expect(visibleVariables(putVariables(mirror, [one('v')], origin).mirror, NOW + 9)).toHaveLength(1);
  });

  it('the same value keeps its place out of line, with the new expiry; another value does not', () => {
    const stored = { ref: 'blob.1', keptUntilMs: NOW, hash: valueHash({ a: 1, b: 2 }) };
    const { value: _value, ...away } = known('/k', null);
    const outOfLine = mirrorOf(1, [{ ...away, stored }]);
    const later = { ...origin, version: 4 };
    const same = putVariables(outOfLine, [one({ b: 2, a: 1 }, { expiresAtMs: NOW + 9 })], later);
    expect(same.mirror.variables.get('session:/k')).toMatchObject({ stored, expiresAtMs: NOW + 9, version: 4 });
    const other = putVariables(outOfLine, [one({ a: 1, b: 3 })], later).mirror.variables.get('session:/k');
    expect(other).toMatchObject({ value: { a: 1, b: 3 } });
    expect(other).not.toHaveProperty('stored');
  });

  it('takes the place of the synced leaves inside its key, in its own scope and nowhere else', () => {
    const leaf = { via: 'sync' } as const;
    const mirror = mirrorOf(3, [
      known('/k/a', 1, leaf),
      known('/k/deep/b', 2, leaf),
      known('/k/a', 3, { ...leaf, scope: 'user' }),
      known('/kk/a', 4, leaf),
    ]);
    const { mirror: next } = putVariables(mirror, [one({ new: true })], { ...origin, version: 4 });
    expect([...next.variables.keys()].sort()).toEqual(['session:/k', 'session:/kk/a', 'user:/k/a']);
    expect(next.variables.get('session:/k')).toMatchObject({ via: 'inject', value: { new: true } });
  });

  it.each<[string, MirrorVariable[], JsonValue | undefined]>([
    ['all of them', [known('/k/a', 1), known('/k/b/c', 2)], { a: 1, b: { c: 2 } }],
    ['those that have not expired', [known('/k/a', 1), known('/k/b', 2, { expiresAtMs: NOW })], { a: 1 }],
    ['those whose values are at hand', [known('/k/a', 1), stored('/k/b')], { a: 1 }],
    ['nothing, where all have expired', [known('/k/a', 1, { expiresAtMs: NOW - 1 })], undefined],
    ['nothing of another member', [known('/kk/a', 1)], undefined],
  ])('what the synced leaves inside its key were together is what was there before: %s', (_what, leaves, object) => {
    const mirror = mirrorOf(3, leaves);
    const { changes } = putVariables(mirror, [one('new')], { ...origin, version: 4 });
    expect(changes[0]?.before).toBe(object === undefined ? null : valueHash(object));
  });

  it.each([
    ['at its key', known('/k', 'later', { version: 9 })],
    ['inside its key', known('/k/a', 'later', { version: 9, via: 'sync' })],
  ])('does not overwrite what a later version has put %s', (_, later) => {
    const mirror = mirrorOf(9, [later, known('/k/b', 'earlier', { version: 2, via: 'sync' })]);
    const put = putVariables(mirror, [one('late')], { ...origin, version: 4 });
    expect(put.mirror).toEqual(mirror);
    expect(put.changes).toEqual([]);
  });

  it('overwrites what a later version has put in another scope or beside its key', () => {
    const mirror = mirrorOf(9, [
      known('/k', 'user’s', { version: 9, scope: 'user' }),
      known('/k2', 'beside', { version: 9 }),
    ]);
    const put = putVariables(mirror, [one('mine')], { ...origin, version: 4 });
    expect(put.mirror.variables.get('session:/k')).toMatchObject({ value: 'mine', version: 4 });
    // The mirror as a whole is not put back.
    expect(put.mirror.version).toBe(9);
  });
});

describe('Expiry in the mirror', () => {
  it('property: what is visible is what has not expired, and the rest waits to leave the bot', () => {
    fc.assert(
      fc.property(variables, (all) => {
        const { mirror } = putVariables(EMPTY_MIRROR, all, origin);
        const visible = visibleVariables(mirror, NOW);
        const expired = expiredVariables(mirror, NOW);
        expect(visible.every(({ expiresAtMs }) => expiresAtMs === undefined || expiresAtMs > NOW)).toBe(true);
        expect(expired.every(({ expiresAtMs = Number.POSITIVE_INFINITY }) => expiresAtMs <= NOW)).toBe(true);
        expect(new Set([...visible, ...expired])).toEqual(new Set(mirror.variables.values()));
        expect(visible.length + expired.length).toBe(mirror.variables.size);
      }),
    );
  });

  it('property: the next expiry is the moment before which all stays visible, and at which something does not', () => {
    fc.assert(
      fc.property(variables, (all) => {
        const { mirror } = putVariables(EMPTY_MIRROR, all, origin);
        const nextMs = nextExpiryMs(mirror, 0) ?? Number.POSITIVE_INFINITY;
        expect(expiredVariables(mirror, nextMs - 1)).toEqual([]);
        expect(expiredVariables(mirror, nextMs).length > 0).toBe(nextMs < Number.POSITIVE_INFINITY);
      }),
    );
  });

  it('is next at a moment that has passed, where one has expired and has not left the bot', () => {
    const mirror = mirrorOf(1, [known('/a', 1, { expiresAtMs: NOW + 5 }), known('/b', 1, { expiresAtMs: NOW - 5 })]);
    expect(nextExpiryMs(mirror, NOW)).toBe(NOW - 5);
    expect(nextExpiryMs(mirrorOf(1, [known('/c', 1)]), NOW)).toBeUndefined();
  });
});

describe('contextOf', () => {
  it('property: the more specific scope shows, whatever the order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...SCOPES], { minLength: 1 }), (scopes) => {
        const shown = (['user', 'session', 'global'] as const).find((scope) => scopes.includes(scope));
        expect(contextOf(scopes.map((scope) => ({ path: '/k', scope, value: scope })))).toEqual({ k: shown });
      }),
    );
  });

  it('shows a top-level member in one scope only: two objects of two scopes are not mixed', () => {
    const mixed = contextOf([
      known('/k/a', 'session’s'),
      known('/k/b', 'user’s', { scope: 'user' }),
      known('/own/a', 'session’s'),
    ]);
    expect(mixed).toEqual({ k: { b: 'user’s' }, own: { a: 'session’s' } });
  });

  it('pollutes nothing', () => {
    const polluted = contextOf([{ path: '/__proto__', scope: 'session', value: { polluted: true } }]);
    expect(Object.getPrototypeOf(polluted)).toBe(Object.prototype);
    expect(Object.keys(polluted)).toEqual(['__proto__']);
    expect('polluted' in {}).toBe(false);
  });
});

describe('topOf', () => {
  it.each([
    ['/a', '/a'],
    ['/a/b/c', '/a'],
    ['/x~1y/b', '/x~1y'],
    ['/', '/'],
    ['//b', '/'],
  ])('of %s is %s', (path, top) => {
    expect(topOf(path)).toBe(top);
  });
});

describe('reconcile', () => {
  const by = { version: 7, atMs: NOW, source: 'client' };
  const stored = { ref: 'blob.1', keptUntilMs: 9, hash: valueHash({ b: 1 }) };
  const fresh = { via: 'sync', updatedAtMs: NOW, source: 'client', version: 7 } as const;

  it('what is as it was keeps everything known about it: the very same variable', () => {
    const before = [
      known('/whole', { b: 1 }, { expiresAtMs: NOW + 9, stored, scope: 'user' }),
      known('/leaf/a', [1], { via: 'sync', expiresAtMs: NOW + 1 }),
    ];
    const next = reconcile(before, { leaf: { a: [1] }, whole: { b: 1 } }, by);
    expect(new Set(next)).toEqual(new Set(before));
    for (const each of next) expect(before.some((old) => old === each)).toBe(true);
  });

  it.each(SCOPES)('a new value keeps the scope in which its top-level member is seen: %s', (scope) => {
    const before = [known('/k/a', 1, { scope, via: 'sync', expiresAtMs: NOW + 9 }), known('/other', 1)];
    const next = reconcile(before, { k: { a: 2, b: { c: 3 } }, other: 1 }, by);
    expect(next.slice(0, 2)).toEqual([
      { path: '/k/a', scope, value: 2, ...fresh },
      { path: '/k/b/c', scope, value: 3, ...fresh },
    ]);
  });

  it('a new top-level member is the session’s', () => {
    expect(reconcile([], { k: 1 }, by)).toEqual([{ path: '/k', scope: 'session', value: 1, ...fresh }]);
  });

  it('of several scopes the seen one takes the new value, and the others stay as they are', () => {
    const before = [known('/k', 'g', { scope: 'global' }), known('/k', 'u', { scope: 'user' }), known('/k', 's')];
    const next = reconcile(before, { k: 'new' }, by);
    expect(new Map(next.map((each) => [each.scope, each.value]))).toEqual(
      new Map([
        ['global', 'g'],
        ['session', 's'],
        ['user', 'new'],
      ]),
    );
  });

  describe('where the bot shows what a weaker scope has', () => {
    const byBot = { ...by, source: BOT };
    const global = known('/k', { a: 1 }, { scope: 'global', expiresAtMs: NOW + 9 });
    const hiding = [known('/k/a', 2, { via: 'sync', source: BOT }), known('/k/b', 2, { via: 'sync' })];
    const user = known('/k', 3, { scope: 'user' });

    it('what hid that is gone, and it stays what it was', () => {
      expect(reconcile([...hiding, global, user], { k: { a: 1 } }, byBot)).toEqual([global]);
    });

    it('of several that are alike the strongest stays seen, and hides the others', () => {
      const same = known('/k', { a: 1 });
      const next = reconcile([user, same, global], { k: { a: 1 } }, byBot);
      expect(new Set(next)).toEqual(new Set([same, global]));
    });

    it('not when it shows anything else, or when it is no doing of the bot’s', () => {
      for (const [shown, origin] of [
        [{ a: 1, b: 2 }, byBot],
        [{ a: 1 }, by],
      ] as const) {
        const next = reconcile([...hiding, global], { k: shown }, origin);
        expect(new Set(next.map(({ scope }) => scope))).toEqual(new Set(['session', 'global']));
      }
    });

    it('also where what hid that does not show itself', () => {
      const hidden = [known('/k/__own', 1)];
      expect(reconcile([global], { k: { a: 1 } }, byBot, { hidden })).toEqual([global]);
    });

    it('as it looks there, without what is internal', () => {
      const shownAs = (value: JsonValue) => (jsonEquals(value, { a: 1 }) ? 'stripped' : value);
      expect(reconcile([global, user], { k: 'stripped' }, byBot, { shownAs })).toEqual([global]);
    });
  });

  it('a top-level member that is gone is gone from all scopes', () => {
    const before = SCOPES.flatMap((scope) => [known('/k/a', 1, { scope }), known('/stays', 1, { scope })]);
    const next = reconcile(before, { stays: 1 }, by);
    expect(next.map(({ scope, path }) => `${scope}:${path}`).sort()).toEqual([
      'global:/stays',
      'session:/stays',
      'user:/stays',
    ]);
  });

  it('what another scope hides stays under its own name, whatever is escaped in it', () => {
    const path = pointerOf(['a~b/c~1d']);
    const before = [known(path, 'g', { scope: 'global' }), known(path, 'u', { scope: 'user' })];
    const next = reconcile(before, { 'a~b/c~1d': 'u' }, by);
    expect(new Set(next)).toEqual(new Set(before));
  });

  it('an injected object falls into its members when one of them changes; the others keep expiry and origin', () => {
    const before = [known('/k', { a: 1, b: { c: 2 } }, { expiresAtMs: NOW + 9, stored, scope: 'user' })];
    const next = reconcile(before, { k: { a: 'new', b: { c: 2 } } }, by);
    expect(next).toEqual([
      { path: '/k/a', scope: 'user', value: 'new', ...fresh },
      // By a rewritten context it leaves the bot now; where it lay out of line was the whole object's place.
      {
        path: '/k/b',
        scope: 'user',
        via: 'sync',
        value: { c: 2 },
        expiresAtMs: NOW + 9,
        updatedAtMs: 5,
        source: 'crm',
        version: 3,
      },
    ]);
  });

  it('an injected object falls into its members when one of them is written, even as it was', () => {
    const before = [known('/k', { a: 1, b: 2 }, { expiresAtMs: NOW + 9 })];
    const written = new Map([['/k/a', { expiresAtMs: NOW + 60 }]]);
    const next = reconcile(before, { k: { a: 1, b: 2 } }, by, { written });
    expect(next).toEqual([
      { path: '/k/a', scope: 'session', value: 1, ...fresh, expiresAtMs: NOW + 60 },
      known('/k/b', 2, { via: 'sync', expiresAtMs: NOW + 9 }),
    ]);
  });

  it.each([
    ['the new expiry', { expiresAtMs: NOW + 60 }, { expiresAtMs: NOW + 60 }],
    ['no expiry any more', { expiresAtMs: undefined }, {}],
  ])('what is written gets a new origin and %s, also where it is equal', (_, own, expected) => {
    const before = [known('/k', { b: 1 }, { expiresAtMs: NOW + 9, stored })];
    const next = reconcile(before, { k: { b: 1 } }, by, { written: new Map([['/k', own]]) });
    // The value has not changed: it lies where it lay.
    expect(next).toEqual([{ path: '/k', scope: 'session', value: { b: 1 }, stored, ...fresh, ...expected }]);
  });

  it('knows a value by how it is shown, and keeps it as it is', () => {
    const before = [known('/k', { a: 1, __own: 2 })];
    const shownAs = (value: JsonValue) => (JSON.stringify(value) === '{"a":1,"__own":2}' ? { a: 1 } : value);
    expect(reconcile(before, { k: { a: 1 } }, by, { shownAs })).toEqual(before);
  });

  it('what is named apart becomes a variable of its own, with all that is known about it; what is not there changes nothing', () => {
    const before = [known('/k', { a: 1, b: { c: 2 } }, { expiresAtMs: NOW + 9 }), known('/whole', { a: 1 })];
    const shown = contextOf(before);
    const next = reconcile(before, shown, by, { apart: ['/k/b/c', '/whole/nothing', '/nowhere/at/all', ''] });
    expect(next).toEqual([
      known('/k/a', 1, { via: 'sync', expiresAtMs: NOW + 9 }),
      known('/k/b/c', 2, { via: 'sync', expiresAtMs: NOW + 9 }),
      known('/whole', { a: 1 }),
    ]);
    expect(contextOf(next)).toEqual(shown);
  });

  it('a new value has the scope of what is hidden under the same top-level name, lest that hide it', () => {
    const hidden = [known('/k/__own', 1, { scope: 'user' })];
    expect(reconcile([], { k: { a: 1 } }, by, { hidden })).toEqual([
      { path: '/k/a', scope: 'user', value: 1, ...fresh },
    ]);
  });

  it('an object that has lost its last member stays as an empty one', () => {
    const before = [known('/k/a', 1, { via: 'sync' })];
    expect(reconcile(before, { k: {} }, by)).toEqual([{ path: '/k', scope: 'session', value: {}, ...fresh }]);
  });

  /** Contexts come as values injected and leaves synced, in all scopes. */
  const mirrored = fc
    .array(fc.tuple(context, fc.constantFrom(...SCOPES), fc.boolean()), { maxLength: 3 })
    .map((parts) => {
      const all = parts.flatMap(([object, scope, isInjected]) =>
        Object.entries(object).flatMap(([name, value]) => {
          const path = pointerOf([name]);
          const leaves = isInjected ? [{ path, value }] : leavesOf(value, path);
          return leaves.map((leaf) => known(leaf.path, leaf.value, { scope }));
        }),
      );
      // One form of each member per scope, as the mirror has it.
      const tops = new Map(all.map((each) => [mirrorId({ scope: each.scope, path: topOf(each.path) }), each]));
      const isInjected = (each: LoadedVariable) => topOf(each.path) === each.path;
      return all.filter((each) => {
        const last = tops.get(mirrorId({ scope: each.scope, path: topOf(each.path) }));
        return last !== undefined && (isInjected(last) ? each === last : !isInjected(each));
      });
    })
    .map((all) => [...mirrorOf(1, all).variables.values()])
    // Leaves of two patches may lie in each other's way; a mirror never has such.
    .filter((all) =>
      all.every(({ path, scope }) => !all.some((o) => o.scope === scope && o.path.startsWith(`${path}/`))),
    );

  it('property: the variables make up the context they were reconciled with, whatever was there before', () => {
    fc.assert(
      fc.property(mirrored, context, fc.constantFrom('client', BOT), (before, next, source) => {
        const reconciled = reconcile(before, next, { ...by, source });
        expect(contextOf(reconciled)).toEqual(next);
        expect(mirrorOf(7, reconciled).variables.size).toBe(reconciled.length);
      }),
    );
  });

  it('property: reconciled with what it shows already, a mirror stays as it is', () => {
    fc.assert(
      fc.property(mirrored, fc.constantFrom('client', BOT), (before, source) => {
        const shown: JsonObject = contextOf(before);
        expect(mirrorOf(1, reconcile(before, shown, { ...by, source }))).toEqual(mirrorOf(1, before));
      }),
    );
  });

  it('property: only what differs is of the new origin', () => {
    fc.assert(
      fc.property(mirrored, context, (before, next) => {
        const shown = new Map(leavesOf(contextOf(before)).map(({ path, value }) => [path, valueHash(value)]));
        for (const each of reconcile(before, next, by)) {
          if (each.version !== by.version) continue;
          expect(shown.get(each.path)).not.toBe(valueHash(each.value));
        }
      }),
    );
  });
});
