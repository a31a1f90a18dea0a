import { pointerOf, tokensOf } from './pointer.ts';
import type { SchemaRules } from './schemaRules.ts';

/** Stands for the name of what is personal, and for all that is inside it. */
export const MASK = '*';

/** JSON Pointers as they may be told outside: what the schema calls personal (`x-pii`) has no name there. Each once. */
export function maskPii({ ruleOf }: Pick<SchemaRules, 'ruleOf'>, paths: readonly string[]): string[] {
  const masked = paths.map((path) => {
    const tokens = tokensOf(path);
    const first = tokens.findIndex((_token, index) => ruleOf(tokens.slice(0, index + 1)).pii);
    return first < 0 ? path : pointerOf([...tokens.slice(0, first), MASK]);
  });
  return [...new Set(masked)];
}
