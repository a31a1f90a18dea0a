import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../../lib/context/json.ts';
import { contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';

const shipped: JsonObject = JSON.parse(
  readFileSync(new URL('../../../infra/config/context.schema.json', import.meta.url), 'utf8'),
);
const schemaOf = (schema: JsonObject) => contextSchemaOf(compileSchema(schema).validate);
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
  it('speaks the draft that $schema names', () => {
    // A list under `items` is a tuple in draft-07, and no schema in 2020-12.
    const tuple = { items: [{ type: 'string' }] };
    expect(found({ ...tuple, $schema: 'http://json-schema.org/draft-07/schema' }, [1])).toEqual(['type /0']);
    expect(() => compileSchema(tuple)).toThrow();
    expect(found({ prefixItems: [{ type: 'string' }] }, [1])).toEqual(['type /0']);
  });

  it('checks formats', () => expect(found({ format: 'email' }, 'nobody')).toEqual(['format ']));

  it('refuses a schema that is none', () => expect(() => compileSchema({ type: 'nonsense' })).toThrow());
});
