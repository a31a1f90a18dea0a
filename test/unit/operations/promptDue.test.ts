import { beforeEach, describe, expect, it } from 'vitest';
import type { Prompt } from '../../../lib/operations/ports/prompts.ts';
import { promptDue } from '../../../lib/operations/promptDue.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { MemoryDeliveryQueue } from '../../fixtures/events/memoryDeliveryQueue.ts';
import { MemoryTelemetry } from '../../fixtures/operations/memoryTelemetry.ts';
import { newId } from '../../fixtures/store/session.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

describe('promptDue', () => {
  let clock: FakeClock;
  let queue: MemoryDeliveryQueue;
  let telemetry: MemoryTelemetry;
  let batches: (readonly Prompt[])[];
  beforeEach(() => {
    clock = new FakeClock();
    queue = new MemoryDeliveryQueue();
    telemetry = new MemoryTelemetry();
    batches = [];
  });
  const send = async (prompts: readonly Prompt[]): Promise<void> => void batches.push(prompts);
  const run = (over: { send?: typeof send; budgetMs?: number } = {}) =>
    promptDue(
      { clock, random: seededRandom(), queue, prompts: { send: over.send ?? send } },
      { shards: 1, deadlineMs: clock.now() + (over.budgetMs ?? 50_000), telemetry },
    );
  const enqueue = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () => queue.enqueueOnce(eventOf(), { eventId: newId(), dueAtMs: clock.now() })),
    );

  it('prompts everything that is due, ten at a time', async () => {
    const refs = await enqueue(123);
    expect(await run()).toEqual({ prompted: 123, failed: 0, cutShort: false });
    expect(batches.map(({ length }) => length).toSorted((a, b) => a - b)).toEqual([3, ...Array(12).fill(10)]);
    const prompted = batches.flat().flatMap((prompt) => (prompt.kind === 'event' ? [prompt.eventId] : []));
    expect(prompted.toSorted()).toEqual(refs.map(({ eventId }) => eventId).toSorted());
  });

  it('does not prompt again each minute while the queue is long', async () => {
    await enqueue(10);
    const perMinute: number[] = [];
    for (let minute = 0; minute < 10; minute += 1) {
      perMinute.push((await run()).prompted);
      clock.advance(60_000);
    }
    expect(perMinute).toEqual([10, 0, 10, 0, 0, 0, 10, 0, 0, 0]);
  });

  it('prompts once when two schedules run at the same time', async () => {
    await enqueue(30);
    const reports = await Promise.all([run(), run()]);
    expect(reports.reduce((sum, { prompted }) => sum + prompted, 0)).toBe(30);
  });

  it('goes on when a batch goes wrong, and comes back to it', async () => {
    await enqueue(20);
    let calls = 0;
    const flaky = async (prompts: readonly Prompt[]) => {
      calls += 1;
      if (calls === 1) throw new Error('down');
      batches.push(prompts);
    };
    expect(await run({ send: flaky })).toEqual({ prompted: 10, failed: 1, cutShort: false });
    expect(telemetry.lines.map(({ level }) => level)).toEqual(['error']);
    clock.advance(120_000);
    expect((await run()).prompted).toBe(20);
  });

  it('stops in time', async () => {
    await enqueue(20);
    expect(await run({ budgetMs: 1_000 })).toEqual({ prompted: 0, failed: 0, cutShort: true });
  });
});
