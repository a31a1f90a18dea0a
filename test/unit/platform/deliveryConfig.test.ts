import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../../../lib/platform/config.ts';
import { deliverySettings } from '../../../lib/platform/deliveryConfig.ts';

const complete = {
  TABLE_NAME: 'table',
  BRIDGE_SECRET_ID: 'secret-id',
  COGNIGY_BASE_URL: 'https://cognigy.example/',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'access',
};
const delivering = {
  ...complete,
  NOTIFY_QUEUE_URL: 'https://sqs.example/1/notify',
  DEAD_LETTER_QUEUE_URL: 'https://sqs.example/1/dead',
  EVENT_BUS_NAME: 'outcomes',
};

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env, deliverySettings);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('readConfig, of who delivers events', () => {
  it('says where they go', () => {
    expect(readConfig(delivering, deliverySettings).delivery).toEqual({
      notifyQueueUrl: delivering.NOTIFY_QUEUE_URL,
      deadLetterQueueUrl: delivering.DEAD_LETTER_QUEUE_URL,
      eventBusName: 'outcomes',
      allowPrivate: false,
    });
  });

  it('says who wants to hear of them, and of which', () => {
    const env = {
      ...delivering,
      CRM_WEBHOOK_URL: 'https://crm.example/hook?tenant=1',
      CRM_WEBHOOK_EVENTS: 'context.injected, context.failed',
      CRM_WEBHOOK_KEY_PREFIXES: 'crm_,tier',
    };
    expect(readConfig(env, deliverySettings).delivery.destination).toEqual({
      url: 'https://crm.example/hook?tenant=1',
      eventTypes: ['context.injected', 'context.failed'],
      keyPrefixes: ['crm_', 'tier'],
    });
  });

  it('SCENARIO 46: names everything that is missing, at once, with what else is wrong', () => {
    const problems = problemsOf({ ...complete, DUE_SHARDS: '0' });
    for (const name of ['DUE_SHARDS', 'NOTIFY_QUEUE_URL', 'DEAD_LETTER_QUEUE_URL', 'EVENT_BUS_NAME']) {
      expect(problems.filter((each) => each.startsWith(`${name} `))).toHaveLength(1);
    }
    expect(problems).toHaveLength(4);
    expect(problemsOf({ ...delivering, EVENT_BUS_NAME: '' })).toEqual(['EVENT_BUS_NAME is missing']);
  });

  it('lets the others be', () => {
    expect(readConfig(complete)).not.toHaveProperty('delivery');
  });

  it.each([
    [{ CRM_WEBHOOK_URL: 'http://crm.example/' }, 'CRM_WEBHOOK_URL must use https'],
    [{ CRM_WEBHOOK_URL: 'https://user:hunter2@crm.example/' }, 'CRM_WEBHOOK_URL must not hold credentials'],
    [{ CRM_WEBHOOK_URL: 'hunter2' }, 'CRM_WEBHOOK_URL must be'],
    [{ CRM_WEBHOOK_EVENTS: 'context.injected,hunter2' }, 'CRM_WEBHOOK_EVENTS must be'],
    [{ CRM_WEBHOOK_EVENTS: ',' }, 'CRM_WEBHOOK_EVENTS must be'],
    [{ CRM_WEBHOOK_KEY_PREFIXES: 'a,' }, 'CRM_WEBHOOK_KEY_PREFIXES must not'],
    [{ NOTIFY_QUEUE_URL: 'hunter2' }, 'NOTIFY_QUEUE_URL must be'],
    [{ DEAD_LETTER_QUEUE_URL: 'hunter2' }, 'DEAD_LETTER_QUEUE_URL must be'],
    [{ ALLOW_PRIVATE_WEBHOOKS: 'hunter2' }, 'ALLOW_PRIVATE_WEBHOOKS must be'],
  ])('SCENARIO 46: refuses %j by name, and quotes nothing', (env, problem) => {
    const problems = problemsOf({ ...delivering, ...env });
    expect(problems).toEqual([expect.stringContaining(problem)]);
    expect(problems.join()).not.toContain('hunter2');
  });

  it('permits http where private destinations are permitted', () => {
    const env = { ...delivering, CRM_WEBHOOK_URL: 'http://localhost:1/', ALLOW_PRIVATE_WEBHOOKS: 'true' };
    expect(readConfig(env, deliverySettings).delivery).toMatchObject({ allowPrivate: true });
  });
});
