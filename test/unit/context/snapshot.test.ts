import { describe, expect, it } from 'vitest';
import { type ShowOptions, showVariables, variablesOfMirror } from '../../../lib/context/snapshot.ts';
import { leaf, mirror, NOW } from '../../fixtures/operations/planning.ts';

const SCOPES = ['global', 'bot', 'session', 'user'] as const;
type Scope = (typeof SCOPES)[number];
const OPTIONS: ShowOptions<Scope> = {
  filter: { includeSystem: true },
  coercion: 'auto',
  precedence: SCOPES,
  isTyped: false,
};
const told = [
  { name: 'b', value: '42', scope: 'session' },
  { name: 'b', value: '"x"', scope: 'global' },
  { name: 'a', value: '1e3', scope: 'user', type: 'number' },
  { name: '_c', value: 7, scope: 'bot' },
  { name: '__proto__', value: 'true', scope: 'user' },
] as const;

describe('Function: showVariables', () => {
  it('types, resolves and sorts', () => {
    const shown = showVariables(told, OPTIONS);
    expect(Object.keys(shown)).toEqual(['__proto__', '_c', 'a', 'b']);
    expect(Object.entries(shown).map(([, each]) => each)).toEqual([
      { value: true, scope: 'user', type: 'boolean', isSystem: true, shadowed: [] },
      { value: 7, scope: 'bot', type: 'number', isSystem: true, shadowed: [] },
      { value: 1000, scope: 'user', type: 'number', isSystem: false, shadowed: [] },
      {
        value: 42,
        scope: 'session',
        type: 'number',
        isSystem: false,
        shadowed: [{ scope: 'global', value: '"x"' }],
      },
    ]);
  });

  it('makes everything a text where nothing is to be coerced', () => {
    const shown = showVariables(told, { ...OPTIONS, coercion: 'none' });
    expect(Object.entries(shown).map(([name, { value, type }]) => [name, value, type])).toEqual([
      ['__proto__', 'true', 'string'],
      ['_c', '7', 'string'],
      ['a', '1e3', 'string'],
      ['b', '42', 'string'],
    ]);
  });

  it('believes types that are known', () => {
    expect(showVariables(told, { ...OPTIONS, isTyped: true })['b']).toMatchObject({ value: '42', type: 'string' });
  });

  it.each([
    [{ includeSystem: false }, 'a b'],
    [{ includeSystem: true, name: 'b' }, 'b'],
    [{ includeSystem: false, name: '_c' }, ''],
    [{ includeSystem: true, scope: 'user' }, '__proto__ a'],
    [{ includeSystem: true, scope: 'global', name: 'b' }, 'b'],
  ] as const)('filters by %j', (filter, names) => {
    expect(Object.keys(showVariables(told, { ...OPTIONS, filter })).join(' ')).toBe(names);
  });
});

describe('Function: variablesOfMirror', () => {
  it('puts leaves together, scope by scope, without what has expired and what is internal', () => {
    const known = mirror(
      leaf('/order/id', 'A-1'),
      leaf('/order/otp', 1, { expiresAtMs: NOW }),
      leaf('/order/__own', 1),
      leaf('/__own', 1),
      leaf('/order', 'whole', { scope: 'user', via: 'inject' }),
      leaf('/gone', 1, { expiresAtMs: NOW }),
    );
    expect(variablesOfMirror(known, NOW)).toEqual([
      { name: 'order', scope: 'session', value: { id: 'A-1' } },
      { name: 'order', scope: 'user', value: 'whole' },
    ]);
  });
});
