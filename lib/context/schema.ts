import type { ErrorObject } from 'ajv';
import type { JsonObject, JsonValue } from './json.ts';
import { pointerOf } from './pointer.ts';
import { type SchemaRules, schemaRulesOf } from './schemaRules.ts';
import type { Violation } from './violation.ts';

/** The tenant's context schema: what it forbids, and what it says about each path (SPEC 5). */
export interface ContextSchema extends SchemaRules {
  /** Every violation of a context, with its JSON Pointer; none when it is valid. The context is not changed. */
  violations(context: JsonValue): Violation[];
}

/** What Ajv makes of a schema, at build time or now. */
export interface CompiledValidator {
  (data: unknown): boolean;
  errors?: readonly ErrorObject[] | null;
}

/** A schema with what Ajv has made of it. */
export function contextSchemaOf(validate: CompiledValidator, schema: JsonObject): ContextSchema {
  return {
    ...schemaRulesOf(schema),
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
