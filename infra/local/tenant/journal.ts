import * as z from 'zod';
import type { JsonValue } from '../../../lib/context/json.ts';
import { readJson } from './bodies.ts';
import { mediaType, type ReceivedRequest } from './messages.ts';
import { SURFACES, type Surface } from './surface-table.ts';

/** Entries kept; the oldest go first, so that a long benchmark does not eat the memory. */
const MAX_ENTRIES = 50_000;

const JOURNAL_HEADERS = ['content-type', 'accept', 'x-correlation-id', 'if-match', 'x-tenant-id'] as const;

/** `unknown`: no surface has this path and method. */
const JOURNAL_SURFACES = [...SURFACES, 'unknown'] as const;

export const journalFilterSchema = z.strictObject({
  surface: z.exactOptional(z.enum(JOURNAL_SURFACES)),
  sessionId: z.exactOptional(z.string()),
});
type JournalFilter = z.infer<typeof journalFilterSchema>;

/** One request as it arrived and what became of it. */
export interface JournalEntry {
  /** 1, 2, 3, … in order of arrival. */
  readonly seq: number;
  /** Epoch milliseconds of arrival. */
  readonly at: number;
  readonly surface: Surface | 'unknown';
  readonly method: string;
  readonly path: string;
  readonly sessionId?: string;
  /** Only the headers the contract speaks of; of `authorization` only the scheme. */
  readonly headers: Readonly<Record<string, string>>;
  /** As sent: parsed JSON, the form of a token request without its secrets, or else the text. `null` = no body. */
  readonly body: JsonValue;
  readonly bodyBytes: number;
  /** `null` = the connection was cut. */
  readonly status: number | null;
  /** True when the request changed a session, whatever was answered. */
  readonly applied: boolean;
  /** The fault that struck. */
  readonly fault?: string;
}

/** What the journal cannot read off the request. */
export interface JournalFacts {
  readonly at: number;
  readonly surface: Surface | 'unknown';
  readonly sessionId?: string;
  readonly status: number | null;
  readonly applied: boolean;
  readonly fault?: string;
}

/** All requests to the surfaces and the token endpoints, the refused ones too. */
export class Journal {
  #entries: JournalEntry[] = [];
  #seq = 0;

  record(request: ReceivedRequest, facts: JournalFacts): void {
    this.#seq += 1;
    this.#entries.push({
      seq: this.#seq,
      method: request.method,
      path: request.path,
      headers: selectHeaders(request.headers),
      body: readableBody(request, facts.surface),
      bodyBytes: request.bodyBytes,
      ...facts,
    });
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
  }

  /** Oldest first. */
  entries(filter: JournalFilter = {}): readonly JournalEntry[] {
    return this.#entries.filter(
      (entry) =>
        (filter.surface === undefined || entry.surface === filter.surface) &&
        (filter.sessionId === undefined || entry.sessionId === filter.sessionId),
    );
  }

  clear(): void {
    this.#entries = [];
    this.#seq = 0;
  }
}

function selectHeaders(headers: ReceivedRequest['headers']): Record<string, string> {
  const selected: Record<string, string> = {};
  for (const name of JOURNAL_HEADERS) {
    const value = headers[name];
    if (value !== undefined) selected[name] = value;
  }
  const scheme = headers['authorization']?.split(' ')[0];
  return scheme === undefined ? selected : { ...selected, authorization: scheme };
}

function readableBody(request: ReceivedRequest, surface: JournalFacts['surface']): JsonValue {
  if (request.text === '') return null;
  if (surface === 'token') return withoutSecrets(request);
  return readJson(request.text) ?? request.text;
}

/** A token request that is no form is not shown at all: nobody knows where in it the secret is. */
function withoutSecrets(request: ReceivedRequest): JsonValue {
  if (mediaType(request) !== 'application/x-www-form-urlencoded') return '(not a form)';
  const form = new URLSearchParams(request.text);
  return Object.fromEntries([...form].map(([name, value]) => [name, name === 'client_secret' ? '***' : value]));
}
