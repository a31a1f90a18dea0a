import { afterEach, describe, expect, it, vi } from 'vitest';
import { type BusEvent, type EventRule, startEventBridge } from '../../../infra/local/eventBridge.ts';
import type { LocalServer } from '../../../infra/local/listen.ts';

const ENTRY = { Source: 'crm', DetailType: 'wanted', Detail: '{"a":1}' };
const KIB = 1_024;

let bus: LocalServer;
afterEach(async () => {
  await bus.close();
  vi.restoreAllMocks();
});

interface Seen {
  readonly id: string;
  readonly [member: string]: unknown;
}

/** A bus with one rule, whose function fails as often as told, and a clock that only notes for how long it was to sleep. */
async function prepare({ failures = 0, ...rule }: Partial<EventRule> & { failures?: number } = {}) {
  const seen: Seen[] = [];
  const slept: number[] = [];
  const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
  const invoke: EventRule['invoke'] = async (event) => {
    seen.push(event as Seen);
    if (seen.length <= failures) throw new Error('not now');
  };
  bus = await startEventBridge({
    port: 0,
    rules: [{ pattern: { 'detail-type': ['wanted', 'welcome'] }, invoke, maximumRetryAttempts: 2, ...rule }],
    clock: {
      sleep: async (ms) => {
        if (ms > 0) slept.push(ms);
      },
    },
  });
  const post = async (body: unknown, target = 'AWSEvents.PutEvents') => {
    const response = await fetch(bus.url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    expect(response.headers.get('content-type')).toBe('application/x-amz-json-1.1');
    return { status: response.status, body: JSON.parse(await response.text()) };
  };
  const put = async (...entries: unknown[]) => (await post({ Entries: entries })).body;
  const settled = async (times: number) => vi.waitFor(() => expect(seen).toHaveLength(times));
  return { seen, slept, printed, post, put, settled };
}

describe('PutEvents', () => {
  it('hands a function what EventBridge makes of an entry', async () => {
    const { seen, put, settled } = await prepare();
    const { FailedEntryCount, Entries } = await put({
      ...ENTRY,
      Time: 1_800_000_000.25,
      Resources: ['arn:aws:x'],
      EventBusName: 'default',
      TraceHeader: 'Root=1',
    });
    expect(FailedEntryCount).toBe(0);
    await settled(1);
    expect(seen).toEqual([
      {
        version: '0',
        id: Entries[0].EventId,
        'detail-type': 'wanted',
        source: 'crm',
        account: '000000000000',
        time: '2027-01-15T08:00:00Z',
        region: 'eu-central-1',
        resources: ['arn:aws:x'],
        detail: { a: 1 },
      },
    ]);
    expect(seen[0]?.id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    ['Source', { Source: undefined }, 'InvalidArgument'],
    ['Source', { Source: '' }, 'InvalidArgument'],
    ['DetailType', { DetailType: undefined }, 'InvalidArgument'],
    ['Detail', { Detail: undefined }, 'InvalidArgument'],
    ['Detail', { Detail: { a: 1 } }, 'InvalidArgument'],
    ['Time', { Time: 1e30 }, 'InvalidArgument'],
    ['Detail', { Detail: '{"a":' }, 'MalformedDetail'],
    ['Detail', { Detail: '[1]' }, 'MalformedDetail'],
    ['source', { Source: 'aws.events' }, 'NotAuthorizedForSourceException'],
  ])('names %s of an entry with %j: %s', async (named, change, code) => {
    const { seen, put, settled } = await prepare();
    expect(await put({ ...ENTRY, ...change }, ENTRY)).toEqual({
      FailedEntryCount: 1,
      Entries: [{ ErrorCode: code, ErrorMessage: expect.stringContaining(named) }, { EventId: expect.any(String) }],
    });
    await settled(1);
    expect(seen[0]?.['detail']).toEqual({ a: 1 });
  });

  it.each([
    ['no entries', { Entries: [] }, 'ValidationException'],
    ['eleven', { Entries: Array.from({ length: 11 }, () => ENTRY) }, 'ValidationException'],
    ['a list', [ENTRY], 'SerializationException'],
    ['entries that are no objects', { Entries: ['x'] }, 'SerializationException'],
    ['nothing', '', 'SerializationException'],
    ['no JSON', '{', 'SerializationException'],
  ])('refuses %s as a whole', async (_what, body, type) => {
    const { seen, post } = await prepare();
    expect(await post(body)).toEqual({ status: 400, body: { __type: type, message: expect.any(String) } });
    expect(seen).toEqual([]);
  });

  it('takes ten', async () => {
    const { put, settled } = await prepare();
    const { Entries } = await put(...Array.from({ length: 10 }, () => ENTRY));
    expect(new Set(Entries.map(({ EventId }: { EventId: string }) => EventId)).size).toBe(10);
    await settled(10);
  });

  it('takes 256 KB over all entries, counted in UTF-8, and not a byte more', async () => {
    const { post, settled } = await prepare();
    // 14 for the time; source, type, and the resource.
    const around = 14 + 'crm'.length + 'wanted'.length + 'é'.length * 2;
    const filling = 256 * KIB - around - '{"é":""}'.length - 1;
    const entry = { ...ENTRY, Time: 1, Resources: ['é'], Detail: `{"é":"${'x'.repeat(filling)}"}` };
    expect((await post({ Entries: [entry] })).status).toBe(200);
    await settled(1);
    const tooMuch = await post({ Entries: [{ ...entry, Source: 'crmx' }] });
    expect(tooMuch).toMatchObject({ status: 400, body: { __type: 'ValidationException' } });
  });

  it('is all that is served', async () => {
    const { post } = await prepare();
    expect(await post({}, 'AWSEvents.ListRules')).toMatchObject({
      status: 400,
      body: { __type: 'UnknownOperationException' },
    });
  });
});

describe('A rule', () => {
  it.each([
    ['the one type', {}, 1],
    ['the other type', { DetailType: 'welcome' }, 1],
    ['another type', { DetailType: 'Wanted' }, 0],
    ['another bus', { EventBusName: 'theirs' }, 0],
    ['the bus by its ARN', { EventBusName: 'arn:aws:events:eu-central-1:000000000000:event-bus/default' }, 1],
  ])('by type, %s: %j', async (_what, change, times) => {
    const { put, seen, settled } = await prepare();
    expect(await put({ ...ENTRY, ...change })).toMatchObject({ FailedEntryCount: 0 });
    await put({ ...ENTRY, Detail: '{"last":true}' });
    await settled(times + 1);
    expect(seen.at(-1)?.['detail']).toEqual({ last: true });
  });

  it('by type and source wants both', async () => {
    const { put, seen, settled } = await prepare({ pattern: { 'detail-type': ['wanted'], source: ['crm', 'erp'] } });
    await put({ ...ENTRY, Source: 'other' }, { ...ENTRY, DetailType: 'other' }, { ...ENTRY, Source: 'erp' });
    await settled(1);
    expect(seen[0]?.['source']).toBe('erp');
  });
});

describe("The bridge's own bus", () => {
  /** A bus with a rule for every event, where the bridge's own is called `ours`. */
  async function prepareOwn() {
    const told: BusEvent[] = [];
    const asked: unknown[] = [];
    const rules: EventRule[] = [];
    bus = await startEventBridge({ port: 0, rules, ownBus: { name: 'ours', onEvent: (event) => told.push(event) } });
    // They come later, as functions that are loaded when the bus is there already.
    rules.push({ pattern: {}, maximumRetryAttempts: 0, invoke: async (event) => asked.push(event) });
    const put = (...entries: object[]) =>
      fetch(bus.url, {
        method: 'POST',
        headers: { 'x-amz-target': 'AWSEvents.PutEvents' },
        body: JSON.stringify({ Entries: entries }),
      });
    return { told, asked, put };
  }

  it.each(['ours', 'arn:aws:events:eu-central-1:000000000000:event-bus/ours'])(
    'by %s: whoever listens is told, and nobody is asked',
    async (name) => {
      const { told, asked, put } = await prepareOwn();
      await put(
        { ...ENTRY, EventBusName: name },
        { ...ENTRY, EventBusName: 'theirs' },
        { ...ENTRY, Detail: '{"b":2}' },
      );
      await vi.waitFor(() => expect(asked).toMatchObject([{ detail: { b: 2 } }]));
      expect(told).toMatchObject([{ 'detail-type': 'wanted', source: 'crm', detail: { a: 1 } }]);
    },
  );
});

describe('An event whose function throws', () => {
  it('comes again, as it was, after growing pauses', async () => {
    const { put, seen, slept, settled } = await prepare({ failures: 2 });
    await put(ENTRY);
    await settled(3);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(1);
    expect(slept).toEqual([1_000, 2_000]);
  });

  it.each([0, 1, 2])('is given up after %i repeats, where so many are allowed', async (maximumRetryAttempts) => {
    const { put, printed, settled } = await prepare({ failures: 9, maximumRetryAttempts });
    await put(ENTRY);
    await settled(maximumRetryAttempts + 1);
    await bus.close();
    expect(printed.mock.calls).toEqual(Array.from({ length: maximumRetryAttempts + 1 }, () => ['not now']));
  });

  it('comes no more once the bus is closed', async () => {
    let sleeping = () => {};
    const isSleeping = new Promise<void>((resolve) => {
      sleeping = resolve;
    });
    let invocations = 0;
    vi.spyOn(console, 'error').mockImplementation(() => {});
    bus = await startEventBridge({
      port: 0,
      rules: [
        {
          pattern: {},
          maximumRetryAttempts: 2,
          invoke: async () => {
            invocations += 1;
            throw new Error('not now');
          },
        },
      ],
      clock: {
        sleep: (ms, signal) =>
          new Promise((resolve) => {
            if (ms === 0) return resolve();
            signal?.addEventListener('abort', () => resolve());
            sleeping();
          }),
      },
    });
    await fetch(bus.url, {
      method: 'POST',
      headers: { 'x-amz-target': 'AWSEvents.PutEvents' },
      body: JSON.stringify({ Entries: [ENTRY] }),
    });
    await isSleeping;
    await bus.close();
    expect(invocations).toBe(1);
  });
});
