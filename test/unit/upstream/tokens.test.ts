import { describe, expect, it } from 'vitest';
import type { TokenOutcome } from '../../../lib/upstream/oauth.ts';
import { TokenSource } from '../../../lib/upstream/tokens.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { MemoryTokenStore } from '../../fixtures/upstream/memoryTokenStore.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

const DOWN: TokenOutcome = { kind: 'unavailable', deadSocket: false };

/** A token endpoint, and any number of instances that share a table. */
function prepare() {
  const clock = new FakeClock();
  const store = new MemoryTokenStore();
  const endpoint = {
    requests: [] as number[],
    latencyMs: 40,
    lifeMs: 3_600_000,
    failWith: undefined as TokenOutcome | undefined,
  };
  const request = async (): Promise<TokenOutcome> => {
    endpoint.requests.push(clock.now());
    const issue = `tok-${endpoint.requests.length}`;
    await clock.sleep(endpoint.latencyMs);
    if (endpoint.failWith !== undefined) return endpoint.failWith;
    const expiresAtMs = clock.now() + endpoint.lifeMs;
    const refreshAtMs = expiresAtMs - Math.min(60_000, endpoint.lifeMs / 10);
    return { kind: 'token', token: { accessToken: issue, expiresAtMs, refreshAtMs } };
  };
  let seed = 0;
  const instance = () => {
    seed += 1;
    return new TokenSource({ request, store, tokenKey: 'key', clock, random: seededRandom(seed) });
  };
  const soon = () => clock.now() + 8_000;
  return { clock, store, endpoint, instance, soon };
}

const token = (accessToken: string) => ({ kind: 'token', accessToken });

describe('Method: get', () => {
  it('50 callers of one instance share one token request', async () => {
    const { endpoint, instance, soon } = prepare();
    const source = instance();
    const answers = await Promise.all(Array.from({ length: 50 }, () => source.get(soon())));
    expect(answers).toEqual(Array.from({ length: 50 }, () => token('tok-1')));
    expect(endpoint.requests).toHaveLength(1);
  });

  it('SCENARIO 18: 50 instances without a token share one refresher; the others wait for the table', async () => {
    const { endpoint, instance, soon } = prepare();
    endpoint.latencyMs = 900;
    const answers = await Promise.all(Array.from({ length: 50 }, () => instance().get(soon())));
    expect(answers).toEqual(Array.from({ length: 50 }, () => token('tok-1')));
    expect(endpoint.requests).toHaveLength(1);
  });

  it('takes a token that another instance has stored', async () => {
    const { endpoint, instance, soon } = prepare();
    await instance().get(soon());
    expect(await instance().get(soon())).toEqual(token('tok-1'));
    expect(endpoint.requests).toHaveLength(1);
  });

  it('uses the token until a minute before its end, then fetches the next one', async () => {
    const { clock, endpoint, instance, soon } = prepare();
    const source = instance();
    await source.get(soon());
    clock.advance(3_600_000 - 60_001);
    expect(await source.get(soon())).toEqual(token('tok-1'));
    clock.advance(1);
    expect(await source.get(soon())).toEqual(token('tok-2'));
    expect(endpoint.requests).toHaveLength(2);
  });

  it('goes on using the old token while somebody else refreshes it', async () => {
    const { clock, endpoint, instance, soon } = prepare();
    const [one, other] = [instance(), instance()];
    await one.get(soon());
    await other.get(soon());
    clock.advance(3_600_000 - 30_000);
    endpoint.latencyMs = 2_000;

    const startMs = clock.now();
    const refreshing = one.get(soon());
    await clock.sleep(10);
    expect(await other.get(soon())).toEqual(token('tok-1'));
    expect(clock.now() - startMs).toBe(10);
    expect(await refreshing).toEqual(token('tok-2'));
    expect(endpoint.requests).toHaveLength(2);
  });

  it('takes over from a refresher that died, once its claim has lapsed', async () => {
    const { clock, store, endpoint, instance } = prepare();
    await store.claimRefresh('key', { owner: 'dead', nowMs: clock.now(), untilMs: clock.now() + 6_000 });
    expect(await instance().get(clock.now() + 20_000)).toEqual(token('tok-1'));
    expect(endpoint.requests).toHaveLength(1);
  });

  it('answers late at the deadline, and leaves the refresh to those with more time', async () => {
    const { clock, endpoint, instance } = prepare();
    const source = instance();
    endpoint.latencyMs = 3_000;
    const startMs = clock.now();
    const [hasty, patient] = await Promise.all([source.get(startMs + 500), source.get(startMs + 8_000)]);
    expect(hasty).toEqual({ kind: 'late' });
    expect(patient).toEqual(token('tok-1'));
    expect(endpoint.requests).toHaveLength(1);
    expect(await instance().get(startMs - 1)).toEqual({ kind: 'late' });
  });

  it('SCENARIO 19: endpoint down, token still valid → goes on being used, with one request per hold-off', async () => {
    const { clock, endpoint, instance, soon } = prepare();
    const source = instance();
    await source.get(soon());
    clock.advance(3_600_000 - 60_000);
    endpoint.failWith = DOWN;
    endpoint.requests.length = 0;

    for (let second = 0; second < 58; second += 1) {
      expect(await source.get(soon())).toEqual(token('tok-1'));
      await clock.sleep(1_000);
    }
    expect(endpoint.requests.length).toBeLessThanOrEqual(6); // after 0, 2, 6, 14, 30 s …
    clock.advance(5_000);
    expect(await source.get(soon())).toMatchObject({ kind: 'unavailable' });
  });

  it('SCENARIO 19: endpoint down, none held → unavailable, and no refresh loop', async () => {
    const { clock, endpoint, instance, soon } = prepare();
    const source = instance();
    endpoint.failWith = DOWN;

    const answer = await source.get(soon());
    expect(answer).toMatchObject({ kind: 'unavailable' });
    expect(endpoint.requests).toHaveLength(3);
    if (answer.kind === 'unavailable') expect(answer.retryAtMs).toBe(clock.now() + 2_000);

    for (let call = 0; call < 100; call += 1) await source.get(soon());
    expect(endpoint.requests).toHaveLength(3);

    for (let second = 0; second < 300; second += 1) {
      await source.get(soon());
      await clock.sleep(1_000);
    }
    expect(endpoint.requests.length).toBeLessThanOrEqual(3 * 15);

    endpoint.failWith = undefined;
    await clock.sleep(31_000);
    expect(await source.get(soon())).toMatchObject({ kind: 'token' });
  });

  it('waits as long as the endpoint asks', async () => {
    const { clock, endpoint, instance, soon } = prepare();
    const source = instance();
    endpoint.failWith = { ...DOWN, retryAfterMs: 20_000 };
    expect(await source.get(soon())).toEqual({ kind: 'unavailable', retryAtMs: clock.now() + 20_000 });
    expect(endpoint.requests).toHaveLength(1);
  });

  it.each([
    ['rejected credentials', { kind: 'rejected', status: 401 }],
    ['an answer that is none', { kind: 'bad-response', status: 200 }],
  ] as const)('does not ask again after %s until the hold-off is over', async (_what, failWith) => {
    const { endpoint, instance, soon } = prepare();
    const source = instance();
    endpoint.failWith = failWith;
    expect(await source.get(soon())).toEqual(failWith);
    expect(await source.get(soon())).toEqual(failWith);
    expect(endpoint.requests).toHaveLength(1);
  });

  it('repeats at once after a socket that died in a freeze', async () => {
    const { clock, endpoint, instance, soon } = prepare();
    endpoint.failWith = { ...DOWN, deadSocket: true };
    const answer = instance().get(soon());
    await clock.sleep(41);
    endpoint.failWith = undefined;
    expect(await answer).toEqual(token('tok-2'));
    expect((endpoint.requests[1] ?? 0) - (endpoint.requests[0] ?? 0)).toBe(40);
  });

  it('SCENARIO 45: the store is down → memory goes on, and a token that cannot be shared is still used', async () => {
    const { store, endpoint, instance, soon } = prepare();
    store.down = true;
    const source = instance();
    expect(await source.get(soon())).toEqual(token('tok-1'));
    expect(await source.get(soon())).toEqual(token('tok-1'));
    expect(endpoint.requests).toHaveLength(1);
  });
});

describe('Method: invalidate', () => {
  it('SCENARIO 18: drops that token everywhere; 50 callers fetch one new one', async () => {
    const { store, endpoint, instance, soon } = prepare();
    const source = instance();
    await source.get(soon());

    const renewed = await Promise.all(
      Array.from({ length: 50 }, async () => {
        await source.invalidate('tok-1');
        return source.get(soon());
      }),
    );

    expect(renewed).toEqual(Array.from({ length: 50 }, () => token('tok-2')));
    expect(endpoint.requests).toHaveLength(2);
    expect(store.tokens.get('key')?.accessToken).toBe('tok-2');
  });

  it('leaves a newer token alone', async () => {
    const { endpoint, instance, soon } = prepare();
    const source = instance();
    await source.get(soon());
    await source.invalidate('tok-0');
    expect(await source.get(soon())).toEqual(token('tok-1'));
    expect(endpoint.requests).toHaveLength(1);
  });

  it('does not use the dropped token again, although the store could not drop it', async () => {
    const { store, instance, soon } = prepare();
    const source = instance();
    await source.get(soon());
    store.down = true;
    await source.invalidate('tok-1');
    store.down = false;
    expect(await source.get(soon())).toEqual(token('tok-2'));
  });

  it('accepts an endpoint that insists on the same token', async () => {
    const { endpoint, instance, soon } = prepare();
    const source = instance();
    await source.get(soon());
    await source.invalidate('tok-1');
    endpoint.requests.length = 0; // its next token is called tok-1 again
    expect(await source.get(soon())).toEqual(token('tok-1'));
  });
});
