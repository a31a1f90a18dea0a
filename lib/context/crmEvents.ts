import { crmIdOf } from './crmRecord.ts';
import type { CrmMapping, CrmSource } from './crmSource.ts';
import { parseExpiresAt } from './expiry.ts';
import { isJsonObject, type JsonValue } from './json.ts';
import { tokensOf } from './pointer.ts';
import { nestingOf } from './size.ts';
import { MAX_VALUE_NESTING, type Variable, variableId } from './variables.ts';
import type { Violation } from './violation.ts';

/** What an event of a CRM says of one record. */
export interface CrmEvent {
  readonly eventId: string;
  /** Tells the event from all others of its source: its id, unless there has to be more to it. */
  readonly identity: string;
  readonly recordId: string;
  /** Epoch milliseconds. */
  readonly occurredAtMs: number;
  /** Empty where nothing is mapped. Each key is there once per scope. */
  readonly variables: readonly CrmVariable[];
}

/** A variable whose life begins with its injection. */
export interface CrmVariable extends Omit<Variable, 'expiresAtMs'> {
  /** Absent = never expires by itself. */
  readonly ttlSeconds?: number;
}

/** One event, or what is wrong with it. */
export type CrmEventRead =
  | { readonly ok: true; readonly event: CrmEvent }
  | { readonly ok: false; readonly violations: readonly Violation[] };

/** Events that one call may bring along. HubSpot sends up to 100 at once. */
export const MAX_CRM_EVENTS = 500;

/** The last moment that an {@link occurrenceStamp} can tell, and RFC 3339. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Of an id so much counts where events occur at the same time: a stamp lies in every item that it is about. */
const STAMPED_ID_BYTES = 40;

/** From here on a number of epoch seconds is one of milliseconds: as seconds, it would lie in the year 5138. */
const FIRST_MILLISECONDS = 1e11;

/**
 * Reads what a source has sent: one event, or an array of them. Bodies have been strict JSON before, and the source has been checked.
 *
 * @returns every event, or everything that is wrong with it, in their order; in an array, pointers begin with the element's index
 */
export function readCrmEvents(source: CrmSource, body: JsonValue): readonly CrmEventRead[] {
  if (!Array.isArray(body)) return [readEvent(source, body, '')];
  if (body.length > MAX_CRM_EVENTS) {
    const message = `has more than ${MAX_CRM_EVENTS} events`;
    return [{ ok: false, violations: [{ pointer: '', code: 'too-many-events', message }] }];
  }
  return body.map((event: JsonValue, index) => readEvent(source, event, `/${index}`));
}

/**
 * A text that sorts by the time of occurrence and then by event id (SPEC 7). The id's UTF-8 bytes are spelled out in ASCII:
 * otherwise DynamoDB, which compares bytes, and JavaScript, which compares UTF-16, would not agree on it.
 */
export function occurrenceStamp({ occurredAtMs, eventId }: Pick<CrmEvent, 'occurredAtMs' | 'eventId'>): string {
  const time = String(occurredAtMs).padStart(String(LATEST_MS).length, '0');
  const id = Buffer.from(eventId, 'utf8');
  return `${time}#${id.subarray(0, STAMPED_ID_BYTES).toString('hex')}`;
}

/** Epoch seconds or milliseconds, whichever it must be, as milliseconds. */
export function epochMs(epoch: number): number {
  return epoch >= FIRST_MILLISECONDS ? epoch : epoch * 1_000;
}

type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly violations: Violation[] };

/** @param at - pointer to the event itself */
function readEvent(source: CrmSource, event: JsonValue, at: string): CrmEventRead {
  const eventId = readId(event, source.eventId, at);
  const recordId = readId(event, source.recordId, at);
  const occurredAt = readMoment(event, source.occurredAt, at);
  const variables = readVariables(event, source.mapping, at);
  if (eventId.ok && recordId.ok && occurredAt.ok && variables.ok) {
    return {
      ok: true,
      event: {
        eventId: eventId.value,
        identity: identityOf(source, event, eventId.value),
        recordId: recordId.value,
        occurredAtMs: occurredAt.value,
        variables: variables.value,
      },
    };
  }
  const violations = [eventId, recordId, occurredAt, variables].flatMap((read) => (read.ok ? [] : read.violations));
  return { ok: false, violations };
}

function identityOf({ uniqueWith = [] }: CrmSource, event: JsonValue, eventId: string): string {
  if (uniqueWith.length === 0) return eventId;
  return JSON.stringify([eventId, ...uniqueWith.map((pointer) => find(event, pointer) ?? null)]);
}

const wrong = (pointer: string, code: string, message: string) =>
  ({ ok: false, violations: [{ pointer, code, message }] }) as const satisfies Read<never>;

function readId(event: JsonValue, pointer: string, at: string): Read<string> {
  const given = find(event, pointer);
  if (given === undefined) return wrong(at + pointer, 'missing', 'is missing');
  const id = crmIdOf(given);
  if (id !== undefined) return { ok: true, value: id };
  const message = 'must be text of 1 to 256 characters, none of them a control character, or a whole number';
  return wrong(at + pointer, 'invalid-id', message);
}

function readMoment(event: JsonValue, pointer: string, at: string): Read<number> {
  const given = find(event, pointer);
  if (given === undefined) return wrong(at + pointer, 'missing', 'is missing');
  const invalid = (message: string) => wrong(at + pointer, 'invalid-time', message);
  let ms: number;
  if (typeof given === 'string') {
    const parsed = parseExpiresAt(given);
    if (!parsed.ok) return invalid(parsed.hint);
    ms = parsed.ms;
  } else if (typeof given === 'number' && Number.isInteger(given)) {
    ms = epochMs(given);
  } else {
    return invalid('must be a date-time of RFC 3339, or a whole number of epoch seconds or milliseconds');
  }
  return ms >= 0 && ms <= LATEST_MS ? { ok: true, value: ms } : invalid('must lie in the years 1970 to 9999');
}

/** Of mappings to the same variable, the first one that finds something counts. */
function readVariables(event: JsonValue, mapping: readonly CrmMapping[], at: string): Read<CrmVariable[]> {
  const variables = new Map<string, CrmVariable>();
  const violations: Violation[] = [];
  for (const { from, when = {}, ...variable } of mapping) {
    if (!Object.entries(when).every(([pointer, wanted]) => find(event, pointer) === wanted)) continue;
    const value = find(event, from);
    const id = variableId(variable);
    if (value === undefined || variables.has(id)) continue;
    if (nestingOf(value) > MAX_VALUE_NESTING) {
      const message = `is nested deeper than ${MAX_VALUE_NESTING} levels`;
      violations.push({ pointer: at + from, code: 'too-deep', message });
    }
    variables.set(id, { ...variable, value });
  }
  return violations.length > 0 ? { ok: false, violations } : { ok: true, value: [...variables.values()] };
}

/** What a pointer leads to; `undefined` where that is nothing. Unlike in a context, it may lead through arrays (RFC 6901 section 4). */
function find(document: JsonValue, pointer: string): JsonValue | undefined {
  let here: JsonValue | undefined = document;
  for (const token of tokensOf(pointer)) {
    if (Array.isArray(here)) here = /^(?:0|[1-9]\d*)$/.test(token) ? here[Number(token)] : undefined;
    else if (isJsonObject(here) && Object.hasOwn(here, token)) here = here[token];
    else return undefined;
  }
  return here;
}
