import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../../../lib/platform/config.ts';

const complete = {
  TABLE_NAME: 'table',
  BRIDGE_SECRET_ID: 'secret-id',
  COGNIGY_BASE_URL: 'https://cognigy.example/',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'access',
};

function problemsOf(env: Record<string, string | undefined>): readonly string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('readConfig', () => {
  it('has the defaults of the contract', () => {
    expect(readConfig(complete)).toMatchObject({
      cognigyBaseUrl: 'https://cognigy.example',
      upstream: { ratePerMinute: 100, maxConcurrent: 5 },
      sessionTtlMs: 3_600_000,
      auditRetentionMs: 90 * 86_400_000,
      auditValues: false,
      contextMaxBytes: 95_000,
      dueShards: 16,
      scopePrecedence: ['global', 'bot', 'session', 'user'],
      sessionIdPrefix: '',
    });
    expect(readConfig(complete).upstream).not.toHaveProperty('burst');
  });

  it('names everything that is missing, at once (SCENARIO 46)', () => {
    const problems = problemsOf({});
    for (const name of Object.keys(complete)) expect(problems.some((each) => each.startsWith(`${name} `))).toBe(true);
    expect(problems).toHaveLength(Object.keys(complete).length);
  });

  it('takes an empty variable for one that is not set', () => {
    expect(problemsOf({ ...complete, TABLE_NAME: '' })).toEqual([expect.stringMatching(/^TABLE_NAME /)]);
    expect(readConfig({ ...complete, DUE_SHARDS: '' }).dueShards).toBe(16);
  });

  it.each([
    ['UPSTREAM_RATE_PER_MINUTE', '0'],
    ['UPSTREAM_RATE_PER_MINUTE', '1.5'],
    ['UPSTREAM_RATE_PER_MINUTE', 'many'],
    ['SESSION_TTL_SECONDS', '-5'],
    ['CONTEXT_MAX_BYTES', '9999999'],
    ['AUDIT_VALUES', 'yes'],
    ['WEBHOOK_BUDGET_MS', '499'],
    ['WEBHOOK_BUDGET_MS', '29001'],
    ['COGNIGY_DIALECT', 'telnet'],
    ['COGNIGY_BASE_URL', 'not a url'],
    ['COGNIGY_BASE_URL', 'ftp://cognigy.example'],
    ['DUE_SHARDS', '0'],
    ['WEBHOOK_BUDGET_MS', '10'],
    // Three tries of it have to fit into a function's time.
    ['STORE_TIMEOUT_MS', '3001'],
    ['STORE_TIMEOUT_MS', '99'],
    ['ALLOW_UNSIGNED_WEBHOOKS', 'perhaps'],
  ])('refuses %s=%s by name', (name, value) => {
    expect(problemsOf({ ...complete, [name]: value })).toEqual([expect.stringMatching(new RegExp(`^${name} `))]);
  });

  it.each([
    [{ COGNIGY_BASE_URL: 'http://cognigy.example' }, 'https'],
    [{ COGNIGY_BASE_URL: 'http://127.0.0.1.example.org' }, 'https'],
    [{ COGNIGY_BASE_URL: 'https://user:hunter2@cognigy.example' }, 'credentials'],
    [{ COGNIGY_BASE_URL: 'https://cognigy.example/?a=1' }, 'query'],
    [{ COGNIGY_BASE_URL: 'https://cognigy.example/#a' }, 'fragment'],
    [{ UPSTREAM_RATE_PER_MINUTE: '10', UPSTREAM_BURST: '10' }, 'UPSTREAM_BURST'],
    [{ SCOPE_PRECEDENCE: 'global,session,user' }, 'SCOPE_PRECEDENCE'],
    [{ SCOPE_PRECEDENCE: 'global,bot,session,session' }, 'SCOPE_PRECEDENCE'],
    [{ SCOPE_PRECEDENCE: 'global,bot,session,user,user' }, 'SCOPE_PRECEDENCE'],
    [{ SCOPE_PRECEDENCE: 'global,bot,session,dialog' }, 'SCOPE_PRECEDENCE'],
  ])('refuses what contradicts itself: %j', (env, about) => {
    expect(problemsOf({ ...complete, ...env })).toEqual([expect.stringContaining(about)]);
  });

  it.each([
    { COGNIGY_BASE_URL: 'http://localhost:8080' },
    { COGNIGY_BASE_URL: 'http://127.0.0.1:1' },
    { COGNIGY_BASE_URL: 'http://[::1]:1' },
    { COGNIGY_BASE_URL: 'http://cognigy.example', ALLOW_INSECURE_UPSTREAM: 'true' },
    { UPSTREAM_RATE_PER_MINUTE: '1', UPSTREAM_BURST: '1' },
    { SCOPE_PRECEDENCE: 'user, session, bot, global' },
  ])('takes %j', (env) => expect(problemsOf({ ...complete, ...env })).toEqual([]));

  it('never says a value', () => {
    const marker = 'hunter2-value';
    for (const name of [
      'COGNIGY_BASE_URL',
      'UPSTREAM_RATE_PER_MINUTE',
      'AUDIT_VALUES',
      'COGNIGY_DIALECT',
      'SCOPE_PRECEDENCE',
      'WEBHOOK_BUDGET_MS',
      'ALLOW_UNSIGNED_WEBHOOKS',
      'DUE_SHARDS',
    ]) {
      const problems = problemsOf({ ...complete, [name]: marker });
      expect(problems).not.toEqual([]);
      expect(problems.join()).not.toContain(marker);
    }
    expect(problemsOf({ ...complete, COGNIGY_BASE_URL: `http://u:${marker}@host/?q` }).join()).not.toContain(marker);
  });
});
