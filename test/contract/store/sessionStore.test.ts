import { describeOnDatabases } from '../../fixtures/store/databases.ts';
import { sessionStoreContract } from './contract/sessionStoreContract.ts';

describeOnDatabases('DynamoSessionStore', ({ newTable }) => {
  sessionStoreContract('SessionStore', async () => (await newTable()).sessions());
});
