import { epochMs } from '../context/crmEvents.ts';
import type { CrmSource, HmacSignature } from '../context/crmSource.ts';
import { parseExpiresAt } from '../context/expiry.ts';
import type { SignedCall } from '../operations/ports/signatures.ts';

/** A call before it is signed. */
export type UnsignedCall = Omit<SignedCall, 'headers'>;

/** How a CRM signs: HMAC-SHA-256 of some parts of the call, one behind the other, under the secret's text. */
export interface HmacScheme {
  /** The header with the signature, lower case. */
  readonly header: string;
  readonly encoding: 'hex' | 'base64';
  /** Stands before the signature. */
  readonly prefix: string;
  /** Absent where the time is not signed. */
  readonly timestamp?: {
    readonly header: string;
    /** Epoch milliseconds; NaN where the text is no moment. */
    readonly read: (text: string) => number;
    readonly write: (ms: number) => string;
  };
  /** @param timestamp - as it stands in its header; empty where there is none */
  readonly signedParts: (call: UnsignedCall, timestamp: string) => readonly (string | Uint8Array)[];
}

/** A whole number as a number prints. */
const WHOLE_NUMBER = /^(?:0|[1-9]\d{0,14})$/;
const readWholeNumber = (text: string) => (WHOLE_NUMBER.test(text) ? Number(text) : Number.NaN);

/** `: / ? @ ! $ ' ( ) * , ;`, percent-encoded: what HubSpot signs decoded, and nothing else. */
const HUBSPOT_DECODED = /%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)/gi;

/**
 * "Validating requests", version 3
 * (https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation).
 */
const HUBSPOT_V3: HmacScheme = {
  header: 'x-hubspot-signature-v3',
  encoding: 'base64',
  prefix: '',
  timestamp: { header: 'x-hubspot-request-timestamp', read: readWholeNumber, write: String },
  signedParts: ({ method, url, rawBody }, timestamp) => [
    method,
    url.replace(HUBSPOT_DECODED, (encoded) => decodeURIComponent(encoded)),
    rawBody,
    timestamp,
  ],
};

/** "Verifying webhook authenticity" (https://developer.zendesk.com/documentation/webhooks/verifying/). The secret is not decoded. */
const ZENDESK: HmacScheme = {
  header: 'x-zendesk-webhook-signature',
  encoding: 'base64',
  prefix: '',
  timestamp: {
    header: 'x-zendesk-webhook-signature-timestamp',
    read: (text) => {
      const parsed = parseExpiresAt(text);
      return parsed.ok ? parsed.ms : Number.NaN;
    },
    write: (ms) => new Date(ms).toISOString(),
  },
  signedParts: ({ rawBody }, timestamp) => [timestamp, rawBody],
};

/**
 * As a source declares it. For one in Salesforce, an Apex action of the flow signs
 * (https://developer.salesforce.com/docs/atlas.en-us.apexref.meta/apexref/apex_classes_restful_crypto.htm): hexadecimal,
 * `EncodingUtil.convertToHex(Crypto.generateMac('hmacSHA256', Blob.valueOf(timestamp + '.' + body), Blob.valueOf(secret)))`.
 */
function declaredScheme({
  header = 'x-signature',
  encoding = 'hex',
  prefix = '',
  timestampHeader,
}: HmacSignature = {}): HmacScheme {
  if (timestampHeader === undefined) return { header, encoding, prefix, signedParts: ({ rawBody }) => [rawBody] };
  return {
    header,
    encoding,
    prefix,
    timestamp: {
      header: timestampHeader,
      read: (text) => epochMs(readWholeNumber(text)),
      write: (ms) => String(Math.floor(ms / 1_000)),
    },
    signedParts: ({ rawBody }, timestamp) => [`${timestamp}.`, rawBody],
  };
}

/** How a source signs; `undefined` where it does so by Standard Webhooks, which have rules of their own. */
export function hmacSchemeOf({ scheme, signature }: CrmSource): HmacScheme | undefined {
  switch (scheme) {
    case 'standard-webhooks':
      return undefined;
    case 'hubspot-v3':
      return HUBSPOT_V3;
    case 'zendesk':
      return ZENDESK;
    case 'hmac-sha256':
      return declaredScheme(signature);
  }
}
