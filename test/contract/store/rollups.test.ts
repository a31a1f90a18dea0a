import { expect, it } from 'vitest';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { MemoryRollups } from '../../fixtures/store/memoryRollups.ts';
import { DAY_MS } from '../../fixtures/store/session.ts';
import { HOUR, rollupsContract, tally } from './contract/rollupsContract.ts';

rollupsContract('MemoryRollups', async () => new MemoryRollups());

describeOnDatabases('Roll-ups in DynamoDB', ({ newTable }) => {
  rollupsContract('Rollups', async () => (await newTable()).rollups());

  it('spread an hour over eight items by chance, so that none is hot', async () => {
    const table = await newTable();
    const rollups = table.rollups();
    for (let write = 0; write < 60; write += 1) await rollups.add(HOUR, 'inject', tally());

    const items = await table.scan();

    expect(items.map(({ pk }) => pk).toSorted()).toEqual(
      Array.from({ length: 8 }, (_each, shard) => `METRIC#${HOUR / 3_600_000}#${shard}`),
    );
  });

  it('are kept for as long as the longest window that begins in their hour', async () => {
    const table = await newTable();
    await table.rollups().add(HOUR + 1, 'inject', tally());

    const [item] = await table.scan();

    expect(item?.['ttl']).toBe((HOUR + 3_600_000 + 35 * DAY_MS) / 1_000);
  });

  it('pass over what another version of the bridge has counted there', async () => {
    const table = await newTable();
    await table.rollups().add(HOUR, 'inject', tally());
    const [item] = await table.scan();
    await table.put({ pk: item?.pk ?? '', sk: 'inject', operations: 2, somethingNew: 7, b1000: 3 });

    const [found] = await table.rollups().read({ fromMs: HOUR, toMs: HOUR });

    expect(found?.tally).toEqual({ operations: 2, successes: 0, confirmed: 0, latencySumMs: 0, latencies: new Map() });
  });
});
