import { expect, it } from 'vitest';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { DAY_MS, START_MS } from '../../fixtures/store/session.ts';
import { MemoryRateStore } from '../../fixtures/upstream/memoryRateStore.ts';
import { rateStoreContract } from './contract/rateStoreContract.ts';

rateStoreContract('MemoryRateStore', async () => new MemoryRateStore());

describeOnDatabases('DynamoRateStore', ({ newTable }) => {
  rateStoreContract('RateStore', async () => (await newTable()).rates());

  it('keeps a cell alive that has been busy for longer than a day', async () => {
    const table = await newTable();
    const store = table.rates();
    await store.reserveIdle('cell', { nowMs: START_MS, intervalMs: 2 * DAY_MS });

    const nowMs = START_MS + DAY_MS;
    await store.reserveBusy('cell', { nowMs, intervalMs: 600, latestTatMs: nowMs + 2 * DAY_MS });

    const [cell] = await table.scan();
    expect(cell?.['ttl']).toBeGreaterThanOrEqual((nowMs + DAY_MS) / 1_000);
  });
});
