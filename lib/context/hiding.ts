import { coerce, textOf } from './coercion.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { jsonEquals } from './jsonEquals.ts';
import { isLeaf, leavesOf } from './leaves.ts';
import { expiredVariables, type LoadedMirror, type LoadedVariable, topOf, visibleVariables } from './mirror.ts';
import { memberPointer, pointerOf } from './pointer.ts';
import type { ScopedVariable } from './scopes.ts';
import { nestingOf } from './size.ts';

/** Far deeper than what the bridge puts, and no danger to whoever recurses (levels). */
const MAX_NESTING = 512;

/**
 * What the bot shows, without what has expired and has not left it yet (SPEC 6, ADR 0014).
 *
 * What the mirror holds as expired is taken out for as long as the bot has exactly that value. What the bot has changed since
 * is the bot's, and stays. Of an object those leaves go that are as we have put them; where nothing else was in it, it goes.
 *
 * A sync does not say scopes: what came by one is looked for in every scope, but for those in which the mirror knows the same
 * top-level member alive.
 *
 * @param shown - as the upstream tells them: texts as a rule. The very same list comes back where nothing is taken out of it
 * @param mirror - of the session, with what has expired
 */
export function withoutExpired<Kind extends ScopedVariable<string>>(
  shown: readonly Kind[],
  mirror: LoadedMirror,
  nowMs: number,
): readonly Kind[] {
  const expired = expiredVariables(mirror, nowMs);
  if (expired.length === 0) return shown;
  const byTop = Map.groupBy(expired, ({ path }) => topOf(path));
  const alive = new Set(visibleVariables(mirror, nowMs).map(({ path, scope }) => `${scope}:${topOf(path)}`));
  const left = shown.flatMap((variable): Kind[] => {
    const top = pointerOf([variable.name]);
    const hidden = byTop.get(top)?.filter((each) => isMeant(each, variable.scope, top, alive));
    if (hidden === undefined || hidden.length === 0) return [variable];
    const value = without(variable.value, leavesByPath(hidden), top);
    if (value === undefined) return [];
    return [value === variable.value ? variable : { ...variable, value }];
  });
  const isUntouched = left.length === shown.length && left.every((variable, index) => variable === shown[index]);
  return isUntouched ? shown : left;
}

function isMeant({ scope, via }: LoadedVariable, shownIn: string, top: string, alive: ReadonlySet<string>): boolean {
  return scope === shownIn || (via === 'sync' && !alive.has(`${shownIn}:${top}`));
}

/** What was injected as one object is as many values as it has leaves: the bot may have changed one of them. */
function leavesByPath(hidden: readonly LoadedVariable[]): ReadonlyMap<string, readonly JsonValue[]> {
  const leaves = hidden.flatMap(({ path, value }) => leavesOf(value, path));
  const byPath = Map.groupBy(leaves, ({ path }) => path);
  return new Map(Array.from(byPath, ([path, found]) => [path, found.map(({ value }) => value)]));
}

/** What is left of one variable; `undefined` where nothing is. */
function without(
  value: JsonValue,
  leaves: ReadonlyMap<string, readonly JsonValue[]>,
  top: string,
): JsonValue | undefined {
  const { value: said } = coerce(value);
  const whole = leaves.get(top) ?? [];
  const text = textOf(value);
  if (whole.some((leaf) => textOf(leaf) === text || jsonEquals(leaf, said))) return undefined;
  if (isJsonObject(said)) {
    const left = withoutLeaves(said, leaves, top);
    if (left === said) return value;
    return left !== undefined && typeof value === 'string' ? JSON.stringify(left) : left;
  }
  // An object all the same, but one that would not be the same again once it is parsed and printed: it is not shown in part.
  const lossy = typeof value === 'string' && value.startsWith('{') ? parsedOrUndefined(value) : undefined;
  // Deeper than anything that has ever been put: the bot's own.
  if (!isJsonObject(lossy) || nestingOf(lossy) > MAX_NESTING) return value;
  return withoutLeaves(lossy, leaves, top) === lossy ? value : undefined;
}

function parsedOrUndefined(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The very same object where nothing goes; `undefined` where nothing is left. */
function withoutLeaves(
  object: JsonObject,
  leaves: ReadonlyMap<string, readonly JsonValue[]>,
  path: string,
): JsonObject | undefined {
  let isUntouched = true;
  const kept: [string, JsonValue][] = [];
  for (const [name, member] of Object.entries(object)) {
    const at = memberPointer(path, name);
    const left = isLeaf(member)
      ? leaves.get(at)?.some((leaf) => jsonEquals(leaf, member)) === true
        ? undefined
        : member
      : withoutLeaves(member as JsonObject, leaves, at);
    if (left !== member) isUntouched = false;
    if (left !== undefined) kept.push([name, left]);
  }
  if (isUntouched) return object;
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
