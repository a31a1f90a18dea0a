import { readFileSync } from 'node:fs';
import type { JsonObject } from '../context/json.ts';
import { type ContextSchema, contextSchemaOf } from '../context/schema.ts';
import { compileSchema } from '../context/schemaCompiler.ts';

const SHIPPED: JsonObject = JSON.parse(
  readFileSync(new URL('../../infra/config/context.schema.json', import.meta.url), 'utf8'),
);

/**
 * The tenant's context schema. In a bundle `scripts/build.ts` puts the schema named by `CONTEXT_SCHEMA_FILE`, compiled, in the
 * place of this module; unbundled, it is the shipped one.
 */
export const tenantSchema: ContextSchema = contextSchemaOf(compileSchema(SHIPPED).validate, SHIPPED);
