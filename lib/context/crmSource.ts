import type { JsonPrimitive } from './json.ts';
import type { Scope } from './variables.ts';

/** How a source proves that it is the sender (SPEC 7). */
export const CRM_SCHEMES = ['standard-webhooks', 'hubspot-v3', 'zendesk', 'hmac-sha256'] as const;
export type CrmScheme = (typeof CRM_SCHEMES)[number];

/** A CRM that reports changes, as it is declared in the sources file (SPEC 7, CRM in). */
export interface CrmSource {
  /** Its name in paths, in bindings and in the secret. */
  readonly name: string;
  readonly scheme: CrmScheme;
  /** With the scheme `hmac-sha256` only. */
  readonly signature?: HmacSignature;
  /** JSON Pointer to the id of the record that has changed: what sessions are bound to. */
  readonly recordId: string;
  /** JSON Pointer to the id of the event: the same one twice has one effect. */
  readonly eventId: string;
  /** JSON Pointers to what it takes besides its id to tell an event from others, where ids alone do not (HubSpot). */
  readonly uniqueWith?: readonly string[];
  /** JSON Pointer to when it happened: RFC 3339 with a zone, or epoch seconds or milliseconds. */
  readonly occurredAt: string;
  readonly mapping: readonly CrmMapping[];
}

/** Where the scheme `hmac-sha256` finds a signature, and what it is about. */
export interface HmacSignature {
  /** Lower case; `x-signature` by default. */
  readonly header?: string;
  /** `hex` by default. */
  readonly encoding?: 'hex' | 'base64';
  /** Stands before the signature, as in `sha256=`; none by default. */
  readonly prefix?: string;
  /**
   * Lower case. The header with epoch seconds or milliseconds; `${timestamp}.${body}` is signed then. Without one only the body is
   * signed, and nothing tells a call from its repetition but the event's id.
   */
  readonly timestampHeader?: string;
}

/** Which value of an event becomes which variable. */
export interface CrmMapping {
  /** JSON Pointer into the event. Where it leads to nothing, so does the mapping. */
  readonly from: string;
  readonly key: string;
  readonly scope: Scope;
  /** Life of the variable from the injection on, seconds; absent = it stays. */
  readonly ttlSeconds?: number;
  /** By JSON Pointer: only an event with exactly these values is meant. */
  readonly when?: Readonly<Record<string, JsonPrimitive>>;
}
