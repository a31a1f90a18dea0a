import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../../lib/context/canonicalJson.ts';
import type { JsonObject, JsonValue } from '../../../../lib/context/json.ts';
import { leavesOf, treeOf } from '../../../../lib/context/leaves.ts';
import type { LoadedVariable } from '../../../../lib/context/mirror.ts';
import type { Lane } from '../../../../lib/operations/ports/sessionStore.ts';
import {
  commit,
  HOUR_MS,
  incompressible,
  laneOf,
  mirrorOf,
  newSession,
  newVariable,
  START_MS,
  settlementOf,
  storedMirror,
  valuesOf,
  writing,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

export function mirrorsContract(store: StoreUnderTest): void {
  /** The lane of a new session, as whoever has just committed its first operation has it. */
  async function newLane(): Promise<Lane> {
    return (await commit(store(), newSession())).lane;
  }

  async function writtenAndLoaded(mirror: ReturnType<typeof mirrorOf>) {
    const lane = await newLane();
    const stateRef = await store().writeMirror(lane, mirror, writing());
    const stored = await storedMirror(store(), lane, stateRef);
    return store().loadValues(lane, stored.mirror);
  }

  /** What a sync knows of each leaf of `context`. */
  function syncedLeaves(context: JsonObject, over: Partial<LoadedVariable> = {}): LoadedVariable[] {
    return leavesOf(context).map(({ path, value }) => newVariable('', value, { via: 'sync', ...over, path }));
  }

  const valueByPath = ({ variables }: ReturnType<typeof mirrorOf>) =>
    new Map(Array.from(variables.values(), ({ path, value }) => [path, value]));

  describe('Mirrors', () => {
    it('come back as they were written, with all that is known of each variable', async () => {
      // Prepare
      const lane = await newLane();
      const mirror = mirrorOf(
        3,
        newVariable('tier', 'gold', { scope: 'user', expiresAtMs: START_MS + 1, source: 'hubspot', version: 2 }),
        newVariable('tier', 'silver'),
        newVariable('profile', { 'a/b~c': [null, true, -0.5, '007', 'Grüße 🚀'] }, { scope: 'global' }),
        newVariable('a/b~c', null, { source: 'crm,1,2', updatedAtMs: START_MS + 5 }),
        newVariable('', '', { expiresAtMs: 0 }),
      );

      // Act
      const stateRef = await store().writeMirror(lane, mirror, writing({ atMs: START_MS + 7 }));

      // Assess
      expect(await store().readMirror(lane, stateRef)).toStrictEqual({ stateRef, mirror, atMs: START_MS + 7 });
    });

    it('of nested leaves come back exactly: names with slashes, empty objects, one path in two scopes', async () => {
      // Prepare
      const context = {
        'a/b': { 'c~d': { '~1': 'slash', '/': 'tilde', '': { '': null } } },
        profile: { empty: {}, none: [], deep: { er: { and: { deeper: [{ in: {} }, [], null] } } } },
        ['__proto__']: { constructor: { prototype: 1 } },
        text: '\u0000 "\\" \ud800 東京',
      };
      const inSession = syncedLeaves(context, { source: 'bot', version: 2 });
      const inUser = syncedLeaves(context, { scope: 'user', expiresAtMs: START_MS + HOUR_MS, via: 'inject' });
      const mirror = mirrorOf(2, ...inSession, ...inUser);
      expect(mirror.variables.size).toBe(2 * inSession.length);

      // Act
      const loaded = await writtenAndLoaded(mirror);

      // Assess
      expect(loaded).toStrictEqual(mirror);
      expect(JSON.stringify(treeOf([...loaded.variables.values()].filter(({ scope }) => scope === 'user')))).toBe(
        JSON.stringify(context),
      );
    });

    it('of 10,000 leaves come back exactly, in one order, with every one of their origins', async () => {
      // Prepare: more than an item holds, though nothing of it is large by itself.
      const leaves = Array.from({ length: 10_000 }, (_, n) => {
        const [branch, twig] = [n % 97, n % 1_009];
        const value: JsonValue = n % 11 === 0 ? {} : n % 7 === 0 ? [n, null] : incompressible(40);
        return newVariable('', value, {
          path: `/b~1${branch}/t~0${twig}/${n}`,
          scope: n % 3 === 0 ? 'user' : 'session',
          via: n % 2 === 0 ? 'sync' : 'inject',
          source: n % 5 === 0 ? 'bot' : 'crm',
          version: 1 + (n % 13),
          updatedAtMs: START_MS + (n % 17),
          ...(n % 19 === 0 && { expiresAtMs: START_MS + n }),
        });
      });
      const mirror = mirrorOf(13, ...leaves);
      expect(mirror.variables.size).toBe(10_000);

      // Act
      const loaded = await writtenAndLoaded(mirror);

      // Assess: as texts, whose differences can be shown.
      const linesOf = ({ variables }: typeof mirror) =>
        Array.from(variables, ([id, { path, scope, via, value, stored, expiresAtMs, updatedAtMs, source, version }]) =>
          JSON.stringify([id, path, scope, via, value, stored, expiresAtMs, updatedAtMs, source, version]),
        );
      expect(linesOf(loaded)).toEqual(linesOf(mirror));
    });

    it('of nothing are mirrors too', async () => {
      expect(await writtenAndLoaded(mirrorOf(4))).toStrictEqual(mirrorOf(4));
    });

    it('do not exist before they are written, nor in other sessions', async () => {
      const [lane, other] = [await newLane(), await newLane()];

      const stateRef = await store().writeMirror(lane, mirrorOf(1), writing());

      expect(await store().readMirror(other, stateRef)).toBeUndefined();
      expect(await store().readMirror(lane, 'another')).toBeUndefined();
    });

    it('are seen by nobody until a settle points to them (DESIGN I8)', async () => {
      // Prepare
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      const current = await store().writeMirror(lane, mirrorOf(1, newVariable('a', 1)), writing());
      await store().settle(lane, settlementOf(lane, { stateRef: current, idleUntilMs: START_MS + HOUR_MS }));

      // Act
      const next = await store().writeMirror(lane, mirrorOf(2, newVariable('a', 2)), writing({ since: 2 }));

      // Assess
      const settled = await laneOf(store(), sessionId);
      expect(settled).toMatchObject({ stateRef: current });
      expect(await store().readMirror(settled, next)).toMatchObject({ mirror: { version: 2 } });
      expect(valuesOf((await storedMirror(store(), settled, current)).mirror)).toEqual({ a: 1 });
      expect(await store().readHistory(settled, 2)).toMatchObject({ stateRef: current });
    });

    it('of two holders of the lease at one version lie beside each other', async () => {
      const lane = await newLane();

      const refs = await Promise.all(
        ['zombie', 'successor'].map((who) =>
          store().writeMirror(lane, mirrorOf(1, newVariable('who', who)), writing()),
        ),
      );

      const mirrors = await Promise.all(refs.map((ref) => storedMirror(store(), lane, ref)));
      expect(mirrors.map(({ mirror }) => valuesOf(mirror))).toEqual([{ who: 'zombie' }, { who: 'successor' }]);
    });
  });

  describe('Large values', () => {
    it('lie out of line from 1 KiB of JSON on, with the hash that tells whether they are the same', async () => {
      // Prepare
      const lane = await newLane();
      const values = { below: 'x'.repeat(1_021), at: 'x'.repeat(1_022) };
      const mirror = mirrorOf(1, newVariable('below', values.below), newVariable('at', values.at));

      // Act
      const stateRef = await store().writeMirror(lane, mirror, writing());

      // Assess
      const { variables } = (await storedMirror(store(), lane, stateRef)).mirror;
      const [below, at] = ['below', 'at'].map((key) => variables.get(`session:/${key}`));
      expect(below).toStrictEqual(newVariable('below', values.below));
      expect(at).toMatchObject({ path: '/at', stored: { ref: expect.any(String), hash: valueHash(values.at) } });
      expect(at).not.toHaveProperty('value');
      expect(at?.stored?.keptUntilMs).toBeGreaterThanOrEqual(writing().keepUntilMs);
      expect(valuesOf(await store().loadValues(lane, { version: 1, variables }))).toEqual(values);
    });

    it.each([
      ['one of 1 MiB', [1_048_576]],
      ['one just above the parts it is cut into', [380_001]],
      ['four that are 1 MiB together', [262_144, 262_144, 262_144, 262_144]],
    ])('that do not compress come back byte for byte: %s (SCENARIO 30)', async (_, sizes) => {
      const values = Object.fromEntries(sizes.map((bytes, index) => [`value_${index}`, incompressible(bytes)]));
      const mirror = mirrorOf(1, ...Object.entries(values).map(([key, value]) => newVariable(key, value)));

      const loaded = await writtenAndLoaded(mirror);

      expect(valuesOf(loaded)).toEqual(values);
      expect(loaded.variables.get('session:/value_0')?.stored?.hash).toBe(valueHash(values['value_0'] ?? ''));
    });

    it('are leaves like any other: lists and texts deep inside come back byte for byte (SCENARIO 30)', async () => {
      const context = {
        profile: { notes: incompressible(300_000), 'by/day': Array.from({ length: 400 }, (_, n) => ({ n, on: {} })) },
        tiny: { er: 1 },
      };

      const loaded = await writtenAndLoaded(mirrorOf(1, ...syncedLeaves(context)));

      expect(valueByPath(loaded)).toEqual(new Map(leavesOf(context).map(({ path, value }) => [path, value])));
      const outOfLine = [...loaded.variables.values()].filter(({ stored }) => stored !== undefined);
      expect(outOfLine.map(({ path }) => path).toSorted()).toEqual(['/profile/by~1day', '/profile/notes']);
    });

    it('may be many small ones that no single item could hold', async () => {
      const values = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`v${n}`, incompressible(900)]));
      const mirror = mirrorOf(1, ...Object.entries(values).map(([key, value]) => newVariable(key, value)));

      expect(valuesOf(await writtenAndLoaded(mirror))).toEqual(values);
    });

    it('may be more than one batch of requests can fetch', async () => {
      const values = Object.fromEntries(Array.from({ length: 120 }, (_, n) => [`v${n}`, incompressible(1_100)]));
      const mirror = mirrorOf(1, ...Object.entries(values).map(([key, value]) => newVariable(key, value)));

      expect(valuesOf(await writtenAndLoaded(mirror))).toEqual(values);
    });

    it('of both scopes of one path do not take each other for the same', async () => {
      const [session, user] = [incompressible(2_000), incompressible(2_000)];
      const mirror = mirrorOf(1, newVariable('a', session), newVariable('a', user, { scope: 'user' }));

      const { variables } = await writtenAndLoaded(mirror);

      expect(Array.from(variables, ([id, { value }]) => [id, value])).toEqual([
        ['session:/a', session],
        ['user:/a', user],
      ]);
    });

    it('belong to their session alone', async () => {
      const [lane, other] = [await newLane(), await newLane()];
      const mirror = mirrorOf(1, newVariable('large', incompressible(2_000)));
      const stateRef = await store().writeMirror(lane, mirror, writing());
      const stored = await storedMirror(store(), lane, stateRef);

      await expect(store().loadValues(other, stored.mirror)).rejects.toThrow();
    });
  });
}
