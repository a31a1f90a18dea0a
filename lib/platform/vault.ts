import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { canonicalJson } from '../context/canonicalJson.ts';
import type { JsonValue } from '../context/json.ts';

/** A sealed item could not be opened: altered, written under another key, or its key is gone. */
export class SealError extends Error {
  constructor(cause?: unknown) {
    super('a sealed item could not be opened', { cause });
    this.name = 'SealError';
  }
}

/** Derived keys that are remembered, before all are forgotten. */
const SESSION_KEYS_MAX = 128;

const FORMAT = 1;
const PLAIN = 0;
const DEFLATED = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 2;
/**
 * A window of 8 KiB and little working memory: payloads are small, and zlib's defaults take 268 KB each time, which for many
 * values at once is most of what a function's memory grows by.
 */
const DEFLATE = { level: 3, windowBits: 13, memLevel: 6 } as const;
/** Below this compression would take longer than the bytes it saves are worth: a tenth of a millisecond for some 150 of them. */
const COMPRESS_FROM_BYTES = 512;
/** Largest plain text that is opened: far above the largest context, far below what would exhaust a function. */
const MAX_PLAIN_BYTES = 16 * 1024 * 1024;

/**
 * All keyed cryptography of the bridge. Every key is derived (HKDF-SHA-256) from one master key of at least 32 bytes out
 * of Secrets Manager, one per purpose, so that no two purposes share one.
 */
export class Vault {
  // What every operation needs as keys that are made already: of bytes Node would make them anew each time.
  readonly #idKey: KeyObject;
  readonly #sealKey: KeyObject;
  readonly #contentRoot: Uint8Array;
  readonly #chainRoot: Uint8Array;
  readonly #fingerprintKey: KeyObject;
  readonly #sessionKeys = new Map<string, KeyObject>();

  constructor(masterKey: Uint8Array) {
    if (masterKey.byteLength < 32) throw new RangeError('the master key must have at least 32 bytes');
    const derive = (purpose: string, salt: Uint8Array = new Uint8Array()) =>
      new Uint8Array(hkdfSync('sha256', masterKey, salt, `context-bridge/${purpose}`, 32));
    this.#idKey = createSecretKey(derive('id'));
    this.#sealKey = createSecretKey(derive('seal'));
    this.#contentRoot = derive('content');
    this.#chainRoot = derive('chain');
    this.#fingerprintKey = createSecretKey(derive('fingerprint'));
  }

  /** Keyed hash of an id, the only form in which ids are stored (SPEC 8). Base64url, 43 characters. */
  hashId(kind: 'session' | 'user' | 'tenant' | 'token' | 'record' | 'event', id: string): string {
    return createHmac('sha256', this.#idKey).update(`${kind}:${id}`, 'utf8').digest('base64url');
  }

  /** Keyed hash of a JSON value: equal iff the values are; says nothing about them without the key. Base64url. */
  fingerprint(value: JsonValue): string {
    return createHmac('sha256', this.#fingerprintKey).update(canonicalJson(value), 'utf8').digest('base64url');
  }

  /** Key of the hashes of one session's audit chain: a chain copied from another session does not verify. */
  chainKey(pk: string): KeyObject {
    return this.#derived(`chain ${pk}`, () =>
      hkdfSync('sha256', this.#chainRoot, pk, 'context-bridge/chain-session', 32),
    );
  }

  /** A fresh salt for {@link contentKey}: whoever deletes it makes what was sealed with it unreadable for good. */
  newSalt(): Uint8Array {
    return randomBytes(16);
  }

  /** The key under which one session's mirrors, answers and audit payloads are sealed. */
  contentKey(salt: Uint8Array): KeyObject {
    const name = `content ${Buffer.from(salt.buffer, salt.byteOffset, salt.byteLength).toString('base64')}`;
    return this.#derived(name, () => hkdfSync('sha256', this.#contentRoot, salt, 'context-bridge/content-session', 32));
  }

  /** Keys of the sessions in work are derived once, when there is time for it. */
  #derived(name: string, derive: () => ArrayBuffer): KeyObject {
    const known = this.#sessionKeys.get(name);
    if (known !== undefined) return known;
    const key = createSecretKey(new Uint8Array(derive()));
    if (this.#sessionKeys.size >= SESSION_KEYS_MAX) this.#sessionKeys.clear();
    this.#sessionKeys.set(name, key);
    return key;
  }

  /** Compresses and encrypts (AES-256-GCM). `context` is authenticated: what was sealed for one place opens in no other. */
  seal(context: string, plain: Uint8Array, key: KeyObject = this.#sealKey): Uint8Array {
    const deflated = plain.byteLength >= COMPRESS_FROM_BYTES ? deflateRawSync(plain, DEFLATE) : undefined;
    const useDeflated = deflated !== undefined && deflated.byteLength < plain.byteLength;
    const nonce = randomBytes(NONCE_BYTES);
    const header = Uint8Array.of(FORMAT, useDeflated ? DEFLATED : PLAIN);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(aad(header, context));
    const body = cipher.update(useDeflated ? deflated : plain);
    cipher.final();
    return Buffer.concat([header, nonce, cipher.getAuthTag(), body]);
  }

  /** @throws {SealError} when the item was altered, belongs elsewhere or was sealed under another key. */
  open(context: string, sealed: Uint8Array, key: KeyObject = this.#sealKey): Uint8Array {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    const bodyAt = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;
    if (bytes.byteLength < bodyAt || bytes[0] !== FORMAT) throw new SealError();
    try {
      const header = bytes.subarray(0, HEADER_BYTES);
      const nonce = bytes.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(aad(header, context))
        .setAuthTag(bytes.subarray(HEADER_BYTES + NONCE_BYTES, bodyAt));
      const plain = decipher.update(bytes.subarray(bodyAt));
      decipher.final();
      return header[1] === DEFLATED ? inflateRawSync(plain, { maxOutputLength: MAX_PLAIN_BYTES }) : plain;
    } catch (error) {
      throw new SealError(error);
    }
  }
}

function aad(header: Uint8Array, context: string): Uint8Array {
  return Buffer.concat([header, Buffer.from(context, 'utf8')]);
}
