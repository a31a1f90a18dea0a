import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bridge, one, startBridge } from '../fixtures/stack/bridge.ts';
import { expectProblem, type Json } from '../fixtures/stack/http.ts';
import { eventually, travel } from '../fixtures/stack/time.ts';

describe('reads', () => {
  let bridge: Bridge;
  beforeAll(async () => {
    bridge = await startBridge({ settings: { SESSION_TTL_SECONDS: '3600' } });
  });
  afterAll(() => bridge.close());
  const inspect = async (session: string) => (await bridge.get(`/v1/sessions/${session}`)).body;

  it('SCENARIO 25: an expired value vanishes at once, by the clock alone', async () => {
    const expiresAt = new Date(Date.now() + 1_200).toISOString();
    await bridge.inject('sess_clock', {
      variables: [
        { key: 'short', value: 'gone soon', expiresAt },
        { key: 'long', value: 'stays' },
      ],
    });
    expect((await inspect('sess_clock')).context).toEqual({ short: 'gone soon', long: 'stays' });
    const body = await eventually(
      async () => {
        const askedMs = Date.now();
        const found = await inspect('sess_clock');
        if (found.context.short === undefined) return found;
        // Never shown after its time.
        expect(askedMs).toBeLessThan(Date.parse(expiresAt));
        return undefined;
      },
      { everyMs: 20, withinMs: 3_000 },
    );
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt));
    expect(body.context).toEqual({ long: 'stays' });
    expect(body.variables.map(({ path }: Json) => path)).toEqual(['/long']);
  });

  it('SCENARIO 25: a value in another scope shows again when the one above it has expired', async () => {
    await bridge.inject('sess_scopes', {
      variables: [
        { key: 'a', value: 'user', scope: 'user', ttlSeconds: 60 },
        { key: 'a', value: 'session' },
        { key: 'a', value: 'global', scope: 'global' },
      ],
    });
    expect((await inspect('sess_scopes')).context).toEqual({ a: 'user' });
    travel(60_000);
    expect((await inspect('sess_scopes')).context).toEqual({ a: 'session' });
  });

  it('SCENARIO 25: an expired value is no merge base: the next write says there was nothing', async () => {
    await bridge.inject('sess_base', one('a', 'old', { ttlSeconds: 60 }));
    travel(61_000);
    await bridge.inject('sess_base', one('a', 'new'));
    const { entries } = await bridge.audit('sess_base');
    expect(entries[0].changes[0].before).toBeNull();
  });

  it('SCENARIO 25: after its idle time a session is not known any more, and a write starts it anew', async () => {
    await bridge.inject('sess_idle', one('a', 1));
    travel(3_601_000);
    expectProblem(await bridge.get('/v1/sessions/sess_idle'), 404, 'unknown-session');
    const reply = await bridge.inject('sess_idle', one('b', 2));
    expect(reply.body.version).toBe(2);
    expect((await inspect('sess_idle')).context).toEqual({ b: 2 });
  });

  it('a session never seen is 404, on both routes', async () => {
    expectProblem(await bridge.get('/v1/sessions/sess_never'), 404, 'unknown-session');
    expectProblem(await bridge.get('/v1/sessions/sess_never/audit'), 404, 'unknown-session');
  });

  it('ttlSecondsLeft, updatedAt, source and version follow each variable', async () => {
    await bridge.inject('sess_members', one('a', 1, { ttlSeconds: 100 }));
    const { updatedAt } = (await inspect('sess_members')).variables[0];
    travel(30_000);
    await bridge.inject('sess_members', one('b', 2, { scope: 'global' }));
    const { variables } = await inspect('sess_members');
    const byPath = Object.fromEntries(variables.map((variable: Json) => [variable.path, variable]));
    expect(byPath['/a']).toMatchObject({ version: 1, updatedAt, source: 'local', scope: 'session' });
    expect(byPath['/a'].ttlSecondsLeft).toBeLessThanOrEqual(70);
    expect(byPath['/a'].ttlSecondsLeft).toBeGreaterThan(65);
    expect(byPath['/b']).toMatchObject({ version: 2, expiresAt: null, ttlSecondsLeft: null, scope: 'global' });
    expect(Date.parse(byPath['/b'].updatedAt)).toBeGreaterThanOrEqual(Date.parse(updatedAt) + 30_000);
  });

  it('schemaValid is computed on every call', async () => {
    await bridge.inject('sess_schema', {
      variables: [
        { key: 'user_profile', value: { name: 'Ada', age: 36, preferences: [] } },
        { key: 'session_metadata', value: { turn_count: 1, last_intent: 'none', confidence: 0.5 } },
      ],
    });
    expect(await inspect('sess_schema')).toMatchObject({ schemaValid: true, schemaErrors: [] });
    await bridge.inject('sess_schema', one('user_profile', { name: 'Ada', age: -1, surname: 'L' }));
    const { schemaValid, schemaErrors } = await inspect('sess_schema');
    expect(schemaValid).toBe(false);
    expect(schemaErrors.map(({ pointer }: Json) => pointer)).toEqual(
      expect.arrayContaining(['/user_profile/age', '/user_profile/surname']),
    );
  });

  describe('the audit trail', () => {
    beforeAll(async () => {
      for (let value = 1; value <= 7; value += 1) await bridge.inject('sess_pages', one('a', value));
    });

    it('comes in pages, newest first, complete and without repeats', async () => {
      const versions: number[] = [];
      let query = '?limit=3';
      for (let page = 1; ; page += 1) {
        const { entries, nextCursor, chain } = await bridge.audit('sess_pages', query);
        expect(chain.valid).toBe(true);
        versions.push(...entries.map(({ versionAfter }: Json) => versionAfter));
        // What is written meanwhile does not shift the pages.
        if (page === 1) await bridge.inject('sess_pages', one('a', 'meanwhile'));
        if (nextCursor === null) {
          expect(page).toBe(3);
          break;
        }
        expect(entries).toHaveLength(3);
        query = `?limit=3&cursor=${encodeURIComponent(nextCursor)}`;
      }
      expect(versions).toEqual([7, 6, 5, 4, 3, 2, 1]);
    });

    it('can be asked for one operation', async () => {
      const { entries } = await bridge.audit('sess_pages');
      const wanted = entries.find(({ versionAfter }: Json) => versionAfter === 4);
      const found = await bridge.audit('sess_pages', `?operationId=${wanted.operationId}`);
      expect(found.entries).toEqual([wanted]);
      expect(found.nextCursor).toBeNull();
      const none = await bridge.audit('sess_pages', '?operationId=01ARZ3NDEKTSV4RRFFQ69G5FAV');
      expect(none).toMatchObject({ entries: [], nextCursor: null });
    });

    it.each([
      ['limit=0', 'limit'],
      ['limit=-1', 'limit'],
      ['limit=1.5', 'limit'],
      ['limit=501', 'limit'],
      ['limit=', 'limit'],
      ['limit=3&limit=4', 'limit'],
      ['cursor=nonsense', 'cursor'],
      ['cursor=', 'cursor'],
      [`cursor=${Buffer.from('before:-1').toString('base64url')}`, 'cursor'],
      ['operationId=x', 'operationId'],
      ['limit=0&cursor=x&operationId=x', 'limit', 'cursor', 'operationId'],
    ])('%s is 400, naming the parameter', async (query, ...names) => {
      const errors = expectProblem(await bridge.get(`/v1/sessions/sess_pages/audit?${query}`), 400, 'invalid-query');
      expect(errors.map(({ pointer }) => pointer)).toEqual(names.map((name) => `/${name}`));
    });
  });

  it('holds no values, but the hashes of their canonical JSON', async () => {
    await bridge.inject('sess_hashes', one('a', 'a-value-to-be-kept-out'));
    await bridge.inject('sess_hashes', one('a', 'another-value-to-be-kept-out'));
    const reply = await bridge.get('/v1/sessions/sess_hashes/audit');
    expect(reply.text).not.toContain('kept-out');
    expect(reply.body.entries[0].changes[0]).toEqual({
      path: '/a',
      scope: 'session',
      before: reply.body.entries[1].changes[0].after,
      after: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(JSON.stringify((await inspect('sess_hashes')).recentAudit)).not.toContain('kept-out');
  });

  it('recentAudit is the last ten', async () => {
    for (let value = 1; value <= 12; value += 1) await bridge.inject('sess_recent', one('a', value));
    const { recentAudit } = await inspect('sess_recent');
    expect(recentAudit.map(({ versionAfter }: Json) => versionAfter)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
  });
});

describe('with AUDIT_VALUES=true', () => {
  it('the audit trail holds the values', async () => {
    const bridge = await startBridge({ settings: { AUDIT_VALUES: 'true' } });
    try {
      await bridge.inject('sess_1', one('a', { text: 'wanted' }));
      const { entries } = await bridge.audit('sess_1');
      expect(entries[0].changes[0].value).toEqual({ text: 'wanted' });
    } finally {
      await bridge.close();
    }
  });
});
