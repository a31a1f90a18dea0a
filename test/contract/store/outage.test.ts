import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureTable, LOCAL_CREDENTIALS, LOCAL_REGION } from '../../../infra/local/database.ts';
import type { Mirror } from '../../../lib/context/mirror.ts';
import { type Lane, type SessionStore, StoreError } from '../../../lib/operations/ports/sessionStore.ts';
import { clientOptions } from '../../../lib/platform/awsClients.ts';
import { systemClock } from '../../../lib/platform/clock.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { DynamoSessionStore } from '../../../lib/store/dynamoSessionStore.ts';
import { collect, Table } from '../../../lib/store/table.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { Gate } from '../../fixtures/store/gate.ts';
import {
  commit,
  laneOf,
  mirrorOf,
  newErasure,
  newId,
  newLease,
  newRefusal,
  newSession,
  newVariable,
  operateWithMirror,
  START_MS,
  STORE_OPTIONS,
  settlementOf,
  writing,
} from '../../fixtures/store/session.ts';
import { localClient } from '../../fixtures/store/testTable.ts';

/** As a function has it. */
const CONFIG = { aws: { region: LOCAL_REGION, credentials: LOCAL_CREDENTIALS }, storeTimeoutMs: 700 };

describeOnDatabases('A store that is out of order (SCENARIO 45)', ({ url }) => {
  const sessionId = newSession();
  let gate: Gate;
  let options: ReturnType<typeof clientOptions>;
  let client: DynamoDBClient;
  let store: SessionStore;
  /** The same table by a way of its own. */
  let around: DynamoDBClient;
  let other: SessionStore;
  const vault = new Vault(new Uint8Array(32).fill(7));
  beforeEach(async () => {
    gate = new Gate(url());
    await gate.open();
    const tableName = `bridge-${newId()}`;
    await ensureTable(url(), tableName);
    options = clientOptions(CONFIG);
    client = localClient(gate.url, options);
    const storeOver = (by: DynamoDBClient) =>
      new DynamoSessionStore(new Table({ client: by, tableName, clock: systemClock }), vault, STORE_OPTIONS);
    store = storeOver(client);
    around = localClient(url());
    other = storeOver(around);
  });
  afterEach(async () => {
    client.destroy();
    around.destroy();
    await gate.shut();
  });

  const { value: _value, ...variable } = newVariable('a', 1);
  const stored = { ref: 'x.1', keptUntilMs: START_MS, hash: '' };
  const outOfLine: Mirror = { version: 1, variables: new Map([['session:/a', { ...variable, stored }]]) };

  /** How a call failed, and after how many milliseconds. */
  async function failureOf(call: Promise<unknown>): Promise<{ code: string | undefined; afterMs: number }> {
    const startedMs = performance.now();
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { code: error instanceof StoreError ? error.code : String(error), afterMs: performance.now() - startedMs };
  }

  it.each<[string, (lane: Lane) => Promise<unknown>]>([
    ['commit', () => commit(store, sessionId)],
    ['readLane', () => store.readLane({ sessionId })],
    ['takeLease', () => store.takeLease({ sessionId }, newLease(), START_MS)],
    ['noteRefusal', () => store.noteRefusal(sessionId, newRefusal(), START_MS)],
    ['findOutcome', () => store.findOutcome({ sessionId }, 'x')],
    ['readProgress', () => store.readProgress({ sessionId })],
    ['settle', (lane) => store.settle(lane, settlementOf(lane))],
    ['archive', (lane) => store.archive(lane)],
    ['readMirror', (lane) => store.readMirror(lane, 'x')],
    ['writeMirror', (lane) => store.writeMirror(lane, mirrorOf(1), writing())],
    ['loadValues', (lane) => store.loadValues(lane, outOfLine)],
    ['readHistory', (lane) => store.readHistory(lane, 1)],
    ['erase', (lane) => store.erase(lane, newErasure())],
    ['readAudit', () => store.readAudit({ sessionId }, { nowMs: START_MS, limit: 1 })],
    ['dueSessions', () => collect(store.dueSessions(0, START_MS))],
  ])('is unavailable at once where nobody listens: %s', async (_, act) => {
    // A lane with a mirror, an outbox and a holder, of which this client has heard nothing yet.
    await operateWithMirror(other, sessionId, [newVariable('a', 1)]);
    const { lane } = await commit(other, sessionId);
    await gate.shut();

    const { code, afterMs } = await failureOf(act(lane));

    expect(code).toBe('store-unavailable');
    expect(afterMs).toBeLessThan(2_000);
  });

  it('times out after the tries that it is configured to make where it never answers', async () => {
    await gate.hang();

    const { code, afterMs } = await failureOf(commit(store, sessionId));

    expect(code).toBe('store-timeout');
    expect(options.requestHandler.httpHandlerConfigs()).toMatchObject({ connectionTimeout: 700, requestTimeout: 700 });
    expect(afterMs).toBeLessThan(options.maxAttempts * CONFIG.storeTimeoutMs + 1_500);
  });

  it('is unavailable, not busy, where its table is not there', async () => {
    const table = new Table({ client, tableName: 'no-such-table', clock: systemClock });
    const lost = new DynamoSessionStore(table, vault, STORE_OPTIONS);

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
