import { randomBytes } from 'node:crypto';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureTable } from '../../../infra/local/database.ts';
import { type SessionStore, StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import { STORE_CLIENT } from '../../../lib/platform/deps.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { DynamoSessionStore } from '../../../lib/store/dynamoSessionStore.ts';
import { collect, Table } from '../../../lib/store/table.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { Gate } from '../../fixtures/store/gate.ts';
import {
  commit,
  laneOf,
  mirrorOf,
  newId,
  newLease,
  newRefusal,
  newSession,
  START_MS,
  STORE_OPTIONS,
  settlementOf,
} from '../../fixtures/store/session.ts';
import { localClient } from '../../fixtures/store/testTable.ts';

describeOnDatabases('A store that is out of order (SCENARIO 45)', ({ url }) => {
  const sessionId = newSession();
  let gate: Gate;
  let client: DynamoDBClient;
  let store: SessionStore;
  beforeEach(async () => {
    gate = new Gate(url());
    await gate.open();
    const tableName = `bridge-${newId()}`;
    await ensureTable(url(), tableName);
    client = localClient(gate.url, STORE_CLIENT);
    const table = new Table({ client, tableName, clock: systemClock });
    store = new DynamoSessionStore(table, new Vault(randomBytes(32)), STORE_OPTIONS);
  });
  afterEach(async () => {
    client.destroy();
    await gate.shut();
  });

  /** How a call failed, and after how many milliseconds. */
  async function failureOf(call: Promise<unknown>): Promise<{ code: string | undefined; afterMs: number }> {
    const startedMs = performance.now();
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { code: error instanceof StoreError ? error.code : String(error), afterMs: performance.now() - startedMs };
  }

  it.each<[string, () => Promise<unknown>]>([
    ['commit', () => commit(store, sessionId)],
    ['readLane', () => store.readLane({ sessionId })],
    ['takeLease', () => store.takeLease({ sessionId }, newLease(), START_MS)],
    ['noteRefusal', () => store.noteRefusal(sessionId, newRefusal(), START_MS)],
    ['findOutcome', () => store.findOutcome({ sessionId }, 'x')],
    ['readMirror', () => store.readMirror({ sessionId }, 'x')],
    ['writeMirror', () => store.writeMirror({ sessionId }, mirrorOf(1), { fence: 'x', keepUntilMs: START_MS })],
    ['readAudit', () => store.readAudit({ sessionId }, { nowMs: START_MS, limit: 1 })],
    ['dueSessions', () => collect(store.dueSessions(0, START_MS))],
  ])('is unavailable at once where nobody listens: %s', async (_, act) => {
    await gate.shut();

    const { code, afterMs } = await failureOf(act());

    expect(code).toBe('store-unavailable');
    expect(afterMs).toBeLessThan(2_000);
  });

  it('times out after the tries that it is configured to make where it never answers', async () => {
    const { maxAttempts, requestHandler } = STORE_CLIENT;
    await gate.hang();

    const { code, afterMs } = await failureOf(commit(store, sessionId));

    expect(code).toBe('store-timeout');
    expect(afterMs).toBeLessThan(maxAttempts * requestHandler.requestTimeout + 1_500);
  });

  it('is unavailable, not busy, where its table is not there', async () => {
    const table = new Table({ client, tableName: 'no-such-table', clock: systemClock });
    const lost = new DynamoSessionStore(table, new Vault(randomBytes(32)), STORE_OPTIONS);

    expect(await failureOf(commit(lost, sessionId))).toMatchObject({ code: 'store-unavailable' });
  });

  describe('and comes back', () => {
    it.each<['shut' | 'hang']>([['shut'], ['hang']])('works again without a restart after it was %s', async (how) => {
      // Prepare: an open connection that dies.
      const { lane } = await commit(store, sessionId);
      await gate[how]();
      await expect(store.settle(lane, settlementOf(lane))).rejects.toThrow(StoreError);

      // Act
      await gate.open();
      const result = await store.settle(lane, settlementOf(lane));

      // Assess
      expect(result).toBe('settled');
      expect(await laneOf(store, sessionId)).toMatchObject({ version: 1, confirmedVersion: 1 });
    });
  });
});
