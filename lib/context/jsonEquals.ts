import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';

/**
 * Do both say the same? The order of members is no difference, nor is the sign of zero (JSON prints both as 0); `undefined`
 * is absent, which differs from every value. Cheaper than comparing hashes: it needs no text and stops at the first difference.
 */
export function jsonEquals(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (isJsonObject(a)) return isJsonObject(b) && haveEqualMembers(a, b);
  return !isJsonObject(b) && a.length === b.length && a.every((item, index) => jsonEquals(item, b[index]));
}

function haveEqualMembers(a: JsonObject, b: JsonObject): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    // `hasOwn`, because every object inherits a `constructor` and a `__proto__`.
    names.every((name) => Object.hasOwn(b, name) && jsonEquals(a[name], b[name]))
  );
}
