import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';

const PREFIX = '__';

/** Members that begin with two underscores are somebody's own bookkeeping, no part of what is shared. */
export function isInternalName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Does the path lead to or through an internal member? */
export function isInternalPath(tokens: readonly string[]): boolean {
  return tokens.some(isInternalName);
}

/**
 * The context without internal members, however deep they lie, also in objects within arrays. What holds none is shared;
 * the very same object comes back when there is nothing to take out.
 */
export function withoutInternal(context: JsonObject): JsonObject {
  const members = Object.entries(context);
  const kept = members
    .filter(([name]) => !isInternalName(name))
    .map(([name, value]): [string, JsonValue] => [name, stripped(value)]);
  const isUntouched = kept.length === members.length && kept.every(([name, value]) => value === context[name]);
  return isUntouched ? context : Object.fromEntries(kept);
}

function stripped(value: JsonValue): JsonValue {
  if (isJsonObject(value)) return withoutInternal(value);
  if (typeof value !== 'object' || value === null) return value;
  const items = value.map(stripped);
  return items.every((item, index) => item === value[index]) ? value : items;
}
