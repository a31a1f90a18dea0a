import { type Mirror, type MirrorVariable, mirrorId } from '../context/mirror.ts';

/** What was refused, was to live for a time only, and may be in the bot all the same. */
export class Suspects {
  readonly #byPlace = new Map<string, MirrorVariable>();

  add(variables: readonly MirrorVariable[]): void {
    for (const variable of variables) this.#byPlace.set(mirrorId(variable), variable);
  }

  clear(): void {
    this.#byPlace.clear();
  }

  /** The mirror with what it does not have. The very same where that is nothing. */
  on(mirror: Mirror): Mirror {
    const unknown = [...this.#byPlace].filter(([id]) => !mirror.variables.has(id));
    if (unknown.length === 0) return mirror;
    return { version: mirror.version, variables: new Map([...mirror.variables, ...unknown]) };
  }
}
