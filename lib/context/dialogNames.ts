import { isJsonObject, type JsonObject } from './json.ts';
import { pointerOf } from './pointer.ts';
import { jsonBytes, nestingOf } from './size.ts';
import { isPrototypeName } from './strictJson.ts';
import type { Violation } from './violation.ts';

/** SPEC 4: names of a dialog's variables are ASCII identifiers, and these beginnings are the platform's own. */
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const RESERVED_PREFIXES = ['_cognigy', '_session', '_user', 'cognigy_'];
/** Levels of objects and arrays in one value (SPEC 4). */
const MAX_NESTING = 3;
/** Largest value of one variable, in UTF-8 bytes of its JSON (SPEC 4). */
const MAX_VALUE_BYTES = 1_048_576;

/** The code of a name that is reserved; a request with nothing else wrong is refused with it. */
export const RESERVED_KEY = 'reserved-key';

/**
 * What is wrong with the variables of a change of a dialog, all of it.
 * @param body - the request's body, of which nothing is known yet
 */
export function dialogViolations(body: unknown): Violation[] {
  if (!isJsonObject(body)) return [];
  return ['session', 'user'].flatMap((scope) => {
    const values = Object.hasOwn(body, scope) ? body[scope] : undefined;
    return isJsonObject(values) ? violationsIn(scope, values) : [];
  });
}

function violationsIn(scope: string, values: JsonObject): Violation[] {
  const found: Violation[] = [];
  for (const [name, value] of Object.entries(values)) {
    const note = (code: string, message: string) => found.push({ pointer: pointerOf([scope, name]), code, message });
    // Named by the strict parser already.
    if (!isPrototypeName(name) && !IDENTIFIER.test(name)) {
      note('invalid-key', 'must have 1 to 128 characters of A–Z a–z 0–9 _ and not begin with a digit');
    }
    const prefix = RESERVED_PREFIXES.find((each) => name.startsWith(each));
    if (prefix !== undefined) note(RESERVED_KEY, `begins with ${prefix}, which is reserved`);
    if (nestingOf(value) > MAX_NESTING) note('too-deep', `is nested deeper than ${MAX_NESTING} levels`);
    else if (jsonBytes(value) > MAX_VALUE_BYTES) note('too-large', `has more than ${MAX_VALUE_BYTES} bytes`);
  }
  return found;
}
