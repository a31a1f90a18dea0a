import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  commit,
  DAY_MS,
  laneOf,
  mirrorOf,
  newId,
  newOperation,
  newSession,
  newVariable,
  operate,
  START_MS,
  valuesOf,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

const incompressible = (bytes: number) => randomBytes(bytes).toString('base64').slice(0, bytes);
const writing = () => ({ fence: newId(), keepUntilMs: START_MS + DAY_MS });

export function mirrorsContract(store: StoreUnderTest): void {
  async function writtenAndLoaded(sessionId: ReturnType<typeof newSession>, mirror: ReturnType<typeof mirrorOf>) {
    const stateRef = await store().writeMirror({ sessionId }, mirror, writing());
    const stored = await store().readMirror({ sessionId }, stateRef);
    if (stored === undefined) throw new Error('the mirror is not there');
    return store().loadValues({ sessionId }, stored.mirror);
  }

  describe('Mirrors', () => {
    it('come back as they were written, with all that is known of each variable', async () => {
      // Prepare
      const sessionId = newSession();
      const mirror = mirrorOf(
        3,
        newVariable('tier', 'gold', { scope: 'user', expiresAtMs: START_MS + 1, source: 'hubspot', version: 2 }),
        newVariable('tier', 'silver'),
        newVariable('profile', { 'a/b~c': [null, true, -0.5, '007', 'Grüße 🚀'] }, { scope: 'global' }),
      );

      // Act
      const stateRef = await store().writeMirror({ sessionId }, mirror, writing());

      // Assess
      expect(await store().readMirror({ sessionId }, stateRef)).toEqual({ stateRef, mirror });
    });

    it('do not exist before they are written, nor in other sessions', async () => {
      const [sessionId, other] = [newSession(), newSession()];

      const stateRef = await store().writeMirror({ sessionId }, mirrorOf(1), writing());

      expect(await store().readMirror({ sessionId: other }, stateRef)).toBeUndefined();
    });

    it('are seen by nobody until a settle points to them (DESIGN I8)', async () => {
      // Prepare
      const sessionId = newSession();
      const current = await store().writeMirror({ sessionId }, mirrorOf(1, newVariable('a', 1)), writing());
      await operate(store(), sessionId, newOperation(), { stateRef: current });

      // Act
      const next = await store().writeMirror({ sessionId }, mirrorOf(2, newVariable('a', 2)), writing());

      // Assess
      expect(await laneOf(store(), sessionId)).toMatchObject({ stateRef: current });
      expect(await store().readMirror({ sessionId }, next)).toMatchObject({ mirror: { version: 2 } });
      expect(valuesOf((await store().readMirror({ sessionId }, current))?.mirror ?? mirrorOf(0))).toEqual({ a: 1 });
    });

    it('of two holders of the lease at one version lie beside each other', async () => {
      const sessionId = newSession();

      const refs = await Promise.all(
        ['zombie', 'successor'].map((who) =>
          store().writeMirror({ sessionId }, mirrorOf(1, newVariable('who', who)), writing()),
        ),
      );

      const mirrors = await Promise.all(refs.map((ref) => store().readMirror({ sessionId }, ref)));
      expect(mirrors.map((stored) => valuesOf(stored?.mirror ?? mirrorOf(0)))).toEqual([
        { who: 'zombie' },
        { who: 'successor' },
      ]);
    });
  });

  describe('Large values', () => {
    it('lie out of line from 1 KiB of JSON on', async () => {
      // Prepare
      const sessionId = newSession();
      const values = { below: 'x'.repeat(1_021), at: 'x'.repeat(1_022) };
      const mirror = mirrorOf(1, newVariable('below', values.below), newVariable('at', values.at));

      // Act
      const stateRef = await store().writeMirror({ sessionId }, mirror, writing());

      // Assess
      const stored = (await store().readMirror({ sessionId }, stateRef))?.mirror ?? mirrorOf(0);
      const places = [...stored.variables.values()].map(({ key, value }) => [key, 'ref' in value]);
      expect(places).toEqual([
        ['below', false],
        ['at', true],
      ]);
      expect(valuesOf(await store().loadValues({ sessionId }, stored))).toEqual(values);
    });

    it.each([
      ['one of 1 MiB', [1_048_576]],
      ['one just above the parts it is cut into', [380_001]],
      ['four that are 1 MiB together', [262_144, 262_144, 262_144, 262_144]],
    ])('that do not compress come back byte for byte: %s (SCENARIO 30)', async (_, sizes) => {
      const sessionId = newSession();
      const values = Object.fromEntries(sizes.map((bytes, index) => [`value_${index}`, incompressible(bytes)]));
      const mirror = mirrorOf(1, ...Object.entries(values).map(([key, value]) => newVariable(key, value)));

      const loaded = await writtenAndLoaded(sessionId, mirror);

      expect(valuesOf(loaded)).toEqual(values);
      expect(loaded.variables.get('session:value_0')?.hash).toBe(newVariable('', values['value_0'] ?? '').hash);
    });

    it('may be many small ones that no single item could hold', async () => {
      const sessionId = newSession();
      const values = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`v${n}`, incompressible(900)]));
      const mirror = mirrorOf(1, ...Object.entries(values).map(([key, value]) => newVariable(key, value)));

      expect(valuesOf(await writtenAndLoaded(sessionId, mirror))).toEqual(values);
    });

    it('may be more than one batch of requests can fetch', async () => {
      const sessionId = newSession();
      const values = Object.fromEntries(Array.from({ length: 120 }, (_, n) => [`v${n}`, incompressible(1_100)]));
      const mirror = mirrorOf(1, ...Object.entries(values).map(([key, value]) => newVariable(key, value)));

      expect(valuesOf(await writtenAndLoaded(sessionId, mirror))).toEqual(values);
    });

    it('belong to their session alone', async () => {
      const [sessionId, other] = [newSession(), newSession()];
      await commit(store(), other);
      const mirror = mirrorOf(1, newVariable('large', incompressible(2_000)));
      const stateRef = await store().writeMirror({ sessionId }, mirror, writing());
      const stored = await store().readMirror({ sessionId }, stateRef);

      await expect(store().loadValues({ sessionId: other }, stored?.mirror ?? mirrorOf(0))).rejects.toThrow();
    });
  });
}
