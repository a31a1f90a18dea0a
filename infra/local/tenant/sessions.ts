import * as z from 'zod';
import type { JsonObject } from '../../../lib/context/json.ts';
import { Session, type SessionState } from './session.ts';
import type { SettingsHolder } from './settings.ts';
import { SCOPES, type StoredVariable, seedVariableSchema } from './variables.ts';

/** A session set up by hand. One with the same id is replaced. */
export const newSessionSchema = z.strictObject({
  sessionId: z.string().min(1).max(256),
  ttlSeconds: z.exactOptional(z.int().positive()),
  variables: z.array(seedVariableSchema).default([]),
});
export type NewSession = z.input<typeof newSessionSchema>;

/** What the bot itself does to its session. */
export const botChangeSchema = z
  .strictObject({
    variables: z.array(seedVariableSchema).default([]),
    remove: z.array(z.strictObject({ key: z.string().min(1), scope: z.exactOptional(z.enum(SCOPES)) })).default([]),
  })
  .refine(({ variables, remove }) => variables.length + remove.length > 0, 'variables or remove must name something');
export type BotChange = z.input<typeof botChangeSchema>;

/** A session laid open for inspection. */
export interface SessionView {
  readonly sessionId: string;
  readonly state: SessionState;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly expiresAt: string | null;
  readonly nextStep: string | null;
  readonly context: JsonObject;
  readonly variables: readonly StoredVariable[];
}

/** All sessions of the tenant, also those that are over: a session that has ended does not come to life again by a touch. */
export class Sessions {
  readonly #now: () => number;
  readonly #settings: SettingsHolder;
  readonly #sessions = new Map<string, Session>();

  constructor(now: () => number, settings: SettingsHolder) {
    this.#now = now;
    this.#settings = settings;
  }

  /** The live session that a surface works on; undefined = it does not exist (any more). */
  touch(sessionId: string): Session | undefined {
    const known = this.#sessions.get(sessionId);
    if (known !== undefined) return known.state(this.#now()) === 'live' ? known : undefined;
    if (!this.#settings.current.autoCreate) return undefined;
    const created = new Session({ sessionId, nowMs: this.#now() });
    this.#sessions.set(sessionId, created);
    return created;
  }

  create(session: NewSession): SessionView {
    const { sessionId, ttlSeconds, variables } = newSessionSchema.parse(session);
    const nowMs = this.#now();
    const expiresAtMs = ttlSeconds === undefined ? undefined : nowMs + ttlSeconds * 1_000;
    const created = new Session({ sessionId, nowMs, expiresAtMs, variables });
    this.#sessions.set(sessionId, created);
    return this.#view(created);
  }

  /** Ends a session: 404 from now on. False when there is none. */
  end(sessionId: string): boolean {
    const session = this.#sessions.get(sessionId);
    session?.end();
    return session !== undefined;
  }

  /** Plays the bot, which changes its variables without asking anyone. Undefined when there is no live session. */
  changeAsBot(sessionId: string, change: BotChange): SessionView | undefined {
    const { variables, remove } = botChangeSchema.parse(change);
    const session = this.touch(sessionId);
    session?.change({ put: variables, remove }, this.#now());
    return session === undefined ? undefined : this.#view(session);
  }

  inspect(sessionId: string): SessionView | undefined {
    const session = this.#sessions.get(sessionId);
    return session === undefined ? undefined : this.#view(session);
  }

  list(): readonly SessionView[] {
    return [...this.#sessions.values()].map((session) => this.#view(session));
  }

  reset(): void {
    this.#sessions.clear();
  }

  #view(session: Session): SessionView {
    return {
      sessionId: session.sessionId,
      state: session.state(this.#now()),
      version: session.version,
      createdAt: timestamp(session.createdAtMs),
      updatedAt: timestamp(session.updatedAtMs),
      expiresAt: session.expiresAtMs === undefined ? null : timestamp(session.expiresAtMs),
      nextStep: session.nextStep ?? null,
      context: session.context,
      variables: session.variables,
    };
  }
}

function timestamp(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
