import { parseStrictJson } from '../context/strictJson.ts';
import { MAX_VALUE_NESTING } from '../context/variables.ts';
import type { HttpEvent, JsonBody } from './messages.ts';
import { Problem } from './problem.ts';

/** Largest body the bridge reads (SPEC 4), in bytes as they arrived. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;
/** What a request wraps around a value: the body, a list in it, an item of that. Values themselves are checked by their route. */
const ENVELOPE_NESTING = 3;

export const NO_BODY: JsonBody = { value: undefined, violations: [] };

/**
 * Reads a JSON body strictly.
 * @throws {Problem} 413, 415 or 400, with every violation.
 */
export function readJsonBody(event: HttpEvent, headers: ReadonlyMap<string, string>): JsonBody {
  requireJson(headers.get('content-type'));
  return jsonBodyOf(bodyText(event));
}

/**
 * The body's bytes as they arrived, for whoever verifies a signature before anything is parsed.
 * @throws {Problem} 413
 */
export function readRawBody({ body, isBase64Encoded }: HttpEvent): Uint8Array {
  const bytes = Buffer.from(typeof body === 'string' ? body : '', isBase64Encoded === true ? 'base64' : 'utf8');
  if (bytes.byteLength > MAX_BODY_BYTES) throw tooLarge();
  return bytes;
}

function jsonBodyOf(text: string): JsonBody {
  const parsed = parseStrictJson(text, { maxDepth: MAX_VALUE_NESTING + ENVELOPE_NESTING });
  switch (parsed.kind) {
    case 'parsed':
      return { value: parsed.value, violations: [] };
    case 'malformed':
      throw new Problem('malformed-json');
    case 'duplicate-names':
      throw new Problem('duplicate-json-key', { errors: parsed.violations });
    case 'refused':
      return { value: JSON.parse(text), violations: parsed.violations };
  }
}

/**
 * A value that somebody else has parsed already, as a body: names given twice are past finding, everything else is found.
 * @throws {Problem} `malformed-json` when it is no JSON value.
 */
export function strictBodyOf(value: unknown): JsonBody {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new Problem('malformed-json', { cause: error });
  }
  const parsed = parseStrictJson(text ?? '', { maxDepth: MAX_VALUE_NESTING + ENVELOPE_NESTING });
  if (parsed.kind === 'malformed') throw new Problem('malformed-json');
  return { value, violations: parsed.kind === 'parsed' ? [] : parsed.violations };
}

function requireJson(contentType: string | undefined): void {
  const [type = '', ...parameters] = (contentType ?? '').toLowerCase().split(';');
  const isJson = /^application\/(?:[a-z0-9.!#$&^_-]+\+)?json$/.test(type.trim());
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith('charset='));
  const isUtf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset);
  if (!isJson || !isUtf8) throw new Problem('unsupported-media-type', { headers: { accept: 'application/json' } });
}

function bodyText({ body, isBase64Encoded }: HttpEvent): string {
  if (typeof body !== 'string' || body === '') throw new Problem('malformed-json', { detail: 'The body is empty.' });
  if (isBase64Encoded !== true) {
    if (Buffer.byteLength(body, 'utf8') > MAX_BODY_BYTES) throw tooLarge();
    return body;
  }
  const bytes = Buffer.from(body, 'base64');
  if (bytes.byteLength > MAX_BODY_BYTES) throw tooLarge();
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Problem('malformed-json', { detail: 'The body is not UTF-8.' });
  }
}

function tooLarge(): Problem {
  return new Problem('payload-too-large', { detail: `The body may have ${MAX_BODY_BYTES} bytes.` });
}
