import type { JsonObject } from '../../../lib/context/json.ts';
import { treeOf } from '../../../lib/context/leaves.ts';
import type { Random } from '../../../lib/platform/random.ts';
import type { LoadRequest, Write } from '../exchange.ts';

/** A record of the CRM and the sessions that are bound to it. */
export interface Customer {
  readonly recordId: string;
  readonly sessions: readonly string[];
}

/** A request as it goes out: the same whenever it is sent, but for what is signed and for its correlation id. */
export interface Prepared {
  readonly request: LoadRequest;
  readonly method: string;
  readonly path: string;
  readonly body?: JsonObject;
  /** Whose word it is: a client's key with its idempotency key, or a signature. */
  readonly by: { readonly idempotencyKey: string } | { readonly signature: 'webhook' | 'crm' };
  /** Whether it is sent again when no answer came. A CRM and the web-messaging endpoint always do. */
  readonly isPatient: boolean;
}

/** Something that is put, and the erase of its session behind it. */
export interface PreparedDeparture {
  readonly sessionId: string;
  readonly put: Prepared;
  readonly erase: Omit<Prepared, 'request'> & { readonly request: Pick<LoadRequest, 'id'> };
}

const PATIENT_SHARE = 0.75;
const DEPARTURE_SHARE = 0.08;
const SHORT_TTL_MIN_SECONDS = 2;
/** What is to expire while the test runs has by then. */
export const SHORT_TTL_MAX_SECONDS = 25;
/** Longer than any run. */
const LONG_TTL_SECONDS = 7_200;
/** Of messages: any moment will do, as long as no two are the same. */
const FIRST_MESSAGE_MS = 1_764_000_000_000;
const MESSAGES_PER_CLIENT = 1_000_000;

/** What each client asks for, one request after the other: the same for the same randomness. */
export class RequestMaker {
  readonly #random: Random;
  readonly #client: number;
  readonly #customers: readonly Customer[];
  #made = 0;

  constructor(random: Random, client: number, customers: readonly Customer[]) {
    this.#random = random;
    this.#client = client;
    this.#customers = customers;
  }

  /** One in so many comes only to go again; otherwise `undefined`. */
  nextDeparture(): PreparedDeparture | undefined {
    if (this.#random.next() >= DEPARTURE_SHARE) return undefined;
    this.#made += 1;
    const id = `c${this.#client}-${this.#made}`;
    const sessionId = `gone_${id}`;
    const path = `/v1/sessions/${sessionId}`;
    const write: Write = { path: '/a', scope: 'session', value: id };
    return {
      sessionId,
      put: {
        ...this.#byClient(id),
        request: { id, kind: 'inject', sessions: [sessionId], writes: [write] },
        method: 'POST',
        path: `${path}/variables`,
        body: { variables: [{ key: 'a', value: id }] },
      },
      erase: {
        request: { id: `${id}-erase` },
        method: 'DELETE',
        path,
        by: { idempotencyKey: `key-${id}-erase` },
        isPatient: true,
      },
    };
  }

  /** @param nowMs - epoch milliseconds: when a CRM's event occurs */
  next(nowMs: number): Prepared {
    this.#made += 1;
    const id = `c${this.#client}-${this.#made}`;
    const kind = this.#random.next();
    if (kind < 0.4) return this.#inject(id);
    if (kind < 0.6) return this.#sync(id);
    if (kind < 0.76) return this.#dialog(id);
    return kind < 0.88 ? this.#message(id) : this.#crmEvent(id, nowMs);
  }

  #inject(id: string): Prepared {
    const session = this.#session();
    const pool: readonly (() => Write)[] = [
      () => ({ path: '/a', scope: this.#one(['session', 'user', 'global'] as const), value: id }),
      () => ({ path: '/b', scope: 'session', value: { by: id, list: [1, { two: null }] } }),
      () => ({ path: '/shared', scope: 'session', value: id }),
      () => ({ path: '/otp', scope: 'session', value: id, ttlSeconds: this.#shortTtl() }),
      // Sometimes for a time only, sometimes for good.
      () => ({ path: '/held', scope: 'session', value: id, ...this.#maybe({ ttlSeconds: this.#shortTtl() }) }),
      () => ({ path: '/offer', scope: 'user', value: id, ttlSeconds: LONG_TTL_SECONDS }),
    ];
    const writes = this.#some(pool, 3).map((make) => make());
    const variables = writes.map(({ path, ...rest }) => ({ key: path.slice(1), ...rest }));
    return {
      ...this.#byClient(id),
      request: { id, kind: 'inject', sessions: [session], writes },
      method: 'POST',
      path: `/v1/sessions/${session}/variables`,
      body: { variables },
    };
  }

  #sync(id: string): Prepared {
    const session = this.#session();
    const pool: readonly (() => Write)[] = [
      () => ({ path: '/shared', scope: 'session', value: id }),
      () => ({ path: '/order/id', scope: 'session', value: id }),
      () => ({ path: '/order/items', scope: 'session', value: [id, 'map'] }),
      () => ({ path: '/order/code', scope: 'session', value: id, ttlSeconds: this.#shortTtl() }),
    ];
    const writes = this.#some(pool, 2).map((make) => make());
    const ttl = writes.flatMap(({ path, ttlSeconds }) => (ttlSeconds === undefined ? [] : [[path, ttlSeconds]]));
    return {
      ...this.#byClient(id),
      request: { id, kind: 'sync', sessions: [session], writes },
      method: 'POST',
      path: `/v1/sessions/${session}/sync`,
      body: { data: treeOf(writes), ...(ttl.length > 0 && { ttl: Object.fromEntries(ttl) }) },
    };
  }

  #dialog(id: string): Prepared {
    const session = this.#session();
    const pool: readonly Write[] = [
      { path: '/cart', scope: 'session', value: id },
      { path: '/mood', scope: 'user', value: id },
      { path: '/shared', scope: 'session', value: id },
    ];
    const isTransitionAlone = this.#random.next() < 0.15;
    const writes = isTransitionAlone ? [] : this.#some(pool, 2);
    const moves = isTransitionAlone || this.#random.next() < 0.7;
    const nextStep = `step-${id}`;
    const inScope = (scope: Write['scope']) => {
      const values = treeOf(writes.filter((write) => write.scope === scope));
      return Object.keys(values).length > 0 && { [scope]: values };
    };
    return {
      ...this.#byClient(id),
      request: { id, kind: 'dialog-state', sessions: [session], writes, ...(moves && { nextStep }) },
      method: 'PATCH',
      path: `/v1/dialogs/${session}/state`,
      body: { ...inScope('session'), ...inScope('user'), ...(moves && { transition: { nextStep } }) },
    };
  }

  #message(id: string): Prepared {
    const session = this.#session();
    const timestamp = FIRST_MESSAGE_MS + this.#client * MESSAGES_PER_CLIENT + this.#made;
    const message = { userId: `user of ${session}`, message: id, channel: `channel of ${id}`, timestamp };
    const values: JsonObject = {
      last_user_message: id,
      webhook_timestamp: timestamp,
      channel_type: `channel of ${id}`,
      custom_data: JSON.stringify({ by: id }),
    };
    const writes = Object.entries(values).map(([key, value]): Write => ({ path: `/${key}`, scope: 'session', value }));
    return {
      request: { id, kind: 'webhook', sessions: [session], writes },
      method: 'POST',
      path: '/v1/webhooks/cognigy',
      body: { sessionId: session, ...message, custom: { by: id } },
      by: { signature: 'webhook' },
      isPatient: true,
    };
  }

  #crmEvent(id: string, nowMs: number): Prepared {
    const { recordId, sessions } = this.#one(this.#customers);
    const writes: readonly Write[] = [
      { path: '/crm_tier', scope: 'user', value: `tier of ${id}`, ttlSeconds: 3_600 },
      { path: '/crm_name', scope: 'user', value: `name of ${id}`, ttlSeconds: 3_600 },
    ];
    return {
      request: { id, kind: 'crm', sessions, writes, occurredAtMs: nowMs },
      method: 'POST',
      path: '/v1/webhooks/crm/generic',
      body: {
        id: `evt_${id}`,
        timestamp: new Date(nowMs).toISOString(),
        data: { id: recordId, tier: `tier of ${id}`, name: `name of ${id}` },
      },
      by: { signature: 'crm' },
      isPatient: true,
    };
  }

  #byClient(id: string): Pick<Prepared, 'by' | 'isPatient'> {
    return { by: { idempotencyKey: `key-${id}` }, isPatient: this.#random.next() < PATIENT_SHARE };
  }

  #session(): string {
    return this.#one(this.#customers.flatMap(({ sessions }) => sessions));
  }

  #shortTtl(): number {
    const span = SHORT_TTL_MAX_SECONDS - SHORT_TTL_MIN_SECONDS + 1;
    return SHORT_TTL_MIN_SECONDS + Math.floor(this.#random.next() * span);
  }

  #maybe<Some extends object>(some: Some): Some | object {
    return this.#random.next() < 0.5 ? some : {};
  }

  #one<Each>(of: readonly Each[]): Each {
    const found = of[Math.floor(this.#random.next() * of.length)];
    if (found === undefined) throw new Error('there is nothing to choose from');
    return found;
  }

  /** One to `most` of them, each at most once. */
  #some<Each>(of: readonly Each[], most: number): Each[] {
    const left = [...of];
    const count = 1 + Math.floor(this.#random.next() * most);
    return Array.from({ length: count }, () => {
      const found = this.#one(left);
      left.splice(left.indexOf(found), 1);
      return found;
    });
  }
}
