import type { JsonValue } from './json.ts';

/** A variable in one scope. */
export interface ScopedVariable<Scope extends string> {
  readonly name: string;
  readonly scope: Scope;
  readonly value: JsonValue;
}

/** The variable that shows under a name, and those that it hides. */
export interface Resolved<Kind> {
  readonly winner: Kind;
  /** Strongest first. */
  readonly shadowed: readonly Kind[];
}

/**
 * Which variable shows under each name (SPEC 5 "Scope resolution"). The same for the same variables in any order: names come
 * sorted, and of two in one scope the one whose JSON sorts last wins. What is there twice, word for word, counts once.
 *
 * @param precedence - every scope, weakest first
 */
export function resolveScopes<Scope extends string, Kind extends ScopedVariable<Scope>>(
  variables: readonly Kind[],
  precedence: readonly Scope[],
): Map<string, Resolved<Kind>> {
  const strength = new Map(precedence.map((scope, index) => [scope, index]));
  const byName = new Map<string, Kind | Kind[]>();
  for (const variable of variables) {
    const known = byName.get(variable.name);
    if (known === undefined) byName.set(variable.name, variable);
    else if (Array.isArray(known)) known.push(variable);
    else byName.set(variable.name, [known, variable]);
  }
  const resolved = new Map<string, Resolved<Kind>>();
  for (const name of [...byName.keys()].sort()) {
    const found = byName.get(name) as Kind | Kind[];
    resolved.set(name, Array.isArray(found) ? strongest(found, strength) : { winner: found, shadowed: [] });
  }
  return resolved;
}

function strongest<Scope extends string, Kind extends ScopedVariable<Scope>>(
  rivals: readonly Kind[],
  strength: ReadonlyMap<Scope, number>,
): Resolved<Kind> {
  const ranked = rivals
    .map((variable) => new Ranked(variable, strength.get(variable.scope) ?? -1))
    .sort((a, b) => b.rank - a.rank || compare(b.text, a.text));
  const different = ranked.filter((each, index) => {
    const before = ranked[index - 1];
    return before === undefined || before.rank !== each.rank || before.text !== each.text;
  });
  const [winner, ...shadowed] = different.map(({ variable }) => variable);
  if (winner === undefined) throw new RangeError('nobody to choose from');
  return { winner, shadowed };
}

/** A variable and its scope's strength. Its JSON is made where two are of one scope, which is rare. */
class Ranked<Kind extends ScopedVariable<string>> {
  readonly variable: Kind;
  readonly rank: number;
  #text: string | undefined;

  constructor(variable: Kind, rank: number) {
    this.variable = variable;
    this.rank = rank;
  }

  get text(): string {
    this.#text ??= JSON.stringify(this.variable.value);
    return this.#text;
  }
}

/** By UTF-16 code units, the same in every locale. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
