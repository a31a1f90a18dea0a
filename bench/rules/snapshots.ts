import { showVariables, type TellingVariable } from '../../lib/context/snapshot.ts';
import { SNAPSHOT_SCOPES, type SnapshotScope } from '../../lib/operations/ports/cognigy.ts';
import { seededRandom } from '../../test/fixtures/upstream/seededRandom.ts';
import type { SnapshotTiming } from '../measures/rules.ts';

const WARM_UP_ROUNDS = 8;
const ROUNDS = 30;
/** Every so many variables share their name with one in another scope. */
const NAMES_SHARE = 0.7;

/** Times coercion and scope resolution of so many variables, as the upstream tells them: untyped texts of all kinds. */
export function timeSnapshotRules(variables: number): SnapshotTiming {
  const random = seededRandom(variables);
  const text = JSON.stringify(
    Array.from({ length: variables }, (_, index) => variableOf(index, variables, random.next)),
  );
  const options = {
    filter: { includeSystem: true },
    coercion: 'auto',
    precedence: SNAPSHOT_SCOPES,
    isTyped: false,
  } as const;
  const timesMs: number[] = [];
  let names = 0;
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
    // What the network gives is new every time.
    const told: TellingVariable<SnapshotScope>[] = JSON.parse(text);
    const startedMs = performance.now();
    names = Object.keys(showVariables(told, options)).length;
    if (round >= 0) timesMs.push(performance.now() - startedMs);
  }
  return { variables, names, timesMs };
}

function variableOf(index: number, count: number, next: () => number): TellingVariable<SnapshotScope> {
  const name = `crm_variable_${Math.floor(next() * count * NAMES_SHARE)}`;
  const scope = SNAPSHOT_SCOPES[Math.floor(next() * SNAPSHOT_SCOPES.length)] ?? 'session';
  return { name, scope, value: TEXTS[index % TEXTS.length]?.(index) ?? '' };
}

const TEXTS: readonly ((index: number) => string)[] = [
  (index) => `a sentence about customer ${index}`,
  (index) => String(index),
  (index) => String(index / 7),
  (index) => String(index % 2 === 0),
  (index) => `00${index}`,
  (index) => `+49170${index}`,
  (index) =>
    JSON.stringify({ id: `A-${index}`, amount: index / 4, topics: ['map', 'tent'], address: { city: 'Bonn' } }),
  (index) => JSON.stringify([index, `note ${index}`, null]),
];
