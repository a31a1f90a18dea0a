import { randomUUID } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../../lib/context/json.ts';
import { type Clock, systemClock } from '../../lib/platform/clock.ts';
import { LOCAL_REGION } from './database.ts';
import type { EventPattern, Invoke } from './functions.ts';
import { bodyOf, type LocalServer, listenOnLoopback, serverFor } from './listen.ts';

/** Whom an event on the default bus is for: what the bridge is asked for comes there (infra/bus.yml). */
export interface EventRule {
  readonly pattern: EventPattern;
  readonly invoke: Invoke;
  /** How often an event comes again when the function throws. */
  readonly maximumRetryAttempts: number;
}

export interface EventBridgeOptions {
  /** 0 = any free one. */
  readonly port: number;
  /** Looked at with each event: they may come later than the bus. */
  readonly rules: readonly EventRule[];
  /** The bus that the bridge itself puts events on, and whoever listens there. */
  readonly ownBus?: { readonly name: string; readonly onEvent: (event: BusEvent) => void };
  readonly clock?: Pick<Clock, 'sleep'>;
}

/** What a function gets. */
export interface BusEvent {
  readonly id: string;
  readonly source: string;
  readonly 'detail-type': string;
  readonly detail: JsonObject;
  readonly [member: string]: unknown;
}

/** An event, and the name of the bus that it was put on. */
interface PutEvent {
  readonly event: BusEvent;
  readonly bus: string;
}

const DEFAULT_BUS = 'default';
const MAX_ENTRIES = 10;
const MAX_BYTES = 256 * 1024;
/** Lambda waits a minute before the first repeat and two before the second; nobody at a terminal does. */
const RETRY_AFTER_MS = 1_000;

/**
 * A stand-in for Amazon EventBridge: `PutEvents` in the SDK's own protocol (AWS JSON 1.1) for the default bus, with Lambda's
 * asynchronous invocation behind it, and for the bridge's own. Whoever puts an event has his answer before anybody has seen it.
 */
export async function startEventBridge(options: EventBridgeOptions): Promise<LocalServer> {
  const { port, rules, ownBus, clock = systemClock } = options;
  const closing = new AbortController();
  const deliveries = new Set<Promise<void>>();

  const deliver = async ({ invoke, maximumRetryAttempts }: EventRule, event: BusEvent) => {
    for (let attempt = 0; attempt <= maximumRetryAttempts; attempt += 1) {
      await clock.sleep(attempt * RETRY_AFTER_MS, closing.signal);
      if (closing.signal.aborted) return;
      try {
        await invoke(event);
        return;
      } catch (error) {
        console.error(error instanceof Error ? error.message : error);
      }
    }
  };
  const put = ({ event, bus }: PutEvent) => {
    if (bus === ownBus?.name) ownBus?.onEvent(event);
    if (bus !== DEFAULT_BUS) return;
    for (const rule of rules.filter(({ pattern }) => matches(pattern, event))) {
      const delivery = deliver(rule, event).finally(() => deliveries.delete(delivery));
      deliveries.add(delivery);
    }
  };

  const server = serverFor(async (request, response) => {
    const text = await bodyOf(request);
    const isPutEvents = request.headers['x-amz-target'] === 'AWSEvents.PutEvents';
    const { status, body, events } = isPutEvents
      ? putEvents(text)
      : refused('UnknownOperationException', 'only PutEvents is served here');
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
    events.forEach(put);
  });
  const listening = await listenOnLoopback(server, port);
  return {
    ...listening,
    close: async () => {
      closing.abort();
      await listening.close();
      await Promise.all(deliveries);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly events: readonly PutEvent[];
}

function refused(type: string, message: string): Answer {
  return { status: 400, body: { __type: type, message }, events: [] };
}

/** All or nothing where the request itself is wrong; entry by entry otherwise. */
function putEvents(text: string): Answer {
  const given = entriesOf(text);
  if (given === undefined) return refused('SerializationException', 'the body is not what PutEvents takes');
  if (given.length === 0 || given.length > MAX_ENTRIES) {
    return refused('ValidationException', `Entries must have 1 to ${MAX_ENTRIES} members`);
  }
  if (given.reduce((bytes, entry) => bytes + bytesOf(entry), 0) > MAX_BYTES) {
    return refused('ValidationException', 'Total size of the entries in the request is over the limit.');
  }
  const taken = given.map(take);
  const events = taken.flatMap((each) => ('event' in each ? [each] : []));
  const entries = taken.map((each) => ('event' in each ? { EventId: each.event.id } : each));
  return {
    status: 200,
    body: { FailedEntryCount: taken.length - events.length, Entries: entries },
    events,
  };
}

function entriesOf(text: string): JsonObject[] | undefined {
  const body = parsed(text);
  const entries = isJsonObject(body) ? body['Entries'] : undefined;
  return Array.isArray(entries) && entries.every((entry) => isJsonObject(entry)) ? entries : undefined;
}

/** As AWS counts: 14 bytes for a time, and the UTF-8 bytes of everything else. */
function bytesOf({ Time, Source, DetailType, Detail, Resources }: JsonObject): number {
  const texts = [Source, DetailType, Detail, ...(Array.isArray(Resources) ? Resources : [])];
  const bytes = texts.map((text) => (typeof text === 'string' ? Buffer.byteLength(text, 'utf8') : 0));
  return bytes.reduce((sum, each) => sum + each, Time === undefined ? 0 : 14);
}

type Taken = PutEvent | { readonly ErrorCode: string; readonly ErrorMessage: string };

function take(entry: JsonObject): Taken {
  const { Source: source, DetailType: detailType, Detail: text, Resources: resources = [], Time: time } = entry;
  if (!isText(source)) return invalid('Source', 'Source is a required argument');
  if (!isText(detailType)) return invalid('DetailType', 'DetailType is a required argument');
  if (!isText(text)) return invalid('Detail', 'Detail is a required argument');
  if (source.startsWith('aws.')) {
    return { ErrorCode: 'NotAuthorizedForSourceException', ErrorMessage: 'Not authorized for the source.' };
  }
  const detail = parsed(text);
  if (!isJsonObject(detail)) return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' };
  const at = new Date(typeof time === 'number' ? time * 1_000 : Date.now());
  if (Number.isNaN(at.getTime())) return invalid('Time', 'it is no time');
  const event = {
    version: '0',
    id: randomUUID(),
    'detail-type': detailType,
    source,
    account: '000000000000',
    time: at.toISOString().replace(/\.\d+Z$/, 'Z'),
    region: LOCAL_REGION,
    resources,
    detail,
  };
  const { EventBusName: bus = DEFAULT_BUS } = entry;
  // By its name, or by its ARN, which ends with that.
  return { event, bus: String(bus).replace(/^.*\//, '') };
}

function invalid(name: string, reason: string): Taken {
  return { ErrorCode: 'InvalidArgument', ErrorMessage: `Parameter ${name} is not valid. Reason: ${reason}.` };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function matches(pattern: EventPattern, event: BusEvent): boolean {
  return Object.entries(pattern).every(([member, wanted]) => wanted.some((value) => value === event[member]));
}
