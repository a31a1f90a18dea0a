import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { memberPointer, tokensOf } from './pointer.ts';

/** One value of a context and where it lies. Objects lie in their leaves; arrays and empty objects are leaves themselves. */
export interface Leaf {
  readonly path: string;
  readonly value: JsonValue;
}

/** True for what a context is cut into: everything but an object that has members. */
export function isLeaf(value: JsonValue): boolean {
  if (!isJsonObject(value)) return true;
  for (const _name in value) return false;
  return true;
}

/** The leaves of a value, in the order of its text. */
export function leavesOf(value: JsonValue, path = ''): Leaf[] {
  const leaves: Leaf[] = [];
  collect(value, path, leaves);
  return leaves;
}

function collect(value: JsonValue, path: string, leaves: Leaf[]): void {
  if (isLeaf(value)) leaves.push({ path, value });
  else
    for (const [name, member] of Object.entries(value as JsonObject))
      collect(member, memberPointer(path, name), leaves);
}

type Branch = Map<string, Branch | Leaf>;

/** Puts values together at their paths; where one path leads through another's value, the later one counts. */
export function treeOf(leaves: Iterable<Leaf>): JsonObject {
  const root: Branch = new Map();
  for (const leaf of leaves) {
    const tokens = tokensOf(leaf.path);
    const last = tokens.pop();
    if (last === undefined) continue;
    let branch = root;
    for (const token of tokens) {
      let next = branch.get(token);
      if (!(next instanceof Map)) {
        next = new Map();
        branch.set(token, next);
      }
      branch = next;
    }
    const isTaken = branch.get(last) instanceof Map && isJsonObject(leaf.value) && isLeaf(leaf.value);
    if (!isTaken) branch.set(last, leaf);
  }
  return objectOf(root);
}

// `Object.fromEntries` defines members: `__proto__` is a name like any other.
function objectOf(branch: Branch): JsonObject {
  return Object.fromEntries(
    Array.from(branch, ([name, child]) => [name, child instanceof Map ? objectOf(child) : child.value]),
  );
}

/** What lies at a path of objects; `undefined` where nothing does. */
export function valueAt(value: JsonValue | undefined, tokens: readonly string[]): JsonValue | undefined {
  let here = value;
  for (const token of tokens) {
    if (!isJsonObject(here) || !Object.hasOwn(here, token)) return undefined;
    here = here[token];
  }
  return here;
}
