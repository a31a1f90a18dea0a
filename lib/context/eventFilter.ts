import { MASK } from './piiPaths.ts';
import { tokensOf } from './pointer.ts';

/** Which events a destination wants to hear of. */
export interface EventFilter {
  /** Absent = of every type. */
  readonly eventTypes?: readonly string[];
  /** Prefixes of top-level keys; absent = about any key. */
  readonly keyPrefixes?: readonly string[];
}

interface Told {
  readonly paths: readonly string[];
  readonly pathsOmitted?: number;
}

/**
 * Whether an event is for a destination. One that names no paths is about the session itself, and for everybody; one that does not
 * name all of them, or has masked a key, might be.
 */
export function isWanted(
  { eventTypes, keyPrefixes }: EventFilter,
  { type, data }: { readonly type: string; readonly data: Told },
): boolean {
  if (eventTypes !== undefined && !eventTypes.includes(type)) return false;
  const { paths, pathsOmitted = 0 } = data;
  if (keyPrefixes === undefined || paths.length === 0 || pathsOmitted > 0) return true;
  const keys = paths.map((path) => tokensOf(path)[0] ?? '');
  return keys.some((key) => key === MASK || keyPrefixes.some((prefix) => key.startsWith(prefix)));
}
