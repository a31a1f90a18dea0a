import { beforeEach, describe, expect, it, vi } from 'vitest';
import { GatheringTable } from '../../../lib/store/gatheringTable.ts';
import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import type { TestTable } from '../../fixtures/store/testTable.ts';

const key = (number: number) => ({ pk: 'GATHERED', sk: `ITEM#${number}` });
const item = (number: number) => ({ ...key(number), number });

describeOnDatabases('A table that gathers what is read', ({ newTable }) => {
  let table: TestTable;
  let gathering: GatheringTable;
  /** Names of the commands sent to the database, in order. */
  let sent: string[];

  beforeEach(async () => {
    table = await newTable();
    await table.table.putMany([1, 2, 3].map(item));
    gathering = new GatheringTable(table.table.options);
    sent = [];
    const { client } = table.table.options;
    const send = client.send.bind(client);
    vi.spyOn(client, 'send').mockImplementation(((command: object, ...rest: never[]) => {
      sent.push(command.constructor.name);
      return (send as (...args: unknown[]) => unknown)(command, ...rest);
    }) as typeof client.send);
    return () => vi.restoreAllMocks();
  });

  describe('asked for several items in one turn', () => {
    it('reads them by one request, and hands each to who has asked for it', async () => {
      const items = await Promise.all([3, 1, 2].map((number) => gathering.get(key(number))));
      expect(items).toEqual([item(3), item(1), item(2)]);
      expect(sent).toEqual(['BatchGetItemCommand']);
    });

    it('says of each that is not there that it is not', async () => {
      expect(await Promise.all([gathering.get(key(9)), gathering.get(key(1))])).toEqual([undefined, item(1)]);
    });

    it('reads the same one once for all who ask', async () => {
      const items = await Promise.all([1, 2, 1].map((number) => gathering.get(key(number))));
      expect(items).toEqual([item(1), item(2), item(1)]);
      expect(sent).toEqual(['BatchGetItemCommand']);
    });

    it('reads more than one request takes by as many as are needed', async () => {
      const numbers = Array.from({ length: 130 }, (_, index) => index);
      await table.table.putMany(numbers.map(item));
      sent.length = 0;
      expect(await Promise.all(numbers.map((number) => gathering.get(key(number))))).toEqual(numbers.map(item));
      expect(sent).toEqual(['BatchGetItemCommand', 'BatchGetItemCommand']);
    });

    it('fails everybody when the request fails, and nobody afterwards', async () => {
      vi.mocked(table.table.options.client.send).mockRejectedValueOnce(new Error('down') as never);
      const reads = await Promise.allSettled([gathering.get(key(1)), gathering.get(key(2))]);
      expect(reads.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      expect(reads[0]).toMatchObject({ reason: { code: 'store-unavailable' } });
      expect(await gathering.get(key(1))).toEqual(item(1));
    });
  });

  it('asked for one item reads just that', async () => {
    expect(await gathering.get(key(2))).toEqual(item(2));
    expect(sent).toEqual(['GetItemCommand']);
  });

  it('sees what was written before it was asked', async () => {
    const reads = Promise.all([gathering.get(key(1)), gathering.get(key(2))]);
    await table.table.put({ ...key(1), number: 100 });
    await reads;
    expect(await gathering.get(key(1))).toMatchObject({ number: 100 });
  });
});
