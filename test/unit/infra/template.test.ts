import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  packageTemplate,
  type Resource,
  resourceOf,
  type State,
  type Template,
  ofType as typedIn,
} from '../../fixtures/infra/template.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: Json;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, Json>>>>;
}

let template: Template;
let prod: Template;
let state: State;
beforeAll(async () => {
  const [dev, production] = await Promise.all([
    packageTemplate(),
    packageTemplate({
      STAGE: 'prod',
      COGNIGY_BASE_URL: 'https://api.tenant.example',
      UPSTREAM_RATE_PER_MINUTE: '600',
      UPSTREAM_BURST: '20',
      SESSION_ID_PREFIX: 'sess_',
      SYNC_DEFAULT_TTL_SECONDS: '0',
      LOG_RETENTION_DAYS: '90',
      CRM_WEBHOOK_URL: 'https://crm.example/events',
      CRM_WEBHOOK_EVENTS: 'context.injected',
      CRM_WEBHOOK_KEY_PREFIXES: 'crm_',
    }),
  ]);
  template = dev.template;
  state = dev.state;
  prod = production.template;
}, 60_000);

const ofType = (type: string, from = template): [string, Resource][] => typedIn(from, type);
const resource = (id: string, from = template): Resource => resourceOf(from, id);

/** What this stack consists of. A new function has to be added here, with what it may do below. */
const FUNCTIONS = {
  inject: { logicalId: 'InjectLambdaFunction', role: 'InjectRole', timeout: 15 },
  snapshot: { logicalId: 'SnapshotLambdaFunction', role: 'SnapshotRole', timeout: 10 },
  sync: { logicalId: 'SyncLambdaFunction', role: 'SyncRole', timeout: 55 },
  'dialog-state': { logicalId: 'DialogDashstateLambdaFunction', role: 'DialogStateRole', timeout: 15 },
  webhook: { logicalId: 'WebhookLambdaFunction', role: 'WebhookRole', timeout: 10 },
  crm: { logicalId: 'CrmLambdaFunction', role: 'CrmRole', timeout: 15 },
  notify: { logicalId: 'NotifyLambdaFunction', role: 'NotifyRole', timeout: 60 },
} as const;
type FunctionName = keyof typeof FUNCTIONS;
const NAMES = Object.keys(FUNCTIONS) as FunctionName[];

/**
 * Every route, its function, and how that function's handler authenticates its caller (`client`: a client's key with a grant;
 * `signature`: the payload's signature). API Gateway itself lets everything through (SPEC 8).
 */
const ROUTES: Readonly<
  Record<string, { readonly function: FunctionName; readonly authentication: 'client' | 'signature' }>
> = {
  'POST /v1/sessions/{sessionId}/variables': { function: 'inject', authentication: 'client' },
  'GET /v1/sessions/{sessionId}': { function: 'snapshot', authentication: 'client' },
  'GET /v1/sessions/{sessionId}/diff': { function: 'snapshot', authentication: 'client' },
  'GET /v1/sessions/{sessionId}/snapshot': { function: 'snapshot', authentication: 'client' },
  'GET /v1/sessions/{sessionId}/audit': { function: 'snapshot', authentication: 'client' },
  'GET /v1/metrics': { function: 'snapshot', authentication: 'client' },
  'POST /v1/sessions/{sessionId}/sync': { function: 'sync', authentication: 'client' },
  'DELETE /v1/sessions/{sessionId}': { function: 'sync', authentication: 'client' },
  'PATCH /v1/dialogs/{dialogId}/state': { function: 'dialog-state', authentication: 'client' },
  'POST /v1/webhooks/cognigy': { function: 'webhook', authentication: 'signature' },
  'POST /v1/webhooks/crm/{source}': { function: 'crm', authentication: 'signature' },
  'PUT /v1/sessions/{sessionId}/bindings/{source}/{recordId}': { function: 'crm', authentication: 'client' },
  'DELETE /v1/sessions/{sessionId}/bindings/{source}/{recordId}': { function: 'crm', authentication: 'client' },
};

/** What an ARN names, without partition, region and account: a resource of the template, or text. */
function sourceOf(arn: Json): string {
  if (typeof arn === 'string') return arn;
  if (typeof arn !== 'object' || arn === null) throw new Error('no ARN');
  const { Ref, 'Fn::GetAtt': attribute, 'Fn::Join': join } = arn as Readonly<Record<string, Json>>;
  if (typeof Ref === 'string') return Ref.startsWith('AWS::') ? '' : Ref;
  if (Array.isArray(attribute)) return String(attribute[0]);
  if (!Array.isArray(join)) throw new Error('an ARN of another kind');
  const [separator, parts] = join as [string, Json[]];
  return parts
    .map(sourceOf)
    .filter((part) => part !== '')
    .join(separator)
    .replaceAll(/:{2,}/g, ':');
}

describe('functions', () => {
  it('are exactly the expected ones', () => {
    expect(
      ofType('AWS::Lambda::Function')
        .map(([id]) => id)
        .sort(),
    ).toEqual(NAMES.map((name) => FUNCTIONS[name].logicalId).sort());
  });

  it.each(NAMES)('%s runs its own zip on Node 24 and arm64, within its time', (name) => {
    const { Properties } = resource(FUNCTIONS[name].logicalId);
    expect(Properties).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: 'index.handler',
      MemorySize: 512,
      Timeout: FUNCTIONS[name].timeout,
      Code: { S3Key: expect.stringMatching(new RegExp(`/${name}\\.zip$`)) },
    });
    expect(Properties).not.toHaveProperty('ReservedConcurrentExecutions');
  });

  it.each(NAMES)('%s is deployed from its own artefact', (name) => {
    expect(state.package.individually).toBe(true);
    expect(state.service.functions[name]?.package.artifact).toBe(`dist/packages/${name}.zip`);
  });

  it.each(NAMES)('%s has the defaults of the product contract', (name) => {
    expect(resource(FUNCTIONS[name].logicalId).Properties.Environment.Variables).toMatchObject({
      TABLE_NAME: { Ref: 'BridgeTable' },
      BRIDGE_SECRET_ID: { Ref: 'BridgeSecret' },
      COGNIGY_DIALECT: 'session-api',
      UPSTREAM_RATE_PER_MINUTE: '100',
      UPSTREAM_MAX_CONCURRENT: '5',
      SESSION_TTL_SECONDS: '3600',
      WEBHOOK_BUDGET_MS: '4000',
      CONTEXT_MAX_BYTES: '95000',
      SYNC_DEFAULT_TTL_SECONDS: '300',
      AUDIT_RETENTION_DAYS: '90',
      AUDIT_VALUES: 'false',
      DUE_SHARDS: '16',
      NOTIFY_QUEUE_URL: { Ref: 'NotifyQueue' },
      // Metrics of two stages in one account are told apart by it.
      POWERTOOLS_SERVICE_NAME: 'context-bridge-dev',
    });
  });

  it.each(NAMES)('%s lacks what has no default, so that it cannot start with a made-up value', (name) => {
    const { Variables } = resource(FUNCTIONS[name].logicalId).Properties.Environment;
    for (const key of ['COGNIGY_BASE_URL', 'UPSTREAM_BURST', 'SESSION_ID_PREFIX', 'ALLOW_UNSIGNED_WEBHOOKS'])
      expect(Variables).not.toHaveProperty(key);
  });

  it.each(NAMES)('%s takes what the deployer has set', (name) => {
    expect(resource(FUNCTIONS[name].logicalId, prod).Properties.Environment.Variables).toMatchObject({
      COGNIGY_BASE_URL: 'https://api.tenant.example',
      UPSTREAM_RATE_PER_MINUTE: '600',
      UPSTREAM_BURST: '20',
      SESSION_ID_PREFIX: 'sess_',
      SYNC_DEFAULT_TTL_SECONDS: '0',
      UPSTREAM_MAX_CONCURRENT: '5',
    });
  });

  const WEBHOOK_SETTINGS = {
    CRM_WEBHOOK_URL: 'https://crm.example/events',
    CRM_WEBHOOK_EVENTS: 'context.injected',
    CRM_WEBHOOK_KEY_PREFIXES: 'crm_',
  };
  it('only notify knows whom to tell, and by default nobody but the bus', () => {
    for (const name of NAMES) {
      const { Variables } = resource(FUNCTIONS[name].logicalId, prod).Properties.Environment;
      if (name === 'notify') {
        expect(Variables).toMatchObject({
          ...WEBHOOK_SETTINGS,
          DEAD_LETTER_QUEUE_URL: { Ref: 'DeadLetterQueue' },
          EVENT_BUS_NAME: { Ref: 'EventBus' },
        });
        // What may not be reached from outside is only for tests.
        expect(Variables).not.toHaveProperty('ALLOW_PRIVATE_WEBHOOKS');
      } else {
        for (const key of [...Object.keys(WEBHOOK_SETTINGS), 'DEAD_LETTER_QUEUE_URL', 'EVENT_BUS_NAME'])
          expect(Variables).not.toHaveProperty(key);
      }
    }
    const { Variables } = resource('NotifyLambdaFunction').Properties.Environment;
    for (const key of Object.keys(WEBHOOK_SETTINGS)) expect(Variables).not.toHaveProperty(key);
  });

  it('carry no secret in their environment', () => {
    for (const [, { Properties }] of ofType('AWS::Lambda::Function', prod)) {
      const names = Object.keys(Properties.Environment.Variables).filter(
        (key) => key !== 'BRIDGE_SECRET_ID' && key !== 'CRM_WEBHOOK_KEY_PREFIXES',
      );
      expect(names.filter((key) => /SECRET|KEY|TOKEN|PASSWORD/.test(key))).toEqual([]);
    }
  });
});

describe('routes', () => {
  it('are exactly the listed ones, each with an authentication and leading to its function', () => {
    const routes = ofType('AWS::ApiGatewayV2::Route').map(([, { Properties }]) => {
      const integration = resource(Properties.Target['Fn::Join'][1][1].Ref).Properties;
      return [Properties.RouteKey, integration.IntegrationUri['Fn::GetAtt'][0], integration.PayloadFormatVersion];
    });
    const expected = Object.entries(ROUTES).map(([route, { function: name }]) => [
      route,
      FUNCTIONS[name].logicalId,
      '2.0',
    ]);
    expect(routes.sort()).toEqual(expected.sort());
  });

  it('are the only way in, beside the schedule, the events and the queue: each may invoke for itself alone', () => {
    const permissions = ofType('AWS::Lambda::Permission').map(([, { Properties }]) => {
      const { FunctionName, Principal, Action, SourceArn } = Properties;
      expect(Action).toBe('lambda:InvokeFunction');
      return `${FunctionName['Fn::GetAtt'][0]} ${Principal} ${sourceOf(SourceArn)}`;
    });
    expect(permissions.sort()).toEqual([
      'CrmLambdaFunction apigateway.amazonaws.com arn:execute-api:HttpApi/*',
      'CrmLambdaFunction events.amazonaws.com arn:events:rule/context-bridge-dev-crm-rule-4',
      'DialogDashstateLambdaFunction apigateway.amazonaws.com arn:execute-api:HttpApi/*',
      'InjectLambdaFunction apigateway.amazonaws.com arn:execute-api:HttpApi/*',
      'SnapshotLambdaFunction apigateway.amazonaws.com arn:execute-api:HttpApi/*',
      'SyncLambdaFunction apigateway.amazonaws.com arn:execute-api:HttpApi/*',
      'SyncLambdaFunction events.amazonaws.com SyncEventsRuleSchedule1',
      'SyncLambdaFunction events.amazonaws.com arn:events:rule/context-bridge-dev-sync-rule-4',
      'WebhookLambdaFunction apigateway.amazonaws.com arn:execute-api:HttpApi/*',
    ]);
    expect(ofType('AWS::Lambda::Url')).toEqual([]);
    // Lambda itself polls a queue, by the function's role.
    expect(ofType('AWS::Lambda::EventSourceMapping').map(([, { Properties }]) => Properties.FunctionName)).toEqual([
      { 'Fn::GetAtt': ['NotifyLambdaFunction', 'Arn'] },
    ]);
  });

  it('log their use without anything that could hold an id', () => {
    const [stage, ...others] = ofType('AWS::ApiGatewayV2::Stage');
    expect(others).toEqual([]);
    const format: string = stage?.[1].Properties.AccessLogSettings.Format;
    const variables = [...format.matchAll(/\$context\.([\w.]+)/g)].map(([, variable]) => variable).sort();
    expect(variables).toEqual([
      'integration.status',
      'integrationLatency',
      'requestId',
      'requestTimeEpoch',
      'responseLatency',
      'responseLength',
      'routeKey',
      'status',
    ]);
    expect(() => JSON.parse(format)).not.toThrow();
  });

  it('are throttled', () => {
    expect(resource('HttpApiStage').Properties.DefaultRouteSettings).toMatchObject({
      ThrottlingRateLimit: 200,
      ThrottlingBurstLimit: 400,
    });
  });
});

describe('rules', () => {
  const SCHEDULE = 'SyncEventsRuleSchedule1';
  const EVENTS = {
    Contextbridgedevsyncrule4EventBridgeRule: { function: 'sync', type: 'context.sync.requested' },
    Contextbridgedevcrmrule4EventBridgeRule: { function: 'crm', type: 'crm.record.changed' },
  } as const;

  it('are the schedule and the events, and each leads to its function alone', () => {
    const targets = ofType('AWS::Events::Rule').map(([id, { Properties }]) => {
      expect(Properties.State).toBe('ENABLED');
      // What has been asked for reaches the function as it is: nothing rewrites it on the way.
      expect(Properties.Targets.map((target: object) => Object.keys(target).sort())).toEqual([['Arn', 'Id']]);
      return [id, Properties.Targets[0].Arn['Fn::GetAtt'][0]];
    });
    expect(Object.fromEntries(targets)).toEqual({
      [SCHEDULE]: 'SyncLambdaFunction',
      ...Object.fromEntries(Object.entries(EVENTS).map(([id, { function: name }]) => [id, FUNCTIONS[name].logicalId])),
    });
  });

  it('the schedule ticks every minute', () => {
    expect(resource(SCHEDULE).Properties).toMatchObject({ ScheduleExpression: 'rate(1 minute)' });
    expect(resource(SCHEDULE).Properties).not.toHaveProperty('EventPattern');
  });

  it.each(Object.entries(EVENTS))('%s is what somebody puts on the default bus', (id, { type }) => {
    expect(resource(id).Properties.EventPattern).toEqual({ 'detail-type': [type] });
    expect(resource(id).Properties).not.toHaveProperty('EventBusName');
  });

  it('an event that could not be taken comes again twice, for six hours at most', () => {
    const configs = ofType('AWS::Lambda::EventInvokeConfig').map(([, { Properties }]) => Properties);
    expect(configs.map(({ FunctionName }) => FunctionName.Ref).sort()).toEqual([
      'CrmLambdaFunction',
      'SyncLambdaFunction',
    ]);
    for (const config of configs) {
      expect(config).toMatchObject({ MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 21_600 });
    }
  });
});

describe('table', () => {
  it('has the keys, the due index and the expiry attribute', () => {
    expect(resource('BridgeTable').Properties).toMatchObject({
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
        { AttributeName: 'dueShard', AttributeType: 'S' },
        { AttributeName: 'dueAt', AttributeType: 'N' },
      ],
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: 'due',
          KeySchema: [
            { AttributeName: 'dueShard', KeyType: 'HASH' },
            { AttributeName: 'dueAt', KeyType: 'RANGE' },
          ],
          Projection: { ProjectionType: 'KEYS_ONLY' },
        },
      ],
      TimeToLiveSpecification: { AttributeName: 'ttl', Enabled: true },
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      SSESpecification: { SSEEnabled: true },
    });
  });

  it.each(['BridgeTable', 'BridgeSecret'])('%s survives the stack, except in the dev stage', (id) => {
    expect(resource(id)).toMatchObject({ DeletionPolicy: 'Delete', UpdateReplacePolicy: 'Delete' });
    expect(resource(id, prod)).toMatchObject({ DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' });
  });

  it('cannot be deleted by hand either, except in the dev stage', () => {
    expect(resource('BridgeTable').Properties.DeletionProtectionEnabled).toBe(false);
    expect(resource('BridgeTable', prod).Properties.DeletionProtectionEnabled).toBe(true);
  });
});

describe('secret', () => {
  it('is created without a value, so that nothing can be mistaken for one', () => {
    expect(Object.keys(resource('BridgeSecret').Properties)).toEqual(['Description']);
  });
});

describe('logs', () => {
  it('of functions and API are kept for 30 days, or as long as the deployer says', () => {
    const names = ofType('AWS::Logs::LogGroup').map(([, { Properties }]) => Properties.LogGroupName);
    expect(names.sort()).toEqual(
      ['/aws/http-api/context-bridge-dev', ...NAMES.map((name) => `/aws/lambda/context-bridge-dev-${name}`)].sort(),
    );
    for (const [, { Properties }] of ofType('AWS::Logs::LogGroup')) expect(Properties.RetentionInDays).toBe(30);
    for (const [, { Properties }] of ofType('AWS::Logs::LogGroup', prod)) expect(Properties.RetentionInDays).toBe(90);
  });
});

describe('roles', () => {
  const statementsOf = (role: string): Statement[] =>
    resource(role).Properties.Policies.flatMap(
      (policy: { PolicyDocument: { Statement: Statement[] } }) => policy.PolicyDocument.Statement,
    );

  const TABLE = { 'Fn::GetAtt': ['BridgeTable', 'Arn'] };
  const DUE_INDEX = { 'Fn::Sub': `\${BridgeTable.Arn}/index/due` };
  const SECRET = { Ref: 'BridgeSecret' };
  const arnOf = (name: FunctionName) => ({
    'Fn::Sub': `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:context-bridge-dev-${name}`,
  });
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const list = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);

  interface Request {
    readonly action: string;
    readonly on: Json;
    /** Partition keys the request names. */
    readonly keys?: readonly string[];
    /** Whose code asks. */
    readonly by: FunctionName;
  }

  /** As much of IAM's evaluation as these policies use. An unknown condition operator throws: better than a wrong answer. */
  const allows = (role: string, { action, on, keys = [], by }: Request): boolean =>
    statementsOf(role).some((statement) => {
      if (statement.Effect !== 'Allow') throw new Error('only Allow is understood');
      if (!list(statement.Action).includes(action)) return false;
      if (!list(statement.Resource).some((candidate) => same(candidate, on))) return false;
      return Object.entries(statement.Condition ?? {}).every(([operator, operands]) => {
        const [[key, wanted] = ['', '']] = Object.entries(operands);
        switch (`${operator} ${key}`) {
          case 'ForAllValues:StringLike dynamodb:LeadingKeys':
            return keys.every((value) =>
              (wanted as string[]).some((pattern) => value.startsWith(pattern.replace(/\*$/, ''))),
            );
          case 'Null dynamodb:LeadingKeys':
            return (keys.length === 0) === (wanted === 'true');
          case 'ArnEquals lambda:SourceFunctionArn':
            return same(wanted, arnOf(by));
          default:
            throw new Error(`unknown condition ${operator} ${key}`);
        }
      });
    });

  const NOTIFY_QUEUE = { 'Fn::GetAtt': ['NotifyQueue', 'Arn'] };
  const DEAD_LETTERS = { 'Fn::GetAtt': ['DeadLetterQueue', 'Arn'] };
  const BUS = { 'Fn::GetAtt': ['EventBus', 'Arn'] };
  const GETS = ['dynamodb:GetItem', 'dynamodb:BatchGetItem'];
  const READS = [...GETS, 'dynamodb:Query'];
  const WRITES = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:BatchWriteItem'];
  const NEVER = [
    'dynamodb:Scan',
    'dynamodb:DeleteItem',
    'dynamodb:PartiQLSelect',
    'dynamodb:UpdateTable',
    'dynamodb:DeleteTable',
    'dynamodb:UpdateTimeToLive',
  ];
  interface Need {
    readonly keys: readonly string[];
    readonly actions: readonly string[];
  }
  const LANE: Need = { keys: ['SESSION#a', 'TOKEN#a', 'RATE#a'], actions: [...GETS, ...WRITES] };
  /** Everybody who takes operations counts them. */
  const COUNTS: Need = { keys: ['METRIC#a'], actions: ['dynamodb:UpdateItem'] };
  const BINDS: Need = { keys: ['BINDING#a'], actions: ['dynamodb:UpdateItem'] };
  /** A binding is two items, one under the session and one under the record, which go together. */
  const UNBINDS: Need = { keys: ['BINDING#a'], actions: ['dynamodb:BatchWriteItem'] };
  /** What each function does, on which partition keys. Whatever is not here is denied. */
  const NEEDS: Readonly<Record<FunctionName, readonly Need[]>> = {
    inject: [LANE, COUNTS, BINDS],
    'dialog-state': [LANE, COUNTS],
    webhook: [LANE, COUNTS, BINDS],
    snapshot: [
      { keys: ['SESSION#a'], actions: [...READS, 'dynamodb:PutItem', 'dynamodb:UpdateItem'] },
      { keys: ['TOKEN#a', 'RATE#a'], actions: ['dynamodb:GetItem', 'dynamodb:UpdateItem'] },
      { keys: ['METRIC#a'], actions: ['dynamodb:BatchGetItem'] },
    ],
    // To erase a session, everything that it has must be found.
    sync: [LANE, COUNTS, UNBINDS, { keys: ['SESSION#a'], actions: ['dynamodb:Query'] }],
    crm: [
      LANE,
      COUNTS,
      BINDS,
      UNBINDS,
      { keys: ['BINDING#a'], actions: ['dynamodb:GetItem', 'dynamodb:Query'] },
      { keys: ['SEEN#a'], actions: ['dynamodb:GetItem', 'dynamodb:UpdateItem'] },
    ],
    // It asks nothing of the upstream.
    notify: [
      { keys: ['SESSION#a'], actions: [...GETS, 'dynamodb:UpdateItem'] },
      { keys: ['DEST#a'], actions: ['dynamodb:GetItem', 'dynamodb:UpdateItem'] },
    ],
  };
  const ALL_KEYS = [
    'SESSION#a',
    'TOKEN#a',
    'RATE#a',
    'DUE#1',
    'OUT#1',
    'BINDING#a',
    'METRIC#a',
    'SEEN#a',
    'DEST#a',
    'other',
  ];

  it.each(NAMES)('%s: exactly its actions on exactly its keys', (name) => {
    const allowed: string[] = [];
    for (const action of [...READS, ...WRITES, ...NEVER]) {
      for (const key of ALL_KEYS) {
        if (allows(FUNCTIONS[name].role, { action, on: TABLE, keys: [key], by: name }))
          allowed.push(`${action} ${key}`);
      }
    }
    const needed = NEEDS[name].flatMap(({ actions, keys }) =>
      actions.flatMap((action) => keys.map((key) => `${action} ${key}`)),
    );
    expect(allowed.sort()).toEqual(needed.sort());
  });

  it.each(NAMES)('%s: a batch with one foreign key, or without any, is refused', (name) => {
    const role = FUNCTIONS[name].role;
    expect(
      allows(role, { action: 'dynamodb:BatchGetItem', on: TABLE, keys: ['SESSION#a', 'SESSION#b'], by: name }),
    ).toBe(true);
    expect(
      allows(role, { action: 'dynamodb:BatchGetItem', on: TABLE, keys: ['SESSION#a', 'METRIC#b'], by: name }),
    ).toBe(false);
    expect(allows(role, { action: 'dynamodb:BatchGetItem', on: TABLE, keys: [], by: name })).toBe(false);
  });

  it('only sync queries the due index, and does nothing else with it', () => {
    const query = { action: 'dynamodb:Query', on: DUE_INDEX, keys: ['DUE#3'] };
    for (const keys of [['DUE#3'], ['OUT#3']]) {
      expect(NAMES.filter((name) => allows(FUNCTIONS[name].role, { ...query, keys, by: name }))).toEqual(['sync']);
    }
    expect(allows('SyncRole', { ...query, keys: ['SESSION#a'], by: 'sync' })).toBe(false);
    expect(allows('SyncRole', { ...query, action: 'dynamodb:Scan', by: 'sync' })).toBe(false);
  });

  it('who only looks cannot erase, and inject cannot even look for what there is', () => {
    const query = { action: 'dynamodb:Query', on: TABLE, keys: ['SESSION#a'] };
    expect(NAMES.filter((name) => allows(FUNCTIONS[name].role, { ...query, by: name }))).toEqual(['snapshot', 'sync']);
    for (const action of ['dynamodb:BatchWriteItem', 'dynamodb:DeleteItem']) {
      expect(allows('SnapshotRole', { ...query, action, by: 'snapshot' })).toBe(false);
    }
    for (const keys of [['TOKEN#a'], ['RATE#a'], ['SESSION#a', 'TOKEN#a'], []]) {
      expect(allows('SyncRole', { ...query, keys, by: 'sync' })).toBe(false);
    }
  });

  it('who ends a binding deletes both of its items at once', () => {
    const write = { action: 'dynamodb:BatchWriteItem', on: TABLE, keys: ['SESSION#a', 'BINDING#a'] };
    expect(NAMES.filter((name) => allows(FUNCTIONS[name].role, { ...write, by: name }))).toEqual(['sync', 'crm']);
  });

  it('everybody prompts notify, and only notify takes prompts, buries and puts events', () => {
    const allowed = (action: string, on: Json) =>
      NAMES.filter((name) => allows(FUNCTIONS[name].role, { action, on, by: name }));
    expect(allowed('sqs:SendMessage', NOTIFY_QUEUE)).toEqual(NAMES);
    for (const action of ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes']) {
      expect(allowed(action, NOTIFY_QUEUE)).toEqual(['notify']);
      expect(allowed(action, DEAD_LETTERS)).toEqual([]);
    }
    expect(allowed('sqs:SendMessage', DEAD_LETTERS)).toEqual(['notify']);
    expect(allowed('events:PutEvents', BUS)).toEqual(['notify']);
    for (const action of ['sqs:PurgeQueue', 'sqs:DeleteQueue', 'sqs:SetQueueAttributes', 'sqs:StartMessageMoveTask']) {
      expect([...allowed(action, NOTIFY_QUEUE), ...allowed(action, DEAD_LETTERS)]).toEqual([]);
    }
  });

  it('nobody may invoke functions or speak to other services, and beside notify nobody may do more with queues than send', () => {
    for (const name of NAMES) {
      const actions = statementsOf(FUNCTIONS[name].role).flatMap(({ Action }) => list(Action));
      expect([...new Set(actions.filter((action) => !action.startsWith('dynamodb:')))].sort()).toEqual([
        ...(name === 'notify' ? ['events:PutEvents'] : []),
        'logs:CreateLogStream',
        'logs:PutLogEvents',
        'secretsmanager:GetSecretValue',
        ...(name === 'notify' ? ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'] : []),
        'sqs:SendMessage',
      ]);
    }
  });

  it.each(NAMES)('%s: reads the one secret, changes none, and logs to its own group only', (name) => {
    const role = FUNCTIONS[name].role;
    expect(allows(role, { action: 'secretsmanager:GetSecretValue', on: SECRET, by: name })).toBe(true);
    expect(allows(role, { action: 'secretsmanager:PutSecretValue', on: SECRET, by: name })).toBe(false);
    for (const other of NAMES) {
      const group = { 'Fn::GetAtt': [FUNCTIONS[other].logicalId.replace('LambdaFunction', 'LogGroup'), 'Arn'] };
      expect(allows(role, { action: 'logs:PutLogEvents', on: group, by: name })).toBe(name === other);
      expect(allows(role, { action: 'logs:CreateLogGroup', on: group, by: name })).toBe(false);
    }
  });

  it.each(NAMES)('%s: its role is worthless in the hands of another function', (name) => {
    const role = FUNCTIONS[name].role;
    for (const by of NAMES.filter((other) => other !== name)) {
      expect(allows(role, { action: 'dynamodb:GetItem', on: TABLE, keys: ['SESSION#a'], by })).toBe(false);
      expect(allows(role, { action: 'dynamodb:Query', on: DUE_INDEX, keys: ['DUE#3'], by })).toBe(false);
      expect(allows(role, { action: 'secretsmanager:GetSecretValue', on: SECRET, by })).toBe(false);
      expect(allows(role, { action: 'sqs:SendMessage', on: NOTIFY_QUEUE, by })).toBe(false);
      expect(allows(role, { action: 'sqs:SendMessage', on: DEAD_LETTERS, by })).toBe(false);
      expect(allows(role, { action: 'events:PutEvents', on: BUS, by })).toBe(false);
    }
  });

  it('there is one per function, each used by that function only, and only Lambda assumes it', () => {
    expect(
      ofType('AWS::IAM::Role')
        .map(([id]) => id)
        .sort(),
    ).toEqual(NAMES.map((name) => FUNCTIONS[name].role).sort());
    for (const name of NAMES) {
      expect(resource(FUNCTIONS[name].logicalId).Properties.Role).toEqual({
        'Fn::GetAtt': [FUNCTIONS[name].role, 'Arn'],
      });
      expect(resource(FUNCTIONS[name].role).Properties.AssumeRolePolicyDocument.Statement).toEqual([
        { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
      ]);
    }
  });

  it('nothing is granted by wildcard or behind the back of the roles', () => {
    for (const [id, { Properties }] of ofType('AWS::IAM::Role')) {
      expect(Properties).not.toHaveProperty('ManagedPolicyArns');
      for (const { Action, Resource: on } of statementsOf(id)) expect(JSON.stringify([Action, on])).not.toContain('*');
    }
    for (const type of ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy', 'AWS::IAM::RolePolicy'])
      expect(ofType(type)).toEqual([]);
  });

  it('what is granted on the table is what the store calls', async () => {
    const store = join(ROOT, 'lib', 'store');
    const files = (await readdir(store, { recursive: true })).filter((name) => name.endsWith('.ts'));
    const commands = files.flatMap((file) =>
      [...readFileSync(join(store, file), 'utf8').matchAll(/\bnew (\w+)Command\(/g)].map(
        ([, name]) => `dynamodb:${name}`,
      ),
    );
    expect([...new Set(commands)].sort()).toEqual([...READS, ...WRITES].sort());
  });
});
