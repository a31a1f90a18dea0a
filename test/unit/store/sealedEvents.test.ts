import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { Lane } from '../../../lib/operations/ports/sessionStore.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { SealedEvents } from '../../../lib/store/sealedEvents.ts';
import type { Item, Table } from '../../../lib/store/table.ts';
import { eventOf } from '../../fixtures/events/events.ts';

describe('An event that is sealed with the salt of its session', () => {
  it('is opened with the salt of now: what a replica says that is behind would pass for an erasure', async () => {
    const vault = new Vault(new Uint8Array(32).fill(7));
    const salt = vault.newSalt();
    const table: Pick<Table, 'get' | 'glance'> = {
      get: async () => ({ salt }),
      // Eventually consistent: the lane has been made a moment ago.
      glance: async () => undefined,
    };
    const sealed = new SealedEvents(table as Table, vault);
    const event = eventOf('sess_1' as SessionId);
    const item: Item = { format: 1, ...sealed.seal('SESSION#a', event, { item: { salt } } as unknown as Lane) };
    expect(await sealed.open('SESSION#a', item)).toEqual(event);
  });
});
