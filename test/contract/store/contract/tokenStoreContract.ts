import { beforeEach, describe, expect, it } from 'vitest';
import type { SharedToken, TokenStore } from '../../../../lib/upstream/ports.ts';
import { START_MS } from '../../../fixtures/store/session.ts';

const CLAIM_UNTIL_MS = START_MS + 10_000;
const claimOf = (owner: string, nowMs = START_MS) => ({ owner, nowMs, untilMs: nowMs + 10_000 });

function tokenOf(accessToken: string, expiresAtMs = START_MS + 900_000): SharedToken {
  return { accessToken, expiresAtMs, refreshAtMs: expiresAtMs - 60_000 };
}

/** What every {@link TokenStore} does. `makeStore` makes an empty one for each test. */
export function tokenStoreContract(name: string, makeStore: () => Promise<TokenStore>): void {
  describe(name, () => {
    let store: TokenStore;
    beforeEach(async () => {
      store = await makeStore();
    });

    async function written(token: SharedToken, owner = 'a', key = 'key'): Promise<void> {
      await store.claimRefresh(key, claimOf(owner));
      await store.write(key, owner, token);
    }

    it('holds nothing at first, nor while somebody is still fetching the first token', async () => {
      expect(await store.read('key')).toBeUndefined();

      await store.claimRefresh('key', claimOf('a'));

      expect(await store.read('key')).toBeUndefined();
    });

    it('hands out what the refresher wrote, to everybody, expired or not', async () => {
      const token = tokenOf('token-1', START_MS - 1);

      await written(token);

      expect(await store.read('key')).toEqual(token);
      expect(await store.read('other')).toBeUndefined();
    });

    it('keeps long tokens and those with all that RFC 6750 allows', async () => {
      const token = tokenOf(`${'aZ09-._~+/'.repeat(500)}==`);

      await written(token);

      expect(await store.read('key')).toEqual(token);
    });

    it('lets one of several claim the refresh', async () => {
      const owners = Array.from({ length: 10 }, (_, n) => `owner-${n}`);

      const claims = await Promise.all(owners.map((owner) => store.claimRefresh('key', claimOf(owner))));

      expect(claims.filter((claimed) => claimed)).toHaveLength(1);
    });

    it('gives a claim to somebody else only when its time is over, and to its owner at any time', async () => {
      await store.claimRefresh('key', claimOf('a'));

      expect(await store.claimRefresh('key', claimOf('b', CLAIM_UNTIL_MS - 1))).toBe(false);
      expect(await store.claimRefresh('key', claimOf('a', START_MS))).toBe(true);
      expect(await store.claimRefresh('key', claimOf('b', CLAIM_UNTIL_MS))).toBe(true);
    });

    it('claims each token by itself', async () => {
      await store.claimRefresh('key', claimOf('a'));

      expect(await store.claimRefresh('other', claimOf('b'))).toBe(true);
    });

    it('releases the claim with the new token', async () => {
      await written(tokenOf('token-1'));

      expect(await store.claimRefresh('key', claimOf('b'))).toBe(true);
    });

    it('leaves the token of before in use while the next one is fetched', async () => {
      await written(tokenOf('token-1'));

      await store.claimRefresh('key', claimOf('b'));

      expect(await store.read('key')).toEqual(tokenOf('token-1'));
    });

    it('ignores a token of somebody who has lost the claim', async () => {
      await store.claimRefresh('key', claimOf('slow'));
      await store.claimRefresh('key', claimOf('b', CLAIM_UNTIL_MS));

      await store.write('key', 'slow', tokenOf('late'));

      expect(await store.read('key')).toBeUndefined();
      expect(await store.claimRefresh('key', claimOf('c', CLAIM_UNTIL_MS))).toBe(false);
    });

    it('ignores a token of somebody who never had a claim', async () => {
      await store.write('key', 'stranger', tokenOf('token-1'));

      expect(await store.read('key')).toBeUndefined();
    });

    it('takes the token of a claim that is over, where nobody has taken it', async () => {
      await store.claimRefresh('key', claimOf('a'));

      await store.write('key', 'a', tokenOf('token-1', CLAIM_UNTIL_MS + 900_000));

      expect(await store.read('key')).toMatchObject({ accessToken: 'token-1' });
    });

    it('drops the very token that was refused, not a newer one (SCENARIO 18)', async () => {
      await written(tokenOf('token-1'));
      await written(tokenOf('token-2'), 'b');

      await store.drop('key', 'token-1');
      expect(await store.read('key')).toMatchObject({ accessToken: 'token-2' });

      await store.drop('key', 'token-2');
      expect(await store.read('key')).toBeUndefined();
      await expect(store.drop('key', 'token-2')).resolves.toBeUndefined();
    });

    it('takes a new token after a drop, and does not release anybody else by it', async () => {
      await written(tokenOf('token-1'));
      await store.claimRefresh('key', claimOf('a'));
      await store.drop('key', 'token-1');

      expect(await store.claimRefresh('key', claimOf('b'))).toBe(false);
      await store.write('key', 'a', tokenOf('token-2'));

      expect(await store.read('key')).toMatchObject({ accessToken: 'token-2' });
    });
  });
}
