import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '../../../lib/context/json.ts';
import { positionOf, resolve, type Scope, type StoredVariable, toObject } from './variables.ts';

/** One change of a session. All of it together raises the version by one. */
interface SessionChange {
  readonly put?: readonly StoredVariable[];
  /** Without a scope the key goes from all scopes. */
  readonly remove?: readonly { readonly key: string; readonly scope?: Scope }[];
  readonly nextStep?: string;
}

export type SessionState = 'live' | 'expired' | 'ended';

/** One bot session: the variables that all surfaces show, under one version. */
export class Session {
  readonly sessionId: string;
  readonly createdAtMs: number;
  /** When the session expires by itself (epoch milliseconds). */
  readonly expiresAtMs: number | undefined;
  readonly #variables = new Map<string, StoredVariable>();
  #version = 1;
  #updatedAtMs: number;
  #nextStep: string | undefined;
  #ended = false;

  constructor(start: {
    sessionId: string;
    nowMs: number;
    expiresAtMs?: number | undefined;
    variables?: readonly StoredVariable[];
  }) {
    this.sessionId = start.sessionId;
    this.createdAtMs = start.nowMs;
    this.expiresAtMs = start.expiresAtMs;
    this.#updatedAtMs = start.nowMs;
    for (const variable of start.variables ?? []) this.#variables.set(positionOf(variable), variable);
  }

  /** One for a new session, then one more with every change, whichever surface made it. */
  get version(): number {
    return this.#version;
  }

  get updatedAtMs(): number {
    return this.#updatedAtMs;
  }

  /** Where the dialog was last sent. */
  get nextStep(): string | undefined {
    return this.#nextStep;
  }

  /** All variables of all scopes, by key and then by scope: a stable order for pages. */
  get variables(): readonly StoredVariable[] {
    return [...this.#variables.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, variable]) => variable);
  }

  /** The whole context as the bot sees it. */
  get context(): JsonObject {
    return toObject(resolve(this.#variables.values()).values());
  }

  /** The variables of one scope. */
  inScope(scope: Scope): JsonObject {
    return toObject([...this.#variables.values()].filter((variable) => variable.scope === scope));
  }

  state(nowMs: number): SessionState {
    if (this.#ended) return 'ended';
    return this.expiresAtMs !== undefined && nowMs >= this.expiresAtMs ? 'expired' : 'live';
  }

  end(): void {
    this.#ended = true;
  }

  change(change: SessionChange, nowMs: number): void {
    for (const { key, scope } of change.remove ?? []) {
      for (const [id, variable] of this.#variables) {
        if (variable.key === key && (scope === undefined || variable.scope === scope)) this.#variables.delete(id);
      }
    }
    for (const variable of change.put ?? []) this.#variables.set(positionOf(variable), variable);
    this.#nextStep = change.nextStep ?? this.#nextStep;
    this.#version += 1;
    this.#updatedAtMs = nowMs;
  }

  /**
   * Replaces the whole context. What stays the same keeps scope and expiry; a new value keeps the scope in which it is
   * seen and loses the expiry of the old one; what is not in `context` goes from all scopes.
   */
  replaceContext(context: JsonObject, nowMs: number): void {
    const seen = resolve(this.#variables.values());
    const put = Object.entries(context).flatMap(([key, value]): StoredVariable[] => {
      const before = seen.get(key);
      if (before !== undefined && isDeepStrictEqual(before.value, value)) return [];
      return [{ key, value, scope: before?.scope ?? 'session', expiresAt: null }];
    });
    const remove = [...seen.keys()].filter((key) => !Object.hasOwn(context, key)).map((key) => ({ key }));
    this.change({ put, remove }, nowMs);
  }
}
