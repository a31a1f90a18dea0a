import { describe, expect, it } from 'vitest';
import { MAX_VALUE_NESTING, SCOPES, VARIABLE_KEY, variableId } from '../../../lib/context/variables.ts';

describe('A variable’s key', () => {
  it.each(['a', 'Z', '0', '_', '-', '__proto', 'crm_tier-2', 'x'.repeat(128)])('may be %s', (key) =>
    expect(key).toMatch(VARIABLE_KEY),
  );

  it.each(['', 'x'.repeat(129), 'a b', ' a', 'a\n', 'a.b', 'a/b', 'ä', '~', '$'])('may not be %j', (key) =>
    expect(key).not.toMatch(VARIABLE_KEY),
  );
});

describe('A variable', () => {
  it('is in one of three scopes, and another one in each of them', () => {
    expect(SCOPES).toEqual(['session', 'user', 'global']);
    expect(SCOPES.map((scope) => variableId({ key: 'k', scope }))).toEqual(['session:k', 'user:k', 'global:k']);
  });

  it('has a value of 32 levels at the most', () => expect(MAX_VALUE_NESTING).toBe(32));
});
