import type { JsonValue } from './json.ts';

/** UTF-8 bytes of the JSON text that is really sent (SPEC 4). */
export function jsonBytes(value: JsonValue): number {
  return Buffer.byteLength(JSON.stringify(value), 'utf8');
}

/** How many objects and arrays enclose the innermost value: a scalar is 0, `[]` is 1. Does not recurse. */
export function nestingOf(value: unknown): number {
  let deepest = 0;
  const open: { value: unknown; depth: number }[] = [{ value, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue;
    const depth = next.depth + 1;
    deepest = Math.max(deepest, depth);
    for (const child of Object.values(next.value)) open.push({ value: child, depth });
  }
  return deepest;
}
