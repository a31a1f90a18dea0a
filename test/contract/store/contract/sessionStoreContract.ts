import { beforeEach, describe } from 'vitest';
import type { SessionStore } from '../../../../lib/operations/ports/sessionStore.ts';
import { auditContract } from './audit.ts';
import { commitContract } from './commit.ts';
import { dueContract } from './due.ts';
import { eraseContract } from './erase.ts';
import { historyContract } from './history.ts';
import { idempotencyContract } from './idempotency.ts';
import { leaseContract } from './lease.ts';
import { mirrorsContract } from './mirrors.ts';
import { outcomesContract } from './outcomes.ts';
import { settleContract } from './settle.ts';

/** What every {@link SessionStore} does. `makeStore` makes an empty one with `STORE_OPTIONS`, for each test. */
export function sessionStoreContract(name: string, makeStore: () => Promise<SessionStore>): void {
  describe(name, () => {
    let current: SessionStore;
    beforeEach(async () => {
      current = await makeStore();
    });
    const store = () => current;
    commitContract(store);
    idempotencyContract(store);
    leaseContract(store);
    settleContract(store);
    outcomesContract(store);
    dueContract(store);
    mirrorsContract(store);
    historyContract(store);
    auditContract(store);
    eraseContract(store);
  });
}
