import { UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { storeWith } from '../fixtures/operations/failingStore.ts';
import { live } from './life.ts';
import type { Sabotage } from './world/instance.ts';

/** Every update without one clause of its condition. */
function without(clause: string): Sabotage {
  return {
    alter: (command) => {
      if (!(command instanceof UpdateItemCommand)) return command;
      const { ConditionExpression: condition } = command.input;
      if (condition?.includes(clause) !== true) return command;
      // In its place something that always holds, and that uses the same placeholders.
      const always = clause.replace(/^(\S+) = (:\w+)$/, '(attribute_not_exists($1) OR $1 <> $2 OR $1 = $2)');
      return new UpdateItemCommand({ ...command.input, ConditionExpression: condition.replace(clause, always) });
    },
  };
}

/** What of the bridge is broken, which invariant is to say so, and a seed in which it matters. */
const SABOTAGES: readonly {
  readonly what: string;
  readonly invariant: string;
  readonly seed: number;
  readonly sabotage: Sabotage;
}[] = [
  {
    what: 'a settle that does not look at its fence',
    invariant: 'I3',
    seed: 2,
    sabotage: without('lease.fence = :fence'),
  },
  { what: 'a governor that takes the budget for twice as much', invariant: 'I4', seed: 7, sabotage: { rate: 2 } },
  {
    what: 'a settle that forgets to say how an operation ended',
    invariant: 'I6',
    seed: 3,
    sabotage: {
      store: (store) =>
        storeWith(store, {
          settle: (lane, settlement) => store.settle(lane, { ...settlement, audit: settlement.audit.slice(1) }),
        }),
    },
  },
  {
    what: 'a settle that forgets the mirror',
    invariant: 'I8',
    seed: 1,
    sabotage: {
      store: (store) =>
        storeWith(store, {
          settle: (lane, { stateRef: _forgotten, ...settlement }) => store.settle(lane, settlement),
        }),
    },
  },
  {
    what: 'a mirror that forgets when things expire',
    invariant: 'I5',
    seed: 1,
    sabotage: {
      store: (store) =>
        storeWith(store, {
          writeMirror: (lane, mirror, options) => {
            const variables = [...mirror.variables].map(
              ([id, { expiresAtMs: _forgotten, ...variable }]) => [id, variable] as const,
            );
            return store.writeMirror(lane, { ...mirror, variables: new Map(variables) }, options);
          },
        }),
    },
  },
  {
    what: 'an archive that is never written',
    invariant: 'I6',
    seed: 1,
    sabotage: { store: (store) => storeWith(store, { archive: async () => {} }) },
  },
  {
    what: 'a lane that takes an idempotency key twice',
    invariant: 'I2',
    seed: 1,
    sabotage: {
      store: (store) =>
        storeWith(store, {
          commit: ({ operation: { idempotencyHash: _forgotten, ...operation }, ...command }) =>
            store.commit({ ...command, operation }),
          findOutcome: async () => ({ kind: 'unknown' }),
        }),
    },
  },
];

const OPERATIONS = 80;

describe('The oracle', () => {
  it.each(SABOTAGES)('notices $what by $invariant', async ({ invariant, seed, sabotage }) => {
    const whole = await live({ seed, operations: OPERATIONS });
    const broken = await live({ seed, operations: OPERATIONS, sabotage });
    expect(whole.violations).toEqual([]);
    expect(broken.violations.map((what) => what.slice(0, 2))).toContain(invariant);
  });
});
