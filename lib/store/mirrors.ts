import type { KeyObject } from 'node:crypto';
import { valueHash } from '../context/canonicalJson.ts';
import type { JsonValue } from '../context/json.ts';
import {
  type LoadedMirror,
  type LoadedVariable,
  type Mirror,
  type MirrorVariable,
  mirrorId,
  mirrorOf,
  type StoredValue,
  type Via,
} from '../context/mirror.ts';
import { jsonBytes } from '../context/size.ts';
import type { Scope } from '../context/variables.ts';
import { type StoredMirror, StoreError, type WriteMirrorOptions } from '../operations/ports/sessionStore.ts';
import { STATE_PREFIX, stateKey, stateRefOf } from './keys.ts';
import type { Payloads } from './payloads.ts';
import { type Item, type Table, ttlSeconds } from './table.ts';

const STATE_FORMAT = 1;
/** Values from this size on lie in items of their own, so that a new version of the mirror does not write them again. */
const VALUE_INLINE_BYTES = 1_024;
/** A mirror's item without its large values; beyond this it lies out of line too. */
const STATE_INLINE_BYTES = 300_000;
/** Out-of-line values are written to live this much longer than asked, so that they are rarely renewed. */
const VALUE_SLACK_MS = 24 * 3_600_000;

/** Whose mirrors, and the key of the session's content: who has lost the salt it is made of can read none of them. */
export interface SessionPlace {
  readonly pk: string;
  readonly key: KeyObject;
}

/**
 * A mirror as it is sealed. A context may have thousands of leaves, few of which differ in where they come from: so those
 * are listed once, and a leaf names its own by number.
 */
interface StoredState {
  readonly version: number;
  readonly origins: readonly (readonly [
    scope: Scope,
    via: Via,
    source: string,
    version: number,
    updatedAtMs: number,
    expiresAtMs: number | null,
  ])[];
  readonly inline: readonly (readonly [path: string, origin: number, value: JsonValue])[];
  readonly outOfLine: readonly (readonly [path: string, origin: number, stored: StoredValue])[];
}

/** Immutable versions of sessions' mirrors. A version is invisible until a lane points to it. */
export class Mirrors {
  readonly #table: Table;
  readonly #payloads: Payloads;

  constructor(table: Table, payloads: Payloads) {
    this.#table = table;
    this.#payloads = payloads;
  }

  async read(place: SessionPlace, stateRef: string): Promise<StoredMirror | undefined> {
    const item = await this.#table.get(stateKey(place.pk, stateRef));
    return item && this.#decode(place, item);
  }

  async write(
    { pk, key }: SessionPlace,
    mirror: Mirror,
    options: WriteMirrorOptions & { readonly previous: string | undefined },
  ): Promise<string> {
    const { keepUntilMs, since, atMs, previous } = options;
    const variables = await this.#place({ pk, key }, [...mirror.variables.values()], keepUntilMs);
    const body = await this.#payloads.store(
      pk,
      Buffer.from(JSON.stringify(encode(mirror.version, variables)), 'utf8'),
      {
        inlineBytes: STATE_INLINE_BYTES,
        keepUntilMs,
        key,
      },
    );
    const stateRef = stateRefOf(mirror.version, options.fence);
    await this.#table.put({
      ...stateKey(pk, stateRef),
      format: STATE_FORMAT,
      body,
      since,
      atMs,
      previous,
      ttl: ttlSeconds(keepUntilMs),
    });
    return stateRef;
  }

  /**
   * Goes back from `stateRef`, mirror by mirror, to the one in which `version` had taken effect and nothing later. Mirrors that
   * no lane has ever pointed to (their writer was fenced out) lie beside that way.
   */
  async readHistory(place: SessionPlace, stateRef: string, version: number): Promise<StoredMirror | undefined> {
    let wanted = stateKey(place.pk, stateRef);
    for await (const item of this.#table.query({ pk: place.pk, prefix: STATE_PREFIX, newestFirst: true })) {
      const at = String(item['sk']);
      if (at !== wanted.sk) continue;
      for (let here: Item | undefined = item; ; here = await this.#table.get(wanted)) {
        if (here === undefined) return undefined;
        refuseUnknownFormat(here);
        const { since, previous } = here;
        if (typeof since === 'number' && since <= version) return this.#decode(place, here);
        if (typeof previous !== 'string') return undefined;
        wanted = stateKey(place.pk, previous);
        // Mirrors of one version lie in the order of their fences, which need not be the one in which they came to hold.
        if (wanted.sk < at) break;
      }
    }
    return undefined;
  }

  /** The variables with their values where they are to lie in the next version: in it, or out of line for long enough. */
  async #place(
    { pk, key }: SessionPlace,
    variables: readonly MirrorVariable[],
    keepUntilMs: number,
  ): Promise<MirrorVariable[]> {
    const keptUntilMs = keepUntilMs + VALUE_SLACK_MS;
    const large: { readonly id: string; readonly value: JsonValue }[] = [];
    const aging: { readonly id: string; readonly stored: StoredValue }[] = [];
    for (const variable of variables) {
      const { value, stored } = variable;
      const id = mirrorId(variable);
      if (stored !== undefined) {
        if (stored.keptUntilMs < keepUntilMs) aging.push({ id, stored });
      } else if (value !== undefined && isLarge(value)) {
        large.push({ id, value });
      }
    }
    const [refs] = await Promise.all([
      this.#payloads.storeOutOfLine(
        pk,
        large.map(({ value }) => Buffer.from(JSON.stringify(value), 'utf8')),
        { keepUntilMs: keptUntilMs, key },
      ),
      this.#payloads.keep(
        pk,
        aging.map(({ stored }) => stored.ref),
        keptUntilMs,
      ),
    ]);
    const moved = new Map(aging.map(({ id, stored }) => [id, { ...stored, keptUntilMs }]));
    large.forEach(({ id, value }, index) => {
      const ref = refs[index];
      if (ref !== undefined) moved.set(id, { ref, keptUntilMs, hash: valueHash(value) });
    });
    return variables.map((variable) => {
      const stored = moved.get(mirrorId(variable));
      return stored === undefined ? variable : { ...variable, stored };
    });
  }

  /** The mirror with all its values. Those that have been out of line still know where they lie. */
  async loadValues({ pk, key }: SessionPlace, mirror: Mirror): Promise<LoadedMirror> {
    const absent = [...mirror.variables.values()].flatMap(({ value, stored }) =>
      value === undefined && stored !== undefined ? [stored.ref] : [],
    );
    const plains = absent.length === 0 ? [] : await this.#payloads.openMany(pk, absent, key);
    const plainByRef = new Map(absent.map((ref, index) => [ref, plains[index]]));
    const variables = [...mirror.variables.values()].map((variable): LoadedVariable => {
      const { value, stored } = variable;
      if (value !== undefined) return { ...variable, value };
      const plain = plainByRef.get(stored?.ref ?? '');
      return { ...variable, value: JSON.parse(Buffer.from(plain ?? []).toString('utf8')) };
    });
    return mirrorOf(mirror.version, variables);
  }

  async #decode({ pk, key }: SessionPlace, item: Item): Promise<StoredMirror> {
    refuseUnknownFormat(item);
    const { sk, body, atMs } = item;
    if (typeof sk !== 'string' || !(body instanceof Uint8Array || typeof body === 'string')) {
      throw new StoreError('store-unavailable', new Error('a damaged mirror'));
    }
    const plain = await this.#payloads.open(pk, body, key);
    // What the bridge sealed itself needs no second check of its shape: AES-GCM vouches for every byte.
    const state: StoredState = JSON.parse(Buffer.from(plain).toString('utf8'));
    return {
      stateRef: sk.slice(STATE_PREFIX.length),
      mirror: decode(state),
      atMs: typeof atMs === 'number' ? atMs : 0,
    };
  }
}

function refuseUnknownFormat({ format }: Item): void {
  if (typeof format === 'number' && format <= STATE_FORMAT) return;
  throw new StoreError('store-unavailable', new Error('a mirror has a format that this version does not know'));
}

/** A short text need not be counted. */
function isLarge(value: JsonValue): boolean {
  if (typeof value === 'object' && value !== null) return jsonBytes(value) >= VALUE_INLINE_BYTES;
  // A character takes six bytes at most, as in \u0000.
  return (
    typeof value === 'string' && value.length * 6 + 2 >= VALUE_INLINE_BYTES && jsonBytes(value) >= VALUE_INLINE_BYTES
  );
}

function encode(version: number, variables: readonly MirrorVariable[]): StoredState {
  const numbers = new Map<string, number>();
  const origins: StoredState['origins'][number][] = [];
  const inline: StoredState['inline'][number][] = [];
  const outOfLine: StoredState['outOfLine'][number][] = [];
  for (const { path, value, stored, scope, via, source, version: put, updatedAtMs, expiresAtMs } of variables) {
    const origin = [scope, via, source, put, updatedAtMs, expiresAtMs ?? null] as const;
    const name = origin.join();
    let number = numbers.get(name);
    if (number === undefined) {
      number = origins.push(origin) - 1;
      numbers.set(name, number);
    }
    if (stored !== undefined) outOfLine.push([path, number, stored]);
    else if (value !== undefined) inline.push([path, number, value]);
  }
  return { version, origins, inline, outOfLine };
}

function decode({ version, origins, inline, outOfLine }: StoredState): Mirror {
  const known = origins.map(([scope, via, source, put, updatedAtMs, expiresAtMs]) => {
    const expiry = expiresAtMs !== null && { expiresAtMs };
    return { scope, via, source, version: put, updatedAtMs, ...expiry };
  });
  const variables: MirrorVariable[] = [];
  for (const [path, number, value] of inline) {
    const origin = known[number];
    if (origin !== undefined) variables.push({ path, value, ...origin });
  }
  for (const [path, number, stored] of outOfLine) {
    const origin = known[number];
    if (origin !== undefined) variables.push({ path, stored, ...origin });
  }
  return mirrorOf(version, variables);
}
