import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import { isInternalName, withoutInternal } from '../../../lib/context/internalKeys.ts';
import { isJsonObject, type JsonObject } from '../../../lib/context/json.ts';
import { leavesOf, valueAt } from '../../../lib/context/leaves.ts';
import { leavingOf } from '../../../lib/context/leaving.ts';
import { mergePatch } from '../../../lib/context/mergePatch.ts';
import { contextOf, type Mirror, putVariables, visibleVariables } from '../../../lib/context/mirror.ts';
import { tokensOf } from '../../../lib/context/pointer.ts';
import { jsonBytes } from '../../../lib/context/size.ts';
import type { ContextPlan } from '../../../lib/operations/contextPlan.ts';
import { loaded } from '../../../lib/operations/loaded.ts';
import { patch, patchWithInternal, plainContext } from '../../fixtures/operations/contexts.ts';
import { expire, leaf, mirror, NOW, planFor, sync } from '../../fixtures/operations/planning.ts';

const variablesOf = ({ applied }: ContextPlan) => [...loaded(applied.mirror).variables.values()];
/** The variable of the planned mirror at a path, in whatever scope. */
const at = (plan: ContextPlan, path: string) => variablesOf(plan).find((variable) => variable.path === path);
const changesOf = (plan: ContextPlan, version: number) => plan.applied.changes.get(`op${version}`) ?? [];
const reportOf = (plan: ContextPlan, version: number) => {
  const report = plan.reports.get(`op${version}`);
  if (report === undefined) throw new Error(`operation ${version} has no report`);
  return report;
};
const sentBy = ({ decision }: ContextPlan) => (decision.kind === 'put' ? decision.context : undefined);
const shownBy = (planned: Mirror) => withoutInternal(contextOf(visibleVariables(loaded(planned), NOW)));

describe('SCENARIO 5: the bot and a sync change the context', () => {
  const base = mirror(leaf('/tier', 'gold'), leaf('/turn', 1));

  it('what only the bot has changed is kept, and is the bot’s in mirror and audit', () => {
    const plan = planFor({
      base,
      theirs: { tier: 'gold', turn: 2, mood: 'good' },
      operations: [sync(2, { tier: 'silver' })],
    });
    expect(sentBy(plan)).toEqual({ tier: 'silver', turn: 2, mood: 'good' });
    expect(at(plan, '/turn')).toMatchObject({ value: 2, source: 'bot' });
    expect(at(plan, '/tier')).toMatchObject({ value: 'silver', source: 'client2', version: 2, updatedAtMs: NOW });
    expect(reportOf(plan, 2).conflicts).toEqual([]);
    expect(changesOf(plan, 2)).toEqual([
      { path: '/tier', scope: 'session', before: valueHash('gold'), after: valueHash('silver') },
      { path: '/turn', scope: 'session', before: valueHash(1), after: valueHash(2), cause: 'bot' },
      { path: '/mood', scope: 'session', before: null, after: valueHash('good'), cause: 'bot' },
    ]);
  });

  it('what both have changed is reported with base, ours and theirs, and ours is taken', () => {
    const plan = planFor({ base, theirs: { tier: 'bronze', turn: 1 }, operations: [sync(2, { tier: 'silver' })] });
    expect(sentBy(plan)).toEqual({ tier: 'silver', turn: 1 });
    expect(reportOf(plan, 2).conflicts).toEqual([
      { path: '/tier', base: 'gold', ours: 'silver', theirs: 'bronze', chosen: 'ours' },
    ]);
  });

  it('theirs is taken where the schema says so (x-conflict), and what becomes of ours is in the audit', () => {
    const schema = { properties: { tier: { 'x-conflict': 'theirs' } } };
    const operations = [sync(2, { tier: 'silver', turn: 9 })];
    const plan = planFor({ base, theirs: { tier: 'bronze', turn: 5 }, operations, schema });
    expect(sentBy(plan)).toEqual({ tier: 'bronze', turn: 9 });
    expect(reportOf(plan, 2).conflicts).toEqual([
      { path: '/tier', base: 'gold', ours: 'silver', theirs: 'bronze', chosen: 'theirs' },
      { path: '/turn', base: 1, ours: 9, theirs: 5, chosen: 'ours' },
    ]);
    expect(at(plan, '/tier')).toMatchObject({ value: 'bronze', source: 'bot' });
    expect(changesOf(plan, 2)).toContainEqual({
      path: '/tier',
      scope: 'session',
      before: valueHash('silver'),
      after: valueHash('bronze'),
      cause: 'bot',
    });
  });

  it('to say again what base says is a change: whoever says gold after the bot has said silver means gold', () => {
    const plan = planFor({ base, theirs: { tier: 'silver', turn: 1 }, operations: [sync(2, { tier: 'gold' })] });
    expect(sentBy(plan)).toEqual({ tier: 'gold', turn: 1 });
    expect(reportOf(plan, 2).conflicts).toEqual([
      { path: '/tier', base: 'gold', ours: 'gold', theirs: 'silver', chosen: 'ours' },
    ]);
  });

  it('where both say the same there is no conflict, and nothing to send', () => {
    const plan = planFor({ base, theirs: { tier: 'silver', turn: 1 }, operations: [sync(2, { tier: 'silver' })] });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(reportOf(plan, 2).conflicts).toEqual([]);
    expect(at(plan, '/tier')).toMatchObject({ value: 'silver', source: 'client2' });
  });

  it('a conflict is reported to the sync that is part of it, and not to others of the same push', () => {
    const operations = [sync(2, { tier: 'silver' }), sync(3, { other: { deep: 1 } })];
    const plan = planFor({ base, theirs: { tier: 'bronze', turn: 1, other: 'flat' }, operations });
    expect(reportOf(plan, 2).conflicts.map(({ path }) => path)).toEqual(['/tier']);
    expect(reportOf(plan, 3).conflicts.map(({ path }) => path)).toEqual(['/other']);
  });

  it('what was injected in the same push is no conflict: the bot has it already', () => {
    const injected = mirror(...base.variables.values(), leaf('/vip', true, { via: 'inject', version: 3 }));
    const plan = planFor({
      base,
      mirror: injected,
      theirs: { tier: 'gold', turn: 1, vip: true },
      operations: [sync(2, { turn: 2 })],
    });
    expect(sentBy(plan)).toEqual({ tier: 'gold', turn: 2, vip: true });
    expect(reportOf(plan, 2).conflicts).toEqual([]);
    expect(at(plan, '/vip')).toMatchObject({ via: 'inject', version: 3 });
    expect(plan.applied.mirror.version).toBe(3);
  });

  it('an inject that left just before is no change of the bot’s: a later sync of the same path wins, whoever wins conflicts', () => {
    const injected = mirror(leaf('/tier', 'injected', { via: 'inject', version: 2 }));
    const plan = planFor({
      base: mirror(leaf('/tier', 'gold')),
      mirror: injected,
      theirs: { tier: 'injected' },
      operations: [sync(3, { tier: 'synced' })],
      schema: { properties: { tier: { 'x-conflict': 'theirs' } } },
    });
    expect(sentBy(plan)).toEqual({ tier: 'synced' });
    expect(reportOf(plan, 3).conflicts).toEqual([]);
  });

  it('where the bot cannot be read, the mirror stands in for it, and the report says so', () => {
    const plan = planFor({ base, theirs: undefined, operations: [sync(2, { tier: 'silver' })] });
    expect(sentBy(plan)).toEqual({ tier: 'silver', turn: 1 });
    expect(reportOf(plan, 2).freshness).toBe('mirror');
    expect(reportOf(planFor({ base, theirs: {}, operations: [sync(2, {})] }), 2).freshness).toBe('live');
  });
});

describe('Deletions', () => {
  const base = mirror(leaf('/a/b', 1), leaf('/a/c', 2));
  const gone = (path: string, value: number) => ({ path, scope: 'session', before: valueHash(value), after: null });

  it('of a sync take the leaf out of bot and mirror', () => {
    const plan = planFor({ base, theirs: { a: { b: 1, c: 2 } }, operations: [sync(2, { a: { b: null } })] });
    expect(sentBy(plan)).toEqual({ a: { c: 2 } });
    expect(at(plan, '/a/b')).toBeUndefined();
    expect(changesOf(plan, 2)).toEqual([gone('/a/b', 1)]);
  });

  it('of the bot are kept', () => {
    const plan = planFor({ base, theirs: { a: { b: 1 } }, operations: [sync(2, { other: 1 })] });
    expect(sentBy(plan)).toEqual({ a: { b: 1 }, other: 1 });
    expect(at(plan, '/a/c')).toBeUndefined();
    expect(changesOf(plan, 2)).toContainEqual({ ...gone('/a/c', 2), cause: 'bot' });
  });

  it('of what the bot has changed are a conflict without `ours`', () => {
    const plan = planFor({ base, theirs: { a: { b: 9, c: 2 } }, operations: [sync(2, { a: { b: null } })] });
    expect(sentBy(plan)).toEqual({ a: { c: 2 } });
    expect(reportOf(plan, 2).conflicts).toEqual([{ path: '/a/b', base: 1, theirs: 9, chosen: 'ours' }]);
    expect(changesOf(plan, 2)).toEqual([gone('/a/b', 1)]);
  });

  it('of what the bot has deleted too are none', () => {
    const plan = planFor({ base, theirs: { a: { c: 2 } }, operations: [sync(2, { a: { b: null } })] });
    expect(plan.decision.kind).toBe('leave');
    expect(reportOf(plan, 2).conflicts).toEqual([]);
  });

  it('of what only the bot has are done, reported as a conflict, and audited', () => {
    const plan = planFor({ base, theirs: { a: { b: 1, c: 2 }, bots: 5 }, operations: [sync(2, { bots: null })] });
    expect(sentBy(plan)).toEqual({ a: { b: 1, c: 2 } });
    expect(reportOf(plan, 2).conflicts).toEqual([{ path: '/bots', theirs: 5, chosen: 'ours' }]);
    expect(changesOf(plan, 2)).toEqual([gone('/bots', 5)]);
  });

  it('of what only the bot has are the last sync’s that says so, leaf by leaf', () => {
    const operations = [sync(2, { bots: { a: 1 } }), sync(3, { bots: null })];
    const plan = planFor({ theirs: { bots: { b: 5, c: { d: 6 } } }, operations });
    expect(sentBy(plan)).toEqual({});
    expect(changesOf(plan, 2).map(({ path }) => path)).toEqual(['/bots/a']);
    expect(changesOf(plan, 3)).toEqual([gone('/bots/a', 1), gone('/bots/b', 5), gone('/bots/c/d', 6)]);
  });

  it('of an object into which a later sync of the same push writes take out of it what only the bot has', () => {
    const operations = [sync(2, { a: null, b: 'none', other: 1 }), sync(3, { a: { b: 3 }, b: { x: 1 } })];
    const plan = planFor({ base, theirs: { a: { b: 1, c: 2, bots: 5 }, b: { bots: 6 } }, operations });
    expect(sentBy(plan)).toEqual({ a: { b: 3 }, b: { x: 1 }, other: 1 });
    expect(at(plan, '/a/bots')).toBeUndefined();
    const conflicts = [
      { path: '/a', base: { b: 1, c: 2 }, ours: { b: 3 }, theirs: { b: 1, c: 2, bots: 5 }, chosen: 'ours' },
      { path: '/b', ours: { x: 1 }, theirs: { bots: 6 }, chosen: 'ours' },
    ];
    expect(reportOf(plan, 2).conflicts).toEqual(conflicts);
    expect(reportOf(plan, 3).conflicts).toEqual(conflicts);
  });

  it('of an object into which a later sync writes leave it to the bot where the schema prefers that', () => {
    const schema = { properties: { a: { 'x-conflict': 'theirs' } } };
    const operations = [sync(2, { a: null }), sync(3, { a: { b: 3 } })];
    const moved = planFor({ base, theirs: { a: { b: 1, c: 2, bots: 5 } }, operations, schema });
    expect(moved.context).toEqual({ a: { b: 1, c: 2, bots: 5 } });
    const same = planFor({ base, theirs: { a: { b: 1, c: 2 } }, operations, schema });
    expect(same.context).toEqual({ a: { b: 3 } });
  });

  it('of what only the bot has are not done where the schema prefers the bot', () => {
    const schema = { properties: { bots: { 'x-conflict': 'theirs' } } };
    const plan = planFor({ theirs: { bots: 5 }, operations: [sync(2, { bots: null })], schema });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(reportOf(plan, 2).conflicts).toEqual([{ path: '/bots', theirs: 5, chosen: 'theirs' }]);
    expect(changesOf(plan, 2).filter(({ after }) => after === null)).toEqual([]);
  });
});

describe('Expired values (I5)', () => {
  const past = { expiresAtMs: NOW };
  const gone = { path: '/k', scope: 'session', before: valueHash('old'), after: null, cause: 'expired' };

  it('are neither pushed nor taken back from the bot, and leave the mirror', () => {
    const base = mirror(leaf('/k', 'old', past), leaf('/stays', 1));
    const plan = planFor({ base, theirs: { k: 'old', stays: 1 }, operations: [expire(2)] });
    expect(sentBy(plan)).toEqual({ stays: 1 });
    expect([...plan.applied.mirror.variables.keys()]).toEqual(['session:/stays']);
    expect(changesOf(plan, 2)).toEqual([gone]);
  });

  it('are no base: the bot still having one is no change of the bot’s, and to write it anew is no conflict', () => {
    const base = mirror(leaf('/k', 'old', past));
    const plan = planFor({ base, theirs: { k: 'old' }, operations: [sync(2, { k: 'new' })] });
    expect(sentBy(plan)).toEqual({ k: 'new' });
    expect(reportOf(plan, 2)).toMatchObject({ conflicts: [], expired: ['/k'] });
    // It has not gone: it has been written.
    expect(changesOf(plan, 2)).toEqual([{ path: '/k', scope: 'session', before: null, after: valueHash('new') }]);
  });

  it('that the bot has changed meanwhile are the bot’s own, and stay', () => {
    const base = mirror(leaf('/k', 'old', past));
    const plan = planFor({ base, theirs: { k: 'bot’s' }, operations: [expire(2)] });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(plan.context).toEqual({ k: 'bot’s' });
    expect(at(plan, '/k')).toMatchObject({ value: 'bot’s', source: 'bot' });
    expect(at(plan, '/k')).not.toHaveProperty('expiresAtMs');
  });

  it('take the object around them along, when nothing is left in it, and nothing else', () => {
    const base = mirror(leaf('/k/a/b', 1, past), leaf('/k/c', 2), leaf('/m/a', 3, past));
    const theirs = { k: { a: { b: 1 }, c: 2 }, m: { a: 3 }, empty: {} };
    const plan = planFor({ base, theirs, operations: [expire(2)] });
    expect(sentBy(plan)).toEqual({ k: { c: 2 }, empty: {} });
  });

  it('leave an object that the bot itself has emptied as it is', () => {
    const base = mirror(leaf('/m/a', 3, past));
    const plan = planFor({ base, theirs: { m: {} }, operations: [expire(2)] });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(plan.context).toEqual({ m: {} });
  });

  const above = mirror(leaf('/k', 'user’s', { scope: 'user', ...past }), leaf('/k', 'session’s'));

  it('above a live value of a weaker scope do not leave by a rewritten context: that would put it into their scope', () => {
    const plan = planFor({ base: above, theirs: { k: 'user’s' }, operations: [expire(2)] });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(changesOf(plan, 2)).toEqual([]);
    // It waits in the mirror for its turn, and is not shown.
    expect(plan.applied.mirror.variables.has('user:/k')).toBe(true);
    expect(shownBy(plan.applied.mirror)).toEqual({ k: 'session’s' });
  });

  it('above a live value of a weaker scope have left when the bot has been told to forget them', () => {
    const theirs = { k: 'session’s' };
    const plan = planFor({ base: above, theirs, operations: [sync(2, { new: 1 }), expire(3)], forgotten: ['user:/k'] });
    expect(sentBy(plan)).toEqual({ k: 'session’s', new: 1 });
    expect([...plan.applied.mirror.variables.keys()]).toEqual(['session:/k', 'session:/new']);
    expect(changesOf(plan, 3)).toMatchObject([{ path: '/k', scope: 'user', cause: 'expired' }]);
  });

  it.each([
    ['user first', ['user', 'global'] as const],
    ['global first', ['global', 'user'] as const],
  ])('in two scopes at once leave both, whichever the bot shows (%s)', (_, scopes) => {
    const base = mirror(...scopes.map((scope) => leaf('/k', `${scope}’s`, { scope, ...past })));
    const plan = planFor({ base, theirs: { k: 'user’s', stays: 1 }, operations: [expire(2)] });
    expect(sentBy(plan)).toEqual({ stays: 1 });
    expect(plan.applied.mirror.variables.has('user:/k')).toBe(false);
    expect(changesOf(plan, 2)).toHaveLength(3);
  });

  it('that were injected as objects are known in the bot also without their internal members', () => {
    const base = mirror(leaf('/k', { a: 1, __own: 2 }, { via: 'inject', ...past }));
    expect(sentBy(planFor({ base, theirs: { k: { a: 1 }, stays: 1 }, operations: [expire(2)] }))).toEqual({ stays: 1 });
  });

  it('leave with a sync just as well, and its report names them', () => {
    const base = mirror(leaf('/k', 'old', past));
    const plan = planFor({ base, theirs: { k: 'old' }, operations: [sync(2, { other: 1 })] });
    expect(sentBy(plan)).toEqual({ other: 1 });
    expect(reportOf(plan, 2).expired).toEqual(['/k']);
    expect(changesOf(plan, 2)).toContainEqual(gone);
  });

  it('are the expiry’s in the audit where there is one, not the sync’s beside it', () => {
    const base = mirror(leaf('/k', 'old', past));
    const plan = planFor({ base, theirs: { k: 'old' }, operations: [sync(2, { other: 1 }), expire(3)] });
    expect(changesOf(plan, 3)).toEqual([gone]);
    expect(changesOf(plan, 2).map(({ path }) => path)).toEqual(['/other']);
  });

  it.each([
    ['an expiry with nothing to take out', [expire(2)]],
    ['a sync that is refused', [sync(2, { tier: 1 })]],
    ['nothing at all', []],
  ])('%s leaves the bot alone, whatever could be different', (_, operations) => {
    const schema = { properties: { tier: { type: 'string' }, filled: { default: 1 } } };
    const theirs = { k: 2, __own: 1 };
    const plan = planFor({ base: mirror(leaf('/k', 1)), theirs, operations, schema });
    expect(plan.decision).toEqual({ kind: 'leave' });
  });

  it('are not taken out for a sync that is refused', () => {
    const schema = { properties: { tier: { type: 'string' } } };
    const base = mirror(leaf('/k', 'old', past));
    const plan = planFor({ base, theirs: { k: 'old' }, operations: [sync(2, { tier: 1 })], schema });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(plan.refusals.get('op2')).toMatchObject({ code: 'validation-failed' });
  });
});

describe('Internal members (`__…`)', () => {
  it('are kept in the mirror and never in the context, at any depth', () => {
    const data = { __top: 1, a: { b: 1, __in: { deep: 2 } }, list: [{ __item: 1, shown: 2 }] };
    const plan = planFor({ theirs: {}, operations: [sync(2, data)] });
    expect(sentBy(plan)).toEqual({ a: { b: 1 }, list: [{ shown: 2 }] });
    expect(at(plan, '/__top')?.value).toBe(1);
    expect(at(plan, '/a/__in/deep')?.value).toBe(2);
    expect(at(plan, '/list')?.value).toEqual([{ __item: 1, shown: 2 }]);
  });

  it('of the bot are nobody’s business: they are not taken over, and a context is rewritten without them', () => {
    const plan = planFor({ theirs: { __bots: 1, a: { __bots: 2, b: 3 } }, operations: [sync(2, { c: 4 })] });
    expect(sentBy(plan)).toEqual({ a: { b: 3 }, c: 4 });
    expect([...plan.applied.mirror.variables.values()].some(({ path }) => path.includes('__'))).toBe(false);
  });

  const base = mirror(leaf('/a/b', 1), leaf('/a/__in', 2), leaf('/__top', 3));

  it('stay while there is an object around them', () => {
    const plan = planFor({ base, theirs: { a: { b: 1 } }, operations: [sync(2, { a: { b: 5 } })] });
    expect(at(plan, '/a/__in')).toMatchObject({ value: 2, version: 1 });
    expect(at(plan, '/__top')).toMatchObject({ value: 3 });
  });

  it.each<[string, JsonObject, JsonObject]>([
    ['a sync', { a: { b: 1 } }, { a: null }],
    ['a sync that puts a value there', { a: { b: 1 } }, { a: 'flat' }],
    ['the bot', {}, {}],
    ['the bot, which puts a value there', { a: 'flat' }, {}],
  ])('go with the object around them when it goes by %s', (_, theirs, data) => {
    const plan = planFor({ base, theirs, operations: [sync(2, data)] });
    expect(at(plan, '/a/__in')).toBeUndefined();
    expect(at(plan, '/__top')).toMatchObject({ value: 3 });
  });

  it('of an injected object stay when the bot changes a member beside them', () => {
    const injected = mirror(leaf('/k', { a: 1, __own: { id: 7 } }, { via: 'inject', expiresAtMs: NOW + 9 }));
    const plan = planFor({ base: injected, theirs: { k: { a: 2 } }, operations: [sync(2, { other: 1 })] });
    expect(sentBy(plan)).toEqual({ k: { a: 2 }, other: 1 });
    expect(contextOf(variablesOf(plan))).toEqual({ k: { a: 2, __own: { id: 7 } }, other: 1 });
  });

  it('of an injected object stay inside what has not changed of it, and are there once', () => {
    const injected = mirror(leaf('/k', { a: 1, b: { c: 1, __in: 2 }, __own: 3 }, { via: 'inject' }));
    const plan = planFor({ base: injected, theirs: { k: { a: 2, b: { c: 1 } } }, operations: [sync(2, { other: 1 })] });
    expect(contextOf(variablesOf(plan))).toEqual({ k: { a: 2, b: { c: 1, __in: 2 }, __own: 3 }, other: 1 });
    expect(at(plan, '/k/b')).toMatchObject({ value: { c: 1, __in: 2 } });
    expect(at(plan, '/k/b/__in')).toBeUndefined();
  });

  it('are written with their ttl, and that is no ttl without a value', () => {
    const plan = planFor({
      theirs: {},
      operations: [sync(2, { __own: 1, a: { __in: 2 } }, { expiries: { '/__own': NOW + 5, '/a/__in': NOW + 6 } })],
    });
    expect(at(plan, '/__own')).toMatchObject({ expiresAtMs: NOW + 5 });
    expect(at(plan, '/a/__in')).toMatchObject({ expiresAtMs: NOW + 6 });
    expect(reportOf(plan, 2).warnings).toEqual([]);
  });
});

describe('The schema', () => {
  const schema = {
    required: ['profile'],
    properties: {
      profile: {
        type: 'object',
        required: ['name'],
        properties: { name: { type: 'string', default: 'Guest' }, tags: { type: 'array', default: [] } },
      },
      age: { type: 'integer', minimum: 0 },
      size: { type: 'string', maxLength: 3 },
    },
  };
  const defaults = { profile: { name: 'Guest', tags: [] } };

  it('fills its defaults in, and they are its own in mirror and audit', () => {
    const plan = planFor({ theirs: {}, operations: [sync(2, { profile: { name: 'Ada' } })], schema });
    expect(sentBy(plan)).toEqual({ profile: { name: 'Ada', tags: [] } });
    expect(at(plan, '/profile/tags')).toMatchObject({ value: [], source: 'schema' });
    expect(at(plan, '/profile/name')).toMatchObject({ source: 'client2' });
    expect(changesOf(plan, 2)).toContainEqual({
      path: '/profile/tags',
      scope: 'session',
      before: null,
      after: valueHash([]),
      cause: 'default',
    });
  });

  it('shares no default between two sessions', () => {
    const [one, other] = [1, 2].map(() => planFor({ theirs: {}, operations: [sync(2, {})], schema }));
    const tags = ({ context: planned }: ContextPlan) => valueAt(planned, ['profile', 'tags']);
    expect(one && tags(one)).toEqual([]);
    expect(one && tags(one)).not.toBe(other && tags(other));
  });

  it('puts its default back where what is required has expired', () => {
    const base = mirror(leaf('/profile/name', 'Ada', { expiresAtMs: NOW }), leaf('/profile/tags', []));
    const theirs = { profile: { name: 'Ada', tags: [] } };
    const plan = planFor({ base, theirs, operations: [expire(2)], schema });
    expect(sentBy(plan)).toEqual(defaults);
    expect(at(plan, '/profile/name')).toMatchObject({ value: 'Guest', source: 'schema' });
    expect(
      changesOf(plan, 2)
        .map(({ cause }) => cause)
        .sort(),
    ).toEqual(['default', 'expired']);
  });

  it('refuses only the sync that breaks it; others of the same push go on', () => {
    const operations = [sync(2, { size: 'S' }), sync(3, { age: -1 }), sync(4, { other: 7 })];
    const plan = planFor({ theirs: defaults, operations, schema });
    expect([...plan.refusals.keys()]).toEqual(['op3']);
    expect(plan.refusals.get('op3')).toEqual({
      code: 'validation-failed',
      violations: [{ pointer: '/age', code: 'minimum', message: 'must be >= 0' }],
    });
    expect(sentBy(plan)).toEqual({ ...defaults, size: 'S', other: 7 });
    expect(plan.applied.changes.has('op3')).toBe(false);
    expect([...plan.reports.keys()]).toEqual(['op2', 'op4']);
  });

  it('what was refused has changed nothing, also not the mirror’s version', () => {
    const plan = planFor({ theirs: defaults, operations: [sync(2, { size: 'S' }), sync(3, { age: -1 })], schema });
    expect(plan.applied.mirror.version).toBe(2);
  });

  it('names every violation of a sync, not the first (SCENARIO 35)', () => {
    const plan = planFor({ theirs: defaults, operations: [sync(2, { age: 'x', size: 'XXXXL', profile: 1 })], schema });
    const refusal = plan.refusals.get('op2');
    const pointers = refusal?.code === 'validation-failed' ? refusal.violations.map(({ pointer }) => pointer) : [];
    expect(pointers.sort()).toEqual(['/age', '/profile', '/size']);
    expect(plan.decision.kind).toBe('leave');
  });

  it('warns of violations that were there before, and refuses nobody for them', () => {
    const theirs = { ...defaults, age: -5 };
    const plan = planFor({ theirs, operations: [sync(2, { size: 'S' })], schema });
    expect(plan.refusals.size).toBe(0);
    expect(reportOf(plan, 2).warnings).toEqual([
      { code: 'schema-violation', pointer: '/age', message: expect.stringContaining('before this sync') },
    ]);
  });

  it.each<[string, JsonObject, string]>([
    ['at another place by the same rule', { size: 'XXXXL' }, '/size'],
    ['at the same place by another rule', { age: 'old' }, '/age'],
  ])('knows a new violation from an old one: %s', (_, data, pointer) => {
    const theirs = { ...defaults, age: -5, long: 'XXXXL' };
    const also = { ...schema, properties: { ...schema.properties, long: { type: 'string', maxLength: 3 } } };
    const plan = planFor({ theirs, operations: [sync(2, data)], schema: also });
    expect(plan.refusals.get('op2')).toMatchObject({ violations: [{ pointer }] });
  });

  it('lets a sync mend what was wrong, and break nothing else instead', () => {
    const theirs = { ...defaults, age: -5 };
    expect(planFor({ theirs, operations: [sync(2, { age: 5 })], schema })).toMatchObject({ refusals: new Map() });
    const plan = planFor({ theirs, operations: [sync(2, { age: 5, size: 'XXXXL' })], schema });
    expect(plan.refusals.get('op2')).toMatchObject({ violations: [{ pointer: '/size' }] });
  });

  it('does not stop an expiry: the bot is no worse off than with the expired value', () => {
    const strict = { required: ['k'], properties: { k: { type: 'string' } } };
    const base = mirror(leaf('/k', 'old', { expiresAtMs: NOW }));
    expect(sentBy(planFor({ base, theirs: { k: 'old' }, operations: [expire(2)], schema: strict }))).toEqual({});
  });
});

describe('The size of a context', () => {
  const filler = (bytes: number) => 'x'.repeat(bytes);
  const exactly = (bytes: number) => ({ k: filler(bytes - jsonBytes({ k: '' })) });
  const full = (plan: ContextPlan) => reportOf(plan, 2).warnings.map(({ code }) => code);

  it.each([
    [79.9, []],
    [80, ['context-nearly-full']],
    [80.1, ['context-nearly-full']],
    [100, ['context-nearly-full']],
  ])('at %d %% of the limit', (percent, warnings) => {
    const plan = planFor({ theirs: {}, operations: [sync(2, exactly(percent * 10))], maxBytes: 1_000 });
    expect(full(plan)).toEqual(warnings);
    expect(reportOf(plan, 2).contextSizeBytes).toBe(percent * 10);
  });

  it('SCENARIO 28: exactly the limit is accepted; counted in UTF-8 bytes of what is sent', () => {
    const euro = { k: '€'.repeat(100) };
    const bytes = 300 + jsonBytes({ k: '' });
    const schema = { properties: { k: { 'x-pinned': true } } };
    const planWith = (maxBytes: number) => planFor({ theirs: {}, operations: [sync(2, euro)], maxBytes, schema });
    expect(planWith(bytes).refusals.size).toBe(0);
    expect(planWith(bytes - 1).refusals.get('op2')).toEqual({ code: 'context-too-large', bytes });
  });

  it('SCENARIO 29: beyond the limit what may go goes, is listed, and is in the audit as pruned', () => {
    const schema = {
      properties: { cheap: { 'x-priority': 0 }, dear: { 'x-priority': 9 }, pinned: { 'x-pinned': true } },
    };
    const base = mirror(
      leaf('/cheap', filler(100)),
      leaf('/dear', filler(100)),
      leaf('/pinned', filler(100)),
      leaf('/stale', filler(100), { updatedAtMs: 1 }),
    );
    const theirs = contextOf([...base.variables.values()]);
    const plan = planFor({ base, theirs, operations: [sync(2, { new: filler(100) })], maxBytes: 400, schema });
    expect(Object.keys(sentBy(plan) ?? {}).sort()).toEqual(['dear', 'new', 'pinned']);
    expect(reportOf(plan, 2).pruned).toEqual([
      { path: '/cheap', bytes: 111, reason: 'priority' },
      { path: '/stale', bytes: 111, reason: 'least-recently-updated' },
    ]);
    const pruned = changesOf(plan, 2).filter(({ cause }) => cause === 'pruned');
    expect(pruned.map(({ path, after }) => [path, after])).toEqual([
      ['/cheap', null],
      ['/stale', null],
    ]);
    expect(reportOf(plan, 2).contextSizeBytes).toBe(jsonBytes(plan.context));
  });

  it('a value of the bot’s counts as updated when the bot has changed it', () => {
    const base = mirror(leaf('/a', filler(100), { updatedAtMs: 1 }), leaf('/b', filler(100), { updatedAtMs: 2 }));
    const theirs = { a: filler(99), b: filler(100) };
    const plan = planFor({ base, theirs, operations: [sync(2, { c: filler(100) })], maxBytes: 300 });
    expect(reportOf(plan, 2).pruned.map(({ path }) => path)).toEqual(['/b']);
  });

  it('what cannot fit is refused with its size, and others of the same push go on', () => {
    const schema = { properties: { huge: { 'x-pinned': true } } };
    const operations = [sync(2, { small: 1 }), sync(3, { huge: filler(1_000) })];
    const plan = planFor({ theirs: {}, operations, maxBytes: 500, schema });
    expect(plan.refusals.get('op3')).toEqual({
      code: 'context-too-large',
      bytes: jsonBytes({ small: 1, huge: filler(1_000) }),
    });
    expect(sentBy(plan)).toEqual({ small: 1 });
  });

  it('what would only fit by breaking the schema is refused as too large', () => {
    const schema = { dependentRequired: { a: ['b'] }, properties: { a: { 'x-pinned': true } } };
    const operations = [sync(2, { a: filler(100), b: filler(100) })];
    const plan = planFor({ theirs: {}, operations, maxBytes: 150, schema });
    expect(plan.refusals.get('op2')).toMatchObject({ code: 'context-too-large' });
  });

  it('is no reason to prune for an expiry: nobody has asked for room', () => {
    const base = mirror(leaf('/k', 'old', { expiresAtMs: NOW }), leaf('/large', filler(500)));
    const plan = planFor({ base, theirs: { k: 'old', large: filler(500) }, operations: [expire(2)], maxBytes: 100 });
    expect(sentBy(plan)).toEqual({ large: filler(500) });
  });
});

describe('How long what a sync writes lives', () => {
  const schema = {
    properties: { a: { properties: { short: { 'x-ttlSeconds': 60 } } }, short: { 'x-ttlSeconds': 60 } },
  };
  const expiryAt = (plan: ContextPlan, path: string) => at(plan, path)?.expiresAtMs;

  it('the nearest pointer of its ttl counts, then x-ttlSeconds from its acceptance, then the default', () => {
    const data = { a: { short: 1, deep: { b: 1, c: 1 }, other: 1 }, short: 1, plain: 1 };
    const payload = {
      acceptedAtMs: NOW - 10_000,
      expiries: { '/a/deep': NOW + 1, '/a/deep/c': NOW + 2, '/a': NOW + 3 },
      defaultExpiresAtMs: NOW + 4,
    };
    const plan = planFor({ theirs: {}, operations: [sync(2, data, payload)], schema });
    expect(expiryAt(plan, '/a/deep/b')).toBe(NOW + 1);
    expect(expiryAt(plan, '/a/deep/c')).toBe(NOW + 2);
    expect(expiryAt(plan, '/a/short')).toBe(NOW + 3);
    expect(expiryAt(plan, '/a/other')).toBe(NOW + 3);
    expect(expiryAt(plan, '/short')).toBe(NOW + 50_000);
    expect(expiryAt(plan, '/plain')).toBe(NOW + 4);
  });

  it('a ttl for the whole document is the farthest one', () => {
    const payload = { expiries: { '': NOW + 9, '/b': NOW + 1 }, defaultExpiresAtMs: NOW + 5 };
    const plan = planFor({ theirs: {}, operations: [sync(2, { a: 1, b: 1, short: 1 }, payload)], schema });
    expect(['/a', '/b', '/short'].map((path) => expiryAt(plan, path))).toEqual([NOW + 9, NOW + 1, NOW + 9]);
  });

  it('without any of them it stays, also where an earlier one was to expire', () => {
    const base = mirror(leaf('/k', 1, { expiresAtMs: NOW + 5 }));
    const plan = planFor({ base, theirs: { k: 1 }, operations: [sync(2, { k: 1 })] });
    expect(at(plan, '/k')).not.toHaveProperty('expiresAtMs');
    // To say the same again is to renew it: the audit has it.
    expect(changesOf(plan, 2)).toEqual([{ path: '/k', scope: 'session', before: valueHash(1), after: valueHash(1) }]);
  });

  it('what is not written keeps its own', () => {
    const base = mirror(leaf('/k', 1, { expiresAtMs: NOW + 5 }));
    const operations = [sync(2, { other: 1 }, { defaultExpiresAtMs: NOW + 9 })];
    const plan = planFor({ base, theirs: { k: 1 }, operations });
    expect(expiryAt(plan, '/k')).toBe(NOW + 5);
  });

  it('SCENARIO 27: a ttl renews what is not written, whoever put it, and nothing is sent for that', () => {
    const base = mirror(
      leaf('/k/a', 1, { expiresAtMs: NOW + 5 }),
      leaf('/v', 1, { via: 'inject', expiresAtMs: NOW + 5 }),
    );
    const expiries = { '/k': NOW + 60, '/v': NOW + 61, '/bots': NOW + 62 };
    const plan = planFor({ base, theirs: { k: { a: 1 }, v: 1, bots: 1 }, operations: [sync(2, {}, { expiries })] });
    expect(plan.decision.kind).toBe('leave');
    expect(['/k/a', '/v', '/bots'].map((path) => expiryAt(plan, path))).toEqual([NOW + 60, NOW + 61, NOW + 62]);
    // By a rewritten context, since the bot has been told another expiry.
    expect(at(plan, '/v')?.via).toBe('sync');
    expect(reportOf(plan, 2).warnings).toEqual([]);
  });

  it('SCENARIO 27: a ttl for a member of an injected object holds for that member alone', () => {
    const base = mirror(leaf('/k', { a: 1, b: 2 }, { via: 'inject', expiresAtMs: NOW + 5 }));
    const operations = [sync(2, {}, { expiries: { '/k/a': NOW + 60 } })];
    const plan = planFor({ base, theirs: { k: { a: 1, b: 2 } }, operations });
    expect(expiryAt(plan, '/k/a')).toBe(NOW + 60);
    expect(expiryAt(plan, '/k/b')).toBe(NOW + 5);
    expect(reportOf(plan, 2).warnings).toEqual([]);
  });

  it('SCENARIO 27: a ttl accepted before the expiry renews also when it is pushed after it', () => {
    const base = mirror(leaf('/k', 1, { expiresAtMs: NOW - 5 }));
    const renewal = { acceptedAtMs: NOW - 10, expiries: { '/k': NOW + 60 } };
    const plan = planFor({ base, theirs: { k: 1 }, operations: [sync(2, {}, renewal), expire(3)] });
    expect(plan.context).toEqual({ k: 1 });
    expect(expiryAt(plan, '/k')).toBe(NOW + 60);
    expect(reportOf(plan, 2)).toMatchObject({ warnings: [], expired: [] });
    // Accepted at the very moment it expires is too late: it is invisible then.
    const late = planFor({ base, theirs: { k: 1 }, operations: [sync(2, {}, { ...renewal, acceptedAtMs: NOW - 5 })] });
    expect(late.context).toEqual({});
    expect(reportOf(late, 2).warnings).toEqual([expect.objectContaining({ code: 'ttl-without-value' })]);
  });

  it('a ttl where there is nothing is a warning, not a refusal', () => {
    const operations = [sync(2, { a: 1, gone: null }, { expiries: { '/nothing': NOW + 9, '/gone': NOW + 9 } })];
    const plan = planFor({ base: mirror(leaf('/gone', 1)), theirs: { gone: 1 }, operations });
    expect(sentBy(plan)).toEqual({ a: 1 });
    expect(reportOf(plan, 2).warnings).toEqual(
      ['/nothing', '/gone'].map((pointer) => ({ code: 'ttl-without-value', pointer, message: expect.any(String) })),
    );
  });

  it('a renewal that is over itself by now renews nothing, and warns nobody', () => {
    const base = mirror(leaf('/k', 1, { expiresAtMs: NOW + 5 }));
    const late = { acceptedAtMs: NOW - 60_000, expiries: { '/k': NOW - 1, '/nothing': NOW } };
    const plan = planFor({ base, theirs: { k: 1 }, operations: [sync(2, {}, late)] });
    expect(expiryAt(plan, '/k')).toBe(NOW + 5);
    expect(reportOf(plan, 2).warnings).toEqual([]);
  });

  it('of two syncs in one push each ttl is heeded, and the later one counts', () => {
    const operations = [
      sync(2, {}, { expiries: { '/bots': NOW + 60, '/k': NOW + 60 } }),
      sync(3, {}, { expiries: { '/k': NOW + 90 } }),
    ];
    const plan = planFor({ base: mirror(leaf('/k', 1)), theirs: { k: 1, bots: 1 }, operations });
    expect(expiryAt(plan, '/bots')).toBe(NOW + 60);
    expect(expiryAt(plan, '/k')).toBe(NOW + 90);
    expect(reportOf(plan, 2).warnings).toEqual([]);
  });
});

describe('SCENARIO 24: what has expired on the way', () => {
  const late = { acceptedAtMs: NOW - 600_000, expiries: { '/a': NOW, '/b': NOW + 1 } };

  it('is dropped before it is sent, and the report names it', () => {
    const plan = planFor({ theirs: {}, operations: [sync(2, { a: 1, b: 2 }, late)] });
    expect(sentBy(plan)).toEqual({ b: 2 });
    expect(at(plan, '/a')).toBeUndefined();
    expect(reportOf(plan, 2).expired).toEqual(['/a']);
    expect(changesOf(plan, 2).map(({ path }) => path)).toEqual(['/b']);
  });

  it('has changed nothing: what was there before stays', () => {
    const plan = planFor({
      base: mirror(leaf('/a', 'old')),
      theirs: { a: 'old' },
      operations: [sync(2, { a: 1, b: 2 }, late)],
    });
    expect(sentBy(plan)).toEqual({ a: 'old', b: 2 });
  });

  it('a sync of which nothing is left is refused, and the others go on', () => {
    const operations = [sync(2, { a: 1, deep: { a: 2 } }, { ...late, expiries: { '': NOW } }), sync(3, { c: 3 })];
    const plan = planFor({ theirs: {}, operations });
    expect(plan.refusals).toEqual(new Map([['op2', { code: 'expired-before-push' }]]));
    expect(sentBy(plan)).toEqual({ c: 3 });
    expect(plan.applied.mirror.version).toBe(3);
  });

  it('a deletion never expires', () => {
    const plan = planFor({
      base: mirror(leaf('/k', 1)),
      theirs: { k: 1 },
      operations: [sync(2, { a: 1, k: null }, { ...late, expiries: { '': NOW } })],
    });
    expect(plan.refusals.size).toBe(0);
    expect(sentBy(plan)).toEqual({});
  });

  it('what the schema gives a longer life than the default is still alive', () => {
    const schema = { properties: { long: { 'x-ttlSeconds': 3_600 } } };
    const operations = [sync(2, { long: 1 }, { acceptedAtMs: NOW - 600_000, defaultExpiresAtMs: NOW - 300_000 })];
    const plan = planFor({ theirs: {}, operations, schema });
    expect(plan.refusals.size).toBe(0);
    expect(sentBy(plan)).toEqual({ long: 1 });
  });

  it('what the schema gives a shorter life than anybody else is not', () => {
    const schema = { properties: { short: { 'x-ttlSeconds': 60 } } };
    const plan = planFor({ theirs: {}, operations: [sync(2, { short: 1 }, { acceptedAtMs: NOW - 60_000 })], schema });
    expect(plan.refusals).toEqual(new Map([['op2', { code: 'expired-before-push' }]]));
  });
});

describe('What a later operation has put already', () => {
  it.each<[string, string, JsonObject]>([
    ['at a path', '/a', { a: 'mine' }],
    ['in what is written', '/a/b/c', { a: { b: 'mine' } }],
    ['around what is written', '/a', { a: { b: 'mine' } }],
    ['at a path that is deleted', '/a', { a: null }],
    ['in an object that is deleted', '/a/b', { a: null }],
  ])('%s is not overwritten', (_, path, data) => {
    const later = leaf(path, { theirs: true }, { via: 'inject', version: 5 });
    const known = mirror(later);
    const theirs = contextOf([later]);
    const plan = planFor({ base: mirror(), mirror: known, theirs, operations: [sync(2, { ...data, beside: 1 })] });
    expect(sentBy(plan)).toEqual({ ...theirs, beside: 1 });
    expect(at(plan, path)).toEqual(later);
    // SCENARIO 2: what the loser said is in the audit, by its hash.
    const [own, ...lost] = changesOf(plan, 2);
    expect(own?.path).toBe('/beside');
    const [said] = leavesOf(data);
    const after = said?.value === null ? null : valueHash(said?.value ?? '');
    expect(lost).toEqual([{ path: said?.path, scope: 'session', before: null, after, cause: 'overtaken' }]);
  });

  it('is not what the bot or the schema has put: a later sync of the same push may still change that', () => {
    // The bot’s context is rewritten sync by sync, after an injection that was committed last.
    const injected = mirror(leaf('/vip', true, { via: 'inject', version: 9 }));
    const theirs = { vip: true, bots: 1 };
    const schema = { properties: { filled: { default: 1 } } };
    const first = planFor({ base: mirror(), mirror: injected, theirs, operations: [sync(2, { a: 1 })], schema });
    expect(first.context).toEqual({ ...theirs, a: 1, filled: 1 });
    const operations = [sync(3, { bots: 2, filled: 2, vip: false })];
    const second = planFor({ base: first.applied.mirror, theirs: first.context, operations, schema });
    expect(second.context).toEqual({ vip: true, a: 1, bots: 2, filled: 2 });
  });

  it('of two syncs in one push the later one counts, leaf by leaf', () => {
    const operations = [sync(2, { a: 1, both: { x: 1, y: 1 } }), sync(3, { both: { y: 2 } })];
    const plan = planFor({ theirs: {}, operations });
    expect(sentBy(plan)).toEqual({ a: 1, both: { x: 1, y: 2 } });
    expect(at(plan, '/both/x')).toMatchObject({ source: 'client2', version: 2 });
    expect(at(plan, '/both/y')).toMatchObject({ source: 'client3', version: 3 });
    // SCENARIO 2: the loser’s hash is in the audit.
    expect(changesOf(plan, 3)).toEqual([
      { path: '/both/y', scope: 'session', before: valueHash(1), after: valueHash(2) },
    ]);
  });
});

describe('What is sent', () => {
  it('is nothing where the bot has it already', () => {
    const plan = planFor({
      base: mirror(),
      theirs: { b: [1], a: { y: 1, x: 2 } },
      operations: [sync(2, { a: { x: 2, y: 1 } })],
    });
    expect(plan.decision).toEqual({ kind: 'leave' });
    expect(at(plan, '/a/x')).toMatchObject({ source: 'client2' });
  });

  it('must have left before the first thing in it expires', () => {
    const base = mirror(leaf('/soon', 1, { expiresAtMs: NOW + 5 }), leaf('/later', 1, { expiresAtMs: NOW + 50 }));
    const theirs = { soon: 1, later: 1 };
    const plan = planFor({ base, theirs, operations: [sync(2, { k: 1 }, { defaultExpiresAtMs: NOW + 9 })] });
    expect(plan.decision).toMatchObject({ kind: 'put', sendByMs: NOW + 5 });
    const endless = planFor({ theirs: {}, operations: [sync(2, { k: 1 })] });
    expect(endless.decision).not.toHaveProperty('sendByMs');
  });

  it('is the whole context, and keeps the order that the bot has given it', () => {
    const plan = planFor({ theirs: { z: 1, a: 2 }, operations: [sync(2, { m: 3 })] });
    expect(Object.keys(sentBy(plan) ?? {})).toEqual(['z', 'a', 'm']);
  });
});

describe('Any plan', () => {
  const schema = {
    properties: {
      a: { 'x-conflict': 'theirs', 'x-priority': 0 },
      b: { properties: { a: { default: 'filled' } } },
      c: { 'x-pinned': true, 'x-ttlSeconds': 5 },
    },
  };
  const moment = fc.constantFrom(NOW - 1, NOW, NOW + 1, NOW + 60_000);
  const pointers = fc.constantFrom('', '/a', '/b', '/b/a', '/c', '/nowhere');
  const expiries = fc.dictionary(pointers, moment, { maxKeys: 2 });

  /** Mirrors as the planner itself makes them, with injected objects among them and some of it expired. */
  const mirrors = fc
    .tuple(patchWithInternal, patchWithInternal, expiries, plainContext)
    .map(([one, other, first, injected]) => {
      const early = NOW - 100;
      const planned = planFor({
        theirs: {},
        operations: [sync(1, one, { expiries: first, acceptedAtMs: early }), sync(2, other, { acceptedAtMs: early })],
        nowMs: early,
      });
      const injections = Object.entries(injected)
        .filter(([name]) => !isInternalName(name))
        .map(([name, value]) => leaf(`/${name.replaceAll('/', '~1')}`, value, { via: 'inject', scope: 'user' }));
      return mirror(...variablesOf(planned), ...injections);
    });
  const operations = fc
    .array(fc.tuple(patchWithInternal, expiries, fc.constantFrom(NOW, NOW - 50)), { minLength: 1, maxLength: 3 })
    .map((all) =>
      all.map(([data, each, acceptedAtMs], index) => sync(3 + index, data, { expiries: each, acceptedAtMs })),
    );
  /** The bot has what it was last given, what has expired since included, and may have changed some of it; or it is quite another. */
  const situations = fc
    .record({
      base: mirrors,
      operations: fc.tuple(operations, fc.boolean()).map(([all, andExpiry]) => (andExpiry ? [...all, expire(9)] : all)),
      injected: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom(7, 'injected'), { maxKeys: 1 }),
      isOther: fc.constantFrom('unreadable', 'other', 'moved', 'same'),
      moves: patchWithInternal,
      schema: fc.constantFrom({}, schema),
      maxBytes: fc.constantFrom(40, 60, 95_000),
    })
    .map(({ base, injected, isOther, moves, ...situation }) => {
      // Injected by a later operation, and on its way to the bot before the syncs.
      const variables = Object.entries(injected).map(([key, value]) => ({ key, value, scope: 'session' }) as const);
      const put = putVariables(base, variables, { version: 8, atMs: NOW, source: 'crm' });
      const current = loaded(put.mirror);
      const had = { ...contextOf([...base.variables.values()]), ...injected };
      const theirs = {
        unreadable: undefined,
        other: { ...moves, ...injected },
        moved: mergePatch(had, moves),
        same: had,
      };
      return { ...situation, base, mirror: current, theirs: theirs[isOther] as JsonObject | undefined };
    });

  it('property: shows in its mirror what it makes the bot’s context, nothing internal, nothing expired, within the limit', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const plan = planFor(situation);
        const { mirror: planned } = plan.applied;
        expect(shownBy(planned)).toEqual(plan.context);
        // What has expired and is still in there waits until it can leave by its key alone.
        expect(leavingOf(planned, NOW).byContext).toEqual([]);
        expect(withoutInternal(plan.context)).toEqual(plan.context);
        const isRefused = situation.operations.every(
          ({ entry, payload }) => payload.kind === 'expire' || plan.refusals.has(entry.operationId),
        );
        if (!isRefused) expect(jsonBytes(plan.context)).toBeLessThanOrEqual(situation.maxBytes);
        if (plan.decision.kind === 'put') {
          expect(plan.decision.context).toEqual(plan.context);
          expect(plan.decision.sendByMs ?? Number.POSITIVE_INFINITY).toBeGreaterThan(NOW);
        } else if (!isRefused && situation.theirs !== undefined) {
          expect(situation.theirs).toEqual(plan.context);
        }
      }),
    );
  });

  it('property: every sync is refused or reported, never both and never neither', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const plan = planFor(situation);
        for (const { entry, payload } of situation.operations) {
          if (payload.kind !== 'sync') continue;
          expect(plan.refusals.has(entry.operationId)).toBe(!plan.reports.has(entry.operationId));
        }
      }),
    );
  });

  it('property: convergence: planned again from where it has led, nothing changes and nothing is sent', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const first = planFor(situation);
        if (first.reports.size === 0) return;
        const { mirror: base } = first.applied;
        const again = planFor({
          ...situation,
          base,
          mirror: base,
          theirs: first.context,
          operations: [sync(20, {}), expire(21)],
        });
        expect(again.decision).toEqual({ kind: 'leave' });
        expect(again.context).toEqual(first.context);
        expect([...again.applied.mirror.variables]).toEqual(expect.arrayContaining([...base.variables]));
        expect(again.applied.mirror.variables.size).toBe(base.variables.size);
        expect(again.applied.changes.get('op20')).toEqual([]);
        expect(again.reports.get('op20')).toMatchObject({ conflicts: [], pruned: [], expired: [] });
      }),
    );
  });

  it('property: SCENARIO 9: planned again after a crash, with what the first one sent in the bot, it says the same', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const roomy = { ...situation, maxBytes: 95_000 };
        const first = planFor(roomy);
        if (first.decision.kind !== 'put') return;
        const again = planFor({ ...roomy, theirs: first.context });
        expect(again.decision).toEqual({ kind: 'leave' });
        expect(again.context).toEqual(first.context);
        expect(shownBy(again.applied.mirror)).toEqual(first.context);
      }),
    );
  });

  const shownMirrors = patch.map((data) => planFor({ theirs: {}, operations: [sync(1, data)] }).applied.mirror);

  it('property: identity: nothing said and nothing changed is nothing sent', () => {
    fc.assert(
      fc.property(shownMirrors, (base) => {
        const theirs = shownBy(base);
        const plan = planFor({ base, theirs, operations: [sync(2, {})] });
        expect(plan.decision).toEqual({ kind: 'leave' });
        expect(plan.context).toEqual(theirs);
        expect(changesOf(plan, 2)).toEqual([]);
      }),
    );
  });

  it('property: ours only: what a sync does to a bot that has not moved is its merge patch', () => {
    fc.assert(
      fc.property(shownMirrors, patch, (base, data) => {
        const theirs = shownBy(base);
        const plan = planFor({ base, theirs, operations: [sync(2, data)] });
        expect(plan.context).toEqual(mergePatch(theirs, data));
        expect(reportOf(plan, 2).conflicts).toEqual([]);
      }),
    );
  });

  /** A bot that puts things beside ours, and changes them; what was an object with it stays one. */
  const keepsObjects = (before: JsonObject, after: JsonObject): boolean =>
    Object.entries(before).every(([name, value]) => {
      if (!isJsonObject(value)) return true;
      const now = Object.hasOwn(after, name) ? after[name] : undefined;
      return isJsonObject(now) && keepsObjects(value, now);
    });

  it('property: several syncs in one push lead where one push after the other leads', () => {
    fc.assert(
      fc.property(shownMirrors, patch, fc.array(patch, { minLength: 2, maxLength: 4 }), (base, moves, patches) => {
        const theirs = mergePatch(shownBy(base), moves) as JsonObject;
        fc.pre(keepsObjects(shownBy(base), theirs));
        const operations = patches.map((data, index) => sync(2 + index, data));
        let apart = { base, theirs };
        for (const operation of operations) {
          const { applied, context } = planFor({ ...apart, operations: [operation] });
          apart = { base: applied.mirror, theirs: context };
        }
        expect(planFor({ base, theirs, operations }).context).toEqual(apart.theirs);
      }),
    );
  });

  it('property: theirs only: what the bot has done stands where nobody says otherwise', () => {
    fc.assert(
      fc.property(shownMirrors, patch, (base, theirs) => {
        const plan = planFor({ base, theirs, operations: [sync(2, {})] });
        expect(plan.decision).toEqual({ kind: 'leave' });
        expect(plan.context).toEqual(theirs);
        expect(changesOf(plan, 2).every(({ cause }) => cause === 'bot')).toBe(true);
      }),
    );
  });

  it('property: whatever a sync says holds afterwards, unless the schema prefers the bot or another sync says otherwise', () => {
    fc.assert(
      fc.property(shownMirrors, patch, plainContext, (base, theirs, data) => {
        const plan = planFor({ base, theirs, operations: [sync(2, data)] });
        for (const { path, value } of leavesOf(data)) {
          const now = valueAt(plan.context, tokensOf(path));
          // An empty object in a patch only says that there is an object.
          if (valueHash(value) === valueHash({})) expect(now === undefined || typeof now === 'object').toBe(true);
          else expect(now).toEqual(value);
        }
      }),
    );
  });
});

describe('What an attempt of unknown outcome may have left in the bot (SCENARIOS 9, 10)', () => {
  const expiries = { '/otp': NOW - 1 };
  const late = (data: JsonObject) => sync(2, data, { expiries, acceptedAtMs: NOW - 5_000 });

  it('is not the bot’s: what has expired meanwhile is taken out again', () => {
    const plan = planFor({ theirs: { otp: '1234', tier: 'gold' }, operations: [late({ otp: '1234', tier: 'gold' })] });
    expect(sentBy(plan)).toEqual({ tier: 'gold' });
    expect(plan.context).toEqual({ tier: 'gold' });
  });

  it('is taken out also where nothing is left of the sync, which is refused all the same', () => {
    const plan = planFor({ theirs: { otp: '1234', bots: 1 }, operations: [late({ otp: '1234' })] });
    expect(plan.refusals.get('op2')).toEqual({ code: 'expired-before-push' });
    expect(sentBy(plan)).toEqual({ bots: 1 });
  });

  it('costs nothing where it never arrived, and does not touch what the mirror has there', () => {
    expect(planFor({ theirs: { bots: 1 }, operations: [late({ otp: '1234' })] }).decision).toEqual({ kind: 'leave' });
    const base = mirror(leaf('/otp', '1234'));
    expect(planFor({ base, theirs: { otp: '1234' }, operations: [late({ otp: '1234' })] }).decision).toEqual({
      kind: 'leave',
    });
  });
});

describe('What has expired beside a value of another scope', () => {
  const expired = { expiresAtMs: NOW - 1, via: 'inject' } as const;

  it('stays in the mirror until the bot has forgotten it by its key: a rewritten context would not take it out', () => {
    const base = mirror(leaf('/b', 'old', expired), leaf('/b', 'shown', { scope: 'user', via: 'inject' }));
    const operations = [sync(2, { other: 1 })];
    const plan = planFor({ base, theirs: { b: 'shown' }, operations });
    expect(sentBy(plan)).toEqual({ b: 'shown', other: 1 });
    expect(plan.applied.mirror.variables.get('session:/b')).toMatchObject({ value: 'old' });
    expect(reportOf(plan, 2).expired).toEqual([]);

    const told = planFor({ base, theirs: { b: 'shown' }, operations, forgotten: ['session:/b'] });
    expect(told.applied.mirror.variables.has('session:/b')).toBe(false);
    expect(reportOf(told, 2).expired).toEqual(['/b']);
  });
});

describe('Whose fault it is', () => {
  const schema = {
    properties: {
      age: { type: 'integer' },
      x: { type: 'string', 'x-priority': 0 },
      hi: { type: 'string', 'x-priority': 1 },
    },
    dependentRequired: { lo: ['hi'] },
  };

  it('a sync that writes one wrong value over another is refused', () => {
    const plan = planFor({ theirs: { age: 'old' }, operations: [sync(2, { age: 'even older' })], schema });
    expect(plan.refusals.get('op2')).toMatchObject({ code: 'validation-failed', violations: [{ pointer: '/age' }] });
    expect(planFor({ theirs: { age: 'old' }, operations: [sync(3, { other: 1 })], schema }).refusals.size).toBe(0);
  });

  it('pruning never leads to what the schema forbids, whatever was wrong before', () => {
    const plan = planFor({
      theirs: { lo: 'l'.repeat(300), hi: 'h'.repeat(300), x: ['wrong'] },
      operations: [sync(2, { n: 'n'.repeat(600) })],
      schema: { ...schema, properties: { ...schema.properties, lo: { 'x-pinned': true } } },
      maxBytes: 1_000,
    });
    expect(plan.refusals.get('op2')).toMatchObject({ code: 'context-too-large' });
  });

  it('an empty object says nothing where there is an object, and gives it no expiry', () => {
    const base = mirror(leaf('/profile', { n: 1 }, { via: 'inject' }));
    const operations = [sync(2, { profile: {} }, { defaultExpiresAtMs: NOW + 5_000 })];
    const plan = planFor({ base, theirs: { profile: { n: 1 } }, operations });
    expect(at(plan, '/profile')).not.toHaveProperty('expiresAtMs');
  });

  it('the ttl of a write that has lost does not time the value that has won', () => {
    const plan = planFor({
      base: mirror(leaf('/tier', 'silver')),
      theirs: { tier: 'platinum' },
      operations: [sync(2, { tier: 'gold' }, { expiries: { '/tier': NOW + 3_000 } })],
      schema: { properties: { tier: { 'x-conflict': 'theirs' } } },
    });
    expect(at(plan, '/tier')).toMatchObject({ value: 'platinum', source: 'bot' });
    expect(at(plan, '/tier')).not.toHaveProperty('expiresAtMs');
  });
});
