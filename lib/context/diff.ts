import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { jsonEquals } from './jsonEquals.ts';
import { isLeaf, leavesOf } from './leaves.ts';
import { memberPointer } from './pointer.ts';

/** One leaf in which two contexts differ. Without `before` it has been added, without `after` removed. */
export interface Difference {
  readonly path: string;
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

/** The leaves in which `after` differs from `before`. What both share as one object is not looked into. */
export function differencesOf(before: JsonObject, after: JsonObject): Difference[] {
  const found: Difference[] = [];
  compare(before, after, '', found);
  return found;
}

function compare(before: JsonValue | undefined, after: JsonValue | undefined, path: string, found: Difference[]): void {
  if (before === after) return;
  if (isJsonObject(before) && isJsonObject(after)) {
    for (const [name, member] of Object.entries(before)) {
      compare(member, Object.hasOwn(after, name) ? after[name] : undefined, memberPointer(path, name), found);
    }
    for (const [name, member] of Object.entries(after)) {
      if (!Object.hasOwn(before, name)) compare(undefined, member, memberPointer(path, name), found);
    }
    return;
  }
  if (!hasMembers(before) && !hasMembers(after)) {
    if (!jsonEquals(before, after)) found.push(difference(path, before, after));
    return;
  }
  // A whole branch has come, gone, or become something else.
  if (before !== undefined) for (const leaf of leavesOf(before, path)) found.push(difference(leaf.path, leaf.value));
  if (after !== undefined)
    for (const leaf of leavesOf(after, path)) found.push(difference(leaf.path, undefined, leaf.value));
}

function hasMembers(value: JsonValue | undefined): boolean {
  return value !== undefined && !isLeaf(value);
}

function difference(path: string, before: JsonValue | undefined, after?: JsonValue): Difference {
  return { path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
}
