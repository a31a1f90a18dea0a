import * as z from 'zod/mini';
import type { Vault } from '../platform/vault.ts';
import type { SharedToken, TokenStore } from '../upstream/ports.ts';
import { tokenKeyOf } from './keys.ts';
import { type Table, ttlSeconds } from './table.ts';

const REFRESH_IS_FREE = 'NOT refresher.untilMs > :now OR refresher.#owner = :owner';
const REFRESH_IS_MINE = 'refresher.#owner = :owner';
const HOLDS_THIS_TOKEN = 'tokenId = :tokenId';

/** A claim without a token lives this long at the most. */
const CLAIM_KEPT_MS = 3_600_000;

const tokenItem = z.object({
  sealedToken: z.custom<Uint8Array>((value) => value instanceof Uint8Array),
  expiresAtMs: z.number(),
  refreshAtMs: z.number(),
});

/** Access tokens in the table, sealed: what one instance has fetched, all use (SPEC 3, OAuth). */
export class DynamoTokenStore implements TokenStore {
  readonly #table: Table;
  readonly #vault: Vault;

  constructor(table: Table, vault: Vault) {
    this.#table = table;
    this.#vault = vault;
  }

  async read(tokenKey: string): Promise<SharedToken | undefined> {
    const key = tokenKeyOf(tokenKey);
    // A claim that has not led to a token yet is an item without one.
    const parsed = tokenItem.safeParse(await this.#table.get(key));
    if (!parsed.success) return undefined;
    const { sealedToken, expiresAtMs, refreshAtMs } = parsed.data;
    const accessToken = Buffer.from(this.#vault.open(key.pk, sealedToken)).toString('utf8');
    return { accessToken, expiresAtMs, refreshAtMs };
  }

  async claimRefresh(tokenKey: string, claim: { owner: string; nowMs: number; untilMs: number }): Promise<boolean> {
    const result = await this.#table.update({
      key: tokenKeyOf(tokenKey),
      expression: 'SET refresher = :refresher, #ttl = if_not_exists(#ttl, :ttl)',
      condition: REFRESH_IS_FREE,
      names: { '#owner': 'owner', '#ttl': 'ttl' },
      values: {
        ':refresher': { owner: claim.owner, untilMs: claim.untilMs },
        ':owner': claim.owner,
        ':now': claim.nowMs,
        ':ttl': ttlSeconds(claim.nowMs + CLAIM_KEPT_MS),
      },
    });
    return result.kind === 'updated';
  }

  async write(tokenKey: string, owner: string, token: SharedToken): Promise<void> {
    const key = tokenKeyOf(tokenKey);
    await this.#table.update({
      key,
      expression: [
        'SET sealedToken = :sealedToken, tokenId = :tokenId, expiresAtMs = :expiresAtMs, refreshAtMs = :refreshAtMs,',
        '#ttl = :ttl REMOVE refresher',
      ].join(' '),
      condition: REFRESH_IS_MINE,
      names: { '#owner': 'owner', '#ttl': 'ttl' },
      values: {
        ':owner': owner,
        ':sealedToken': this.#vault.seal(key.pk, Buffer.from(token.accessToken, 'utf8')),
        ':tokenId': this.#vault.hashId('token', token.accessToken),
        ':expiresAtMs': token.expiresAtMs,
        ':refreshAtMs': token.refreshAtMs,
        ':ttl': ttlSeconds(token.expiresAtMs),
      },
    });
  }

  async drop(tokenKey: string, accessToken: string): Promise<void> {
    await this.#table.update({
      key: tokenKeyOf(tokenKey),
      expression: 'REMOVE sealedToken, tokenId',
      condition: HOLDS_THIS_TOKEN,
      values: { ':tokenId': this.#vault.hashId('token', accessToken) },
    });
  }
}
