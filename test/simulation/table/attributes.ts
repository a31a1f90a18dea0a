import type { AttributeValue } from '@aws-sdk/client-dynamodb';

/** An item as the table has it. Never changed in place: a write makes a new one. */
export type StoredItem = Readonly<Record<string, AttributeValue>>;

/** A type of attribute, as it is written on the wire. */
type Kind = 'S' | 'N' | 'B' | 'BOOL' | 'NULL' | 'L' | 'M' | 'SS' | 'NS' | 'BS';

export function kindOf(value: AttributeValue): Kind {
  for (const kind in value) return kind as Kind;
  throw new TypeError('an attribute without a type');
}

/** Binary as text, so that it can be a key of a set. */
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** Negative, zero or positive; `undefined` for what has no order, or not the same type. */
export function compare(one: AttributeValue, other: AttributeValue): number | undefined {
  if (one.S !== undefined && other.S !== undefined) return Buffer.compare(Buffer.from(one.S), Buffer.from(other.S));
  if (one.N !== undefined && other.N !== undefined) return Number(one.N) - Number(other.N);
  if (one.B !== undefined && other.B !== undefined) return Buffer.compare(one.B, other.B);
  return undefined;
}

export function equals(one: AttributeValue, other: AttributeValue): boolean {
  const kind = kindOf(one);
  if (kind !== kindOf(other)) return false;
  if (kind === 'BOOL') return one.BOOL === other.BOOL;
  if (kind === 'NULL') return true;
  if (kind === 'L') return equalLists(one.L ?? [], other.L ?? []);
  if (kind === 'M') return equalMaps(one.M ?? {}, other.M ?? {});
  if (kind === 'S' || kind === 'N' || kind === 'B') return compare(one, other) === 0;
  const members = membersOf(one);
  const others = membersOf(other);
  return members.size === others.size && [...members.keys()].every((member) => others.has(member));
}

function equalLists(one: readonly AttributeValue[], other: readonly AttributeValue[]): boolean {
  return (
    one.length === other.length &&
    one.every((each, index) => {
      const opposite = other[index];
      return opposite !== undefined && equals(each, opposite);
    })
  );
}

function equalMaps(one: Record<string, AttributeValue>, other: Record<string, AttributeValue>): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => {
      const [mine, theirs] = [one[name], other[name]];
      return mine !== undefined && theirs !== undefined && equals(mine, theirs);
    })
  );
}

/** Members of a set by what tells them apart; empty for what is no set. */
export function membersOf(set: AttributeValue): Map<string, AttributeValue> {
  if (set.SS !== undefined) return new Map(set.SS.map((text) => [text, { S: text }]));
  if (set.NS !== undefined) return new Map(set.NS.map((text) => [String(Number(text)), { N: text }]));
  if (set.BS !== undefined) return new Map(set.BS.map((bytes) => [latin1(bytes), { B: bytes }]));
  return new Map();
}

/** The set with these members; `undefined` for none: DynamoDB knows no empty set. */
export function setOf(kind: 'SS' | 'NS' | 'BS', members: Iterable<AttributeValue>): AttributeValue | undefined {
  const all = [...members];
  if (all.length === 0) return undefined;
  if (kind === 'SS') return { SS: all.flatMap(({ S }) => S ?? []) };
  if (kind === 'NS') return { NS: all.flatMap(({ N }) => N ?? []) };
  return { BS: all.flatMap(({ B }) => B ?? []) };
}

/** Length of a text, binary, list, map or set, as the function `size` has it. */
export function lengthOf(value: AttributeValue): number | undefined {
  if (value.S !== undefined) return Buffer.byteLength(value.S, 'utf8');
  if (value.B !== undefined) return value.B.byteLength;
  if (value.L !== undefined) return value.L.length;
  if (value.M !== undefined) return Object.keys(value.M).length;
  const members = value.SS ?? value.NS ?? value.BS;
  return members?.length;
}

/** What is shared by versions of an item need not be measured again. */
const measured = new WeakMap<object, number>();

/** Bytes that a value counts for in the limit of an item (Developer Guide, "item sizes and formats"). */
function bytesOf(value: AttributeValue): number {
  if (value.S !== undefined) return Buffer.byteLength(value.S, 'utf8');
  if (value.N !== undefined) return Math.ceil(value.N.length / 2) + 1;
  if (value.B !== undefined) return value.B.byteLength;
  if (value.BOOL !== undefined || value.NULL !== undefined) return 1;
  const known = measured.get(value);
  if (known !== undefined) return known;
  let bytes = 0;
  if (value.L !== undefined) bytes = value.L.reduce((sum, each) => sum + 1 + bytesOf(each), 3);
  else if (value.M !== undefined) bytes = 3 + bytesOfItem(value.M) + Object.keys(value.M).length;
  else for (const member of membersOf(value).values()) bytes += bytesOf(member);
  measured.set(value, bytes);
  return bytes;
}

/** Bytes of an item: names and values. */
export function bytesOfItem(item: StoredItem): number {
  let bytes = 0;
  for (const name in item) {
    const value = item[name];
    if (value !== undefined) bytes += Buffer.byteLength(name, 'utf8') + bytesOf(value);
  }
  return bytes;
}
