import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { JsonObject, JsonValue } from './json.ts';
import { pointerOf } from './pointer.ts';
import type { Violation } from './violation.ts';

/** Annotations that steer the bridge (SPEC 5); to validation they say nothing. */
const ANNOTATIONS = ['x-ttlSeconds', 'x-priority', 'x-pinned', 'x-pii', 'x-conflict'];
const DRAFT_07 = /^http:\/\/json-schema\.org\/draft-07\/schema#?$/;

/** The tenant's context schema, compiled once. */
export interface ContextSchema {
  /** Every violation of a context, with its JSON Pointer; none when it is valid. The context is not changed. */
  violations(context: JsonValue): Violation[];
}

/**
 * Compiles a JSON Schema of draft 2020-12 (or draft-07, where `$schema` says so).
 * @throws {Error} of Ajv when the schema itself is invalid.
 */
export function compileContextSchema(schema: JsonObject): ContextSchema {
  const options = { allErrors: true, strict: false, validateFormats: true } as const;
  const ajv = DRAFT_07.test(String(schema['$schema'])) ? new Ajv(options) : new Ajv2020(options);
  addFormats.default(ajv);
  for (const annotation of ANNOTATIONS) ajv.addKeyword(annotation);
  const validate: ValidateFunction = ajv.compile(schema);
  return {
    violations: (context) => (validate(context) ? [] : (validate.errors ?? []).map(toViolation)),
  };
}

function toViolation(error: ErrorObject): Violation {
  const { instancePath, keyword, params } = error;
  // These two are about a member of the object that the path names.
  const member: unknown = params['missingProperty'] ?? params['additionalProperty'];
  const pointer = typeof member === 'string' ? instancePath + pointerOf([member]) : instancePath;
  return { pointer, code: keyword, message: error.message ?? 'does not match the schema' };
}
