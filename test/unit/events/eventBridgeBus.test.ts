import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { describe, expect, it } from 'vitest';
import { EventBridgeBus } from '../../../lib/events/eventBridgeBus.ts';
import { eventOf } from '../../fixtures/events/events.ts';
import { newSession, START_MS } from '../../fixtures/store/session.ts';

/** A bus that answers so, and what it was sent. */
function busThat(answer: object) {
  const sent: {
    Entries: { Detail: string; EventBusName: string; Source: string; DetailType: string; Time: Date }[];
  }[] = [];
  const client = new EventBridgeClient({ region: 'eu-central-1' });
  client.middlewareStack.add(
    () => async (args) => {
      sent.push(args.input as (typeof sent)[number]);
      return { output: answer as never, response: {} };
    },
    { step: 'initialize' },
  );
  return { bus: new EventBridgeBus(client, 'outcomes'), sent };
}
const TAKEN = { FailedEntryCount: 0, Entries: [{ EventId: 'theirs' }] };

describe('EventBridgeBus', () => {
  it('puts what a webhook would say, with the id that is the same each time', async () => {
    const { bus, sent } = busThat(TAKEN);
    await bus.put('01EVENT', eventOf(newSession('sess_1'), { operationId: 'op' }));
    const [entry] = sent[0]?.Entries ?? [];
    expect(entry).toMatchObject({
      EventBusName: 'outcomes',
      Source: 'context-bridge',
      DetailType: 'context.injected',
      Time: new Date(START_MS),
    });
    expect(JSON.parse(entry?.Detail ?? '')).toEqual({
      id: '01EVENT',
      type: 'context.injected',
      timestamp: '2026-11-21T09:00:00.000Z',
      data: {
        sessionId: 'sess_1',
        event: 'context.injected',
        operationId: 'op',
        version: 3,
        paths: ['/tier'],
        crm: null,
      },
    });
  });

  it('says of a destination that it is disabled', async () => {
    const { bus, sent } = busThat(TAKEN);
    const data = { destination: 'hash', reason: 'gone' };
    await bus.put('id', { type: 'destination.disabled', timestamp: new Date(START_MS).toISOString(), data });
    expect(JSON.parse(sent[0]?.Entries[0]?.Detail ?? '')).toMatchObject({ id: 'id', data });
  });

  it('puts no more than EventBridge takes', async () => {
    const { bus, sent } = busThat(TAKEN);
    await bus.put('id', eventOf(newSession(), { crm: { note: 'ä'.repeat(200_000) } }));
    expect(Buffer.byteLength(sent[0]?.Entries[0]?.Detail ?? '')).toBeLessThan(256 * 1_024);
  });

  it('fails when the answer is 200 and the event was not taken', async () => {
    const { bus } = busThat({ FailedEntryCount: 1, Entries: [{ ErrorCode: 'ThrottlingException' }] });
    await expect(bus.put('id', eventOf())).rejects.toMatchObject({
      name: 'EventBusError',
      code: 'ThrottlingException',
    });
    const { bus: silent } = busThat({ FailedEntryCount: 1 });
    await expect(silent.put('id', eventOf())).rejects.toMatchObject({ code: 'unknown' });
  });
});
