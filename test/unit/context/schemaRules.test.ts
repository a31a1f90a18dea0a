import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import { SchemaAnnotationError } from '../../../lib/context/schemaNodes.ts';
import { schemaRulesOf } from '../../../lib/context/schemaRules.ts';

const NOTHING = { pinned: false, pii: false, conflict: 'ours', required: false };

/** The rule at `a/b/c`. */
const ruleOf = (schema: JsonObject, path: string) => schemaRulesOf(schema).ruleOf(path === '' ? [] : path.split('/'));
const priorityOf = (schema: JsonObject, path: string) => ruleOf(schema, path).priority;
const fill = (schema: JsonObject, context: JsonObject) => schemaRulesOf(schema).fillDefaults(context);
/** As JSON.parse makes it: a member `__proto__` is one like any other. */
const parsed = (text: string): JsonObject => JSON.parse(text);

describe('The rule of a place', () => {
  it('says nothing where the schema says nothing', () => {
    expect(ruleOf({}, '')).toEqual(NOTHING);
    expect(ruleOf({ properties: { a: true, b: false } }, 'a/b/c')).toEqual(NOTHING);
    expect(ruleOf({ properties: { a: {} } }, 'constructor/__proto__')).toEqual(NOTHING);
  });

  it('has every annotation of the place', () => {
    const a = { 'x-ttlSeconds': 60, 'x-priority': 0, 'x-pinned': true, 'x-pii': true, 'x-conflict': 'theirs' };
    expect(ruleOf({ properties: { a }, required: ['a'] }, 'a')).toEqual({
      ttlSeconds: 60,
      priority: 0,
      pinned: true,
      pii: true,
      conflict: 'theirs',
      required: true,
    });
  });

  it('is inherited from the nearest place around it that says something, each annotation by itself', () => {
    const schema = {
      'x-priority': 1,
      'x-ttlSeconds': 10,
      'x-conflict': 'theirs',
      properties: { a: { 'x-priority': 2, properties: { b: { 'x-ttlSeconds': 20, 'x-conflict': 'ours' } } } },
    };
    expect(ruleOf(schema, '')).toMatchObject({ priority: 1, ttlSeconds: 10, conflict: 'theirs' });
    expect(ruleOf(schema, 'a')).toMatchObject({ priority: 2, ttlSeconds: 10, conflict: 'theirs' });
    expect(ruleOf(schema, 'a/b')).toMatchObject({ priority: 2, ttlSeconds: 20, conflict: 'ours' });
    expect(ruleOf(schema, 'a/b/unknown/too')).toMatchObject({ priority: 2, ttlSeconds: 20, conflict: 'ours' });
    expect(ruleOf(schema, 'unknown')).toMatchObject({ priority: 1, ttlSeconds: 10, conflict: 'theirs' });
  });

  it('does not depend on what was asked before', () => {
    const shared = { properties: { x: { 'x-ttlSeconds': 5 } } };
    const rules = schemaRulesOf({
      $defs: { shared },
      properties: {
        a: { $ref: '#/$defs/shared', 'x-priority': 1 },
        b: { $ref: '#/$defs/shared', 'x-priority': 2 },
        c: { required: ['x'], allOf: [{ $ref: '#/$defs/shared' }] },
        map: { required: ['x'], additionalProperties: { 'x-pii': true } },
      },
    });
    const ask = () => ['a/x', 'b/x', 'c/x', 'a/x', 'map/y', 'map/x'].map((path) => rules.ruleOf(path.split('/')));
    const expected = [
      { ...NOTHING, ttlSeconds: 5, priority: 1 },
      { ...NOTHING, ttlSeconds: 5, priority: 2 },
      { ...NOTHING, ttlSeconds: 5, required: true },
      { ...NOTHING, ttlSeconds: 5, priority: 1 },
      { ...NOTHING, pii: true },
      { ...NOTHING, pii: true, required: true },
    ];
    expect([ask(), ask()]).toEqual([expected, expected]);
  });

  it('does not depend on it for a default either: of two places with one schema only one may be filled in', () => {
    // Of `named` is known when it is missing, of `other` not.
    const rules = schemaRulesOf({ allOf: [{ additionalProperties: { default: 1 } }], properties: { named: true } });
    const ask = () => ['named', 'other', 'named'].map((name) => rules.ruleOf([name]).default);
    expect([...ask(), ...ask()]).toEqual([1, undefined, 1, 1, undefined, 1]);
  });

  it.each(['x-pinned', 'x-pii'])('%s holds for everything inside, whatever that says itself', (annotation) => {
    const member = annotation === 'x-pinned' ? 'pinned' : 'pii';
    const schema = {
      properties: { a: { [annotation]: true, properties: { b: { [annotation]: false, 'x-priority': 1 } } } },
    };
    expect(ruleOf(schema, 'a/b')[member]).toBe(true);
    expect(ruleOf(schema, 'a/unknown/c')[member]).toBe(true);
    expect(ruleOf(schema, 'b')[member]).toBe(false);
  });

  it('is required where the object around it says so, whatever the one around that says', () => {
    const schema = { required: ['a', 'odd'], properties: { a: { properties: { b: {} } }, c: { required: ['d'] } } };
    const required = (path: string) => ruleOf(schema, path).required;
    expect(['a', 'odd', 'c/d'].map(required)).toEqual([true, true, true]);
    expect(['', 'a/b', 'c', 'unknown/a'].map(required)).toEqual([false, false, false, false]);
  });

  it('has as default what filling would put there', () => {
    const schema = {
      default: {},
      properties: {
        n: { default: null },
        o: { default: { x: 1 }, properties: { y: { default: 2 } } },
        made: { type: 'object', properties: { z: { default: 1 } } },
      },
      additionalProperties: { default: 'of a map' },
      required: ['made'],
    };
    expect(ruleOf(schema, 'n').default).toBeNull();
    expect(ruleOf(schema, 'o').default).toEqual({ x: 1, y: 2 });
    expect(ruleOf(schema, 'o/y').default).toBe(2);
    for (const path of ['', 'made', 'entry', 'o/x']) expect(ruleOf(schema, path)).not.toHaveProperty('default');
  });
});

describe('Where the rules of a place come from', () => {
  const PRIORITY_7 = { 'x-priority': 7 };

  it('patternProperties hold beside properties; additionalProperties only for names of neither', () => {
    const schema = {
      properties: { ab: { 'x-ttlSeconds': 1 }, bare: true },
      patternProperties: { '^a': { 'x-priority': 1 }, '\\p{Ll}ö$': { 'x-pii': true } },
      additionalProperties: { 'x-priority': 7, 'x-conflict': 'theirs' },
    };
    expect(ruleOf(schema, 'ab')).toEqual({ ...NOTHING, ttlSeconds: 1, priority: 1 });
    expect(ruleOf(schema, 'aö')).toEqual({ ...NOTHING, priority: 1, pii: true });
    expect(ruleOf(schema, 'bare')).toEqual(NOTHING);
    const additional = { ...NOTHING, priority: 7, conflict: 'theirs' };
    expect(ruleOf(schema, 'other')).toEqual(additional);
    expect(ruleOf(schema, '__proto__')).toEqual(additional);
  });

  it('all patterns that match a name, and none that only matches another', () => {
    const rules = schemaRulesOf({
      patternProperties: { '^a': { 'x-priority': 1 }, b$: { 'x-pii': true }, c$: { 'x-pinned': true } },
    });
    expect(rules.ruleOf(['ab'])).toEqual({ ...NOTHING, priority: 1, pii: true });
    expect(rules.ruleOf(['ac'])).toEqual({ ...NOTHING, priority: 1, pinned: true });
    expect(rules.ruleOf(['a'])).toEqual({ ...NOTHING, priority: 1 });
  });

  it('additionalProperties are those of the same schema object, not of its allOf', () => {
    const schema = { properties: { a: {} }, allOf: [{ properties: { b: {} }, additionalProperties: PRIORITY_7 }] };
    expect(priorityOf(schema, 'a')).toBe(7);
    expect(priorityOf(schema, 'b')).toBeUndefined();
  });

  it.each<[string, JsonObject]>([
    ['#/$defs/x', { $defs: { x: PRIORITY_7 } }],
    ['#/definitions/x', { definitions: { x: PRIORITY_7 } }],
    ['#/$defs/a~1b~0%20%C3%B6', { $defs: { 'a/b~ ö': PRIORITY_7 } }],
    ['#/allOf/0/$defs/x', { allOf: [{ $defs: { x: PRIORITY_7 } }] }],
    ['#/properties/b', { properties: { b: PRIORITY_7 } }],
    ['#x', { $defs: { y: { $anchor: 'y' }, x: { $anchor: 'x', ...PRIORITY_7 } } }],
    ['#x', { $schema: 'http://json-schema.org/draft-07/schema', definitions: { x: { $id: '#x', ...PRIORITY_7 } } }],
    ['#', PRIORITY_7],
  ])('$ref %s', ($ref, schema) => {
    const properties = isJsonObject(schema['properties']) ? schema['properties'] : {};
    expect(priorityOf({ ...schema, properties: { ...properties, a: { $ref } } }, 'a')).toBe(7);
  });

  it('all members of allOf, and what stands beside $ref (in draft-07 too, as Ajv does)', () => {
    const schema = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      definitions: { x: { 'x-ttlSeconds': 1, properties: { y: { 'x-pii': true } } } },
      properties: {
        a: { $ref: '#/definitions/x', 'x-priority': 7, allOf: [{ 'x-conflict': 'theirs' }, { required: ['y'] }] },
      },
    };
    expect(ruleOf(schema, 'a')).toEqual({ ...NOTHING, ttlSeconds: 1, priority: 7, conflict: 'theirs' });
    expect(ruleOf(schema, 'a/y')).toMatchObject({ pii: true, required: true });
  });

  it('where several say it differently the outermost wins, then the first', () => {
    const one = { 'x-priority': 1, default: 1 };
    const two = { 'x-priority': 2, default: 2 };
    const schema = {
      $defs: { one },
      properties: {
        own: { $ref: '#/$defs/one', ...two },
        first: { allOf: [two, one] },
        ref: { allOf: [two], $ref: '#/$defs/one' },
      },
    };
    expect(['own', 'first', 'ref'].map((path) => priorityOf(schema, path))).toEqual([2, 2, 1]);
    expect(fill(schema, {})).toEqual({ own: 2, first: 2, ref: 1 });
  });

  it('not those that hang on the data: anyOf, oneOf, if, dependentSchemas, not', () => {
    const says = { 'x-priority': 1, properties: { a: { default: 1, 'x-pii': true } } };
    const schema = {
      anyOf: [says],
      oneOf: [says],
      if: says,
      else: says,
      dependentSchemas: { a: says },
      not: says,
    };
    expect(ruleOf(schema, 'a')).toEqual(NOTHING);
    const context = {};
    expect(fill(schema, context)).toBe(context);
  });

  it('a recursive schema, at any depth', () => {
    const rules = schemaRulesOf({
      allOf: [{ $ref: '#' }],
      properties: { sub: { $ref: '#', 'x-pii': true }, p: PRIORITY_7 },
    });
    const path = [...Array<string>(1_000).fill('sub'), 'p'];
    expect(rules.ruleOf(path)).toEqual({ ...NOTHING, priority: 7, pii: true });
  });
});

describe('An annotation that means nothing', () => {
  it.each<[string, JsonValue]>([
    ['x-ttlSeconds', 0],
    ['x-ttlSeconds', 31_536_001],
    ['x-ttlSeconds', 1.5],
    ['x-ttlSeconds', '60'],
    ['x-priority', -1],
    ['x-priority', 10],
    ['x-priority', 'high'],
    ['x-priority', null],
    ['x-pinned', 'true'],
    ['x-pii', 1],
    ['x-conflict', 'Ours'],
    ['x-conflict', true],
  ])('%s: %j stops the making of the rules and is named with its place', (annotation, value) => {
    const schema = { $defs: { 'a/b': { items: { [annotation]: value } } }, allOf: [{ $ref: '#/$defs/a~1b' }] };
    const pointer = `/$defs/a~1b/items/${annotation}`;
    expect(() => schemaRulesOf(schema)).toThrow(SchemaAnnotationError);
    expect(() => schemaRulesOf(schema)).toThrow(expect.objectContaining({ name: 'SchemaAnnotationError', pointer }));
    expect(() => schemaRulesOf(schema)).toThrow(`${pointer} must be `);
  });

  it.each<[string, JsonObject, string]>([
    ['x-ttlSeconds', { 'x-ttlSeconds': 0 }, 'a whole number from 1 to 31536000'],
    ['x-priority', { 'x-priority': 10 }, 'a whole number from 0 to 9'],
    ['x-conflict', { 'x-conflict': 'mine' }, '"ours" or "theirs"'],
    ['x-pinned', { 'x-pinned': 1 }, 'true or false'],
    ['x-pii', { 'x-pii': 'yes' }, 'true or false'],
  ])('%s is told what it must be', (annotation, schema, what) =>
    expect(() => schemaRulesOf(schema)).toThrow(new SchemaAnnotationError(`/${annotation}`, `must be ${what}`)),
  );

  const WRONG = { 'x-pii': 1 };
  it.each<[string, JsonObject]>([
    ['', WRONG],
    ['/allOf/1', { allOf: [{}, WRONG] }],
    ['/properties/a', { properties: { a: WRONG } }],
    ['/patternProperties/^a', { patternProperties: { '^a': WRONG } }],
    ['/additionalProperties', { additionalProperties: WRONG }],
    ['/prefixItems/1', { prefixItems: [{}, WRONG] }],
    ['/items', { prefixItems: [{}], items: WRONG }],
    ['/items/1', { items: [{}, WRONG] }],
    ['/additionalItems', { items: [{}], additionalItems: WRONG }],
    ['/$defs/x', { $ref: '#/$defs/x', $defs: { x: WRONG } }],
    ['/$defs/x', { $ref: '#x', $defs: { x: { $anchor: 'x', ...WRONG } } }],
  ])('is named wherever it stands: in “%s”', (place, schema) =>
    expect(() => schemaRulesOf(schema)).toThrow(new SchemaAnnotationError(`${place}/x-pii`, 'must be true or false')),
  );

  it.each<[string, JsonValue]>([
    ['x-ttlSeconds', 1],
    ['x-ttlSeconds', 31_536_000],
    ['x-priority', 0],
    ['x-priority', 9],
    ['x-pinned', false],
    ['x-conflict', 'ours'],
  ])('%s: %j is one that does', (annotation, value) =>
    expect(() => schemaRulesOf({ [annotation]: value })).not.toThrow(),
  );

  it.each([[{ $id: 'https://example.org/schema' }], [{ $defs: { a: { $id: '#a' } } }]])(
    'is not what a schema is called: %j',
    (schema) => expect(() => schemaRulesOf(schema)).not.toThrow(),
  );

  it('is none where the name is a member’s, or lies in a value', () => {
    const notAnnotations = { 'x-priority': 'high' };
    const schema = { properties: { 'x-priority': {} }, default: notAnnotations, enum: [notAnnotations] };
    expect(() => schemaRulesOf(schema)).not.toThrow();
  });

  it.each<[string, JsonObject]>([
    ['/properties/a/$ref leads nowhere', { properties: { a: { $ref: '#/$defs/b' } } }],
    ['/properties/a/$ref leads nowhere', { properties: { a: { $ref: '#/constructor' } } }],
    ['/$ref leads nowhere', { $ref: '#b' }],
    ['/$ref leads nowhere', { $ref: '#/%' }],
    // Through what has no members, though it may have characters.
    ['/$ref leads nowhere', { $ref: '#/title/0', title: 'text' }],
    ['/$ref leads nowhere', { $ref: '#/default/a', default: null }],
    ['/$ref leads nowhere', { $ref: '#/examples/length', examples: [{}] }],
    ['/$ref leads nowhere', { $ref: '#x', default: { a: null } }],
    ['/$ref leads out of the schema', { $ref: 'https://example.org/schema' }],
    ['/$defs/a/$id is not supported', { $defs: { a: { $id: 'a' } }, $ref: '#/$defs/a' }],
    ['/patternProperties/( is no regular expression', { patternProperties: { '(': {} } }],
  ])('%s', (message, schema) => expect(() => schemaRulesOf(schema)).toThrow(message));
});

describe('Filling in defaults', () => {
  it('every missing member with a default, at every depth and in arrays', () => {
    const schema = {
      properties: {
        a: { default: 0 },
        b: { properties: { c: { default: ['x'] }, d: { properties: { e: { default: null } } } } },
        list: { items: { properties: { f: { default: false } } } },
        pair: {
          prefixItems: [{ properties: { g: { default: 1 } } }, true],
          items: { properties: { h: { default: 2 } } },
        },
        optional: { properties: { i: { default: 3 } } },
      },
    };
    expect(fill(schema, { b: { d: {} }, list: [{}, 1, { f: 1 }, [{}]], pair: [{}, {}, {}], other: {} })).toEqual({
      a: 0,
      b: { c: ['x'], d: { e: null } },
      list: [{ f: false }, 1, { f: 1 }, [{}]],
      pair: [{ g: 1 }, {}, { h: 2 }],
      other: {},
    });
  });

  it('in a tuple of draft-07, without making it longer', () => {
    const element = (name: string) => ({ default: {}, properties: { [name]: { default: 1 } } });
    const schema = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      properties: { pair: { items: [element('a'), element('b')], additionalItems: element('c') } },
    };
    expect(fill(schema, { pair: [{}, {}, {}] })).toEqual({ pair: [{ a: 1 }, { b: 1 }, { c: 1 }] });
    expect(fill(schema, { pair: [{}] })).toEqual({ pair: [{ a: 1 }] });
  });

  it.each<[string, JsonObject]>([
    ['the first elements', { prefixItems: [{}, { properties: { a: { default: 1 } } }] }],
    ['all elements', { items: { properties: { a: { default: 1 } } } }],
  ])('in an array of which the schema only says what %s are', (_what, list) => {
    const context = { list: [0, {}] };
    expect(fill({ properties: { list } }, context)).toEqual({ list: [0, { a: 1 }] });
    expect(context).toEqual({ list: [0, {}] });
  });

  it('a default first, then those of its members', () => {
    const a = {
      default: { list: [{}] },
      properties: { b: { default: 1 }, list: { items: { properties: { c: { default: 2 } } } } },
    };
    expect(fill({ properties: { a } }, {})).toEqual({ a: { list: [{ c: 2 }], b: 1 } });
  });

  it.each<[JsonValue]>([[null], [0], [''], ['ill-typed'], [[]], [false]])(
    'never in the place of what is there: %j',
    (value) => {
      const context = { a: value };
      const schema = { properties: { a: { type: 'object', default: {}, properties: { b: { default: 1 } } } } };
      expect(fill(schema, context)).toBe(context);
    },
  );

  describe('an object that is required is made of its members’ defaults', () => {
    const object = (properties: JsonObject, ...required: string[]) => ({ type: 'object', properties, required });

    it('where all have one, at every depth', () => {
      const inner = object({ a: { default: 1 }, b: { default: 2 } });
      const schema = object({ outer: object({ inner, c: { default: null } }, 'inner') }, 'outer');
      expect(fill(schema, {})).toEqual({ outer: { inner: { a: 1, b: 2 }, c: null } });
    });

    it('where a list of types lets it be one', () => {
      const nullable = { ...object({ a: { default: 1 } }), type: ['null', 'object'] };
      expect(fill(object({ o: nullable }, 'o'), {})).toEqual({ o: { a: 1 } });
    });

    it.each<[string, JsonObject]>([
      ['it is not required', { properties: { o: object({ a: { default: 1 } }) } }],
      ['one member has no default', object({ o: object({ a: { default: 1 }, b: {} }) }, 'o')],
      [
        'one member is an object that would not be made',
        object({ o: object({ p: object({ a: { default: 1 } }) }) }, 'o'),
      ],
      ['it requires a member that it does not name', object({ o: object({ a: { default: 1 } }, 'odd') }, 'o')],
      ['it names no members', object({ o: object({}) }, 'o')],
      ['it is to be no object', object({ o: { type: ['array', 'null'], properties: { a: { default: 1 } } } }, 'o')],
      [
        'one of its schemas lets it be no object',
        object({ o: { ...object({ a: { default: 1 } }), allOf: [{ type: 'string' }] } }, 'o'),
      ],
      [
        'it is only known as an entry of a map',
        { required: ['o'], additionalProperties: object({ a: { default: 1 } }) },
      ],
    ])('not where %s', (_why, schema) => {
      const context = {};
      expect(fill(schema, context)).toBe(context);
    });

    it('also where the requirement and the members come from different schemas', () => {
      const schema = {
        $defs: { o: { properties: { a: { default: 1 } } } },
        properties: { o: { $ref: '#/$defs/o' } },
        allOf: [{ required: ['o'] }],
      };
      expect(fill(schema, {})).toEqual({ o: { a: 1 } });
    });
  });

  it('as deep as the context goes, where the schema is recursive', () => {
    const schema = { required: ['next'], properties: { next: { $ref: '#' }, n: { default: 0 } } };
    expect(fill(schema, { next: { next: { n: 1 } } })).toEqual({ n: 0, next: { n: 0, next: { n: 1 } } });
  });

  it('stops where a default of a recursive schema stops', () => {
    const schema = { properties: { next: { $ref: '#', default: { next: null } }, n: { default: 0 } } };
    expect(fill(schema, {})).toEqual({ n: 0, next: { n: 0, next: null } });
  });

  it.each<[string, JsonObject]>([
    ['a default', { properties: { next: { $ref: '#', default: {} } } }],
    [
      'a default and an object made for it',
      {
        properties: {
          a: {
            default: {},
            required: ['b'],
            properties: { b: { required: ['c'], properties: { c: { $ref: '#/properties/a' } } } },
          },
        },
      },
    ],
    [
      'a default in a map’s entries',
      { additionalProperties: { properties: { next: { $ref: '#/additionalProperties', default: {} } } } },
    ],
    [
      'a default under a pattern',
      { patternProperties: { '^a': { properties: { next: { $ref: '#/patternProperties/^a', default: {} } } } } },
    ],
    [
      'a default at the start of a tuple',
      { prefixItems: [{ properties: { next: { $ref: '#/prefixItems/0', default: {} } } }] },
    ],
    ['a default in an array’s elements', { items: { properties: { next: { $ref: '#', default: [{}] } } } }],
  ])('is refused from the start where it would have no end: %s', (_what, schema) =>
    expect(() => schemaRulesOf(schema)).toThrow('without end'),
  );

  it('is refused with the place of what leads back', () => {
    const schema = { properties: { a: { properties: { next: { $ref: '#/properties/a', default: {} } } } } };
    expect(() => schemaRulesOf(schema)).toThrow(
      '/properties/a/properties/next has a default that leads back to it, and so would be filled in without end',
    );
  });

  it('takes `__proto__` for a name like any other', () => {
    const schema = parsed(
      '{"properties":{"__proto__":{"default":{"__proto__":1}},"o":{"properties":{"a":{"default":1}}}}}',
    );
    const filled = fill(schema, parsed('{"o":{"__proto__":{"polluted":true}}}'));
    expect(JSON.stringify(filled)).toBe('{"o":{"__proto__":{"polluted":true},"a":1},"__proto__":{"__proto__":1}}');
    expect(Object.getPrototypeOf(filled)).toBe(Object.prototype);
    expect(filled['polluted']).toBeUndefined();
  });

  it('fills a name that every object inherits', () => {
    expect(fill({ properties: { constructor: { default: 1 } } }, {})).toEqual({ constructor: 1 });
  });
});

const json = fc.jsonValue({ maxDepth: 3 }).map((value): JsonValue => JSON.parse(JSON.stringify(value)));
const NAMES = ['a', 'b', 'c'] as const;
const MORE_NAMES = ['x', 'y'] as const;

/** Contexts whose names are those of the schemas. */
const { context } = fc.letrec<{ value: JsonValue; context: JsonObject }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.integer(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 2 }),
    tie('context'),
  ),
  context: fc.dictionary(fc.constantFrom(...NAMES, ...MORE_NAMES), tie('value'), { maxKeys: 4 }),
}));

/**
 * Schemas for which Ajv and we do the same. What it does not do is left out: making required objects, defaults behind `$ref`; and,
 * because it goes over a context once, members that one schema fills and another, which it has been through by then, looks into.
 */
const { plainSchema } = fc.letrec<{ plainSchema: JsonObject }>((tie) => {
  const members = (names: readonly string[]) =>
    fc.dictionary(fc.constantFrom(...names), tie('plainSchema'), { maxKeys: 3 });
  const inner = fc.oneof(fc.constant({}), context);
  return {
    plainSchema: fc.oneof(
      { maxDepth: 4 },
      fc.record({ default: json }, { requiredKeys: [] }),
      fc.record(
        {
          properties: members(NAMES),
          allOf: members(MORE_NAMES).map((properties) => [{ properties }]),
          default: inner,
        },
        { requiredKeys: ['properties'] },
      ),
      fc.record(
        { properties: members(NAMES), additionalProperties: tie('plainSchema'), default: inner },
        { requiredKeys: ['properties', 'additionalProperties'] },
      ),
      fc.record(
        {
          items: tie('plainSchema'),
          prefixItems: fc.array(tie('plainSchema'), { minLength: 1, maxLength: 2 }),
          default: fc.array(context, { maxLength: 2 }),
        },
        { requiredKeys: ['items'] },
      ),
    ),
  };
});

/** Schemas with everything that the rules know, names of danger among it. */
const { richSchema } = fc.letrec<{ richSchema: JsonObject }>((tie) => {
  const name = fc.constantFrom('a', 'b', '__proto__');
  const schema = fc.oneof({ maxDepth: 2 }, fc.record({ default: json }, { requiredKeys: [] }), tie('richSchema'));
  const keywords = {
    type: fc.constantFrom('object', ['object', 'null'], 'array'),
    default: fc.constantFrom({}, { a: {} }, { b: [{}] }, [{}]),
    required: fc.uniqueArray(name),
    properties: fc.dictionary(name, schema, { minKeys: 1, maxKeys: 2 }),
    patternProperties: fc.dictionary(fc.constantFrom('^[ab]', '[cx]'), schema, { maxKeys: 1 }),
    additionalProperties: schema,
    allOf: fc.array(schema, { maxLength: 1 }),
    items: schema,
  };
  const $ref = fc.constantFrom('#', '#/properties/a');
  return {
    richSchema: fc.oneof(
      { weight: 4, arbitrary: fc.record(keywords, { requiredKeys: ['properties'] }) },
      { weight: 1, arbitrary: fc.record({ ...keywords, $ref }, { requiredKeys: ['properties', '$ref'] }) },
    ),
  };
});

/** Rules of a rich schema; none for one that is refused, because a default in it has no end or a reference leads nowhere. */
const richRules = richSchema
  .map((schema) => {
    try {
      return { schema, rules: schemaRulesOf(schema) };
    } catch (error) {
      if (error instanceof SchemaAnnotationError) return undefined;
      throw error;
    }
  })
  .filter((rules) => rules !== undefined);

/** All objects and arrays in a value, itself included. */
function partsOf(value: JsonValue): object[] {
  return typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(partsOf)] : [];
}

/** Whether everything in `before` is in `after`, with the same values. */
function keepsAll(before: JsonValue, after: JsonValue | undefined): boolean {
  if (typeof before !== 'object' || before === null) return before === after;
  if (isJsonObject(before)) {
    const members = isJsonObject(after) ? new Map(Object.entries(after)) : undefined;
    return Object.entries(before).every(([name, value]) => members !== undefined && keepsAll(value, members.get(name)));
  }
  if (!Array.isArray(after) || after.length !== before.length) return false;
  const elements: readonly JsonValue[] = after;
  return before.every((element, index) => keepsAll(element, elements[index]));
}

describe('Filling in defaults, whatever the schema', () => {
  it('property: does as Ajv’s useDefaults', () => {
    fc.assert(
      fc.property(plainSchema, context, (schema, value) => {
        const byAjv: JsonObject = structuredClone(value);
        new Ajv2020({ useDefaults: true, strict: false, allErrors: true }).compile(schema)(byAjv);
        expect(fill(schema, value)).toEqual(byAjv);
      }),
    );
  });

  it('property: once is enough; what needs nothing is given back as it is', () => {
    fc.assert(
      fc.property(richRules, context, ({ rules }, value) => {
        const once = rules.fillDefaults(value);
        expect(rules.fillDefaults(once)).toBe(once);
      }),
    );
  });

  it('property: everything that was there is there still, and the context given is as it was', () => {
    fc.assert(
      fc.property(richRules, context, ({ rules }, value) => {
        const before = structuredClone(value);
        const filled = rules.fillDefaults(value);
        expect(value).toEqual(before);
        expect(keepsAll(value, filled)).toBe(true);
      }),
    );
  });

  it('property: the rule’s default is what is put there', () => {
    fc.assert(
      fc.property(richRules, context, ({ rules }, value) => {
        for (const [name, member] of Object.entries(rules.fillDefaults(value))) {
          const rule = rules.ruleOf([name]);
          if (!Object.hasOwn(value, name) && rule.default !== undefined) expect(member).toEqual(rule.default);
        }
      }),
    );
  });

  it('property: what is filled in is never shared, neither with another context nor with the schema', () => {
    fc.assert(
      fc.property(richRules, context, ({ schema, rules }, value) => {
        const given = new Set(partsOf(value));
        const fresh = () => partsOf(rules.fillDefaults(value)).filter((part) => !given.has(part));
        const ofSchema = new Set(partsOf(schema));
        const filledIn = [...fresh(), ...fresh()];
        expect(new Set(filledIn).size).toBe(filledIn.length);
        expect(filledIn.some((part) => ofSchema.has(part))).toBe(false);
      }),
    );
  });

  it('shares with the context given what needs nothing', () => {
    const schema = { properties: { a: { default: 1 }, b: { properties: { c: { default: 1 } } } } };
    const b = { c: 1, d: [{}] };
    expect(fill(schema, { b })['b']).toBe(b);
  });
});
