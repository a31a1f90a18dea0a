import { valueHash } from '../context/canonicalJson.ts';
import type { Difference } from '../context/diff.ts';
import type { LoadedVariable } from '../context/mirror.ts';
import { outwards } from '../context/pointer.ts';
import type { Scope } from '../context/variables.ts';
import type { AuditChange } from './ports/sessionStore.ts';

export function changeOf({ path, before, after }: Difference, scopeOf: (path: string) => Scope): AuditChange {
  return {
    path,
    scope: scopeOf(path),
    before: before === undefined ? null : valueHash(before),
    after: after === undefined ? null : valueHash(after),
  };
}

/** The scope in which a path is kept, by the variables at it or around it; `session` where there is none. */
export function scopesIn(sides: readonly (readonly LoadedVariable[])[]): (path: string) => Scope {
  let byPath: Map<string, Scope> | undefined;
  return (path) => {
    byPath ??= scopesByPath(sides);
    for (const outer of outwards(path)) {
      const scope = byPath.get(outer);
      if (scope !== undefined) return scope;
    }
    return 'session';
  };
}

function scopesByPath(sides: readonly (readonly LoadedVariable[])[]): Map<string, Scope> {
  const byPath = new Map<string, Scope>();
  for (const side of sides) for (const { path, scope } of side) byPath.set(path, scope);
  return byPath;
}
