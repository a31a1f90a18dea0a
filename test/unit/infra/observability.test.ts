import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { ofType, packageTemplate, resourceOf, type Template } from '../../fixtures/infra/template.ts';

let template: Template;
let withEmail: Template;
beforeAll(async () => {
  const [plain, watched] = await Promise.all([
    packageTemplate(),
    packageTemplate({ STAGE: 'prod', ALARM_EMAIL: 'on-call@example.org' }),
  ]);
  template = plain.template;
  withEmail = watched.template;
}, 60_000);

const propertiesOf = (id: string, from = template) => resourceOf(from, id).Properties;
const functionIds = () => ofType(template, 'AWS::Lambda::Function').map(([id]) => id);

/** The names of the metrics that the functions write. */
const OWN_METRICS = (
  /export type MetricName =([^;]*);/.exec(
    readFileSync(new URL('../../../lib/operations/ports/telemetry.ts', import.meta.url), 'utf8'),
  )?.[1] ?? ''
).match(/\w+/g);

describe('queues', () => {
  it('are the one for prompts and its dead letters, and both are encrypted', () => {
    const queues = ofType(template, 'AWS::SQS::Queue');
    expect(queues.map(([id]) => id).sort()).toEqual(['DeadLetterQueue', 'NotifyQueue']);
    for (const [, { Properties }] of queues) expect(Properties.SqsManagedSseEnabled).toBe(true);
  });

  it('a prompt that notify cannot look at five times becomes a dead letter, and from no other queue comes one', () => {
    expect(propertiesOf('NotifyQueue').RedrivePolicy).toEqual({
      deadLetterTargetArn: { 'Fn::GetAtt': ['DeadLetterQueue', 'Arn'] },
      maxReceiveCount: 5,
    });
    const source = `arn:\${AWS::Partition}:sqs:\${AWS::Region}:\${AWS::AccountId}:${propertiesOf('NotifyQueue').QueueName}`;
    expect(propertiesOf('DeadLetterQueue').RedriveAllowPolicy).toEqual({
      redrivePermission: 'byQueue',
      sourceQueueArns: [{ 'Fn::Sub': source }],
    });
    expect(propertiesOf('NotifyQueue')).not.toHaveProperty('RedriveAllowPolicy');
  });

  it('dead letters are kept for 14 days, and survive the stack except in the dev stage', () => {
    expect(propertiesOf('DeadLetterQueue').MessageRetentionPeriod).toBe(14 * 86_400);
    expect(resourceOf(template, 'DeadLetterQueue')).toMatchObject({ DeletionPolicy: 'Delete' });
    expect(resourceOf(withEmail, 'DeadLetterQueue')).toMatchObject({
      DeletionPolicy: 'Retain',
      UpdateReplacePolicy: 'Retain',
    });
  });

  it('lead to notify ten at a time, whose failures are taken one by one', () => {
    const [[, mapping] = [], ...others] = ofType(template, 'AWS::Lambda::EventSourceMapping');
    expect(others).toEqual([]);
    expect(mapping?.Properties).toEqual({
      EventSourceArn: { 'Fn::GetAtt': ['NotifyQueue', 'Arn'] },
      FunctionName: { 'Fn::GetAtt': ['NotifyLambdaFunction', 'Arn'] },
      BatchSize: 10,
      Enabled: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      ScalingConfig: { MaximumConcurrency: 10 },
    });
    expect(propertiesOf('NotifyQueue').VisibilityTimeout).toBeGreaterThanOrEqual(
      6 * propertiesOf('NotifyLambdaFunction').Timeout,
    );
  });
});

describe('bus', () => {
  it('is of the stage, and nothing of the bridge listens to what the bridge tells', () => {
    expect(propertiesOf('EventBus').Name).toBe('context-bridge-dev');
    for (const [, { Properties }] of ofType(template, 'AWS::Events::Rule')) {
      expect(Properties).not.toHaveProperty('EventBusName');
    }
    for (const type of ['AWS::Events::EventBusPolicy', 'AWS::Events::Archive']) {
      expect(ofType(template, type)).toEqual([]);
    }
  });
});

describe('alarms', () => {
  /** What each one watches: a metric, or the metrics and queries of its expression. */
  const watched = (id: string): string[] => {
    const { Namespace, MetricName, Dimensions, Metrics = [] } = propertiesOf(id);
    if (MetricName !== undefined) return [`${Namespace} ${MetricName} ${JSON.stringify(Dimensions[0].Value)}`];
    return Metrics.flatMap(({ Expression, MetricStat }: Record<string, never>) => {
      if (MetricStat === undefined) return [Expression];
      const { Metric } = MetricStat as { Metric: typeof MetricStat };
      return [`${Metric['Namespace']} ${Metric['MetricName']} ${JSON.stringify(Metric['Dimensions'][0]['Value'])}`];
    });
  };
  const total = (metric: string) =>
    `SELECT SUM("${metric}") FROM SCHEMA("ContextBridge", "service", "function") WHERE "service" = 'context-bridge-dev'`;
  const rate = (namespace: string, [errors, all]: readonly [string, string], ref: string) => [
    '100 * errors / all',
    `${namespace} ${errors} {"Ref":"${ref}"}`,
    `${namespace} ${all} {"Ref":"${ref}"}`,
  ];

  it('watch what has to be watched', () => {
    const alarms = ofType(template, 'AWS::CloudWatch::Alarm').map(([id]) => [id, watched(id)]);
    expect(Object.fromEntries(alarms)).toEqual({
      DeadLettersAlarm: ['AWS/SQS ApproximateNumberOfMessagesVisible {"Fn::GetAtt":["DeadLetterQueue","QueueName"]}'],
      NotifyLagsAlarm: ['AWS/SQS ApproximateAgeOfOldestMessage {"Fn::GetAtt":["NotifyQueue","QueueName"]}'],
      DestinationDisabledAlarm: [total('DestinationDisabled')],
      PendingOperationsAlarm: [total('OperationPending')],
      BudgetExhaustedAlarm: [total('RateLimited')],
      AccessDeniedAlarm: [total('UpstreamAccessDenied')],
      ScheduleStoppedAlarm: ['AWS/Events Invocations {"Ref":"SyncEventsRuleSchedule1"}'],
      ApiFailsAlarm: rate('AWS/ApiGateway', ['5xx', 'Count'], 'HttpApi'),
      ...Object.fromEntries(
        functionIds().map((id) => [
          `${id.replace('LambdaFunction', '').replace('Dash', '').replace('Dialogstate', 'DialogState')}FailsAlarm`,
          rate('AWS/Lambda', ['Errors', 'Invocations'], id),
        ]),
      ),
    });
  });

  it('all tell the topic, when it begins and when it is over, and say in words what it is', () => {
    for (const [, { Properties }] of ofType(template, 'AWS::CloudWatch::Alarm')) {
      expect(Properties).toMatchObject({ AlarmActions: [{ Ref: 'AlarmTopic' }], OKActions: [{ Ref: 'AlarmTopic' }] });
      expect(Properties).not.toHaveProperty('ActionsEnabled');
      expect(Properties.AlarmDescription).toMatch(/^\S.{20,}/);
      expect(Object.keys(Properties)).not.toContain('<<');
    }
  });

  it('nothing said means nothing wrong, except of the schedule', () => {
    for (const [id, { Properties }] of ofType(template, 'AWS::CloudWatch::Alarm')) {
      const isSchedule = id === 'ScheduleStoppedAlarm';
      expect([id, Properties.TreatMissingData]).toEqual([id, isSchedule ? 'breaching' : 'notBreaching']);
      expect(Properties.ComparisonOperator).toBe(isSchedule ? 'LessThanThreshold' : 'GreaterThanThreshold');
    }
  });

  it('at once for what never mends itself, after minutes for what may', () => {
    const patience = (id: string) => {
      const { Threshold, EvaluationPeriods, DatapointsToAlarm = EvaluationPeriods } = propertiesOf(id);
      return [Threshold, DatapointsToAlarm, EvaluationPeriods];
    };
    for (const id of ['DeadLettersAlarm', 'DestinationDisabledAlarm', 'AccessDeniedAlarm']) {
      expect([id, ...patience(id)]).toEqual([id, 0, 1, 1]);
    }
    for (const id of ['PendingOperationsAlarm', 'BudgetExhaustedAlarm']) {
      expect([id, ...patience(id)]).toEqual([id, 0, 10, 15]);
    }
    expect(patience('NotifyLagsAlarm')).toEqual([1800, 3, 3]);
    expect(patience('ApiFailsAlarm')).toEqual([5, 2, 2]);
    for (const [id] of ofType(template, 'AWS::CloudWatch::Alarm').filter(([id]) => id.endsWith('FailsAlarm'))) {
      expect([id, ...patience(id)]).toEqual([id, 5, 2, 2]);
    }
  });

  it('have exactly one result each, and of one period', () => {
    for (const [id, { Properties }] of ofType(template, 'AWS::CloudWatch::Alarm')) {
      const { Metrics } = Properties;
      if (Metrics === undefined) continue;
      const results = Metrics.filter(({ ReturnData }: { ReturnData?: boolean }) => ReturnData !== false);
      expect([id, results.length]).toEqual([id, 1]);
    }
  });

  it('are e-mailed to whom the deployer says, and to nobody otherwise', () => {
    expect(resourceOf(template, 'AlarmByEmail')).toMatchObject({
      Type: 'AWS::SNS::Subscription',
      Condition: 'HasAlarmEmail',
      Properties: { TopicArn: { Ref: 'AlarmTopic' }, Protocol: 'email', Endpoint: { Ref: 'AlarmEmail' } },
    });
    expect(template.Conditions?.['HasAlarmEmail']).toEqual({
      'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'AlarmEmail' }, ''] }],
    });
    expect(template.Parameters?.['AlarmEmail']?.Default).toBe('');
    expect(withEmail.Parameters?.['AlarmEmail']?.Default).toBe('on-call@example.org');
    // The key of alias/aws/sns is not for CloudWatch: alarms would silently get nowhere.
    expect(propertiesOf('AlarmTopic')).not.toHaveProperty('KmsMasterKeyId');
  });

  it('and the dashboard know only metrics that there are', () => {
    const alarms = JSON.stringify(ofType(template, 'AWS::CloudWatch::Alarm'));
    const named = [
      ...alarms.matchAll(/SUM\(\\"(\w+)\\"\)/g),
      ...propertiesOf('Dashboard').DashboardBody['Fn::Sub'].matchAll(/MetricName=\\"(\w+)\\"/g),
    ].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter((name) => !OWN_METRICS?.includes(name))).toEqual([]);
  });
});

describe('dashboard', () => {
  interface Widget {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    readonly properties: { readonly title: string; readonly metrics: readonly (readonly unknown[])[] };
  }
  const widgets = (from = template): Widget[] => {
    const { DashboardBody } = propertiesOf('Dashboard', from);
    return JSON.parse(DashboardBody['Fn::Sub']).widgets;
  };

  it('is one of the stage, and its body is JSON whose references there are', () => {
    expect(ofType(template, 'AWS::CloudWatch::Dashboard')).toHaveLength(1);
    expect(propertiesOf('Dashboard').DashboardName).toBe('context-bridge-dev');
    expect(widgets(withEmail).length).toBe(widgets().length);
    const { 'Fn::Sub': body } = propertiesOf('Dashboard').DashboardBody;
    const references = [...body.matchAll(/\$\{(\w+)(?:\.\w+)?\}/g)].map(([, id]) => id);
    expect(references.length).toBeGreaterThan(0);
    for (const id of references) resourceOf(template, id);
  });

  it('shows what has to be shown, each function by itself', () => {
    const shown = (title: string) =>
      widgets()
        .filter(({ properties }) => properties.title === title)
        .flatMap(({ properties }) => properties.metrics.map((metric) => JSON.stringify(metric)))
        .join('\n');
    for (const title of ['Invocations by function', 'Errors by function', 'Duration by function, p95, ms']) {
      for (const id of functionIds()) expect(shown(title)).toContain(`"\${${id}}"`);
    }
    for (const percentile of ['p50', 'p95', 'p99']) {
      expect(shown('Latency of requests, ms')).toContain(`"stat":"${percentile}"`);
      expect(shown('Upstream latency, ms')).toContain(`'${percentile}'`);
    }
    expect(shown('Requests')).toContain('5xx');
    for (const metric of ['UpstreamRequests', 'RateLimited']) expect(shown('Upstream requests')).toContain(metric);
    expect(shown('Operations')).toContain('OperationPending');
    for (const metric of ['EventDelivered', 'DeliveryFailed', 'EventDeadLettered', 'DestinationDisabled']) {
      expect(shown('Deliveries')).toContain(metric);
    }
    for (const title of ['Notify queue', 'Dead letters']) {
      expect(shown(title)).toContain('ApproximateNumberOfMessagesVisible');
      expect(shown(title)).toContain('ApproximateAgeOfOldestMessage');
    }
    for (const kind of ['Read', 'Write']) {
      expect(shown('Table: consumed capacity units')).toContain(`Consumed${kind}CapacityUnits`);
      expect(shown('Table: throttled')).toContain(`${kind}ThrottleEvents`);
    }
  });

  it('has no two widgets in one place', () => {
    const places = widgets().flatMap(({ x, y, width, height }) =>
      Array.from({ length: width * height }, (_, index) => `${x + (index % width)},${y + Math.floor(index / width)}`),
    );
    expect(new Set(places).size).toBe(places.length);
    for (const { x, width } of widgets()) expect(x + width).toBeLessThanOrEqual(24);
  });
});
