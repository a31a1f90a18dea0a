import * as z from 'zod/mini';
import { type CrmEventRead, readCrmEvents } from '../context/crmEvents.ts';
import { crmIdOf, type RecordRef } from '../context/crmRecord.ts';
import type { CrmSource } from '../context/crmSource.ts';
import type { JsonValue } from '../context/json.ts';
import { strictBodyOf } from './body.ts';
import { parseBody } from './fields.ts';
import type { BridgeRequest, JsonBody } from './messages.ts';
import { Problem } from './problem.ts';

/** The detail type of EventBridge events that say what a CRM says: `{ source, event }`, the event as its source sends it. */
const RECORD_CHANGED = 'crm.record.changed';

export type CrmSources = ReadonlyMap<string, CrmSource>;

/** A source with what it has sent. */
export interface FromSource {
  readonly source: string;
  /** In their order; of a list some may be no events. */
  readonly reads: readonly CrmEventRead[];
}

const anyJson = z.custom<JsonValue>(() => true);
const changed = z.object({
  detail: z.strictObject(
    {
      source: z.string('is missing or not a string'),
      event: z.custom<JsonValue>((value) => value !== undefined, 'is missing'),
    },
    'must be an object with source and event',
  ),
});

/**
 * What a source has sent, event by event. In a list, one that is wrong does not take the others with it: the sender would send all
 * of them again, and again.
 * @throws {Problem} `unknown-source`; `validation-failed` with every violation, where nothing of it can be used.
 */
export function readEvents(sources: CrmSources, name: string, { value, violations }: JsonBody): FromSource {
  const source = sources.get(name);
  if (source === undefined) throw new Problem('unknown-source');
  const reads = readCrmEvents(source, parseBody(anyJson, { value, violations: [] }));
  const errors = [...violations, ...reads.flatMap((read) => (read.ok ? [] : read.violations))];
  const isUsable = violations.length === 0 && reads.some(({ ok }) => ok);
  if (errors.length > 0 && !isUsable) throw new Problem('validation-failed', { errors });
  return { source: name, reads };
}

export function isRecordChanged(event: unknown): boolean {
  return typeof event === 'object' && event !== null && Reflect.get(event, 'detail-type') === RECORD_CHANGED;
}

/**
 * What an event of the bus says.
 * @throws {Problem} `unknown-source`, or `validation-failed` with every violation.
 */
export function readRecordChanged(sources: CrmSources, event: unknown): FromSource {
  const { detail } = parseBody(changed, { value: event, violations: [] });
  return readEvents(sources, detail.source, strictBodyOf(detail.event));
}

/**
 * The record that a path names.
 * @throws {Problem} `unknown-source` or `invalid-record-id`
 */
export function readRecord(sources: CrmSources, { path }: Pick<BridgeRequest, 'path'>): RecordRef {
  const { source = '', recordId: given = '' } = path;
  if (!sources.has(source)) throw new Problem('unknown-source');
  const recordId = crmIdOf(given);
  if (recordId === undefined) throw new Problem('invalid-record-id');
  return { source, recordId };
}
