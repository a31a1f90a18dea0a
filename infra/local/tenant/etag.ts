import { type Answer, problem } from './messages.ts';

/** How a surface labels its answers; `none` = not at all. */
export const ETAG_KINDS = ['strong', 'weak', 'none'] as const;
type EtagKind = (typeof ETAG_KINDS)[number];

/** The entity tag of a session's version. */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/** The `ETag` header of a session's version. */
export function etagHeader(version: number, kind: EtagKind = 'strong'): Readonly<Record<string, string>> {
  if (kind === 'none') return {};
  return { etag: kind === 'weak' ? `W/${etagOf(version)}` : etagOf(version) };
}

const ENTITY_TAGS = /^\s*(?:W\/)?"[^"]*"\s*(?:,\s*(?:W\/)?"[^"]*"\s*)*$/;

/**
 * Refuses a write whose `If-Match` does not name the present version; undefined lets it through.
 * Weak tags never match (RFC 9110, 13.1.1), except where the surface itself hands them out; a bare `7` is not a tag: 400.
 */
export function refuseStale(
  ifMatch: string | undefined,
  version: number,
  status: 409 | 412,
  kind: EtagKind = 'strong',
): Answer | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  if (!ENTITY_TAGS.test(ifMatch)) {
    return problem({ status: 400, code: 'malformed-if-match', detail: 'If-Match must be * or a list of entity tags.' });
  }
  const headers = etagHeader(version, kind);
  const current = headers['etag'] ?? etagOf(version);
  if (ifMatch.split(',').some((tag) => tag.trim() === current)) return undefined;
  return problem({
    status,
    code: 'version-mismatch',
    detail: `The version is ${version}.`,
    headers,
  });
}
