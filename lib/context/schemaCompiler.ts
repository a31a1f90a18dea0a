import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { JsonObject } from './json.ts';
import { schemaRulesOf } from './schemaRules.ts';

const DRAFT_07 = /^http:\/\/json-schema\.org\/draft-07\/schema#?$/;
const DRAFT_2020_12 = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;

/**
 * The validator for a JSON Schema of draft 2020-12 (or draft-07, where `$schema` says so), with the Ajv instance it came from:
 * the build writes it out as code, because Ajv itself is a quarter of a bundle and compiles at every cold start.
 * @throws {Error} when the schema itself is invalid: its message begins with the JSON Pointer of what is wrong, where that is known.
 */
export function compileSchema(schema: JsonObject) {
  // Not strict: annotations that steer the bridge (SPEC 5) say nothing to validation.
  const options = { allErrors: true, strict: false, code: { source: true, esm: true } } as const;
  const ajv = isDraft07(schema['$schema']) ? new Ajv(options) : new Ajv2020(options);
  addFormats.default(ajv);
  if (!ajv.validateSchema(schema)) {
    // The first says what is wrong; the others say so again in the words of the schemas of schemas.
    const [error] = ajv.errors ?? [];
    throw new Error(`${error?.instancePath} ${error?.message}`.trim());
  }
  // What the rules cannot go by is to stop the build as well. They come first: they can say where a reference leads nowhere.
  const rules = schemaRulesOf(schema);
  const validate = ajv.compile(schema);
  const wrong = validate(rules.fillDefaults({})) ? undefined : validate.errors?.find(isAboutDefault);
  if (wrong !== undefined) {
    const what = wrong.instancePath === '' ? 'A context is an object' : `The default of ${wrong.instancePath}`;
    throw new Error(`${what}, but the schema says: ${wrong.message}`);
  }
  return { ajv, validate };
}

/** What else may be missing from a context of nothing but defaults, clients and the bot put there. */
const NOT_ABOUT_ONE_VALUE =
  /^(?:required|depend|min(?:Properties|Items|Contains)|contains|anyOf|oneOf|allOf|not|if|propertyNames|unevaluated)/;

function isAboutDefault({
  instancePath,
  keyword,
}: {
  readonly instancePath: string;
  readonly keyword: string;
}): boolean {
  return instancePath === '' ? keyword === 'type' : !NOT_ABOUT_ONE_VALUE.test(keyword);
}

function isDraft07(named: JsonObject[string] | undefined): boolean {
  if (named === undefined) return false;
  const text = String(named);
  if (!DRAFT_07.test(text) && !DRAFT_2020_12.test(text)) {
    throw new Error('/$schema names another draft than 2020-12 and draft-07');
  }
  return DRAFT_07.test(text);
}
