import { describe, expect, it } from 'vitest';
import { handOver } from '../../../lib/operations/handOver.ts';
import type { OutboundEvent } from '../../../lib/operations/ports/eventQueue.ts';
import { type Instance, type LaneHarness, SESSION, variable } from '../../fixtures/operations/laneHarness.ts';
import { useDatabase } from '../../fixtures/operations/useDatabase.ts';

const start = useDatabase();
const MINUTE_MS = 60_000;

/** Everything that waits to be told of the session, oldest first; it is in our hands then, and nobody else tells it. */
async function events(harness: LaneHarness, by: Instance): Promise<OutboundEvent[]> {
  const found: OutboundEvent[] = [];
  const { queue } = by;
  const refs = (await harness.items()).filter((sk) => sk.startsWith('EVENT#')).map((sk) => sk.slice('EVENT#'.length));
  for (const eventId of refs) {
    const nowMs = harness.clock.now();
    const key = (await harness.lane())?.key ?? '';
    const taken = await queue.claim(
      { session: { key }, eventId },
      { nowMs: nowMs + MINUTE_MS, untilMs: nowMs + 2 * MINUTE_MS },
    );
    if (taken.kind === 'claimed') found.push(taken.claim.event);
  }
  return found;
}

describe('An operation that has ended', () => {
  it('is told of once it is handed over, and once only', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject({ variables: [variable('tier', 'gold')], crm: { account: 'ACC-1' } });
    const refs = await handOver({ ...bridge.deps, events: bridge.queue }, { sessionId: SESSION });
    expect(refs).toHaveLength(1);
    expect(await handOver({ ...bridge.deps, events: bridge.queue }, { sessionId: SESSION })).toEqual(refs);
    const [event, ...more] = await events(harness, bridge);
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      type: 'context.injected',
      data: {
        sessionId: SESSION,
        event: 'context.injected',
        operationId: refs[0]?.eventId,
        version: 1,
        paths: ['/tier'],
        crm: { account: 'ACC-1' },
      },
    });
  });

  it('is told of by the next one when nobody has been prompted, before the lane forgets it', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject({ value: 1 });
    expect(await events(harness, bridge)).toEqual([]);
    await bridge.inject({ value: 2 });
    expect(await events(harness, bridge)).toMatchObject([{ data: { version: 1 } }]);
  });

  it('is told of by the schedule when nothing comes after it', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject();
    await harness.minutes(2);
    expect(await events(harness, bridge)).toMatchObject([{ type: 'context.injected' }]);
  });

  it('is told of under its own name, whatever it was', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.webhook();
    await bridge.sync({ data: { a: { b: 1 } } });
    await bridge.dialog({ change: { session: { step: 1 }, transition: { nextStep: 'next' } } });
    await bridge.inject({ variables: [variable('offer', 1, harness.clock.now() + MINUTE_MS)] });
    await harness.minutes(3);
    const told = await events(harness, bridge);
    expect(told.map(({ type }) => type)).toEqual([
      'context.injected',
      'context.synced',
      'dialog.updated',
      'context.injected',
      'context.expired',
    ]);
    expect(told.map(({ data }) => data.paths)).toMatchObject([
      ['/last_user_message', '/webhook_timestamp', '/channel_type', '/custom_data'],
      ['/a/b'],
      ['/step'],
      ['/offer'],
      ['/offer'],
    ]);
  });

  it('SCENARIO 20: is told of as failed, and why, when the session has ended', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject();
    harness.tenant.sessions.end(SESSION);
    await bridge.inject({ value: 2 });
    await harness.minutes(2);
    expect((await events(harness, bridge)).map(({ type, data }) => [type, data.code])).toEqual([
      ['context.injected', undefined],
      ['context.failed', 'session-ended'],
    ]);
  });

  it('is not told of while it is pending', async () => {
    const harness = await start();
    const bridge = harness.instance();
    harness.tenant.faults.add({ match: { surface: 'inject' }, times: 0, action: { status: 503 } });
    await bridge.inject({ budgetMs: 2_000 });
    await harness.minutes(2);
    expect(await events(harness, bridge)).toEqual([]);
  });

  it('has paths that the schema calls personal without their names', async () => {
    const schema = {
      type: 'object',
      properties: {
        mail: { type: 'string', 'x-pii': true },
        profile: { type: 'object', properties: { name: { 'x-pii': true }, age: { type: 'integer' } } },
      },
    };
    const harness = await start({ schema });
    const bridge = harness.instance();
    await bridge.sync({ data: { mail: 'ada@example.org', profile: { name: { first: 'Ada' }, age: 36 } } });
    await harness.minutes(2);
    expect((await events(harness, bridge)).map(({ data }) => data.paths)).toEqual([
      ['/*', '/profile/*', '/profile/age'],
    ]);
  });

  it('SCENARIO 9: is told of once, although it was pushed twice after a crash', async () => {
    for (let atCall = 1; atCall <= 20; atCall += 1) {
      const harness = await start();
      await harness.instance().inject({ value: 'before' });
      const dying = harness.instance();
      dying.wire.strike({ atCall, when: atCall % 2 === 0 ? 'after' : 'before', how: 'die' });
      const end = await Promise.race([dying.inject({ value: 'v', idempotencyKey: 'key' }), dying.wire.died]);
      await harness.minutes(2);
      await harness.instance().inject({ value: 'v', idempotencyKey: 'key' });
      await harness.minutes(3);
      const told = await events(harness, harness.instance());
      expect(
        told.map(({ data }) => data.version),
        `struck at ${atCall}`,
      ).toEqual([1, 2]);
      if (end !== 'died') break;
    }
  });

  it('SCENARIO 43: is not told of any more when its session has been erased', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.inject();
    await bridge.inject({ value: 2 });
    await bridge.erase();
    expect(await events(harness, bridge)).toEqual([]);
    expect(await handOver({ ...bridge.deps, events: bridge.queue }, { sessionId: SESSION })).toEqual([]);
  });

  it('is told of, and those who refused it, not: what never became an operation is nobody\u2019s news', async () => {
    const harness = await start();
    const bridge = harness.instance();
    await bridge.bind();
    await bridge.crm({ tier: 'gold', occurredAtMs: harness.clock.now() });
    await bridge.crm({ tier: 'silver', occurredAtMs: harness.clock.now() - 1 });
    await harness.minutes(2);
    const told = await events(harness, bridge);
    expect(told).toMatchObject([{ data: { crm: { source: 'generic', recordId: 'ACC-1' } } }]);
  });
});

describe('Who tells outcomes', () => {
  it('is prompted by every settle that ends something, beside it', async () => {
    const harness = await start();
    const prompted: unknown[] = [];
    const bridge = harness.instance({ prompts: { send: async (prompts) => void prompted.push(...prompts) } });
    await bridge.inject();
    expect(prompted).toEqual([{ kind: 'lane', session: (await harness.lane())?.key }]);
  });

  it('need not hear of it: the answer is the same, and the schedule sees to it', async () => {
    const harness = await start();
    const bridge = harness.instance({ prompts: { send: async () => Promise.reject(new Error('no queue')) } });
    expect(await bridge.inject()).toMatchObject({ kind: 'settled', outcome: { kind: 'confirmed' } });
    await harness.minutes(2);
    expect(await events(harness, bridge)).toHaveLength(1);
  });
});
