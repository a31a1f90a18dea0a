import { type Coercion, coerce, type TypedValue, textOf, typed, type ValueType } from './coercion.ts';
import { withoutInternal } from './internalKeys.ts';
import type { JsonValue } from './json.ts';
import { treeOf } from './leaves.ts';
import { type LoadedMirror, visibleVariables } from './mirror.ts';
import { resolveScopes, type ScopedVariable } from './scopes.ts';
import type { Scope } from './variables.ts';

/** Which variables are wanted. */
export interface SnapshotFilter<VariableScope extends string> {
  readonly name?: string;
  readonly scope?: VariableScope;
  /** Also those whose names begin with `_`. */
  readonly includeSystem: boolean;
}

/** A variable as the upstream tells it, perhaps with its type; or as the mirror knows it. */
export interface TellingVariable<VariableScope extends string> extends ScopedVariable<VariableScope> {
  readonly type?: string;
}

/** What is shown of one name. */
export interface SnapshotVariable<VariableScope extends string> {
  readonly value: JsonValue;
  readonly scope: VariableScope;
  readonly type: ValueType;
  readonly isSystem: boolean;
  /** What it hides, strongest first. */
  readonly shadowed: readonly { readonly scope: VariableScope; readonly value: JsonValue }[];
}

export interface ShowOptions<VariableScope extends string> {
  readonly filter: SnapshotFilter<VariableScope>;
  readonly coercion: Coercion;
  /** Every scope, weakest first. */
  readonly precedence: readonly VariableScope[];
  /** True where the values come with their types, as the mirror's do: a text is a text then. */
  readonly isTyped: boolean;
}

/** True for names that the bot keeps for itself (SPEC 2 "snapshot"). */
export function isSystemName(name: string): boolean {
  return name.startsWith('_');
}

/** The variables by name, typed and resolved (SPEC 5); names in the order of their code units. */
export function showVariables<VariableScope extends string>(
  variables: readonly TellingVariable<VariableScope>[],
  { filter, coercion, precedence, isTyped }: ShowOptions<VariableScope>,
): Readonly<Record<string, SnapshotVariable<VariableScope>>> {
  const typedOf = ({ value, type }: TellingVariable<VariableScope>): TypedValue => {
    if (coercion === 'none') return typed(textOf(value));
    return isTyped ? typed(value) : coerce(value, type);
  };
  const wanted = variables
    .filter((variable) => isWanted(variable, filter))
    .map((variable) => {
      const { value, type } = typedOf(variable);
      return { name: variable.name, scope: variable.scope, value, type };
    });
  // `Object.fromEntries` defines members: `__proto__` is a name like any other.
  return Object.fromEntries(
    Array.from(resolveScopes(wanted, precedence), ([name, { winner, shadowed }]) => [
      name,
      {
        value: winner.value,
        scope: winner.scope,
        type: winner.type,
        isSystem: isSystemName(name),
        shadowed: shadowed.map(({ scope, value }) => ({ scope, value })),
      },
    ]),
  );
}

function isWanted<VariableScope extends string>(
  { name, scope }: ScopedVariable<VariableScope>,
  filter: SnapshotFilter<VariableScope>,
): boolean {
  return (
    (filter.name === undefined || name === filter.name) &&
    (filter.scope === undefined || scope === filter.scope) &&
    (filter.includeSystem || !isSystemName(name))
  );
}

/** What of a mirror may be shown at `nowMs`: the top-level members of each scope, without internal ones. */
export function variablesOfMirror(mirror: LoadedMirror, nowMs: number): TellingVariable<Scope>[] {
  const byScope = Map.groupBy(visibleVariables(mirror, nowMs), ({ scope }) => scope);
  return Array.from(byScope, ([scope, variables]) =>
    Object.entries(withoutInternal(treeOf(variables))).map(([name, value]) => ({ name, scope, value })),
  ).flat();
}
