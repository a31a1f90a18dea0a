import { describe, expect, it } from 'vitest';
import type { OperationPayload } from '../../../../lib/operations/ports/sessionStore.ts';
import {
  commit,
  incompressible,
  laneOf,
  newLease,
  newOperation,
  newSession,
  operate,
  START_MS,
} from '../../../fixtures/store/session.ts';
import type { StoreUnderTest } from './storeUnderTest.ts';

export function commitContract(store: StoreUnderTest): void {
  describe('Commit', () => {
    it('gives the first operation of a session version 1 and the lease', async () => {
      // Prepare
      const sessionId = newSession();
      const operation = newOperation();
      const lease = newLease();

      // Act
      const committed = await store().commit({ sessionId, operation, lease, dueAtMs: lease.untilMs });

      // Assess
      expect(committed).toMatchObject({ kind: 'committed', version: 1, holdsLease: true });
      const { payload: _payload, ...entry } = operation;
      expect(await laneOf(store(), sessionId)).toMatchObject({
        version: 1,
        confirmedVersion: 0,
        journal: [{ ...entry, version: 1 }],
        lease,
        sessionId,
        idleUntilMs: 0,
        hasOutbox: false,
        hasRefusals: false,
      });
    });

    it.each([
      ['small', { text: 'Grüße, 東京 🚀 \u0000 "\\" \ud800', 'a.b[0]': [null, true, -0.5, 1e21, {}] }],
      ['large', { text: incompressible(800_000) }],
    ])('keeps a %s payload as it is', async (_, value) => {
      const sessionId = newSession();
      const payload = {
        kind: 'inject',
        variables: [
          { key: 'a', value, scope: 'user', expiresAtMs: START_MS + 1 },
          { key: 'b', value: null, scope: 'global' },
        ],
        crm: { account: 'ACC-1' },
      } as const;

      await commit(store(), sessionId, { operation: newOperation({ payload }) });

      const [entry] = (await laneOf(store(), sessionId)).journal;
      expect(await entry?.payload()).toEqual(payload);
    });

    it.each<[string, OperationPayload]>([
      [
        'sync',
        {
          kind: 'sync',
          data: { profile: { 'a/b~c': null, tags: [1, { deep: {} }], empty: {} }, gone: null },
          expiries: { '/profile/a~1b~0c': START_MS + 1, '/profile/tags': START_MS + 2 },
          defaultExpiresAtMs: START_MS + 3,
        },
      ],
      ['large sync', { kind: 'sync', data: { text: incompressible(800_000) }, expiries: {} }],
      ['expire', { kind: 'expire' }],
    ])('keeps what a %s is to do as it is', async (_, payload) => {
      const sessionId = newSession();
      const { kind } = payload;

      await commit(store(), sessionId, { operation: newOperation({ kind, payload }) });

      const [entry] = (await laneOf(store(), sessionId)).journal;
      expect(entry).toMatchObject({ kind, version: 1 });
      expect(await entry?.payload()).toEqual(payload);
    });

    it('gives concurrent commits consecutive versions in one order, and the lease to one of them (SCENARIOS 1, 3)', async () => {
      // Prepare
      const sessionId = newSession();
      const operations = Array.from({ length: 30 }, () => newOperation());

      // Act
      const results = await Promise.all(
        operations.map(async (operation) => ({ operation, ...(await commit(store(), sessionId, { operation })) })),
      );

      // Assess
      const inOrder = results.toSorted((a, b) => a.version - b.version);
      expect(inOrder.map(({ version }) => version)).toEqual(operations.map((_, index) => index + 1));
      expect(results.filter(({ holdsLease }) => holdsLease)).toHaveLength(1);
      const { journal } = await laneOf(store(), sessionId);
      expect(journal.map(({ operationId, version }) => [version, operationId])).toEqual(
        inOrder.map(({ operation, version }) => [version, operation.operationId]),
      );
    });

    it('counts the versions of each session by themselves', async () => {
      const [one, other] = [newSession(), newSession()];

      await commit(store(), one);

      expect(await commit(store(), other)).toMatchObject({ version: 1, holdsLease: true });
    });

    it('goes on counting after a settle', async () => {
      const sessionId = newSession();
      await operate(store(), sessionId);

      expect(await commit(store(), sessionId)).toMatchObject({ version: 2, holdsLease: true });
    });

    it('is busy while a hundred operations wait, which leaves other sessions alone (SCENARIO 3)', async () => {
      // Prepare
      const sessionId = newSession();
      await Promise.all(Array.from({ length: 100 }, () => commit(store(), sessionId)));
      const operation = newOperation();

      // Act
      const result = await store().commit({ sessionId, operation, lease: newLease(), dueAtMs: START_MS });

      // Assess
      expect(result).toEqual({ kind: 'busy' });
      expect(await laneOf(store(), sessionId)).toMatchObject({ version: 100 });
      expect(await commit(store(), newSession())).toMatchObject({ version: 1 });
    });

    it('knows nothing of a session that nobody has written to', async () => {
      expect(await store().readLane({ sessionId: newSession() })).toBeUndefined();
    });
  });
}
