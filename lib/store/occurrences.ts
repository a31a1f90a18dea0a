import { createHash } from 'node:crypto';
import type { Occurrence } from '../operations/ports/crm.ts';
import type { Item } from './table.ts';

/** Of attributes that say when what a CRM says of a path occurred. */
export const OCCURRED = 'occurred:';

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

/** Short, of one length, and without the names of keys. */
function attributeOf(path: string, prefix: string): string {
  return OCCURRED + createHash('sha256').update(`${prefix}${path}`).digest('base64url').slice(0, 22);
}
