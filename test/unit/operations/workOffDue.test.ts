import { describe, expect, it } from 'vitest';
import { contextSchemaOf } from '../../../lib/context/schema.ts';
import { compileSchema } from '../../../lib/context/schemaCompiler.ts';
import type { SessionKey, SessionStore } from '../../../lib/operations/ports/sessionStore.ts';
import { workOffDue } from '../../../lib/operations/workOffDue.ts';
import { MemoryTelemetry } from '../../fixtures/operations/memoryTelemetry.ts';
import { ScriptedCognigy } from '../../fixtures/operations/scriptedCognigy.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

/** A store of which the schedule needs only the list, and lanes that cannot be read. */
function storeWith(due: readonly string[]): { store: SessionStore; looked: string[] } {
  const looked: string[] = [];
  const store: Pick<SessionStore, 'dueSessions' | 'readLane'> = {
    async *dueSessions(shard) {
      if (shard === 0) yield* due.map((key) => ({ key }));
    },
    readLane: async (session: SessionKey) => {
      if ('key' in session) looked.push(session.key);
      throw new Error('damaged');
    },
  };
  return { store: store as SessionStore, looked };
}

describe('workOffDue', () => {
  const clock = new FakeClock();

  function run(store: SessionStore, deadlineInMs: number) {
    const deps = {
      store,
      clock,
      events: {
        enqueueOnce: async (): Promise<never> => {
          throw new Error('nothing is to be told');
        },
      },
      cognigy: new ScriptedCognigy([]),
      random: seededRandom(1),
      context: { schema: contextSchemaOf(compileSchema({}).validate, {}), maxBytes: 95_000 },
      sessionTtlMs: 1,
      auditValues: false,
    };
    const telemetry = new MemoryTelemetry();
    return workOffDue(deps, { shards: 4, deadlineMs: clock.now() + deadlineInMs, correlationId: 'c', telemetry });
  }

  it('looks at every due lane, however many before it could not be worked off', async () => {
    const due = Array.from({ length: 130 }, (_, index) => `lane-${index}`);
    const { store, looked } = storeWith(due);
    expect(await run(store, 60_000)).toEqual({ worked: 0, skipped: 130, waiting: 0, cutShort: false });
    expect(looked).toEqual(due);
  });

  it('SCENARIO 11: begins nothing near its deadline and says that it was cut short', async () => {
    const { store, looked } = storeWith(['lane']);
    expect(await run(store, 1_000)).toEqual({ worked: 0, skipped: 0, waiting: 0, cutShort: true });
    expect(looked).toEqual([]);
  });
});
