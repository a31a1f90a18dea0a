import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { valueHash } from '../../../lib/context/canonicalJson.ts';
import { EMPTY_MIRROR, hashOf } from '../../../lib/context/mirror.ts';
import { type Variable, variableId } from '../../../lib/context/variables.ts';
import {
  applyOperations,
  type Batch,
  type InjectOperation,
  planPush,
  splitBatch,
} from '../../../lib/operations/plan.ts';

const NOW = 1_000_000;
const bytesOf = ({ variables }: Pick<Batch, 'variables'>): number => Buffer.byteLength(JSON.stringify(variables));
const roomy = { maxBytes: 1_000_000, bytesOf };

function operation(version: number, variables: readonly Variable[]): InjectOperation {
  const payload = { kind: 'inject', variables } as const;
  return {
    payload,
    entry: {
      operationId: `op${version}`,
      auditId: `audit${version}`,
      kind: 'inject',
      acceptedAtMs: NOW,
      client: 'client',
      correlationId: 'corr',
      fingerprint: 'f',
      version,
      payload: async () => payload,
    },
  };
}

const variable = fc.record(
  {
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    value: fc.oneof(fc.integer(), fc.string({ maxLength: 30 })),
    scope: fc.constantFrom('session', 'user'),
    expiresAtMs: fc.constantFrom(NOW - 1, NOW, NOW + 1),
  },
  { requiredKeys: ['key', 'value', 'scope'] },
) satisfies fc.Arbitrary<Variable>;
const operations = fc
  .array(fc.uniqueArray(variable, { minLength: 1, maxLength: 4, selector: variableId }), { maxLength: 8 })
  .map((all) => all.map((variables, index) => operation(index + 1, variables)));

const isLive = ({ expiresAtMs = Number.POSITIVE_INFINITY }: Variable) => expiresAtMs > NOW;
const versionsOf = (loaded: readonly InjectOperation[]) => loaded.map(({ entry }) => entry.version);

describe('planPush', () => {
  it('property: every operation leaves once, in commit order, or has expired', () => {
    fc.assert(
      fc.property(operations, fc.integer({ min: 1, max: 400 }), (all, maxBytes) => {
        const { batches, expired } = planPush(all, NOW, { maxBytes, bytesOf });
        const leaving = batches.flatMap((batch) => versionsOf(batch.operations));
        expect(leaving).toEqual(leaving.toSorted((a, b) => a - b));
        expect([...leaving, ...versionsOf(expired)].sort((a, b) => a - b)).toEqual(versionsOf(all));
        for (const { payload } of expired) expect(payload.variables.some(isLive)).toBe(false);
      }),
    );
  });

  it('property: nothing that has expired leaves (SCENARIO 24)', () => {
    fc.assert(
      fc.property(operations, (all) => {
        const { batches } = planPush(all, NOW, roomy);
        for (const batch of [...batches, ...batches.flatMap((each) => splitBatch(each, NOW))]) {
          expect(batch.variables.length).toBeGreaterThan(0);
          expect(batch.variables.every(isLive)).toBe(true);
        }
      }),
    );
  });

  it('property: a request is above the limit only when one operation alone is', () => {
    fc.assert(
      fc.property(operations, fc.integer({ min: 1, max: 400 }), (all, maxBytes) => {
        for (const { operations: together, variables } of planPush(all, NOW, { maxBytes, bytesOf }).batches) {
          if (together.length > 1) expect(bytesOf({ variables })).toBeLessThanOrEqual(maxBytes);
        }
      }),
    );
  });

  it('property: the requests one after the other say what the operations one after the other say', () => {
    fc.assert(
      fc.property(operations, fc.integer({ min: 1, max: 400 }), (all, maxBytes) => {
        const apply = (lists: readonly (readonly Variable[])[]) =>
          new Map(lists.flat().map((each) => [variableId(each), each]));
        const { batches } = planPush(all, NOW, { maxBytes, bytesOf });
        const expected = apply(all.map(({ payload }) => payload.variables.filter(isLive)));
        expect(apply(batches.map(({ variables }) => variables))).toEqual(expected);
        expect(apply(batches.flatMap((batch) => splitBatch(batch, NOW).map(({ variables }) => variables)))).toEqual(
          expected,
        );
        // And the mirror says the same.
        const { mirror } = applyOperations(EMPTY_MIRROR, all, NOW);
        const inMirror = [...mirror.variables.values()].map((each) => [
          each.scope,
          each.path,
          hashOf(each),
          each.expiresAtMs,
        ]);
        expect(inMirror.sort()).toEqual(
          [...expected.values()]
            .map((each) => [each.scope, `/${each.key}`, valueHash(each.value), each.expiresAtMs])
            .sort(),
        );
      }),
    );
  });

  it('exactly at the limit leaves together, one byte less does not (SCENARIO 28)', () => {
    const all = [
      operation(1, [{ key: 'a', value: 'é', scope: 'session' }]),
      operation(2, [{ key: 'b', value: 1, scope: 'session' }]),
    ];
    const bytes = bytesOf({ variables: all.flatMap(({ payload }) => payload.variables) });
    expect(planPush(all, NOW, { maxBytes: bytes, bytesOf }).batches).toHaveLength(1);
    expect(planPush(all, NOW, { maxBytes: bytes - 1, bytesOf }).batches).toHaveLength(2);
  });
});

describe('splitBatch', () => {
  it('lets what is to be forgotten go by itself, so that no operation is held up by it', () => {
    const all = [1, 2].map((version) => operation(version, [{ key: `k${version}`, value: version, scope: 'session' }]));
    const expired = [{ key: 'old', scope: 'user', expiresAtMs: NOW - 1 }] as const;
    const [first, second, last, ...more] = splitBatch({ operations: all, variables: [], expired }, NOW);
    expect([first, second].map((batch) => batch?.variables.map(({ key }) => key))).toEqual([['k1'], ['k2']]);
    expect([first, second].every((batch) => batch?.expired === undefined)).toBe(true);
    expect(last).toEqual({ operations: [], variables: [], expired });
    expect(more).toEqual([]);
  });
});

describe('applyOperations', () => {
  it('names each operation’s changes, its version and its client', () => {
    const all = [
      operation(4, [{ key: 'k', value: 1, scope: 'session' }]),
      operation(5, [
        { key: 'k', value: 2, scope: 'session' },
        { key: 'gone', value: 1, scope: 'session', expiresAtMs: NOW },
      ]),
    ];
    const { mirror, changes } = applyOperations(EMPTY_MIRROR, all, NOW);
    expect(mirror.version).toBe(5);
    expect(mirror.variables.get('session:/k')).toMatchObject({ version: 5, source: 'client', updatedAtMs: NOW });
    expect(changes.get('op5')).toEqual([{ path: '/k', scope: 'session', before: valueHash(1), after: valueHash(2) }]);
  });
});
