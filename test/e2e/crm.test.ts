import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { functionDefinitions, type Invoke, loadFunction } from '../../infra/local/functions.ts';
import { type Bridge, LOCAL_KEY, one, startBridge } from '../fixtures/stack/bridge.ts';
import { type Change, GENERIC, SENDERS, SENDERS_SECRETS, type Sender } from '../fixtures/stack/crmSenders.ts';
import { expectProblem, type Json, type Reply, send, ULID, violations } from '../fixtures/stack/http.ts';
import { captureOutput } from '../fixtures/stack/output.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';
import { Gate } from '../fixtures/store/gate.ts';

const BINDER = { name: 'binder', apiKey: 'key-of-the-binder', operations: ['bindings'] };
const INJECTOR = { name: 'injector', apiKey: 'key-of-the-injector', operations: ['inject', 'audit', 'inspect'] };
const as = ({ apiKey }: { apiKey: string }) => ({ authorization: `Bearer ${apiKey}` });
const MINUTE_MS = 60_000;

let bridge: Bridge;
let counter = 0;
/** A number that no other test uses: for a session, a record, an event. */
const next = () => {
  counter += 1;
  return counter;
};
const newSession = () => `sess_${next()}`;
const newRecord = () => String(7_700_000_000 + next());

const pathOf = (source: string) => `/v1/webhooks/crm/${source}`;
const textOf = (body: Json) => (typeof body === 'string' ? body : JSON.stringify(body));
const signedBy = (sender: Sender, body: string | Uint8Array, more: { secret?: string; atMs?: number } = {}) =>
  sender.sign({ url: `${bridge.url}${pathOf(sender.source)}`, body, secret: sender.secrets[0], ...more });

/** Posts a body in a source's name; signed as it should be, unless headers are given. */
function post(sender: Sender, body: Json, headers?: Record<string, string>): Promise<Reply> {
  const text = body instanceof Uint8Array ? body : textOf(body);
  return send(bridge.url, pathOf(sender.source), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(headers ?? signedBy(sender, text)) },
    body: text,
  });
}

/** Reports a change of a record in the generic CRM. */
const report = (change: Omit<Change, 'number'> & { number?: number }) =>
  post(GENERIC, GENERIC.bodyOf({ number: next(), ...change }));

function binding(method: string, session: string, source: string, record: string, headers = as({ apiKey: LOCAL_KEY })) {
  const path = `/v1/sessions/${encodeURIComponent(session)}/bindings/${source}/${encodeURIComponent(record)}`;
  return send(bridge.url, path, { method, headers });
}
const bind = (session: string, record: string, source = 'generic', headers?: ReturnType<typeof as>) =>
  binding('PUT', session, source, record, headers);
const unbind = (session: string, record: string, source = 'generic', headers?: ReturnType<typeof as>) =>
  binding('DELETE', session, source, record, headers);

/** A session that is bound to a record of a source. */
async function boundSession(record: string, source = 'generic'): Promise<string> {
  const session = newSession();
  expect((await bind(session, record, source)).status).toBe(200);
  return session;
}

const INJECTED = { operationId: expect.stringMatching(ULID), status: 'injected', visibility: 'confirmed' };
const nameless = (reply: Reply, names: readonly string[]) => {
  for (const name of names) expect(reply.text + JSON.stringify(reply.headers)).not.toContain(name);
};

describe('POST /v1/webhooks/crm/{source}', () => {
  beforeAll(async () => {
    bridge = await startBridge({ crmSecrets: SENDERS_SECRETS, clients: [BINDER, INJECTOR] });
  });
  afterAll(() => bridge.close());
  afterEach(() => {
    vi.restoreAllMocks();
    bridge.tenant.faults.clear();
  });

  describe.each(SENDERS)('$source', (sender) => {
    const { source, key, signature, timestamp } = sender;
    const record = newRecord();
    let session: string;
    beforeAll(async () => {
      session = await boundSession(record, source);
    });

    it('takes what is signed as its owner documents it, and the bot knows', async () => {
      const number = next();
      const reply = await post(sender, sender.bodyOf({ number, recordId: record, value: 'gold' }));
      expect(reply.status).toBe(200);
      const outcome = { eventId: sender.eventId(number), outcome: 'applied', sessions: [INJECTED] };
      // HubSpot sends lists, and is answered by one.
      expect([reply.body].flat()).toEqual([outcome]);
      expect(bridge.bot(session)).toMatchObject({ [key]: 'gold' });
      const { entries } = await bridge.audit(session);
      expect(entries[0]).toMatchObject({ operation: 'inject', client: `crm:${source}`, outcome: 'confirmed' });
    });

    it('SCENARIO 37: takes either of two live secrets during a rotation, and what is four minutes old', async () => {
      for (const more of [
        { secret: sender.secrets[0] },
        { secret: sender.secrets[1] },
        { atMs: Date.now() - 240_000 },
        { atMs: Date.now() + 240_000 },
      ]) {
        const body = textOf(sender.bodyOf({ number: next(), recordId: record, value: `v${counter}` }));
        const reply = await post(sender, body, signedBy(sender, body, more));
        expect(reply.status).toBe(200);
        expect([reply.body].flat()).toMatchObject([{ outcome: 'applied' }]);
      }
    });

    it.each<[string, (right: Record<string, string>, body: string) => Record<string, string>]>([
      ['missing', () => ({})],
      ['missing, with an API key in its place', () => as({ apiKey: LOCAL_KEY })],
      ['without its moment', ({ [timestamp]: _moment, ...rest }) => rest],
      ['without itself', ({ [signature]: _signature, ...rest }) => rest],
      ['empty', (right) => ({ ...right, [signature]: '' })],
      ['malformed', (right) => ({ ...right, [signature]: 'nonsense' })],
      ['too short', (right) => ({ ...right, [signature]: right[signature]?.slice(0, -4) ?? '' })],
      ['too long', (right) => ({ ...right, [signature]: `${right[signature]}AAAA` })],
      ['of another version', (right) => ({ ...right, [signature]: `v2,${right[signature]}` })],
      ['of a secret that is over', (_right, body) => signedBy(sender, body, { secret: sender.otherSecret })],
      ['of another body', (_right, body) => signedBy(sender, `${body} `)],
      ['six minutes old', (_right, body) => signedBy(sender, body, { atMs: Date.now() - 360_000 })],
      ['of a time to come', (_right, body) => signedBy(sender, body, { atMs: Date.now() + 360_000 })],
      ['of no moment', (right) => ({ ...right, [timestamp]: 'NaN' })],
      [
        'of another moment',
        (right, body) => ({
          ...right,
          [timestamp]: signedBy(sender, body, { atMs: Date.now() - 60_000 })[timestamp] ?? '',
        }),
      ],
    ])('SCENARIO 37: takes no signature that is %s: nothing happens, nothing is told', async (_what, headersFrom) => {
      const value = `private-${next()}`;
      const body = textOf(sender.bodyOf({ number: next(), recordId: record, value }));
      const right = signedBy(sender, body);
      const before = bridge.requests(session).length;

      const reply = await post(sender, body, headersFrom(right, body));

      expectProblem(reply, 401, 'unauthenticated');
      nameless(reply, [value, record, right[signature] ?? '', ...sender.secrets]);
      expect(bridge.requests(session)).toHaveLength(before);
      // It is not taken for seen either.
      expect([(await post(sender, body, right)).body].flat()).toMatchObject([{ outcome: 'applied' }]);
    });

    it('verifies what API Gateway hands over as base64 on the bytes that were sent', async () => {
      const invoke = await loadCrm();
      const value = `Zürich 🚀 ${next()}`;
      const bytes = Buffer.from(JSON.stringify(sender.bodyOf({ number: next(), recordId: record, value }), null, 3));
      const url = `https://bridge.example${pathOf(source)}`;
      const right = sender.sign({ url, body: bytes, secret: sender.secrets[0] });
      const ofText = sender.sign({ url, body: bytes.toString('base64'), secret: sender.secrets[0] });

      expect(await invoke(gatewayEvent(source, ofText, bytes))).toMatchObject({ statusCode: 401 });
      expect(await invoke(gatewayEvent(source, right, bytes))).toMatchObject({ statusCode: 200 });

      expect(bridge.bot(session)).toMatchObject({ [key]: value });
    });

    it('comes before everything else: without it nobody is told what is wrong with a body', async () => {
      for (const wrong of ['{', '{}', '{"a":1,"a":2}', '']) {
        expectProblem(await post(sender, wrong, {}), 401, 'unauthenticated');
      }
    });
  });

  it('SCENARIO 37: signs for its own source only', async () => {
    const [generic, , zendesk] = SENDERS;
    if (generic === undefined || zendesk === undefined) throw new Error('no senders');
    const record = newRecord();
    const session = await boundSession(record, 'zendesk');
    const body = textOf(zendesk.bodyOf({ number: next(), recordId: record, value: 'agent' }));
    const headers = zendesk.sign({ url: '', body, secret: generic.secrets[0] });
    expectProblem(await post(zendesk, body, headers), 401, 'unauthenticated');
    expect(bridge.requests(session)).toEqual([]);
  });

  it('hubspot: signs the URL as it was called, with what HubSpot decodes decoded', async () => {
    const sender = SENDERS.find(({ source }) => source === 'hubspot') ?? GENERIC;
    const record = newRecord();
    await boundSession(record, 'hubspot');
    const call = async (query: string, signedQuery: string) => {
      const body = textOf(sender.bodyOf({ number: next(), recordId: record, value: `v${counter}` }));
      const url = `${bridge.url}${pathOf('hubspot')}?${signedQuery}`;
      const headers = sender.sign({ url, body, secret: sender.secrets[0] });
      const path = `${pathOf('hubspot')}?${query}`;
      return send(bridge.url, path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
      });
    };
    expect((await call('portal=a%3Ab%2Fc%20d&x=1', 'portal=a:b/c%20d&x=1')).status).toBe(200);
    expectProblem(await call('portal=2', 'portal=1'), 401, 'unauthenticated');
    expectProblem(await call('portal=a%20b', 'portal=a b'), 401, 'unauthenticated');
  });

  it.each(['nobody', 'Generic', 'constructor', '__proto__', 'cognigy', '%2e%2e', 'x'.repeat(300)])(
    'SCENARIO 37: takes nothing from a source that nobody knows: %s',
    async (source) => {
      const body = textOf(GENERIC.bodyOf({ number: next(), recordId: newRecord(), value: 'gold' }));
      const reply = await send(bridge.url, pathOf(source), {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...signedBy(GENERIC, body) },
        body,
      });
      expectProblem(reply, 401, 'unauthenticated');
    },
  );

  it('a body that is signed, but no text, or not said to be JSON, is refused as such', async () => {
    const sender = SENDERS.find(({ source }) => source === 'zendesk') ?? GENERIC;
    const bytes = Buffer.from([0xff, 0xfe, 0x7b, 0x7d]);
    expectProblem(await post(sender, bytes, signedBy(sender, bytes)), 400, 'malformed-json');
    const body = textOf(GENERIC.bodyOf({ number: next(), recordId: newRecord(), value: 'gold' }));
    const reply = await post(GENERIC, body, { ...signedBy(GENERIC, body), 'content-type': 'text/plain' });
    expectProblem(reply, 415, 'unsupported-media-type');
  });

  describe('The outcome', () => {
    it('applied: in every live session of the record by one request each, and in no other', async () => {
      const record = newRecord();
      const bound = await Promise.all(Array.from({ length: 7 }, () => boundSession(record)));
      const other = await boundSession(newRecord());
      const number = next();

      const reply = await report({ number, recordId: record, value: 'gold' });

      expect([reply.status, reply.body]).toEqual([
        200,
        { eventId: `evt_${number}`, outcome: 'applied', sessions: bound.map(() => INJECTED) },
      ]);
      for (const session of bound) {
        expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
        expect(bridge.requests(session)).toHaveLength(1);
      }
      expect(bridge.requests(other)).toEqual([]);
      const ids = reply.body.sessions.map(({ operationId }: Json) => operationId);
      expect(new Set(ids).size).toBe(7);
    });

    it('SCENARIO 6: stale-ignored, 200: what occurred earlier changes nothing, and is audited', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      const nowMs = Date.now();
      await report({ recordId: record, value: 'gold', occurredAtMs: nowMs });

      const number = next();
      const reply = await report({ number, recordId: record, value: 'silver', occurredAtMs: nowMs - 1 });

      expect([reply.status, reply.body]).toEqual([
        200,
        {
          eventId: `evt_${number}`,
          outcome: 'stale-ignored',
          sessions: [{ operationId: null, status: 'stale-ignored', visibility: 'none' }],
        },
      ]);
      expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
      expect(bridge.requests(session)).toHaveLength(1);
      expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({ version: 1, pendingOperations: 0 });
      const { entries, chain } = await bridge.audit(session);
      expect(entries).toMatchObject([
        { outcome: 'refused', code: 'stale-event', client: 'crm:generic', changes: [] },
        { outcome: 'confirmed', versionAfter: 1 },
      ]);
      expect(chain).toEqual({ valid: true, brokenAt: null });
    });

    it('duplicate, 200: with the sessions of the first time, whatever else it says the second time', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      const number = next();
      const first = await report({ number, recordId: record, value: 'gold' });

      const again = await report({ number, recordId: record, value: 'silver', occurredAtMs: Date.now() + 1 });

      expect([again.status, again.body]).toEqual([200, { ...first.body, outcome: 'duplicate' }]);
      expect(first.body.outcome).toBe('applied');
      expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
      expect(bridge.requests(session)).toHaveLength(1);
    });

    it('no-live-session, 202: nobody is bound; in a list it is 200', async () => {
      const [alone, listed] = [next(), next()];
      const reply = await report({ number: alone, recordId: newRecord(), value: 'gold' });
      const outcome = { outcome: 'no-live-session', sessions: [] };
      expect([reply.status, reply.body]).toEqual([202, { eventId: `evt_${alone}`, ...outcome }]);
      const list = await post(GENERIC, [GENERIC.bodyOf({ number: listed, recordId: newRecord(), value: 'gold' })]);
      expect([list.status, list.body]).toEqual([200, [{ eventId: `evt_${listed}`, ...outcome }]]);
    });

    it('SCENARIO 24: pending where the upstream is down; the schedule brings it', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      bridge.tenant.faults.add({ match: { sessionId: session }, times: 0, action: { status: 503 } });

      const reply = await report({ recordId: record, value: 'gold' });

      expect(reply.status).toBe(200);
      expect(reply.body).toMatchObject({ outcome: 'applied', sessions: [{ status: 'pending', visibility: 'queued' }] });
      expect(reply.body.sessions[0].operationId).toMatch(ULID);
      bridge.tenant.faults.clear();
      travel(MINUTE_MS);
      await bridge.stack.tick();
      expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
      expect(await bridge.audit(session, `?operationId=${reply.body.sessions[0].operationId}`)).toMatchObject({
        entries: [{ outcome: 'confirmed' }, { outcome: 'pending' }],
      });
    });

    it('unchanged: an event that says what the bot has causes no request and no operation', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      await report({ recordId: record, value: 'gold' });
      const reply = await report({ recordId: record, value: 'gold', occurredAtMs: Date.now() + 1 });
      expect(reply.body).toMatchObject({
        outcome: 'applied',
        sessions: [{ operationId: null, status: 'unchanged', visibility: 'confirmed' }],
      });
      expect(bridge.requests(session)).toHaveLength(1);
      expect((await bridge.audit(session)).entries).toHaveLength(1);
    });

    it('SCENARIO 20: refused where the session has ended, and from then on it is not there', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      await bridge.inject(session, one('a', 1));
      bridge.tenant.sessions.end(session);
      expect((await report({ recordId: record, value: 'gold' })).body).toMatchObject({
        outcome: 'applied',
        sessions: [{ status: 'refused', visibility: 'none', code: 'session-ended' }],
      });
      expect((await report({ recordId: record, value: 'silver' })).body).toMatchObject({ outcome: 'no-live-session' });
    });

    it('502 where one session cannot be served: sent again, what was done is found done', async () => {
      const record = newRecord();
      const [served, refused] = [await boundSession(record), await boundSession(record)];
      bridge.tenant.faults.add({ match: { sessionId: refused }, times: 0, action: { status: 403 } });
      const body = GENERIC.bodyOf({ number: next(), recordId: record, value: 'gold' });

      expectProblem(await post(GENERIC, body), 502, 'upstream-forbidden');

      bridge.tenant.faults.clear();
      const again = await post(GENERIC, body);
      expect([again.status, again.body.outcome]).toEqual([200, 'applied']);
      for (const session of [served, refused]) expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
      expect(bridge.requests(served)).toHaveLength(1);
      const confirmed = (await bridge.audit(served)).entries.filter(({ outcome }: Json) => outcome === 'confirmed');
      expect(confirmed).toHaveLength(1);
    });

    it('SCENARIO 28: 413 where the values are larger than one inject can send; nothing changes', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      const reply = await report({ recordId: record, value: 'x'.repeat(262_144) });
      expectProblem(reply, 413, 'payload-too-large');
      expect(bridge.requests(session)).toEqual([]);
    });

    it('SCENARIO 33: text that looks like something else stays text', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      for (const value of ['007', '+491701234567', '1_000', 'NaN', 'true']) {
        await report({ recordId: record, value });
        expect(bridge.bot(session)).toEqual({ crm_tier: value });
      }
    });
  });

  describe('SCENARIOS 12, 13: the same event three times at once', () => {
    it.each(SENDERS)('has one effect and three 2xx: $source', async (sender) => {
      const record = newRecord();
      const session = await boundSession(record, sender.source);
      const body = sender.bodyOf({ number: next(), recordId: record, value: 'gold' });

      const replies = await Promise.all([1, 2, 3].map(() => post(sender, body)));

      expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(bridge.puts(session)).toHaveLength(1);
      expect(bridge.bot(session)).toEqual({ [sender.key]: 'gold' });
      expect((await bridge.get(`/v1/sessions/${session}`)).body).toMatchObject({ version: 1, confirmedVersion: 1 });
    });
  });

  describe('A list of events', () => {
    const sender = SENDERS.find(({ source }) => source === 'hubspot') ?? GENERIC;
    const listOf = (...changes: Omit<Change, 'number'>[]) =>
      changes.flatMap((change) => sender.bodyOf({ number: next(), ...change }));

    it('is answered by one outcome each, in its order', async () => {
      const [first, second, third] = [newRecord(), newRecord(), newRecord()];
      const sessions = [await boundSession(first, 'hubspot'), await boundSession(third, 'hubspot')];
      const list = listOf(
        { recordId: first, value: 'lead' },
        { recordId: second, value: 'lead' },
        { recordId: third, value: 'customer' },
        { recordId: first, value: 'customer', occurredAtMs: Date.now() - 1_000 },
      );

      const reply = await post(sender, list);

      expect(reply.status).toBe(200);
      expect(reply.body.map(({ eventId }: Json) => eventId)).toEqual(list.map(({ eventId }: Json) => String(eventId)));
      expect(reply.body.map(({ outcome }: Json) => outcome)).toEqual([
        'applied',
        'no-live-session',
        'applied',
        'stale-ignored',
      ]);
      expect(sessions.map((session) => bridge.bot(session))).toEqual([
        { crm_lifecycle_stage: 'lead' },
        { crm_lifecycle_stage: 'customer' },
      ]);
    });

    it('about one record is done in its order', async () => {
      const record = newRecord();
      const session = await boundSession(record, 'hubspot');
      const nowMs = Date.now();
      const changes = ['a', 'b', 'c'].map((value, index) => ({
        recordId: record,
        value,
        occurredAtMs: nowMs - 10 + index,
      }));
      const reply = await post(sender, listOf(...changes));
      expect(reply.body.map(({ outcome }: Json) => outcome)).toEqual(['applied', 'applied', 'applied']);
      expect(bridge.bot(session)).toEqual({ crm_lifecycle_stage: 'c' });
    });

    it('again is a list of duplicates, and events that share an id but not what they are about are none', async () => {
      const record = newRecord();
      const session = await boundSession(record, 'hubspot');
      const [event] = listOf({ recordId: record, value: 'lead' });
      const other = { ...event, propertyName: 'company', propertyValue: 'ACME' };
      expect((await post(sender, [event, other])).body).toMatchObject([{ outcome: 'applied' }, { outcome: 'applied' }]);
      const again = await post(sender, [event, other]);
      expect(again.body).toMatchObject([{ outcome: 'duplicate' }, { outcome: 'duplicate' }]);
      expect(bridge.bot(session)).toEqual({ crm_lifecycle_stage: 'lead', crm_company: 'ACME' });
    });

    it('SCENARIO 35: tells everything that is wrong with an event, and does the others', async () => {
      const record = newRecord();
      const session = await boundSession(record, 'hubspot');
      const list = listOf({ recordId: record, value: 'lead' }, { recordId: record, value: 'private' });
      const [right, wrong] = list;
      const { eventId: _id, ...without } = { ...wrong, objectId: 1.5, occurredAt: 'private' };

      const reply = await post(sender, [without, right, 'private']);

      expect([reply.status, reply.body]).toMatchObject([
        200,
        [{ eventId: null, outcome: 'refused' }, { outcome: 'applied' }, { eventId: null, outcome: 'refused' }],
      ]);
      const errors = reply.body.flatMap((each: Json) => each.errors ?? []);
      expect(errors.map(({ pointer, code }: Json) => `${pointer} ${code}`)).toEqual([
        '/0/eventId missing',
        '/0/objectId invalid-id',
        '/0/occurredAt invalid-time',
        '/2/eventId missing',
        '/2/objectId missing',
        '/2/occurredAt missing',
      ]);
      expect(JSON.stringify(reply.body)).not.toContain('private');
      expect(bridge.requests(session)).toHaveLength(1);
    });

    it('SCENARIO 35: of nothing but what is wrong is refused as a whole, with all of it', async () => {
      expect(violations(expectProblem(await post(sender, [{}, 'x']), 422, 'validation-failed'))).toEqual([
        '/0/eventId missing',
        '/0/objectId missing',
        '/0/occurredAt missing',
        '/1/eventId missing',
        '/1/objectId missing',
        '/1/occurredAt missing',
      ]);
    });

    it('SCENARIO 28: may have 500 of them, and not one more', async () => {
      const changes = Array.from({ length: 501 }, () => ({ recordId: newRecord(), value: 'x' }));
      const list = listOf(...changes);
      expect(violations(expectProblem(await post(sender, list), 422, 'validation-failed'))).toEqual([
        ' too-many-events',
      ]);
      const reply = await post(sender, list.slice(0, 500));
      expect([reply.status, reply.body.length]).toEqual([200, 500]);
    });

    it('that is empty is answered by an empty one', async () => {
      const reply = await post(sender, []);
      expect([reply.status, reply.body]).toEqual([200, []]);
    });
  });

  describe('A body that is wrong', () => {
    let record: string;
    let session: string;
    beforeEach(async () => {
      record = newRecord();
      session = await boundSession(record);
    });
    afterEach(() => expect(bridge.requests(session)).toEqual([]));
    const event = () => ({ id: `evt_${next()}`, timestamp: new Date().toISOString(), data: { id: record, tier: 'x' } });
    const inserted = (json: string) => `${json},${JSON.stringify(event()).slice(1)}`;

    it('SCENARIO 31: names of prototypes are refused at any depth, and nothing is polluted', async () => {
      for (const [json, pointer] of [
        ['{"__proto__":{"polluted":1}', '/__proto__'],
        ['{"more":{"constructor":{"polluted":1}}', '/more/constructor'],
        ['{"more":[{"prototype":1}]', '/more/0/prototype'],
      ] as const) {
        const errors = expectProblem(await post(GENERIC, inserted(json)), 422, 'validation-failed');
        expect(errors.map((error) => error.pointer)).toEqual([pointer]);
      }
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
    });

    it('SCENARIO 32: a name given twice is refused', async () => {
      expectProblem(await post(GENERIC, inserted('{"id":"evt_first"')), 400, 'duplicate-json-key');
    });

    it('SCENARIO 34: nested beyond all limits is refused, without a stack', async () => {
      for (const levels of [40, 5_000, 100_000]) {
        const value = `{"more":${'['.repeat(levels)}${']'.repeat(levels)}`;
        expectProblem(await post(GENERIC, inserted(value)), 422, 'validation-failed');
      }
    });

    it('SCENARIO 34: so is a value that is nested too deep for a variable, at its place', async () => {
      const deep = JSON.parse(`${'['.repeat(33)}${']'.repeat(33)}`);
      const reply = await post(GENERIC, { ...event(), data: { id: record, tier: deep } });
      const pointers = expectProblem(reply, 422, 'validation-failed').map(({ pointer }) => pointer);
      expect(pointers.some((pointer) => pointer.startsWith('/data/tier'))).toBe(true);
    });

    it('SCENARIO 35: everything that is wrong is told at once', async () => {
      const body = '{"__proto__":1,"id":"","timestamp":"yesterday","data":{"id":"a\\u0000b","tier":"x"}}';
      expect(violations(expectProblem(await post(GENERIC, body), 422, 'validation-failed'))).toEqual([
        '/__proto__ prototype-name',
        '/data/id invalid-id',
        '/id invalid-id',
        '/timestamp invalid-time',
      ]);
    });

    it.each<[string, Json]>([
      ['null', null],
      ['text', '"evt_1"'],
      ['a number', 7],
      ['nothing in it', {}],
    ])('%s is 422', async (_what, body) => {
      const errors = expectProblem(await post(GENERIC, body === null ? 'null' : body), 422, 'validation-failed');
      expect(violations(errors)).toEqual(['/data/id missing', '/id missing', '/timestamp missing']);
    });

    it.each(['', '{"id":', '[1,]'])('%j is no JSON', async (body) => {
      expectProblem(await post(GENERIC, body), 400, 'malformed-json');
    });

    it('that says nothing of what is mapped changes nothing', async () => {
      const reply = await post(GENERIC, { ...event(), data: { id: record, phone: '1' } });
      expect([reply.status, reply.body.sessions]).toEqual([
        200,
        [{ operationId: null, status: 'unchanged', visibility: 'confirmed' }],
      ]);
    });
  });

  describe('Bindings', () => {
    it('are made again and again, and end as often', async () => {
      const [session, record] = [newSession(), newRecord()];
      for (let time = 0; time < 2; time += 1) {
        const reply = await bind(session, record);
        expect([reply.status, reply.body]).toEqual([
          200,
          { status: 'bound', sessionId: session, source: 'generic', recordId: record },
        ]);
      }
      expect((await report({ recordId: record, value: 'gold' })).body.sessions).toEqual([INJECTED]);
      for (let time = 0; time < 2; time += 1) {
        const reply = await unbind(session, record);
        expect([reply.status, reply.text]).toEqual([204, '']);
      }
      expect((await report({ recordId: record, value: 'silver' })).body.outcome).toBe('no-live-session');
      expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
    });

    it('SCENARIO 36: need the grant "bindings", and no other', async () => {
      const [session, record] = [newSession(), newRecord()];
      expectProblem(await bind(session, record, 'generic', as(INJECTOR)), 403, 'forbidden');
      expect((await report({ recordId: record, value: 'gold' })).body.outcome).toBe('no-live-session');
      expect((await bind(session, record, 'generic', as(BINDER))).status).toBe(200);
      expectProblem(await unbind(session, record, 'generic', as(INJECTOR)), 403, 'forbidden');
      expect((await report({ recordId: record, value: 'gold' })).body.outcome).toBe('applied');
      expect((await unbind(session, record, 'generic', as(BINDER))).status).toBe(204);
      expectProblem(await bind(session, record, 'generic', as({ apiKey: 'wrong' })), 401, 'unauthenticated');
    });

    it.each(['nobody', 'Generic', 'constructor', '__proto__', '%20'])(
      'are not made to a source that is not declared: %s',
      async (source) => {
        expectProblem(await bind(newSession(), newRecord(), source), 404, 'unknown-source');
        expectProblem(await unbind(newSession(), newRecord(), source), 404, 'unknown-source');
      },
    );

    it.each([
      'a/b',
      '../../admin',
      'a b',
      'a%2Fb',
      '100%',
      'Zürich 東京 🚀',
      '?x=1#y',
      '__proto__',
      'BINDING#1:2',
      '007',
      '🚀'.repeat(256),
    ])('are to the record of exactly this name: %s', async (record) => {
      const session = await boundSession(record);
      const reply = await report({ recordId: record, value: 'gold' });
      expect(reply.body).toMatchObject({ outcome: 'applied', sessions: [INJECTED] });
      const other = `${[...record].slice(0, 255).join('')}x`;
      expect((await report({ recordId: other, value: 'gold' })).body.outcome).toBe('no-live-session');
      expect((await unbind(session, record)).status).toBe(204);
      expect((await report({ recordId: record, value: 'silver' })).body.outcome).toBe('no-live-session');
    });

    it.each([
      ['a control character', 'private\u0000'],
      ['a line break', 'private\r\nx-header: 1'],
      ['DEL', 'private\u007f'],
      ['257 characters', 'p'.repeat(257)],
    ])('SCENARIO 39: are not made to a record id with %s', async (_what, record) => {
      for (const reply of [await bind(newSession(), record), await unbind(newSession(), record)]) {
        expectProblem(reply, 400, 'invalid-record-id');
        nameless(reply, [record.slice(0, 7)]);
      }
    });

    it.each(['../../admin', '..', 'a\r\nb', '\u0000', 'x'.repeat(10_000), 'a b'])(
      'SCENARIO 39: are not made for a session id that is none: %j',
      async (session) => {
        expectProblem(await bind(session, newRecord()), 400, 'invalid-session-id');
        expectProblem(await unbind(session, newRecord()), 400, 'invalid-session-id');
      },
    );

    it('are of one source: another one’s record of the same name is another', async () => {
      const record = newRecord();
      await boundSession(record, 'salesforce');
      expect((await report({ recordId: record, value: 'gold' })).body.outcome).toBe('no-live-session');
    });

    it('are made by an inject that names the record', async () => {
      const [session, record] = [newSession(), newRecord()];
      const crm = { source: 'generic', recordId: record };
      expect((await bridge.inject(session, { variables: [{ key: 'a', value: 1 }], crm })).status).toBe(200);
      expect((await report({ recordId: record, value: 'gold' })).body.sessions).toEqual([INJECTED]);
      expect(bridge.bot(session)).toEqual({ a: 1, crm_tier: 'gold' });
    });

    it('are made by a message whose custom data name the record, as a number too', async () => {
      const [session, record] = [newSession(), newRecord()];
      const reply = await bridge.webhook({
        sessionId: session,
        userId: 'u',
        message: 'hello',
        channel: 'web',
        timestamp: Date.now(),
        custom: { crm: { source: 'generic', recordId: Number(record) } },
      });
      expect(reply.status).toBe(200);
      expect((await report({ recordId: record, value: 'gold' })).body.sessions).toEqual([INJECTED]);
      expect(bridge.bot(session)).toMatchObject({ last_user_message: 'hello', crm_tier: 'gold' });
    });

    it('are not made by an inject that is refused, nor by CRM data of another form', async () => {
      const [session, record] = [newSession(), newRecord()];
      const crm = { source: 'generic', recordId: record };
      expect((await bridge.inject(session, { variables: [{ key: 'a b', value: 1 }], crm })).status).toBe(422);
      const free = { account: record, source: 'Generic Inc.', recordId: { id: record } };
      expect((await bridge.inject(session, { variables: [{ key: 'a', value: 1 }], crm: free })).status).toBe(200);
      expect((await report({ recordId: record, value: 'gold' })).body.outcome).toBe('no-live-session');
    });

    it('SCENARIO 43: go with a session that is erased', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      await report({ recordId: record, value: 'gold' });
      expect((await bridge.erase(session)).status).toBe(204);
      expect((await report({ recordId: record, value: 'silver' })).body.outcome).toBe('no-live-session');
      expectProblem(await bridge.get(`/v1/sessions/${session}`), 404, 'unknown-session');
    });

    it('are over after seven days without being made anew', async () => {
      const [kept, dropped] = [newRecord(), newRecord()];
      const session = await boundSession(kept);
      await boundSession(dropped);
      travel(4 * 24 * 60 * MINUTE_MS);
      await bind(session, kept);
      travel(4 * 24 * 60 * MINUTE_MS);
      expect((await report({ recordId: dropped, value: 'gold' })).body.outcome).toBe('no-live-session');
      // Whether the session is alive is another matter: it is new to whoever has bound it.
      await bind(session, kept);
      expect((await report({ recordId: kept, value: 'gold' })).body.sessions).toEqual([INJECTED]);
    });
  });

  describe('crm.record.changed on the bus', () => {
    const changed = (detail: Json) =>
      bridge.putEvent(detail, { DetailType: 'crm.record.changed', Source: 'com.acme.integration' });

    it('does the same, without a signature', async () => {
      const record = newRecord();
      const session = await boundSession(record, 'zendesk');
      const sender = SENDERS.find(({ source }) => source === 'zendesk') ?? GENERIC;
      const event = sender.bodyOf({ number: next(), recordId: record, value: 'agent' });
      expect((await changed({ source: 'zendesk', event })).body.FailedEntryCount).toBe(0);
      await eventually(() => bridge.bot(session)?.crm_role === 'agent', { everyMs: 20, what: 'the event' });
      await eventually(async () => (await bridge.audit(session)).entries.length === 1, { what: 'the audit entry' });
      expect((await bridge.audit(session)).entries).toMatchObject([{ client: 'crm:zendesk', outcome: 'confirmed' }]);
    });

    it('and by HTTP is one event: whatever comes second is a duplicate', async () => {
      const invoke = await loadCrm();
      const record = newRecord();
      const session = await boundSession(record);
      const event = GENERIC.bodyOf({ number: next(), recordId: record, value: 'gold' });
      expect(await invoke(recordChanged({ source: 'generic', event }))).toMatchObject([{ outcome: 'applied' }]);
      expect((await post(GENERIC, event)).body.outcome).toBe('duplicate');
      expect(bridge.requests(session)).toHaveLength(1);
    });

    it('may bring a list', async () => {
      const invoke = await loadCrm();
      const records = [newRecord(), newRecord()];
      const sessions = await Promise.all(records.map((record) => boundSession(record)));
      const event = records.map((recordId) => GENERIC.bodyOf({ number: next(), recordId, value: 'gold' }));
      expect(await invoke(recordChanged({ source: 'generic', event }))).toMatchObject([
        { outcome: 'applied' },
        { outcome: 'applied' },
      ]);
      for (const session of sessions) expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
    });

    it.each<[string, Json, string]>([
      ['of a source that nobody knows', { source: 'nobody', event: {} }, 'unknown-source'],
      ['without a source', { event: {} }, 'validation-failed'],
      ['without an event', { source: 'generic' }, 'validation-failed'],
      ['with more than there is', { source: 'generic', event: {}, more: 1 }, 'validation-failed'],
      ['that is no object', 'text', 'validation-failed'],
      ['SCENARIO 35: with an event that is wrong', { source: 'generic', event: { id: '' } }, 'validation-failed'],
      [
        'SCENARIO 31: with names of prototypes',
        { source: 'generic', event: JSON.parse('{"id":"1","__proto__":{"polluted":1}}') },
        'validation-failed',
      ],
      [
        'SCENARIO 34: nested beyond all limits',
        { source: 'generic', event: JSON.parse(`${'['.repeat(1_000)}${']'.repeat(1_000)}`) },
        'validation-failed',
      ],
    ])('%s is refused once, and not thrown', async (_what, detail, code) => {
      const invoke = await loadCrm();
      expect(await invoke(recordChanged(detail))).toEqual({ ended: 'refused', code });
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
    });

    it('SCENARIO 34: of thousands of levels is refused, without a stack', async () => {
      const invoke = await loadCrm();
      const event = JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`);
      expect(await invoke(recordChanged({ source: 'generic', event }))).toMatchObject({ ended: 'refused' });
    });

    it('that could not be taken is thrown, so that it comes again', async () => {
      const invoke = await loadCrm();
      const record = newRecord();
      const session = await boundSession(record);
      bridge.tenant.faults.add({ match: { sessionId: session }, times: 0, action: { status: 403 } });
      const event = recordChanged({
        source: 'generic',
        event: GENERIC.bodyOf({ number: next(), recordId: record, value: 'gold' }),
      });
      await expect(invoke(event)).rejects.toMatchObject({ code: 'upstream-forbidden' });
      bridge.tenant.faults.clear();
      expect(await invoke(event)).toMatchObject([{ outcome: 'applied' }]);
      expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
    });
  });

  describe('SCENARIO 45: the database away', () => {
    let gate: Gate;
    let invoke: Invoke;
    beforeAll(async () => {
      gate = new Gate(bridge.stack.databaseUrl);
      await gate.open();
      vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', gate.url);
      invoke = await loadCrm();
    });
    afterAll(async () => {
      vi.unstubAllEnvs();
      await gate.shut();
    });

    it('503, nothing is sent; back again, the same event is applied', async () => {
      const record = newRecord();
      const session = await boundSession(record);
      const body = Buffer.from(JSON.stringify(GENERIC.bodyOf({ number: next(), recordId: record, value: 'gold' })));
      const event = gatewayEvent('generic', signedBy(GENERIC, body), body);

      await gate.shut();
      const away = (await invoke(event)) as Json;
      expect([away.statusCode, JSON.parse(away.body).code]).toEqual([503, 'store-unavailable']);
      expect(Number(away.headers['retry-after'])).toBeGreaterThan(0);
      expect(bridge.requests(session)).toEqual([]);

      await gate.open();
      const back = (await invoke(event)) as Json;
      expect([back.statusCode, JSON.parse(back.body)]).toEqual([
        200,
        { eventId: expect.any(String), outcome: 'applied', sessions: [INJECTED] },
      ]);
      expect(bridge.bot(session)).toEqual({ crm_tier: 'gold' });
    });

    it('503 for a binding, which is not there then', async () => {
      const [session, record] = [newSession(), newRecord()];
      const event = {
        version: '2.0',
        routeKey: 'PUT /v1/sessions/{sessionId}/bindings/{source}/{recordId}',
        headers: as({ apiKey: LOCAL_KEY }),
        pathParameters: { sessionId: session, source: 'generic', recordId: record },
        isBase64Encoded: false,
      };
      await gate.shut();
      expect(await invoke(event)).toMatchObject({ statusCode: 503 });
      await gate.open();
      expect((await report({ recordId: record, value: 'gold' })).body.outcome).toBe('no-live-session');
      expect(await invoke(event)).toMatchObject({ statusCode: 200 });
      expect((await report({ recordId: record, value: 'gold' })).body.outcome).toBe('applied');
    });

    it('an event of the bus is thrown, so that it comes again', async () => {
      await gate.shut();
      const event = GENERIC.bodyOf({ number: next(), recordId: newRecord(), value: 'gold' });
      await expect(invoke(recordChanged({ source: 'generic', event }))).rejects.toMatchObject({
        code: 'store-unavailable',
      });
      await gate.open();
      expect(await invoke(recordChanged({ source: 'generic', event }))).toMatchObject([{ outcome: 'no-live-session' }]);
    });
  });
});

describe('A source without a secret', () => {
  it('SCENARIO 37: can prove nothing, whatever it signs with; the others can', async () => {
    bridge = await startBridge({ crmSecrets: { generic: GENERIC.secrets } });
    try {
      const record = newRecord();
      const session = await boundSession(record, 'zendesk');
      for (const sender of SENDERS.filter(({ source }) => source !== 'generic')) {
        const body = textOf(sender.bodyOf({ number: next(), recordId: record, value: 'gold' }));
        for (const secret of [sender.secrets[0], '', 'undefined', GENERIC.secrets[0]]) {
          const headers = sender.sign({ url: `${bridge.url}${pathOf(sender.source)}`, body, secret });
          expectProblem(await post(sender, body, headers), 401, 'unauthenticated');
        }
      }
      expect(bridge.requests(session)).toEqual([]);
      expect((await report({ recordId: newRecord(), value: 'gold' })).status).toBe(202);
    } finally {
      await bridge.close();
    }
  });
});

describe.each(['DEBUG', 'INFO'])('SCENARIO 44, I7: calls of CRMs of every fate with log level %s', (level) => {
  const RECORD = 'private-record-4711';
  const SESSION = 'sess_PrivateSession';
  const EVENT_ID = 'private-event-id';
  const MESSAGE_ID = 'msg_1';
  const output = { text: '' };
  const errors: Reply[] = [];

  beforeAll(async () => {
    const captured = captureOutput();
    vi.spyOn(console, 'error').mockImplementation(() => {});
    try {
      bridge = await startBridge({
        crmSecrets: SENDERS_SECRETS,
        settings: { POWERTOOLS_LOG_LEVEL: level, POWERTOOLS_METRICS_DISABLED: undefined, REQUEST_BUDGET_MS: '2000' },
      });
      for (const reply of await load()) if (reply.status >= 400) errors.push(reply);
      output.text = captured.text;
    } finally {
      captured.stop();
      vi.restoreAllMocks();
    }
  });
  afterAll(() => bridge.close());

  async function load(): Promise<Reply[]> {
    const replies: Reply[] = [];
    const event = (value: Json, more: object = {}) => ({
      id: `${EVENT_ID}-${next()}`,
      timestamp: new Date().toISOString(),
      data: { id: RECORD, tier: value },
      ...more,
    });
    const sent = async (body: Json, headers?: Record<string, string>) => {
      replies.push(await post(GENERIC, body, headers));
    };
    await sent(event('private-value'));
    replies.push(await bind(SESSION, RECORD), await bind(`${SESSION}/..`, RECORD), await bind(SESSION, `${RECORD}\n`));
    replies.push(await bind(SESSION, RECORD, 'private-source'), await unbind(`${SESSION}_2`, RECORD));
    const applied = event('private-value');
    await sent(applied);
    await sent(applied);
    await sent(event('private-value', { timestamp: '2020-01-01T00:00:00Z' }));
    await sent(event('private-value', { timestamp: 'private-value' }));
    await sent({ id: ['private-value'], data: { id: { more: 'private-value' } } });
    await sent('{"id":"private-value","id":"private-value-2"}');
    await sent('{"id":"private-value","__proto__":"private-value"}');
    await sent('{"id":"private-value"');
    await sent(event('private-value'.repeat(30_000)));
    const body = textOf(event('private-value'));
    await sent(body, signedBy(GENERIC, body, { secret: GENERIC.otherSecret }));
    await sent(body, signedBy(GENERIC, body, { atMs: Date.now() - 360_000 }));
    const upstream = { error: `private-upstream-body about ${SESSION}` };
    for (const action of [{ status: 403, body: upstream }, { status: 400, body: upstream }, { malformed: 'html' }]) {
      bridge.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: action as Json });
      await sent(event(`private-value-${next()}`));
      bridge.tenant.faults.clear();
    }
    const putEvent = (detail: Json) => bridge.putEvent(detail, { DetailType: 'crm.record.changed' });
    await putEvent({ source: 'private-source', event: event('private-value') });
    await putEvent({ source: 'generic', event: { id: ['private-value'] }, more: 'private-value' });
    await putEvent({ source: 'generic', event: event('private-value-of-the-bus') });
    await eventually(() => bridge.bot(SESSION)?.crm_tier === 'private-value-of-the-bus', { what: 'the bus' });
    bridge.tenant.sessions.end(SESSION);
    await sent(event('private-value-at-the-end'));
    travel(5 * MINUTE_MS);
    await bridge.stack.tick();
    return replies;
  }

  const SECRETS: Record<string, RegExp> = {
    'a value': /private-value/,
    'a record id': /private-record/,
    'a session id': /PrivateSession/,
    'an event id': /private-event/,
    'what a path names': /private-source/,
    'an upstream body': /private-upstream-body/,
    'a secret': new RegExp(
      ['whsec_', ...SENDERS.flatMap(({ secrets, otherSecret }) => [...secrets, otherSecret])].join('|'),
    ),
    'a signature': /v1,[A-Za-z0-9+/]{40}/,
    'an API key': new RegExp(LOCAL_KEY),
  };

  it('went through every kind of end', () => {
    expect([...new Set(errors.map(({ body }) => body.code))].sort()).toEqual([
      'duplicate-json-key',
      'invalid-record-id',
      'invalid-session-id',
      'malformed-json',
      'payload-too-large',
      'unauthenticated',
      'unknown-source',
      'upstream-bad-response',
      'upstream-forbidden',
      'validation-failed',
    ]);
  });

  it.each(Object.entries(SECRETS))('%s is in no log line and no metric', (_name, pattern) => {
    expect(output.text).toContain('request answered');
    expect(output.text).toContain('an event was not taken');
    expect(output.text).not.toMatch(pattern);
    expect(output.text).not.toContain(MESSAGE_ID);
  });

  it.each(Object.entries(SECRETS))('%s is in no error body', (_name, pattern) => {
    for (const { text, headers } of errors) expect(text + JSON.stringify(headers)).not.toMatch(pattern);
  });
});

/** The crm function as it is, without the gateway. */
async function loadCrm(): Promise<Invoke> {
  const definition = functionDefinitions().find(({ name }) => name === 'crm');
  if (definition === undefined) throw new Error('no crm function');
  return loadFunction(definition);
}

/** What API Gateway makes of a call whose body it takes for binary. */
function gatewayEvent(source: string, headers: Record<string, string>, body: Uint8Array) {
  return {
    version: '2.0',
    routeKey: 'POST /v1/webhooks/crm/{source}',
    rawPath: pathOf(source),
    rawQueryString: '',
    headers: { 'content-type': 'application/json', 'x-forwarded-proto': 'https', ...headers },
    pathParameters: { source },
    requestContext: { domainName: 'bridge.example', http: { method: 'POST' } },
    body: Buffer.from(body).toString('base64'),
    isBase64Encoded: true,
  };
}

function recordChanged(detail: Json) {
  return { version: '0', id: `bus-${next()}`, source: 'acme', 'detail-type': 'crm.record.changed', detail };
}
