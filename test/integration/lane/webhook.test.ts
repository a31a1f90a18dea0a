import { describe, expect, it } from 'vitest';
import { type LaneHarness, outcomesOf, SESSION, sessionId, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();
const AT_WEBHOOK = { surface: 'webhook' } as const;

const confirmed = { kind: 'settled', outcome: { kind: 'confirmed' } };

/** Bodies that reached the webhook surface, oldest first. */
const posted = (harness: LaneHarness, session = SESSION) =>
  harness.tenant.journal.entries({ ...AT_WEBHOOK, sessionId: session }).map(({ body }) => body);

describe('A message', () => {
  it('is in the session before it is answered, by one request to its own surface', async () => {
    const harness = await start();
    const answer = await harness.instance().webhook({
      message: 'Where is my order?',
      channel: 'webchat',
      timestamp: 1_764_000_000_123,
      custom: { page: '/cart', utm: ['a', 1] },
    });
    expect(answer).toMatchObject({ ...confirmed, outcome: { version: 1 } });
    expect(harness.requests()).toEqual(['POST webhook']);
    expect(posted(harness)).toEqual([
      {
        variables: {
          last_user_message: 'Where is my order?',
          webhook_timestamp: 1_764_000_000_123,
          channel_type: 'webchat',
          custom_data: '{"page":"/cart","utm":["a",1]}',
        },
      },
    ]);
  });

  it('says all that derives from it, so that nothing of an earlier one is taken for its own', async () => {
    const harness = await start();
    await harness.instance().webhook({ timestamp: 1, custom: { page: '/cart' } });
    await harness.instance().webhook({ timestamp: 2, message: 'next' });
    expect(harness.context()).toMatchObject({ last_user_message: 'next', webhook_timestamp: 2, custom_data: '{}' });
  });

  it('makes its session known, with its user by a keyed hash alone', async () => {
    const harness = await start();
    await harness.instance().webhook({ userId: 'alice@example.org' });
    const lane = await harness.lane();
    expect(lane?.userKey).toMatch(/^[\w-]{43}$/);
    expect(await harness.instance().inspect()).toMatchObject({ version: 1 });
    const other = sessionId('other');
    await harness.instance().webhook({ userId: 'alice@example.org', sessionId: other });
    expect((await harness.lane(other))?.userKey).toBe(lane?.userKey);
    await harness.instance().webhook({ userId: 'bob', sessionId: other, timestamp: 2 });
    expect((await harness.lane(other))?.userKey).not.toBe(lane?.userKey);
  });

  it('keeps its session for an hour, and each further one for an hour more', async () => {
    const harness = await start();
    await harness.instance().webhook({ timestamp: 1 });
    harness.clock.advance(50 * 60_000);
    await harness.instance().webhook({ timestamp: 2 });
    harness.clock.advance(50 * 60_000);
    expect(await harness.instance().inspect()).toMatchObject({ version: 2 });
    harness.clock.advance(11 * 60_000);
    expect(await harness.instance().inspect()).toBe('unknown');
  });
});

describe('SCENARIO 13: the same payload', () => {
  it('three times at once has one effect and three good answers', async () => {
    const harness = await start();
    const answers = await Promise.all([1, 2, 3].map(() => harness.instance().webhook()));
    for (const answer of answers) expect(answer).toMatchObject(confirmed);
    expect(posted(harness)).toHaveLength(1);
    expect(await harness.lane()).toMatchObject({ version: 1, confirmedVersion: 1 });
    expect(outcomesOf(await harness.audit())).toEqual(['confirmed']);
  });

  it('has one effect also eleven hours later, from another process, with its members in another order', async () => {
    const harness = await start();
    await harness.instance().webhook({ custom: { a: 1, b: 2 } });
    harness.clock.advance(11 * 3_600_000);
    const again = await harness.instance().webhook({ custom: { b: 2, a: 1 } });
    expect(again).toMatchObject({ ...confirmed, replayed: true });
    expect(posted(harness)).toHaveLength(1);
  });

  it.each([
    ['message', { message: 'another' }],
    ['moment', { timestamp: 1 }],
    ['user', { userId: 'user-2' }],
    ['channel', { channel: 'voice' }],
    ['custom data', { custom: {} }],
  ])('with another %s is another one', async (_what, change) => {
    const harness = await start();
    await harness.instance().webhook();
    await harness.instance().webhook(change);
    expect(posted(harness)).toHaveLength(2);
  });
});

describe('An upstream that does not take a message now', () => {
  it('SCENARIO 24: gets it with the schedule: of several that wait, one request with the last word', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_WEBHOOK, times: 6, action: { status: 503 } });
    expect(await harness.instance().webhook({ timestamp: 1, message: 'one' })).toMatchObject({ kind: 'pending' });
    expect(await harness.instance().webhook({ timestamp: 2, message: 'two' })).toMatchObject({ kind: 'pending' });
    harness.tenant.journal.clear();
    await harness.minutes(2);
    expect(posted(harness)).toHaveLength(1);
    expect(harness.context()).toMatchObject({ last_user_message: 'two' });
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'pending', 'pending', 'confirmed', 'confirmed']);
  });

  it('gets it together with what else waits, as one request of the surface that can say both', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_WEBHOOK, times: 3, action: { status: 503 } });
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 3, action: { status: 503 } });
    await harness.instance().webhook({ message: 'hello' });
    await harness.instance().inject({ variables: [variable('tier', 'gold', undefined, 'user')] });
    harness.tenant.faults.clear();
    harness.tenant.journal.clear();
    await harness.minutes(2);
    expect(harness.requests()).toEqual(['PUT inject']);
    expect(harness.context()).toMatchObject({ last_user_message: 'hello', tier: 'gold' });
  });

  it('SCENARIO 10: an outcome that is not known is settled by sending the same values again', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_WEBHOOK, times: 3, action: { reset: 'after' } });
    expect(await harness.instance().webhook()).toMatchObject({ kind: 'pending' });
    await harness.minutes(1);
    expect(outcomesOf(await harness.audit())).toEqual(['pending', 'confirmed']);
    expect(new Set(posted(harness).map((body) => JSON.stringify(body))).size).toBe(1);
  });

  it.each([
    [{ status: 404 }, 'session-ended'],
    [{ status: 403 }, 'upstream-forbidden'],
    [{ status: 400 }, 'upstream-rejected'],
    [{ malformed: 'html' }, 'upstream-bad-response'],
    [{ malformed: 'truncated' }, 'upstream-bad-response'],
    [{ malformed: 'wrong-shape' }, 'upstream-bad-response'],
    [{ redirectTo: 'http://elsewhere.test/' }, 'upstream-bad-response'],
    [{ status: 409 }, 'conflict'],
  ] as const)('SCENARIOS 18–23: %j is %s', async (action, code) => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_WEBHOOK, times: 0, action });
    expect(await harness.instance().webhook()).toMatchObject({ kind: 'settled', outcome: { kind: 'refused', code } });
  });

  it('SCENARIO 21: a conflict that passes is no trouble', async () => {
    const harness = await start();
    harness.tenant.faults.add({ match: AT_WEBHOOK, times: 2, action: { status: 409 } });
    expect(await harness.instance().webhook()).toMatchObject(confirmed);
    expect(posted(harness)).toHaveLength(3);
  });
});

it('SCENARIO 43: an erasure takes the user with it', async () => {
  const harness = await start();
  await harness.instance().webhook({ userId: 'alice@example.org' });
  await harness.instance().erase();
  expect((await harness.lane())?.userKey).toBeUndefined();
});
