import { isJsonObject, type JsonValue } from './json.ts';
import { parseStrictJson } from './strictJson.ts';

/** What a value of a variable can be. */
export const VALUE_TYPES = ['string', 'number', 'boolean', 'object', 'array', 'null'] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

/** `auto`: texts become what they say, where that loses nothing. `none`: everything is a text. */
export type Coercion = 'auto' | 'none';

export interface TypedValue {
  readonly value: JsonValue;
  readonly type: ValueType;
}

/** Deepest nesting that is parsed; what lies deeper stays a text (SPEC 4). */
const MAX_DEPTH = 32;

/**
 * What a value says that the upstream hands over as an untyped text: lossless or not at all (SPEC 5 "Coercion").
 *
 * With a type it is that type, where the text says one of it exactly. Without one, `true` and `false` in any case become
 * booleans, text that is just how JavaScript would print a finite number becomes one, and JSON objects and arrays are parsed.
 * What came typed already stays as it is.
 *
 * @param type - as the upstream calls it; a name that is not known counts as none
 * @example
 * coerce('42'); // { value: 42, type: 'number' }
 * coerce('007'); // { value: '007', type: 'string' }
 * coerce('1e3', 'number'); // { value: 1000, type: 'number' }
 */
export function coerce(value: JsonValue, type?: string): TypedValue {
  return typed(typeof value === 'string' ? coerceText(value, type) : value);
}

/** The value as a text: a text as it is, anything else as its JSON. */
export function textOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function typed(value: JsonValue): TypedValue {
  return { value, type: typeOf(value) };
}

function typeOf(value: JsonValue): ValueType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    default:
      return 'object';
  }
}

function coerceText(text: string, type: string | undefined): JsonValue {
  switch (type) {
    case 'string':
      return text;
    case 'number':
      return numberOf(text) ?? text;
    case 'boolean':
      return booleanOf(text) ?? text;
    case 'null':
      return text === 'null' ? null : text;
    case 'object':
    case 'array': {
      const parsed = containerOf(text);
      return parsed !== undefined && isJsonObject(parsed) === (type === 'object') ? parsed : text;
    }
    default:
      return booleanOf(text) ?? printedNumberOf(text) ?? containerOf(text) ?? text;
  }
}

function booleanOf(text: string): boolean | undefined {
  // Most texts are neither, and longer.
  if (text.length !== 4 && text.length !== 5) return undefined;
  const lower = text.toLowerCase();
  if (lower === 'true') return true;
  return lower === 'false' ? false : undefined;
}

/** A number that JavaScript would print just so. */
function printedNumberOf(text: string): number | undefined {
  if (!/^-?\d/.test(text)) return undefined;
  const number = Number(text);
  return Number.isFinite(number) && String(number) === text ? number : undefined;
}

const JSON_NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE][+-]?\d{1,6})?$/;

/** A number of JSON's grammar, in whatever notation, that a double holds without rounding what the text says. */
function numberOf(text: string): number | undefined {
  if (!JSON_NUMBER.test(text)) return undefined;
  const number = Number(text);
  return digitsOf(String(number)) === digitsOf(text) ? number : undefined;
}

/**
 * Sign and significant digits, the same in all writings of a number. Of a number and its rounding the power of ten need not be
 * compared: with the same digits, they cannot be ten times one another. What overflows to infinity has no digits.
 */
function digitsOf(text: string): string {
  const [, sign = '', whole = '', fraction = ''] = JSON_NUMBER.exec(text) ?? [];
  return sign + (whole + fraction).replace(/^0+/, '').replace(/0+$/, '');
}

/** An object or array in strict JSON, of which parsing loses nothing: no name twice, no number rounded, not too deep. */
function containerOf(text: string): JsonValue | undefined {
  const isContainer = (text.startsWith('{') && text.endsWith('}')) || (text.startsWith('[') && text.endsWith(']'));
  if (!isContainer) return undefined;
  const parsed = parseStrictJson(text, { maxDepth: MAX_DEPTH });
  return parsed.kind === 'parsed' && !holdsRoundedNumber(text) ? parsed.value : undefined;
}

/** What most texts do not have: a number of many digits, one with an exponent, or a negative zero. */
const PERHAPS_ROUNDED = /[\d.]{16}|\d[eE]|-0/;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

function holdsRoundedNumber(text: string): boolean {
  if (!PERHAPS_ROUNDED.test(text)) return false;
  for (const [token] of text.matchAll(STRING_OR_NUMBER)) {
    if (!token.startsWith('"') && numberOf(token) === undefined) return true;
  }
  return false;
}
