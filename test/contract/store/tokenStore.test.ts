import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { MemoryTokenStore } from '../../fixtures/upstream/memoryTokenStore.ts';
import { tokenStoreContract } from './contract/tokenStoreContract.ts';

tokenStoreContract('MemoryTokenStore', async () => new MemoryTokenStore());

describeOnDatabases('DynamoTokenStore', ({ newTable }) => {
  tokenStoreContract('TokenStore', async () => (await newTable()).tokens());
});
