import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import type { JsonValue } from '../../../lib/context/json.ts';
import {
  expiresAt,
  idempotencyKeyOf,
  jsonObject,
  jsonValue,
  parseBody,
  scope,
  ttlSeconds,
  variableKey,
} from '../../../lib/http/fields.ts';
import { problemOf } from './problemOf.ts';

const schema = z.strictObject({
  key: z.optional(variableKey),
  value: z.optional(jsonValue),
  crm: z.optional(jsonObject),
  scope,
  expiresAt: z.optional(expiresAt),
  ttlSeconds: z.optional(ttlSeconds),
});
const parse = (value: unknown) => parseBody(schema, { value, violations: [] });
const errorsOf = (value: unknown) => problemOf(() => parse(value)).options.errors ?? [];
const nested = (levels: number): JsonValue => (levels === 0 ? 0 : [nested(levels - 1)]);

describe('Fields of a request', () => {
  it('are read, with the scope’s default', () => {
    expect(parse({ key: 'k', expiresAt: '2026-12-01T10:00:00Z' })).toEqual({
      key: 'k',
      scope: 'session',
      expiresAt: Date.UTC(2026, 11, 1, 10),
    });
  });

  it.each(['a', '0', '_', '-', 'x'.repeat(128)])('key %s is taken', (key) => expect(parse({ key }).key).toBe(key));

  it.each([
    [{ key: '' }, '/key'],
    [{ key: 'x'.repeat(129) }, '/key'],
    [{ key: 'a.b' }, '/key'],
    [{ key: 'ä' }, '/key'],
    [{ key: 'a\n' }, '/key'],
    [{ key: 1 }, '/key'],
    [{ key: '__proto__' }, '/key'],
    [{ key: 'constructor' }, '/key'],
    [{ scope: 'bot' }, '/scope'],
    [{ scope: null }, '/scope'],
    [{ ttlSeconds: 0 }, '/ttlSeconds'],
    [{ ttlSeconds: -1 }, '/ttlSeconds'],
    [{ ttlSeconds: 1.5 }, '/ttlSeconds'],
    [{ ttlSeconds: 31_536_001 }, '/ttlSeconds'],
    [{ ttlSeconds: '60' }, '/ttlSeconds'],
    [{ expiresAt: 1795251600000 }, '/expiresAt'],
    [{ expiresAt: '2026-12-01T10:00:00' }, '/expiresAt'],
    [{ expiresAt: null }, '/expiresAt'],
    [{ crm: [] }, '/crm'],
    [{ crm: null }, '/crm'],
    [{ value: nested(33) }, '/value'],
    [{ 'un/known~': 1 }, '/un~1known~0'],
  ])('%j is refused at %s', (body, pointer) => {
    expect(errorsOf(body).map((error) => error.pointer)).toEqual([pointer]);
  });

  it('exactly at the limits is taken (SCENARIO 28)', () => {
    expect(parse({ ttlSeconds: 1 }).ttlSeconds).toBe(1);
    expect(parse({ ttlSeconds: 31_536_000 }).ttlSeconds).toBe(31_536_000);
    expect(parse({ value: nested(32) }).value).toEqual(nested(32));
    expect(parse({ value: null }).value).toBeNull();
  });

  it('all violations are told, with what was found before and elsewhere (SCENARIO 35)', () => {
    const at = (pointer: string) => ({ pointer, code: 'c', message: 'is wrong' });
    const problem = problemOf(() =>
      parseBody(schema, { value: { key: '', scope: 'x', odd: 1 }, violations: [at('/before')] }, [at('/across')]),
    );
    expect(problem.code).toBe('validation-failed');
    expect(problem.options.errors?.map(({ pointer }) => pointer)).toEqual(
      expect.arrayContaining(['/before', '/key', '/scope', '/odd', '/across']),
    );
  });

  it('a body with violations is never used, even where the route finds nothing', () => {
    const violations = [{ pointer: '/value', code: 'number-not-exact', message: 'is wrong' }];
    expect(problemOf(() => parseBody(schema, { value: {}, violations })).options.errors).toEqual(violations);
  });

  it('no message quotes a value (SCENARIO 44)', () => {
    const secret = 'ada@example.org';
    const bodies = [{ key: secret }, { scope: secret }, { expiresAt: secret }, { ttlSeconds: secret }, { crm: secret }];
    for (const body of bodies) {
      const text = JSON.stringify(errorsOf(body));
      expect(text).not.toBe('[]');
      expect(text).not.toContain(secret);
    }
  });
});

describe('idempotencyKeyOf', () => {
  it.each(['a', '!', '~', 'x'.repeat(255)])('takes %s', (key) => {
    expect(idempotencyKeyOf(new Map([['idempotency-key', key]]))).toBe(key);
  });

  it.each(['', ' ', 'a b', 'é', 'a\n', 'x'.repeat(256)])('refuses %j', (key) => {
    expect(problemOf(() => idempotencyKeyOf(new Map([['idempotency-key', key]]))).status).toBe(400);
  });

  it('may be absent', () => expect(idempotencyKeyOf(new Map())).toBeUndefined());
});
