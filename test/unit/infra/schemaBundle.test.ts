import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../lib/context/json.ts';
import { type ContextSchema, contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';
import { bundleEntry, SchemaFileError } from '../../../scripts/build.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const schemaOf = (schema: JsonObject) => contextSchemaOf(compileSchema(schema).validate, schema);

describe('The schema in a bundle', () => {
  const directory = mkdtempSync(join(tmpdir(), 'bridge-schema-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const fileWith = (name: string, content: string | Uint8Array) => {
    const file = join(directory, name);
    writeFileSync(file, content);
    return file;
  };
  const TENANT_SCHEMA = 'lib/platform/tenantSchema.ts';

  it('says what it says unbundled: violations, formats, rules, defaults', async () => {
    // Prepare: what needs code of Ajv at run time, and a name that an object literal would lose.
    const text = String.raw`{
      "$schema": "http://json-schema.org/draft-07/schema#",
      "description": "Said \u2028 'with' \"quotes\" and \\",
      "required": ["at", "__proto__"],
      "properties": {
        "at": { "type": "string", "format": "date-time" },
        "mail": { "format": "email", "maxLength": 20, "x-pii": true },
        "list": { "uniqueItems": true, "default": [{ "description": "stays" }] },
        "one": { "enum": [{ "a": 1 }] },
        "__proto__": { "type": "object", "properties": { "x": { "default": 1 } } }
      }
    }`;
    const schemaFile = fileWith('good.json', text);
    const unbundled = schemaOf(JSON.parse(text));
    const contexts: JsonObject[] = [
      {},
      { at: 'tomorrow', mail: 'nobody at all, of course', list: [1, 1], one: {} },
      { at: '2026-12-01T10:00:00Z', mail: 'ada@example.org', list: [{}, 1], one: { a: 1 } },
    ];

    // Act
    const { code } = await bundleEntry('schema', TENANT_SCHEMA, { schemaFile });
    const bundle: { tenantSchema: ContextSchema } = await import(pathToFileURL(fileWith('good.mjs', code)).href);

    // Assess
    const bundled = bundle.tenantSchema;
    for (const context of contexts) {
      expect(bundled.violations(context)).toEqual(unbundled.violations(context));
      expect(JSON.stringify(bundled.fillDefaults(context))).toBe(JSON.stringify(unbundled.fillDefaults(context)));
    }
    expect(JSON.stringify(bundled.fillDefaults({}))).toBe('{"list":[{"description":"stays"}],"__proto__":{"x":1}}');
    expect(bundled.ruleOf(['mail'])).toEqual({ pinned: false, pii: true, conflict: 'ours', required: false });
  });

  it.each([
    ['{"properties":{"a":{"type":"nonsense"}}}', '/properties/a/type must be equal to one of the allowed values.'],
    [
      '{"properties":{"a":{"x-ttlSeconds":0}}}',
      '/properties/a/x-ttlSeconds must be a whole number from 1 to 31536000.',
    ],
    ['[]', 'it is no object.'],
    ['{', expect.stringContaining('JSON')],
  ])('stops the build where it is %s, in a sentence that names file and place', async (text, problem) => {
    const schemaFile = fileWith('bad.json', text);
    const build = bundleEntry('schema', TENANT_SCHEMA, { schemaFile });
    await expect(build).rejects.toThrow(SchemaFileError);
    const message = await build.catch((error: Error) => error.message);
    const [before, after] = String(message).split(' cannot be used: ');
    expect(before).toBe(`CONTEXT_SCHEMA_FILE: the context schema ${schemaFile}`);
    expect(after).toEqual(problem);
  });

  it('stops the build where there is no such file', async () => {
    const schemaFile = join(directory, 'missing.json');
    await expect(bundleEntry('schema', TENANT_SCHEMA, { schemaFile })).rejects.toThrow(schemaFile);
  });

  it('is all that a failing build says', async () => {
    const file = fileWith('bad.json', '{"x-priority":10}');
    const env = { ...process.env, CONTEXT_SCHEMA_FILE: file };
    const ended = promisify(execFile)(process.execPath, ['scripts/build.ts'], { cwd: ROOT, env });
    await expect(ended).rejects.toMatchObject({
      code: 1,
      stdout: '',
      stderr: `CONTEXT_SCHEMA_FILE: the context schema ${file} cannot be used: /x-priority must be a whole number from 0 to 9.\n`,
    });
  });
});
