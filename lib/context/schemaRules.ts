import { isJsonObject, type JsonArray, type JsonObject, type JsonValue } from './json.ts';
import {
  type Annotations,
  inherit,
  NOTHING_SAID,
  readSchema,
  SchemaAnnotationError,
  type SchemaNode,
} from './schemaNodes.ts';

/** What the schema says about one place in the context (SPEC 5, annotations). */
export interface PathRule {
  /** Life of a value written here, in seconds (`x-ttlSeconds`); absent = nothing is said. */
  readonly ttlSeconds?: number;
  /** `x-priority`: 0 = pruned first … 9; absent = nothing is said. */
  readonly priority?: number;
  /** `x-pinned`: never pruned. */
  readonly pinned: boolean;
  /** `x-pii`: not shown outside. */
  readonly pii: boolean;
  /** `x-conflict`: who wins where both the bot and we have changed the value. */
  readonly conflict: 'ours' | 'theirs';
  /** The object around it must have it. */
  readonly required: boolean;
  /** What holds where nobody says otherwise: its own default, with those of its members. */
  readonly default?: JsonValue;
}

export interface SchemaRules {
  /** The rule of the place that these reference tokens lead to. */
  ruleOf(path: readonly string[]): PathRule;
  /** The context with every missing default, at every depth; the very same object when nothing is missing. */
  fillDefaults(context: JsonObject): JsonObject;
}

/**
 * What a schema says about the places of a context. `anyOf`, `oneOf`, `if` and what hangs on the data in other ways are not
 * heeded, as Ajv does not take defaults from there.
 * @throws {SchemaAnnotationError} where the schema says something the bridge cannot go by.
 */
export function schemaRulesOf(schema: JsonObject): SchemaRules {
  const root = new Places().of([readSchema(schema)]);
  if (root === undefined) throw new TypeError('schemaRulesOf: a schema without a root');
  computeFillings(root);
  return {
    ruleOf: (path) => ruleAt(root, path),
    fillDefaults: (context) => filledObject(root, context),
  };
}

/** Only in these something can be filled in. */
function isContainer(value: JsonValue | undefined): value is JsonObject | JsonArray {
  return typeof value === 'object' && value !== null;
}

/** A copy that its owner may change: a default must never be shared between contexts. */
export function copyOf(value: JsonValue): JsonValue {
  if (!isContainer(value)) return value;
  if (!isJsonObject(value)) return value.map(copyOf);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, copyOf(member)]));
}

/**
 * A place in contexts, with all the schemas that hold there; of what they say differently the outermost wins. Places with the
 * same schemas are the same place, so that a recursive schema has few of them, however deep a context is.
 */
class Place {
  readonly annotations: Annotations;
  readonly default: JsonValue | undefined;
  /** The members that `properties` names: the only ones that can be known to be missing. */
  readonly names: ReadonlySet<string>;
  readonly required: ReadonlySet<string>;
  readonly hasElements: boolean;

  readonly #nodes: readonly SchemaNode[];
  readonly #places: Places;
  readonly #members = new Map<string, Place | undefined>();
  readonly #fillings = new Map<string, JsonValue | undefined>();
  readonly #beingFilled = new Set<string>();
  // The last answers: mostly a place is asked about from one place around it, and making objects is what takes time here.
  #inside: { readonly outer: Annotations; readonly annotations: Annotations } | undefined;
  #rule: { readonly said: Annotations; readonly rule: PathRule } | undefined;
  #isCreatable: boolean | undefined;

  constructor(nodes: readonly SchemaNode[], places: Places) {
    this.#nodes = nodes;
    this.#places = places;
    this.annotations = nodes.map((node) => node.annotations).reduceRight(inherit, NOTHING_SAID);
    this.default = nodes.find((node) => node.default !== undefined)?.default;
    this.names = new Set(nodes.flatMap((node) => [...node.properties.keys()]));
    this.required = new Set(nodes.flatMap((node) => node.required));
    this.hasElements = nodes.some(({ prefix, rest }) => prefix.length > 0 || rest.length > 0);
  }

  /** The annotations that hold here, given those that hold around it. */
  annotationsInside(outer: Annotations): Annotations {
    if (this.#inside?.outer !== outer) this.#inside = { outer, annotations: inherit(outer, this.annotations) };
    return this.#inside.annotations;
  }

  ruleFor(said: Annotations, required: boolean, filling: JsonValue | undefined): PathRule {
    const last = this.#rule;
    if (last?.said === said && last.rule.required === required && last.rule.default === filling) return last.rule;
    const rule = ruleFrom(said, required, filling);
    this.#rule = { said, rule };
    return rule;
  }

  /** `undefined` where the schema says nothing about the member. Only names that the schema knows are kept in memory. */
  member(name: string): Place | undefined {
    if (this.#members.has(name)) return this.#members.get(name);
    const place = this.#places.of(subschemasFor(this.#nodes, name));
    if (this.names.has(name)) this.#members.set(name, place);
    return place;
  }

  element(index: number): Place | undefined {
    return this.#places.of(this.#nodes.flatMap(({ prefix, rest }) => prefix[index] ?? rest));
  }

  /** What is put where the member is missing; to be copied. */
  fillingOf(name: string): JsonValue | undefined {
    if (this.#fillings.has(name)) return this.#fillings.get(name);
    const place = this.names.has(name) ? this.member(name) : undefined;
    if (place === undefined) return undefined;
    if (this.#beingFilled.has(name)) {
      throw new SchemaAnnotationError(
        place.pointer,
        'has a default that leads back to it, and so would be filled in without end',
      );
    }
    this.#beingFilled.add(name);
    const bare = this.required.has(name) && place.isCreatable ? {} : undefined;
    const filling = filled(place, place.default === undefined ? bare : place.default);
    this.#fillings.set(name, filling);
    return filling;
  }

  /** Whether the object, being required, can be made of its members' defaults: all of them are there then. */
  get isCreatable(): boolean {
    if (this.#isCreatable === undefined) {
      // The answer to whoever asks meanwhile: an object that needs itself cannot be made.
      this.#isCreatable = false;
      this.#isCreatable =
        this.names.size > 0 &&
        this.#nodes.every((node) => node.allowsObjects !== false) &&
        [...this.names.union(this.required)].every((name) => this.#fills(name));
    }
    return this.#isCreatable;
  }

  #fills(name: string): boolean {
    const place = this.names.has(name) ? this.member(name) : undefined;
    return place !== undefined && (place.default !== undefined || (this.required.has(name) && place.isCreatable));
  }

  get pointer(): string {
    return this.#nodes[0]?.pointer ?? '';
  }

  /** The places right inside. Of names that match several patterns only one pattern each is looked at. */
  inner(): (Place | undefined)[] {
    return [
      ...[...this.names].map((name) => this.member(name)),
      ...this.#nodes.flatMap(({ patterns }) => patterns.map(([, subschema]) => this.#places.of(subschema))),
      this.#places.of(this.#nodes.flatMap((node) => node.additional)),
      ...this.#nodes.flatMap(({ prefix }) => prefix.map((_, index) => this.element(index))),
      this.#places.of(this.#nodes.flatMap((node) => node.rest)),
    ];
  }
}

/** Makes each place once. */
class Places {
  readonly #places = new Map<string, Place>();
  /** The same for one schema, which is the rule: no ids to put together. */
  readonly #ofOne = new Map<SchemaNode, Place>();

  /** The place for which these schemas hold, with all that they include. */
  of(subschemas: readonly SchemaNode[]): Place | undefined {
    const [first] = subschemas;
    if (first === undefined) return undefined;
    if (subschemas.length > 1) return this.#of(subschemas);
    let place = this.#ofOne.get(first);
    if (place === undefined) {
      place = this.#of(subschemas);
      this.#ofOne.set(first, place);
    }
    return place;
  }

  #of(subschemas: readonly SchemaNode[]): Place {
    const nodes = new Set<SchemaNode>();
    const include = (node: SchemaNode) => {
      if (nodes.has(node)) return;
      nodes.add(node);
      node.includes.forEach(include);
    };
    subschemas.forEach(include);
    const id = Array.from(nodes, (node) => node.id).join();
    let place = this.#places.get(id);
    if (place === undefined) {
      place = new Place([...nodes], this);
      this.#places.set(id, place);
    }
    return place;
  }
}

/** The schemas that hold for a member of that name. */
function subschemasFor(nodes: readonly SchemaNode[], name: string): SchemaNode[] {
  const found: SchemaNode[] = [];
  for (const { properties, patterns, additional } of nodes) {
    const named = properties.get(name);
    let isAdditional = named === undefined;
    if (named !== undefined) found.push(...named);
    for (const [pattern, subschema] of patterns) {
      if (!pattern.test(name)) continue;
      isAdditional = false;
      found.push(...subschema);
    }
    if (isAdditional) found.push(...additional);
  }
  return found;
}

/** Computes every filling now: a default without end is to stop the build. */
function computeFillings(root: Place): void {
  const places = new Set([root]);
  for (const place of places) {
    for (const name of place.names) place.fillingOf(name);
    for (const inner of place.inner()) if (inner !== undefined) places.add(inner);
  }
}

function ruleAt(root: Place, path: readonly string[]): PathRule {
  let parent: Place | undefined;
  let place: Place | undefined = root;
  let said = root.annotations;
  for (const token of path) {
    parent = place;
    place = parent?.member(token);
    if (place !== undefined) said = place.annotationsInside(said);
  }
  const name = path.at(-1) ?? '';
  // What could not be filled in, such as a map's entry, has no default: it would be as gone as it was before.
  const filling = place?.default === undefined ? undefined : parent?.fillingOf(name);
  const required = parent?.required.has(name) ?? false;
  return place?.ruleFor(said, required, filling) ?? ruleFrom(said, required);
}

function ruleFrom(said: Annotations, required: boolean, filling?: JsonValue): PathRule {
  return { conflict: 'ours', ...said, required, ...(filling !== undefined && { default: filling }) };
}

function filled<Value extends JsonValue | undefined>(place: Place | undefined, value: Value): Value | JsonValue {
  if (place === undefined || !isContainer(value)) return value;
  return isJsonObject(value) ? filledObject(place, value) : filledArray(place, value);
}

function filledObject(place: Place, object: JsonObject): JsonObject {
  let isChanged = false;
  const members = Object.entries(object).map(([name, value]): [string, JsonValue] => {
    if (!isContainer(value)) return [name, value];
    const full = filled(place.member(name), value);
    isChanged ||= full !== value;
    return [name, full];
  });
  for (const name of place.names) {
    if (Object.hasOwn(object, name)) continue;
    const filling = place.fillingOf(name);
    if (filling === undefined) continue;
    isChanged = true;
    members.push([name, copyOf(filling)]);
  }
  // Not by assignment: a member may be called `__proto__`.
  return isChanged ? Object.fromEntries(members) : object;
}

function filledArray(place: Place, array: readonly JsonValue[]): readonly JsonValue[] {
  if (!place.hasElements) return array;
  const elements = array.map((element, index) =>
    isContainer(element) ? filled(place.element(index), element) : element,
  );
  return elements.some((element, index) => element !== array[index]) ? elements : array;
}
