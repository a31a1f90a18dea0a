import * as z from 'zod';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { type Answer, mediaType, problem, type ReceivedRequest } from './messages.ts';

/** A parsed body, or the answer that refuses it. */
type Parsed<Body> = { readonly ok: true; readonly body: Body } | { readonly ok: false; readonly refusal: Answer };

/** Any JSON value. Checks presence only: what is looked at comes out of `JSON.parse`, and a recursive schema would end deep values in a stack overflow. */
export const anyJson = z.custom<JsonValue>((value) => value !== undefined, 'must be present');

/** Any JSON object. Not `z.record`, which drops a member called `__proto__`. */
export const anyJsonObject = z.custom<JsonObject>(isJsonObject, 'must be an object');

/** More than any client may send, and few enough for everything that walks a value recursively, as `JSON.stringify` does. */
const MAX_NESTING = 100;

/** Parses JSON; undefined when it is none or nests too deep. */
export function readJson(text: string): JsonValue | undefined {
  let value: JsonValue;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return nestsDeeperThan(MAX_NESTING, value) ? undefined : value;
}

/** Reads a JSON body of at most `maxBytes` that fits `schema`: else 415, 413 or 400. */
export function parseBody<Body>(request: ReceivedRequest, schema: z.ZodType<Body>, maxBytes: number): Parsed<Body> {
  if (mediaType(request) !== 'application/json') {
    return refuse(415, 'unsupported-media-type', 'The body must be application/json.');
  }
  if (request.bodyBytes > maxBytes) {
    return refuse(413, 'payload-too-large', `The body has ${request.bodyBytes} bytes, the limit is ${maxBytes}.`);
  }
  const value = readJson(request.text);
  if (value === undefined) {
    return refuse(400, 'malformed-json', `The body is not JSON, or nests deeper than ${MAX_NESTING} levels.`);
  }
  const result = schema.safeParse(value);
  return result.success ? { ok: true, body: result.data } : { ok: false, refusal: invalid(result.error) };
}

/** The 400 that names everything wrong with a body or a query. */
export function invalid(error: z.ZodError): Answer {
  const errors = error.issues.map((issue) => ({
    pointer: issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
    message: issue.message,
  }));
  return problem({
    status: 400,
    code: 'validation-failed',
    detail: errors.map(({ pointer, message }) => (pointer === '' ? message : `${pointer}: ${message}`)).join('; '),
    errors,
  });
}

function refuse(status: number, code: string, detail: string): Parsed<never> {
  return { ok: false, refusal: problem({ status, code, detail }) };
}

/** Goes level by level, without recursion: each round takes off the outermost objects and arrays. */
function nestsDeeperThan(levels: number, value: JsonValue): boolean {
  let level: readonly object[] = containersIn([value]);
  for (let depth = 0; depth < levels && level.length > 0; depth += 1) level = level.flatMap(containersIn);
  return level.length > 0;
}

function containersIn(container: object): object[] {
  return Object.values(container).filter((item: unknown) => typeof item === 'object' && item !== null);
}
