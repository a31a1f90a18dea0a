import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Bridge, LOCAL_KEY, startBridge } from '../fixtures/stack/bridge.ts';
import { travel } from '../fixtures/stack/time.ts';

let bridge: Bridge;
beforeAll(async () => {
  bridge = await startBridge({
    clients: [
      { name: 'reader', apiKey: 'reader-key', operations: ['inspect'] },
      { name: 'crm', apiKey: 'crm-key', operations: ['dialog-state'], keyPrefixes: ['crm_'] },
    ],
  });
});
afterAll(() => bridge.close());
beforeEach(() => bridge.tenant.reset());

const PATCH = { session: { cart_total: 42.5 }, user: { tier: 'gold' }, transition: { nextStep: 'process_checkout' } };
let dialogs = 0;
const newDialog = () => {
  dialogs += 1;
  return `dlg_${dialogs}`;
};
const patches = (dialogId: string) =>
  bridge.tenant.journal
    .entries({ surface: 'dialog-state', sessionId: dialogId })
    // A tenant that was reset wants a new token first.
    .filter(({ method, status }) => method === 'PATCH' && status !== 401);

/** A value nested so many levels deep. */
const nested = (levels: number): object => (levels === 1 ? {} : { a: nested(levels - 1) });

describe('PATCH /v1/dialogs/{dialogId}/state', () => {
  it('sets variables and moves the dialog on with one request, and says under which tag', async () => {
    const dialogId = newDialog();
    const reply = await bridge.dialog(dialogId, PATCH);
    expect(reply.status).toBe(200);
    expect(reply.headers['etag']).toBe('"2"');
    expect(reply.body).toEqual({
      status: 'updated',
      dialogId,
      version: 1,
      visibility: 'confirmed',
      result: { session: PATCH.session, user: PATCH.user, version: 2 },
      operationId: expect.any(String),
      auditId: expect.any(String),
    });
    expect(patches(dialogId).map(({ body, headers }) => [body, headers['if-match']])).toEqual([[PATCH, undefined]]);
    expect(bridge.tenant.sessions.inspect(dialogId)).toMatchObject({ nextStep: 'process_checkout' });
  });

  it('keeps its history: versions, who, when', async () => {
    const dialogId = newDialog();
    await bridge.dialog(dialogId, { session: { a: 1 } });
    await bridge.dialog(dialogId, { session: { a: 2 }, transition: { nextStep: 'two' } });
    const { body: now } = await bridge.get(`/v1/sessions/${dialogId}`);
    expect(now.context).toEqual({ a: 2 });
    expect(now.variables).toMatchObject([{ path: '/a', source: 'local', version: 2, updatedAt: expect.any(String) }]);
    const { body: before } = await bridge.get(`/v1/sessions/${dialogId}?version=1`);
    expect(before.context).toEqual({ a: 1 });
    const { entries } = await bridge.audit(dialogId);
    expect(entries).toMatchObject([
      { operation: 'dialog-state', nextStep: 'two', client: 'local' },
      { client: 'local' },
    ]);
  });

  it('SCENARIO 12: answers a repeated key again, and a key used for something else with 422', async () => {
    const dialogId = newDialog();
    const first = await bridge.dialog(dialogId, PATCH, { 'idempotency-key': 'k' });
    const again = await bridge.dialog(dialogId, PATCH, { 'idempotency-key': 'k' });
    expect(again.body).toEqual(first.body);
    expect(again.headers['etag']).toBe(first.headers['etag']);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(patches(dialogId)).toHaveLength(1);
    const other = await bridge.dialog(dialogId, { session: { a: 1 } }, { 'idempotency-key': 'k' });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-mismatch']);
  });
});

describe('SCENARIO 4: If-Match', () => {
  it('is honoured: the tag of the last answer fits, an older one is 412 with the present one', async () => {
    const dialogId = newDialog();
    const first = await bridge.dialog(dialogId, { session: { a: 1 } });
    const etag = first.headers['etag'] ?? '';
    const second = await bridge.dialog(dialogId, { session: { a: 2 } }, { 'if-match': etag });
    expect(second.status).toBe(200);
    const stale = await bridge.dialog(dialogId, { session: { a: 3 } }, { 'if-match': etag });
    expect([stale.status, stale.body.code]).toEqual([412, 'version-mismatch']);
    expect(stale.headers['etag']).toBe(second.headers['etag']);
    expect(bridge.bot(dialogId)).toEqual({ a: 2 });
    const mended = await bridge.dialog(dialogId, { session: { a: 3 } }, { 'if-match': stale.headers['etag'] ?? '' });
    expect(mended.status).toBe(200);
  });

  it.each(['7', 'abc', '"a', '"a", "b"', 'W/7', ''])('malformed (%j) is 400, and nothing is sent', async (ifMatch) => {
    const dialogId = newDialog();
    const reply = await bridge.dialog(dialogId, PATCH, { 'if-match': ifMatch });
    expect([reply.status, reply.body.code]).toEqual([400, 'invalid-if-match']);
    expect(patches(dialogId)).toEqual([]);
  });

  it('of * says that any will do', async () => {
    expect((await bridge.dialog(newDialog(), PATCH, { 'if-match': '*' })).status).toBe(200);
  });

  it('is no part of what an idempotency key is for', async () => {
    const dialogId = newDialog();
    await bridge.dialog(dialogId, PATCH, { 'idempotency-key': 'k' });
    const again = await bridge.dialog(dialogId, PATCH, { 'idempotency-key': 'k', 'if-match': '"1"' });
    expect(again.status).toBe(200);
  });
});

describe('A body that is wrong', () => {
  it.each<[string, object, string, string[]]>([
    ['nothing to do', {}, 'validation-failed', ['']],
    ['nothing in it', { session: {}, user: {} }, 'validation-failed', ['']],
    ['no transition', { transition: {} }, 'validation-failed', ['/transition/nextStep', '']],
    ['an empty step', { transition: { nextStep: '' } }, 'validation-failed', ['/transition/nextStep']],
    ['a list', { session: [] }, 'validation-failed', ['/session']],
    ['a member that nobody knows', { session: { a: 1 }, bot: {} }, 'validation-failed', ['/bot']],
    ['a name with a hyphen', { session: { 'a-b': 1 } }, 'validation-failed', ['/session/a-b']],
    ['a name that begins with a digit', { user: { '1a': 1 } }, 'validation-failed', ['/user/1a']],
    ['a name that is not ASCII', { user: { größe: 1 } }, 'validation-failed', ['/user/größe']],
    ['a reserved name', { user: { cognigy_x: 1 } }, 'reserved-key', ['/user/cognigy_x']],
    [
      'reserved names',
      { session: { _cognigy: 1, _sessionId: 1 }, user: { _user_x: 1 } },
      'reserved-key',
      ['/session/_cognigy', '/session/_sessionId', '/user/_user_x'],
    ],
    ['SCENARIO 34: too deep', { session: { a: nested(4) } }, 'validation-failed', ['/session/a']],
    [
      'SCENARIO 35: all of it at once',
      { session: { _cognigy: 1, 'a b': nested(4) }, user: 7, extra: 1 },
      'validation-failed',
      ['/user', '/extra', '/session/_cognigy', '/session/a b', '/session/a b'],
    ],
  ])('%s: 422 with every place, and nothing is sent', async (_what, body, code, pointers) => {
    const dialogId = newDialog();
    const reply = await bridge.dialog(dialogId, body);
    expect([reply.status, reply.body.code]).toEqual([422, code]);
    expect(reply.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([...pointers].sort());
    expect(patches(dialogId)).toEqual([]);
    const { entries } = await bridge.audit(dialogId);
    expect(entries).toMatchObject([{ operation: 'dialog-state', outcome: 'refused', code }]);
  });

  it('SCENARIO 28: three levels are fine', async () => {
    expect((await bridge.dialog(newDialog(), { session: { a: nested(3) } })).status).toBe(200);
  });

  it('SCENARIO 28: a request of exactly the limit is sent, one byte more is 413', async () => {
    const frame = Buffer.byteLength(JSON.stringify({ session: { a: 'é' } })) - 2;
    const fits = { session: { a: `é${'x'.repeat(524_288 - frame - 2)}` } };
    const accepted = await bridge.dialog(newDialog(), fits);
    expect(accepted.status).toBe(200);
    const dialogId = newDialog();
    const larger = await bridge.dialog(dialogId, { session: { a: `${fits.session.a}x` } });
    expect([larger.status, larger.body.code]).toEqual([413, 'payload-too-large']);
    expect(patches(dialogId)).toEqual([]);
  });

  it('SCENARIO 28: a variable of more than a mebibyte is 413 at its place', async () => {
    const reply = await bridge.dialog(newDialog(), { session: { a: 'x'.repeat(1_048_575) } });
    expect([reply.status, reply.body.errors[0]?.pointer]).toEqual([413, '/session/a']);
  });

  it.each(['__proto__', 'constructor', 'prototype'])('SCENARIO 31: %s is refused at any depth', async (name) => {
    for (const body of [`{"session":{"${name}":1}}`, `{"user":{"a":{"${name}":{}}}}`]) {
      const reply = await bridge.dialog(newDialog(), body);
      expect([reply.status, reply.body.code]).toEqual([422, 'validation-failed']);
    }
  });

  it('SCENARIO 32: a name given twice is 400', async () => {
    const reply = await bridge.dialog(newDialog(), '{"session":{"a":1,"a":2}}');
    expect([reply.status, reply.body.code]).toEqual([400, 'duplicate-json-key']);
  });

  it('SCENARIO 33: text that looks like a number arrives as it is', async () => {
    const dialogId = newDialog();
    const session = { a: '007', b: '+491701234567', c: '1_000', d: 'NaN', e: '1e3', f: ' 5' };
    await bridge.dialog(dialogId, { session });
    expect(bridge.bot(dialogId)).toEqual(session);
  });
});

describe('Who gets in', () => {
  it.each([
    ['SCENARIO 36: nobody without a key', { authorization: '' }, 401],
    ['SCENARIO 36: nobody with a wrong key', { authorization: 'Bearer no' }, 401],
    ['SCENARIO 36: no client without the grant', { authorization: 'Bearer reader-key' }, 403],
    ['SCENARIO 36: no client beyond its prefixes', { authorization: 'Bearer crm-key' }, 403],
    ['a client with the grant', { authorization: `Bearer ${LOCAL_KEY}` }, 200],
  ])('%s', async (_who, headers, status) => {
    expect((await bridge.dialog(newDialog(), PATCH, headers)).status).toBe(status);
  });

  it.each(['..%2F..%2Fadmin', '%2e%2e%2f', 'a%0d%0ab', 'x'.repeat(10_240), '-a'])(
    'SCENARIO 39: an id such as %s is 400 and reaches nothing',
    async (id) => {
      const response = await fetch(`${bridge.url}/v1/dialogs/${id}/state`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${LOCAL_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify(PATCH),
      });
      expect(response.status).toBe(400);
      expect(bridge.tenant.journal.entries({ surface: 'dialog-state' })).toEqual([]);
    },
  );
});

describe('An upstream in trouble', () => {
  const at = { surface: 'dialog-state' } as const;
  it.each([
    ['SCENARIO 18: 403', { status: 403 }, 502, 'upstream-forbidden'],
    ['SCENARIO 18: 401 again and again', { status: 401 }, 502, 'upstream-unauthorized'],
    ['SCENARIO 20: 404', { status: 404 }, 410, 'session-ended'],
    ['SCENARIO 23: a redirect', { redirectTo: 'http://127.0.0.1:9/' }, 502, 'upstream-bad-response'],
    ['a refusal', { status: 400 }, 502, 'upstream-rejected'],
  ])('%s', async (_what, action, status, code) => {
    bridge.tenant.faults.add({ match: at, times: 0, action });
    const reply = await bridge.dialog(newDialog(), PATCH);
    expect([reply.status, reply.body.code]).toEqual([status, code]);
  });

  it('SCENARIO 16: 429 with Retry-After: nobody calls before', async () => {
    const dialogId = newDialog();
    bridge.tenant.faults.add({ match: at, action: { status: 429, headers: { 'retry-after': '2' } } });
    const reply = await bridge.dialog(dialogId, PATCH);
    // Two seconds fit into the client's time: it is waited for, once.
    expect(reply.status).toBe(200);
    const [first, second, ...more] = patches(dialogId);
    expect([first?.status, second?.status, more]).toEqual([429, 200, []]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(2_000);
  });

  it('SCENARIO 24: down: 202 with where to look, and the schedule makes the change', async () => {
    const dialogId = newDialog();
    bridge.tenant.faults.add({ match: at, times: 0, action: { status: 503 } });
    const reply = await bridge.dialog(dialogId, PATCH);
    expect(reply.status).toBe(202);
    expect(reply.body).toMatchObject({ status: 'pending', dialogId, version: 1, visibility: 'queued' });
    expect(reply.headers['location']).toContain(reply.body.operationId);
    expect(bridge.tenant.sessions.inspect(dialogId)?.nextStep ?? null).toBeNull();

    bridge.tenant.faults.clear();
    travel(20_000);
    await bridge.stack.tick();
    expect(bridge.tenant.sessions.inspect(dialogId)).toMatchObject({ nextStep: PATCH.transition.nextStep });
  });

  it('a bot that changes the same thing at the same time: 409 with the places', async () => {
    const dialogId = newDialog();
    await bridge.dialog(dialogId, { session: { a: 1 } });
    bridge.tenant.sessions.changeAsBot(dialogId, { variables: [{ key: 'a', value: 'bot' }] });
    const reply = await bridge.dialog(dialogId, { session: { a: 2 }, transition: { nextStep: 'x' } });
    expect([reply.status, reply.body.code]).toEqual([409, 'conflict']);
    expect(reply.body.errors).toEqual([{ pointer: '/session/a', code: 'conflict', message: 'is in dispute' }]);
    expect(bridge.tenant.sessions.inspect(dialogId)).toMatchObject({ nextStep: null, context: { a: 'bot' } });
  });
});
