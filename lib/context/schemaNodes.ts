import { MAX_TTL_SECONDS } from './expiry.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { memberPointer, pointerOf, tokensOf } from './pointer.ts';

/** A schema that says something the bridge cannot go by. Thrown when the rules are made, which the build does. */
export class SchemaAnnotationError extends Error {
  override readonly name = 'SchemaAnnotationError';
  /** JSON Pointer into the schema. */
  readonly pointer: string;

  constructor(pointer: string, problem: string) {
    super(`${pointer} ${problem}`);
    this.pointer = pointer;
  }
}

/** The annotations of SPEC 5; what is absent is not said. */
export interface Annotations {
  readonly ttlSeconds?: number;
  readonly priority?: number;
  readonly conflict?: 'ours' | 'theirs';
  readonly pinned: boolean;
  readonly pii: boolean;
}

export const NOTHING_SAID: Annotations = { pinned: false, pii: false };

/** What `own` says on top of what holds around it. Pinned and personal is everything inside what is, whatever it says itself. */
export function inherit(outer: Annotations, own: Annotations): Annotations {
  if (own === NOTHING_SAID) return outer;
  return { ...outer, ...own, pinned: outer.pinned || own.pinned, pii: outer.pii || own.pii };
}

/** A subschema as nodes: one, or none where it is `true`, `false` or absent. */
export type Subschema = readonly SchemaNode[];

/** One schema object of the document, as far as the rules go by it. */
export interface SchemaNode {
  /** Tells nodes apart. */
  readonly id: number;
  /** Where it stands in the document. */
  readonly pointer: string;
  readonly annotations: Annotations;
  readonly default: JsonValue | undefined;
  /** Whether `type` allows objects; `undefined` where there is no `type`. */
  readonly allowsObjects: boolean | undefined;
  readonly required: readonly string[];
  /** The schemas that hold for the same place: the target of `$ref`, the members of `allOf`. */
  readonly includes: Subschema;
  readonly properties: ReadonlyMap<string, Subschema>;
  readonly patterns: readonly (readonly [pattern: RegExp, subschema: Subschema])[];
  readonly additional: Subschema;
  /** The first elements of an array, then all further ones. */
  readonly prefix: readonly Subschema[];
  readonly rest: Subschema;
}

/**
 * Reads a JSON Schema of draft 2020-12 or draft-07 from its root, along the keywords that hold whatever the data is. Like Ajv
 * it heeds what stands beside `$ref`, in draft-07 too. A recursive schema becomes nodes that lead back to one another.
 * @throws {SchemaAnnotationError}
 */
export function readSchema(document: JsonObject): SchemaNode {
  const nodes = new Map<JsonObject, SchemaNode>();

  function nodeOf(schema: JsonObject, pointer: string): SchemaNode {
    const known = nodes.get(schema);
    if (known !== undefined) return known;
    refuseOwnId(schema, pointer);

    const includes: SchemaNode[] = [];
    const properties = new Map<string, Subschema>();
    const patterns: [RegExp, Subschema][] = [];
    const additional: SchemaNode[] = [];
    const prefix: Subschema[] = [];
    const rest: SchemaNode[] = [];
    const node: SchemaNode = {
      id: nodes.size,
      pointer,
      annotations: annotationsOf(schema, pointer),
      default: schema['default'],
      allowsObjects: allowsObjects(schema['type']),
      required: listOf(schema['required']).filter((name) => typeof name === 'string'),
      includes,
      properties,
      patterns,
      additional,
      prefix,
      rest,
    };
    // Known before its subschemas are read: they may lead back to it.
    nodes.set(schema, node);

    const read = (value: JsonValue | undefined, ...tokens: (string | number)[]): Subschema =>
      isJsonObject(value) ? [nodeOf(value, pointer + pointerOf(tokens))] : [];
    const ref = schema['$ref'];
    if (typeof ref === 'string') {
      const target = resolveRef(document, ref, memberPointer(pointer, '$ref'));
      if (isJsonObject(target.value)) includes.push(nodeOf(target.value, target.pointer));
    }
    for (const [index, member] of listOf(schema['allOf']).entries()) includes.push(...read(member, 'allOf', index));
    for (const [name, member] of membersOf(schema['properties'])) {
      properties.set(name, read(member, 'properties', name));
    }
    for (const [pattern, member] of membersOf(schema['patternProperties'])) {
      const regExp = patternOf(pattern, pointer + pointerOf(['patternProperties', pattern]));
      patterns.push([regExp, read(member, 'patternProperties', pattern)]);
    }
    additional.push(...read(schema['additionalProperties'], 'additionalProperties'));
    // Draft-07 has the tuple in `items`, and what follows it in `additionalItems`.
    const tuple = Array.isArray(schema['items']) ? 'items' : 'prefixItems';
    for (const [index, member] of listOf(schema[tuple]).entries()) prefix.push(read(member, tuple, index));
    const further = tuple === 'items' ? 'additionalItems' : 'items';
    rest.push(...read(schema[further], further));
    return node;
  }

  return nodeOf(document, '');
}

function annotationsOf(schema: JsonObject, pointer: string): Annotations {
  const read = <Value extends JsonValue>(name: string, isValue: (value: JsonValue) => value is Value, what: string) => {
    const value = schema[name];
    if (value === undefined || isValue(value)) return value;
    throw new SchemaAnnotationError(memberPointer(pointer, name), `must be ${what}`);
  };
  const ttlSeconds = read('x-ttlSeconds', isWhole(1, MAX_TTL_SECONDS), `a whole number from 1 to ${MAX_TTL_SECONDS}`);
  const priority = read('x-priority', isWhole(0, 9), 'a whole number from 0 to 9');
  const conflict = read('x-conflict', (value) => value === 'ours' || value === 'theirs', '"ours" or "theirs"');
  const pinned = read('x-pinned', isBoolean, 'true or false') ?? false;
  const pii = read('x-pii', isBoolean, 'true or false') ?? false;
  if (ttlSeconds === undefined && priority === undefined && conflict === undefined && !pinned && !pii) {
    return NOTHING_SAID;
  }
  return {
    ...(ttlSeconds !== undefined && { ttlSeconds }),
    ...(priority !== undefined && { priority }),
    ...(conflict !== undefined && { conflict }),
    pinned,
    pii,
  };
}

const isBoolean = (value: JsonValue): value is boolean => typeof value === 'boolean';

const isWhole =
  (least: number, most: number) =>
  (value: JsonValue): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;

function allowsObjects(type: JsonValue | undefined): boolean | undefined {
  return type === undefined ? undefined : type === 'object' || listOf(type).includes('object');
}

function patternOf(pattern: string, pointer: string): RegExp {
  try {
    // As Ajv reads it.
    return new RegExp(pattern, 'u');
  } catch {
    throw new SchemaAnnotationError(pointer, 'is no regular expression');
  }
}

/** An `$id` below the root starts a document of its own, in which `#/…` would mean another place than is looked at here. */
function refuseOwnId(schema: JsonObject, pointer: string): void {
  const id = schema['$id'];
  if (pointer === '' || typeof id !== 'string' || id.startsWith('#')) return;
  throw new SchemaAnnotationError(memberPointer(pointer, '$id'), 'is not supported below the root of the schema');
}

interface Target {
  readonly value: JsonValue;
  readonly pointer: string;
}

function resolveRef(document: JsonObject, ref: string, refPointer: string): Target {
  if (!ref.startsWith('#')) {
    throw new SchemaAnnotationError(
      refPointer,
      'leads out of the schema; only references that begin with # are followed',
    );
  }
  const fragment = unescaped(ref.slice(1));
  const target =
    fragment === '' || fragment.startsWith('/') ? atPointer(document, fragment) : atAnchor(document, fragment, '');
  if (target === undefined) throw new SchemaAnnotationError(refPointer, 'leads nowhere');
  return target;
}

/** A fragment's text; as it is where its percent signs escape nothing, and then it leads nowhere. */
function unescaped(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

function atPointer(document: JsonObject, pointer: string): Target | undefined {
  let value: JsonValue | undefined = document;
  for (const token of tokensOf(pointer)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, token)) return undefined;
    value = isJsonObject(value) ? value[token] : value[Number(token)];
  }
  return value === undefined ? undefined : { value, pointer };
}

/** The schema that names itself with `$anchor`, or in draft-07 with an `$id` that is only a fragment. */
function atAnchor(value: JsonValue, anchor: string, pointer: string): Target | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (isJsonObject(value) && (value['$anchor'] === anchor || value['$id'] === `#${anchor}`)) return { value, pointer };
  for (const [key, member] of Object.entries(value)) {
    const found = atAnchor(member, anchor, memberPointer(pointer, key));
    if (found !== undefined) return found;
  }
  return undefined;
}

function membersOf(value: JsonValue | undefined): [string, JsonValue][] {
  return isJsonObject(value) ? Object.entries(value) : [];
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}
