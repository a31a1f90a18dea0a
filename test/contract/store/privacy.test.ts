import { beforeAll, describe, expect, it } from 'vitest';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import {
  answerOf,
  auditOf,
  auditPayload,
  commit,
  DAY_MS,
  HOUR_MS,
  incompressible,
  keyHash,
  mirrorOf,
  newId,
  newLease,
  newOperation,
  newRefusal,
  newSession,
  newVariable,
  operate,
  outcomeOf,
  START_MS,
  settlementOf,
  writing,
} from '../../fixtures/store/session.ts';
import type { StoredItem } from '../../fixtures/store/testTable.ts';
import { textsOf } from '../../fixtures/store/texts.ts';

describeOnDatabases('What lies in the table', ({ newTable }) => {
  const sessionId = newSession('sess_marguerite.duras~7431');
  const secrets = {
    'session id': sessionId,
    'value in place': 'marguerite@example.org',
    'value that compresses': 'a confidential sentence. '.repeat(40),
    'large value': incompressible(1_800),
    'upstream answer': 'upstream-answer-90210',
    'CRM data': 'ACC-99821-secret',
    'synced value': 'synced-in-private-3141',
    'value in the audit trail': 'audited-value-5521',
    token: 'eyJhbGciOi.token-of-the-tenant.c2ln',
  };
  const items: StoredItem[] = [];

  beforeAll(async () => {
    const table = await newTable();
    const store = table.sessions();
    const [inPlace, compressed, large] = ['value in place', 'value that compresses', 'large value'] as const;
    const variables = [inPlace, compressed, large].map((name, index) => newVariable(`v${index}`, secrets[name]));
    const operation = () =>
      newOperation({
        idempotencyHash: keyHash(newId()),
        payload: {
          kind: 'inject',
          variables: [inPlace, compressed, large].map((name, index) => ({
            key: `v${index}`,
            scope: 'session',
            value: secrets[name],
          })),
          crm: { account: secrets['CRM data'] },
        },
      });
    const changes = [
      { path: '/v0', scope: 'session', before: null, after: 'h', value: secrets['value in the audit trail'] },
    ] as const;

    // Some of everything: archived, in the outbox, in the journal, noted as refused.
    for (let round = 0; round < 2; round += 1) {
      const { lane } = await commit(store, sessionId, { operation: operation() });
      const stateRef = await store.writeMirror(lane, mirrorOf(lane.version, ...variables), writing());
      await store.archive(lane);
      const result = { text: secrets['upstream answer'] };
      const answers = lane.journal.map((entry) => answerOf(entry, { ...outcomeOf(entry), result }));
      const audit = lane.journal.map((entry) => auditOf(entry, { changes }));
      await store.settle(lane, settlementOf(lane, { stateRef, answers, audit, outboxArchived: true }));
    }
    await commit(store, sessionId, { operation: operation() });
    const synced = { kind: 'sync', data: { note: secrets['synced value'] }, expiries: {} } as const;
    await commit(store, sessionId, { operation: newOperation({ kind: 'sync', payload: synced }) });
    await store.noteRefusal(
      sessionId,
      newRefusal({ payload: auditPayload({ changes, outcome: 'refused' }) }),
      START_MS,
    );
    await store.takeLease({ sessionId }, newLease(), START_MS + HOUR_MS);

    const tokens = table.tokens();
    await tokens.claimRefresh('tenant-key', { owner: 'a', nowMs: START_MS, untilMs: START_MS + 10_000 });
    const token = { accessToken: secrets.token, expiresAtMs: START_MS + HOUR_MS, refreshAtMs: START_MS + HOUR_MS };
    await tokens.write('tenant-key', 'a', token);
    await tokens.claimRefresh('tenant-key', { owner: 'b', nowMs: START_MS, untilMs: START_MS + 10_000 });
    await tokens.claimRefresh('other-key', { owner: 'b', nowMs: START_MS, untilMs: START_MS + 10_000 });

    const rates = table.rates();
    await rates.reserveIdle('cell', { nowMs: START_MS, intervalMs: 600 });
    await rates.reserveBusy('cell', { nowMs: START_MS, intervalMs: 600, latestTatMs: START_MS + 60_000 });
    await rates.release('cell', { intervalMs: 600 });
    await rates.pause('cell-2', START_MS + 60_000);

    items.push(...(await table.scan()));
  });

  it('is of every kind', () => {
    const kinds = new Set(items.map(({ sk }) => sk.split('#')[0]));
    expect(kinds).toEqual(new Set(['LANE', 'STATE', 'BLOB', 'AUDIT', 'OUTCOME', 'TOKEN', 'RATE']));
  });

  it.each(Object.entries(secrets))('does not show any %s (SPEC 8, DESIGN I7)', (_, secret) => {
    // Half of it would be a leak too, and so would its usual encodings.
    const half = secret.slice(0, Math.ceil(secret.length / 2));
    const forms = [
      half,
      Buffer.from(half).toString('base64').replace(/=+$/, '').slice(0, -1),
      Buffer.from(half).toString('hex'),
    ];

    for (const item of items) {
      for (const text of textsOf(item)) {
        for (const form of forms) expect(text).not.toContain(form);
      }
    }
  });

  describe('Expiry', () => {
    it('is known to DynamoDB of every item, in seconds, at a plausible time', () => {
      for (const { sk, ttl } of items) {
        expect(ttl, sk).toBeTypeOf('number');
        expect(Number.isInteger(ttl), sk).toBe(true);
        expect(ttl, sk).toBeGreaterThan(START_MS / 1_000);
        expect(ttl, sk).toBeLessThan((START_MS + 400 * DAY_MS) / 1_000);
      }
    });

    it('of a lane comes after that of everything that hangs on it', () => {
      const ttlOf = (prefix: string) =>
        items.filter(({ sk }) => sk.startsWith(prefix)).map((item) => Number(item['ttl']));

      expect(Math.min(...ttlOf('LANE'))).toBeGreaterThan(Math.max(...ttlOf('AUDIT#'), ...ttlOf('STATE#')));
    });

    it('of a lane comes after the session, however short the audit trail is kept', async () => {
      const table = await newTable();
      const store = table.sessions({ dueShards: 1, auditRetentionMs: DAY_MS });
      const idleUntilMs = START_MS + 7 * DAY_MS;

      await operate(store, sessionId, newOperation(), { idleUntilMs });

      expect((await table.laneOf(sessionId))['ttl']).toBeGreaterThan(idleUntilMs / 1_000);
    });
  });
});
