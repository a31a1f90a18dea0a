import * as z from 'zod/mini';
import { EVENT_TYPES, type EventType } from '../operations/ports/eventQueue.ts';
import { flag, httpUrl, type MoreSettings, toProblem } from './config.ts';

/** What it takes to deliver events. */
export interface DeliveryConfig {
  readonly notifyQueueUrl: string;
  readonly deadLetterQueueUrl: string;
  readonly eventBusName: string;
  /** Whether events may go to addresses that are not public, and without TLS. */
  readonly allowPrivate: boolean;
  /** Where there is a CRM that wants to hear of events. */
  readonly destination?: {
    readonly url: string;
    /** Absent = of every type. */
    readonly eventTypes?: readonly EventType[];
    /** Absent = about any key. */
    readonly keyPrefixes?: readonly string[];
  };
}

/** Names between commas; absent where there is none. */
const list = z.optional(
  z.pipe(
    z.string(),
    z.transform((text) => text.split(',').map((name) => name.trim())),
  ),
);

/** Made on demand: functions that deliver nothing leave it out of their bundles. */
const environment = () =>
  z.object({
    NOTIFY_QUEUE_URL: httpUrl,
    DEAD_LETTER_QUEUE_URL: httpUrl,
    EVENT_BUS_NAME: z.string('is missing'),
    CRM_WEBHOOK_URL: z.optional(httpUrl),
    CRM_WEBHOOK_EVENTS: list,
    CRM_WEBHOOK_KEY_PREFIXES: list,
    ALLOW_PRIVATE_WEBHOOKS: flag,
  });

type Values = z.infer<ReturnType<typeof environment>>;

/** The settings of who delivers events. */
export const deliverySettings: MoreSettings<{ readonly delivery: DeliveryConfig }> = (set) => {
  const parsed = environment().safeParse(set);
  if (!parsed.success) return { problems: parsed.error.issues.map(toProblem), read: () => unreachable() };
  return { problems: contradictions(parsed.data), read: () => ({ delivery: deliveryOf(parsed.data) }) };
};

function unreachable(): never {
  throw new TypeError('settings with problems are not read');
}

function deliveryOf(values: Values): DeliveryConfig {
  const { CRM_WEBHOOK_URL: url, CRM_WEBHOOK_EVENTS: events, CRM_WEBHOOK_KEY_PREFIXES: keyPrefixes } = values;
  const destination = url !== undefined && {
    url,
    ...(events !== undefined && { eventTypes: eventTypesOf(events) }),
    ...(keyPrefixes !== undefined && { keyPrefixes }),
  };
  return {
    notifyQueueUrl: values.NOTIFY_QUEUE_URL,
    deadLetterQueueUrl: values.DEAD_LETTER_QUEUE_URL,
    eventBusName: values.EVENT_BUS_NAME,
    allowPrivate: values.ALLOW_PRIVATE_WEBHOOKS,
    ...(destination && { destination }),
  };
}

/** The types that are named; {@link contradictions} sees to it that there are no others. */
function eventTypesOf(named: readonly string[]): EventType[] {
  return named.flatMap((name) => EVENT_TYPES.filter((type) => type === name));
}

function contradictions(values: Values): string[] {
  const problems: string[] = [];
  const { CRM_WEBHOOK_URL: url, CRM_WEBHOOK_EVENTS: events, CRM_WEBHOOK_KEY_PREFIXES: prefixes } = values;
  if (url !== undefined) {
    const { protocol, username, password } = new URL(url);
    if (protocol === 'http:' && !values.ALLOW_PRIVATE_WEBHOOKS) {
      problems.push('CRM_WEBHOOK_URL must use https (ALLOW_PRIVATE_WEBHOOKS=true permits http)');
    }
    if (username !== '' || password !== '') problems.push('CRM_WEBHOOK_URL must not hold credentials');
  }
  if (events !== undefined && eventTypesOf(events).length !== events.length) {
    problems.push(`CRM_WEBHOOK_EVENTS must be some of ${EVENT_TYPES.join(', ')}`);
  }
  // An empty prefix is one of every key.
  if (prefixes?.includes('') === true) problems.push('CRM_WEBHOOK_KEY_PREFIXES must not have an empty one');
  return problems;
}
