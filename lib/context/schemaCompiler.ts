import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { JsonObject } from './json.ts';

/** Annotations that steer the bridge (SPEC 5); to validation they say nothing. */
const ANNOTATIONS = ['x-ttlSeconds', 'x-priority', 'x-pinned', 'x-pii', 'x-conflict'];
const DRAFT_07 = /^http:\/\/json-schema\.org\/draft-07\/schema#?$/;

/**
 * The validator for a JSON Schema of draft 2020-12 (or draft-07, where `$schema` says so), with the Ajv instance it came from:
 * the build writes it out as code, because Ajv itself is a quarter of a bundle and compiles at every cold start.
 * @throws {Error} of Ajv when the schema itself is invalid.
 */
export function compileSchema(schema: JsonObject) {
  const options = { allErrors: true, strict: false, code: { source: true, esm: true } } as const;
  const ajv = DRAFT_07.test(String(schema['$schema'])) ? new Ajv(options) : new Ajv2020(options);
  addFormats.default(ajv);
  for (const annotation of ANNOTATIONS) ajv.addKeyword(annotation);
  return { ajv, validate: ajv.compile(schema) };
}
