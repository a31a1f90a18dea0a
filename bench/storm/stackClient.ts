import type { JournalEntry } from '../../infra/local/tenant/journal.ts';
import type { JsonValue } from '../../lib/context/json.ts';
import { API_KEY } from '../traffic.ts';
import type { StackAddress } from './protocol.ts';

/** An entry of a session's audit trail, as far as it matters here. */
export interface AuditEntry {
  readonly operationId: string;
  readonly outcome: string;
  /** RFC 3339. */
  readonly at: string;
}

/** What is asked of the stack and of its tenant from outside, beside the storm itself. */
export class StackClient {
  readonly #address: StackAddress;

  constructor(address: StackAddress) {
    this.#address = address;
  }

  /** The tenant takes so many milliseconds for every request from now on. */
  async delayUpstream(latencyMs: number): Promise<void> {
    await ok(`${this.#address.upstreamUrl}/__admin/settings`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ latencyMs }),
    });
  }

  /** Requests to the tenant in order of arrival, token requests aside. */
  async journal(): Promise<JournalEntry[]> {
    const url = `${this.#address.upstreamUrl}/__admin/journal`;
    const { entries } = await ok<{ readonly entries: readonly JournalEntry[] }>(url);
    return entries.filter(({ surface }) => surface !== 'token');
  }

  /** What the bot of a session has; nothing where the tenant has never heard of it. */
  async contextAtBot(sessionId: string): Promise<Readonly<Record<string, JsonValue>>> {
    const url = `${this.#address.upstreamUrl}/__admin/sessions/${sessionId}`;
    const response = await fetch(url);
    if (response.status === 404) {
      await response.body?.cancel();
      return {};
    }
    return (await bodyOf<{ readonly context: Readonly<Record<string, JsonValue>> }>(url, response)).context;
  }

  /** What the audit trails of these sessions call confirmed. */
  async confirmed(sessions: readonly string[]): Promise<AuditEntry[]> {
    const trails = await Promise.all(
      sessions.map(async (sessionId) => {
        const url = `${this.#address.url}/v1/sessions/${sessionId}/audit?limit=500`;
        const { entries } = await ok<{ readonly entries: readonly AuditEntry[] }>(url, {
          headers: { authorization: `Bearer ${API_KEY}` },
        });
        return entries;
      }),
    );
    return trails.flat().filter(({ outcome }) => outcome === 'confirmed');
  }
}

async function ok<Body>(url: string, init?: RequestInit): Promise<Body> {
  return bodyOf(url, await fetch(url, init));
}

async function bodyOf<Body>(url: string, response: Response): Promise<Body> {
  if (!response.ok) throw new Error(`${new URL(url).pathname} was answered ${response.status}`);
  return (await response.json()) as Body;
}
