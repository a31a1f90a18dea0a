import { describe, expect, it } from 'vitest';
import { AT_MS, Ledger, put, SESSION } from '../../fixtures/kill/ledger.ts';
import { account } from '../../kill/accounting/account.ts';
import type { DepartureEvidence, Evidence } from '../../kill/evidence.ts';

/** The rules that are broken, each once. */
function broken(ledger: Ledger, more: Partial<Evidence> = {}): string[] {
  return [...new Set(account(ledger.evidence(more)).map(({ rule }) => rule))].sort();
}

const moved = { kind: 'dialog-state', writes: [put('/cart', 'r1')], nextStep: 'step-r1' } as const;

describe('The books balance', () => {
  it('with one request of each kind, answered and confirmed', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1'), put('/a', 'r1', { scope: 'user' })] })
      .add({ id: 'r2', kind: 'sync', writes: [put('/b', 'r2')] })
      .add({ ...moved, id: 'r3' })
      .add({ id: 'r4', kind: 'webhook', writes: [put('/last_user_message', 'r4')] })
      .add({ id: 'r5', kind: 'crm', writes: [put('/crm_tier', 'r5', { scope: 'user' })] });
    expect(account(ledger.evidence())).toEqual([]);
  });

  it('with a request that had no answer and took effect, wholly or not at all', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1'), put('/b', 'r1')], answers: ['lost'] })
      .add({ id: 'r2', writes: [put('/a', 'r2')], answers: ['lost'], outcome: 'none' });
    expect(account(ledger.evidence())).toEqual([]);
  });

  it('with one that was repeated, and one that was sent to the tenant again', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1')], answers: ['lost', 202, 200] })
      .add({ id: 'r2', writes: [put('/b', 'r2')], times: 2 });
    expect(account(ledger.evidence())).toEqual([]);
  });

  it('with one that was accepted and refused later, as the audit trail says', () => {
    const ledger = new Ledger().add({
      id: 'r1',
      writes: [put('/a', 'r1', { ttlSeconds: 1 })],
      answers: [202],
      outcome: 'refused',
      code: 'expired-before-push',
    });
    expect(account(ledger.evidence())).toEqual([]);
  });

  it('with a change of a dialog in dispute, whether it was made or not', () => {
    const dispute = { ...moved, id: 'r1', answers: ['lost', 409], outcome: 'refused', code: 'conflict' } as const;
    expect(broken(new Ledger().add({ ...dispute, times: 1 }))).toEqual([]);
    expect(broken(new Ledger().add({ ...dispute, times: 0 }))).toEqual([]);
  });

  it('with what has expired gone', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/otp', 'r1', { ttlSeconds: 5 })] }).forget('otp');
    expect(account(ledger.evidence())).toEqual([]);
  });

  it('with the same event delivered twice', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] }).deliver('op-r1', 'context.injected');
    expect(account(ledger.evidence())).toEqual([]);
  });
});

describe('A lost operation is reported', () => {
  it.each([200, 202])('answered %i, and in no audit trail', (status) => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')], answers: [status], outcome: 'none' });
    expect(broken(ledger)).toContain('lost');
  });

  it('answered 202, and still pending there', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')], answers: [202], outcome: 'pending' });
    expect(broken(ledger)).toContain('lost');
  });

  it('in the trail under another id than its client was told', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1')], outcome: 'none', times: 1 })
      .trail({ id: 'r1', operationId: 'op-other' })
      .deliver('op-other', 'context.injected');
    expect(broken(ledger)).toEqual(['lost']);
  });

  it('where a 202 has pointed, there is no end', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] });
    expect(broken(ledger, { followed: [{ location: '/audit', outcomes: ['pending'] }] })).toEqual(['lost']);
  });

  it('told as confirmed and recorded as refused, or the reverse', () => {
    const confirmed = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')], outcome: 'refused', code: 'conflict' });
    expect(broken(confirmed)).toEqual(['contradiction']);
    const refused = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')], answers: [409] });
    expect(broken(refused)).toEqual(['contradiction']);
  });
});

describe('A double effect is reported', () => {
  it('of one key, by two operations', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1')], answers: ['lost', 200] })
      .trail({ id: 'r1', operationId: 'op-again' })
      .deliver('op-again', 'context.injected');
    expect(broken(ledger)).toEqual(['double-effect']);
  });

  it('of one operation that has ended twice', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] }).trail({ id: 'r1' });
    expect(broken(ledger)).toEqual(['double-effect']);
  });
});

describe('A wrong final value is reported', () => {
  it('an earlier one than the last in commit order', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1')], version: 2 })
      .add({ id: 'r2', writes: [put('/a', 'r2')], version: 1 });
    expect(broken(ledger)).toEqual(['wrong-value']);
  });

  it('none at all', () => {
    expect(broken(new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] }).forget('a'))).toEqual(['wrong-value']);
  });

  it('in another scope', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: [put('/a', 'r1', { scope: 'user' })] })
      .forget('a')
      .bot(put('/a', 'r1', { scope: 'session' }));
    expect(broken(ledger)).toContain('wrong-value');
  });

  it('one that has expired and is still there', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/otp', 'r1', { ttlSeconds: 5 })] });
    expect(broken(ledger)).toEqual(['wrong-value']);
  });

  it('but not the one before what was left out because it had expired on the way', () => {
    const late = {
      id: 'r2',
      writes: [put('/held', 'r2', { ttlSeconds: 1 }), put('/b', 'r2')],
      sent: [put('/b', 'r2')],
    };
    const expired = [{ path: '/held', scope: 'session' }] as const;
    const held = () => new Ledger().add({ id: 'r1', writes: [put('/held', 'r1')] });
    expect(broken(held().add({ ...late, expired, arrivedAtMs: AT_MS + 2_000 }))).toEqual([]);
    expect(broken(held().add({ ...late, expired }))).toEqual(['partial-effect']);
    expect(broken(held().add({ ...late, arrivedAtMs: AT_MS + 2_000 }))).toEqual(['wrong-value']);
  });

  it('the bridge’s, where it differs from the bot’s', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] });
    const sessions = ledger.evidence().sessions.map((session) => ({ ...session, context: {} }));
    expect(broken(ledger, { sessions })).toEqual(['mirror-differs']);
  });
});

describe('A transition is reported', () => {
  it('that was made twice', () => {
    expect(broken(new Ledger().add({ ...moved, id: 'r1', times: 2 }))).toEqual(['transition-repeated']);
  });

  it('that was made twice although it is in dispute', () => {
    const ledger = new Ledger().add({
      ...moved,
      id: 'r1',
      answers: [409],
      outcome: 'refused',
      code: 'conflict',
      times: 2,
    });
    expect(broken(ledger)).toEqual(['transition-repeated']);
  });

  it('that was confirmed and never made', () => {
    const ledger = new Ledger().add({ ...moved, id: 'r1', writes: [], times: 0 });
    expect(broken(ledger)).toEqual(['transition-missing']);
  });

  it('that was made without being recorded', () => {
    const ledger = new Ledger().add({ ...moved, id: 'r1', writes: [], answers: ['lost'], outcome: 'none', times: 1 });
    expect(broken(ledger)).toEqual(['unrecorded-effect']);
  });
});

describe('Without an answer all of a request happens, or nothing', () => {
  const both = [put('/a', 'r1'), put('/b', 'r1')];

  it('some of it is reported', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: both, answers: ['lost'], sent: both.slice(0, 1) });
    expect(broken(ledger)).toEqual(['partial-effect', 'wrong-value']);
  });

  it('all of it is fine where another’s has taken the place of some in the same request', () => {
    const ledger = new Ledger()
      .add({ id: 'r1', writes: both, answers: ['lost'], sent: [put('/a', 'r1'), put('/b', 'r2')] })
      .add({ id: 'r2', writes: [put('/b', 'r2')] });
    expect(broken(ledger)).toEqual([]);
  });

  it('what has reached the bot and is in no audit trail is reported', () => {
    const ledger = new Ledger().add({ id: 'r1', writes: both, answers: ['lost'], outcome: 'none', times: 1 });
    expect(broken(ledger)).toContain('unrecorded-effect');
  });

  it('what was refused and has reached the bot is, too', () => {
    const ledger = new Ledger().add({
      id: 'r1',
      writes: both,
      answers: [400],
      outcome: 'refused',
      code: 'x',
      times: 1,
    });
    expect(broken(ledger)).toContain('unrecorded-effect');
  });
});

describe('What nobody has asked for is reported', () => {
  it('an operation', () => {
    const ledger = new Ledger().trail({ id: 'nobody' }).deliver('op-nobody', 'context.injected');
    expect(broken(ledger)).toEqual(['stranger']);
  });

  it.each([
    ['a value', [put('/a', 'r1')]],
    ['a variable', [put('/z', 'r1')]],
  ])('%s', (_, [write]) => {
    const variables = [{ key: write?.path.slice(1) ?? '', value: 'other', scope: 'session', expiresAt: null }];
    const ledger = new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] }).journal({ body: { variables } });
    expect(broken(ledger)).toEqual(['stranger']);
  });
});

describe('Trails, budget, deliveries', () => {
  const ledger = () => new Ledger().add({ id: 'r1', writes: [put('/a', 'r1')] });

  it('a chain that does not verify is reported, and what is pending', () => {
    const evidence = ledger().evidence();
    const chain = { valid: false, brokenAt: 1 };
    const sessions = evidence.sessions.map((session) => ({ ...session, chain, pendingOperations: 2 }));
    expect(broken(ledger(), { sessions })).toEqual(['chain-broken', 'still-pending']);
  });

  it('a CRM’s event that was applied after one that occurred later is reported', () => {
    const event = (id: string) => ({ id, kind: 'crm', writes: [put('/crm_tier', id, { scope: 'user' })] }) as const;
    const evidence = new Ledger().add(event('r1')).add(event('r2')).evidence();
    const exchanges = evidence.exchanges.map((exchange, index) => ({
      ...exchange,
      request: { ...exchange.request, occurredAtMs: AT_MS - index },
    }));
    expect(account({ ...evidence, exchanges })).toEqual([{ rule: 'late-event', what: `r2 in ${SESSION}` }]);
  });

  it('one request too many in some minute is reported, and none where they are as many as allowed', () => {
    const requests = [0, 30_000, 59_999].map((ms) => AT_MS + 1_000 + ms);
    const filled = () => requests.reduce((all, at) => all.journal({ at, method: 'GET', applied: false }), new Ledger());
    expect(broken(filled(), { ratePerMinute: 3 })).toEqual([]);
    expect(broken(filled(), { ratePerMinute: 2 })).toEqual(['over-budget']);
    const tokens = filled().journal({ at: AT_MS + 61_000, surface: 'token', applied: false });
    expect(broken(tokens, { ratePerMinute: 3 })).toEqual([]);
  });

  it('a 429 is reported, and a journal without its beginning', () => {
    expect(broken(ledger().journal({ status: 429, applied: false }))).toEqual(['throttled']);
    expect(broken(ledger().journal({ seq: 7, applied: false }))).toEqual(['journal-incomplete']);
  });

  it('an outcome that was not told is reported, unless it may still come', () => {
    expect(broken(ledger(), { deliveries: [] })).toEqual(['event-missing']);
    expect(broken(ledger(), { deliveries: [], areDeliveriesComplete: false })).toEqual([]);
  });

  it.each([
    ['of no operation', 'op-none', 'context.injected', {}, 'event-wrong'],
    ['without a signature that fits', 'op-r1', 'context.injected', { verified: false }, 'event-wrong'],
    ['the same id in other words', 'op-r1', 'context.injected', { rest: '/b' }, 'event-differs'],
    ['the same id as another type', 'op-r1', 'context.synced', {}, 'event-differs'],
  ])('a delivery %s is reported', (_, id, type, more, rule) => {
    expect(broken(ledger().deliver(id, type, more))).toEqual([rule]);
  });
});

describe('Somebody who has gone', () => {
  const GONE = 'gone_c1-1';
  const entry = (operation: string, seq: number) => ({
    seq,
    operationId: `op-${seq}`,
    operation,
    client: 'shop',
    correlationId: `c1-1.${seq}`,
    outcome: 'confirmed' as const,
  });
  const answered = (status: number) => [
    { correlationId: 'c1-1.1', sentAtMs: AT_MS, answer: { status, body: undefined } },
  ];
  const gone = (more: Partial<DepartureEvidence> = {}) => ({
    departures: [
      {
        sessionId: GONE,
        put: answered(202),
        erase: answered(204),
        endedAtMs: AT_MS,
        isKnown: false,
        trail: [entry('inject', 1), entry('erase', 2)],
        chain: { valid: true, brokenAt: null },
        ...more,
      },
    ],
  });
  const sent = (afterMs: number) => new Ledger().journal({ sessionId: GONE, at: AT_MS + afterMs, applied: true });

  it('is no matter, whether anything had been put or not; nor is what was on its way, or what was told of him before', () => {
    expect(broken(sent(500).deliver('op-1', 'context.injected', { sessionId: GONE }), gone())).toEqual([]);
    const unknown = { put: [{ correlationId: 'c1-1.1', sentAtMs: AT_MS }], trail: [] };
    expect(broken(new Ledger(), gone(unknown))).toEqual([]);
  });

  it.each<[string, Partial<DepartureEvidence>, string]>([
    ['is known again', { isKnown: true }, 'erased-returns'],
    ['has a trail that goes on', { trail: [entry('erase', 1), entry('inject', 2)] }, 'erased-returns'],
    ['was acknowledged, and has no erase', { trail: [] }, 'lost'],
    ['was never told that he is erased', { erase: answered(503) }, 'lost'],
    ['has a chain that does not verify', { chain: { valid: false, brokenAt: 1 } }, 'chain-broken'],
  ])('is reported where he %s', (_, more, rule) => {
    expect(broken(new Ledger(), gone(more))).toEqual([rule]);
  });

  it('is reported where something is sent to him long after', () => {
    expect(broken(sent(5_000), gone())).toEqual(['erased-returns']);
  });
});
