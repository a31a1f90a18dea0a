import { createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { Readable } from 'node:stream';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { SignatureV4 } from '@smithy/signature-v4';
import type { Config } from './config.ts';

type AwsConfig = Pick<Config, 'aws' | 'storeTimeoutMs'>;

/** A client of AWS that answers quickly or fails quickly: whoever asks waits behind each of its requests (SCENARIOS 45). */
export const clientOptions = ({ aws, storeTimeoutMs }: AwsConfig) => ({
  region: aws.region,
  credentials: aws.credentials,
  maxAttempts: 3,
  retryMode: 'standard',
  // What a request goes through is the same each time, and is put together once.
  cacheMiddleware: true,
  requestHandler: new WholeAnswers({
    connectionTimeout: storeTimeoutMs,
    requestTimeout: storeTimeoutMs,
    // That is over with the head of the answer; this holds for its body.
    socketTimeout: storeTimeoutMs,
    throwOnRequestTimeout: true,
  }),
});

/** The client whose requests others wait for, one after the other: one signer for all of them, where the SDK makes one for each. */
export function createDynamoClient(config: AwsConfig): DynamoDBClient {
  const { region, credentials } = config.aws;
  const signer = new SignatureV4({ service: 'dynamodb', region, credentials, sha256: NodeSha256 });
  return new DynamoDBClient({ ...clientOptions(config), signer });
}

/** Answers are small, and are read whole: the SDK would lead each of them through a stream of its own. */
class WholeAnswers extends NodeHttpHandler {
  override async handle(...asked: Parameters<NodeHttpHandler['handle']>): ReturnType<NodeHttpHandler['handle']> {
    const answer = await super.handle(...asked);
    answer.response.body = await wholeOf(answer.response.body);
    return answer;
  }
}

function wholeOf(body: Readable): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    body
      .on('data', (chunk: Uint8Array) => chunks.push(chunk))
      .on('end', () => resolve(Buffer.concat(chunks)))
      .on('error', reject);
  });
}

/** Keys of HMACs by their bytes, which the signer keeps for a day: made of bytes each time, an HMAC takes five times as long. */
const keys = new WeakMap<Uint8Array, KeyObject>();

/** SHA-256, and HMAC-SHA-256 where there is a secret, as the SDK's signer asks for them. */
export class NodeSha256 {
  readonly #secret: string | KeyObject | undefined;
  readonly #data: Uint8Array[] = [];

  constructor(secret?: unknown) {
    if (secret instanceof Uint8Array) this.#secret = keyOf(secret);
    else if (typeof secret === 'string') this.#secret = secret;
    else if (secret !== undefined) throw new TypeError('a secret is text or bytes');
  }

  update(data: Uint8Array): void {
    this.#data.push(data);
  }

  async digest(): Promise<Uint8Array> {
    const hash = this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret);
    for (const data of this.#data) hash.update(data);
    return hash.digest();
  }

  reset(): void {
    this.#data.length = 0;
  }
}

function keyOf(bytes: Uint8Array): KeyObject {
  let key = keys.get(bytes);
  if (key === undefined) {
    key = createSecretKey(bytes);
    keys.set(bytes, key);
  }
  return key;
}
