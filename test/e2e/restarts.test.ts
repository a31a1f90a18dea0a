import { expect, it } from 'vitest';
import { expiriesIn } from '../kill/report/figures.ts';
import { runRestarts } from '../kill/run.ts';

/** The kills that `npm run test:kill` makes 50 of, with the same accounts. Outcomes that a kill has held up are left to it: they take half a minute. */
const SHORT_RUN = {
  restarts: 2,
  seed: 38,
  ratePerMinute: 600,
  clients: 10,
  customers: 3,
  thinkMs: 150,
  restMs: 60_000,
  awaitDeliveries: false,
} as const;

it('SCENARIO 15: killed under load again and again: every acknowledged operation is accounted for', async () => {
  const { findings, kills, evidence } = await runRestarts(SHORT_RUN, () => {});

  expect(findings).toEqual([]);
  // And there was something to account for.
  expect(kills).toHaveLength(2);
  expect(Math.max(...kills.map(({ inFlight }) => inFlight))).toBeGreaterThan(0);
  const attempts = evidence.exchanges.flatMap((exchange) => exchange.attempts);
  expect(attempts.filter(({ answer }) => answer === undefined).length).toBeGreaterThan(0);
  expect(attempts.filter(({ answer }) => answer?.status === 200).length).toBeGreaterThan(10);
  expect(evidence.departures.length).toBeGreaterThan(0);
  expect(expiriesIn(evidence)).toBeGreaterThan(0);
}, 180_000);
