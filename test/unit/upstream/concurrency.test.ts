import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../lib/upstream/concurrency.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';

describe('Concurrency', () => {
  it('lets in at most its limit, first come first served', async () => {
    const clock = new FakeClock();
    const concurrency = new Concurrency(5, { clock });
    const order: number[] = [];
    let inside = 0;
    let most = 0;

    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const place = await concurrency.enter(clock.now() + 60_000);
        order.push(index);
        inside += 1;
        most = Math.max(most, inside);
        await clock.sleep(100);
        inside -= 1;
        place?.leave();
      }),
    );

    expect(most).toBe(5);
    expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  it('gives up at the deadline and loses no place over it', async () => {
    const clock = new FakeClock();
    const concurrency = new Concurrency(1, { clock });
    const first = await concurrency.enter(clock.now() + 1_000);

    expect(await concurrency.enter(clock.now() + 500)).toBeUndefined();

    first?.leave();
    expect(await concurrency.enter(clock.now() + 500)).toBeDefined();
    expect(await concurrency.enter(clock.now() + 500)).toBeUndefined();
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses the limit %d', (limit) => {
    expect(() => new Concurrency(limit, { clock: new FakeClock() })).toThrow(RangeError);
  });
});
