import { describe, expect, it } from 'vitest';
import type { PermitAnswer } from '../../../lib/operations/ports/cognigy.ts';
import { createRandom, type Random } from '../../../lib/platform/random.ts';
import { Concurrency } from '../../../lib/upstream/concurrency.ts';
import { gcraFor } from '../../../lib/upstream/gcra.ts';
import { Governor } from '../../../lib/upstream/governor.ts';
import { HttpClient, type HttpRequest } from '../../../lib/upstream/httpClient.ts';
import { type RetryCall, sendWithRetry } from '../../../lib/upstream/retry.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { MemoryRateStore } from '../../fixtures/upstream/memoryRateStore.ts';
import { fail, hang, inTurn, json, type Reply, ScriptedFetch } from '../../fixtures/upstream/scriptedFetch.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

const prepare = (...replies: Reply[]) => prepareWith(seededRandom(7), ...replies);

function prepareWith(random: Random, ...replies: Reply[]) {
  const clock = new FakeClock();
  const rates = new MemoryRateStore();
  const governor = new Governor({ store: rates, cell: 'tenant', ratePerMinute: 100, clock, random });
  const sentAt: number[] = [];
  const events: string[] = [];
  const reply = inTurn(...replies);
  const network = new ScriptedFetch((request, signal) => {
    sentAt.push(clock.now() - startMs);
    events.push('sent');
    return reply(request, signal);
  });
  const concurrency = new Concurrency(5, { clock });
  const client = new HttpClient({ fetch: network.fetch, clock, concurrency });
  const startMs = clock.now();
  const send = (
    deadlineInMs = 20_000,
    firstPermit?: Promise<PermitAnswer>,
    sendByInMs = deadlineInMs,
    more: Partial<RetryCall> = {},
  ) => {
    const request: HttpRequest = {
      method: 'PUT',
      url: 'https://cognigy.test/x',
      accessToken: 't',
      correlationId: 'c',
      body: '{}',
      deadlineMs: startMs + deadlineInMs,
      sendByMs: startMs + sendByInMs,
    };
    return sendWithRetry({ client, governor, clock, random }, request, {
      priority: 'interactive',
      onLeaving: () => events.push('leaving'),
      ...(firstPermit && { firstPermit }),
      ...more,
    });
  };
  const permitsTaken = () => Math.round(rates.reservedMs / gcraFor(100).intervalMs);
  return { clock, rates, governor, network, concurrency, sentAt, events, send, startMs, permitsTaken };
}

const ok = () => json(200, { ok: true });

describe('sendWithRetry', () => {
  it.each([200, 204, 302, 400, 401, 403, 404, 409, 410, 412, 413, 422])('takes %i for an answer', async (status) => {
    const { send, network } = prepare(() => new Response(null, { status }));
    expect(await send()).toMatchObject({ kind: 'answer', attempts: 1, answer: { status } });
    expect(network.requests).toHaveLength(1);
  });

  it.each([
    ['408', () => json(408, {}), false],
    ['500', () => json(500, {}), true],
    ['502', () => json(502, {}), true],
    ['503', () => json(503, {}), false],
    ['a refused connection', fail('ECONNREFUSED'), false],
    ['a reset', fail('ECONNRESET'), true],
    ['a timeout', hang, true],
  ])('tries again after %s, and remembers whether it may have been applied', async (_what, reply, maybeApplied) => {
    const { send, permitsTaken } = prepare(reply, ok);
    expect(await send()).toMatchObject({ kind: 'answer', attempts: 2, maybeApplied });
    expect(permitsTaken()).toBe(2);
  });

  it('SCENARIO 24: begins no try after the moment from which on its values do not hold, and gives the permit back', async () => {
    const { send, network } = prepare(() => json(503, {}, { 'retry-after': '3' }), ok);
    expect(await send(20_000, undefined, 2_000)).toMatchObject({ kind: 'unavailable', attempts: 1, reason: 'down' });
    expect(network.requests).toHaveLength(1);

    let released = 0;
    const permit = {
      release: async () => {
        released += 1;
      },
    };
    const late = prepare(ok);
    const ahead = Promise.resolve({ granted: true, permit } as const);
    expect(await late.send(20_000, ahead, 0)).toMatchObject({ kind: 'unavailable', attempts: 0, reason: 'deadline' });
    expect(late.network.requests).toHaveLength(0);
    expect(released).toBe(1);
  });

  it.each([
    ['502', () => json(502, {}), { reason: 'down', maybeApplied: true, status: 502 }],
    ['503', () => json(503, {}), { reason: 'down', maybeApplied: false, status: 503 }],
    ['refused connections', fail('ECONNREFUSED'), { reason: 'down', maybeApplied: false }],
    ['timeouts', hang, { reason: 'timeout', maybeApplied: true }],
  ])('gives up after three tries with %s', async (_what, reply, expected) => {
    const { send, network, permitsTaken } = prepare(reply);
    expect(await send()).toMatchObject({ kind: 'unavailable', attempts: 3, ...expected });
    expect(network.requests).toHaveLength(3);
    expect(permitsTaken()).toBe(3);
  });

  it('leaves a slot to others when its answer would hardly come before the deadline', async () => {
    const prepared = prepare(ok);
    const { governor, send, sentAt, permitsTaken, startMs } = prepared;
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    const takenBefore = permitsTaken();
    // The next slot is in 632 ms.
    expect(await send(800)).toMatchObject({ kind: 'unavailable', attempts: 0, reason: 'budget' });
    const refused = Promise.resolve({ granted: false, retryAtMs: startMs + 632 } as const);
    expect(await send(800, refused)).toMatchObject({ kind: 'unavailable', attempts: 0, retryAtMs: startMs + 632 });
    expect(sentAt).toEqual([]);
    expect(await send(1_200)).toMatchObject({ kind: 'answer' });
    expect(sentAt).toEqual([632]);
    expect(permitsTaken() - takenBefore).toBeGreaterThan(0);
  });

  it.each([
    ['all of 200 ms, then all of 400 ms', 0.9999, [0, 199, 199 + 399]],
    ['half of them', 0.5, [0, 100, 100 + 200]],
    ['nothing at all', 0, [0, 0, 0]],
  ])('waits with full jitter: at random %s', async (_what, uniform, moments) => {
    const { send, sentAt } = prepareWith(
      createRandom(() => uniform),
      () => json(500, {}),
    );
    await send();
    expect(sentAt).toEqual(moments);
  });

  it('repeats at once, and only once, after a connection that died while the Lambda was frozen', async () => {
    const { send, sentAt } = prepare(fail('UND_ERR_SOCKET'), fail('ECONNRESET'), ok);
    expect(await send()).toMatchObject({ kind: 'answer', attempts: 3 });
    expect(sentAt[1]).toBe(0);
    expect(sentAt[2]).toBeGreaterThan(0);
  });

  it.each([
    ['seconds', '2'],
    ['an HTTP date', new Date(new FakeClock().now() + 2_000).toUTCString()],
  ])('obeys Retry-After in %s', async (_what, header) => {
    const { send, sentAt } = prepare(() => json(503, {}, { 'retry-after': header }), ok);
    await send();
    expect(sentAt).toEqual([0, 2_000]);
  });

  it('ignores a Retry-After that is garbage', async () => {
    const { send, sentAt } = prepare(() => json(503, {}, { 'retry-after': 'later' }), ok);
    await send();
    expect(sentAt[1]).toBeLessThan(200);
  });

  it('stops at once when Retry-After does not fit the deadline, and says when to come back', async () => {
    const { send, clock, startMs } = prepare(() => json(503, {}, { 'retry-after': '60' }));
    expect(await send()).toMatchObject({ reason: 'down', attempts: 1, retryAtMs: startMs + 60_000 });
    expect(clock.now()).toBe(startMs);
  });

  it('stops at once when Retry-After ends as the time to send does', async () => {
    const { send, sentAt, clock, startMs } = prepare(() => json(503, {}, { 'retry-after': '2' }), ok);
    expect(await send(20_000, undefined, 2_000)).toMatchObject({ reason: 'down', attempts: 1, triesLeft: true });
    expect(sentAt).toEqual([0]);
    expect(clock.now()).toBe(startMs);
  });

  it('SCENARIO 16: a 429 with Retry-After: 120 pauses everybody, in the table too', async () => {
    const { send, rates, network, startMs, clock } = prepare(() => json(429, {}, { 'retry-after': '120' }));
    const throttled = { kind: 'unavailable', reason: 'throttled', retryAtMs: startMs + 120_000 };
    expect(await send()).toMatchObject({ ...throttled, attempts: 1, maybeApplied: false, status: 429 });
    expect(rates.cells.get('tenant')?.pausedUntilMs).toBe(startMs + 120_000);

    expect(await send()).toMatchObject({ ...throttled, attempts: 0 });
    expect(network.requests).toHaveLength(1);
    expect(clock.now()).toBe(startMs);
  });

  it('sits out a 429 that fits, and never comes back early', async () => {
    const { send, sentAt } = prepare(() => json(429, {}, { 'retry-after': '3' }), ok);
    expect(await send()).toMatchObject({ kind: 'answer', attempts: 2 });
    expect(sentAt[1]).toBeGreaterThanOrEqual(3_000);
    expect(sentAt[1]).toBeLessThan(4_000);
  });

  it.each([undefined, 'soon!', '-1'])(
    'tries again soon after a 429 that does not say how long: %s',
    async (retryAfter) => {
      const { send, rates } = prepare(
        () => json(429, {}, retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
        ok,
      );
      expect(await send()).toMatchObject({ kind: 'answer', attempts: 2, throttled: 1 });
      expect(rates.cells.get('tenant')?.pausedUntilMs ?? 0).toBe(0);
    },
  );

  it('pauses everybody for 10 s when the last try, too, was answered 429 without saying how long', async () => {
    const { send, rates, clock } = prepare(() => json(429, {}));
    const outcome = await send(9_000);
    expect(outcome).toMatchObject({ reason: 'throttled', attempts: 3, throttled: 3, retryAtMs: clock.now() + 10_000 });
    expect(rates.cells.get('tenant')?.pausedUntilMs).toBe(clock.now() + 10_000);
  });

  it('never goes beyond the deadline', async () => {
    const { send, clock, startMs } = prepare(hang);
    expect(await send(6_000)).toMatchObject({ reason: 'timeout', maybeApplied: true });
    expect(clock.now() - startMs).toBeLessThanOrEqual(6_000);
  });

  it('has no permit in time → budget, with the next chance', async () => {
    const { send, governor, network, startMs } = prepare(ok);
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    expect(await send(100)).toMatchObject({ reason: 'budget', attempts: 0, retryAtMs: startMs + 632 });
    expect(network.requests).toHaveLength(0);
  });

  it('has no permit in time for another try → budget, with what the upstream has said to the one before', async () => {
    const { send, governor, network, startMs } = prepare(() => json(502, {}), ok);
    for (let index = 0; index < 4; index += 1) await governor.acquire({ deadlineMs: startMs });
    expect(await send(500)).toEqual({
      kind: 'unavailable',
      reason: 'budget',
      attempts: 1,
      status: 502,
      maybeApplied: true,
      throttled: 0,
      triesLeft: true,
      retryAtMs: startMs + 632,
    });
    expect(network.requests).toHaveLength(1);
  });

  it('is too late from the start → deadline: takes no permit, and has no word on when to come back', async () => {
    const { send, permitsTaken } = prepare(ok);
    expect(await send(20_000, undefined, 0)).toEqual({
      kind: 'unavailable',
      reason: 'deadline',
      attempts: 0,
      maybeApplied: false,
      throttled: 0,
      triesLeft: true,
    });
    expect(permitsTaken()).toBe(0);
  });
});

describe('What would do harm if it were applied twice', () => {
  const sendOnce = ({ send }: ReturnType<typeof prepare>) =>
    send(undefined, undefined, undefined, { isRepeatable: false });

  it.each([
    ['500', () => json(500, {})],
    ['502', () => json(502, {})],
    ['a reset', fail('ECONNRESET')],
    ['a timeout', hang],
    // Not begun, they say; and are not always right.
    ['408', () => json(408, {})],
    ['503', () => json(503, {})],
  ])('is not sent again after %s', async (_what, reply) => {
    const prepared = prepare(reply, ok);
    expect(await sendOnce(prepared)).toMatchObject({ kind: 'unavailable', attempts: 1, triesLeft: false });
    expect(prepared.network.requests).toHaveLength(1);
  });

  it.each([
    ['429', () => json(429, {})],
    ['a refused connection', fail('ECONNREFUSED')],
  ])('is sent again after %s: nobody has got it', async (_what, reply) => {
    const prepared = prepare(reply, ok);
    expect(await sendOnce(prepared)).toMatchObject({ kind: 'answer', attempts: 2, maybeApplied: false });
    expect(prepared.network.requests).toHaveLength(2);
  });
});

describe('What the caller is told', () => {
  it('as a try leaves, with permit and place in hand: not while it waits for them', async () => {
    const { send, clock, concurrency, events, startMs } = prepare(() => json(500, {}), ok);
    const places = await Promise.all(Array.from({ length: 5 }, () => concurrency.enter(startMs + 60_000)));
    const sending = send();
    await clock.sleep(1_000);
    expect(events).toEqual([]);
    for (const place of places) place?.leave();
    await sending;
    expect(events).toEqual(['leaving', 'sent', 'leaving', 'sent']);
  });

  it('nothing of a try that does not leave', async () => {
    const { send, governor, events, startMs } = prepare(ok);
    for (let index = 0; index < 5; index += 1) await governor.acquire({ deadlineMs: startMs });
    await send(100);
    expect(events).toEqual([]);
  });

  it('nothing of a try that is turned back at the very end, by a pause', async () => {
    const { send, clock, concurrency, governor, events, startMs } = prepare(ok);
    const places = await Promise.all(Array.from({ length: 5 }, () => concurrency.enter(startMs + 60_000)));
    const sending = send(2_000);
    await clock.sleep(1_000);
    await governor.pause(startMs + 60_000);
    for (const place of places) place?.leave();
    expect(await sending).toMatchObject({ reason: 'throttled', attempts: 0 });
    expect(events).toEqual([]);
  });

  it.each([
    ['the tries have run out', () => json(500, {}), 20_000, false],
    ['the next try would come too late', () => json(503, {}, { 'retry-after': '3' }), 2_000, true],
    ['it was too late from the start', ok, 0, true],
  ])('whether it was time that ran out: %s', async (_what, reply, sendByInMs, triesLeft) => {
    const { send } = prepare(reply);
    expect(await send(20_000, undefined, sendByInMs)).toMatchObject({ kind: 'unavailable', triesLeft });
  });
});

describe('A permit fetched ahead', () => {
  it('is used for the first try, the next one takes its own', async () => {
    const { send, governor, startMs, permitsTaken } = prepare(() => json(500, {}), ok);
    await send(20_000, governor.acquire({ deadlineMs: startMs + 20_000 }));
    expect(permitsTaken()).toBe(2);
  });

  it('that was refused beyond the deadline ends it without asking again', async () => {
    const { send, network, rates, startMs } = prepare(ok);
    const refused = Promise.resolve<PermitAnswer>({ granted: false, retryAtMs: startMs + 30_000 });
    expect(await send(20_000, refused)).toMatchObject({ reason: 'budget', retryAtMs: startMs + 30_000 });
    expect(network.requests).toHaveLength(0);
    expect(rates.calls.reserveIdle).toBe(0);
  });

  it('that has aged is exchanged for a fresh one', async () => {
    const { send, clock, governor, startMs, permitsTaken } = prepare(ok);
    const ahead = governor.acquire({ deadlineMs: startMs + 20_000 });
    await ahead;
    clock.advance(400);
    expect(await send(20_000, ahead)).toMatchObject({ kind: 'answer' });
    expect(permitsTaken()).toBe(2);
  });

  it('that a pause has overtaken is not used', async () => {
    const { send, governor, sentAt, startMs } = prepare(ok);
    const ahead = governor.acquire({ deadlineMs: startMs + 20_000 });
    await ahead;
    await governor.pause(startMs + 2_000);
    await send(20_000, ahead);
    expect(sentAt[0]).toBeGreaterThanOrEqual(2_000);
  });

  it('that aged while the request queued for a place is exchanged, not used late', async () => {
    const { send, clock, concurrency, startMs, permitsTaken, sentAt } = prepare(ok);
    const places = await Promise.all(Array.from({ length: 5 }, () => concurrency.enter(startMs + 60_000)));
    const sending = send();
    await clock.sleep(3_000);
    for (const place of places) place?.leave();
    expect(await sending).toMatchObject({ kind: 'answer', attempts: 1 });
    expect(sentAt).toEqual([3_000]);
    expect(permitsTaken()).toBe(2);
  });

  it('that rejects does no harm', async () => {
    const { send } = prepare(ok);
    expect(await send(20_000, Promise.reject(new Error('lost')))).toMatchObject({ kind: 'answer' });
  });

  it('goes back when no place came free in time', async () => {
    const { send, governor, concurrency, rates, startMs } = prepare(ok);
    await Promise.all(Array.from({ length: 5 }, () => concurrency.enter(startMs + 60_000)));
    const result = await send(200, governor.acquire({ deadlineMs: startMs + 200 }));
    expect(result).toMatchObject({ kind: 'unavailable', reason: 'deadline', attempts: 0 });
    expect(rates.calls.release).toBe(1);
  });
});
