import type { JsonValue } from './json.ts';
import { pointerOf } from './pointer.ts';
import { isPrototypeName } from './strictJson.ts';
import { MAX_VALUE_NESTING } from './variables.ts';

const RULES = {
  undefined: 'undefined is no value',
  function: 'a function is no data',
  symbol: 'a symbol is no data',
  bigint: 'a BigInt has no JSON number; send it as a string',
  cycle: 'it contains itself',
  'not-finite': 'NaN and the infinities are no JSON numbers',
  'invalid-date': 'the date is invalid',
  'map-key': 'a Map needs strings as keys',
  'prototype-name': 'this name is never accepted',
  'lone-surrogate': 'half a surrogate pair is no text',
  'not-plain': 'what it holds is not in its members; give it a toJSON, or convert it',
  'too-deep': `it is nested deeper than ${MAX_VALUE_NESTING} levels`,
} as const;

/** A value that JSON cannot say. It names the place and the rule, never the value. */
export class SerializationError extends Error {
  override readonly name = 'SerializationError';
  /** JSON Pointer (RFC 6901) into the value. */
  readonly path: string;
  readonly reason: keyof typeof RULES;

  constructor(path: string, reason: keyof typeof RULES) {
    super(`Cannot serialize ${path === '' ? 'the value' : path}: ${RULES[reason]}`);
    this.path = path;
    this.reason = reason;
  }
}

/**
 * What `JSON.stringify` would say, as a value that shares nothing with the given one; but what that would drop or garble
 * without a word is refused, such as functions, `NaN`, errors or typed arrays.
 *
 * A `Date` becomes its ISO string, a `Map` with strings as keys an object, a `Set` an array. `toJSON` is honoured, also that
 * of what another `toJSON` returns; other class instances are their own enumerable members. As in `JSON.stringify`, members
 * that are `undefined` are left out, items that are `undefined` are `null`, symbols as keys do not count, and -0 becomes 0.
 *
 * @throws {SerializationError} at the first place that cannot be said.
 */
export function serialize(value: unknown): JsonValue {
  const walk = new Walk();
  const json = walk.jsonOf(value);
  if (json === undefined) throw walk.error('undefined');
  return json;
}

class Walk {
  readonly #path: (string | number)[] = [];
  /** The objects around the present place: one that turns up again is a cycle. Elsewhere it may occur as often as it likes. */
  readonly #around = new Set<object>();

  error(reason: keyof typeof RULES): SerializationError {
    return new SerializationError(pointerOf(this.#path), reason);
  }

  jsonOf(value: unknown): JsonValue | undefined {
    switch (typeof value) {
      case 'undefined':
      case 'boolean':
        return value;
      case 'string':
        if (!value.isWellFormed()) throw this.error('lone-surrogate');
        return value;
      case 'number':
        if (!Number.isFinite(value)) throw this.error('not-finite');
        return value === 0 ? 0 : value;
      case 'object':
        return value === null ? null : this.#jsonOfObject(value);
      case 'function':
        throw this.error('function');
      case 'symbol':
        throw this.error('symbol');
      case 'bigint':
        throw this.error('bigint');
    }
  }

  #jsonOfObject(object: object): JsonValue | undefined {
    if (object instanceof Date) {
      if (Number.isNaN(object.getTime())) throw this.error('invalid-date');
      return object.toISOString();
    }
    if (this.#around.has(object)) throw this.error('cycle');
    // More than every level with a `toJSON` of its own: one answers with the next, perhaps without end.
    if (this.#around.size > 2 * MAX_VALUE_NESTING) throw this.error('too-deep');
    this.#around.add(object);
    const meant = this.#meantBy(object);
    const json = meant === object ? this.#jsonOfContents(object) : this.jsonOf(meant);
    this.#around.delete(object);
    return json;
  }

  #meantBy(object: object): unknown {
    if (!('toJSON' in object) || typeof object.toJSON !== 'function') return object;
    return object.toJSON(String(this.#path.at(-1) ?? ''));
  }

  #jsonOfContents(object: object): JsonValue {
    if (this.#path.length >= MAX_VALUE_NESTING) throw this.error('too-deep');
    // Array.from, because `map` would leave holes as they are.
    if (Array.isArray(object) || object instanceof Set) {
      return Array.from(object, (item: unknown, index) => this.#jsonAt(index, item) ?? null);
    }
    if (object instanceof Map) return this.#jsonOfMembers(object);
    // Everything with a state of its own has a tag of its own: RegExp, Error, Promise, WeakMap, typed arrays, boxed values.
    if (Object.prototype.toString.call(object) !== '[object Object]') throw this.error('not-plain');
    return this.#jsonOfMembers(Object.entries(object));
  }

  #jsonOfMembers(members: Iterable<readonly [unknown, unknown]>): JsonValue {
    const said: [string, JsonValue][] = [];
    for (const [name, value] of members) {
      if (typeof name !== 'string') throw this.error('map-key');
      const json = this.#jsonAt(name, value);
      if (json !== undefined) said.push([name, json]);
    }
    return Object.fromEntries(said);
  }

  #jsonAt(token: string | number, value: unknown): JsonValue | undefined {
    this.#path.push(token);
    if (typeof token === 'string') {
      if (isPrototypeName(token)) throw this.error('prototype-name');
      if (!token.isWellFormed()) throw this.error('lone-surrogate');
    }
    const json = this.jsonOf(value);
    this.#path.pop();
    return json;
  }
}
