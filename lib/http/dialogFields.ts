import * as z from 'zod/mini';
import { dialogViolations, RESERVED_KEY } from '../context/dialogNames.ts';
import type { DialogChange } from '../context/dialogState.ts';
import { isJsonObject, type JsonObject } from '../context/json.ts';
import { parseBody, type Violation } from './fields.ts';
import type { JsonBody } from './messages.ts';
import { Problem } from './problem.ts';

/** How deep its values are, and what its names are like, is looked at for all of it together. */
const variables = z.exactOptional(z.custom<JsonObject>((value) => isJsonObject(value), 'must be an object'));

const dialogBody = z.strictObject(
  {
    session: variables,
    user: variables,
    transition: z.exactOptional(
      z.strictObject(
        {
          nextStep: z
            .string('is missing or not a string')
            .check(z.regex(/^[^\p{Cc}]{1,256}$/u, 'must have 1 to 256 characters, none of them a control character')),
        },
        'must be an object',
      ),
    ),
  },
  'must be an object',
);

/**
 * A change of a dialog (SPEC 2 "dialog-state", SPEC 4).
 * @throws {Problem} `validation-failed` with every violation; `reserved-key` where there is none but reserved names;
 * `payload-too-large` where there is none but values that are too large.
 */
export function readDialogChange(body: JsonBody): DialogChange {
  try {
    return parseBody(dialogBody, body, [...dialogViolations(body.value), ...nothingToDo(body.value)]);
  } catch (error) {
    const errors = error instanceof Problem ? error.options.errors : undefined;
    if (errors?.every(({ code }) => code === RESERVED_KEY)) throw new Problem('reserved-key', { errors });
    if (errors?.every(({ code }) => code === 'too-large')) throw new Problem('payload-too-large', { errors });
    throw error;
  }
}

function nothingToDo(body: unknown): Violation[] {
  if (!isJsonObject(body)) return [];
  const says = ['session', 'user', 'transition'].some((name) => {
    const said = Object.hasOwn(body, name) ? body[name] : undefined;
    return said !== undefined && !(isJsonObject(said) && Object.keys(said).length === 0);
  });
  if (says) return [];
  return [{ pointer: '', code: 'nothing-to-do', message: 'must name a session or user variable, or a transition' }];
}
