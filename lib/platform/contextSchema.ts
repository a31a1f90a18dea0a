import { readFileSync } from 'node:fs';
import { isJsonObject } from '../context/json.ts';
import { type ContextSchema, compileContextSchema } from '../context/schema.ts';
import { type Config, ConfigError } from './config.ts';

/**
 * Reads and compiles the tenant's context schema, once per cold start.
 * @throws {ConfigError} when there is none, or it is not a JSON Schema.
 */
export function loadContextSchema({ contextSchemaFile }: Config): ContextSchema {
  if (contextSchemaFile === undefined) throw new ConfigError(['CONTEXT_SCHEMA_FILE is missing']);
  try {
    const schema: unknown = JSON.parse(readFileSync(contextSchemaFile, 'utf8'));
    if (isJsonObject(schema)) return compileContextSchema(schema);
  } catch (error) {
    throw new ConfigError(['CONTEXT_SCHEMA_FILE does not name a readable, valid JSON Schema'], error);
  }
  throw new ConfigError(['CONTEXT_SCHEMA_FILE must hold a JSON object']);
}
