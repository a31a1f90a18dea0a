import type { Occurrence } from '../operations/ports/crm.ts';
import type { Item } from './table.ts';

/**
 * When what a CRM says of a path occurred: an attribute for each path. A later event moves it on, an earlier one fails on it: of
 * two at the same time, whichever comes first to the item, the later one's values stay.
 */
export function occurrenceClauses({ stamp, paths }: Pick<Occurrence, 'stamp' | 'paths'>, prefix = '') {
  return {
    set: paths.map((_path, index) => `#occurred${index} = :stamp`),
    condition: paths.map((_path, index) => `NOT #occurred${index} > :stamp`),
    names: Object.fromEntries(paths.map((path, index) => [`#occurred${index}`, attributeOf(path, prefix)])),
    values: { ':stamp': stamp },
  };
}

/** The stamp of the event that has set a path; less than every stamp where none has. */
export function occurrenceOf(item: Item, path: string, prefix = ''): string {
  const known = item[attributeOf(path, prefix)];
  return typeof known === 'string' ? known : '';
}

function attributeOf(path: string, prefix: string): string {
  return `occurred:${prefix}${path}`;
}
