import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  authenticate,
  hasGrant,
  requireGenuine,
  requireGrant,
  requireKeyPrefixes,
  STANDARD_WEBHOOKS,
} from '../../../lib/http/admission.ts';
import { Problem } from '../../../lib/http/problem.ts';
import { problemOf } from './problemOf.ts';

const client = (name: string, key: string, rest: object = {}) => ({
  name,
  keyHash: createHash('sha256').update(key).digest('hex'),
  operations: ['inject'],
  ...rest,
});
const clients = [client('one', 'key-1'), client('two', 'key-2')];
const as = (headers: Record<string, string>) => authenticate(new Map(Object.entries(headers)), clients).name;

describe('authenticate (SCENARIO 36)', () => {
  it.each([
    [{ authorization: 'Bearer key-1' }, 'one'],
    [{ authorization: 'bearer key-2' }, 'two'],
    [{ authorization: ' Bearer   key-2 ' }, 'two'],
    [{ 'x-api-key': 'key-2' }, 'two'],
    [{ authorization: 'Basic abc', 'x-api-key': 'key-1' }, 'one'],
  ])('%j is %s', (headers, name) => expect(as(headers)).toBe(name));

  it.each<Record<string, string>>([
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: 'key-1' },
    { authorization: 'Bearer key-1 key-2' },
    { authorization: 'Bearer KEY-1' },
    { 'x-api-key': '' },
    { 'x-api-key': 'key-1 ' },
    { 'x-api-key': clients[0]?.keyHash ?? '' },
    { authorization: 'Bearer wrong', 'x-api-key': 'key-1' },
  ])('%j is nobody', (headers) => {
    const problem = problemOf(() => as(headers));
    expect(problem.code).toBe('unauthenticated');
    expect(problem.options.headers).toEqual({ 'www-authenticate': 'Bearer' });
  });

  it('nobody is let in where there are no clients', () => {
    expect(() => authenticate(new Map([['x-api-key', 'key']]), [])).toThrow(Problem);
  });
});

describe('requireGenuine (SCENARIO 37)', () => {
  it('lets in whose signature is right', () => expect(() => requireGenuine({ ok: true })).not.toThrow());

  it.each([
    ['missing', 'webhook-signature'],
    ['malformed', 'webhook-timestamp'],
    ['stale', 'five minutes'],
    ['mismatch', 'signature'],
    ['unconfigured', 'no secret'],
  ] as const)('%s is 401 with the rule, and no word about keys', (reason, rule) => {
    const problem = problemOf(() => requireGenuine({ ok: false, reason }, STANDARD_WEBHOOKS));
    expect(problem).toMatchObject({ code: 'unauthenticated', status: 401 });
    expect(problem.options.detail).toContain(rule);
    // A key would not help.
    expect(problem.options.headers).toBeUndefined();
  });
});

describe('hasGrant', () => {
  it.each([
    [['values'], true],
    [['*'], true],
    [['inspect', 'value', 'values2'], false],
    [[], false],
  ])('a client for %j may see values: %j', (operations, expected) => {
    expect(hasGrant(client('a', 'k', { operations }), 'values')).toBe(expected);
  });
});

describe('requireGrant', () => {
  it('takes the operation by name, or all of them', () => {
    requireGrant(client('a', 'k'), 'inject');
    requireGrant(client('a', 'k', { operations: ['*'] }), 'sync');
    expect(problemOf(() => requireGrant(client('a', 'k'), 'sync')).code).toBe('forbidden');
    expect(problemOf(() => requireGrant(client('a', 'k', { operations: ['inject*'] }), 'injection')).code).toBe(
      'forbidden',
    );
  });
});

describe('requireKeyPrefixes', () => {
  const keys = ['crm_a', 'other', 'CRM_b', '', 'xcrm_'].map((key, index) => ({ key, pointer: `/data/${index}` }));

  it('absent prefixes allow every key', () => requireKeyPrefixes(client('a', 'k'), keys));

  it('no prefixes allow none, but what names no key may pass', () => {
    const nobody = client('a', 'k', { keyPrefixes: [] });
    expect(problemOf(() => requireKeyPrefixes(nobody, keys)).options.errors).toHaveLength(keys.length);
    requireKeyPrefixes(nobody, []);
  });

  it('names the place of every key outside, and does not quote the key', () => {
    const problem = problemOf(() => requireKeyPrefixes(client('a', 'k', { keyPrefixes: ['crm_', 'x_'] }), keys));
    expect(problem.code).toBe('forbidden');
    expect(problem.options.errors?.map(({ pointer }) => pointer)).toEqual(['/data/1', '/data/2', '/data/3', '/data/4']);
    expect(JSON.stringify(problem.toBody('corr'))).not.toMatch(/other|CRM_b/);
  });
});
