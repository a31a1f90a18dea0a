import { beforeEach, describe, expect, it } from 'vitest';
import { type DeliveryDeps, deliverEvent } from '../../../lib/operations/deliverEvent.ts';
import type { EventRef } from '../../../lib/operations/ports/deliveryQueue.ts';
import type { DeadLetter, SendResult } from '../../../lib/operations/ports/outbound.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { MemoryDeliveryQueue } from '../../fixtures/events/memoryDeliveryQueue.ts';
import { MemoryDestinationStates } from '../../fixtures/events/memoryDestinationStates.ts';
import { MemoryTelemetry } from '../../fixtures/operations/memoryTelemetry.ts';
import { DAY_MS, HOUR_MS, newId } from '../../fixtures/store/session.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

const FAILED: SendResult = { kind: 'failed', reason: 'status', status: 503 };
const DELIVERED: SendResult = { kind: 'delivered' };

describe('deliverEvent', () => {
  let clock: FakeClock;
  let queue: MemoryDeliveryQueue;
  let telemetry: MemoryTelemetry;
  let onBus: string[];
  let posted: string[];
  let letters: DeadLetter[];
  let prompts: { eventId: string; delaySeconds: number }[];
  let answer: () => SendResult;
  let busIsDown: boolean;
  let deps: DeliveryDeps;
  beforeEach(() => {
    clock = new FakeClock();
    queue = new MemoryDeliveryQueue();
    telemetry = new MemoryTelemetry();
    [onBus, posted, letters, prompts] = [[], [], [], []];
    answer = () => DELIVERED;
    busIsDown = false;
    deps = {
      clock,
      random: { ...seededRandom(), next: () => 0.5 },
      queue,
      states: new MemoryDestinationStates(),
      bus: {
        put: async (id, { type }) => {
          if (busIsDown) throw new Error('down');
          onBus.push(type === 'destination.disabled' ? type : id);
        },
      },
      prompts: {
        send: async (sent, delaySeconds = 0) => {
          for (const prompt of sent)
            if (prompt.kind === 'event') prompts.push({ eventId: prompt.eventId, delaySeconds });
        },
      },
      deadLetters: { send: async (letter) => void letters.push(letter) },
      destination: {
        id: 'crm',
        sender: {
          send: async (eventId) => {
            posted.push(eventId);
            return answer();
          },
        },
      },
    };
  });

  const enqueue = (event = eventOf()) => queue.enqueueOnce(event, { eventId: newId(), dueAtMs: clock.now() });
  const deliver = (ref: EventRef, over: Partial<DeliveryDeps> = {}) =>
    deliverEvent({ ...deps, ...over }, ref, { deadlineMs: clock.now() + 60_000, telemetry });
  const due = async () => {
    const refs: EventRef[] = [];
    for await (const ref of queue.due(0, clock.now())) refs.push(ref);
    return refs;
  };

  it('tells the bus and the endpoint, each once', async () => {
    const ref = await enqueue();
    expect(await deliver(ref)).toBe('delivered');
    expect(await deliver(ref)).toBe('nothing-to-do');
    expect([onBus, posted]).toEqual([[ref.eventId], [ref.eventId]]);
    expect(telemetry.counts.get('EventDelivered')).toBe(1);
    expect(queue.waiting).toBe(0);
  });

  it('tells the bus alone where there is no endpoint, or it does not want to hear of it', async () => {
    expect(await deliver(await enqueue(), { destination: undefined })).toBe('delivered');
    const { destination } = deps;
    if (destination === undefined) throw new TypeError();
    expect(await deliver(await enqueue(), { destination: { ...destination, keyPrefixes: ['crm_'] } })).toBe(
      'delivered',
    );
    expect(onBus).toHaveLength(2);
    expect(posted).toEqual([]);
  });

  it('does not tell one again because of the other', async () => {
    answer = () => FAILED;
    const ref = await enqueue();
    expect(await deliver(ref)).toBe('postponed');
    answer = () => DELIVERED;
    clock.advance(6_000);
    expect(await deliver(ref)).toBe('delivered');
    expect([onBus.length, posted.length]).toEqual([1, 2]);

    busIsDown = true;
    const other = await enqueue();
    expect(await deliver(other)).toBe('postponed');
    busIsDown = false;
    clock.advance(6_000);
    expect(await deliver(other)).toBe('delivered');
    expect([onBus.length, posted.length]).toEqual([2, 3]);
  });

  it('climbs the ladder, prompts by SQS as far as that reaches, and gives up after the last rung', async () => {
    answer = () => FAILED;
    const ref = await enqueue();
    const pausesS: number[] = [];
    for (let tries = 1; tries <= 7; tries += 1) {
      expect(await deliver(ref)).toBe('postponed');
      const fromMs = clock.now();
      // Nobody gets it sooner than the ladder says.
      for (let pausing = true; pausing; ) {
        clock.advance(1_000);
        const claim = await queue.claim(ref, { nowMs: clock.now(), untilMs: clock.now() });
        pausing = claim.kind !== 'claimed';
      }
      pausesS.push((clock.now() - fromMs) / 1_000);
    }
    expect(pausesS).toEqual([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
    expect(prompts).toEqual([5, 300].map((delaySeconds) => ({ eventId: ref.eventId, delaySeconds })));
    expect(letters).toEqual([]);

    expect(await deliver(ref)).toBe('given-up');

    expect(letters).toEqual([{ ...ref, reason: 'retries-exhausted', attempts: 8, destination: 'crm' }]);
    expect(posted).toEqual(Array(8).fill(ref.eventId));
    expect(telemetry.counts.get('EventDeadLettered')).toBe(1);
    clock.advance(DAY_MS);
    expect(await due()).toEqual([]);
    expect(await deliver(ref)).toBe('nothing-to-do');

    expect(await queue.revive(ref, clock.now())).toBe('revived');
    answer = () => DELIVERED;
    expect(await deliver(ref)).toBe('delivered');
    expect(onBus).toHaveLength(1);
  });

  it('is found by the schedule when a prompt is lost', async () => {
    answer = () => FAILED;
    const ref = await enqueue();
    const lost = { send: () => Promise.reject(new Error('down')) };
    expect(await deliver(ref, { prompts: lost })).toBe('postponed');
    clock.advance(64_999);
    expect(await due()).toEqual([]);
    clock.advance(1);
    expect(await due()).toEqual([ref]);
  });

  it('SCENARIO 14: delivers again, under the same id, what it could not note', async () => {
    const ref = await enqueue();
    const dying = Object.assign(Object.create(queue), { finish: () => Promise.reject(new Error('killed')) });
    dying.claim = queue.claim.bind(queue);
    await expect(deliver(ref, { queue: dying })).rejects.toThrow('killed');
    expect(await deliver(ref)).toBe('nothing-to-do');
    clock.advance(30_000);
    expect(await due()).toEqual([ref]);
    expect(await deliver(ref)).toBe('delivered');
    expect(posted).toEqual([ref.eventId, ref.eventId]);
  });

  it('spares an endpoint that keeps failing, and uses up nothing of what waits for it', async () => {
    answer = () => FAILED;
    for (let each = 0; each < 5; each += 1) await deliver(await enqueue());
    const waiting = await enqueue();
    expect(await deliver(waiting)).toBe('postponed');
    expect(posted).toHaveLength(5);
    expect(prompts.at(-1)).toEqual({ eventId: waiting.eventId, delaySeconds: 32 });

    answer = () => DELIVERED;
    clock.advance(32_000);
    const others = await Promise.all([waiting, await enqueue(), await enqueue()].map((ref) => deliver(ref)));
    expect(others.toSorted()).toEqual(['delivered', 'postponed', 'postponed']);
    clock.advance(60_000);
    expect(await deliver(await enqueue())).toBe('delivered');
    clock.advance(DAY_MS);
    for (const ref of await due()) expect(await deliver(ref)).toBe('delivered');
    expect(letters).toEqual([]);
  });

  it('gives up what has waited for a week', async () => {
    answer = () => FAILED;
    const first = await enqueue();
    for (let each = 0; each < 5; each += 1) await deliver(await enqueue());
    expect(await deliver(first)).toBe('postponed');
    clock.advance(7 * DAY_MS);
    // Somebody else's probe keeps the breaker open.
    await deliver(await enqueue());
    expect(await deliver(first)).toBe('given-up');
    expect(letters).toMatchObject([{ eventId: first.eventId, reason: 'waited-too-long', attempts: 0 }]);
  });

  it('disables an endpoint that is gone, says so once, and tells it nothing any more', async () => {
    answer = () => ({ kind: 'gone' });
    const refs = await Promise.all([enqueue(), enqueue()]);
    expect(await Promise.all(refs.map((ref) => deliver(ref)))).toEqual(['given-up', 'given-up']);
    answer = () => DELIVERED;
    clock.advance(HOUR_MS);
    const later = await enqueue();
    expect(await deliver(later)).toBe('given-up');
    expect(posted).toHaveLength(2);
    expect(onBus.toSorted()).toEqual(
      [...refs, later]
        .map(({ eventId }) => eventId)
        .concat('destination.disabled')
        .toSorted(),
    );
    expect(telemetry.counts.get('DestinationDisabled')).toBe(1);
    expect(telemetry.lines.filter(({ message }) => message === 'a destination is disabled')).toMatchObject([
      { level: 'error' },
    ]);
    expect(letters.map(({ reason }) => reason)).toEqual(Array(3).fill('destination-disabled'));
  });

  it('goes on for the bus when the endpoint is disabled, and then gives up', async () => {
    answer = () => ({ kind: 'gone' });
    busIsDown = true;
    const ref = await enqueue();
    expect(await deliver(ref)).toBe('postponed');
    expect(letters).toEqual([]);
    busIsDown = false;
    clock.advance(6_000);
    expect(await deliver(ref)).toBe('given-up');
    expect(onBus).toEqual([ref.eventId]);
  });

  it('does not deliver twice because a state cannot be noted', async () => {
    const states = new MemoryDestinationStates();
    states.replace = () => Promise.reject(new Error('down'));
    answer = () => FAILED;
    expect(await deliver(await enqueue(), { states })).toBe('postponed');
    expect(telemetry.lines.map(({ message }) => message)).toContain("a destination's state was not noted");
  });

  it('does away with what opens no more', async () => {
    const ref = await enqueue();
    const unreadable = Object.assign(Object.create(queue), {
      claim: async () => ({ kind: 'unreadable' }),
      finish: (each: EventRef) => queue.finish(each),
    });
    expect(await deliver(ref, { queue: unreadable })).toBe('nothing-to-do');
    expect(queue.waiting).toBe(0);
  });

  it('logs codes and numbers only', async () => {
    answer = () => FAILED;
    const event = eventOf();
    await deliver(await enqueue(event));
    expect(telemetry.lines).toHaveLength(1);
    expect(JSON.stringify(telemetry.lines)).not.toContain(event.data.sessionId);
    expect(JSON.stringify(telemetry.lines)).not.toContain('/tier');
  });
});
