import { UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { Vault } from '../../lib/platform/vault.ts';
import { generationOf, idempotencyAttribute } from '../../lib/store/idempotency.ts';
import { dueShardName } from '../../lib/store/keys.ts';
import { storeWith } from '../fixtures/operations/failingStore.ts';
import { live } from './life.ts';
import { MASTER_KEY, type Sabotage, SHARDS } from './world/instance.ts';
import { START_MS } from './world/timeline.ts';

/** Updates that are not what they should be; `undefined` for those that stay as they are. */
function updates(change: (input: UpdateItemCommandInput) => Partial<UpdateItemCommandInput> | undefined): Sabotage {
  return {
    alter: (command) => {
      const changed = command instanceof UpdateItemCommand ? change(command.input) : undefined;
      return changed === undefined
        ? command
        : new UpdateItemCommand({ ...(command as UpdateItemCommand).input, ...changed });
    },
  };
}

/** Every update without one clause of its condition. */
function without(clause: RegExp, always: string): Sabotage {
  return updates(({ ConditionExpression: condition = '' }) => {
    const changed = condition.replaceAll(clause, always);
    return changed === condition ? undefined : { ConditionExpression: changed };
  });
}

class OpenVault extends Vault {
  override seal(_context: string, plain: Uint8Array): Uint8Array {
    return plain;
  }
  override open(_context: string, sealed: Uint8Array): Uint8Array {
    return sealed;
  }
}

const HOUR_MS = 3_600_000;

const GENERATIONS = [0, 1].map((later) => idempotencyAttribute(generationOf(START_MS) + later));

/** What of the bridge is broken, which invariant is to say so, and a seed in which it matters. */
const SABOTAGES: readonly {
  readonly what: string;
  readonly invariant: string;
  readonly seed: number;
  readonly sabotage: Sabotage;
}[] = [
  {
    what: 'a lane under a shard that no schedule looks at',
    invariant: 'I1',
    seed: 1,
    sabotage: updates(({ ExpressionAttributeValues: values }) =>
      values?.[':dueShard']?.S?.startsWith('DUE#') === true
        ? { ExpressionAttributeValues: { ...values, ':dueShard': { S: dueShardName(SHARDS) } } }
        : undefined,
    ),
  },
  {
    what: 'a vault that seals nothing',
    invariant: 'I7',
    seed: 1,
    sabotage: { vault: new OpenVault(MASTER_KEY) },
  },
  {
    what: 'a settle that does not look at its fence',
    invariant: 'I3',
    seed: 2,
    // In its place something that always holds, and that uses the same placeholders.
    sabotage: without(/(lease\.fence) = (:fence)/g, '(attribute_not_exists($1) OR $1 <> $2 OR $1 = $2)'),
  },
  { what: 'a governor that takes the budget for twice as much', invariant: 'I4', seed: 7, sabotage: { rate: 2 } },
  {
    what: 'a pause that no other instance hears of',
    invariant: 'I4',
    seed: 10,
    sabotage: updates(({ UpdateExpression: expression = '', ExpressionAttributeValues: values }) =>
      expression.startsWith('SET pausedUntilMs')
        ? { ExpressionAttributeValues: { ...values, ':until': { N: '0' } } }
        : undefined,
    ),
  },
  {
    what: 'a lane that takes what has occurred earlier over what has occurred later',
    invariant: 'I3',
    seed: 7,
    sabotage: without(
      /\(NOT (#occurred\d+) > :stamp OR #occurred\d+ > :horizon\)/g,
      '(NOT $1 > :stamp OR NOT $1 > :horizon OR $1 > :stamp)',
    ),
  },
  {
    what: 'an erase that takes the idempotency keys along',
    invariant: 'I2',
    seed: 13,
    sabotage: updates(({ UpdateExpression: expression = '' }) =>
      expression.includes('erasedVersion = :version')
        ? { UpdateExpression: [expression, ...GENERATIONS].join(', ') }
        : undefined,
    ),
  },
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
    what: 'a settle that has the schedule come an hour after the expiry',
    invariant: 'I5',
    seed: 1,
    sabotage: {
      store: (store) =>
        storeWith(store, {
          settle: (lane, settlement) =>
            store.settle(lane, {
              ...settlement,
              ...(settlement.nextExpiryMs !== undefined && { nextExpiryMs: settlement.nextExpiryMs + HOUR_MS }),
              ...(settlement.isOtherwiseIdle && { dueAtMs: (settlement.dueAtMs ?? 0) + HOUR_MS }),
            }),
        }),
    },
  },
  {
    what: 'events that tell a refusal as a success',
    invariant: 'I1',
    seed: 1,
    sabotage: { said: (type) => (type === 'context.failed' ? 'context.injected' : type) },
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
