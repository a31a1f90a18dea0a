import type { DeliveriesOptions, DeliveriesReport } from '../../test/fixtures/events/runDeliveries.ts';
import type { HangingRun, Listener } from '../measures/hangingEndpoint.ts';
import { median } from '../statistics.ts';
import { atMost, count, type Section, times } from './figures.ts';
import { DELAYED, latencyFigure, wholeMs } from './roundTrips.ts';

/** Requests that one delivery may take: the first, and one after each pause of the ladder. */
const TRIES = 8;

export function hangingSection({ injections, onBus, perSide, hung, answered }: HangingRun): Section {
  const of = (listener: Listener) => injections.filter((injection) => injection.listener === listener);
  const [told, untold] = [of('hanging endpoint'), of('nobody')];
  const ratio = median(told.map(wholeMs)) / median(untold.map(wholeMs));
  const beside = injections.filter(({ isBesideHanging }) => isBesideHanging).length;
  return {
    title: "An injection's answer, with a CRM endpoint that hangs",
    method:
      `${told.length} injections of each side in turn, with ${DELAYED.databaseMs} ms added to every DynamoDB round trip and ` +
      `${DELAYED.upstreamMs} ms upstream. Each side has a process of the same bundle, and a queue that a notify function works off: ` +
      'the one for an endpoint that answers after 30 s, the other for the bus alone.',
    figures: [
      {
        name: 'injection: whole, p50, hanging endpoint to none',
        value: times(ratio),
        target: atMost(1.05, ratio, ' ×'),
        remark: `${beside} of ${injections.length} injections while a delivery hung`,
      },
      latencyFigure('injection, with an endpoint that hangs: time', told),
      latencyFigure('injection, without an endpoint: time', untold),
      {
        name: 'deliveries to the endpoint meanwhile',
        value: count(hung),
        target: { text: 'at least 1, none answered', isMet: hung > 0 && answered === 0 },
        remark:
          `${answered} answered; on the bus until then, of ${perSide} events each: ${onBus['hanging endpoint']} of the side with the ` +
          `endpoint, ${onBus.nobody} of the other`,
      },
    ],
  };
}

export function deliverySection(
  { deliveries, failureRate, crashes }: DeliveriesOptions,
  report: DeliveriesReport,
): Section {
  const { delivered, duplicates, unexplainedDuplicates, crashed, requests, deadLetters } = report;
  const expectedTries = Math.round((deliveries + crashed) / (1 - failureRate));
  const expectedLetters = deliveries * failureRate ** TRIES;
  return {
    title: `${count(deliveries)} deliveries to an endpoint that fails`,
    method:
      `The real rules and operations on a simulated clock, with table, queue and endpoint in memory; of the requests ${failureRate * 100} % ` +
      `fail, and ${count(crashes)} deliveries die after the endpoint's answer, before it is noted. What the ladder of ${TRIES} tries does ` +
      'not deliver is replayed from the dead letters.',
    figures: [
      {
        name: 'deliveries: delivered in the end',
        value: `${count(delivered)} of ${count(deliveries)}`,
        target: { text: 'all', isMet: delivered === deliveries },
        remark: `different ids that the endpoint has taken; the last ${hours(report.durationMs)} after the first event`,
      },
      {
        name: 'deliveries: duplicates that no crash explains',
        value: count(unexplainedDuplicates),
        target: { text: 'exactly 0', isMet: unexplainedDuplicates === 0 },
        remark: 'taken twice, although nothing died',
      },
      {
        name: 'deliveries: duplicates',
        value: count(duplicates),
        target: {
          text: 'one for each crash, with the same id',
          isMet: duplicates === crashed && delivered === deliveries,
        },
        remark: `${count(crashed)} crashes; were an id another one the second time, there would be more than ${count(deliveries)} of them`,
      },
      {
        name: 'deliveries: tries',
        value: count(requests),
        remark:
          `expected: (${count(deliveries)} + ${count(crashed)}) / ${(1 - failureRate).toFixed(1)} = ${count(expectedTries)}; prompted ` +
          `${count(report.prompts)} times, since nothing is sent while the circuit breaker is open`,
      },
      {
        name: 'deliveries: replayed from the dead letters',
        value: count(deadLetters),
        remark: `expected: ${failureRate}^${TRIES} × ${count(deliveries)} = ${expectedLetters.toFixed(1)}`,
      },
    ],
  };
}

const hours = (value: number): string => `${(value / 3_600_000).toFixed(1)} h`;
