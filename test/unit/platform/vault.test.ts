import { type KeyObject, randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SealError, Vault } from '../../../lib/platform/vault.ts';

const vault = new Vault(new Uint8Array(32).fill(7));
const other = new Vault(new Uint8Array(32).fill(8));
const bytes = (text: string) => Buffer.from(text, 'utf8');
const bytesOf = (key: KeyObject) => key.export().toString('hex');
const compressible = bytes('abc'.repeat(500));

describe('Sealing', () => {
  it('property: opens to what was sealed', () => {
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 2_000 }), (context, plain) => {
        expect(Buffer.from(vault.open(context, vault.seal(context, plain)))).toEqual(Buffer.from(plain));
      }),
    );
  });

  it('of a megabyte that does not compress comes back byte for byte (SCENARIO 30)', () => {
    const plain = randomBytes(1_048_576);
    const sealed = vault.seal('c', plain);
    expect(sealed.byteLength).toBeLessThan(plain.byteLength + 64);
    expect(plain.equals(vault.open('c', sealed))).toBe(true);
  });

  it('compresses what compresses', () => expect(vault.seal('c', compressible).byteLength).toBeLessThan(200));

  it.each([
    ['plain', bytes('short')],
    ['deflated', compressible],
  ])('one bit changed anywhere opens for nobody (%s)', (_how, plain) => {
    const sealed = vault.seal('c', plain);
    for (let at = 0; at < sealed.byteLength; at += 1) {
      for (const bit of [1, 128]) {
        const tampered = Uint8Array.from(sealed);
        tampered[at] = (tampered[at] ?? 0) ^ bit;
        expect(() => vault.open('c', tampered)).toThrow(SealError);
      }
    }
  });

  it('property: what is cut off or lengthened opens for nobody, and nothing else is ever thrown', () => {
    const sealed = vault.seal('c', bytes('text'));
    for (let length = 0; length < sealed.byteLength; length += 1) {
      expect(() => vault.open('c', sealed.subarray(0, length))).toThrow(SealError);
    }
    expect(() => vault.open('c', Buffer.concat([sealed, Buffer.of(0)]))).toThrow(SealError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (junk) => {
        expect(() => vault.open('c', junk)).toThrow(SealError);
      }),
    );
  });

  it('property: what was sealed for one place opens in no other', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        fc.pre(a.isWellFormed() && b.isWellFormed() && a !== b);
        expect(() => vault.open(b, vault.seal(a, bytes('x')))).toThrow(SealError);
      }),
    );
  });

  it('opens under no other key, and says nothing of the content', () => {
    const sealed = vault.seal('c', bytes('hunter2'));
    expect(() => other.open('c', sealed)).toThrow(SealError);
    expect(() => vault.open('c', sealed, vault.contentKey(vault.newSalt()))).toThrow(SealError);
    expect(Buffer.from(sealed).toString('latin1')).not.toContain('hunter2');
  });

  it('never makes the same text twice: equal values cannot be seen to be equal', () => {
    const sealed = Array.from({ length: 50 }, () => Buffer.from(vault.seal('c', bytes('same'))).toString('hex'));
    expect(new Set(sealed).size).toBe(50);
  });

  it('reads from the middle of a larger buffer, as the SDK hands it over', () => {
    const sealed = vault.seal('c', bytes('text'));
    const larger = Buffer.concat([Buffer.alloc(5, 1), sealed, Buffer.alloc(5, 1)]);
    expect(Buffer.from(vault.open('c', larger.subarray(5, 5 + sealed.byteLength))).toString()).toBe('text');
  });
});

describe('Keyed hashes', () => {
  it('are stable, and differ by kind, by id and by key', () => {
    const hashes = [
      vault.hashId('session', 'a'),
      vault.hashId('user', 'a'),
      vault.hashId('tenant', 'a'),
      vault.hashId('token', 'a'),
      vault.hashId('session', 'b'),
      other.hashId('session', 'a'),
      vault.fingerprint('a'),
      vault.fingerprint('session:a'),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(vault.hashId('session', 'a')).toBe(new Vault(new Uint8Array(32).fill(7)).hashId('session', 'a'));
  });

  it('property: no id is in its hash', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 3 }), (id) => {
        const hash = vault.hashId('session', id);
        expect(hash).toMatch(/^[\w-]{43}$/);
        expect(hash).not.toBe(Buffer.from(id).toString('base64url'));
      }),
    );
  });

  it('fingerprints are equal exactly where values are', () => {
    expect(vault.fingerprint({ a: 1, b: [2] })).toBe(vault.fingerprint({ b: [2], a: 1 }));
    expect(vault.fingerprint({ a: 1, b: [2] })).not.toBe(vault.fingerprint({ a: 1, b: ['2'] }));
  });
});

describe('Keys', () => {
  it('no two purposes and no two sessions share one', () => {
    const salt = vault.newSalt();
    const keys = [
      vault.chainKey('SESSION#a'),
      vault.chainKey('SESSION#b'),
      vault.contentKey(salt),
      vault.contentKey(vault.newSalt()),
    ];
    expect(new Set(keys.map(bytesOf)).size).toBe(keys.length);
    expect(bytesOf(vault.contentKey(salt))).toBe(bytesOf(vault.contentKey(salt)));
  });

  it('of a session is made of its salt and the master key, whatever else is derived meanwhile', () => {
    const salt = vault.newSalt();
    const key = bytesOf(vault.contentKey(salt));
    const larger = Buffer.concat([Buffer.alloc(5, 1), salt, Buffer.alloc(5, 1)]);
    for (let index = 0; index < 300; index += 1) vault.contentKey(Buffer.of(index >> 8, index & 255));

    expect(bytesOf(vault.contentKey(salt))).toBe(key);
    expect(bytesOf(vault.contentKey(larger.subarray(5, 5 + salt.byteLength)))).toBe(key);
    expect(bytesOf(new Vault(new Uint8Array(32).fill(7)).contentKey(salt))).toBe(key);
    expect(bytesOf(other.contentKey(salt))).not.toBe(key);
    expect(bytesOf(vault.contentKey(Buffer.of(0, 1)))).not.toBe(bytesOf(vault.contentKey(Buffer.of(1, 0))));
  });

  it('what was sealed for one session opens under no other salt, nor without any', () => {
    const [salt, next] = [vault.newSalt(), vault.newSalt()];
    const sealed = vault.seal('c', compressible, vault.contentKey(salt));

    expect(compressible.equals(vault.open('c', sealed, vault.contentKey(salt)))).toBe(true);
    for (const key of [vault.contentKey(next), vault.chainKey('c'), undefined]) {
      expect(() => vault.open('c', sealed, key)).toThrow(SealError);
    }
  });

  it('a master key that is too short is refused', () =>
    expect(() => new Vault(new Uint8Array(31))).toThrow(RangeError));
});
