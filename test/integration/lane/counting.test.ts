import { describe, expect, it } from 'vitest';
import type { SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import type { Instance } from '../../fixtures/operations/laneHarness.ts';
import { variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();

/** What the settles of these instances have said in all: how many were confirmed, and what those were told who waited. */
function said(...instances: readonly Instance[]) {
  const settlings = instances.flatMap(({ telemetry }) => telemetry.settlings);
  return {
    confirmed: settlings.reduce((sum, { confirmed }) => sum + (confirmed.get('inject') ?? 0), 0),
    told: settlings.flatMap(({ own }) => (own === undefined ? [] : [own.isSuccess])),
  };
}

describe('What operations come to', () => {
  it('is said when the settle has left, and before it is answered', async () => {
    // Prepare
    const harness = await start();
    const order: string[] = [];
    const store = (real: SessionStore): SessionStore =>
      new Proxy(real, {
        get(target, name) {
          const method: unknown = Reflect.get(target, name);
          if (typeof method !== 'function') return method;
          if (name !== 'settle') return method.bind(target);
          return async (...args: unknown[]) => {
            order.push(`leaves, after ${instance.telemetry.settlings.length}`);
            const result: unknown = await Reflect.apply(method, target, args);
            order.push(`answered, after ${instance.telemetry.settlings.length}`);
            return result;
          };
        },
      });
    const instance = harness.instance({ store });

    // Act
    await instance.inject();

    // Assess
    expect(order).toEqual(['leaves, after 0', 'answered, after 1']);
    expect(said(instance)).toEqual({ confirmed: 1, told: [true] });
  });

  it('is a success for the one who is told that it is pending, and confirmed by the schedule that pushes it', async () => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    expect(await instance.inject()).toMatchObject({ kind: 'pending' });
    expect(said(instance)).toEqual({ confirmed: 0, told: [true] });

    harness.tenant.faults.clear();
    harness.clock.advance(60_000);
    const schedule = harness.instance();
    await schedule.workOff();
    expect(said(schedule)).toEqual({ confirmed: 1, told: [] });
  });

  it('is a failure for the one whom the upstream refuses', async () => {
    const harness = await start();
    const instance = harness.instance();
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 1, action: { status: 400 } });
    expect(await instance.inject()).toMatchObject({ kind: 'settled', outcome: { kind: 'refused' } });
    expect(said(instance)).toEqual({ confirmed: 0, told: [false] });
  });

  it('is said once of each, also of those that leave with somebody else’s push', async () => {
    const harness = await start();
    const instances = Array.from({ length: 6 }, () => harness.instance());
    await Promise.all(instances.map((each, at) => each.inject({ variables: [variable(`k${at}`, at)] })));
    const { confirmed, told } = said(...instances);
    expect(confirmed).toBe(6);
    expect(told.every((isSuccess) => isSuccess)).toBe(true);
    expect(told.length).toBeLessThanOrEqual(6);
  });
});
