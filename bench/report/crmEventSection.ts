import { criticalPath, ownMs } from '../criticalPath.ts';
import type { CrmRun } from '../measures/crmEvents.ts';
import { median, percentile } from '../statistics.ts';
import { atMost, ms, type Section, times } from './figures.ts';
import {
  costFigure,
  DELAYED,
  p50WithoutServers,
  sequentialDatabaseTrips,
  serversOwnMs,
  wholeMs,
} from './roundTrips.ts';

/** Sessions in work at a time, and requests that leave one instance at once (`UPSTREAM_MAX_CONCURRENT`). */
const AT_A_TIME = 5;

/** Latencies and round trips of the delayed run, where the order is as in the cloud; costs of the other, which does not time them. */
export function crmEventSection({ timed, sessions, bareUpstreamMs }: CrmRun, counted: CrmRun): Section {
  const rounds = Math.ceil(sessions / AT_A_TIME);
  const nominalMs = rounds * DELAYED.upstreamMs;
  const whole = timed.map(wholeMs);
  const p50 = median(whole) / nominalMs;
  const reachedMs = timed.map(({ invocation: { startMs, roundTrips } }) => {
    return Math.max(...roundTrips.filter(({ to }) => to === 'upstream').map(({ endMs }) => endMs)) - startMs;
  });
  const reachedP50 = median(reachedMs) / nominalMs;
  const all = [...timed, ...counted.timed];
  const upstream = all.map((event) => event.upstream.length);
  const sequential = timed.map(sequentialDatabaseTrips);
  const upstreamTrips = timed.map(({ invocation }) => criticalPath(invocation).filter(({ to }) => to === 'upstream'));
  const own = counted.timed.map(({ invocation }) => ownMs(invocation));
  return {
    title:
      `CRM event for a record with ${sessions} bound sessions: ${DELAYED.databaseMs} ms added to every DynamoDB round trip, ` +
      `${DELAYED.upstreamMs} ms upstream, warm`,
    method:
      `${timed.length} signed events one after the other, each with another value and a later time of occurrence. Multiples are of the ` +
      `nominal ${nominalMs} ms of ⌈${sessions} / ${AT_A_TIME}⌉ = ${rounds} upstream requests in a row.`,
    figures: [
      {
        name: 'CRM event: until the last session is reached, p50',
        value: times(reachedP50),
        target: atMost(1.5, reachedP50, ' ×'),
        remark: `${ms(median(reachedMs))} from the event's arrival to the upstream's last answer; what follows is recorded only`,
      },
      {
        name: 'CRM event: whole, p50',
        value: times(p50),
        remark: `${ms(median(whole))} to the answer to the CRM; ${rounds} bare requests to the same upstream: ${ms(rounds * median(bareUpstreamMs))}`,
      },
      {
        name: 'CRM event: whole, p99',
        value: times(percentile(whole, 0.99) / nominalMs),
        remark: `p95 ${ms(percentile(whole, 0.95))}, p99 ${ms(percentile(whole, 0.99))}`,
      },
      {
        name: "CRM event: whole, p50, without the local servers' own time",
        value: times(p50WithoutServers(timed) / nominalMs),
        remark:
          `what they take beyond ${DELAYED.databaseMs} and ${DELAYED.upstreamMs} ms on the critical path, ` +
          `p50 ${ms(median(timed.map(serversOwnMs)))}`,
      },
      {
        name: 'CRM event: own time, p50',
        value: ms(median(timed.map(({ invocation }) => ownMs(invocation)))),
        remark:
          `with nothing added to any round trip: ${ms(median(own))}; CPU time of the process ` +
          `${ms(median(timed.map(({ invocation }) => invocation.cpuMs)))}, most of it beside round trips of other sessions`,
      },
      {
        name: 'CRM event: sessions reached',
        value: `${Math.min(...all.map(({ reached }) => reached))} of ${sessions}`,
        target: { text: 'all', isMet: all.every(({ reached }) => reached === sessions) },
        remark: "by the tenant's journal: applied, with the event's own value; the fewest of any event",
      },
      {
        name: 'CRM event: upstream requests',
        value: `${Math.min(...upstream)}–${Math.max(...upstream)}`,
        target: { text: `exactly ${sessions}`, isMet: upstream.every((count) => count === sessions) },
        remark: "by the tenant's journal",
      },
      {
        name: 'CRM event: sequential DynamoDB round trips',
        value: `${median(sequential)} (most: ${Math.max(...sequential)})`,
        remark:
          `on the critical path, and ${median(upstreamTrips.map(({ length }) => length))} to the upstream; the path goes from session to ` +
          'session where they are under way together, and may have more than any one of them waits for',
      },
      costFigure('CRM event: cost', counted.timed),
    ],
  };
}
