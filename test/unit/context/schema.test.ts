import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { type CompiledValidator, contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';

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

describe('A validator that says little', () => {
  const validatorWith = (errors: CompiledValidator['errors']): CompiledValidator =>
    Object.assign(() => false, { errors: errors ?? null });

  it('of what is wrong has a violation all the same', () => {
    const errors = [{ instancePath: '/a', keyword: 'type', schemaPath: '', params: {} }];
    expect(contextSchemaOf(validatorWith(errors), {}).violations({})).toEqual([
      { pointer: '/a', code: 'type', message: 'does not match the schema' },
    ]);
  });

  it('nothing at all has none', () => {
    expect(contextSchemaOf(validatorWith(null), {}).violations({})).toEqual([]);
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
    // What has the name of a draft in it is another name.
    ['https://example.org/?http://json-schema.org/draft-07/schema#'],
    ['http://json-schema.org/draft-07/schema#/definitions/nonNegativeInteger'],
    ['https://example.org/?https://json-schema.org/draft/2020-12/schema'],
    ['https://json-schema.org/draft/2020-12/schema#meta'],
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

  it('refuses what is no schema at all', () => {
    expect(() => compileSchema([] as never)).toThrow(/^must be object,boolean$/);
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

  it.each([
    { dependentRequired: { a: ['b'] } },
    { dependencies: { a: ['b'] } },
    { dependentSchemas: { a: { required: ['b'] } } },
  ])('is not one that wants more beside a default: %j', (rule) => {
    expect(() => compileSchema({ properties: { o: { default: { a: 1 }, ...rule } } })).not.toThrow();
  });

  it('is not one that wants another context than that of its defaults', () => {
    expect(() => compileSchema({ enum: [{ a: 1 }] })).not.toThrow();
  });
});
