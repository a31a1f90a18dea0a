import type { LoadedMirror, LoadedVariable, Mirror } from '../context/mirror.ts';

/**
 * The mirror as one whose values are all at hand.
 * @throws {TypeError} when one is not: somebody has forgotten to load it.
 */
export function loaded(mirror: Mirror): LoadedMirror {
  const variables = new Map<string, LoadedVariable>();
  for (const [id, variable] of mirror.variables) {
    const { value } = variable;
    if (value === undefined) throw new TypeError('a value of the mirror has not been loaded');
    variables.set(id, { ...variable, value });
  }
  return { version: mirror.version, variables };
}
