import * as z from 'zod/mini';
import { SNAPSHOT_SCOPES, type SnapshotScope } from '../operations/ports/cognigy.ts';

/** The environment is incomplete or contradicts itself. Names variables, never their values (SCENARIOS 46). */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is not complete: ${problems.join('; ')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const wholeNumber = (fallback: number, min: number, max: number) => {
  const what = `must be a whole number from ${min} to ${max}`;
  const number = z.coerce.number(what).check(z.int(what), z.minimum(min, what), z.maximum(max, what));
  return z._default(number, fallback);
};

export const flag = z.pipe(
  z._default(z.enum(['true', 'false'], 'must be true or false'), 'false'),
  z.transform((text) => text === 'true'),
);

const required = z.string('is missing').check(z.minLength(1, 'is missing'));

export const httpUrl = z.pipe(required, z.url({ protocol: /^https?$/, error: 'must be an http(s) URL' }));

const environment = z.object({
  TABLE_NAME: required,
  BRIDGE_SECRET_ID: required,
  COGNIGY_BASE_URL: httpUrl,
  COGNIGY_DIALECT: z._default(z.enum(['session-api'], 'must be session-api'), 'session-api'),
  ALLOW_INSECURE_UPSTREAM: flag,
  UPSTREAM_RATE_PER_MINUTE: wholeNumber(100, 1, 1_000_000),
  UPSTREAM_BURST: wholeNumber(0, 0, 1_000_000),
  UPSTREAM_MAX_CONCURRENT: wholeNumber(5, 1, 1_000),
  UPSTREAM_TIMEOUT_MS: wholeNumber(4_000, 50, 60_000),
  STORE_TIMEOUT_MS: wholeNumber(1_200, 100, 3_000),
  REQUEST_BUDGET_MS: wholeNumber(8_000, 100, 29_000),
  WEBHOOK_BUDGET_MS: wholeNumber(4_000, 500, 29_000),
  ALLOW_UNSIGNED_WEBHOOKS: flag,
  SESSION_TTL_SECONDS: wholeNumber(3_600, 1, 604_800),
  SESSION_ID_PREFIX: z._default(z.string().check(z.maxLength(64, 'must have at most 64 characters')), ''),
  AUDIT_RETENTION_DAYS: wholeNumber(90, 1, 3_650),
  AUDIT_VALUES: flag,
  CONTEXT_MAX_BYTES: wholeNumber(95_000, 1_000, 1_048_576),
  SYNC_DEFAULT_TTL_SECONDS: wholeNumber(300, 0, 31_536_000),
  SCOPE_PRECEDENCE: z.pipe(
    z._default(z.string(), SNAPSHOT_SCOPES.join(',')),
    z.transform((text) => text.split(',').map((scope) => scope.trim())),
  ),
  DUE_SHARDS: wholeNumber(16, 1, 256),
  NOTIFY_QUEUE_URL: z.optional(httpUrl),
  AWS_ENDPOINT_URL_SQS: z.optional(httpUrl),
  AWS_REGION: z._default(required, 'eu-central-1'),
  AWS_ACCESS_KEY_ID: required,
  AWS_SECRET_ACCESS_KEY: required,
  AWS_SESSION_TOKEN: z.optional(z.string()),
});

/** Everything that is set from outside. Read once, at start; missing or contradictory settings stop the start. */
export interface Config {
  readonly tableName: string;
  readonly secretId: string;
  readonly cognigyBaseUrl: string;
  readonly upstream: {
    readonly ratePerMinute: number;
    /** Requests that may leave at once; `undefined` = follows the rate. */
    readonly burst?: number;
    readonly maxConcurrent: number;
    /** Longest wait for one answer. */
    readonly timeoutMs: number;
  };
  /** Longest wait for one answer of DynamoDB and its like, milliseconds; each request is tried three times. */
  readonly storeTimeoutMs: number;
  /** How long a client is kept waiting before its operation is left to the schedule. */
  readonly requestBudgetMs: number;
  /** Within this the `webhook` route has answered, milliseconds. */
  readonly webhookBudgetMs: number;
  /** Whether the `webhook` route takes what nobody has signed, as long as there is no secret for signatures. */
  readonly allowUnsignedWebhooks: boolean;
  readonly sessionTtlMs: number;
  readonly sessionIdPrefix: string;
  readonly auditRetentionMs: number;
  readonly auditValues: boolean;
  readonly contextMaxBytes: number;
  /** Life of leaves that a sync writes without a word about it, seconds; 0 = they stay. */
  readonly syncDefaultTtlSeconds: number;
  /** Scopes of variables, weakest first. */
  readonly scopePrecedence: readonly SnapshotScope[];
  readonly dueShards: number;
  /** Queue of prompts to tell outcomes; where there is none, the schedule alone sees to that. */
  readonly notifyQueueUrl?: string;
  readonly aws: {
    /** Where SQS is, if not where the queue's URL says. */
    readonly sqsEndpoint?: string;
    readonly region: string;
    readonly credentials: {
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string;
    };
  };
}

/** The variables that are set. */
export type Settings = Readonly<Record<string, string>>;

/** Settings that only some functions have. */
export type MoreSettings<More> = (set: Settings) => { readonly problems: readonly string[]; readonly read: () => More };

/**
 * Reads the configuration. The only reader of `process.env`.
 * @throws {ConfigError} naming every variable that is missing or contradicts another.
 */
export function readConfig<More extends object = object>(
  env: Readonly<Record<string, string | undefined>> = process.env,
  moreSettings?: MoreSettings<More>,
): Config & More {
  // An empty variable is how a deployment says "not set".
  const set = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value]])),
  );
  const more = moreSettings?.(set);
  const parsed = environment.safeParse(set);
  const problems = [
    ...(parsed.success ? contradictions(parsed.data) : parsed.error.issues.map(toProblem)),
    ...(more?.problems ?? []),
  ];
  // Both may look at the same variable.
  if (!parsed.success || problems.length > 0) throw new ConfigError([...new Set(problems)]);
  return { ...configOf(parsed.data), ...(more?.read() as More) };
}

/** What is wrong with a variable, by its name. */
export function toProblem({ path, message }: z.core.$ZodIssue): string {
  return `${path.join('.')} ${message}`;
}

function configOf(values: z.infer<typeof environment>): Config {
  return {
    tableName: values.TABLE_NAME,
    secretId: values.BRIDGE_SECRET_ID,
    cognigyBaseUrl: values.COGNIGY_BASE_URL.replace(/\/+$/, ''),
    upstream: {
      ratePerMinute: values.UPSTREAM_RATE_PER_MINUTE,
      maxConcurrent: values.UPSTREAM_MAX_CONCURRENT,
      timeoutMs: values.UPSTREAM_TIMEOUT_MS,
      ...(values.UPSTREAM_BURST > 0 && { burst: values.UPSTREAM_BURST }),
    },
    storeTimeoutMs: values.STORE_TIMEOUT_MS,
    requestBudgetMs: values.REQUEST_BUDGET_MS,
    webhookBudgetMs: values.WEBHOOK_BUDGET_MS,
    allowUnsignedWebhooks: values.ALLOW_UNSIGNED_WEBHOOKS,
    sessionTtlMs: values.SESSION_TTL_SECONDS * 1_000,
    sessionIdPrefix: values.SESSION_ID_PREFIX,
    auditRetentionMs: values.AUDIT_RETENTION_DAYS * 86_400_000,
    auditValues: values.AUDIT_VALUES,
    contextMaxBytes: values.CONTEXT_MAX_BYTES,
    syncDefaultTtlSeconds: values.SYNC_DEFAULT_TTL_SECONDS,
    scopePrecedence: precedenceOf(values.SCOPE_PRECEDENCE),
    dueShards: values.DUE_SHARDS,
    ...(values.NOTIFY_QUEUE_URL !== undefined && { notifyQueueUrl: values.NOTIFY_QUEUE_URL }),
    aws: {
      ...(values.AWS_ENDPOINT_URL_SQS !== undefined && { sqsEndpoint: values.AWS_ENDPOINT_URL_SQS }),
      region: values.AWS_REGION,
      credentials: {
        accessKeyId: values.AWS_ACCESS_KEY_ID,
        secretAccessKey: values.AWS_SECRET_ACCESS_KEY,
        ...(values.AWS_SESSION_TOKEN !== undefined && { sessionToken: values.AWS_SESSION_TOKEN }),
      },
    },
  };
}

/** The scopes that are named; {@link contradictions} sees to it that these are all of them, once each. */
function precedenceOf(named: readonly string[]): SnapshotScope[] {
  return named.flatMap((name) => SNAPSHOT_SCOPES.filter((scope) => scope === name));
}

function contradictions(values: z.infer<typeof environment>): string[] {
  const problems: string[] = [];
  const { protocol, hostname, username, password, search, hash } = new URL(values.COGNIGY_BASE_URL);
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d+){3}$/.test(hostname);
  if (protocol === 'http:' && !isLoopback && !values.ALLOW_INSECURE_UPSTREAM) {
    problems.push('COGNIGY_BASE_URL must use https (ALLOW_INSECURE_UPSTREAM=true permits http)');
  }
  if (username + password + search + hash !== '') {
    problems.push('COGNIGY_BASE_URL must have no credentials, no query and no fragment');
  }
  if (values.UPSTREAM_BURST > 0 && values.UPSTREAM_BURST >= Math.max(2, values.UPSTREAM_RATE_PER_MINUTE)) {
    problems.push('UPSTREAM_BURST must be smaller than UPSTREAM_RATE_PER_MINUTE');
  }
  const { SCOPE_PRECEDENCE: named } = values;
  if (named.length !== SNAPSHOT_SCOPES.length || new Set(precedenceOf(named)).size !== SNAPSHOT_SCOPES.length) {
    problems.push(`SCOPE_PRECEDENCE must name each of ${SNAPSHOT_SCOPES.join(', ')} once`);
  }
  return problems;
}
