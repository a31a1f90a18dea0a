import type { DialogChange } from '../../../lib/context/dialogState.ts';
import type { JsonObject } from '../../../lib/context/json.ts';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { Variable } from '../../../lib/context/variables.ts';
import { applyCrmEvent } from '../../../lib/operations/applyCrmEvent.ts';
import { erase } from '../../../lib/operations/erase.ts';
import { inject } from '../../../lib/operations/inject.ts';
import type { Telemetry } from '../../../lib/operations/ports/telemetry.ts';
import { receiveWebhook } from '../../../lib/operations/receiveWebhook.ts';
import { sync } from '../../../lib/operations/sync.ts';
import { updateDialogState } from '../../../lib/operations/updateDialogState.ts';
import type { Chance } from '../world/chance.ts';
import type { Instance } from '../world/instance.ts';
import type { CallKind, CrmOccurrence, Write } from './calls.ts';
import { KEYS, slotOf } from './slots.ts';

/** What a client is going to ask for: the same each time it asks. */
export interface ClientRequest {
  readonly kind: CallKind;
  readonly sessions: readonly SessionId[];
  readonly key?: string;
  readonly body: string;
  readonly writes: readonly Write[];
  readonly nextStep?: string;
  readonly occurrence?: CrmOccurrence;
  /** Milliseconds that the instance has. */
  readonly budgetMs: number;
  send(instance: Instance, asked: Asked): Promise<unknown>;
}

/** What each request says of itself. */
export interface Asked {
  readonly correlationId: string;
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

const BUDGET_MS = 8_000;
const WEBHOOK_BUDGET_MS = 4_000;
/** Seconds that values live, where they do not stay. */
const LIVES = [1, 5, 20, 60, 90] as const;
const CLIENTS = ['crm', 'shop'] as const;
const RECORDS = ['RECORD-1', 'RECORD-2'] as const;
/** A source's clock, and its queue, are off by this at most, milliseconds. */
const OUT_OF_ORDER_MS = 4_000;

/** Makes requests by chance, whose values are all different: whoever sees one knows where it comes from. */
export class Requests {
  readonly #chance: Chance;
  readonly #nowMs: () => number;
  #made = 0;
  #values = 0;

  constructor(chance: Chance, nowMs: () => number) {
    this.#chance = chance;
    this.#nowMs = nowMs;
  }

  /** Something that a client may want of one of these sessions. */
  some(sessions: readonly [SessionId, ...SessionId[]]): ClientRequest {
    this.#made += 1;
    const session = this.#chance.pick(sessions);
    const kind = this.#chance.weighted<CallKind>({
      inject: 40,
      sync: 22,
      'dialog-state': 12,
      webhook: 12,
      crm: 10,
      erase: 0.4,
    });
    switch (kind) {
      case 'inject':
        return this.#inject(session);
      case 'sync':
        return this.#sync(session);
      case 'dialog-state':
        return this.#dialog(session);
      case 'webhook':
        return this.#webhook(session);
      case 'crm':
        return this.#crm(sessions);
      case 'erase':
        return this.#erase(session);
    }
  }

  /** Another request under the same key. */
  other(request: ClientRequest): ClientRequest | undefined {
    const { key, sessions } = request;
    const [session] = sessions;
    if (key === undefined || session === undefined || request.kind !== 'inject') return undefined;
    this.#made += 1;
    return this.#inject(session, key);
  }

  #inject(session: SessionId, key = this.#key('inject')): ClientRequest {
    const chance = this.#chance;
    const wanted = KEYS.inject.filter(() => chance.happens(0.5));
    const [some = KEYS.inject[0]] = wanted;
    const places = wanted.length === 0 ? [some] : wanted;
    const expiresAtMs = chance.happens(0.4) ? this.#nowMs() + chance.pick(LIVES) * 1_000 : undefined;
    const expiry = expiresAtMs !== undefined && { expiresAtMs };
    const variables: Variable[] = places.map(({ key: name, scope }) => ({
      key: name,
      scope,
      value: this.#value(),
      ...expiry,
    }));
    const writes = variables.map(({ key: name, value }): Write => ({ slot: slotOf(name), value, ...expiry }));
    if (chance.happens(0.1)) variables.push({ key: KEYS.shared, scope: 'session', value: this.#value() });
    const crm = chance.happens(0.15) && { source: 'generic', recordId: chance.pick(RECORDS) };
    const [client, idempotencyKey] = key?.split('|') ?? [chance.pick(CLIENTS)];
    return {
      kind: 'inject',
      sessions: [session],
      ...(key !== undefined && { key }),
      body: this.#body(),
      writes,
      budgetMs: BUDGET_MS,
      send: ({ deps }, asked) =>
        inject(deps, {
          sessionId: session,
          client: client ?? '',
          variables,
          requested: {
            variables: variables.map((each) => ({ ...each })),
            mergeStrategy: 'atomic_put',
            crm: crm || null,
          },
          ...(crm && { crm }),
          ...(idempotencyKey !== undefined && { idempotencyKey }),
          ...asked,
        }),
    };
  }

  #sync(session: SessionId): ClientRequest {
    const chance = this.#chance;
    const key = this.#key('sync');
    const data: Record<string, JsonObject | null> = {};
    const ttlSeconds: Record<string, number> = {};
    const writes: Write[] = [];
    const defaultTtlSeconds = chance.happens(0.2) ? chance.pick(LIVES) : 0;
    for (const name of KEYS.sync.filter(() => chance.happens(0.5))) {
      if (chance.happens(0.1)) {
        data[name] = null;
        for (const leaf of KEYS.leaves) writes.push({ slot: slotOf(name, leaf), value: undefined });
        continue;
      }
      const leaves: Record<string, string | null> = {};
      for (const leaf of KEYS.leaves.filter(() => chance.happens(0.6))) {
        const isRemoved = chance.happens(0.15);
        const value = isRemoved ? undefined : this.#value();
        leaves[leaf] = value ?? null;
        const seconds = !isRemoved && chance.happens(0.25) ? chance.pick(LIVES) : undefined;
        if (seconds !== undefined) ttlSeconds[`/${name}/${leaf}`] = seconds;
        const lives = seconds ?? defaultTtlSeconds;
        writes.push({
          slot: slotOf(name, leaf),
          value,
          ...(lives > 0 && value !== undefined && { ttlMs: lives * 1_000 }),
        });
      }
      data[name] = leaves;
    }
    const shared = chance.happens(0.1) ? { [KEYS.shared]: this.#value() } : {};
    const [client, idempotencyKey] = key?.split('|') ?? [chance.pick(CLIENTS)];
    return {
      kind: 'sync',
      sessions: [session],
      ...(key !== undefined && { key }),
      body: this.#body(),
      writes,
      budgetMs: BUDGET_MS,
      send: ({ deps }, asked) =>
        sync(deps, {
          sessionId: session,
          client: client ?? '',
          data: { ...data, ...shared },
          ttlSeconds,
          defaultTtlSeconds,
          ...(idempotencyKey !== undefined && { idempotencyKey }),
          ...asked,
        }),
    };
  }

  #dialog(session: SessionId): ClientRequest {
    const chance = this.#chance;
    const key = this.#key('dialog-state');
    const nextStep = chance.happens(0.5) ? `step ${this.#made}` : undefined;
    const chosen = KEYS.dialog.filter(() => chance.happens(0.4));
    const places = chosen.length === 0 && nextStep === undefined ? [KEYS.dialog[0]] : chosen;
    const values = places.map((place) => ({ ...place, value: this.#value() }));
    const inScope = (scope: string) =>
      Object.fromEntries(values.filter((each) => each.scope === scope).map((each) => [each.key, each.value]));
    const change: DialogChange = {
      ...(values.some(({ scope }) => scope === 'session') && { session: inScope('session') }),
      ...(values.some(({ scope }) => scope === 'user') && { user: inScope('user') }),
      ...(nextStep !== undefined && { transition: { nextStep } }),
    };
    const ifMatch = chance.happens(0.1) ? `"${chance.whole(1, 60)}"` : undefined;
    const [client, idempotencyKey] = key?.split('|') ?? [chance.pick(CLIENTS)];
    return {
      kind: 'dialog-state',
      sessions: [session],
      ...(key !== undefined && { key }),
      body: this.#body(),
      writes: values.map(({ key: name, value }) => ({ slot: slotOf(name), value })),
      ...(nextStep !== undefined && { nextStep }),
      budgetMs: BUDGET_MS,
      send: ({ deps }, asked) =>
        updateDialogState(deps, {
          sessionId: session,
          client: client ?? '',
          change,
          ...(ifMatch !== undefined && { ifMatch }),
          ...(idempotencyKey !== undefined && { idempotencyKey }),
          ...asked,
        }),
    };
  }

  #webhook(session: SessionId): ClientRequest {
    const made = this.#made;
    const [said, custom] = [this.#value(), this.#value()];
    const message = {
      sessionId: session,
      userId: `RAWUSER${this.#chance.whole(1, 2)}`,
      message: said,
      channel: 'web',
      timestamp: this.#nowMs() * 1_000 + made,
      custom: { custom },
    };
    return {
      kind: 'webhook',
      sessions: [session],
      key: `webhook ${made}`,
      body: this.#body(),
      writes: [
        { slot: slotOf('last_user_message'), value: said },
        { slot: slotOf('webhook_timestamp'), value: message.timestamp },
        { slot: slotOf('custom_data'), value: JSON.stringify(message.custom) },
      ],
      budgetMs: WEBHOOK_BUDGET_MS,
      send: ({ deps }, asked) => receiveWebhook(deps, { message, ...asked }),
    };
  }

  #crm(sessions: readonly SessionId[]): ClientRequest {
    const chance = this.#chance;
    const eventId = `event-${this.#made}`;
    const recordId = chance.pick(RECORDS);
    const occurredAtMs = Math.floor(this.#nowMs() - chance.between(0, OUT_OF_ORDER_MS));
    const ttlSeconds = chance.happens(0.4) ? chance.pick(LIVES) : undefined;
    const chosen = KEYS.crm.filter(() => chance.happens(0.6));
    const variables = (chosen.length === 0 ? [KEYS.crm[0]] : chosen).map((key) => ({
      key,
      value: this.#value(),
      scope: 'session' as const,
      ...(ttlSeconds !== undefined && { ttlSeconds }),
    }));
    const lives = ttlSeconds !== undefined && { ttlMs: ttlSeconds * 1_000 };
    return {
      kind: 'crm',
      sessions,
      key: `crm ${eventId}`,
      body: this.#body(),
      writes: variables.map(({ key, value }) => ({ slot: slotOf(key), value, ...lives })),
      occurrence: { recordId, stamp: `${occurredAtMs} ${eventId}` },
      budgetMs: BUDGET_MS,
      send: ({ deps }, asked) =>
        applyCrmEvent(deps, {
          source: 'generic',
          event: { eventId, identity: eventId, recordId, occurredAtMs, variables },
          ...asked,
        }),
    };
  }

  #erase(session: SessionId): ClientRequest {
    return {
      kind: 'erase',
      sessions: [session],
      body: this.#body(),
      writes: [],
      budgetMs: BUDGET_MS,
      send: async ({ deps }, { correlationId, deadlineMs }) => ({
        kind: (await erase(deps, { sessionId: session, client: 'shop', correlationId, deadlineMs }))
          ? 'erased it'
          : 'busy',
      }),
    };
  }

  /** `client|key`; some requests have none. */
  #key(kind: CallKind): string | undefined {
    return this.#chance.happens(0.7) ? `${this.#chance.pick(CLIENTS)}|RAWKEY ${kind} ${this.#made}` : undefined;
  }

  #body(): string {
    return `body ${this.#made}`;
  }

  /** Some are too large to lie in their item. */
  #value(): string {
    this.#values += 1;
    return `RAWVALUE${this.#values}${this.#chance.happens(0.06) ? '.'.repeat(this.#chance.whole(900, 3_000)) : ''}`;
  }
}
