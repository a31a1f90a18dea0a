import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import type { JsonObject } from '../../../lib/context/json.ts';
import { EMPTY_MIRROR } from '../../../lib/context/mirror.ts';
import { parseSessionId } from '../../../lib/context/sessionId.ts';
import { applyOperations, type InjectOperation, isInject, type LoadedOperation } from '../../../lib/operations/plan.ts';
import type { DialogResult, RefusalCode, WriteResult } from '../../../lib/operations/ports/cognigy.ts';
import type {
  DialogPayload,
  ExpirePayload,
  JournalEntry,
  Lane,
  SyncPayload,
  SyncReport,
} from '../../../lib/operations/ports/sessionStore.ts';
import { type Attempt, type SettlementInput, settlementOf } from '../../../lib/operations/settlement.ts';

const NOW = Date.UTC(2026, 10, 21, 12);

function operation(version: number, more: Partial<JournalEntry> = {}): InjectOperation {
  const payload = { kind: 'inject', variables: [{ key: `k${version}`, value: version, scope: 'session' }] } as const;
  const entry: JournalEntry = {
    operationId: `op${version}`,
    auditId: `audit${version}`,
    kind: 'inject',
    acceptedAtMs: NOW - 40,
    client: 'crm',
    correlationId: 'c',
    fingerprint: `f${version}`,
    version,
    payload: async () => payload,
    ...more,
  };
  return { entry, payload };
}

function otherThanInject(version: number, payload: SyncPayload | ExpirePayload | DialogPayload): LoadedOperation {
  const { entry } = operation(version, { kind: payload.kind });
  return { entry: { ...entry, payload: async () => payload }, payload };
}
const syncOperation = (version: number, data: SyncPayload['data']) =>
  otherThanInject(version, { kind: 'sync', data, expiries: {} });
const expireOperation = (version: number) => otherThanInject(version, { kind: 'expire' });
const dialogOperation = (version: number, change: DialogPayload['change']) =>
  otherThanInject(version, { kind: 'dialog-state', change });
const crmOperation = (version: number, crm: JsonObject | undefined): LoadedOperation => {
  const { entry, payload } = operation(version);
  return { entry, payload: { ...payload, ...(crm !== undefined && { crm }) } };
};

const confirmed: WriteResult = { kind: 'confirmed', attempts: 1, upstreamStatus: 200, result: { ok: true } };
const refused = (code: RefusalCode): WriteResult => ({ kind: 'refused', code, attempts: 1 });
const unavailable = (attempts: number, retryAtMs?: number): WriteResult => ({
  kind: 'unavailable',
  reason: 'down',
  attempts,
  outcomeUnknown: false,
  ...(retryAtMs !== undefined && { retryAtMs }),
});

function laneWith(operations: readonly LoadedOperation[], more: Partial<Lane> = {}): Lane {
  const sessionId = parseSessionId('sess_1');
  if (sessionId === undefined) throw new Error('no session id');
  return {
    key: 'key',
    version: operations.at(-1)?.entry.version ?? 0,
    confirmedVersion: (operations[0]?.entry.version ?? 1) - 1,
    journal: operations.map(({ entry }) => entry),
    endedVersions: new Set(),
    idleUntilMs: 0,
    hasEnded: false,
    deferrals: 0,
    deferredVersion: 0,
    unknownVersion: 0,
    erasedVersion: 0,
    sessionId,
    hasOutbox: false,
    hasRefusals: false,
    ...more,
  };
}

function settle(attempts: readonly Attempt[], lane: Partial<Lane> = {}, more: Partial<SettlementInput> = {}) {
  const operations = attempts.map((attempt) => attempt.operation);
  const inEffect = attempts.filter(({ result }) => result.kind === 'confirmed').map((attempt) => attempt.operation);
  return settlementOf({
    lane: laneWith(operations, lane),
    fence: 'fence',
    nowMs: NOW,
    attempts,
    planned: applyOperations(EMPTY_MIRROR, operations.filter(isInject), NOW),
    applied: applyOperations(EMPTY_MIRROR, inEffect.filter(isInject), NOW),
    mirrorVersion: 0,
    reports: new Map(),
    outboxArchived: true,
    sessionTtlMs: 3_600_000,
    isMasked: () => true,
    jitter: 1,
    newAuditId: () => 'attempt',
    ...more,
  });
}

describe('settlementOf', () => {
  it('settles confirmed operations from the front of the journal and starts the idle time anew', () => {
    const attempts = [1, 2].map((version) => ({ operation: operation(version), result: confirmed }));
    const { settlement, outcomes } = settle(attempts, {}, { stateRef: 'state' });
    expect(settlement).toMatchObject({ settledPrefix: 2, confirmedVersion: 2, endedVersions: [], deferrals: 0 });
    // None of them was put off.
    expect(settlement.deferredVersion).toBe(0);
    expect(settlement).toMatchObject({ stateRef: 'state', idleUntilMs: NOW + 3_600_000 });
    expect(outcomes.get('op2')).toMatchObject({ kind: 'confirmed', version: 2, variablesInjected: 1, latencyMs: 40 });
  });

  it('keeps what could not be sent, and what came after it, in their order', () => {
    const { settlement, outcomes } = settle([
      { operation: operation(1), result: confirmed },
      { operation: operation(2), result: unavailable(3) },
      { operation: operation(3), result: unavailable(0) },
    ]);
    expect(settlement).toMatchObject({ settledPrefix: 1, confirmedVersion: 1, deferredVersion: 3, deferrals: 1 });
    expect([...outcomes.keys()]).toEqual(['op1']);
  });

  it('says nothing of a mirror that was not written', () => {
    expect(settle([{ operation: operation(1), result: refused('conflict') }]).settlement).not.toHaveProperty(
      'stateRef',
    );
  });

  it('remembers a settled operation behind an open one until that is settled too', () => {
    const open = { operation: operation(1), result: refused('upstream-forbidden') };
    const own = { operation: operation(2), result: refused('upstream-forbidden') };
    const first = settle([open, own], {}, { ownOperationId: 'op2' });
    expect(first.settlement).toMatchObject({ settledPrefix: 0, confirmedVersion: 0, endedVersions: [2] });

    const lane = laneWith([open.operation, own.operation], { endedVersions: new Set([2]) });
    const later = settle([{ ...open, result: confirmed }], lane);
    expect(later.settlement).toMatchObject({ settledPrefix: 2, confirmedVersion: 2, endedVersions: [] });
  });

  describe('on an answer that says only that we were not let in', () => {
    const codes = [
      'upstream-unauthorized',
      'upstream-forbidden',
      'upstream-unavailable',
      'upstream-bad-response',
    ] as const;

    it.each(codes)('ends the operation whose client is waiting and gives its key free: %s', (code) => {
      const own = { operation: operation(1, { idempotencyHash: 'key' }), result: refused(code) };
      const { settlement, outcomes } = settle([own], {}, { ownOperationId: 'op1' });
      expect(outcomes.get('op1')).toMatchObject({ kind: 'refused', code });
      expect(settlement.releasedKeys).toEqual(['key']);
      // Who has joined it under that key is told by the operation's own id.
      expect(settlement.answers.map(({ outcomeId }) => outcomeId)).toEqual(['op1']);
      expect(settlement.audit[0]?.payload).toMatchObject({ outcome: 'failed', code, auditId: 'audit1' });
    });

    it('tells nobody but the client that waits, where it has no key', () => {
      const own = { operation: operation(1), result: refused('upstream-forbidden') };
      const { settlement, outcomes } = settle([own], {}, { ownOperationId: 'op1' });
      expect(outcomes.get('op1')).toMatchObject({ kind: 'refused', code: 'upstream-forbidden' });
      expect(settlement).toMatchObject({ releasedKeys: [], answers: [] });
    });

    it.each(codes)('leaves an operation pending that has been told so: %s', (code) => {
      const own = { operation: operation(1), result: refused(code) };
      const { settlement, outcomes } = settle([own], { deferredVersion: 1 }, { ownOperationId: 'op1' });
      expect(outcomes.size).toBe(0);
      expect(settlement).toMatchObject({ settledPrefix: 0, deferrals: 1 });
      expect(settlement.audit[0]?.payload).toMatchObject({ outcome: 'pending', code, auditId: 'attempt' });
    });
  });

  it.each(['upstream-rejected', 'conflict', 'session-ended'] as const)(
    'ends even a pending operation on %s',
    (code) => {
      const { outcomes } = settle([{ operation: operation(1), result: refused(code) }], { deferredVersion: 1 });
      expect(outcomes.get('op1')).toMatchObject({ kind: 'refused', code });
    },
  );

  it('SCENARIO 20: ends the idle time at once when the session does not exist any more', () => {
    const { settlement } = settle([{ operation: operation(1), result: refused('session-ended') }]);
    expect(settlement).toMatchObject({ sessionEnded: true, idleUntilMs: NOW });
  });

  it('forgets that a session had ended only when something is confirmed', () => {
    const ended = { hasEnded: true };
    expect(settle([{ operation: operation(1), result: unavailable(1) }], ended).settlement.sessionEnded).toBe(true);
    const { settlement } = settle([{ operation: operation(1), result: confirmed }], ended, { stateRef: 'state' });
    expect(settlement.sessionEnded).toBe(false);
  });

  describe('what may be in the bot although nobody has said so (SCENARIOS 10, 22)', () => {
    const unheard: WriteResult = { kind: 'unavailable', reason: 'timeout', attempts: 1, outcomeUnknown: true };
    const unknownVersion = (results: readonly WriteResult[], lane: Partial<Lane> = {}) =>
      settle(
        results.map((result, index) => ({ operation: operation(index + 1), result })),
        lane,
      ).settlement.unknownVersion;

    it.each<[string, WriteResult]>([
      ['what was sent and never answered', unheard],
      ['what got an answer that was none', refused('upstream-bad-response')],
      [
        'what was sent, never answered, and refused when it was repeated',
        { kind: 'refused', code: 'upstream-forbidden', attempts: 2, outcomeUnknown: true },
      ],
    ])('is remembered by its version: %s', (_what, result) => {
      expect(unknownVersion([confirmed, result])).toBe(2);
    });

    it.each<[string, WriteResult]>([
      ['was confirmed', confirmed],
      ['certainly never arrived', unavailable(3)],
      ['was refused in so many words', refused('upstream-rejected')],
      [
        'was not sent, as what was asked before made no sense',
        { kind: 'refused', code: 'upstream-bad-response', attempts: 0 },
      ],
    ])('is not what %s', (_what, result) => {
      expect(settle([{ operation: operation(1), result }]).settlement).not.toHaveProperty('unknownVersion');
    });

    it('is what a holder that has died may have sent, as long as it has not ended', () => {
      const left = (results: readonly WriteResult[], leftVersion: number) => {
        const attempts = results.map((result, index) => ({ operation: operation(index + 1), result }));
        return settle(attempts, {}, { leftVersion }).settlement.unknownVersion;
      };
      expect(left([unavailable(0), unavailable(0), unavailable(0)], 2)).toBe(2);
      expect(left([confirmed, confirmed], 2)).toBeUndefined();
      expect(left([unavailable(0)], 0)).toBeUndefined();
    });

    it('is everything up to the last of several, and is not told again where more was known', () => {
      expect(unknownVersion([unheard, unheard, unavailable(0)])).toBe(2);
      expect(unknownVersion([unheard], { unknownVersion: 1 })).toBeUndefined();
      expect(unknownVersion([unheard], { unknownVersion: 7 })).toBeUndefined();
    });
  });

  describe('a change of a dialog', () => {
    const change = { session: { a: 1 }, transition: { nextStep: 'pay' } };
    const settleOne = (result: DialogResult, more: Partial<SettlementInput> = {}) =>
      settle([{ operation: dialogOperation(1, change), result }], {}, more);

    it('tells the tag that the dialog has since', () => {
      const { outcomes } = settleOne({ ...confirmed, dialog: { etag: '"5"', version: 5 }, currentEtag: '"9"' });
      expect(outcomes.get('op1')).toMatchObject({ kind: 'confirmed', etag: '"5"' });
    });

    it('that was refused tells the tag that the dialog has instead', () => {
      const { outcomes } = settleOne({ ...refused('version-mismatch'), currentEtag: '"9"' });
      expect(outcomes.get('op1')).toMatchObject({ kind: 'refused', code: 'version-mismatch', etag: '"9"' });
    });

    it.each([confirmed, refused('version-mismatch')])('has no tag where the upstream said none: $kind', (result) => {
      expect(settleOne(result).outcomes.get('op1')).not.toHaveProperty('etag');
    });

    it('leaves what is known of the dialog in the lane, and what was known where nothing is', () => {
      const dialog = { etag: '"5"', version: 5, atVersion: 1 };
      expect(settleOne(confirmed, { dialog }).settlement.dialog).toEqual(dialog);
      expect(settleOne(confirmed).settlement).not.toHaveProperty('dialog');
    });

    it('has the step in its audit that it was to go on to, however it ended', () => {
      for (const result of [confirmed, refused('conflict'), unavailable(1)]) {
        expect(settleOne(result).settlement.audit[0]?.payload).toMatchObject({ nextStep: 'pay' });
      }
      const standing = settle([{ operation: dialogOperation(1, { session: { a: 1 } }), result: confirmed }]);
      expect(standing.settlement.audit[0]?.payload).not.toHaveProperty('nextStep');
    });
  });

  describe('an expiry', () => {
    it('keeps no session alive, and answers nobody', () => {
      const { settlement } = settle([{ operation: expireOperation(1), result: confirmed }], {}, { stateRef: 'state' });
      expect(settlement).toMatchObject({ settledPrefix: 1, confirmedVersion: 1, stateRef: 'state', answers: [] });
      expect(settlement).not.toHaveProperty('idleUntilMs');
      expect(settlement.audit[0]?.payload).toMatchObject({
        operation: 'expire',
        outcome: 'confirmed',
        versionAfter: 1,
      });
    });

    it('beside an inject lets that keep the session alive', () => {
      const attempts = [
        { operation: operation(1), result: confirmed },
        { operation: expireOperation(2), result: confirmed },
      ];
      expect(settle(attempts, {}, { stateRef: 'state' }).settlement.idleUntilMs).toBe(NOW + 3_600_000);
    });

    it('with nothing to do is ended without a trace, and holds up nobody behind it', () => {
      const { settlement, outcomes } = settle([
        { operation: expireOperation(1), result: { kind: 'needless' } },
        { operation: operation(2), result: confirmed },
      ]);
      expect(settlement).toMatchObject({ settledPrefix: 2, confirmedVersion: 2 });
      expect(settlement.audit.map(({ operationId }) => operationId)).toEqual(['op2']);
      expect([...outcomes.keys()]).toEqual(['op2']);
    });

    it('stays pending while the upstream is down, as anything else', () => {
      const { settlement } = settle(
        [{ operation: expireOperation(1), result: unavailable(3) }],
        {},
        { nextExpiryMs: NOW },
      );
      expect(settlement).toMatchObject({ settledPrefix: 0, deferrals: 1, dueAtMs: NOW + 5_000, nextExpiryMs: NOW });
    });

    it('that the upstream rejects comes again, but not at once', () => {
      const result = refused('upstream-rejected');
      const { settlement } = settle([{ operation: expireOperation(1), result }], {}, { nextExpiryMs: NOW - 1 });
      expect(settlement).toMatchObject({ settledPrefix: 1, deferrals: 0 });
      expect(settlement.nextExpiryMs).toBeGreaterThanOrEqual(NOW + 600_000);
      // Its entry in the audit is archived before that.
      expect(settlement.dueAtMs).toBe(NOW + 60_000);
    });

    it('that the upstream rejects when nothing expires any more does not come again', () => {
      const { settlement } = settle([{ operation: expireOperation(1), result: refused('upstream-rejected') }]);
      expect(settlement).toMatchObject({ nextExpiryMs: undefined, dueAtMs: NOW + 60_000 });
    });

    it('is not put off by the upstream’s rejecting something else', () => {
      const attempts = [{ operation: operation(1), result: refused('upstream-rejected') }];
      expect(settle(attempts, {}, { nextExpiryMs: NOW + 5 }).settlement.nextExpiryMs).toBe(NOW + 5);
    });
  });

  describe('the next expiry', () => {
    const done = [{ operation: operation(1), result: confirmed }];

    it.each([
      ['before what is to be archived', NOW + 10_000, NOW + 10_000],
      ['after what is to be archived', NOW + 600_000, NOW + 60_000],
    ])('makes the lane due when it comes %s', (_, nextExpiryMs, dueAtMs) => {
      const { settlement } = settle(done, {}, { nextExpiryMs });
      expect(settlement).toMatchObject({ nextExpiryMs, dueAtMs, isOtherwiseIdle: false });
    });

    it('alone makes it due, too; whoever commits meanwhile must not wait for that', () => {
      const { settlement } = settle([], {}, { nextExpiryMs: NOW + 600_000 });
      expect(settlement).toMatchObject({ dueAtMs: NOW + 600_000, isOtherwiseIdle: true });
    });

    it('waits for what is pending: what cannot be reached cannot be cleaned up either', () => {
      const { settlement } = settle(
        [{ operation: operation(1), result: unavailable(1) }],
        {},
        { nextExpiryMs: NOW - 1 },
      );
      expect(settlement).toMatchObject({ dueAtMs: NOW + 5_000, nextExpiryMs: NOW - 1 });
    });

    it('SCENARIO 20: is none any more when the session is gone', () => {
      const attempts = [{ operation: operation(1), result: refused('session-ended') }];
      expect(settle(attempts, {}, { nextExpiryMs: NOW + 5 }).settlement.nextExpiryMs).toBeUndefined();
    });
  });

  describe('a sync', () => {
    const report: Omit<SyncReport, 'stateRef'> = {
      freshness: 'live',
      contextSizeBytes: 7,
      pruned: [],
      expired: [],
      conflicts: [],
      warnings: [],
    };

    it('answers with what it has done, and where the context of that moment is', () => {
      const { outcomes } = settle(
        [{ operation: syncOperation(1, { a: 1 }), result: confirmed }],
        {},
        { stateRef: 'state', reports: new Map([['op1', report]]) },
      );
      expect(outcomes.get('op1')).toMatchObject({ kind: 'confirmed', sync: { ...report, stateRef: 'state' } });
    });

    it('answers without a place where no mirror was written; what is no sync has no report', () => {
      const attempts = [
        { operation: syncOperation(1, { a: 1 }), result: confirmed },
        { operation: operation(2), result: confirmed },
      ];
      const { outcomes } = settle(attempts, {}, { reports: new Map([['op1', report]]) });
      expect(outcomes.get('op1')).toHaveProperty('sync');
      expect(outcomes.get('op1')).not.toHaveProperty('sync.stateRef');
      expect(outcomes.get('op2')).not.toHaveProperty('sync');
    });

    it.each([
      { code: 'expired-before-push' } as const,
      { code: 'context-too-large', bytes: 9 } as const,
      { code: 'validation-failed', violations: [{ pointer: '/a', code: 'type', message: 'must be string' }] } as const,
    ])('that may not be is refused with why, and the bot was asked: $code', (refusal) => {
      const result = { kind: 'unfit', refusal, attempts: 1, upstreamStatus: 200 } as const;
      const { settlement, outcomes } = settle([{ operation: syncOperation(1, { a: { b: 1 }, c: null }), result }]);
      expect(outcomes.get('op1')).toEqual({ kind: 'refused', operationId: 'op1', auditId: 'audit1', ...refusal });
      expect(settlement.audit[0]?.payload).toMatchObject({
        outcome: 'refused',
        code: refusal.code,
        attempts: 1,
        upstreamStatus: 200,
        // What it was to change.
        changes: [
          { path: '/a/b', scope: 'session', before: null, after: valueHash(1) },
          { path: '/c', scope: 'session', before: null, after: null },
        ],
      });
      expect(settlement.audit[0]?.payload).not.toHaveProperty('expired');
      expect(settlement).toMatchObject({ settledPrefix: 1, confirmedVersion: 1 });
      expect(settlement).not.toHaveProperty('idleUntilMs');
    });

    it('has the values in its audit that it led to, and none that it only asked for', () => {
      const changes = [
        { path: '/a', scope: 'session', before: null, after: valueHash('ours') },
        { path: '/b', scope: 'session', before: valueHash('ours'), after: valueHash('theirs'), cause: 'bot' },
        { path: '/secret', scope: 'session', before: null, after: valueHash('secret') },
        // Of the schema's, or of another operation: it has not said this.
        { path: '/filled', scope: 'session', before: null, after: valueHash('default') },
        { path: '/gone', scope: 'session', before: valueHash(1), after: null },
      ] as const;
      const applied = { mirror: EMPTY_MIRROR, changes: new Map([['op1', changes]]) };
      const { settlement } = settle(
        [{ operation: syncOperation(1, { a: 'ours', b: 'ours', secret: 'secret' }), result: confirmed }],
        {},
        { applied, planned: applied, isMasked: (path) => path === '/secret' },
      );
      expect(settlement.audit[0]?.payload.changes.map(({ path, value }) => [path, value])).toEqual([
        ['/a', 'ours'],
        ['/b', undefined],
        ['/secret', undefined],
        ['/filled', undefined],
        ['/gone', undefined],
      ]);
    });
  });

  describe('answers', () => {
    it('are kept for a key and for another client, not for the one that waits here without a key', () => {
      const { settlement } = settle(
        [
          { operation: operation(1), result: confirmed },
          { operation: operation(2, { idempotencyHash: 'key' }), result: confirmed },
          { operation: operation(3), result: confirmed },
        ],
        {},
        { ownOperationId: 'op3' },
      );
      expect(settlement.answers.map(({ outcomeId }) => outcomeId)).toEqual(['op1', 'key']);
    });

    it('that say no are kept under their key, with the paths in dispute; the key is not given free', () => {
      const result: WriteResult = { kind: 'refused', code: 'conflict', attempts: 4, paths: ['/k1'] };
      const own = { operation: operation(1, { idempotencyHash: 'key' }), result };
      const { settlement } = settle([own], {}, { ownOperationId: 'op1' });
      expect(settlement.releasedKeys).toEqual([]);
      const { outcomes } = settle([{ ...own, result: refused('conflict') }]);
      expect(outcomes.get('op1')).not.toHaveProperty('paths');
      expect(settlement.answers).toEqual([
        { outcomeId: 'key', fingerprint: 'f1', outcome: expect.objectContaining({ code: 'conflict', paths: ['/k1'] }) },
      ]);
    });
  });

  describe('the next look of the schedule', () => {
    const pending = (attempts: number, lane: Partial<Lane> = {}, retryAtMs?: number) =>
      settle([{ operation: operation(1), result: unavailable(attempts, retryAtMs) }], lane, { retryAtMs }).settlement;

    it('comes later with every attempt in vain, up to a quarter of an hour', () => {
      expect(pending(1).dueAtMs).toBe(NOW + 5_000);
      expect(pending(1, { deferrals: 3 }).dueAtMs).toBe(NOW + 40_000);
      expect(pending(1, { deferrals: 40 }).dueAtMs).toBe(NOW + 900_000);
    });

    it('comes at a random moment of the second half of that time', () => {
      const attempts = [{ operation: operation(1), result: unavailable(1) }];
      expect(settle(attempts, {}, { jitter: 0 }).settlement.dueAtMs).toBe(NOW + 2_500);
      expect(settle(attempts, { deferrals: 1 }, { jitter: 0.5 }).settlement.dueAtMs).toBe(NOW + 7_500);
    });

    it('is forgotten by what succeeds, also where there is more behind it', () => {
      const [done, behind] = [operation(1), operation(2)];
      const lane = laneWith([done, behind], { deferrals: 3, dueAtMs: NOW + 900_000 });
      const { settlement } = settle([{ operation: done, result: confirmed }], lane);
      expect(settlement).toMatchObject({ settledPrefix: 1, deferrals: 0, dueAtMs: NOW + 60_000 });
    });

    it('is for whoever pushes now, where more is looked at next', () => {
      const attempts = [{ operation: operation(1), result: confirmed }];
      const more = { hasMore: true };
      expect(settle(attempts, { dueAtMs: NOW + 900_000 }, more).settlement.dueAtMs).toBe(NOW + 900_000);
      expect(settle(attempts, {}, more).settlement.dueAtMs).toBe(NOW);
    });

    it('stays as it was for what waits in the journal, when nothing of it was looked at', () => {
      const lane = laneWith([operation(1)], { deferrals: 4, dueAtMs: NOW + 300_000 });
      expect(settle([], lane).settlement).toMatchObject({
        deferrals: 4,
        dueAtMs: NOW + 300_000,
        isOtherwiseIdle: false,
      });
    });

    it('stays as it was when only refusals were linked', () => {
      const waiting = operation(1);
      const lane = laneWith([waiting], { deferrals: 4, deferredVersion: 1, dueAtMs: NOW + 300_000, hasRefusals: true });
      expect(settle([], lane).settlement).toMatchObject({ settledPrefix: 0, deferrals: 4, dueAtMs: NOW + 300_000 });
    });

    it('is not put off for work that was not even tried', () => {
      expect(pending(0, { deferrals: 3 })).toMatchObject({ deferrals: 3, dueAtMs: NOW + 5_000 });
    });

    it('is not put off for work that only our own budget has kept from its second request', () => {
      const stoppedAfter = (upstreamStatus: number): Attempt => ({
        operation: operation(1),
        result: { kind: 'unavailable', reason: 'budget', attempts: 1, outcomeUnknown: false, upstreamStatus },
      });
      expect(settle([stoppedAfter(200)], { deferrals: 7 }).settlement).toMatchObject({
        deferrals: 7,
        dueAtMs: NOW + 5_000,
      });
      // It was not the budget, or that was not all.
      const timedOut = { ...stoppedAfter(200), result: { ...unavailable(1), upstreamStatus: 200 } };
      expect(settle([timedOut], { deferrals: 7 }).settlement).toMatchObject({ deferrals: 8 });
      const notLetIn = { ...stoppedAfter(200), result: { ...refused('upstream-bad-response'), upstreamStatus: 200 } };
      expect(settle([notLetIn], { deferrals: 7 }).settlement).toMatchObject({ deferrals: 8 });
      // The upstream was in trouble, too.
      expect(settle([stoppedAfter(503)], { deferrals: 7 }).settlement).toMatchObject({ deferrals: 8 });
    });

    it('never comes before the upstream wants it', () => {
      expect(pending(1, {}, NOW + 120_000).dueAtMs).toBe(NOW + 120_000);
    });

    it('stays where it is for what is to be archived, when that is soon', () => {
      const done = [{ operation: operation(1), result: confirmed }];
      expect(settle(done, { dueAtMs: NOW + 9_500 }).settlement.dueAtMs).toBe(NOW + 9_500);
      expect(settle(done, { dueAtMs: NOW - 1 }).settlement.dueAtMs).toBe(NOW + 60_000);
      expect(settle(done, { dueAtMs: NOW }).settlement.dueAtMs).toBe(NOW + 60_000);
      expect(settle(done, { dueAtMs: NOW + 900_000 }).settlement.dueAtMs).toBe(NOW + 60_000);
    });

    it('comes for what is to be archived, and not at all when nothing is left', () => {
      expect(settle([{ operation: operation(1), result: confirmed }]).settlement.dueAtMs).toBe(NOW + 60_000);
      expect(settle([]).settlement).not.toHaveProperty('dueAtMs');
      expect(settle([], { hasOutbox: true }, { outboxArchived: false }).settlement.dueAtMs).toBe(NOW + 60_000);
      expect(settle([], { hasOutbox: true }).settlement).not.toHaveProperty('dueAtMs');
      expect(settle([], {}, { outboxArchived: false }).settlement).not.toHaveProperty('dueAtMs');
      expect(settle([], { hasRefusals: true }).settlement.dueAtMs).toBe(NOW + 60_000);
    });
  });

  describe('the audit trail', () => {
    it('has an entry for every attempt, but none for waiting once more', () => {
      const again = settle([{ operation: operation(1), result: unavailable(0) }], { deferredVersion: 1 });
      expect(again.settlement.audit).toEqual([]);
      const first = settle([{ operation: operation(1), result: unavailable(0) }]);
      expect(first.settlement.audit[0]?.payload).toMatchObject({ outcome: 'pending', code: 'down', attempts: 0 });
      const expired = settle([{ operation: operation(1), result: { kind: 'expired' } }], { deferredVersion: 1 });
      expect(expired.settlement.audit[0]?.payload).toMatchObject({ outcome: 'refused', attempts: 0 });
      const tried = settle([{ operation: operation(1), result: unavailable(3) }], { deferredVersion: 1 });
      expect(tried.settlement.audit[0]?.payload).toMatchObject({ outcome: 'pending', code: 'down', attempts: 3 });
    });

    it('says of what was refused what was to change, and of nothing that it had expired', () => {
      const { settlement } = settle([{ operation: operation(1), result: refused('upstream-rejected') }]);
      const [entry] = settlement.audit;
      expect(entry?.payload.changes).toEqual([{ path: '/k1', scope: 'session', before: null, after: valueHash(1) }]);
      expect(entry?.payload).not.toHaveProperty('expired');
    });

    it('says all that is known of a confirmed operation, and nothing else', () => {
      const { settlement } = settle([{ operation: operation(1), result: confirmed }], {}, { mirrorVersion: 0 });
      expect(settlement.audit).toStrictEqual([
        {
          operationId: 'op1',
          atMs: NOW,
          payload: {
            auditId: 'audit1',
            operation: 'inject',
            client: 'crm',
            correlationId: 'c',
            outcome: 'confirmed',
            changes: [{ path: '/k1', scope: 'session', before: null, after: valueHash(1) }],
            versionBefore: 0,
            versionAfter: 1,
            attempts: 1,
            latencyMs: 40,
            upstreamStatus: 200,
          },
        },
      ]);
    });

    it('says of no status where there was no answer', () => {
      const { settlement } = settle([{ operation: operation(1), result: unavailable(2) }]);
      expect(settlement.audit[0]?.payload).not.toHaveProperty('upstreamStatus');
    });

    it('has the CRM data of an operation once, with how it ended', () => {
      const crm = { source: 'hubspot', recordId: '7' };
      const entryOf = (result: WriteResult) =>
        settle([{ operation: crmOperation(1, crm), result }]).settlement.audit[0]?.payload;
      expect(entryOf(confirmed)).toMatchObject({ crm });
      expect(entryOf(refused('conflict'))).toMatchObject({ crm });
      expect(entryOf(unavailable(1))).not.toHaveProperty('crm');
      const without = settle([{ operation: crmOperation(1, undefined), result: confirmed }]);
      expect(without.settlement.audit[0]?.payload).not.toHaveProperty('crm');
      const sync = settle([{ operation: syncOperation(1, { a: 1 }), result: confirmed }]);
      expect(sync.settlement.audit[0]?.payload).not.toHaveProperty('crm');
    });

    it('SCENARIO 2: names the hash of what a later operation has overwritten', () => {
      const variables = (value: number) =>
        ({ kind: 'inject', variables: [{ key: 'k', value, scope: 'session' }] }) as const;
      const { settlement } = settle([
        { operation: { ...operation(1), payload: variables(1) }, result: confirmed },
        { operation: { ...operation(2), payload: variables(2) }, result: confirmed },
      ]);
      const [loser, winner] = settlement.audit.map(({ payload }) => payload.changes[0]);
      expect(loser?.before).toBeNull();
      expect(winner?.before).toBe(loser?.after);
    });

    it('counts versions by what took effect', () => {
      const { settlement } = settle(
        [
          { operation: operation(8), result: refused('upstream-rejected') },
          { operation: operation(9), result: confirmed },
          { operation: operation(10), result: refused('upstream-rejected') },
        ],
        {},
        { mirrorVersion: 7 },
      );
      const versions = settlement.audit.map(({ payload }) => [payload.versionBefore, payload.versionAfter]);
      expect(versions).toEqual([
        [7, 7],
        [7, 9],
        [9, 9],
      ]);
    });

    it('counts no version backwards, where an injection was confirmed before a sync that had been committed earlier', () => {
      const attempts = [
        { operation: syncOperation(8, { a: 1 }), result: confirmed },
        { operation: operation(11), result: confirmed },
      ];
      const { settlement } = settle(attempts, {}, { mirrorVersion: 10 });
      const versions = settlement.audit.map(({ payload }) => [payload.versionBefore, payload.versionAfter]);
      expect(versions).toEqual([
        [10, 10],
        [10, 11],
      ]);
    });

    it('holds values only where the tenant wants them', () => {
      const attempts = [{ operation: operation(1), result: confirmed }];
      expect(JSON.stringify(settle(attempts).settlement.audit)).not.toContain('"value"');
      const { settlement } = settle(attempts, {}, { isMasked: () => false });
      expect(settlement.audit[0]?.payload.changes[0]).toMatchObject({ path: '/k1', value: 1 });
    });

    it('holds each variable’s own value, also of one key in two scopes', () => {
      const variables = [
        { key: 'a', value: 1, scope: 'session' },
        { key: 'k', value: 2, scope: 'session' },
        { key: 'k', value: 3, scope: 'user' },
      ] as const;
      const payload = { kind: 'inject', variables } as const;
      const attempts = [{ operation: { ...operation(1), payload }, result: confirmed }];
      const { settlement } = settle(attempts, {}, { isMasked: () => false });
      const held = settlement.audit[0]?.payload.changes.map(({ path, scope, value }) => [path, scope, value]);
      expect(held).toEqual([
        ['/a', 'session', 1],
        ['/k', 'session', 2],
        ['/k', 'user', 3],
      ]);
    });

    it('names what had expired before it could leave', () => {
      const { settlement, outcomes } = settle(
        [{ operation: operation(1), result: { kind: 'expired' } }],
        {},
        {
          planned: { mirror: EMPTY_MIRROR, changes: new Map() },
        },
      );
      expect(outcomes.get('op1')).toEqual({
        kind: 'refused',
        operationId: 'op1',
        auditId: 'audit1',
        code: 'expired-before-push',
      });
      expect(settlement.audit[0]?.payload).toMatchObject({
        changes: [],
        expired: [{ path: '/k1', scope: 'session' }],
        attempts: 0,
      });
    });
  });
});
