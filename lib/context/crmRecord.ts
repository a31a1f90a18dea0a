import type { JsonObject, JsonValue } from './json.ts';

/** A record in a CRM: what sessions are bound to. */
export interface RecordRef {
  /** Name of the source (SPEC 7). */
  readonly source: string;
  /** As the source calls it. */
  readonly recordId: string;
}

export const CRM_SOURCE_NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** Characters, not bytes; neither control characters nor halves of surrogate pairs, which a key of the table cannot hold. */
const ID = /^[^\p{Cc}\p{Cs}]{1,256}$/u;

/** What a CRM calls a record or an event: text, or a whole number as text. `undefined` for anything else. */
export function crmIdOf(given: JsonValue | undefined): string | undefined {
  // What is no safe integer may have been another number in the text.
  const id = Number.isSafeInteger(given) ? String(given) : given;
  return typeof id === 'string' && ID.test(id) ? id : undefined;
}

/** The record that free-form CRM data name, if they do: `{ source, recordId }` (SPEC 7). */
export function recordIn(crm: JsonObject | undefined): RecordRef | undefined {
  const { source, recordId: given } = crm ?? {};
  const recordId = crmIdOf(given);
  return typeof source === 'string' && CRM_SOURCE_NAME.test(source) && recordId !== undefined
    ? { source, recordId }
    : undefined;
}
