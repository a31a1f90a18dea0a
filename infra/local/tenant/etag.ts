import { type Answer, problem } from './messages.ts';

/** The entity tag of a session's version. */
export function etagOf(version: number): string {
  return `"${version}"`;
}

const ENTITY_TAGS = /^\s*(?:W\/)?"[^"]*"\s*(?:,\s*(?:W\/)?"[^"]*"\s*)*$/;

/**
 * Refuses a write whose `If-Match` does not name the present version; undefined lets it through.
 * Weak tags never match (RFC 9110, 13.1.1), and a bare `7` is not a tag: 400.
 */
export function refuseStale(ifMatch: string | undefined, version: number, status: 409 | 412): Answer | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  if (!ENTITY_TAGS.test(ifMatch)) {
    return problem({ status: 400, code: 'malformed-if-match', detail: 'If-Match must be * or a list of entity tags.' });
  }
  const current = etagOf(version);
  if (ifMatch.split(',').some((tag) => tag.trim() === current)) return undefined;
  return problem({
    status,
    code: 'version-mismatch',
    detail: `The version is ${version}.`,
    headers: { etag: current },
  });
}
