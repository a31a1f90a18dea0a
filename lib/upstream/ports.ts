/** A token as it is shared between instances. The store seals `accessToken` before it writes it. */
export interface SharedToken {
  readonly accessToken: string;
  /** Epoch milliseconds at which the token stops being valid. */
  readonly expiresAtMs: number;
  /** Epoch milliseconds from which on one refresher should fetch the next one. */
  readonly refreshAtMs: number;
}

/** Tokens shared by all instances through the table, with one refresher at a time. `tokenKey` names tenant, surface and client. */
export interface TokenStore {
  /** The token as stored, expired or not. */
  read(tokenKey: string): Promise<SharedToken | undefined>;
  /** Claims the right to refresh until `untilMs`. False when somebody else holds it at `nowMs`. */
  claimRefresh(tokenKey: string, claim: { owner: string; nowMs: number; untilMs: number }): Promise<boolean>;
  /** Stores a new token and releases the claim. Ignored when `owner` no longer holds it. */
  write(tokenKey: string, owner: string, token: SharedToken): Promise<void>;
  /** Forgets this very token (after a 401), not a newer one that somebody has stored meanwhile. */
  drop(tokenKey: string, accessToken: string): Promise<void>;
}

/** The state of one tenant's budget cell. */
export interface RateCell {
  /** Theoretical arrival time of GCRA in epoch milliseconds: when the bucket will be empty again. */
  readonly tatMs: number;
  /** Nobody calls before this moment (epoch milliseconds; 0 = no pause). */
  readonly pausedUntilMs: number;
}

/** One GCRA cell per tenant in the table. Every method is one round trip. */
export interface RateStore {
  /** Reserves one slot when the cell is idle (`tat <= now`, not paused). Undefined when the condition does not hold. */
  reserveIdle(cell: string, reserve: { nowMs: number; intervalMs: number }): Promise<RateCell | undefined>;
  /** Reserves the next slot of a busy cell (`now < tat <= latestTat`, not paused). Undefined when the condition does not hold. */
  reserveBusy(
    cell: string,
    reserve: { nowMs: number; intervalMs: number; latestTatMs: number },
  ): Promise<RateCell | undefined>;
  /** Gives one slot back. Undefined when nobody has ever reserved one. */
  release(cell: string, release: { intervalMs: number }): Promise<RateCell | undefined>;
  read(cell: string): Promise<RateCell | undefined>;
  /** Pauses the cell for everyone; an existing longer pause stays. */
  pause(cell: string, untilMs: number): Promise<void>;
}
