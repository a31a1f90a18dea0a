import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import {
  type BelievedDialog,
  collisionsOf,
  type DialogChange,
  type DialogVariables,
  dialogDigest,
  dialogVariablesOf,
  fateOf,
  seenAt,
} from '../../../lib/context/dialogState.ts';

const NOTHING = { session: {}, user: {}, ofBot: {} } satisfies BelievedDialog;

describe('dialogVariablesOf', () => {
  it('lists variables with their scopes, and says nothing of the transition', () => {
    expect(dialogVariablesOf({ session: { a: 1 }, user: { b: null }, transition: { nextStep: 's' } })).toEqual([
      { key: 'a', value: 1, scope: 'session' },
      { key: 'b', value: null, scope: 'user' },
    ]);
    expect(dialogVariablesOf({ transition: { nextStep: 's' } })).toEqual([]);
  });
});

describe('collisionsOf', () => {
  const change = { session: { a: 2 }, user: { a: 'x' } };
  it.each<[string, DialogVariables, DialogVariables, string[]]>([
    [
      'nothing, where nobody has changed anything',
      { session: { a: 1 }, user: {} },
      { session: { a: 1 }, user: {} },
      [],
    ],
    [
      'what somebody else has changed',
      { session: { a: 1 }, user: {} },
      { session: { a: 9 }, user: {} },
      ['/session/a'],
    ],
    ['what somebody else has taken away', { session: { a: 1 }, user: {} }, NOTHING, ['/session/a']],
    ['what somebody else has brought', NOTHING, { session: {}, user: { a: 'y' } }, ['/user/a']],
    ['not what is as we want it', { session: { a: 1 }, user: {} }, { session: { a: 2 }, user: { a: 'x' } }, []],
    ['not what lies beside it, nor the same name in another scope', NOTHING, { session: { b: 1 }, user: { b: 1 } }, []],
  ])('names %s', (_what, believed, now, paths) => {
    expect(collisionsOf(change, { ...NOTHING, ...believed }, now)).toEqual(paths);
  });

  it('says nothing of what a client has been told about, until it is something else again', () => {
    const now = { session: { a: 'bot' }, user: {} };
    const seen = seenAt(['/session/a'], now);
    expect(collisionsOf({ session: { a: 2 } }, NOTHING, now)).toEqual(['/session/a']);
    expect(collisionsOf({ session: { a: 2 } }, NOTHING, now, seen)).toEqual([]);
    expect(collisionsOf({ session: { a: 2 } }, NOTHING, { session: { a: 'more' }, user: {} }, seen)).toEqual([
      '/session/a',
    ]);
    // Also what was told to be gone.
    const gone = seenAt(['/user/b'], NOTHING);
    expect(collisionsOf({ user: { b: 1 } }, { ...NOTHING, user: { b: 0 } }, NOTHING, gone)).toEqual([]);
  });

  it('knows the bot’s own, seen where scopes are not told, in whichever scope it is', () => {
    const believed = { ...NOTHING, ofBot: { lang: 'de' } };
    expect(collisionsOf({ session: { lang: 'en' } }, believed, { session: {}, user: { lang: 'de' } })).toEqual([]);
    expect(collisionsOf({ user: { lang: 'en' } }, believed, { session: {}, user: { lang: 'de' } })).toEqual([]);
    expect(collisionsOf({ user: { lang: 'en' } }, believed, { session: {}, user: { lang: 'fr' } })).toEqual([
      '/user/lang',
    ]);
    // Believed in one scope, and of the bot: that it is in the other one is no news.
    const both = { ...believed, session: { lang: 'fr' } };
    expect(collisionsOf({ session: { lang: 'en' } }, both, { session: {}, user: { lang: 'de' } })).toEqual([]);
  });

  it('remembers what a client was told by hashes, and nothing by an empty text, as lanes hold it', () => {
    expect(seenAt(['/session/a', '/user/a'], { session: { a: 1 }, user: {} })).toEqual({
      '/session/a': valueHash(1),
      '/user/a': '',
    });
  });

  it('is not misled by names that every object has', () => {
    expect(collisionsOf({ session: { toString: 1 } }, NOTHING, NOTHING)).toEqual([]);
  });
});

describe('fateOf', () => {
  const transition: DialogChange = { transition: { nextStep: 's' } };
  const state = (version: number, variables: DialogVariables = NOTHING) => ({
    ...variables,
    version,
    etag: `"${version}"`,
  });
  const knownAt = (version: number, variables: DialogVariables = NOTHING) => ({
    etag: `"${version}"`,
    version,
    digest: dialogDigest(variables),
  });

  it.each([
    ['the same version: not made', transition, knownAt(3), state(3), 'not-made'],
    ['one step, nothing else changed: made', transition, knownAt(3), state(4), 'made'],
    [
      'one step that explains itself: not made',
      transition,
      knownAt(3),
      state(4, { session: { b: 1 }, user: {} }),
      'not-made',
    ],
    ['two steps: nobody knows', transition, knownAt(3), state(5), 'unknown'],
    ['nothing was known: nobody knows', transition, undefined, state(3), 'unknown'],
    ['only the tag was known, and it moved: nobody knows', transition, { etag: '"x"' }, state(3), 'unknown'],
    ['begun anew: not made', transition, knownAt(7), state(2), 'not-made'],
    ['begun anew, and as far as it was: not made', transition, knownAt(3), { ...state(3), etag: '"new"' }, 'not-made'],
    [
      'one step, what was before is not known: nobody knows',
      transition,
      { etag: '"3"', version: 3 },
      state(4),
      'unknown',
    ],
  ] as const)('a transition: %s', (_what, change, known, now, fate) => {
    expect(fateOf(change, { before: known, believed: NOTHING, now })).toBe(fate);
  });

  it('variables that are there tell that a transition was made, too', () => {
    const change = { session: { a: 1 }, ...transition };
    const now = state(9, { session: { a: 1 }, user: {} });
    expect(fateOf(change, { before: knownAt(3), believed: NOTHING, now })).toBe('made');
    // Not where they were there before.
    const believed = { session: { a: 1 }, user: {} };
    expect(fateOf(change, { before: knownAt(3, believed), believed, now })).toBe('unknown');
  });

  const two: DialogChange = { session: { a: 1 }, user: { b: 2 }, ...transition };
  it.each([
    ['one of them is there: nobody knows', knownAt(3), state(9, { session: { a: 1 }, user: {} }), 'unknown'],
    ['none, after one step: it was another’s', knownAt(3), state(4), 'not-made'],
    ['none, after several: nobody knows', knownAt(3), state(5), 'unknown'],
    ['at first contact all are as they were: not made', undefined, state(5), 'not-made'],
    [
      'at first contact one has become something else: nobody knows',
      undefined,
      state(5, { session: { a: 9 }, user: {} }),
      'unknown',
    ],
  ] as const)('a transition with two variables, of which %s', (_what, before, now, fate) => {
    expect(fateOf(two, { before, believed: NOTHING, now })).toBe(fate);
  });

  it('without a transition, what is there only in part is not made', () => {
    const { transition: _transition, ...change } = two;
    const now = state(9, { session: { a: 1 }, user: {} });
    expect(fateOf(change, { before: knownAt(3), believed: NOTHING, now })).toBe('not-made');
  });

  it('without a transition, what is there already was made, whoever has made it', () => {
    const now = state(9, { session: { a: 1 }, user: {} });
    expect(fateOf({ session: { a: 1 } }, { before: { etag: '"x"' }, believed: now, now })).toBe('made');
  });

  it('of what is outdated only the tag holds: a step of our own is not taken for the change', () => {
    expect(fateOf(transition, { before: { etag: '"3"' }, believed: NOTHING, now: state(4) })).toBe('unknown');
    expect(fateOf(transition, { before: { etag: '"3"' }, believed: NOTHING, now: state(3) })).toBe('not-made');
  });

  it('without a transition, what is not seen may be sent again', () => {
    expect(fateOf({ session: { a: 1 } }, { before: knownAt(3), believed: NOTHING, now: state(9) })).toBe('not-made');
  });

  it('property: whatever others do beside it, a transition that was made is never taken for not made, nor the other way', () => {
    const own = fc.record({ session: fc.dictionary(fc.constantFrom('a', 'b'), fc.integer()) });
    const others = fc.array(fc.tuple(fc.constantFrom('x', 'y', 'z'), fc.integer()), { maxLength: 3 });
    fc.assert(
      fc.property(own, others, others, fc.boolean(), fc.boolean(), ({ session }, first, last, wasMade, isKnown) => {
        const believed: DialogVariables = { session: { a: 'old', x: 0 }, user: {} };
        let now = { ...believed, version: 5 };
        const apply = (values: object) => {
          now = { ...now, session: { ...now.session, ...values }, version: now.version + 1 };
        };
        // Others write where we do not, and always something new.
        for (const [name, value] of first) apply({ [name]: `first ${value} ${now.version}` });
        if (wasMade) apply(session);
        for (const [name, value] of last) apply({ [name]: `last ${value} ${now.version}` });
        const fate = fateOf(
          { session, ...transition },
          {
            before: isKnown ? knownAt(5, believed) : undefined,
            believed,
            now: { ...now, etag: `"${now.version}"` },
          },
        );
        expect([wasMade ? 'made' : 'not-made', 'unknown']).toContain(fate);
        const isTelling = Object.keys(session).length > 0;
        if (wasMade && isTelling) expect(fate).toBe('made');
        if (isKnown && now.version <= 6) expect(fate).not.toBe('unknown');
      }),
    );
  });
});
