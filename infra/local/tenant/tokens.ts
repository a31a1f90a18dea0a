interface IssuedToken {
  readonly scopes: ReadonlySet<string>;
  readonly expiresAtMs: number;
}

/** What a request's bearer token is worth for a surface. */
export type TokenCheck = 'accepted' | 'missing' | 'invalid' | 'insufficient-scope';

/** The access tokens that the tenant has handed out. */
export class Tokens {
  readonly #now: () => number;
  readonly #newId: () => string;
  readonly #issued = new Map<string, IssuedToken>();

  constructor(now: () => number, newId: () => string) {
    this.#now = now;
    this.#newId = newId;
  }

  /** Issues a token, also for in-process tests that want to skip the token endpoint. */
  issue(scopes: Iterable<string>, lifeSeconds: number): string {
    const token = `token-${this.#newId()}`;
    this.#issued.set(token, { scopes: new Set(scopes), expiresAtMs: this.#now() + lifeSeconds * 1_000 });
    return token;
  }

  /** Judges an `Authorization` header. Unknown, revoked and expired tokens are all the same to a client (RFC 6750, 3.1). */
  check(authorization: string | undefined, needed: readonly string[]): TokenCheck {
    const token = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return 'missing';
    const issued = this.#issued.get(token);
    if (issued === undefined) return 'invalid';
    if (this.#now() >= issued.expiresAtMs) {
      this.#issued.delete(token);
      return 'invalid';
    }
    return needed.every((scope) => issued.scopes.has(scope)) ? 'accepted' : 'insufficient-scope';
  }

  /** Makes every token invalid, as after a change of the client's secret. Returns how many it were. */
  revokeAll(): number {
    const count = this.#issued.size;
    this.#issued.clear();
    return count;
  }
}
