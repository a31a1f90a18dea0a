import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import {
  contextOf,
  dropExpired,
  EMPTY_MIRROR,
  type Mirror,
  putVariables,
  visibleVariables,
} from '../../../lib/context/mirror.ts';
import { SCOPES, type Variable } from '../../../lib/context/variables.ts';

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
          expect(stepByStep.variables.get(`${each.scope}:${each.key}`)).toMatchObject({
            hash: valueHash(each.value),
            ...('expiresAtMs' in each && { expiresAtMs: each.expiresAtMs }),
          });
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
    const { mirror } = putVariables(EMPTY_MIRROR, [one({ a: 1, b: 2 })], origin);
    const [[id, stored] = []] = mirror.variables;
    if (id === undefined || stored === undefined) throw new Error('nothing was put');
    const value = { ref: 'blob.1', keptUntilMs: NOW };
    const outOfLine: Mirror = { version: 1, variables: new Map([[id, { ...stored, value }]]) };
    const same = putVariables(outOfLine, [one({ b: 2, a: 1 }, { expiresAtMs: NOW + 9 })], { ...origin, version: 2 });
    expect(same.mirror.variables.get(id)).toMatchObject({ value, expiresAtMs: NOW + 9, version: 2 });
    expect(putVariables(outOfLine, [one({ a: 1, b: 3 })], origin).mirror.variables.get(id)?.value).toEqual({
      inline: { a: 1, b: 3 },
    });
  });
});

describe('Expiry in the mirror', () => {
  it('property: what is visible is what has not expired, and dropping the rest changes nothing else', () => {
    fc.assert(
      fc.property(variables, (all) => {
        const { mirror } = putVariables(EMPTY_MIRROR, all, origin);
        const visible = visibleVariables(mirror, NOW);
        expect(visible.every(({ expiresAtMs }) => expiresAtMs === undefined || expiresAtMs > NOW)).toBe(true);
        const dropped = dropExpired(mirror, NOW);
        expect([...dropped.variables.values()]).toEqual(visible);
        expect(dropExpired(dropped, NOW)).toBe(dropped);
      }),
    );
  });
});

describe('contextOf', () => {
  it('property: the more specific scope shows, whatever the order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...SCOPES], { minLength: 1 }), (scopes) => {
        const shown = (['user', 'session', 'global'] as const).find((scope) => scopes.includes(scope));
        expect(contextOf(scopes.map((scope) => ({ key: 'k', scope, value: scope })))).toEqual({ k: shown });
      }),
    );
  });

  it('pollutes nothing', () => {
    const context = contextOf([{ key: '__proto__', scope: 'session', value: { polluted: true } }]);
    expect(Object.getPrototypeOf(context)).toBe(Object.prototype);
    expect('polluted' in {}).toBe(false);
  });
});
