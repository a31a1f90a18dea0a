/** Who the clients of a run are; nothing that anybody else would take. */
export const API_KEY = 'key-of-the-restarts';

const whsec = (text: string) => `whsec_${Buffer.from(text).toString('base64')}`;

/** What signs messages and a CRM's events. */
export const WEBHOOK_SECRETS = {
  webhook: whsec('messages of restarts'),
  crm: whsec('events of the restarts'),
} as const;

export interface RunOptions {
  /** How often the stack is killed under load and started again. */
  readonly restarts: number;
  /** Of the plan of kills and of what clients ask for. */
  readonly seed: number;
  /** `UPSTREAM_RATE_PER_MINUTE`, and what the tenant allows. */
  readonly ratePerMinute: number;
  readonly clients: number;
  /** Records of the CRM, each with two sessions. */
  readonly customers: number;
  /** Between two requests of a client, on average, milliseconds. */
  readonly thinkMs: number;
  /** How long everything may take to come to rest after the last restart, milliseconds. */
  readonly restMs: number;
  /**
   * Whether every outcome is waited for at the endpoint. What a kill has held up comes after half a minute, which is too long for a
   * test among many: then only what has come by then is checked.
   */
  readonly awaitDeliveries: boolean;
}

/** What `npm start` is given beside its addresses: what a dead process holds ends soon, and the schedule comes at once. */
export const STACK_ENV = {
  BRIDGE_API_KEY: API_KEY,
  COGNIGY_WEBHOOK_SECRET: WEBHOOK_SECRETS.webhook,
  CRM_SECRETS: JSON.stringify({ generic: [WEBHOOK_SECRETS.crm] }),
  SWEEP_SECONDS: '1',
  REQUEST_BUDGET_MS: '3000',
  WEBHOOK_BUDGET_MS: '3000',
  UPSTREAM_TIMEOUT_MS: '2000',
  // What a sync says has the life that its own `ttl` gives it, or none.
  SYNC_DEFAULT_TTL_SECONDS: '0',
} as const;

/** What the tenant takes for an answer, milliseconds: kills find requests under way. */
export const TENANT_LATENCY_MS = 40;
