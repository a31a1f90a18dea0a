import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { type ContextSchema, contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';
import { bundleEntry, SchemaFileError } from '../../../scripts/build.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

const shipped: JsonObject = JSON.parse(
  readFileSync(new URL('../../../infra/config/context.schema.json', import.meta.url), 'utf8'),
);
const schemaOf = (schema: JsonObject) => contextSchemaOf(compileSchema(schema).validate, schema);
const found = (schema: JsonObject, context: JsonValue) =>
  schemaOf(schema)
    .violations(context)
    .map(({ code, pointer }) => `${code} ${pointer}`)
    .sort();

const valid = {
  user_profile: { name: 'Ada', age: 0, preferences: ['tea'] },
  session_metadata: { turn_count: -1, last_intent: '', confidence: 1 },
  anything: { else: [1] },
};

describe.each([
  ['2020-12', shipped],
  ['draft-07', { ...shipped, $schema: 'http://json-schema.org/draft-07/schema#' }],
])('The shipped schema as %s', (_draft, schema) => {
  it('takes a valid context, with other top-level keys', () => expect(found(schema, valid)).toEqual([]));

  it('lists every violation with its pointer (SCENARIO 35)', () => {
    const broken = {
      user_profile: { name: 1, age: -1, preferences: ['a', 2], 'a/b': 1 },
      session_metadata: { turn_count: 1.5, confidence: 1.1 },
    };
    expect(found(schema, broken)).toEqual([
      'additionalProperties /user_profile/a~1b',
      'maximum /session_metadata/confidence',
      'minimum /user_profile/age',
      'required /session_metadata/last_intent',
      'type /session_metadata/turn_count',
      'type /user_profile/name',
      'type /user_profile/preferences/1',
    ]);
    expect(found(schema, {})).toEqual(['required /session_metadata', 'required /user_profile']);
  });

  it('makes a valid context of nothing', () => {
    const context = schemaOf(schema).fillDefaults({});
    expect(context).toEqual({
      user_profile: { name: 'Guest', age: 0, preferences: [] },
      session_metadata: { turn_count: 0, last_intent: 'none', confidence: 0 },
    });
    expect(found(schema, context)).toEqual([]);
  });

  it('says nothing of the values (SCENARIO 44)', () => {
    const context = { ...valid, user_profile: { name: 4711.5, age: 'ada@example.org', preferences: [] } };
    const text = JSON.stringify(schemaOf(schema).violations(context));
    expect(text).not.toContain('ada@example.org');
    expect(text).not.toContain('4711');
  });

  it('property: never changes the context, whatever it is', () => {
    const subject = schemaOf(schema);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const context: JsonValue = JSON.parse(JSON.stringify(value));
        const before = structuredClone(context);
        subject.violations(context);
        expect(context).toEqual(before);
      }),
    );
  });
});

describe('compileSchema', () => {
  it('speaks the draft that $schema names, with and without #', () => {
    // A list under `items` is a tuple in draft-07, and no schema in 2020-12; with `prefixItems` it is the other way round.
    const tuple = { items: [{ type: 'string' }] };
    const prefix = { prefixItems: [{ type: 'string' }] };
    for (const end of ['', '#']) {
      const draft07 = { $schema: `http://json-schema.org/draft-07/schema${end}` };
      const draft2020 = { $schema: `https://json-schema.org/draft/2020-12/schema${end}` };
      expect(found({ ...tuple, ...draft07 }, [1])).toEqual(['type /0']);
      expect(found({ ...prefix, ...draft07 }, [1])).toEqual([]);
      expect(found({ ...prefix, ...draft2020 }, [1])).toEqual(['type /0']);
      expect(() => compileSchema({ ...tuple, ...draft2020 })).toThrow('/items must be object,boolean');
    }
    expect(found(prefix, [1])).toEqual(['type /0']);
  });

  it.each<[JsonValue]>([
    ['https://json-schema.org/draft/2019-09/schema'],
    ['https://json-schema.org/draft-07/schema'],
    [7],
  ])('refuses the draft %j, rather than to take it for another', ($schema) =>
    expect(() => compileSchema({ $schema })).toThrow('/$schema names another draft'),
  );

  it.each([
    ['date-time', '2026-12-01T10:00:00Z', 'tomorrow'],
    ['date', '2026-12-01', '2026-13-01'],
    ['email', 'ada@example.org', 'nobody'],
    ['uri', 'https://example.org/a', 'example.org'],
    ['uuid', '123e4567-e89b-12d3-a456-426614174000', '123'],
  ])('checks the format %s', (format, good, bad) => {
    expect(found({ format }, good)).toEqual([]);
    expect(found({ format }, bad)).toEqual(['format ']);
  });

  it.each<[string, JsonObject]>([
    ['/properties/a/type must be ', { properties: { a: { type: 'nonsense' } } }],
    ['/required/0 must be string', { required: [1] }],
    ['/properties/a/x-priority must be a whole number from 0 to 9', { properties: { a: { 'x-priority': 'high' } } }],
    ['/properties/a/$ref leads nowhere', { properties: { a: { $ref: '#/$defs/b' } } }],
  ])('refuses a schema that is none, and says where: %s', (message, schema) =>
    expect(() => compileSchema(schema)).toThrow(message),
  );
});

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

describe('A schema that contradicts itself', () => {
  it.each([
    [{ properties: { a: { type: 'string', default: 5 } } }, 'The default of /a'],
    [
      { properties: { o: { required: ['n'], properties: { n: { minimum: 1, default: 0 } } } }, required: ['o'] },
      '/o/n',
    ],
    [{ type: 'array' }, 'A context is an object'],
  ])('%j is refused when it is compiled', (schema, message) => {
    expect(() => compileSchema(schema)).toThrow(message);
  });

  it('is not one that wants more than its defaults', () => {
    const schema = { required: ['id'], minProperties: 3, properties: { a: { default: 1 }, id: { type: 'string' } } };
    expect(() => compileSchema(schema)).not.toThrow();
  });
});
