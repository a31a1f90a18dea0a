import { expect, it } from 'vitest';
import { canonicalJson } from '../../../lib/context/canonicalJson.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';
import { RequestMaker } from '../../kill/load/requests.ts';
import { killPlan } from '../../kill/plan.ts';

const CUSTOMERS = [{ recordId: 'ACC-1', sessions: ['sess_1', 'sess_2'] }];

function requests(seed: number, client = 1) {
  const maker = new RequestMaker(seededRandom(seed), client, CUSTOMERS);
  return Array.from({ length: 500 }, () => maker.next(0));
}

it('the same seed gives the same kills, another seed others', () => {
  expect(killPlan(7, 50)).toEqual(killPlan(7, 50));
  expect(killPlan(8, 50)).not.toEqual(killPlan(7, 50));
});

it('as many kills as asked for come under load, at moments all over, and some more while the stack is coming up', () => {
  const { 'under-load': underLoad = [], starting = [] } = Object.groupBy(killPlan(7, 200), ({ from }) => from);
  expect(underLoad).toHaveLength(200);
  expect(starting.length).toBeGreaterThan(10);
  expect(new Set(underLoad.map(({ afterMs }) => Math.floor(afterMs / 1_000)))).toEqual(new Set([0, 1, 2, 3]));
});

it('the same seed gives the same requests, of all kinds', () => {
  expect(requests(7)).toEqual(requests(7));
  expect(new Set(requests(7).map(({ request }) => request.kind))).toEqual(
    new Set(['inject', 'sync', 'dialog-state', 'webhook', 'crm']),
  );
});

it('every value tells by which request it was put', () => {
  const all = [...requests(7, 1), ...requests(8, 2)].map(({ request }) => request);
  const values = all.flatMap(({ writes }) =>
    writes.map(({ path, scope, value }) => `${path} ${scope} ${canonicalJson(value)}`),
  );
  expect(new Set(values).size).toBe(values.length);
});

it('a request leaves with the values that it is accounted for', () => {
  for (const { request, body } of requests(7)) {
    const sent = JSON.stringify(body);
    for (const { value } of request.writes) {
      const isText = typeof value === 'string' && value.startsWith('{');
      expect(sent).toContain(isText ? value.slice(1, -1).replaceAll('"', '"') : JSON.stringify(value));
    }
  }
});

it('now and then somebody comes only to go again, in a session of his own', () => {
  const maker = new RequestMaker(seededRandom(7), 3, CUSTOMERS);
  const departures = Array.from({ length: 500 }, () => maker.nextDeparture()).filter((each) => each !== undefined);
  expect(departures.length).toBeGreaterThan(10);
  expect(new Set(departures.map(({ sessionId }) => sessionId)).size).toBe(departures.length);
  for (const { sessionId, put, erase } of departures) {
    expect(put).toMatchObject({ method: 'POST', path: `/v1/sessions/${sessionId}/variables` });
    expect(erase).toMatchObject({ method: 'DELETE', path: `/v1/sessions/${sessionId}`, isPatient: true });
  }
});
