import { describe, expect, it } from 'vitest';
import { parseSessionId } from '../../../lib/context/sessionId.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { dueShardOf, sessionPk } from '../../../lib/store/keys.ts';

describe('Shards of the due index', () => {
  const vault = new Vault(new Uint8Array(32).fill(7));
  const shardOf = (index: number, shards: number) => {
    const sessionId = parseSessionId(`sess_${index}`);
    if (sessionId === undefined) throw new TypeError('no session id');
    return dueShardOf(sessionPk(vault, { sessionId }), shards);
  };

  it('share sessions evenly, so that no partition carries the schedule alone', () => {
    const counts = new Map<string, number>();
    for (let index = 0; index < 1_600; index += 1) {
      const shard = shardOf(index, 16);
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }

    expect(counts.size).toBe(16);
    for (const count of counts.values()) {
      expect(count).toBeGreaterThan(50);
      expect(count).toBeLessThan(150);
    }
  });

  it('keep a session where it is', () => {
    expect(shardOf(1, 16)).toBe(shardOf(1, 16));
  });
});
