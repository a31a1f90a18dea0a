import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bridge, startBridge } from '../fixtures/stack/bridge.ts';
import type { Json } from '../fixtures/stack/http.ts';

const LEAVES = 12_000;
/** Largest answer of a function (bytes). */
const LAMBDA_MAX_BYTES = 6 * 1024 * 1024;

describe('A session of very many leaves', () => {
  let bridge: Bridge;
  const data = Object.fromEntries(
    Array.from({ length: LEAVES / 20 }, (_, group) => [
      `group_${group}`,
      Object.fromEntries(Array.from({ length: 20 }, (_, leaf) => [`leaf_${leaf}`, `value ${group}.${leaf}`])),
    ]),
  );
  const url = '/v1/sessions/sess_many';
  beforeAll(async () => {
    bridge = await startBridge({ settings: { CONTEXT_MAX_BYTES: '1048576', SYNC_DEFAULT_TTL_SECONDS: '0' } });
    for (const suffix of ['first', 'second']) {
      const changed = Object.fromEntries(Object.entries(data).map(([name, group]) => [name, { ...group, suffix }]));
      expect((await bridge.sync('sess_many', { data: changed })).status).toBe(200);
    }
  });
  afterAll(() => bridge.close());

  it('is shown whole, its variables 5,000 at a time', async () => {
    const seen = new Set<string>();
    let offset: number | null = 0;
    for (let page = 0; offset !== null && page < 10; page += 1) {
      const { body, text }: { body: Json; text: string } = await bridge.get(`${url}?offset=${offset}`);
      expect(Buffer.byteLength(text)).toBeLessThan(LAMBDA_MAX_BYTES);
      expect(body.variables.length).toBeLessThanOrEqual(5_000);
      expect(Object.keys(body.context)).toHaveLength(LEAVES / 20 + 2);
      for (const { path } of body.variables) seen.add(path);
      offset = body.nextOffset;
    }
    // Each group has its suffix; the schema has added six.
    expect(seen.size).toBe(LEAVES + LEAVES / 20 + 6);
  });

  it('tells of each recent change the first hundred places, and how many there are more', async () => {
    const { recentAudit } = (await bridge.get(url)).body;
    expect(recentAudit[1].changes).toHaveLength(100);
    expect(recentAudit[1].changesOmitted).toBe(LEAVES + LEAVES / 20 + 6 - 100);
  });

  it('has an audit trail in pages that a function can answer', async () => {
    const seen: number[] = [];
    let cursor: string | null = '';
    for (let page = 0; cursor !== null && page < 10; page += 1) {
      const { body, text }: { body: Json; text: string } = await bridge.get(
        `${url}/audit?limit=500&cursor=${cursor}`.replace(/&cursor=$/, ''),
      );
      expect(Buffer.byteLength(text)).toBeLessThan(LAMBDA_MAX_BYTES);
      for (const { seq } of body.entries) seen.push(seq);
      cursor = body.nextCursor;
    }
    expect(seen).toEqual([2, 1]);
  });

  it('has a diff that a function can answer, and that says what it leaves out', async () => {
    const { body, text } = await bridge.get(`${url}/diff?from=0&to=2`);
    expect(Buffer.byteLength(text)).toBeLessThan(LAMBDA_MAX_BYTES);
    expect(body.added.length + body.omitted).toBe(LEAVES + LEAVES / 20 + 6);
    expect(body.values[body.added[0]]).toHaveProperty('after');
  });

  it('an offset that is no number is refused', async () => {
    expect((await bridge.get(`${url}?offset=-1&version=x`)).body).toMatchObject({
      code: 'invalid-query',
      errors: [{ pointer: '/version' }, { pointer: '/offset' }],
    });
  });
});
