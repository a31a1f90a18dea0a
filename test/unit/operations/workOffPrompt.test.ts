import { beforeEach, describe, expect, it } from 'vitest';
import type { EventRef } from '../../../lib/operations/ports/deliveryQueue.ts';
import { type NotifyDeps, workOffPrompt } from '../../../lib/operations/workOffPrompt.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { MemoryDeliveryQueue } from '../../fixtures/events/memoryDeliveryQueue.ts';
import { MemoryDestinationStates } from '../../fixtures/events/memoryDestinationStates.ts';
import { MemoryTelemetry } from '../../fixtures/operations/memoryTelemetry.ts';
import { newId } from '../../fixtures/store/session.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

describe('workOffPrompt', () => {
  let clock: FakeClock;
  let queue: MemoryDeliveryQueue;
  let onBus: string[];
  let prompted: unknown[];
  let refs: EventRef[];
  let deps: NotifyDeps;
  beforeEach(async () => {
    clock = new FakeClock();
    queue = new MemoryDeliveryQueue();
    [onBus, prompted, refs] = [[], [], []];
    for (let each = 0; each < 3; each += 1) {
      refs.push(await queue.enqueueOnce(eventOf(), { eventId: newId(), dueAtMs: clock.now() }));
    }
    deps = {
      clock,
      random: seededRandom(),
      queue,
      states: new MemoryDestinationStates(),
      bus: {
        put: async (id) => {
          onBus.push(id);
          clock.advance(10_000);
        },
      },
      prompts: { send: async (prompts) => void prompted.push(...prompts) },
      deadLetters: { send: async () => {} },
      handOver: async (session) => ('key' in session && session.key === 'lane' ? refs : []),
    };
  });
  const workOff = (prompt: Parameters<typeof workOffPrompt>[1], budgetMs = 60_000) =>
    workOffPrompt(deps, prompt, { deadlineMs: clock.now() + budgetMs, telemetry: new MemoryTelemetry() });

  it('delivers one event', async () => {
    const [ref] = refs;
    if (ref === undefined) throw new TypeError();
    await workOff({ kind: 'event', session: ref.session.key, eventId: ref.eventId });
    expect(onBus).toEqual([ref.eventId]);
  });

  it('delivers what a lane hands over, in its order', async () => {
    await workOff({ kind: 'lane', session: 'lane' });
    expect(onBus).toEqual(refs.map(({ eventId }) => eventId));
    await workOff({ kind: 'lane', session: 'another' });
    expect(onBus).toHaveLength(3);
  });

  it('prompts again what there is no time for', async () => {
    await workOff({ kind: 'lane', session: 'lane' }, 20_000);
    expect(onBus).toHaveLength(1);
    const left = refs.slice(1).map(({ session, eventId }) => ({ kind: 'event', session: session.key, eventId }));
    expect(prompted).toEqual(left);
  });
});
