import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { kindOf, membersOf, type StoredItem, setOf } from './attributes.ts';
import { type Action, type Bound, InvalidRequest, nameOf, type Path, valueAt } from './expressions.ts';

/** A path with its names in place of their placeholders. */
type Place = readonly (string | number)[];

/**
 * The item after an update. Everything that is read for it is of the item before it, whatever the order of the actions; places of
 * lists are those before it, too.
 */
export function updated(before: StoredItem, actions: readonly Action[], bound: Bound): StoredItem {
  const placed = actions.map((action) => ({ action, place: placeOf(action.path, bound) }));
  refuseOverlaps(placed.map(({ place }) => place));
  const item: Record<string, AttributeValue> = { ...before };
  const taken = new Map<string, { readonly parent: Place; readonly indexes: Set<number> }>();
  for (const { action, place } of placed) {
    if (action.kind === 'set') put(item, place, action.value(before, bound));
    else if (action.kind === 'remove') remove(item, place, taken);
    else {
      const given = action.value(before, bound);
      const there = valueAt(before, action.path, bound);
      put(item, place, action.kind === 'add' ? added(there, given) : without(there, given));
    }
  }
  // All at once: each index is one of the list as it was.
  for (const { parent, indexes } of taken.values()) {
    const list = at(item, parent)?.L;
    if (list !== undefined) put(item, parent, { L: list.filter((_, index) => !indexes.has(index)) });
  }
  return item;
}

function placeOf(path: Path, bound: Bound): Place {
  return path.map((step) => (typeof step === 'number' ? step : nameOf(step, bound)));
}

/** Two actions at one place, or one inside another's, are refused. */
function refuseOverlaps(places: readonly Place[]): void {
  const seen = new Set(places.map((place) => place.join('/')));
  if (seen.size < places.length) throw new InvalidRequest('two actions at one place');
  for (const place of places) {
    for (let length = 1; length < place.length; length += 1) {
      if (seen.has(place.slice(0, length).join('/'))) throw new InvalidRequest('an action inside another one’s place');
    }
  }
}

function at(item: StoredItem, place: Place): AttributeValue | undefined {
  let value: AttributeValue | undefined = { M: item as Record<string, AttributeValue> };
  for (const step of place) value = typeof step === 'number' ? value?.L?.[step] : value?.M?.[step];
  return value;
}

/** Puts a value into an item that is ours to change; what lies above it is copied on the way. */
function put(item: Record<string, AttributeValue>, place: Place, value: AttributeValue | undefined): void {
  const [first, ...rest] = place;
  if (typeof first !== 'string') throw new InvalidRequest('a path begins with a name');
  const inner = rest.length === 0 ? value : replaced(item[first], rest, value);
  if (inner === undefined) delete item[first];
  else item[first] = inner;
}

function replaced(
  whole: AttributeValue | undefined,
  [step, ...rest]: Place,
  value: AttributeValue | undefined,
): AttributeValue {
  if (typeof step === 'string' && whole?.M !== undefined) {
    const inner = rest.length === 0 ? value : replaced(whole.M[step], rest, value);
    const { [step]: _before, ...others } = whole.M;
    return { M: inner === undefined ? others : { ...others, [step]: inner } };
  }
  throw new InvalidRequest('the document path leads nowhere');
}

function remove(
  item: Record<string, AttributeValue>,
  place: Place,
  taken: Map<string, { readonly parent: Place; readonly indexes: Set<number> }>,
): void {
  const last = place.at(-1);
  if (typeof last === 'string') {
    const isThere = at(item, place) !== undefined;
    if (isThere) put(item, place, undefined);
    return;
  }
  const parent = place.slice(0, -1);
  const name = parent.join('/');
  const { indexes } = taken.get(name) ?? { indexes: new Set<number>() };
  if (last !== undefined) indexes.add(last);
  taken.set(name, { parent, indexes });
}

/** `ADD`: a number is added to, a set is united with. */
function added(there: AttributeValue | undefined, given: AttributeValue | undefined): AttributeValue {
  if (given?.N !== undefined && (there === undefined || there.N !== undefined)) {
    return { N: String(Number(there?.N ?? 0) + Number(given.N)) };
  }
  return united(there, given, (members, more) => new Map([...members, ...more])) ?? fail();
}

/** `DELETE`: a set without these members; a set that is empty is gone. */
function without(there: AttributeValue | undefined, given: AttributeValue | undefined): AttributeValue | undefined {
  if (there === undefined) return undefined;
  return united(there, given, (members, less) => new Map([...members].filter(([name]) => !less.has(name))));
}

function united(
  there: AttributeValue | undefined,
  given: AttributeValue | undefined,
  unite: (one: Map<string, AttributeValue>, other: Map<string, AttributeValue>) => ReadonlyMap<string, AttributeValue>,
): AttributeValue | undefined {
  if (given === undefined) return fail();
  const kind = kindOf(given);
  if (kind !== 'SS' && kind !== 'NS' && kind !== 'BS') return fail();
  if (there !== undefined && kindOf(there) !== kind) return fail();
  return setOf(kind, unite(there === undefined ? new Map() : membersOf(there), membersOf(given)).values());
}

function fail(): never {
  throw new InvalidRequest('an operand of another type than what is there');
}
