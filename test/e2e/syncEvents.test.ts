import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { functionDefinitions, type Invoke, loadFunction } from '../../infra/local/functions.ts';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json } from '../fixtures/stack/http.ts';
import { captureOutput } from '../fixtures/stack/output.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

const DEFAULTS = {
  user_profile: { name: 'Guest', age: 0, preferences: [] },
  session_metadata: { turn_count: 0, last_intent: 'none', confidence: 0 },
};

let bridge: Bridge;
let session = '';
let sessions = 0;
beforeAll(async () => {
  bridge = await startBridge({ settings: { SESSION_ID_PREFIX: 'sess_' } });
});
afterAll(() => bridge.close());
beforeEach(() => {
  sessions += 1;
  session = `sess_${sessions}`;
});
afterEach(() => {
  vi.restoreAllMocks();
  bridge.tenant.faults.clear();
});

const read = () => bridge.get(`/v1/sessions/${session}`);
const entriesOf = async (id = session): Promise<Json[]> => {
  const reply = await bridge.get(`/v1/sessions/${id}/audit`);
  if (reply.status === 404) return [];
  expect(reply.body.chain).toEqual({ valid: true, brokenAt: null });
  return reply.body.entries;
};
/** Waits until the session's trail has so many entries, and gives them: nobody answers an event. */
const audited = (count: number, id = session) =>
  eventually(
    async () => {
      const entries = await entriesOf(id);
      return entries.length >= count && entries;
    },
    { everyMs: 20, what: `${count} audit entries` },
  );
const put = async (detail: Json, more: object = {}): Promise<string> => {
  const { status, body } = await bridge.putEvent(detail, more);
  expect(status).toBe(200);
  expect(body).toEqual({ FailedEntryCount: 0, Entries: [{ EventId: expect.any(String) }] });
  return body.Entries[0].EventId;
};

describe('context.sync.requested on the bus', () => {
  it('is a sync like any other, by whoever its source is', async () => {
    await put(
      { sessionId: session, data: { profile: { tier: 'gold' } }, ttl: { '/profile/tier': 900 } },
      { Source: 'com.acme.crm' },
    );
    const [entry] = await audited(1);
    expect(entry).toMatchObject({
      operation: 'sync',
      client: 'event:com.acme.crm',
      outcome: 'confirmed',
      versionBefore: 0,
      versionAfter: 1,
      correlationId: expect.stringMatching(/\S/),
    });
    expect(bridge.bot(session)).toEqual({ ...DEFAULTS, profile: { tier: 'gold' } });
    const { body } = await read();
    expect(body.context).toEqual({ ...DEFAULTS, profile: { tier: 'gold' } });
    const tier = body.variables.find(({ path }: Json) => path === '/profile/tier');
    expect(tier).toMatchObject({ source: 'event:com.acme.crm' });
    expect(Math.ceil(tier.ttlSecondsLeft / 60)).toBe(15);
  });

  it('beside a client’s syncs loses nothing', async () => {
    await Promise.all([
      put({ sessionId: session, data: { all: { event: 1 } } }),
      bridge.sync(session, { data: { all: { client: 2 } } }),
      bridge.inject(session, one('injected', 3)),
    ]);
    await eventually(async () => (await entriesOf()).filter(({ outcome }) => outcome === 'confirmed').length === 3, {
      everyMs: 20,
      what: 'three confirmations',
    });
    const all = { ...DEFAULTS, all: { event: 1, client: 2 }, injected: 3 };
    expect(bridge.bot(session)).toEqual(all);
    expect((await read()).body.context).toEqual(all);
  });

  it('of another type or on another bus concerns nobody here', async () => {
    await put({ sessionId: session, data: { a: 1 } }, { DetailType: 'context.sync.done' });
    await put({ sessionId: session, data: { a: 2 } }, { EventBusName: 'theirs' });
    await put({ sessionId: session, data: { a: 3 } });
    await audited(1);
    expect(bridge.bot(session).a).toBe(3);
    expect(await entriesOf()).toHaveLength(1);
  });

  it('SCENARIO 24: while the tenant is down it is pending; the schedule pushes it', async () => {
    bridge.tenant.faults.add({ match: { surface: 'sync', sessionId: session }, times: 0, action: { status: 503 } });
    await put({ sessionId: session, data: { a: 1 } });
    expect(await audited(1)).toMatchObject([{ outcome: 'pending', code: 'down' }]);
    bridge.tenant.faults.clear();
    travel(60_000);
    await bridge.stack.tick();
    expect(await entriesOf()).toMatchObject([{ outcome: 'confirmed' }, { outcome: 'pending' }]);
    expect(bridge.bot(session)).toEqual({ ...DEFAULTS, a: 1 });
  });

  it('that meets no access comes again, and is one effect in the end', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    bridge.tenant.faults.add({ match: { surface: 'sync', sessionId: session }, times: 1, action: { status: 403 } });
    await put({ sessionId: session, data: { a: 1 } });
    expect(await audited(2)).toMatchObject([
      { outcome: 'confirmed', versionAfter: 2 },
      { outcome: 'failed', code: 'upstream-forbidden' },
    ]);
    expect(printed.mock.calls).toEqual([[expect.stringContaining('upstream-forbidden')]]);
    expect(bridge.bot(session)).toEqual({ ...DEFAULTS, a: 1 });
  });

  it('SCENARIO 35: that is not right is refused once, with every place of it in the audit trail', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    await put({ sessionId: session, data: { a: [[1]], b: 2 }, ttl: { '/a': 0, b: 1 }, when: 'now' });
    const [entry] = await audited(1);
    expect(entry).toMatchObject({
      operation: 'sync',
      outcome: 'refused',
      code: 'validation-failed',
      client: 'event:crm',
      changes: [],
    });
    expect(entry.pointers.sort()).toEqual(['/ttl/b', '/ttl/~1a', '/when']);
    expectProblem(await read(), 404, 'unknown-session');
    expect(bridge.syncs(session)).toEqual([]);
    expect(printed).not.toHaveBeenCalled();
  });

  it('whose context would not be right is refused like any sync', async () => {
    await put({ sessionId: session, data: { user_profile: { age: -1 } } });
    expect(await audited(1)).toMatchObject([{ outcome: 'refused', code: 'validation-failed', client: 'event:crm' }]);
    expectProblem(await read(), 404, 'unknown-session');
  });

  it('SCENARIOS 39, 44: for what is no session id does nothing, and nothing of it is logged', async () => {
    const output = captureOutput();
    try {
      for (const sessionId of ['../../private', 'other_private', 7, null]) {
        await put({ sessionId, data: { private: 'private' } });
      }
      // What came before has been taken by the time that this one is through.
      await put({ sessionId: session, data: { a: 1 } });
      await audited(1);
    } finally {
      output.stop();
    }
    expect(output.text).not.toContain('private');
    expect(bridge.syncs().filter(({ sessionId }) => sessionId !== session && !sessionId?.startsWith('sess_'))).toEqual(
      [],
    );
  });
});

describe('an event as the function gets it', () => {
  let invoke: Invoke;
  beforeAll(async () => {
    const [definition] = functionDefinitions().filter(({ name }) => name === 'sync');
    if (definition === undefined) throw new Error('no sync function');
    invoke = await loadFunction(definition);
  });
  const eventFor = (detail: Json, more: object = {}) => ({
    version: '0',
    id: `event-of-${session}`,
    'detail-type': 'context.sync.requested',
    source: 'crm',
    detail,
    ...more,
  });

  it('SCENARIO 12: delivered three times at once, and again later, has one effect', async () => {
    const event = eventFor({ sessionId: session, data: { a: 1 }, ttl: { '/a': 7_200 } });
    const ends = await Promise.all([invoke(event), invoke(event), invoke(event)]);
    expect(ends).toEqual([{ ended: 'confirmed' }, { ended: 'confirmed' }, { ended: 'confirmed' }]);
    travel(1_800_000);
    expect(await invoke(event)).toEqual({ ended: 'confirmed' });
    expect((await read()).body).toMatchObject({ version: 1, confirmedVersion: 1 });
    expect(await entriesOf()).toHaveLength(1);
    expect(bridge.syncs(session).filter(({ method }) => method === 'PUT')).toHaveLength(1);
  });

  it('SCENARIO 12: with the id of another event, but not what that one said, is no second effect', async () => {
    await invoke(eventFor({ sessionId: session, data: { a: 1 } }));
    expect(await invoke(eventFor({ sessionId: session, data: { a: 2 } }))).toEqual({ ended: 'mismatch' });
    expect(bridge.bot(session).a).toBe(1);
    // From another source it is another event.
    expect(await invoke(eventFor({ sessionId: session, data: { a: 3 } }, { source: 'erp' }))).toEqual({
      ended: 'confirmed',
    });
  });

  it('SCENARIO 43: delivered again after the session was erased brings nothing back', async () => {
    const event = eventFor({ sessionId: session, data: { a: 'private' } });
    await invoke(event);
    await bridge.erase(session);
    expect(await invoke(event)).toEqual({ ended: 'erased' });
    expectProblem(await read(), 404, 'unknown-session');
  });

  it('SCENARIO 20: for a session that has ended is refused, and not thrown', async () => {
    await bridge.sync(session, { data: { a: 1 } });
    bridge.tenant.sessions.end(session);
    expect(await invoke(eventFor({ sessionId: session, data: { a: 2 } }))).toEqual({
      ended: 'refused',
      code: 'session-ended',
    });
  });

  it('SCENARIO 34: of thousands of levels is refused', async () => {
    const data = JSON.parse(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`);
    expect(await invoke(eventFor({ sessionId: session, data }))).toMatchObject({ ended: 'refused' });
    expect(
      await invoke(eventFor({ sessionId: session, data: JSON.parse('{"__proto__":{"polluted":1}}') })),
    ).toMatchObject({
      ended: 'refused',
      code: 'validation-failed',
    });
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  it('SCENARIO 3: for a session whose journal is full is thrown, so that it comes again', async () => {
    bridge.tenant.faults.add({
      match: { sessionId: session },
      times: 0,
      action: { status: 429, headers: { 'retry-after': '120' } },
    });
    let status = 202;
    for (let value = 0; status === 202; value += 1) status = (await bridge.inject(session, one('a', value))).status;
    expect(status).toBe(429);
    const event = eventFor({ sessionId: session, data: { late: 1 } });
    await expect(invoke(event)).rejects.toMatchObject({ name: 'EventNotTakenError', code: 'busy' });
    bridge.tenant.faults.clear();
    travel(20 * 60_000);
    await bridge.stack.tick();
    expect(await invoke(event)).toEqual({ ended: 'confirmed' });
    expect(bridge.bot(session)).toMatchObject({ a: expect.any(Number), late: 1 });
  });
});
