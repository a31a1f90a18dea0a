import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import { jsonEquals } from './jsonEquals.ts';
import { pointerOf } from './pointer.ts';

/** A place that both sides have changed, each in its own way. A side that is missing here has nothing at that place. */
export interface MergeConflict {
  /** JSON Pointer (RFC 6901). */
  readonly path: string;
  readonly base?: JsonValue;
  readonly ours?: JsonValue;
  readonly theirs?: JsonValue;
  readonly chosen: 'ours' | 'theirs';
}

export interface MergeSides {
  /** What both sides have started from. */
  readonly base: JsonObject;
  readonly ours: JsonObject;
  readonly theirs: JsonObject;
  /**
   * What has been said on our side, as a merge patch says it: a value here counts as changed by us even where it is what base
   * has. Whoever says "gold" again after the bot has said "silver" means gold.
   */
  readonly said?: JsonObject;
  /** JSON Pointers of objects that have replaced on our side what was there, whatever it was: each is one value. */
  readonly anew?: ReadonlySet<string>;
}

/**
 * Brings two changed copies of one object together. Objects merge member by member; everything else, arrays too, is one
 * value. What one side has changed is taken from that side. Where both have changed the same place differently, `prefers`
 * decides for the whole of that place, and the conflict is reported.
 *
 * Members keep the order of `theirs`, new ones follow. Nothing is copied that one side has as it is: where the merge says
 * what `theirs` says, it is their very object, so that nothing to change can be told by identity.
 */
export function threeWayMerge(
  sides: MergeSides,
  prefers: (path: readonly string[]) => 'ours' | 'theirs',
): { readonly merged: JsonObject; readonly conflicts: readonly MergeConflict[] } {
  const conflicts: MergeConflict[] = [];
  const path: string[] = [];
  const isAnew = () => sides.anew?.has(pointerOf(path)) === true;

  function mergeMembers({ base, ours, theirs, said }: MergeSides): JsonObject {
    if (ours === theirs || (ours === base && said === undefined)) return theirs;
    // No such way out for `theirs === base`: ours may have the same members in another order.
    const members: [string, JsonValue][] = [];
    const newNames = Object.keys(ours).filter((name) => !Object.hasOwn(theirs, name));
    for (const name of [...Object.keys(theirs), ...newNames]) {
      path.push(name);
      const value = mergePlace(memberOf(ours, name), memberOf(theirs, name), {
        base: memberOf(base, name),
        said: said && memberOf(said, name),
      });
      path.pop();
      if (value !== undefined) members.push([name, value]);
    }
    // Object.fromEntries makes a member even of `__proto__`.
    return [theirs, ours].find((side) => consistsOf(side, members)) ?? Object.fromEntries(members);
  }

  function mergePlace(
    ours: JsonValue | undefined,
    theirs: JsonValue | undefined,
    { base, said }: { readonly base: JsonValue | undefined; readonly said: JsonValue | undefined },
  ): JsonValue | undefined {
    if (isJsonObject(ours) && isJsonObject(theirs) && !isAnew()) {
      const inside = isJsonObject(said) && { said };
      return mergeMembers({ base: isJsonObject(base) ? base : {}, ours, theirs, ...inside });
    }
    if (jsonEquals(ours, theirs)) return theirs;
    if (said === undefined && jsonEquals(ours, base)) return theirs;
    if (jsonEquals(theirs, base)) return ours;

    const chosen = prefers([...path]);
    conflicts.push({
      path: pointerOf(path),
      ...(base !== undefined && { base }),
      ...(ours !== undefined && { ours }),
      ...(theirs !== undefined && { theirs }),
      chosen,
    });
    return chosen === 'ours' ? ours : theirs;
  }

  return { merged: mergeMembers(sides), conflicts };
}

/** Own members only: every object inherits a `constructor` and a `__proto__`. */
function memberOf(object: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Are these the object's very members, in its order? */
function consistsOf(object: JsonObject, members: readonly (readonly [string, JsonValue])[]): boolean {
  const names = Object.keys(object);
  return (
    names.length === members.length &&
    members.every(([name, value], index) => name === names[index] && value === object[name])
  );
}
