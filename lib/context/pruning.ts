import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { isLeaf } from './leaves.ts';
import { memberPointer } from './pointer.ts';
import { copyOf, type PathRule, type SchemaRules } from './schemaRules.ts';
import { jsonBytes } from './size.ts';

/** Priority of what the schema gives none. */
const DEFAULT_PRIORITY = 5;

const EMPTY_OBJECT_BYTES = jsonBytes({});

/** A value that had to make room. */
export interface Pruned {
  /** JSON Pointer. */
  readonly path: string;
  /** By which the context's JSON became shorter, with an object around it that went as well. */
  readonly bytes: number;
  readonly reason: 'priority' | 'least-recently-updated';
}

export type PruneResult =
  | {
      readonly kind: 'fits';
      readonly context: JsonObject;
      /** UTF-8 bytes of its JSON. */
      readonly bytes: number;
      /** In the order in which it went. */
      readonly pruned: readonly Pruned[];
    }
  | {
      readonly kind: 'too-large';
      /** As it was. */
      readonly bytes: number;
      /** What would be left at least. */
      readonly leastBytes: number;
    };

export interface PruneOptions {
  readonly limitBytes: number;
  /** When the value at a path (JSON Pointer) was last put. */
  readonly updatedAtMs: (path: string) => number;
  readonly ruleOf: SchemaRules['ruleOf'];
}

/**
 * Makes a context fit: leaves go by `x-priority`, then the least recently updated, then by path, until it does (SPEC 5). A leaf
 * is anything but an object with members; arrays go whole. A leaf with a default becomes that: the next sync would fill it in again.
 * What is pinned stays, and so does what is required and has no default. The context given is not changed.
 */
export function pruneContext(context: JsonObject, options: PruneOptions): PruneResult {
  const bytesBefore = jsonBytes(context);
  if (bytesBefore <= options.limitBytes) return { kind: 'fits', context, bytes: bytesBefore, pruned: [] };

  const root = new Branch(context);
  const candidates: Candidate[] = [];
  collect(root, options, candidates);
  candidates.sort(byOrder);

  let bytes = bytesBefore;
  const pruned: Pruned[] = [];
  for (const candidate of candidates) {
    if (bytes <= options.limitBytes) break;
    const freedBytes = prune(candidate, options.ruleOf);
    bytes -= freedBytes;
    const reason = candidate.rule.priority === undefined ? 'least-recently-updated' : 'priority';
    pruned.push({ path: candidate.path, bytes: freedBytes, reason });
  }
  if (bytes > options.limitBytes) return { kind: 'too-large', bytes: bytesBefore, leastBytes: bytes };
  return { kind: 'fits', context: root.built(), bytes, pruned };
}

interface Candidate {
  readonly branch: Branch;
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Of the default that takes its place; 0 where there is none. */
  readonly defaultBytes: number;
  readonly rule: PathRule;
  readonly priority: number;
  readonly updatedAtMs: number;
}

function byOrder(a: Candidate, b: Candidate): number {
  return a.priority - b.priority || a.updatedAtMs - b.updatedAtMs || (a.path < b.path ? -1 : 1);
}

/** Every leaf that may go and would make room by it. */
function collect(branch: Branch, options: PruneOptions, candidates: Candidate[]): void {
  for (const [name, value] of Object.entries(branch.object)) {
    const tokens = [...branch.tokens, name];
    if (isJsonObject(value) && !isLeaf(value)) {
      collect(new Branch(value, { name, tokens, parent: branch }), options, candidates);
      continue;
    }
    const rule = options.ruleOf(tokens);
    if (rule.pinned || (rule.required && rule.default === undefined)) continue;
    const bytes = jsonBytes(value);
    const defaultBytes = rule.default === undefined ? 0 : jsonBytes(rule.default);
    if (defaultBytes >= bytes) continue;
    const path = memberPointer(branch.path, name);
    const priority = rule.priority ?? DEFAULT_PRIORITY;
    const updatedAtMs = options.updatedAtMs(path);
    candidates.push({ branch, name, path, bytes, defaultBytes, rule, priority, updatedAtMs });
  }
}

/** Returns by how many bytes the context became shorter. */
function prune({ branch, name, bytes, defaultBytes, rule }: Candidate, ruleOf: SchemaRules['ruleOf']): number {
  if (rule.default === undefined) return branch.remove(name, bytes, ruleOf);
  branch.replace(name, copyOf(rule.default));
  return bytes - defaultBytes;
}

/** Whether an object goes with its last member. One with a default would come back, and with more in it than it has now. */
function mayGoEmpty(rule: PathRule): boolean {
  return !rule.required && !rule.pinned && rule.default === undefined;
}

/** An object of the context with what has been taken from it, and how many bytes that made. */
class Branch {
  readonly object: JsonObject;
  readonly tokens: readonly string[];
  readonly path: string;
  /** The object around it, and its name there; the root has none. */
  readonly #at: { readonly parent: Branch; readonly name: string } | undefined;
  #left: number;
  /** What members are now, where they have changed; `undefined` is gone. A branch is an object in which something has changed. */
  #changes: Map<string, JsonValue | Branch | undefined> | undefined;

  constructor(object: JsonObject, at?: { parent: Branch; name: string; tokens: readonly string[] }) {
    this.tokens = at?.tokens ?? [];
    this.path = at === undefined ? '' : memberPointer(at.parent.path, at.name);
    this.object = object;
    this.#at = at;
    this.#left = Object.keys(object).length;
  }

  replace(name: string, value: JsonValue): void {
    this.#change(name, value);
  }

  /** Takes out a member of so many bytes, and the object with it where it was the last and the object may go. Returns the bytes freed. */
  remove(name: string, bytes: number, ruleOf: SchemaRules['ruleOf']): number {
    this.#left -= 1;
    // "name":value, and a comma where other members are left.
    const freedBytes = jsonBytes(name) + 1 + bytes + (this.#left > 0 ? 1 : 0);
    if (this.#left === 0 && this.#at !== undefined && mayGoEmpty(ruleOf(this.tokens))) {
      return freedBytes + this.#at.parent.remove(this.#at.name, EMPTY_OBJECT_BYTES, ruleOf);
    }
    this.#change(name, undefined);
    return freedBytes;
  }

  /** The object as it is now; what has not changed in it is shared with what it was. */
  built(): JsonObject {
    const changes = this.#changes;
    if (changes === undefined) return this.object;
    const members: [string, JsonValue][] = [];
    for (const [name, before] of Object.entries(this.object)) {
      const now = changes.has(name) ? changes.get(name) : before;
      if (now !== undefined) members.push([name, now instanceof Branch ? now.built() : now]);
    }
    // Not by assignment: a member may be called `__proto__`.
    return Object.fromEntries(members);
  }

  #change(name: string, now: JsonValue | Branch | undefined): void {
    if (this.#changes === undefined) {
      this.#changes = new Map();
      if (this.#at !== undefined) this.#at.parent.#change(this.#at.name, this);
    }
    this.#changes.set(name, now);
  }
}
