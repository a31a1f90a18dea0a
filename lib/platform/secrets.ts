import { SecretsProvider } from '@aws-lambda-powertools/parameters/secrets';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod/mini';
import type { Clock } from './clock.ts';

/** What clients may do: operations by name (`*` = all), and which variable keys, by prefix. */
export interface ClientGrant {
  readonly name: string;
  /** SHA-256 of the API key, hexadecimal. */
  readonly keyHash: string;
  readonly operations: readonly string[];
  /** Absent = every key. */
  readonly keyPrefixes?: readonly string[];
}

const string = z.string('is missing or not a string');
const nonEmpty = string.check(z.minLength(1, 'is empty'));
const nonEmptyList = z.array(nonEmpty, 'is missing or not a list').check(z.minLength(1, 'is empty'));

const base64Key = z
  .pipe(
    string,
    z.transform((text) => new Uint8Array(Buffer.from(text, 'base64'))),
  )
  .check(z.refine((bytes) => bytes.byteLength >= 32, 'must be base64 of at least 32 bytes'));

const clientGrant = z.object(
  {
    name: string.check(z.regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must have 1 to 64 characters of A–Z a–z 0–9 _ . -')),
    keyHash: string.check(z.regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 of 64 lower-case hexadecimal digits')),
    operations: nonEmptyList,
    keyPrefixes: z.exactOptional(nonEmptyList),
  },
  'must be an object',
);

/** Base64, with or without `whsec_` before it, of 24 to 64 bytes by the standard; from 16 bytes on nobody guesses it. */
const webhookSecret = string.check(
  z.refine((text) => {
    const encoded = text.replace(/^whsec_/, '');
    const isBase64 = encoded.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(encoded);
    return isBase64 && Buffer.from(encoded, 'base64').byteLength >= 16;
  }, 'must be whsec_ and base64 of at least 16 bytes'),
);

const webhookSecrets = z
  .array(webhookSecret, 'must be a list')
  .check(z.minLength(1, 'is empty'), z.maxLength(2, 'has more than two'));

/** What is wrong with secrets for webhooks' signatures, in words that go on from their name; `undefined` where nothing is. */
export function webhookSecretProblem(secrets: readonly string[]): string | undefined {
  return webhookSecrets.safeParse(secrets).error?.issues[0]?.message;
}

/** Not zod's records: they would cost every bundle 3 KiB, and overlook `__proto__`. */
const secretsByName = z
  .custom<Readonly<Record<string, readonly string[]>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  )
  .check(
    z.superRefine((byName, { addIssue }) => {
      for (const [name, secrets] of Object.entries(byName)) {
        const isFine = nonEmptyList.check(z.maxLength(2)).safeParse(secrets).success;
        if (!isFine) addIssue({ code: 'custom', path: [name], message: 'must be a list of one or two secrets' });
      }
    }),
  );

const bridgeSecrets = z.object(
  {
    clientId: nonEmpty,
    clientSecret: nonEmpty,
    tenantId: z.exactOptional(nonEmpty),
    apiKey: z.exactOptional(nonEmpty),
    /** Root of all keyed hashes and of all sealing. Changing it orphans everything stored. */
    masterKey: base64Key,
    /** Live secrets of the `webhook` route's signatures; two while they are rotated. */
    webhookSecrets: z.exactOptional(webhookSecrets),
    /** Live secrets of the signatures of outbound events; two while they are rotated. */
    crmWebhookSecrets: z.exactOptional(webhookSecrets),
    /** Live secrets of the sources of CRM events, by their names; two while they are rotated. */
    crm: z.exactOptional(secretsByName),
    clients: z.array(clientGrant, 'is missing or not a list').check(z.minLength(1, 'is empty')),
  },
  'must be an object',
);

export type BridgeSecrets = z.infer<typeof bridgeSecrets>;

/** The secret is missing, cannot be read, or lacks something. Names members, never values. */
export class SecretError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'SecretError';
  }
}

/** How long a secret is used before it is read again: rotation needs no deployment. */
const MAX_AGE_SECONDS = 300;
/** While Secrets Manager cannot be reached, requests wait for it only this often. */
const RETRY_AFTER_MS = 30_000;

/** The bridge's one secret, cached, and told apart by its version. */
export class SecretSource {
  readonly #provider: SecretsProvider;
  readonly #secretId: string;
  readonly #clock: Clock;
  #retryAtMs = 0;
  #last: { readonly text: string; readonly secrets: BridgeSecrets } | undefined;

  constructor(client: SecretsManagerClient, secretId: string, clock: Clock) {
    this.#provider = new SecretsProvider({ awsSdkV3Client: client });
    this.#secretId = secretId;
    this.#clock = clock;
  }

  /**
   * The secrets; the same object until they change. Once read, a Secrets Manager that is down stops nothing.
   * @throws {SecretError} when there is nothing to go on with.
   */
  async get(): Promise<BridgeSecrets> {
    if (this.#last !== undefined && this.#clock.now() < this.#retryAtMs) return this.#last.secrets;
    let text: string | Uint8Array | undefined;
    try {
      text = await this.#provider.get(this.#secretId, { maxAge: MAX_AGE_SECONDS });
    } catch (error) {
      this.#retryAtMs = this.#clock.now() + RETRY_AFTER_MS;
      if (this.#last !== undefined) return this.#last.secrets;
      throw new SecretError('the secret named by BRIDGE_SECRET_ID cannot be read', error);
    }
    if (typeof text !== 'string') throw new SecretError('the secret named by BRIDGE_SECRET_ID has no value yet');
    if (this.#last?.text !== text) this.#last = { text, secrets: parseSecrets(text) };
    return this.#last.secrets;
  }
}

/** @throws {SecretError} naming every member that is missing or wrong. */
export function parseSecrets(text: string): BridgeSecrets {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's message would quote the secret.
    throw new SecretError('the secret named by BRIDGE_SECRET_ID is not JSON');
  }
  const parsed = bridgeSecrets.safeParse(json);
  if (parsed.success) return parsed.data;
  throw incomplete(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
}

/** @param members - what is wrong, each with the member's name, never with a value */
export function incomplete(members: readonly string[]): SecretError {
  return new SecretError(`the secret named by BRIDGE_SECRET_ID is not complete: ${members.join('; ')}`);
}
