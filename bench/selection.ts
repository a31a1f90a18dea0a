import type { Measure } from './catalogue.ts';

/**
 * The measures that `--only` names, by commas, in the order of the report; all of them where it is absent.
 * @throws {RangeError} for a name that none of them has; the message lists those there are.
 */
export function selectMeasures<Each extends Pick<Measure, 'name'>>(
  measures: readonly Each[],
  only: string | undefined,
): readonly Each[] {
  if (only === undefined) return measures;
  const wanted = new Set(only.split(',').map((name) => name.trim()));
  const known = new Set(measures.map(({ name }) => name));
  const unknown = [...wanted.difference(known)];
  if (unknown.length > 0) {
    throw new RangeError(`no measure is called ${unknown.join(', ')}; there are ${[...known].join(', ')}`);
  }
  return measures.filter(({ name }) => wanted.has(name));
}
