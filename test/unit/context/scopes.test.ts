import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveScopes } from '../../../lib/context/scopes.ts';

const PRECEDENCE = ['global', 'bot', 'session', 'user'] as const;
type Scope = (typeof PRECEDENCE)[number];
const variable = (name: string, scope: Scope, value: string | number = scope) => ({ name, scope, value });

describe('One name in several scopes', () => {
  it('the strongest shows, and hides the others, strongest first', () => {
    const all = PRECEDENCE.map((scope) => variable('tier', scope));
    const { winner, shadowed } = resolveScopes(all, PRECEDENCE).get('tier') ?? {};
    expect(winner?.scope).toBe('user');
    expect(shadowed?.map(({ scope }) => scope)).toEqual(['session', 'bot', 'global']);
  });

  it('by another precedence another one does', () => {
    const all = PRECEDENCE.map((scope) => variable('tier', scope));
    const found = resolveScopes(all, ['user', 'session', 'bot', 'global']).get('tier');
    expect([found?.winner, ...(found?.shadowed ?? [])].map((each) => each?.scope)).toEqual([...PRECEDENCE]);
  });

  it('twice in one scope: once where they are equal, else the one that sorts last shows', () => {
    const found = resolveScopes(
      [variable('a', 'user', 'x'), variable('a', 'user', 'y'), variable('a', 'user', 'y')],
      PRECEDENCE,
    ).get('a');
    expect(found).toEqual({ winner: variable('a', 'user', 'y'), shadowed: [variable('a', 'user', 'x')] });
  });

  it('the same value hides itself where it is in another scope', () => {
    const found = resolveScopes([variable('a', 'session', 'x'), variable('a', 'user', 'x')], PRECEDENCE).get('a');
    expect(found).toEqual({ winner: variable('a', 'user', 'x'), shadowed: [variable('a', 'session', 'x')] });
  });

  it('a scope that nobody has named is the weakest', () => {
    const inScope = (scope: string) => ({ name: 'a', scope, value: scope });
    const precedence: readonly string[] = ['session', 'user'];
    const found = resolveScopes(['other', 'session', 'user'].map(inScope), precedence).get('a');
    expect(found?.winner.scope).toBe('user');
    expect(found?.shadowed.map(({ scope }) => scope)).toEqual(['session', 'other']);
  });

  it.each(['__proto__', 'constructor', 'toString'])('SCENARIO 31: %s is a name like any other', (name) => {
    const found = resolveScopes([variable(name, 'bot', 1)], PRECEDENCE);
    expect([...found.keys()]).toEqual([name]);
    expect(found.get(name)?.winner.value).toBe(1);
    expect(({} as Record<string, unknown>)['value']).toBeUndefined();
  });

  it('is the same in any order', () => {
    const variables = fc.array(
      fc.record({
        name: fc.constantFrom('a', 'b', '__proto__', '10', '9'),
        scope: fc.constantFrom(...PRECEDENCE),
        value: fc.constantFrom('x', 'y', 1),
      }),
      { maxLength: 12 },
    );
    const orders = variables.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })),
    );
    const textOf = (all: Parameters<typeof resolveScopes<Scope, ReturnType<typeof variable>>>[0]) =>
      JSON.stringify([...resolveScopes(all, PRECEDENCE)]);
    fc.assert(
      fc.property(orders, ([one, other]) => {
        expect(textOf(one)).toBe(textOf(other));
      }),
      { numRuns: 500, seed: 33 },
    );
  });
});
