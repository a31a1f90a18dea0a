import { describe, expect, it } from 'vitest';
import type { JournalEntry, Outcome } from '../../../lib/operations/ports/sessionStore.ts';
import type { Attempt } from '../../../lib/operations/settlement.ts';
import { settlingOf } from '../../../lib/operations/settling.ts';

/** One that was looked at: of its attempt only the entry counts. */
function attempt(operationId: string, kind: JournalEntry['kind']): Attempt {
  const entry = { operationId, kind } as JournalEntry;
  return { operation: { entry }, result: { kind: 'needless' } } as Attempt;
}

const ended = (...ends: readonly (readonly [string, Outcome['kind']])[]) =>
  new Map(ends.map(([operationId, kind]) => [operationId, { kind } as Outcome]));

describe('What a settle says about operations', () => {
  it('is how many of which kind it confirms, whoever asked for them; an expiry is nobody’s', () => {
    const attempts = [attempt('1', 'inject'), attempt('2', 'sync'), attempt('3', 'inject'), attempt('4', 'expire')];
    const outcomes = ended(['1', 'confirmed'], ['2', 'confirmed'], ['3', 'confirmed'], ['4', 'confirmed']);
    expect(settlingOf(attempts, outcomes, undefined)).toEqual({
      confirmed: new Map([
        ['inject', 2],
        ['sync', 1],
      ]),
    });
  });

  it.each<[string, Outcome['kind'] | undefined, boolean, number]>([
    ['confirmed', 'confirmed', true, 1],
    ['refused', 'refused', false, 0],
    ['still pending, and accepted all the same', undefined, true, 0],
  ])('is what the one who waits is told: %s', (_what, kind, isSuccess, confirmed) => {
    const attempts = [attempt('own', 'sync'), attempt('other', 'inject')];
    const outcomes = kind === undefined ? ended() : ended(['own', kind]);
    const settling = settlingOf(attempts, outcomes, 'own');
    expect(settling.own).toEqual({ name: 'sync', isSuccess });
    expect(settling.confirmed.get('sync') ?? 0).toBe(confirmed);
  });

  it('is nothing to the one who waits while his operation is not in it', () => {
    expect(settlingOf([attempt('other', 'inject')], ended(['other', 'confirmed']), 'own')).not.toHaveProperty('own');
  });
});
