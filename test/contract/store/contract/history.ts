import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../../lib/context/sessionId.ts';
import type { Lease, WriteMirrorOptions } from '../../../../lib/operations/ports/sessionStore.ts';
import {
  commit,
  DAY_MS,
  incompressible,
  laneOf,
  mirrorOf,
  newErasure,
  newLease,
  newSession,
  newVariable,
  operate,
  operateWithMirror,
  START_MS,
  settlementOf,
  valuesOf,
  writing,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

export function historyContract(store: StoreUnderTest): void {
  /** The next operation leaves a mirror that tells which one it was. */
  async function leaveMirror(sessionId: SessionId, tells: string, over: Partial<WriteMirrorOptions> = {}) {
    return operateWithMirror(store(), sessionId, [newVariable('tells', tells)], { writing: over });
  }

  /** What the mirror of `version` tells; `undefined` where there is none. */
  async function toldAt(sessionId: SessionId, version: number): Promise<unknown> {
    const lane = await laneOf(store(), sessionId);
    const stored = await store().readHistory(lane, version);
    return stored && valuesOf(await store().loadValues(lane, stored.mirror))['tells'];
  }

  async function toldAtAll(sessionId: SessionId, versions: readonly number[]): Promise<unknown[]> {
    return Promise.all(versions.map((version) => toldAt(sessionId, version)));
  }

  describe('History', () => {
    it('knows nothing of a session without a mirror', async () => {
      const sessionId = newSession();
      const { lane } = await commit(store(), sessionId);
      expect(await store().readHistory(lane, 1)).toBeUndefined();

      await operate(store(), sessionId);

      expect(await toldAt(sessionId, 1)).toBeUndefined();
    });

    it('leads from the newest mirror to that of any version before', async () => {
      const sessionId = newSession();
      for (let version = 1; version <= 5; version += 1) await leaveMirror(sessionId, `v${version}`);

      expect(await toldAtAll(sessionId, [0, 1, 2, 3, 4, 5, 6])).toEqual([
        undefined,
        'v1',
        'v2',
        'v3',
        'v4',
        'v5',
        'v5',
      ]);
    });

    it('says of a mirror where it lies and when it was written', async () => {
      const sessionId = newSession();
      const stateRef = await leaveMirror(sessionId, 'v1', { atMs: START_MS + 11 });
      await leaveMirror(sessionId, 'v2', { atMs: START_MS + 22 });

      const stored = await store().readHistory(await laneOf(store(), sessionId), 1);

      const mirror = mirrorOf(1, newVariable('tells', 'v1'));
      expect(stored).toStrictEqual({ stateRef, mirror, atMs: START_MS + 11 });
    });

    it('keeps large values of then beside those of now', async () => {
      const sessionId = newSession();
      const tales = [incompressible(2_000), incompressible(400_000)];
      for (const tale of tales) await leaveMirror(sessionId, tale);

      expect(await toldAtAll(sessionId, [1, 2])).toEqual(tales);
    });

    it('of a version that changed nothing is that of the one before', async () => {
      const sessionId = newSession();
      await leaveMirror(sessionId, 'v1');
      for (let refused = 2; refused <= 3; refused += 1) await operate(store(), sessionId);
      await leaveMirror(sessionId, 'v4');

      expect(await toldAtAll(sessionId, [1, 2, 3, 4])).toEqual(['v1', 'v1', 'v1', 'v4']);
    });

    it('of versions that took effect together is the mirror they share', async () => {
      const sessionId = newSession();
      await leaveMirror(sessionId, 'v1');
      for (let version = 2; version <= 3; version += 1) await commit(store(), sessionId);
      await leaveMirrorAsHolder(sessionId, 'v4', { since: 2 });
      await leaveMirror(sessionId, 'v5');

      expect(await toldAtAll(sessionId, [1, 2, 3, 4, 5])).toEqual(['v1', 'v4', 'v4', 'v4', 'v5']);
    });

    it('of a version between two that took effect is the older one, where later ones took effect first', async () => {
      // Prepare: the third has overtaken the second, which left nothing.
      const sessionId = newSession();
      await leaveMirror(sessionId, 'v1');
      await operate(store(), sessionId);
      await leaveMirror(sessionId, 'v3', { since: 3 });

      expect(await toldAtAll(sessionId, [1, 2, 3])).toEqual(['v1', 'v1', 'v3']);
    });

    /** As {@link leaveMirror}, of everything in the journal, by whoever takes the lease of a holder that has died. */
    async function leaveMirrorAsHolder(
      sessionId: SessionId,
      tells: string,
      { fence, ...over }: Partial<WriteMirrorOptions> & { readonly version?: number } = {},
    ) {
      const { version } = await commit(store(), sessionId);
      const lease: Lease = { ...newLease(), ...(fence !== undefined && { fence }) };
      const lane = await store().takeLease({ sessionId }, lease, START_MS + 60_000);
      if (lane === undefined) throw new Error('somebody holds the lane');
      const mirror = mirrorOf(over.version ?? version, newVariable('tells', tells));
      const stateRef = await store().writeMirror(
        lane,
        mirror,
        writing({ since: version, ...over, fence: lease.fence }),
      );
      await store().settle(lane, settlementOf(lane, { stateRef, idleUntilMs: START_MS + DAY_MS }));
    }

    it.each([
      ['later', '7ZZZZZZZZZZZZZZZZZZZZZZZZZ'],
      ['earlier', '00000000000000000000000000'],
    ])(
      'never leads to what a holder wrote that was fenced out, also at the same version (its fence is %s)',
      async (_, fence) => {
        // Prepare: at each version a zombie writes beside whoever settles, before it and after it.
        const sessionId = newSession();
        for (let version = 1; version <= 3; version += 1) {
          const { lane } = await commit(store(), sessionId);
          const zombie = mirrorOf(version, newVariable('tells', `zombie ${version}`));
          await store().writeMirror(lane, zombie, writing({ fence: `${fence}-before`, since: version }));
          const taken = await store().takeLease({ sessionId }, newLease(), START_MS + 60_000);
          if (taken === undefined) throw new Error('somebody holds the lane');
          const mirror = mirrorOf(version, newVariable('tells', `v${version}`));
          const stateRef = await store().writeMirror(taken, mirror, writing({ since: version }));
          expect(await store().settle(taken, settlementOf(taken, { stateRef, idleUntilMs: START_MS + DAY_MS }))).toBe(
            'settled',
          );
          await store().writeMirror(lane, zombie, writing({ fence: `${fence}-after`, since: 1 }));
          expect(await store().settle(lane, settlementOf(lane, { stateRef: 'zombie' }))).toBe('fenced');
        }

        // Act and assess
        expect(await toldAtAll(sessionId, [0, 1, 2, 3])).toEqual([undefined, 'v1', 'v2', 'v3']);
      },
    );

    it('never leads to a mirror of a version that nobody has settled', async () => {
      const sessionId = newSession();
      await leaveMirror(sessionId, 'v1');
      const { lane } = await commit(store(), sessionId);
      await store().writeMirror(lane, mirrorOf(2, newVariable('tells', 'zombie')), writing({ since: 2 }));

      expect(await toldAtAll(sessionId, [1, 2])).toEqual(['v1', 'v1']);
    });

    it.each([
      ['rising', ['00000000000000000000000001', '00000000000000000000000002', '00000000000000000000000003']],
      [
        'falling, as by clocks that differ',
        ['7ZZZZZZZZZZZZZZZZZZZZZZZZ3', '7ZZZZZZZZZZZZZZZZZZZZZZZZ2', '7ZZZZZZZZZZZZZZZZZZZZZZZZ1'],
      ],
      ['in any order', ['00000000000000000000000002', '00000000000000000000000003', '00000000000000000000000001']],
    ])('leads through several mirrors of one version, whatever the order of their fences: %s', async (_, fences) => {
      // Prepare: the third operation ended first, so that all these mirrors are of version 4.
      const sessionId = newSession();
      await leaveMirror(sessionId, 'v1');
      for (const [index, fence] of fences.entries()) {
        await leaveMirrorAsHolder(sessionId, `v${index + 2}`, { fence, version: 4, since: index + 2 });
      }
      await leaveMirror(sessionId, 'v5', { since: 5 });

      // Act and assess
      expect(await toldAtAll(sessionId, [1, 2, 3, 4, 5])).toEqual(['v1', 'v2', 'v3', 'v4', 'v5']);
    });

    it('begins anew where the session was idle for too long (SCENARIO 25)', async () => {
      const sessionId = newSession();
      for (const tells of ['v1', 'v2']) await leaveMirror(sessionId, tells);
      const { idleUntilMs } = await laneOf(store(), sessionId);

      await leaveMirror(sessionId, 'v3', { atMs: idleUntilMs });
      await leaveMirror(sessionId, 'v4', { atMs: idleUntilMs - 1 });

      expect(await toldAtAll(sessionId, [1, 2, 3, 4])).toEqual([undefined, undefined, 'v3', 'v4']);
    });

    it('is that of the lane as it was read, whatever came since', async () => {
      const sessionId = newSession();
      await leaveMirror(sessionId, 'v1');
      const lane = await laneOf(store(), sessionId);
      await leaveMirror(sessionId, 'v2');

      expect(await store().readHistory(lane, 2)).toMatchObject({ stateRef: lane.stateRef, mirror: { version: 1 } });
    });

    it('ends where the session was erased (SCENARIO 43)', async () => {
      const sessionId = newSession();
      for (const tells of ['v1', 'v2']) await leaveMirror(sessionId, tells);
      const before = await laneOf(store(), sessionId);
      await store().erase(before, newErasure());
      expect(await toldAtAll(sessionId, [1, 2])).toEqual([undefined, undefined]);
      expect(await store().readHistory(before, 2)).toBeUndefined();

      await leaveMirror(sessionId, 'v3');

      expect(await toldAtAll(sessionId, [1, 2, 3])).toEqual([undefined, undefined, 'v3']);
    });
  });
}
