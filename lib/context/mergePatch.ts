import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';

/**
 * The target with a JSON Merge Patch applied (RFC 7396 section 2): `null` removes a member, objects merge, anything else
 * replaces. Neither is touched: what the patch leaves alone is shared, and a patch that changes nothing gives back the target.
 */
export function mergePatch(target: JsonValue | undefined, patch: JsonValue): JsonValue {
  if (!isJsonObject(patch)) return patch;
  return isJsonObject(target) ? patchMembers(target, patch) : patchMembers({}, patch);
}

function patchMembers(target: JsonObject, patch: JsonObject): JsonObject {
  // A Map, because to it `__proto__` is a name like any other, and a name that is set again keeps its place.
  const members = new Map(Object.entries(target));
  let changes = false;
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      changes = members.delete(name) || changes;
    } else {
      const before = members.get(name);
      const after = mergePatch(before, value);
      changes ||= after !== before;
      members.set(name, after);
    }
  }
  return changes ? Object.fromEntries(members) : target;
}
