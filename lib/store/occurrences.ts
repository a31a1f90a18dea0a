import { createHash } from 'node:crypto';
import type { Occurrence } from '../operations/ports/crm.ts';
import type { Item } from './table.ts';

/** Of attributes that say when what a CRM says of a path occurred. */
export const OCCURRED = 'occurred:';
/** Behind the name of such an attribute: of the one that says what it took the place of. */
export const FORMER = '<';

/**
 * When what a CRM says of a path occurred: an attribute for each path. A later event moves it on, an earlier one fails on it: of
 * two at the same time, whichever comes first to the item, the later one's values stay.
 *
 * What lies beyond an event's horizon was stamped by a clock that is far ahead, and does not stand in its way.
 */
export function occurrenceClauses({ stamp, horizon, paths }: Omit<Occurrence, 'record'>, prefix = '') {
  return {
    set: paths.map((_path, index) => `#occurred${index} = :stamp`),
    condition: paths.map((_path, index) => `(NOT #occurred${index} > :stamp OR #occurred${index} > :horizon)`),
    names: Object.fromEntries(paths.map((path, index) => [`#occurred${index}`, attributeOf(path, prefix)])),
    values: { ':stamp': stamp, ':horizon': horizon },
  };
}

/** Those of an occurrence's paths of which nothing later is known: what its clauses would not fail on. */
export function currentPaths({ stamp, horizon, paths }: Omit<Occurrence, 'record'>, item: Item, prefix = ''): string[] {
  return paths.filter((path) => {
    const known = item[attributeOf(path, prefix)];
    return typeof known !== 'string' || known <= stamp || known > horizon;
  });
}

/** What lanes need to know of occurrences, for a function that takes events of CRMs; the others do without. */
export const laneOccurrences = {
  current: currentPaths,
  /** With what an occurrence takes the place of, kept beside it: who takes the occurrence back puts that there again. */
  clauses: (occurrence: Omit<Occurrence, 'record'>, prefix: string) => {
    const { set, condition, names, values } = occurrenceClauses(occurrence, prefix);
    const formerNames = occurrence.paths.map((path, index) => [`#former${index}`, attributeOf(path, prefix) + FORMER]);
    return {
      keep: set.map((_set, index) => `#former${index} = if_not_exists(#occurred${index}, :never)`),
      set,
      restore: set.map((_set, index) => `#occurred${index} = if_not_exists(#former${index}, :never)`),
      condition,
      names: { ...names, ...Object.fromEntries(formerNames) },
      values: { ...values, ':never': '' },
    };
  },
};

export type LaneOccurrences = typeof laneOccurrences;

/** Short, of one length, and without the names of keys. */
function attributeOf(path: string, prefix: string): string {
  return OCCURRED + createHash('sha256').update(`${prefix}${path}`).digest('base64url').slice(0, 22);
}
