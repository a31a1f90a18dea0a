import { describe, expect, it } from 'vitest';
import { leavingOf, nextExpiryMs } from '../../../lib/context/leaving.ts';
import { type LoadedVariable, mirrorOf } from '../../../lib/context/mirror.ts';
import type { Scope } from '../../../lib/context/variables.ts';

const NOW = 1_000_000;

const variable = (path: string, scope: Scope, expiresAtMs?: number): LoadedVariable => ({
  path,
  scope,
  via: 'sync',
  value: path,
  updatedAtMs: 1,
  source: 'crm',
  version: 1,
  ...(expiresAtMs !== undefined && { expiresAtMs }),
});
const alive = (path: string, scope: Scope) => variable(path, scope, NOW + 1);
const expired = (path: string, scope: Scope) => variable(path, scope, NOW);

/** By which way one expired variable can leave, given what else there is. */
function wayOf(one: LoadedVariable, others: readonly LoadedVariable[]): string {
  const ways = Object.entries(leavingOf(mirrorOf(1, [...others, one]), NOW));
  return ways
    .filter(([, found]) => found.includes(one))
    .map(([way]) => way)
    .join();
}

describe('What has expired leaves the bot (ADR 0011)', () => {
  it.each<[string, string, LoadedVariable, LoadedVariable[]]>([
    ['byContext', 'when nothing else has its top-level name', expired('/k/a', 'session'), [alive('/other', 'user')]],
    ['byContext', 'when all of that name has expired', expired('/k', 'session'), [expired('/k', 'user')]],
    ['byContext', 'when what lives beside it is of its own scope', expired('/k/a', 'user'), [alive('/k/b', 'user')]],
    [
      'byContext',
      'when its own scope is the one that is seen',
      expired('/k/a', 'user'),
      [alive('/k/b', 'user'), alive('/k/c', 'session'), alive('/k', 'global')],
    ],
    [
      'byKey',
      'when another scope has the name, and its own has nothing else',
      expired('/k/a', 'session'),
      [alive('/k', 'user')],
    ],
    ['byKey', 'also from the stronger scope', expired('/k', 'user'), [alive('/k', 'global')]],
    [
      'notYet',
      'when another scope hides it, and what lives beside it',
      expired('/k/a', 'session'),
      [alive('/k/b', 'session'), alive('/k', 'user')],
    ],
    [
      'byContext',
      'when its name is no key and its scope would be seen',
      expired('/a b', 'user'),
      [alive('/a b', 'session')],
    ],
    [
      'notYet',
      'when its name is no key and another scope is seen',
      expired('/a b', 'session'),
      [alive('/a b', 'user')],
    ],
    ['byContext', 'when its name is no key and it is alone', expired('/a b', 'global'), []],
  ])('%s, %s', (way, _when, one, others) => {
    expect(wayOf(one, others)).toBe(way);
    // In whatever order they are known.
    expect(wayOf(one, others.toReversed())).toBe(way);
  });

  it('and nothing else does', () => {
    const mirror = mirrorOf(1, [alive('/k', 'user'), variable('/forever', 'session')]);
    expect(leavingOf(mirror, NOW)).toEqual({ byContext: [], byKey: [], notYet: [] });
  });
});

describe('The next expiry', () => {
  it.each<[string, LoadedVariable[], number | undefined]>([
    ['is none of what does not expire', [variable('/a', 'session')], undefined],
    ['is the earliest', [variable('/a', 'session', NOW + 9), variable('/b', 'user', NOW + 5)], NOW + 5],
    ['is past where something can leave by a context', [variable('/a', 'session', NOW - 5)], NOW - 5],
    [
      'is past where something can leave by its key',
      [variable('/k', 'session', NOW - 5), variable('/k', 'user', NOW + 5)],
      NOW - 5,
    ],
    [
      'is not that of what cannot leave yet',
      [variable('/k/a', 'session', NOW - 5), variable('/k/b', 'session'), variable('/k', 'user', NOW + 5)],
      NOW + 5,
    ],
    [
      'is none where only what cannot leave has expired',
      [variable('/k/a', 'session', NOW - 5), variable('/k/b', 'session'), variable('/k', 'user')],
      undefined,
    ],
  ])('%s', (_what, variables, nextMs) => expect(nextExpiryMs(mirrorOf(1, variables), NOW)).toBe(nextMs));
});
