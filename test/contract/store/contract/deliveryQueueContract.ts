import { beforeEach, describe, expect, it } from 'vitest';
import type {
  DeadEvents,
  DeliveryQueue,
  EventClaim,
  EventRef,
} from '../../../../lib/operations/ports/deliveryQueue.ts';
import { eventOf } from '../../../fixtures/events/events.ts';
import { DAY_MS, newId, START_MS } from '../../../fixtures/store/session.ts';

const CLAIM_MS = 30_000;

/** What every {@link DeliveryQueue} does. `makeQueue` makes an empty one of `shards` shards for each test. */
export function deliveryQueueContract(
  name: string,
  shards: number,
  makeQueue: () => Promise<{ readonly queue: DeliveryQueue; readonly dead: DeadEvents }>,
): void {
  describe(name, () => {
    let queue: DeliveryQueue;
    let dead: DeadEvents;
    beforeEach(async () => {
      ({ queue, dead } = await makeQueue());
    });

    const enqueue = (dueAtMs = START_MS) => queue.enqueueOnce(eventOf(), { eventId: newId(), dueAtMs });
    const claim = (ref: EventRef, nowMs = START_MS, untilMs = nowMs + CLAIM_MS) => queue.claim(ref, { nowMs, untilMs });
    const claimed = async (ref: EventRef, nowMs = START_MS): Promise<EventClaim> => {
      const result = await claim(ref, nowMs);
      if (result.kind !== 'claimed') throw new Error(`not claimed: ${result.kind}`);
      return result.claim;
    };
    const claimLater = (ref: EventRef) => claim(ref, START_MS + DAY_MS);
    const due = async (nowMs: number): Promise<EventRef[]> => {
      const found: EventRef[] = [];
      for (let shard = 0; shard < shards; shard += 1) {
        for await (const ref of queue.due(shard, nowMs)) found.push(ref);
      }
      return found;
    };
    const later = (over: object = {}) => ({
      readyAtMs: START_MS + 5_000,
      dueAtMs: START_MS + 65_000,
      failures: 1,
      deliveredTo: ['bus'],
      waitingSinceMs: START_MS,
      ...over,
    });

    it('gives an event to whoever claims it, before the schedule sees to it', async () => {
      const event = eventOf();
      const eventId = newId();
      const ref = await queue.enqueueOnce(event, { eventId, dueAtMs: START_MS + 60_000 });
      expect(ref.eventId).toBe(eventId);
      expect(await due(START_MS)).toEqual([]);
      expect(await claim(ref)).toEqual({
        kind: 'claimed',
        claim: { ref, event, untilMs: START_MS + CLAIM_MS, failures: 0, deliveredTo: [] },
      });
    });

    it('gives it to one of many', async () => {
      const ref = await enqueue();
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, at) => claim(ref, START_MS, START_MS + 30_000 + at)),
      );
      expect(results.filter(({ kind }) => kind === 'claimed')).toHaveLength(1);
    });

    it('SCENARIO 14: gives it to the next when a claim has ended, and the schedule finds it then', async () => {
      const ref = await enqueue();
      await claimed(ref);
      expect(await claim(ref, START_MS + CLAIM_MS - 1)).toEqual({ kind: 'not-due' });
      expect(await due(START_MS + CLAIM_MS - 1)).toEqual([]);
      expect(await due(START_MS + CLAIM_MS)).toEqual([ref]);
      expect((await claim(ref, START_MS + CLAIM_MS)).kind).toBe('claimed');
    });

    it('has no event twice: waiting, claimed, given up or delivered', async () => {
      const event = eventOf();
      const place = { eventId: newId(), dueAtMs: START_MS };
      const again = { ...event, type: 'context.failed' } as const;
      const ref = await queue.enqueueOnce(event, place);
      expect(await queue.enqueueOnce(again, place)).toEqual(ref);
      const claim = await claimed(ref);
      expect(claim.event).toEqual(event);
      await queue.enqueueOnce(again, place);
      await queue.bury(claim, { keepUntilMs: START_MS + DAY_MS, deliveredTo: [] });
      await queue.enqueueOnce(again, place);
      expect(await due(START_MS + DAY_MS)).toEqual([]);
      await queue.finish(ref, START_MS);
      await queue.enqueueOnce(again, place);
      expect(await due(START_MS + DAY_MS)).toEqual([]);
      expect(await claimLater(ref)).toEqual({ kind: 'not-due' });
    });
    it('puts an event off: nobody gets it before, and what is known of it comes along', async () => {
      const ref = await enqueue();
      await queue.postpone(await claimed(ref), later());
      expect(await claim(ref, START_MS + 4_999)).toEqual({ kind: 'not-due' });
      expect(await due(START_MS + 64_999)).toEqual([]);
      expect(await due(START_MS + 65_000)).toEqual([ref]);
      const again = await claimed(ref, START_MS + 5_000);
      expect(again).toMatchObject({ failures: 1, deliveredTo: ['bus'], waitingSinceMs: START_MS });
    });

    it('whose claim is over can neither put it off nor give it up, but can say that it was delivered', async () => {
      const ref = await enqueue();
      const slow = await claimed(ref);
      const quick = await claimed(ref, START_MS + CLAIM_MS);
      await queue.postpone(slow, later({ failures: 7 }));
      await queue.bury(slow, { keepUntilMs: START_MS + DAY_MS, deliveredTo: [] });
      expect(await due(quick.untilMs)).toEqual([ref]);
      expect((await claimed(ref, quick.untilMs)).failures).toBe(0);
      await queue.finish(slow.ref, START_MS);
      expect(await due(START_MS + DAY_MS)).toEqual([]);
      await queue.postpone(quick, later());
      expect(await due(START_MS + DAY_MS)).toEqual([]);
    });

    it('keeps what was given up, out of reach until it is revived', async () => {
      const ref = await enqueue();
      await queue.postpone(await claimed(ref), later({ deliveredTo: [] }));
      const claim = await claimed(ref, START_MS + 5_000);
      await queue.bury(claim, { keepUntilMs: START_MS + 14 * DAY_MS, deliveredTo: ['bus'] });
      expect(await due(START_MS + DAY_MS)).toEqual([]);
      expect(await claimLater(ref)).toEqual({ kind: 'not-due' });

      expect(await dead.revive(ref, START_MS + DAY_MS)).toBe('revived');

      expect(await due(START_MS + DAY_MS)).toEqual([ref]);
      const { waitingSinceMs, ...revived } = await claimed(ref, START_MS + DAY_MS);
      expect(revived).toMatchObject({ event: claim.event, failures: 0, deliveredTo: ['bus'] });
      expect(waitingSinceMs).toBeUndefined();
    });

    it('revives nothing that was not given up', async () => {
      const [waiting, finished] = [await enqueue(), await enqueue()];
      await queue.finish(finished, START_MS);
      expect(await dead.revive(waiting, START_MS)).toBe('waiting');
      for (const ref of [finished, { ...waiting, eventId: newId() }]) {
        expect(await dead.revive(ref, START_MS)).toBe('gone');
      }
      expect(await due(START_MS)).toEqual([waiting]);
    });

    it('reminds of an event at once, and then ever more seldom', async () => {
      const ref = await enqueue();
      const prompts: number[] = [];
      for (let minute = 0; minute <= 60; minute += 1) {
        const nowMs = START_MS + minute * 60_000;
        for (const each of await due(nowMs)) {
          if (await queue.notePrompt(each, nowMs)) prompts.push(minute);
        }
      }
      expect(prompts).toEqual([0, 2, 6, 14, 30]);
      expect((await claim(ref)).kind).toBe('claimed');
    });

    it('notes one prompt of two at the same time, and none for what is delivered or not due', async () => {
      const ref = await enqueue();
      const noted = await Promise.all([queue.notePrompt(ref, START_MS), queue.notePrompt(ref, START_MS)]);
      expect(noted.filter(Boolean)).toHaveLength(1);
      await queue.finish(ref, START_MS);
      expect(await queue.notePrompt(ref, START_MS + DAY_MS)).toBe(false);
      expect(await queue.notePrompt(await enqueue(START_MS + 1), START_MS)).toBe(false);
    });

    it('finds what is due, oldest first within a shard', async () => {
      const event = eventOf();
      const refs: EventRef[] = [];
      for (const minute of [2, 0, 1]) {
        refs[minute] = await queue.enqueueOnce(event, { eventId: newId(), dueAtMs: START_MS + minute * 60_000 });
      }
      expect(await due(START_MS + 60_000)).toEqual(refs.slice(0, 2));
    });
  });
}
