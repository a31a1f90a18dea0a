import type { JsonValue } from './json.ts';
import { pointerOf } from './pointer.ts';
import type { Violation } from './violation.ts';

/** Member names that could reach an object's prototype (SPEC 4): refused, never stripped. */
const PROTOTYPE_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

export type StrictJson =
  | { readonly kind: 'parsed'; readonly value: JsonValue }
  /** Not JSON at all (RFC 8259). */
  | { readonly kind: 'malformed' }
  /** JSON that says two things about one name, or that holds what the bridge refuses; every place is listed, up to an answer's size. */
  | { readonly kind: 'duplicate-names'; readonly violations: readonly Violation[] }
  | { readonly kind: 'refused'; readonly violations: readonly Violation[] };

export interface StrictJsonOptions {
  /** Deepest nesting of objects and arrays that is accepted; the outermost one counts as 1. */
  readonly maxDepth: number;
}

/**
 * Parses JSON and refuses what `JSON.parse` would silently repair: duplicate names (it keeps the last), prototype names,
 * integers beyond ±2^53 (it rounds), numbers that overflow to infinity, halves of surrogate pairs (RFC 8785 cannot hash
 * them), and nesting that a recursive walker cannot follow.
 *
 * `JSON.parse` decides what is JSON; the scan after it relies on that, is linear in the text and does not recurse.
 */
export function parseStrictJson(text: string, options: StrictJsonOptions): StrictJson {
  let value: JsonValue;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'malformed' };
  }
  const { duplicates, refused } = scan(text, options.maxDepth);
  if (duplicates.length > 0) return { kind: 'duplicate-names', violations: duplicates };
  if (refused.length > 0) return { kind: 'refused', violations: refused };
  return { kind: 'parsed', value };
}

interface Frame {
  /** Names seen so far; absent for an array. */
  readonly names?: Set<string>;
  /** Where the frame is now: the current member's name or the current index. */
  at: string | number;
}

// One alternative per token of RFC 8259; on text that JSON.parse accepts, nothing else can occur between them.
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]|true|false|null/g;

/** Characters that the violations of one body may take together: an answer that can be sent, however hostile the body. */
const MAX_LISTED_CHARS = 1_000_000;

/** Lists violations while there is room. A place costs its pointer, and one long name can lie above very many places. */
class Listing {
  readonly violations: Violation[] = [];
  readonly #here: () => string;
  #chars = 0;

  constructor(here: () => string) {
    this.#here = here;
  }

  add(code: string, message: string): void {
    if (this.#chars >= MAX_LISTED_CHARS) return;
    const violation = { pointer: this.#here(), code, message };
    this.#chars += violation.pointer.length + code.length + message.length;
    this.violations.push(violation);
  }
}

function scan(text: string, maxDepth: number): { duplicates: Violation[]; refused: Violation[] } {
  const stack: Frame[] = [];
  /** Whether a string would be a name, in an object. */
  let expectName = false;
  const here = () => pointerOf(stack.map((frame) => frame.at));
  const duplicates = new Listing(here);
  const refused = new Listing(here);

  for (const [token] of text.matchAll(TOKEN)) {
    const frame = stack.at(-1);
    switch (token[0]) {
      case '{':
      case '[': {
        // Named where it begins, not again for what lies inside.
        if (stack.length === maxDepth) refused.add('too-deep', `is nested deeper than ${maxDepth} levels`);
        stack.push(token === '{' ? { names: new Set(), at: '' } : { at: 0 });
        expectName = true;
        break;
      }
      case '}':
      case ']':
        stack.pop();
        break;
      case ',':
        if (typeof frame?.at === 'number') frame.at += 1;
        expectName = true;
        break;
      case ':':
        expectName = false;
        break;
      case '"': {
        // What lies too deep is refused as a whole.
        if (stack.length > maxDepth) break;
        const text: string = token.includes('\\') ? JSON.parse(token) : token.slice(1, -1);
        const isName = expectName && frame?.names !== undefined;
        if (isName) frame.at = text;
        if (!text.isWellFormed()) {
          refused.add('lone-surrogate', 'holds half a surrogate pair, which is no text');
        }
        if (!isName || frame?.names === undefined) break;
        const name = text;
        if (frame.names.has(name)) duplicates.add('duplicate-name', 'occurs more than once in its object');
        frame.names.add(name);
        if (PROTOTYPE_NAMES.has(name)) {
          refused.add('prototype-name', 'is a name that is never accepted');
        }
        break;
      }
      default:
        if (token !== 'true' && token !== 'false' && token !== 'null' && stack.length <= maxDepth) {
          const problem = numberProblem(token);
          if (problem !== undefined) refused.add(problem.code, problem.message);
        }
    }
  }
  return { duplicates: duplicates.violations, refused: refused.violations };
}

const TWO_TO_53 = 2 ** 53;

function numberProblem(text: string): { code: string; message: string } | undefined {
  const value = Number(text);
  if (!Number.isFinite(value)) return { code: 'number-not-finite', message: 'is too large to be a finite number' };
  const size = Math.abs(value);
  if (size < TWO_TO_53) return undefined;
  const exact = /^-?\d+$/.test(text) && BigInt(text) === BigInt(value) && size === TWO_TO_53;
  // From there on every double is an integer.
  if (exact) return undefined;
  return {
    code: 'number-not-exact',
    message: 'is an integer beyond ±2^53, which would be rounded; send it as a string',
  };
}

/** What most texts do not have: a number of many digits, or one with an exponent. In a string it may be, too. */
const PERHAPS_INEXACT = /\d{16}|\d[eE]/;

/**
 * True where `JSON.parse` would change a number of this JSON text: an integer that no double is, or one too large to be finite.
 * Who writes back what was read must know.
 */
export function holdsInexactNumber(text: string): boolean {
  if (!PERHAPS_INEXACT.test(text)) return false;
  for (const [token] of text.matchAll(TOKEN)) {
    const value = /^[-\d]/.test(token) ? Number(token) : 0;
    if (!Number.isFinite(value)) return true;
    if (Math.abs(value) >= TWO_TO_53 && /^-?\d+$/.test(token) && BigInt(token) !== BigInt(value)) return true;
  }
  return false;
}

/** True for names that could reach an object's prototype. */
export function isPrototypeName(name: string): boolean {
  return PROTOTYPE_NAMES.has(name);
}
