import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

let next: () => number = () => {
  throw new Error('no simulation runs');
};

/** Nonces and salts of this process come out of the simulation's seed from now on: names of payloads are made of them. */
export function seedCryptography(source: () => number): void {
  next = source;
}

function randomBytes(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; at += 1) bytes[at] = next() * 256;
  return bytes;
}

Object.assign(crypto, { randomBytes });
syncBuiltinESMExports();
