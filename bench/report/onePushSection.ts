import { ownMs } from '../criticalPath.ts';
import { EXISTING_SESSIONS, type PushRun, type TimedPush } from '../measures/onePush.ts';
import { median, percentile } from '../statistics.ts';
import { atMost, type Figure, ms, type Section, times } from './figures.ts';
import {
  costFigure,
  DELAYED,
  latencyFigure,
  p50WithoutServers,
  sequentialDatabaseTrips,
  serversOwnMs,
  wholeMs,
  youngFigures,
} from './roundTrips.ts';

/** Latencies and round trips of the delayed run, where the order is as in the cloud; costs of the other, which does not time them. */
export function webhookSection(run: PushRun, counted: PushRun): Section {
  return {
    title: `Webhook: ${delays()}`,
    method: `${run.timed.length} signed messages one after the other, to new and ${EXISTING_SESSIONS} existing sessions in turn. ${MULTIPLES}`,
    figures: figuresOf('webhook', run, counted),
  };
}

export function dialogSection(run: PushRun, counted: PushRun): Section {
  const existing = run.timed.filter(({ kind }) => kind === 'existing');
  const byVersion = existing.filter(({ upstream }) => upstream.every(({ hasIfMatch }) => hasIfMatch));
  return {
    title: `Dialog state: ${delays()}`,
    method:
      `${run.timed.length} changes of variables and step one after the other, of new dialogs and of ${EXISTING_SESSIONS} that the bridge has changed ` +
      `before, in turn. ${MULTIPLES}`,
    figures: [
      ...figuresOf('dialog-state', run, counted),
      {
        name: 'dialog-state: existing dialogs changed by a known version',
        value: `${byVersion.length} of ${existing.length}`,
        target: { text: 'all', isMet: byVersion.length === existing.length },
        remark: 'If-Match, without reading the dialog first',
      },
    ],
  };
}

const MULTIPLES = 'Multiples are of one bare request to the same upstream, measured in between.';

const delays = () =>
  `${DELAYED.databaseMs} ms added to every DynamoDB round trip, ${DELAYED.upstreamMs} ms upstream, warm`;

function figuresOf(name: string, { timed, young, bareUpstreamMs }: PushRun, counted: PushRun): Figure[] {
  const whole = timed.map(wholeMs);
  const bareMs = median(bareUpstreamMs);
  const p50 = median(whole) / bareMs;
  const sequential = timed.map(sequentialDatabaseTrips);
  const most = Math.max(...sequential);
  const upstream = [...timed, ...counted.timed].map((each) => each.upstream.length);
  const own = counted.timed.map(({ invocation }) => ownMs(invocation));
  return [
    {
      name: `${name}: whole, p50`,
      value: times(p50),
      target: atMost(1.35, p50, ' ×'),
      remark: `${ms(median(whole))}; the same upstream by bare fetch: ${ms(bareMs)}`,
    },
    ...youngFigures(name, young),
    {
      name: `${name}: whole, p99`,
      value: times(percentile(whole, 0.99) / bareMs),
      remark: `p95 ${ms(percentile(whole, 0.95))}, p99 ${ms(percentile(whole, 0.99))}`,
    },
    {
      name: `${name}: whole, p50, without the local servers' own time`,
      value: times(p50WithoutServers(timed) / DELAYED.upstreamMs),
      remark:
        `of the nominal ${DELAYED.upstreamMs} ms; what they take beyond ${DELAYED.databaseMs} and ${DELAYED.upstreamMs} ms on the ` +
        `critical path, p50 ${ms(median(timed.map(serversOwnMs)))}`,
    },
    {
      name: `${name}: own time, p50`,
      value: ms(median(timed.map(({ invocation }) => ownMs(invocation)))),
      remark: `with nothing added to any round trip: p50 ${ms(median(own))}, p99 ${ms(percentile(own, 0.99))}`,
    },
    {
      name: `${name}: upstream requests`,
      value: `${Math.min(...upstream)}–${Math.max(...upstream)}`,
      target: { text: 'exactly 1', isMet: upstream.every((count) => count === 1) },
      remark: "by the tenant's journal",
    },
    {
      name: `${name}: sequential DynamoDB round trips`,
      value: `${median(sequential)} (most: ${most})`,
      target: atMost(3, most, ''),
      remark: 'on the critical path, as for injections; aim: 2',
    },
    ...byKind(timed).map(([kind, group]) => latencyFigure(`${kind} session: time`, group)),
    ...byKind(counted.timed).map(([kind, group]) => costFigure(`${kind} session: cost`, group)),
  ];
}

function byKind(timed: readonly TimedPush[]): [kind: string, group: TimedPush[]][] {
  return [...Map.groupBy(timed, ({ kind }) => kind)];
}
